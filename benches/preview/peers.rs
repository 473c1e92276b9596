//! What people do without us, each by its own program.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine as _;
use reqwest::Method;
use serde_json::json;
use tokio::process::Command;

use crate::fake::forge::{Pr, TOKEN};
use crate::parts::program;
use crate::stage::{NAMESPACE, Stage};

/// How long a program took, if it is there and did what it should; `good` are exit codes.
async fn timed(command: &mut Command, good: &[i32]) -> Option<(Duration, Vec<u8>)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let begun = Instant::now();
    let done = command.output().await.ok()?;
    let took = begun.elapsed();
    let is_good = done.status.code().is_some_and(|code| good.contains(&code));
    if !is_good {
        println!("  {:?}: {}", command.as_std().get_program(), String::from_utf8_lossy(&done.stderr).trim());
    }
    is_good.then_some((took, done.stdout))
}

fn found(name: &str) -> Option<PathBuf> {
    program(name).ok().or_else(|| {
        let path = bascule::config::Environ::of_process().get("PATH")?.to_owned();
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
    })
}

fn median(mut all: Vec<Duration>) -> Option<Duration> {
    all.sort();
    all.get(all.len() / 2).copied()
}

/// One process for each of these folders: the median of one, and what they print together.
async fn each(name: &str, arguments: &[&str], folders: &[PathBuf], patience: Duration) -> Option<(Duration, String)> {
    let program = found(name)?;
    let (mut took, mut text, begun) = (Vec::new(), String::new(), Instant::now());
    for folder in folders {
        let (time, out) = timed(Command::new(&program).args(arguments).arg(folder), &[0]).await?;
        took.push(time);
        text.push_str("---\n");
        text.push_str(&String::from_utf8_lossy(&out));
        if begun.elapsed() > patience {
            break;
        }
    }
    Some((median(took)?, text))
}

impl Stage<'_> {
    fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    fn folders(&self, below: &str, most: usize) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.repository().join(below)).into_iter().flatten();
        let mut all: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        all.sort();
        all.truncate(most);
        all
    }

    /// One `kustomize build`.
    pub(crate) async fn kustomize(&self, some: usize) -> Option<Duration> {
        Some(each("kustomize", &["build"], &self.folders("overlays", some), Duration::from_secs(20)).await?.0)
    }

    /// One `helm template`.
    pub(crate) async fn helm(&self, some: usize) -> Option<Duration> {
        Some(each("helm", &["template", "x"], &self.folders("charts", some), Duration::from_secs(20)).await?.0)
    }

    /// Every object there is, as one file for `kubectl`; the third of helm is written as it renders.
    pub(crate) fn manifests(&self, value: &str) -> PathBuf {
        let mut text = String::new();
        for number in 0..self.environments.min(1_000) {
            let app = format!("a{number:05}");
            let value = if number == 0 { value } else { "1" };
            text.push_str(&format!("---\n{}", crate::stage::settings(&app, value)));
            if number % 3 == 1 {
                let name = format!("{app}-web");
                text.push_str(&format!("---\n{}", crate::stage::deployment(&name, "registry.example/web:1")));
            }
        }
        let file = self.folder.path().join(format!("all-{value}.yaml"));
        std::fs::write(&file, text).unwrap();
        file
    }

    fn kubectl(&self, arguments: &[&str], file: &Path) -> Option<Command> {
        let mut command = Command::new(found("kubectl")?);
        command.arg(format!("--kubeconfig={}", self.plane.kubeconfig().display()));
        command.args(["--namespace", NAMESPACE]).args(arguments).arg("-f").arg(file);
        Some(command)
    }

    /// Everything is in the cluster, as it is on the branch.
    pub(crate) async fn is_deployed(&self) -> bool {
        let file = self.manifests("1");
        let Some(mut command) = self.kubectl(&["apply", "--server-side", "--force-conflicts"], &file) else {
            return false;
        };
        timed(&mut command, &[0]).await.is_some()
    }

    /// `kubectl diff --server-side` of everything, one line of it changed.
    pub(crate) async fn kubectl_diff(&self) -> Option<Duration> {
        let file = self.manifests("2");
        let mut command = self.kubectl(&["diff", "--server-side"], &file)?;
        Some(timed(&mut command, &[0, 1]).await?.0)
    }

    /// The floor: `git fetch` of the head, `git diff-tree`, one dry run. The second is of `git diff-tree` alone.
    pub(crate) async fn floor(&self, pr: &Pr) -> Option<(Duration, Duration)> {
        let clone = self.folder.path().join("floor.git");
        let url = format!("{}/{}.git", self.forge.url(), self.shop.name);
        let secret = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{TOKEN}"));
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.env("GIT_CONFIG_GLOBAL", "/dev/null").arg("-c");
            command.arg(format!("http.extraHeader=Authorization: Basic {secret}")).args(arguments);
            command
        };
        let at = clone.to_str()?;
        if !clone.exists() {
            timed(&mut git(&["clone", "--quiet", "--bare", "--filter=blob:none", &url, at]), &[0]).await?;
        }
        let head = self.forge.head(pr);
        let what = format!("refs/pull/{}/head", pr.number);
        let (fetch, _) =
            timed(&mut git(&["-C", at, "fetch", "--quiet", "--filter=blob:none", "origin", &what]), &[0]).await?;
        let (tree, _) = timed(&mut git(&["-C", at, "diff-tree", "-r", "main", &head]), &[0]).await?;
        let begun = Instant::now();
        let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a00000" }, "data": { "value": "2" } });
        let place = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/a00000?dryRun=All");
        self.plane.request(Method::PUT, &place, Some(&body)).await.ok()?;
        Some((fetch + tree + begun.elapsed(), tree))
    }
}
