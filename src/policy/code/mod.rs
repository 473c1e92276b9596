//! Policies: rules about objects and changes that a repository, or the platform, has written in CEL or Rego.
//!
//! ```text
//! Question (a policy, a change) ──▶ rego | cel ──▶ Opinion: what it found, or why it could not be asked
//! ```
//!
//! Pure: an engine here knows no network, file, clock or chance. It may still take long and much, so nothing here is
//! asked in a process that matters: `render` runs it in a box.

mod cel;
pub mod health;
mod mask;
mod names;
pub mod order;
mod rego;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ids::ObjectKey;

pub use rego::{Tested, is_test, test};

/// Findings of one policy that are kept; the others are counted. Whoever sees a hundred reads no more of them.
pub const MOST_FINDINGS: usize = 100;
/// Bytes of a message that are kept.
const MOST_MESSAGE: usize = 2_000;

/// What a policy is written in. Of Rego the text is here, by file: so a policy is what it says, wherever it is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// An expression that is true when all is well.
    Cel(String),
    /// Rules that say what is wrong.
    Rego(Arc<Rego>),
}

/// Rego, by file.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rego {
    /// The file or folder, as named.
    pub path: String,
    /// Text of each file, tests left out.
    pub files: BTreeMap<String, String>,
}

/// What a finding does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Nothing passes.
    Deny,
    /// The people it names are asked.
    Review,
    /// It is shown.
    Warn,
}

impl fmt::Display for Effect {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Deny => "deny",
            Self::Review => "review",
            Self::Warn => "warn",
        })
    }
}

/// A policy that is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Question {
    /// Its name; of a floor's policy the floor's before it.
    pub name: String,
    /// What its findings do.
    pub effect: Effect,
    /// What is said of a finding, where the policy does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What it says.
    pub source: Source,
}

/// One object, as it was and as it will be; at least one of them is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Which.
    pub key: ObjectKey,
    /// As it was.
    pub old: Option<Value>,
    /// As it will be.
    pub new: Option<Value>,
}

impl Pair {
    fn operation(&self) -> &'static str {
        match (&self.old, &self.new) {
            (None, _) => "CREATE",
            (Some(_), None) => "DELETE",
            (Some(old), Some(new)) if old == new => "UNCHANGED",
            (Some(_), Some(_)) => "UPDATE",
        }
    }

    /// As Kubernetes' admission has it.
    fn request(&self) -> Value {
        let of = self.new.as_ref().or(self.old.as_ref());
        let api_version = of.and_then(|object| object.get("apiVersion")?.as_str()).unwrap_or_default();
        let version = api_version.rsplit('/').next().unwrap_or_default();
        json!({
            "operation": self.operation(),
            "kind": { "group": self.key.group, "version": version, "kind": self.key.kind },
            "namespace": self.key.namespace.as_deref().unwrap_or_default(),
            "name": self.key.name,
        })
    }
}

/// What is judged: an environment's objects before and after, those that stay the same with them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Matter {
    /// The environment's name.
    pub environment: String,
    /// Its stage; empty without one.
    pub stage: String,
    /// Where its objects go.
    pub cluster: String,
    /// And where those go that name no namespace.
    pub namespace: String,
    /// Its objects, sorted.
    pub objects: Vec<Pair>,
}

impl Matter {
    /// The document that policies over the whole change see.
    fn document(&self) -> Value {
        let object = |pair: &Pair| {
            let mut all = pair.request();
            all["object"] = pair.new.clone().unwrap_or_default();
            all["oldObject"] = pair.old.clone().unwrap_or_default();
            all
        };
        json!({
            "environment": self.environment,
            "stage": self.stage,
            "cluster": self.cluster,
            "namespace": self.namespace,
            "objects": self.objects.iter().map(object).collect::<Vec<_>>(),
        })
    }
}

/// Something a policy found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// What it does.
    pub effect: Effect,
    /// At which object; `None` is the change as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectKey>,
    /// The policy's own words: of whoever wrote it.
    pub message: String,
}

/// What a policy says of a change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    /// What it found, no more than [`MOST_FINDINGS`].
    pub found: Vec<Finding>,
    /// How many more it found.
    #[serde(default)]
    pub more: u64,
    /// Why it could not be asked, or not to the end. With file and line where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

impl Opinion {
    /// Of a policy that cannot be asked.
    pub fn broken(why: impl Into<String>) -> Self {
        Self { broken: Some(why.into()), ..Self::default() }
    }

    fn add(&mut self, effect: Effect, object: Option<&ObjectKey>, message: &str) {
        // What closes is never among those that are only counted.
        let room = self.found.len() < MOST_FINDINGS || !self.found.iter().any(|one| one.effect == effect);
        if room {
            self.found.push(Finding { effect, object: object.cloned(), message: message.to_owned() });
        } else {
            self.more += 1;
        }
    }

    /// Remembers the first reason why it could not be asked to the end.
    fn breaks(&mut self, why: impl FnOnce() -> String) {
        self.broken.get_or_insert_with(why);
    }

    /// Its words as they are kept.
    fn messages(&mut self) -> impl Iterator<Item = &mut String> {
        self.found.iter_mut().map(|finding| &mut finding.message).chain(&mut self.broken)
    }
}

/// A text as it is kept: cut, and without the one character that no database stores.
fn kept(text: &str) -> String {
    let end = (0..=text.len().min(MOST_MESSAGE)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let (start, rest) = text.split_at(end);
    start.replace('\0', "\u{fffd}") + if rest.is_empty() { "" } else { "…" }
}

/// What is wrong with a policy's text, with file and line; empty when it can be asked.
pub fn faults(source: &Source) -> Vec<String> {
    match source {
        Source::Cel(text) => cel::faults(text),
        Source::Rego(rego) => rego::faults(&rego.files),
    }
}

/// Asks a policy.
pub fn ask(question: &Question, matter: &Matter) -> Opinion {
    let mut opinion = match &question.source {
        Source::Cel(text) => cel::ask(text, question, matter),
        Source::Rego(rego) => rego::ask(&rego.files, question, matter),
    };
    // Before they are cut: half of a secret is not recognised.
    mask::secrets(&mut opinion, matter);
    opinion.messages().for_each(|message| *message = kept(message));
    opinion
}
