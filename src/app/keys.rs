//! The installation's key: read, or made at the first start.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use secrecy::ExposeSecret as _;

use crate::config::Secret;

/// The file a key is in: keys are made, so they cannot be in the environment alone.
pub(super) fn file(key: &Secret) -> anyhow::Result<&Path> {
    key.file().context("this key has to be a `{ file = … }`: it is made at first start, and kept")
}

/// The server's key: 32 bytes, in hex in its file.
pub(super) fn server_key(key: &Secret) -> anyhow::Result<[u8; 32]> {
    if let Some(path) = key.file().filter(|path| !path.exists()) {
        make(path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    let text = key.read()?;
    let mut bytes = [0; 32];
    if hex::decode_to_slice(text.expose_secret().trim(), &mut bytes).is_err() {
        bail!("`server.key` is not 64 hexadecimal digits: restore it from the backup, since stored sets depend on it");
    }
    Ok(bytes)
}

fn make(path: &Path) -> anyhow::Result<()> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gave no randomness"))?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", hex::encode(bytes))?;
    file.sync_all()?;
    Ok(())
}
