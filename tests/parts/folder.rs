//! A temporary folder per part.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Once};

use anyhow::{Context, Result};
use rustix::fs::{StatVfs, StatVfsMountFlags, statvfs};
use tempfile::TempDir;

const PREFIX: &str = "bascule-part-";
const LOCK: &str = "owner.lock";

/// A folder that is deleted with this value. Where we are killed before that, the next run deletes it: it can tell by
/// the lock, which dies with its owner.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: TempDir,
    _lock: File,
}

impl Folder {
    /// A new folder, which only this user can enter.
    pub(crate) fn new(part: &str) -> Result<Self> {
        static HOME: LazyLock<PathBuf> = LazyLock::new(home);
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| [&*HOME, &std::env::temp_dir()].into_iter().for_each(|place| sweep(place)));
        let folder = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{part}-"))
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&*HOME)
            .context("no temporary folder can be made")?;
        let lock = File::create(folder.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self { folder, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A folder within.
    pub(super) fn subfolder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(path)
    }

    /// A file within that only this user can read.
    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::write(&path, content).with_context(|| format!("{} cannot be written", path.display()))?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(path)
    }

    /// Lets others pass through to the subfolders that are theirs, without seeing what there is.
    pub(super) fn let_others_through(&self) -> Result<()> {
        Ok(fs::set_permissions(self.path(), Permissions::from_mode(0o711))?)
    }
}

/// In memory, where the machine has a place for that with room: databases come and go by the hundreds, each of as many
/// files, and a disk's file system takes longer for each the more were deleted just now. Else, or when somebody named
/// another place, where temporary files go.
fn home() -> PathBuf {
    /// Several times what all parts of a run need.
    const ROOM: u64 = 4 << 30;
    let (usual, memory) = (std::env::temp_dir(), Path::new("/dev/shm"));
    let will_do = |place: StatVfs| {
        // Gitea has hooks that are run from there.
        !place.f_flag.contains(StatVfsMountFlags::NOEXEC) && place.f_bavail.saturating_mul(place.f_frsize) >= ROOM
    };
    match usual == Path::new("/tmp") && statvfs(memory).is_ok_and(will_do) {
        true => memory.to_owned(),
        false => usual,
    }
}

/// Deletes what killed processes of this user left behind. Whatever cannot be deleted is the next run's.
pub(super) fn sweep(folder: &Path) {
    let me = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == me);
        // A folder without its lock is one that is being made just now.
        if ours
            && let Ok(lock) = File::open(entry.path().join(LOCK))
            && lock.try_lock().is_ok()
        {
            let _ = remove(&entry.path());
        }
    }
}

/// The lock last: as long as anything is left, the next run can tell that nobody owns it.
fn remove(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false if entry.file_name() == LOCK => {}
            false => fs::remove_file(entry.path())?,
        }
    }
    fs::remove_dir_all(folder)
}
