//! What is wrong with a manifest: where, which object, and what to do. All are for a person, and all are final: the
//! same commit gives the same error until someone changes it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestError {
    /// File of the repository, or the template a chart names.
    pub file: Option<String>,
    /// Line in what was read, from 1; `None` when it concerns no single place.
    pub line: Option<u64>,
    /// The object, as far as it could be named.
    pub object: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(out, "{file}:{line}: ")?,
            (Some(file), None) => write!(out, "{file}: ")?,
            (None, _) => {}
        }
        if let Some(object) = &self.object {
            write!(out, "{object}: ")?;
        }
        self.problem.fmt(out)
    }
}

impl std::error::Error for ManifestError {}

/// What is wrong; `Display` says it with what to do. Values never appear, only names and places: a value may be secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", content = "detail", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Problem {
    /// Not UTF-8.
    #[error("is not UTF-8 text")]
    NotText,
    /// Not YAML, or over a budget of the parser; the parser's words.
    #[error("cannot be read as YAML: {0}")]
    NotYaml(String),
    /// More bytes than a render may have.
    #[error("the rendered manifests have more than {0} bytes: split the environment")]
    TooManyBytes(usize),
    /// More objects than a render may have.
    #[error("the rendered manifests hold more than {0} objects: split the environment")]
    TooManyObjects(usize),
    /// A document that is not a mapping.
    #[error("is not a Kubernetes object: a mapping with apiVersion, kind and metadata was expected")]
    NotAnObject,
    /// A field of identity is missing, of another type or empty.
    #[error("has no {0}: every object needs one")]
    Missing(String),
    /// A field of identity has characters Kubernetes does not take.
    #[error("its {field} is not one Kubernetes takes: {rule}")]
    BadName {
        /// Which field.
        field: String,
        /// What is allowed.
        rule: String,
    },
    /// `generateName`.
    #[error("uses generateName: an object without a fixed name would be created anew by every sync; give it a name")]
    GenerateName,
    /// Nobody knows the kind.
    #[error(
        "{0} is neither built in, nor known to the cluster, nor defined by a CustomResourceDefinition of this environment: \
         install its definition first, or correct apiVersion and kind"
    )]
    UnknownKind(String),
    /// Outside every grant; the judge's words.
    #[error("is outside what the server grants this repository: {0}")]
    NotGranted(String),
    /// Something was rendered, and none of it is an object that is synced: only hooks, or a list of nothing.
    #[error("nothing of what is rendered is synced: an environment that is to be empty is taken out of .bascule.yaml")]
    NothingToSync,
    /// No grant at all.
    #[error("no grant of the server covers this environment")]
    NoGrant,
    /// The same object twice.
    #[error("is rendered twice, here and in {0}: one environment holds an object once")]
    Twice(String),
    /// A number or boolean where Kubernetes takes text alone; its place.
    #[error("its {0} is not text: quote it")]
    Unquoted(String),
    /// Two items of a list with the same name; their place.
    #[error("its {0} is listed twice: a server refuses that")]
    ListedTwice(String),
    /// A Secret whose values the server would refuse.
    #[error("{0}")]
    BadSecret(String),
    /// One of our own annotations or labels.
    #[error("{0}")]
    OurMark(String),
    /// Sealed where it may not be, or in a way that is not opened.
    #[error("{0}")]
    Sealed(String),
}
