//! `bascule diff`.

use std::path::PathBuf;

/// Shows what a branch, a commit or uncommitted work would change in each environment, object by object: the preview a
/// pull request would get. Needs no server and no cluster, writes nothing.
///
/// Ends with 0 when nothing changes, 1 when something does, 2 when it cannot be told.
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// What to compare with, in Git's words; without it, where HEAD left the default branch.
    pub base: Option<String>,
    /// What to compare; without it, the working tree with what is not committed.
    pub head: Option<String>,
    /// Only environments of this name; `*` stands for any characters. May be given again.
    #[arg(long = "env", value_name = "ENV")]
    pub environments: Vec<String>,
    /// For a person, a program, or a comment.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// When to use colours; `auto` is a terminal without `NO_COLOR`.
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    pub color: Colour,
    /// A folder of the repository.
    #[arg(short = 'C', long = "repository", value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// Ask the cluster, too: not in this version.
    #[arg(long, hide = true)]
    pub live: bool,
}

/// How a preview is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Lines for a terminal.
    Text,
    /// One document, for programs.
    Json,
    /// The comment a pull request would get.
    Markdown,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// When somebody looks.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
