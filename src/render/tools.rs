//! `helm` and `kustomize`: found, asked for their versions, and tried behind walls.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::sandbox::Sandbox;
use super::walls::{LEVELS, Level};
use super::{Limits, RenderError, Walls};

/// Where the programs are. What is `None` is looked for in `search`.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    /// `helm`, 3.14 or newer.
    pub helm: Option<PathBuf>,
    /// `kustomize`, 5 or newer.
    pub kustomize: Option<PathBuf>,
    /// `bascule`, which judges policies in a process of its own; what runs now when it is that.
    pub judge: Option<PathBuf>,
    /// Folders, as in `PATH`.
    pub search: Option<OsString>,
}

/// A renderer's program.
#[derive(Debug, Clone)]
pub struct Tool {
    pub(super) name: &'static str,
    pub(super) path: PathBuf,
    pub(super) version: String,
    pub(super) level: Level,
}

impl Tool {
    /// Its name and version, as it goes into footers and hashes.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// Which walls stand around it.
    pub fn walls(&self) -> Walls {
        self.level.walls()
    }
}

/// A program we know how to use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) version: &'static [&'static str],
    pub(super) least: (u32, u32),
}

/// Before 3.14 `tpl` took quadratic time.
pub(super) const HELM: Known =
    Known { name: "helm", version: &["version", "--template", "{{.Version}}"], least: (3, 14) };
pub(super) const KUSTOMIZE: Known = Known { name: "kustomize", version: &["version"], least: (5, 0) };

/// Finds a program and the best walls it runs behind.
///
/// # Errors
/// What is missing, fit for whoever runs this machine.
pub(super) async fn find(
    known: Known,
    given: Option<&Path>,
    search: Option<&OsString>,
    scratch: &Path,
    limits: &Limits,
) -> Result<Tool, String> {
    let Known { name, least, .. } = known;
    let path = match given {
        Some(path) => path.to_owned(),
        None => search
            .into_iter()
            .flat_map(std::env::split_paths)
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
            .ok_or_else(|| format!("{name} {}.{} or newer is needed, and is not on PATH", least.0, least.1))?,
    };
    let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
    let args: Vec<String> = known.version.iter().map(|word| (*word).to_owned()).collect();
    let mut said = String::new();
    for level in LEVELS {
        let run = async {
            let sandbox = Sandbox::new(scratch)?;
            sandbox.run(level, (name, &path), &args, limits).await
        };
        match run.await {
            Ok(ran) if ran.ok => {
                let text = String::from_utf8_lossy(&ran.out).into_owned();
                return match version(&text) {
                    Some((numbers, version)) if numbers >= least => Ok(Tool { name, path, version, level }),
                    Some((_, version)) => Err(format!(
                        "{name} {version} ({}) is too old: {}.{} or newer is needed",
                        path.display(),
                        least.0,
                        least.1
                    )),
                    None => Err(format!("{} does not tell its version", path.display())),
                };
            }
            Ok(ran) => said = ran.err,
            Err(RenderError::Machine(why)) => said = why,
            Err(other) => said = other.to_string(),
        }
    }
    Err(format!("{} cannot be run: {}", path.display(), said.trim().chars().take(300).collect::<String>()))
}

/// The first thing that looks like a version: `v4.3.1`, `{kustomize/v5.0.0 …}`, `v3.14.0+g3fc9f4b`.
fn version(text: &str) -> Option<((u32, u32), String)> {
    let word = |word: &str| {
        let word = word.trim_start_matches('v');
        let mut numbers = word.split('.');
        let major: u32 = numbers.next()?.parse().ok()?;
        let minor: u32 = numbers.next()?.parse().ok()?;
        Some(((major, minor), word.to_owned()))
    };
    text.split(|c: char| c.is_whitespace() || "{}/\"'".contains(c)).find_map(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_each_program_prints_them() {
        assert_eq!(version("v4.3.1\n").unwrap().1, "4.3.1");
        assert_eq!(version("v3.14.0+g3fc9f4b").unwrap().0, (3, 14));
        assert_eq!(version("{kustomize/v4.5.7  2022-08-02T16:35:54Z  }").unwrap().0, (4, 5));
        assert_eq!(version("v5.8.2").unwrap(), ((5, 8), "5.8.2".to_owned()));
        assert_eq!(version("(devel)"), None);
    }
}
