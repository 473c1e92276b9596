//! Signed heads of the chain, kept outside the database: a file of one JSON object a line, only ever appended to.

use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{self, Ed25519KeyPair, KeyPair as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A checkpoint is at most this many entries behind the log …
pub const ENTRIES: i64 = 1_000;
/// … or this many seconds.
pub const SECONDS: u64 = 60;

/// The file of checkpoints within its folder.
const FILE: &str = "checkpoints.jsonl";
/// The public key beside it, in hex: what `verify --offline` needs.
const PUBLIC_KEY: &str = "audit.pub";

/// One signed head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// How many entries.
    pub size: i64,
    /// The hash of the last of them; through the chain, the root of all.
    #[serde(with = "hex::serde")]
    pub hash: Vec<u8>,
    /// When it was signed.
    pub at: Timestamp,
    /// Ed25519 over size, hash and time.
    #[serde(with = "hex::serde")]
    pub signature: Vec<u8>,
}

impl Checkpoint {
    /// Whether `public_key` signed it.
    pub fn is_signed_by(&self, public_key: &[u8]) -> bool {
        let message = message(self.size, &self.hash, self.at);
        signature::UnparsedPublicKey::new(&signature::ED25519, public_key).verify(&message, &self.signature).is_ok()
    }
}

fn message(size: i64, hash: &[u8], at: Timestamp) -> Vec<u8> {
    format!("bascule checkpoint 1\n{size}\n{}\n{}\n", hex::encode(hash), at.as_microsecond()).into_bytes()
}

/// Why checkpoints could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A line of the file is not a checkpoint.
    #[error("{}:{line} is not a checkpoint", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// The key is not an Ed25519 key.
    #[error("{what}")]
    Key {
        /// Which, and what to do.
        what: String,
    },
}

/// Holds the signing key, which is never in the database.
pub struct Signer(Ed25519KeyPair);

impl std::fmt::Debug for Signer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Signer(…)")
    }
}

impl Signer {
    /// A new key in memory.
    ///
    /// # Errors
    /// The random source's.
    pub fn generate() -> Result<Self, CheckpointError> {
        let key =
            Ed25519KeyPair::generate().map_err(|_| no_key("the system gave no randomness for a new audit key"))?;
        Ok(Self(key))
    }

    /// Reads the key file, or makes it (readable by its owner alone) at first start. It is text, PKCS#8 in hex, because
    /// whoever looks whether all secrets are there reads it as every other one.
    ///
    /// # Errors
    /// The file's, or that it holds something else.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::from_hex(text.trim()).ok_or_else(|| {
                no_key(&format!(
                    "{} is not an Ed25519 key (PKCS#8 in hex); restore it from the backup: checkpoints signed with it cannot be made again",
                    path.display()
                ))
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let signer = Self::generate()?;
                let document = signer.0.to_pkcs8v1().map_err(|_| no_key("the new audit key cannot be written down"))?;
                write_private(path, format!("{}\n", hex::encode(document.as_ref())).as_bytes())
                    .map_err(|source| CheckpointError::File { what: "write", path: path.to_owned(), source })?;
                Ok(signer)
            }
            Err(source) => Err(CheckpointError::File { what: "read", path: path.to_owned(), source }),
        }
    }

    fn from_hex(text: &str) -> Option<Self> {
        Ed25519KeyPair::from_pkcs8(&hex::decode(text).ok()?).ok().map(Self)
    }

    /// The public half.
    pub fn public_key(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }

    /// Signs a head.
    pub fn sign(&self, size: i64, hash: &[u8], at: Timestamp) -> Checkpoint {
        let signature = self.0.sign(&message(size, hash, at)).as_ref().to_vec();
        Checkpoint { size, hash: hash.to_vec(), at, signature }
    }
}

fn no_key(what: &str) -> CheckpointError {
    CheckpointError::Key { what: what.to_owned() }
}

/// Writes a key to a new file that only its owner can read: whole, or not at all, since half a key would keep every
/// later start from happening.
///
/// # Errors
/// The file system's; also when there is such a file.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // Readable by nobody else from the beginning: that is how temporary files are made.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    std::fs::File::open(folder)?.sync_all()
}

