//! The file that is asked for, and those it includes: each read once, laid over one another.

use std::path::{Path, PathBuf};

use super::{sections, tree};
use crate::policy::document::Node;
use crate::policy::located::{Complaints, Place};

/// Reads a file and what it includes. `files` are those that were read, also those that could not be.
pub(super) fn read_with_includes(path: &Path, files: &mut Vec<PathBuf>, complaints: &mut Complaints) -> Option<Node> {
    let mut root = read_file(path, files, complaints)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for (glob, at) in sections::includes(&root, complaints) {
        let included = match tree::included(folder, &glob) {
            Ok(included) => included,
            Err(advice) => {
                complaints.add(&at, format!("`{glob}` cannot be included"), advice);
                continue;
            }
        };
        for file in included {
            if !file.exists() {
                complaints.add(&at, format!("`{glob}` is not there"), "correct the name, or remove it");
                continue;
            }
            let Some(more) = read_file(&file, files, complaints) else { continue };
            if let Some((key, _)) = sections::entry(&more, "include") {
                complaints.add(&key.at, "an included file cannot include", "name the file in the first one");
            }
            tree::join(&mut root, sections::without(more, &["include", "version"], complaints), complaints);
        }
    }
    Some(root)
}

fn read_file(path: &Path, files: &mut Vec<PathBuf>, complaints: &mut Complaints) -> Option<Node> {
    files.push(path.to_owned());
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => tree::read_toml(&name, &text, complaints),
        Err(error) => {
            complaints.add(&Place::whole(&name), format!("the file cannot be read: {error}"), "name a readable file");
            None
        }
    }
}
