//! The account that PostgreSQL runs as when we are root, since it refuses to be.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use anyhow::{Context, Result};

/// A user of this machine who is not root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// Whom to become: nobody else unless we are root.
    pub(super) fn unless_ordinary() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let people = fs::read_to_string("/etc/passwd").context("/etc/passwd cannot be read")?;
        let account = find(&people, "postgres").or_else(|| find(&people, "nobody"));
        account.map(Some).context("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")
    }

    /// Gives a file or folder to this account.
    pub(super) fn owns(self, path: &Path) -> Result<()> {
        chown(path, Some(self.user), Some(self.group))
            .with_context(|| format!("{} cannot be given away", path.display()))
    }

    /// The arguments of `setpriv` that make a process this account's.
    pub(super) fn setpriv_arguments(self) -> [String; 3] {
        [format!("--reuid={}", self.user), format!("--regid={}", self.group), "--clear-groups".to_owned()]
    }
}

pub(super) fn find(people: &str, name: &str) -> Option<Account> {
    let fields: Vec<_> = people.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|f| f[0] == name)?;
    Some(Account { user: fields.get(2)?.parse().ok()?, group: fields.get(3)?.parse().ok()? })
}
