//! Rendering: from a folder of a repository to the manifests it gives, in a box.
//!
//! ```text
//! Files ──closure──▶ Closure (what would be read, and its hash) ──render──▶ Rendered (documents)
//!                    refusals happen here, before anything runs     the box: walls.rs, sandbox.rs
//! ```
//!
//! A renderer is given the files its [`Closure`] names, written to an empty folder, and nothing else of the repository:
//! what is not there cannot be read. So what a render read is known before it runs, the same content needs no second
//! render, and a file that is not in the closure changes nothing.
//!
//! Which renderer: a kustomization file makes it kustomize, a `Chart.yaml` helm, anything else plain YAML and JSON. Most
//! overlays need no process: `overlay/` renders what it is sure of, and kustomize the rest.
//!
//! Deliberately absent: fetching anything. Remote bases and charts, plugins, KRM functions and symbolic links are
//! refused by name; a chart of a registry comes from whoever fetched it (`remote.rs`). Policies are asked in the same box (`judge.rs`). There is no fallback that runs a renderer on a checkout.

mod archive;
mod capabilities;
mod chart;
mod closure;
mod error;
mod files;
mod judge;
mod kustomize;
mod limits;
mod lookups;
mod overlay;
mod paths;
mod plain;
mod readers;
mod remembered;
mod remote;
mod renderer;
mod sandbox;
mod steady;
mod tools;
mod unseal;
mod walls;
mod words;
mod yaml;

pub use capabilities::Capabilities;
pub use closure::{Closure, InputHash, KUSTOMIZATIONS};
pub use error::{Blame, RenderError};
pub use files::{Entry, Files, FilesError};
pub use judge::{matter, remarks};
pub use limits::Limits;
pub use readers::Readers;
pub use remote::{Remote, WithChart};
pub use renderer::{RenderInput, Rendered, Renderer};
pub use tools::{Programs, Tool};
pub use unseal::{AgeKeys, Unsealer};
pub use walls::{Wall, Walls};
