//! Whom PostgreSQL runs as: ourselves, or, since it refuses root, an ordinary user when we are root.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

use tokio::process::Command;

use super::{EmbeddedError, in_file};

/// Whom PostgreSQL runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Account {
    /// As we do.
    Ours,
    /// We are root and it must not be.
    Other {
        user: u32,
        group: u32,
        /// A folder above the data is closed to that user, as /root is.
        closed_above: bool,
    },
}

impl Account {
    /// For the data in `home`, whose `cluster` may be there already: then it stays its owner's.
    pub(super) fn of_postgres(home: &Path, cluster: &Path) -> Result<Self, EmbeddedError> {
        let owner = match fs::metadata(cluster) {
            Ok(found) => Some((found.uid(), found.gid())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(in_file(cluster)(error)),
        };
        let us = rustix::process::geteuid();
        if !us.is_root() {
            return match owner {
                Some((owner, _)) if owner != us.as_raw() => {
                    Err(EmbeddedError::OtherUser { folder: cluster.to_owned(), owner })
                }
                _ => Ok(Self::Ours),
            };
        }
        let (user, group) = match owner {
            Some((0, _)) => return Err(EmbeddedError::OtherUser { folder: cluster.to_owned(), owner: 0 }),
            Some(owner) => owner,
            None => {
                let people = Path::new("/etc/passwd");
                let people = fs::read_to_string(people).map_err(in_file(people))?;
                // Debian's package makes `postgres`; every system has `nobody`, whose number is this by custom.
                find(&people, "postgres").or_else(|| find(&people, "nobody")).unwrap_or((65_534, 65_534))
            }
        };
        let closed_above = home.ancestors().skip(1).any(|folder| !may_enter(folder, user, group));
        Ok(Self::Other { user, group, closed_above })
    }

    /// Whether it is ourselves.
    pub(super) fn is_ours(&self) -> bool {
        *self == Self::Ours
    }

    /// Gives a file or folder to it.
    pub(super) fn owns(&self, path: &Path) -> Result<(), EmbeddedError> {
        match self {
            Self::Ours => Ok(()),
            Self::Other { user, group, .. } => chown(path, Some(*user), Some(*group)).map_err(in_file(path)),
        }
    }

    /// `program`, as it, with nothing of our environment.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = match self {
            Self::Ours => Command::new(program.as_ref()),
            Self::Other { user, group, closed_above } => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()]);
                if *closed_above {
                    // Nothing of root's but passing through folders that only root may enter, so that the data can
                    // lie where root put it.
                    let only = "-all,+dac_read_search";
                    command.args(["--inh-caps", only, "--ambient-caps", only, "--bounding-set", only]);
                }
                command.arg("--").arg(program.as_ref());
                command
            }
        };
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C");
        command
    }
}

fn find(people: &str, name: &str) -> Option<(u32, u32)> {
    let fields: Vec<_> = people.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|f| f[0] == name)?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

fn may_enter(folder: &Path, user: u32, group: u32) -> bool {
    fs::metadata(folder).is_ok_and(|found| {
        let bit = if found.uid() == user {
            0o100
        } else if found.gid() == group {
            0o010
        } else {
            0o001
        };
        found.mode() & bit != 0
    })
}

/// Sets the permissions of a file or folder of ours.
pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), EmbeddedError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(in_file(path))
}

/// Writes a file that only its owner reads, whole or not at all.
pub(super) fn write_secret(path: &Path, secret: &str) -> Result<(), EmbeddedError> {
    let new = path.with_extension("new");
    let write = || {
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(secret.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(in_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_a_broken_line_is_nobody() {
        let people = "root:x:0:0::/root:/bin/sh\nbroken\npostgres:x:101:104::/:/bin/sh\nodd:x:y:z";
        assert_eq!(find(people, "postgres"), Some((101, 104)));
        assert_eq!(find(people, "broken"), None);
        assert_eq!(find(people, "odd"), None);
        assert_eq!(find(people, "missing"), None);
    }
}
