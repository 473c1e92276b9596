//! `bascule init`.

use std::path::PathBuf;

/// Looks for kustomize overlays, charts and folders of plain YAML, and writes `.bascule.yaml` and `bascule.toml` for
/// them. Files that are there are never overwritten.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// The repository.
    #[arg(default_value = ".")]
    pub dir: PathBuf,
}
