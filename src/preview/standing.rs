//! What the cluster says beside a change: what applying it now would do (effect), what is different already (drift), and
//! whether the API server takes each object. A page has three baselines, and nobody may take one for another:
//!
//! ```text
//! change   base → merged    what the pull request does
//! effect   live → merged    what applying it now would do
//! drift    live → base      what is different already, and not the pull request's doing
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::baselines::Weight;
use crate::ids::ObjectKey;

/// What the API server answered when it was asked to try an object; nothing is written by that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Admission {
    /// It takes it.
    Taken {
        /// What it warns of.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
    /// It takes it under another name: what a hook's last run made has its own until it is run again.
    TakenAs {
        /// The name it was tried under.
        name: String,
        /// What it warns of.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
    /// It does not, and why.
    Refused {
        /// Its words, without values.
        why: String,
    },
    /// Others hold fields with other values, so that a sync would stop there.
    Conflict {
        /// Each field manager with its fields, as the server names them.
        held: BTreeMap<String, Vec<String>>,
    },
    /// It could not be asked, and why.
    Unasked {
        /// Completes "not asked: …".
        why: String,
    },
}

/// How what applying an object now would do departs from its change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Effect {
    /// Nothing: the cluster has it so already.
    Already,
    /// It is changed here, is gone in the cluster, and would be created.
    CreatedAgain,
    /// It is added here, is there already, and would be adopted.
    Adopted,
    /// It is removed here, and is not there any more.
    AlreadyGone,
    /// It is removed here, and would stay.
    Stays {
        /// Why.
        why: String,
    },
    /// It is somebody else's, or on its way out: the sync would stop there.
    Stops {
        /// Why.
        why: String,
    },
    /// The cluster did not say.
    Unknown {
        /// Why.
        why: String,
    },
}

/// An object that is not in the cluster as the base has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// Which.
    pub key: ObjectKey,
    /// How.
    #[serde(flatten)]
    pub how: Drifted,
    /// Whether the change is about this object, too: then what applying now would do is said of the change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_touched: bool,
}

/// How an object is not as the base has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "drift", rename_all = "snake_case")]
pub enum Drifted {
    /// Fields that we applied are different now.
    Fields {
        /// Which; empty where they could not be told.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        paths: Vec<String>,
        /// Those that others hold now, by field manager: a sync does not take them back.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        held: BTreeMap<String, Vec<String>>,
    },
    /// We applied it, and it is gone.
    Gone,
    /// Somebody made another one under its name.
    Replaced,
    /// The base has it so, and that is not deployed yet.
    Undeployed,
    /// We applied it, the base has it no more, and it is still there.
    LeftOver,
    /// A sync may not touch it.
    Blocked {
        /// Why.
        why: String,
    },
    /// The cluster did not say.
    Unknown {
        /// Why.
        why: String,
    },
}

/// What is known of an environment in its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Why effect and drift are not known; nothing is claimed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    /// What is different already; of a first set nothing can be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
    /// Objects that drifted and are not named.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Fields that are named of one object; the others are counted.
const FIELDS: usize = 4;

/// `a`, `b` and 3 more; `name` writes each as the place wants it.
fn some(fields: &[String], name: &impl Fn(&str) -> String) -> String {
    let named: Vec<String> = fields.iter().take(FIELDS).map(|field| name(field)).collect();
    let more = fields.len().saturating_sub(FIELDS);
    if more > 0 { format!("{} and {more} more", named.join(", ")) } else { named.join(", ") }
}

/// `, and warns: a; b`; nothing where it does not.
fn warned(warnings: &[String], said: impl Fn(&str) -> String) -> String {
    let warnings: Vec<String> = warnings.iter().map(|warning| said(warning)).collect();
    if warnings.is_empty() { String::new() } else { format!(", and warns: {}", warnings.join("; ")) }
}

/// `.data.a held by x; .data.b held by y`
fn holders(held: &BTreeMap<String, Vec<String>>, name: &impl Fn(&str) -> String) -> String {
    let one = |(manager, fields): (&String, &Vec<String>)| format!("{} held by {}", some(fields, name), name(manager));
    held.iter().map(one).collect::<Vec<_>>().join("; ")
}

impl Admission {
    /// The answer in words. `name` writes names from outside as the place wants them, `said` sentences of others.
    pub fn words(&self, name: impl Fn(&str) -> String, said: impl Fn(&str) -> String) -> String {
        match self {
            Self::Taken { warnings } => format!("✓ the API server takes it{}", warned(warnings, said)),
            Self::TakenAs { name: other, warnings } => {
                let why = "what its last run made still has its own";
                format!("✓ the API server takes it, tried as {}: {why}{}", name(other), warned(warnings, said))
            }
            Self::Refused { why } => format!("✗ the API server refuses it: {}", said(why)),
            Self::Conflict { held } => format!("✗ a sync would stop at a conflict: {}", holders(held, &name)),
            Self::Unasked { why } => format!("not asked of the API server: {}", said(why)),
        }
    }

