//! What an apply of an object would find and do: the server's own answer, and nothing is written.

use serde_json::Value;

use crate::ids::ObjectKey;
use crate::manifest::{HashKey, differing};
use crate::sync::{FieldConflict, OWNER_ANNOTATION};

use super::apply::{Onto, Write};
use super::discovery::Resource;
use super::error::ClusterError;
use super::{Cluster, look};

/// Fields that are named where an object differs.
const FIELDS: usize = 20;

/// An object as a sync would send it.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    /// Where.
    pub resource: &'a Resource,
    /// Which.
    pub key: &'a ObjectKey,
    /// As it would be sent, without our marks.
    pub object: &'a Value,
    /// Whose it would become.
    pub owner: &'a str,
}

/// What is there, and what the server says to the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing, and the server would create it.
    Absent,
    /// Not even its namespace, so the server could not check it.
    NoNamespace,
    /// One in which nothing but its owner would change.
    Same,
    /// One that would change in these fields, and nobody holds what would. The fields are not told where nobody may learn
    /// what is there.
    Differs(Vec<String>),
    /// One whose values others hold.
    Conflict(Vec<FieldConflict>),
    /// One that somebody else owns, by its annotation.
    Owned(String),
    /// One on its way out, with what holds it up.
    Deleting(String),
    /// The server would not take it, and why.
    Refused(String),
    /// The server cannot be asked without its being done, and why.
    Unaskable(String),
}

/// How much may be learnt of what is there.
#[derive(Clone, Copy, PartialEq)]
enum Learn {
    Everything,
    /// Neither whether it is the same, nor whether others hold what differs.
    Nothing,
}

impl Learn {
    /// Of a Secret everybody who reads an answer would learn whether somebody guessed what is in there.
    fn of(key: &ObjectKey) -> Self {
        if key.group.is_empty() && key.kind == "Secret" { Self::Nothing } else { Self::Everything }
    }
}

/// Stands for all that a server says to a Secret that is there. Its own words may quote a value, and to hide those that are
/// there among words that the author of a change chose would answer which of them are.
const UNQUOTED: &str = "its words are not shown, since they may tell what is in the Secret that is there";

impl Cluster {
    /// Asks what an apply would do; what the server warns of comes with it. Of a Secret it is only asked whether the server
    /// would take it: what is found, and what is said, is the same whatever values are there.
    ///
    /// # Errors
    /// As every read: what is there could not be told.
    pub async fn foresee(&self, trial: Trial<'_>, hash_key: &HashKey) -> Result<(Found, Vec<String>), ClusterError> {
        let Trial { resource, key, object, owner } = trial;
        let learn = Learn::of(key);
        let live = self.get(resource, key).await?;
        let mut onto = Onto::Nothing;
        if let Some(live) = &live {
            let (_, seen) = look::read(resource, live)?;
            if let Some(other) = seen.owner.filter(|other| other != owner) {
                return Ok((Found::Owned(other), Vec::new()));
            }
            if let Some(how) = seen.deleting {
                return Ok((Found::Deleting(how), Vec::new()));
            }
            if learn == Learn::Nothing && live.get("immutable").and_then(Value::as_bool) == Some(true) {
                let why = "it is immutable, and what is in it is not compared before the merge";
                return Ok((Found::Unaskable(why.to_owned()), Vec::new()));
            }
            onto = Onto::This { uid: seen.uid, resource_version: seen.resource_version };
        }
        let write = Write { resource, key, object, owner, onto: &onto };
        let answer = match learn {
            Learn::Everything => self.try_apply(write, hash_key).await,
            Learn::Nothing => self.try_taking(write, hash_key).await,
        };
        let answer = if learn == Learn::Nothing && live.is_some() { unquoted(answer) } else { answer };
        Ok(match (answer, &live) {
            (Ok((_, warnings)), None) => (Found::Absent, warnings),
            (Ok((_, warnings)), Some(_)) if learn == Learn::Nothing => (Found::Differs(Vec::new()), warnings),
            (Ok((would, warnings)), Some(live)) => {
                let fields = differing(&content(live.clone()), &content(would.object), FIELDS);
                (if fields.is_empty() { Found::Same } else { Found::Differs(fields) }, warnings)
            }
            // Of an object that is not there, only its namespace can be missing.
            (Err(ClusterError::NotFound(_)), None) => (Found::NoNamespace, Vec::new()),
            (Err(ClusterError::Conflict(fields)), _) => (Found::Conflict(fields), Vec::new()),
            (Err(error), _) => (refusal(error)?, Vec::new()),
        })
    }
}

