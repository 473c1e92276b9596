//! The peer: what holds whole objects in memory, as controllers commonly do.

use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use futures::StreamExt as _;
use kube::api::{Api, DynamicObject};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};

/// In a process of its own.
pub(crate) struct Reflector {
    process: Child,
    _input: ChildStdin,
}

impl Reflector {
    /// Runs until it has everything.
    pub(crate) fn start(kubeconfig: &Path, namespace: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--reflector").arg(kubeconfig).arg(namespace).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut said = String::new();
        let mut output = std::io::BufReader::new(process.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut said).unwrap();
        println!("  the reflector holds {} objects", said.trim());
        let input = process.stdin.take().unwrap();
        Self { process, _input: input }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Reflector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Says how many objects it has, and keeps them until its input ends.
pub(crate) async fn holds(kubeconfig: &Path, namespace: &str) {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
    let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &kind);
    let writer = reflector::store::Writer::<DynamicObject>::new(kind);
    let store = writer.as_reader();
    let watching = watcher(api, watcher::Config::default()).reflect(writer).for_each(|_| std::future::ready(()));
    let told = async {
        store.wait_until_ready().await.unwrap();
        println!("{}", store.state().len());
        let ends = tokio::task::spawn_blocking(|| std::io::stdin().lines().count());
        ends.await.unwrap();
    };
    tokio::select! {
        () = watching => {}
        () = told => {}
    }
}