    /// The answer in a word or two of ours. The tick stands for an answer, and for nothing else.
    pub fn mark(&self) -> &'static str {
        match self {
            Self::Taken { .. } => "✓ API server",
            Self::TakenAs { .. } => "✓ API server, under another name",
            Self::Refused { .. } => "✗ refused by the API server",
            Self::Conflict { .. } => "✗ in conflict with others",
            Self::Unasked { .. } => "API server not asked",
        }
    }

    /// How much it weighs above the diffs; nothing has to be said of what is simply taken.
    pub(super) fn weight(&self) -> Option<Weight> {
        match self {
            Self::Taken { warnings } => (!warnings.is_empty()).then_some(Weight::Noted),
            Self::Refused { .. } | Self::Conflict { .. } => Some(Weight::Refused),
            Self::TakenAs { .. } | Self::Unasked { .. } => Some(Weight::Noted),
        }
    }
}

impl Effect {
    /// The departure in words, behind the object's name.
    pub fn words(&self, said: impl Fn(&str) -> String) -> String {
        match self {
            Self::Already => "nothing: the cluster has it so already".to_owned(),
            Self::CreatedAgain => "it is gone in the cluster, and would be created".to_owned(),
            Self::Adopted => "it is in the cluster already, and would be adopted".to_owned(),
            Self::AlreadyGone => "nothing: it is gone already".to_owned(),
            Self::Stays { why } => format!("it would stay: {}", said(why)),
            Self::Stops { why } => format!("the sync would stop there: {}", said(why)),
            Self::Unknown { why } => format!("not known: {}", said(why)),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Already => "already so",
            Self::CreatedAgain => "created again",
            Self::Adopted => "adopted",
            Self::AlreadyGone => "already gone",
            Self::Stays { .. } => "stays",
            Self::Stops { .. } => "stops it",
            Self::Unknown { .. } => "not known",
        }
    }

    pub(super) fn weight(&self) -> Weight {
        match self {
            Self::Stops { .. } => Weight::Refused,
            Self::Already
            | Self::CreatedAgain
            | Self::Adopted
            | Self::AlreadyGone
            | Self::Stays { .. }
            | Self::Unknown { .. } => Weight::Effect,
        }
    }
}

impl Drift {
    /// The difference in words, behind the object's name, with what applying now would do about it.
    pub fn words(&self, name: impl Fn(&str) -> String, said: impl Fn(&str) -> String) -> String {
        let (what, put_right) = match &self.how {
            Drifted::Fields { paths, held } => {
                let holders = holders(held, &name);
                let paths: Vec<String> =
                    paths.iter().filter(|path| !held.values().flatten().any(|held| held == *path)).cloned().collect();
                let paths = if paths.is_empty() { String::new() } else { some(&paths, &name) };
                let what = match (paths.is_empty(), holders.is_empty()) {
                    (true, true) => "changed".to_owned(),
                    (false, true) => paths,
                    (true, false) => holders,
                    (false, false) => format!("{paths}; {holders}"),
                };
                (what, if held.is_empty() { "puts it right" } else { "stops there: nothing is taken from others" })
            }
            Drifted::Gone => ("it is gone".to_owned(), "creates it again"),
            Drifted::Replaced => ("somebody made another one".to_owned(), "adopts it"),
            Drifted::Undeployed => ("not deployed yet".to_owned(), "brings it"),
            Drifted::LeftOver => ("still there, though the base has it no more".to_owned(), "removes it"),
            Drifted::Blocked { why } => (said(why), "stops there"),
            Drifted::Unknown { why } => return format!("not known: {}", said(why)),
        };
        if self.is_touched { what } else { format!("{what}; applying now {put_right}") }
    }
}

impl Drifted {
    /// In one word or two, to be counted.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Fields { .. } => "changed",
            Self::Gone => "gone",
            Self::Replaced => "made anew",
            Self::Undeployed => "not deployed yet",
            Self::LeftOver => "left over",
            Self::Blocked { .. } => "blocked",
            Self::Unknown { .. } => "not known",
        }
    }

    /// Whether a sync that has the object puts it right.
    pub(super) fn is_put_right(&self) -> bool {
        match self {
            Self::Fields { held, .. } => held.is_empty(),
            Self::Gone | Self::Replaced => true,
            Self::Undeployed | Self::LeftOver | Self::Blocked { .. } | Self::Unknown { .. } => false,
        }
    }

    /// Whether a sync that has the object stops there.
    pub(super) fn stops(&self) -> bool {
        match self {
            Self::Fields { held, .. } => !held.is_empty(),
            Self::Blocked { .. } => true,
            Self::Gone | Self::Replaced | Self::Undeployed | Self::LeftOver | Self::Unknown { .. } => false,
        }
    }
}

/// `2 gone, 1 not deployed yet`, in the order they are met.
pub(super) fn counted<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for word in words {
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    counts.into_iter().map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}