/// An answer without the server's words, whatever they are.
fn unquoted<T>(answer: Result<(T, Vec<String>), ClusterError>) -> Result<(T, Vec<String>), ClusterError> {
    let message = UNQUOTED.to_owned();
    match answer {
        Ok((found, warnings)) if warnings.is_empty() => Ok((found, warnings)),
        Ok((found, _)) => Ok((found, vec![message])),
        // Of these the last words are ours to read: they say nothing of what is in there.
        Err(ClusterError::Refused { status, message: said }) if said.ends_with(NO_DRY_RUN) => {
            Err(ClusterError::Refused { status, message: format!("a webhook {NO_DRY_RUN}") })
        }
        Err(ClusterError::Refused { status, .. }) => Err(ClusterError::Refused { status, message }),
        Err(ClusterError::Busy { status, after, .. }) => Err(ClusterError::Busy { status, message, after }),
        Err(ClusterError::Stale(_)) => Err(ClusterError::Stale(message)),
        Err(ClusterError::NotFound(_)) => Err(ClusterError::NotFound(message)),
        Err(error) => Err(error),
    }
}

/// How a webhook ends that cannot tell a dry run from a write.
const NO_DRY_RUN: &str = "does not support dry run";

/// A no of the server's, or of one of its webhooks that cannot tell a dry run from a write.
fn refusal(error: ClusterError) -> Result<Found, ClusterError> {
    match error {
        ClusterError::Refused { message, .. } if message.ends_with(NO_DRY_RUN) => Ok(Found::Unaskable(message)),
        ClusterError::Refused { message, .. } => Ok(Found::Refused(message)),
        error => Err(error),
    }
}

/// An object without what every write moves: who holds what, its version, and whose it is.
fn content(mut object: Value) -> Value {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return object };
    for moved in ["managedFields", "resourceVersion", "generation"] {
        metadata.remove(moved);
    }
    let marks = metadata.get_mut("annotations").and_then(Value::as_object_mut);
    let empty = marks.is_some_and(|marks| {
        marks.remove(OWNER_ANNOTATION);
        marks.is_empty()
    });
    if empty {
        metadata.remove("annotations");
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_to_a_secret_that_is_there_is_the_same_whatever_it_quotes() {
        let refused = |said: &str| {
            let message = said.to_owned();
            unquoted::<()>(Err(ClusterError::Refused { status: 400, message })).unwrap_err().to_string()
        };
        let [guessed, another] = ["unknown field \"hunter2\"", "unknown field \"hunter3\""].map(refused);
        assert_eq!(guessed, another);
        assert!(!guessed.contains("hunter"), "{guessed}");
        assert_eq!(
            refused("admission webhook \"a\" does not support dry run"),
            "a webhook does not support dry run (400)"
        );
        let warned = |all: &[&str]| unquoted(Ok(((), all.iter().map(|one| (*one).to_owned()).collect()))).unwrap().1;
        assert_eq!(warned(&["hunter2"]), warned(&["a", "b"]), "neither what it warns of, nor how often");
        assert_eq!(warned(&[]), [""; 0]);
    }

    #[test]
    fn of_a_secret_nothing_is_learnt() {
        let key = |group: &str, kind: &str| ObjectKey {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: None,
            name: "x".to_owned(),
        };
        assert!(Learn::of(&key("", "Secret")) == Learn::Nothing);
        assert!(Learn::of(&key("", "ConfigMap")) == Learn::Everything);
        assert!(Learn::of(&key("example.com", "Secret")) == Learn::Everything);
    }
}
