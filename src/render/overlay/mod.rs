//! kustomize's common core, without a process: what most overlays are made of, rendered as `kustomize build` would.
//!
//! ```text
//! the closure's files ──build──▶ the same objects as the tool's, or why this is outside the core
//! ```
//!
//! It is judged by the tool: `tests/it/overlay.rs` renders a corpus, mutants of it and random kustomizations by both, and
//! asks for equal objects. What is not known for sure (a key, a patch's directive, a value that readers of YAML take
//! for different things, anything kustomize would refuse) is outside, and the tool renders it; no message of the tool is
//! imitated. Consent is bound to digests, so a wrong object here would be the worst fault of all.
//!
//! It runs in the server's process, on what anybody wrote: pure, bounded by [`budget`], and never following a name
//! out of the files it is given. Each step is what kustomize 5.8.2 does, in its order; the comments name its oddities.
//!
//! | file | what |
//! |---|---|
//! | `text.rs`, `written.rs` | YAML where all readers agree; the kustomization file |
//! | `object.rs` | an object, and who it was |
//! | `build.rs` | one kustomization after the other |
//! | `facts.rs`, `fields.rs` | which fields hold what, and setting them |
//! | `generate.rs`, `images.rs` | ConfigMaps, Secrets, their hashes; images |
//! | `patches.rs`, `select.rs`, `merge.rs`, `operations.rs` | which object a patch is for; strategic merge; JSON patches |
//! | `references.rs` | names of other objects, once those have changed |

mod budget;
mod build;
mod facts;
mod fields;
mod generate;
mod images;
mod merge;
mod object;
mod operations;
mod patches;
mod references;
mod select;
mod text;
mod written;

#[cfg(test)]
mod judged;
#[cfg(test)]
mod random;

use std::fmt;

use serde_json::Value;

use crate::manifest::canonical_json;

/// Goes into the hash of what a render depends on: raised whenever the core gives other objects than before, or takes
/// on more.
pub(super) const VERSION: u32 = 1;
/// The version of kustomize that the core is judged by. Beside another one it is not used.
pub(super) const JUDGE: &str = "5.8.2";

/// Why a kustomization is not rendered here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outside(String);

impl Outside {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Outside {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

fn outside<T>(why: impl Into<String>) -> Result<T, Outside> {
    Err(Outside::new(why))
}

/// What `kustomize build` gives for a folder, each object one line of JSON after a separator.
///
/// # Errors
/// [`Outside`] the core, as is what comes to more than `most` bytes: the tool's walls say so.
pub(super) fn build(files: &[(String, Vec<u8>)], folder: &str, most: u64) -> Result<Vec<u8>, Outside> {
    let mut text = Vec::new();
    for object in build::build(files, folder)? {
        text.extend_from_slice(b"---\n");
        text.extend_from_slice(&canonical_json(&Value::Object(object.json)));
        text.push(b'\n');
        if text.len() as u64 > most {
            return outside("what it renders to is larger than a renderer may print");
        }
    }
    Ok(text)
}
