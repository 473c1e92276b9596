//! The schemas of clusters that were asked once, in the person's cache: what `bascule check --live` keeps for `bascule diff`,
//! which asks no cluster.

use std::io;
use std::path::{Path, PathBuf};

use crate::ids::ClusterName;
use crate::manifest::ServedSchemas;

/// The largest file that is read: what a cluster with hundreds of definitions tells.
const LARGEST: u64 = 256 << 20;

/// Where they are kept: below `XDG_CACHE_HOME`, else `HOME`; nowhere without either.
pub fn folder<'e>(environ: impl Fn(&str) -> Option<&'e str>) -> Option<PathBuf> {
    let absolute = |name: &str| environ(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(cache.join("bascule").join("schemas"))
}

/// Keeps those of a cluster, by its name.
///
/// # Errors
/// The file system's own.
pub fn keep(folder: &Path, cluster: &ClusterName, schemas: &ServedSchemas) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    // Whole or not at all, also for who reads meanwhile.
    let file = tempfile::NamedTempFile::new_in(folder)?;
    let mut writer = io::BufWriter::new(&file);
    serde_json::to_writer(&mut writer, schemas)?;
    io::Write::flush(&mut writer)?;
    drop(writer);
    file.persist(at(folder, cluster))?;
    Ok(())
}

/// Those of a cluster; none when it was never asked, or what is kept is not readable any more.
pub fn read(folder: &Path, cluster: &ClusterName) -> Option<ServedSchemas> {
    let file = at(folder, cluster);
    let is_small = std::fs::metadata(&file).ok()?.len() <= LARGEST;
    serde_json::from_slice(&std::fs::read(file).ok().filter(|_| is_small)?).ok()
}

fn at(folder: &Path, cluster: &ClusterName) -> PathBuf {
    folder.join(format!("{cluster}.json"))
}
