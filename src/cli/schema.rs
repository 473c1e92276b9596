//! `bascule schema`.

/// A JSON Schema gives completion and checks in editors: put
/// `# yaml-language-server: $schema=…` at the top of `.bascule.yaml`.
#[derive(Debug, clap::Args)]
pub struct Schema {
    /// Which file.
    pub of: Of,
}

/// The files that have a schema.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Of {
    /// `bascule.toml`.
    Server,
    /// `.bascule.yaml`.
    Repository,
}
