//! The installation's key: read, or made at the first start.

use std::path::Path;

use anyhow::{Context as _, bail};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use secrecy::ExposeSecret as _;

use crate::audit::checkpoint::write_private;
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
    Ok(write_private(path, format!("{}\n", hex::encode(bytes)).as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_whole_and_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/server.key");
        make(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(hex::decode(text.trim()).unwrap().len(), 32);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(make(&path).is_err(), "a key that is there is never replaced");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        let beside = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(beside, 1, "nothing half-written is left beside it");
    }
}
