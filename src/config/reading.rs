//! What every section is read with: a key's address, path or secret, and the tables of a section.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::address::base_url;
use super::environ::Environ;
use super::secret::Secret;
use crate::ids::WordError;
use crate::policy::block::{Block, Keys, map, named};
use crate::policy::document::{Node, Value};
use crate::policy::located::{Complaints, Place};

/// The keys of a secret.
const SECRET_KEYS: Keys = Keys { known: &["env", "file"], later: &[] };

/// What every section reads with.
pub(super) struct Reading<'r> {
    pub(super) environ: &'r Environ,
    /// Of the first file: what is not said is as if it stood there.
    pub(super) folder: &'r Path,
    pub(super) complaints: &'r mut Complaints,
}

/// A key's address without a slash at its end. One with a password in it is not shown again.
pub(super) fn url(block: &Block<'_>, key: &str, complaints: &mut Complaints) -> Option<String> {
    let (text, at) = block.text(key, complaints)?;
    match base_url(text) {
        Ok(url) => Some(url),
        Err(fault) => {
            let at = if text.contains('@') { at.without_column() } else { at.clone() };
            complaints.add(&at, format!("`{key}` is no address: {fault}"), "write `https://host`");
            None
        }
    }
}

/// A key's path. Relative ones are from the folder of the file that says it; in a variable, from the working directory.
pub(super) fn path(block: &Block<'_>, key: &str, complaints: &mut Complaints) -> Option<PathBuf> {
    let (text, at) = block.text(key, complaints)?;
    Some(from_file(at, text))
}

fn from_file(at: &Place, text: &str) -> PathBuf {
    let text = text.strip_prefix("./").unwrap_or(text);
    let folder = if at.line == 0 { None } else { Path::new(at.file.as_ref()).parent() };
    folder.map_or_else(|| text.into(), |folder| folder.join(text))
}

/// Reads `{ env = … }` or `{ file = … }`. A secret written in the file itself is refused, and its line not shown.
pub(super) fn secret(node: &Node, key: &str, reading: &mut Reading<'_>) -> Option<Secret> {
    let Value::Map(_) = &node.value else {
        let problem = format!("`{key}` is a secret and must not be written out");
        let advice = "write `{ env = \"NAME\" }` or `{ file = \"/path\" }`; if it was real, change it";
        reading.complaints.add(&node.at.without_column(), problem, advice);
        return None;
    };
    let block = Block::open(node, &format!("in `{key}`"), SECRET_KEYS, reading.complaints)?;
    let variable = block.text("env", reading.complaints);
    let file = block.text("file", reading.complaints);
    match (variable, file) {
        (Some((variable, _)), None) => {
            let value = reading.environ.get(variable).map(Into::into);
            Some(Secret::Env { variable: variable.to_owned(), value })
        }
        (None, Some((file, at))) => Some(Secret::File(from_file(at, file))),
        (Some(_), Some(_)) => {
            reading.complaints.add(block.at, format!("`{key}` has both `env` and `file`"), "keep one of them");
            None
        }
        (None, None) => {
            let advice = "write `{ env = \"NAME\" }` or `{ file = \"/path\" }`";
            reading.complaints.add(block.at, format!("`{key}` does not say where the secret is"), advice);
            None
        }
    }
}

/// The tables of a section that has one for each name.
pub(super) fn tables<'n, N: FromStr<Err = WordError>>(
    node: Option<&'n Node>,
    section: &str,
    complaints: &mut Complaints,
) -> Vec<(N, &'n Node)> {
    let Some(node) = node else { return Vec::new() };
    let Some(entries) = map(node, &format!("of `[{section}.NAME]` tables"), complaints) else { return Vec::new() };
    let mut found = Vec::new();
    for (key, node) in named(entries) {
        match key.name.parse() {
            Ok(name) => found.push((name, node)),
            Err(error) => complaints.add(&key.at, WordError::to_string(&error), "choose another name"),
        }
    }
    found
}
