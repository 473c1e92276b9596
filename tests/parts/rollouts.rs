//! What turns a Deployment into ready pods: controllers, a scheduler, and kwok, which plays a node's part.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::launch::Launch;
use super::process::Process;
use super::tools;

/// What the three programs are given.
pub(super) struct Inputs<'a> {
    pub(super) folder: &'a Path,
    pub(super) kubeconfig: &'a Path,
    pub(super) signing_key: &'a Path,
    pub(super) ca: &'a Path,
}

/// Starts all three; that the node becomes ready is the proof that they work.
pub(super) fn start(inputs: &Inputs<'_>) -> Result<[Process; 3]> {
    let kubeconfig = format!("--kubeconfig={}", inputs.kubeconfig.display());
    let alone = [
        kubeconfig.clone(),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        // Their own brakes are made for clusters that others use, too.
        "--kube-api-qps=200".to_owned(),
        "--kube-api-burst=400".to_owned(),
    ];
    let controllers = Launch::new("kube-controller-manager", inputs.folder)?.arguments(alone.clone()).arguments([
        format!("--service-account-private-key-file={}", inputs.signing_key.display()),
        format!("--root-ca-file={}", inputs.ca.display()),
    ]);
    let scheduler = Launch::new("kube-scheduler", inputs.folder)?.arguments(alone);
    let nodes = Launch::new("kwok", inputs.folder)?
        .arguments([kubeconfig, "--manage-all-nodes=true".to_owned(), "--node-lease-duration-seconds=40".to_owned()])
        .arguments(stages()?.iter().map(|stage| format!("--config={}", stage.display())));
    Ok([Process::start(&controllers)?, Process::start(&scheduler)?, Process::start(&nodes)?])
}

/// The one node. kwok says the rest of it: its size and that it is ready.
pub(super) fn node() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": "node-0",
            "annotations": { "node.alpha.kubernetes.io/ttl": "0" },
            "labels": {
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": "node-0",
                "kubernetes.io/os": "linux",
            },
        },
    })
}

/// Whether the scheduler may put pods on it: kwok has made it ready, and the controllers have seen that.
pub(super) fn node_takes_pods(node: &Value) -> Result<()> {
    let ready = node["status"]["conditions"]
        .as_array()
        .is_some_and(|conditions| conditions.iter().any(|it| it["type"] == "Ready" && it["status"] == "True"));
    ensure!(ready, "the node is not ready");
    let taints = &node["spec"]["taints"];
    ensure!(taints.is_null(), "the node is tainted: {taints}");
    Ok(())
}

/// kwok refuses to start without stages, and brings them as files of its module. Pods become ready at once, and the
/// node's lease is renewed.
fn stages() -> Result<Vec<PathBuf>> {
    let mut stages = Vec::new();
    for kind in ["pod/fast", "node/fast", "node/heartbeat-with-lease"] {
        let folder = tools::shared("kwok/stage")?.join(kind);
        let files = fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))?;
        for file in files {
            let path = file?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // Beside them lies the kustomization that names them.
            if name.ends_with(".yaml") && name != "kustomization.yaml" {
                stages.push(path);
            }
        }
    }
    ensure!(!stages.is_empty(), "kwok has no stages: run tools/build");
    stages.sort();
    Ok(stages)
}