/// The folder of checkpoints.
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Opens the folder, making it when absent, and leaves the public key in it.
    ///
    /// # Errors
    /// The folder's.
    pub fn open(folder: &Path, signer: &Signer) -> Result<Self, CheckpointError> {
        let at = |what: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source| CheckpointError::File { what, path, source }
        };
        std::fs::create_dir_all(folder).map_err(at("make", folder))?;
        let public = folder.join(PUBLIC_KEY);
        let own = hex::encode(signer.public_key());
        match std::fs::read_to_string(&public) {
            Ok(known) if known.trim() == own => {}
            // With another key nothing of what is there could be told from a forgery, nor a restored database be noticed.
            Ok(_) => {
                return Err(no_key(&format!(
                    "the heads in {} were signed with another key than `audit.key` holds: put that key back; if it is lost, \
                     `bascule restored declare`, and move this folder away",
                    folder.display()
                )));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                std::fs::write(&public, own + "\n").map_err(at("write", &public))?;
            }
            Err(source) => return Err(at("read", &public)(source)),
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Appends a signed head, and comes back when it is on the disk.
    ///
    /// # Errors
    /// The file's.
    pub(super) fn append(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let path = self.folder.join(FILE);
        let mut line = serde_json::json!(checkpoint).to_string();
        line.push('\n');
        let mut append = || {
            let mut file = std::fs::OpenOptions::new().create(true).read(true).append(true).open(&path)?;
            if is_torn(&mut file)? {
                line.insert(0, '\n');
            }
            file.write_all(line.as_bytes())?;
            file.sync_all()
        };
        append().map_err(|source| CheckpointError::File { what: "append to", path: path.clone(), source })
    }

    /// The head of the most entries that `public_key` signed.
    ///
    /// # Errors
    /// The files'.
    pub(super) fn newest(&self, public_key: &[u8]) -> Result<Option<Checkpoint>, CheckpointError> {
        let (all, _) = Self::read(&self.folder)?;
        Ok(all.into_iter().filter(|one| one.is_signed_by(public_key)).max_by_key(|one| (one.size, one.at)))
    }

    /// Moves the heads into a file beside, named by the entries of the newest; where they are then. None when there are none.
    ///
    /// # Errors
    /// The file's.
    pub(super) fn set_aside(&self, signed: i64) -> Result<Option<PathBuf>, CheckpointError> {
        let path = self.folder.join(FILE);
        let free = |turn: &usize| {
            let turn = if *turn == 0 { String::new() } else { format!("-{turn}") };
            self.folder.join(format!("checkpoints-lost-{signed}{turn}.jsonl"))
        };
        let Some(aside) = (0..).map(|turn| free(&turn)).find(|aside| !aside.exists()) else { return Ok(None) };
        match std::fs::rename(&path, &aside) {
            Ok(()) => Ok(Some(aside)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(CheckpointError::File { what: "move", path, source }),
        }
    }

    /// All checkpoints and the public key in a folder.
    ///
    /// # Errors
    /// The files', or a line that is no checkpoint. One that breaks off was being written when the machine stopped, and is
    /// passed over.
    pub fn read(folder: &Path) -> Result<(Vec<Checkpoint>, Vec<u8>), CheckpointError> {
        let public = folder.join(PUBLIC_KEY);
        let key = std::fs::read_to_string(&public).map_err(|source| CheckpointError::File {
            what: "read",
            path: public.clone(),
            source,
        })?;
        let key =
            hex::decode(key.trim()).map_err(|_| no_key(&format!("{} is not a public key in hex", public.display())))?;
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(CheckpointError::File { what: "read", path, source }),
        };
        let mut checkpoints = Vec::new();
        for (at, line) in text.lines().enumerate() {
            match serde_json::from_str(line) {
                Ok(checkpoint) => checkpoints.push(checkpoint),
                Err(error) if error.is_eof() => {}
                Err(_) => return Err(CheckpointError::Line { path, line: at + 1 }),
            }
        }
        Ok((checkpoints, key))
    }
}

/// Whether the last line has no end: the machine stopped while it was written.
fn is_torn(file: &mut std::fs::File) -> std::io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(std::io::SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
