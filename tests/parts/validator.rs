//! A mock of an API, made by others from a published description: it answers by the description's examples, and says what is
//! not in the description of what it is asked.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::folder::Folder;
use super::launch::Launch;
use super::ports::{again_if_taken, free_port};
use super::process::Process;
use super::progress::Progress;
use super::tools;

/// Prism, from `tools/mock`, on one description; it ends with this value. Reading twelve megabytes of description takes it
/// some ten seconds of one core and 300 MB.
#[derive(Debug)]
pub(crate) struct Validator {
    /// Before the folder, so that it ends before its files do.
    _process: Process,
    url: String,
    _folder: Folder,
}

impl Validator {
    pub(crate) async fn start(progress: &Progress, description: &Path) -> Result<Self> {
        progress.of("the validating mock", again_if_taken(async || Self::create(description).await)).await
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    async fn create(description: &Path) -> Result<Self> {
        let program = tools::shared("mock/node_modules/@stoplight/prism-cli/dist/index.js")?;
        let (folder, port) = (Folder::new("mock")?, free_port()?);
        let port_word = port.to_string();
        let words = ["mock", "--multiprocess", "false", "--host", "127.0.0.1", "--port", &port_word];
        let launch = Launch::of("mock", PathBuf::from("node"), folder.path())
            .arguments([program.display().to_string()])
            .arguments(words)
            .arguments([description.display().to_string()]);
        let mut process = Process::start(&launch)?;
        let url = format!("http://127.0.0.1:{port}");
        let client = super::http::client(Vec::new())?;
        // Whatever it answers: it listens once the description is read.
        let listens = async || {
            client.get(&url).send().await?;
            Ok(())
        };
        process.until_ready(listens).await?;
        Ok(Self { _process: process, url, _folder: folder })
    }
}
