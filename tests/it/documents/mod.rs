//! The documents that people type from: their command blocks are run as they are written, in their order, with nothing
//! replaced but what the document calls by a name of its own. One that lies fails here.

mod backup;
pub(crate) mod comments;
mod newcomer;
mod operations;
mod upgrade;

use std::path::{Path, PathBuf};
use std::process::Command;

use bascule::config::Environ;

use crate::parts::program;
use crate::support::script;

/// A document while somebody follows it.
struct Document {
    name: &'static str,
    /// Heading and block, in the order of the page; those that were run are gone.
    left: Vec<(String, String)>,
    /// What the document's names are here.
    names: Vec<(&'static str, String)>,
    environment: Vec<(String, String)>,
    home: tempfile::TempDir,
}

/// `docs/NAME.md`.
fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/{name}.md"))).unwrap()
}

impl Document {
    /// Opens `docs/NAME.md`. Whoever reads it has a home of their own, and what `tools/build` made on `PATH`.
    fn open(name: &'static str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let programs = home.path().join("programs");
        std::fs::create_dir(&programs).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_bascule"), programs.join("bascule")).unwrap();
        let tools = program("kustomize").unwrap();
        let psql = program("postgresql/psql").unwrap();
        let ours = Environ::of_process().get("PATH").unwrap_or_default().to_owned();
        let folders = [programs.as_path(), tools.parent().unwrap(), psql.parent().unwrap()];
        let path_of = folders.iter().map(|folder| format!("{}:", folder.display())).collect::<String>() + &ours;
        let environment = [
            ("PATH", path_of.as_str()),
            ("HOME", home.path().to_str().unwrap()),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "dev"),
            ("GIT_AUTHOR_EMAIL", "dev@example.com"),
            ("GIT_COMMITTER_NAME", "dev"),
            ("GIT_COMMITTER_EMAIL", "dev@example.com"),
            // What a terminal would read is JSON for whoever waits for it here; and every server has a port of its own.
            ("BASCULE__SERVER__LOG_FORMAT", "json"),
            ("BASCULE__SERVER__ADMIN_LISTEN", "127.0.0.1:0"),
        ];
        Self {
            name,
            left: blocks(&page(name)),
            names: Vec::new(),
            environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            home,
        }
    }

    /// What the document calls so is this here.
    fn calls(&mut self, name: &'static str, here: impl Into<String>) {
        self.names.push((name, here.into()));
    }

    /// A variable that the document says is set.
    fn sets(&mut self, name: &str, value: impl Into<String>) {
        self.environment.push((name.to_owned(), value.into()));
    }

    /// A program that only this document's reader has.
    fn has_program(&self, name: &str, text: &str) {
        script::write(&self.home.path().join("programs").join(name), text);
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("bascule")
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// The next block of this section, as it is typed here.
    fn next(&mut self, section: &str) -> Option<String> {
        let (heading, _) = self.left.first()?;
        if heading != section {
            return None;
        }
        let (_, block) = self.left.remove(0);
        let known = |name: &&(&str, String)| block.contains(name.0);
        Some(self.names.iter().filter(known).fold(block.clone(), |text, (name, here)| text.replace(name, here)))
    }

    /// Types every block of this section, up to one that starts a server; what they printed.
    fn follow(&mut self, section: &str) -> String {
        let mut printed = String::new();
        while self.left.first().is_some_and(|(_, block)| !starts_a_server(block)) {
            let Some(block) = self.next(section) else { break };
            printed += &self.types(&block);
        }
        assert!(!printed.is_empty() || self.left.iter().all(|(heading, _)| heading != section), "{section}: no block");
        printed
    }

    /// The block that starts the server is next, and reads so.
    fn starts(&mut self, section: &str, line: &str) {
        assert_eq!(self.next(section).as_deref().map(str::trim), Some(line), "docs/{}.md", self.name);
    }

    /// In a shell of its own, where the one before was left.
    fn types(&self, block: &str) -> String {
        let here = self.home.path().join("here");
        let shell = format!(
            "cd \"$(cat {here} 2>/dev/null || echo ~)\"\n{block}\npwd >{here}\necho 'well done'",
            here = here.display()
        );
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &shell]).env_clear().envs(self.environment());
        let ran = command.output().unwrap();
        let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        assert!(ran.status.success(), "docs/{}.md: {block}\n{said}", self.name);
        said
    }

    /// Nothing of it was passed over.
    fn ends(&self) {
        assert_eq!(self.left, [], "docs/{}.md", self.name);
    }
}

fn starts_a_server(block: &str) -> bool {
    block.trim_start().starts_with("bascule serve")
}

/// Every block marked `sh`, with the heading it is under.
fn blocks(text: &str) -> Vec<(String, String)> {
    let (mut heading, mut block, mut found) = (String::new(), None::<String>, Vec::new());
    for line in text.lines() {
        match (&mut block, line) {
            (Some(_), "```") => found.extend(block.take().map(|block| (heading.clone(), block))),
            (Some(block), line) => *block += &format!("{line}\n"),
            (None, "```sh") => block = Some(String::new()),
            (None, line) if line.starts_with("## ") => heading = line["## ".len()..].to_owned(),
            (None, _) => {}
        }
    }
    assert_eq!(block, None, "a block has no end");
    found
}

#[test]
fn a_block_is_what_is_between_its_fences() {
    let text = "# A\n## B\nx\n```sh\na\n  b\n```\n```toml\nc\n```\n## D\n```sh\ne\n```\n";
    let found = [("B", "a\n  b\n"), ("D", "e\n")].map(|(heading, block)| (heading.to_owned(), block.to_owned()));
    assert_eq!(blocks(text), found);
}
