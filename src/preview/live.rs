//! What an environment's first sync would find in the cluster, object by object, and the words for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is there of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Live {
    /// Nothing: it would be created.
    Absent {
        /// Why the cluster could not check it: its namespace or its definition is not there yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unchecked: Option<String>,
    },
    /// The same values: it would be adopted, and nothing changes.
    Same,
    /// Other values that nobody else holds: it would be adopted and changed.
    Differs,
    /// Other values that others hold: it would be held until they are equal or let go.
    Conflict {
        /// Each field manager with its fields, as the server names them.
        held: BTreeMap<String, Vec<String>>,
    },
    /// No grant of the server reaches it.
    NotGranted {
        /// What is not granted.
        why: String,
    },
    /// It belongs to another environment.
    Owned {
        /// Which.
        by: String,
    },
    /// Somebody else's object has its name, and it is a hook: that is made and deleted, and never taken over.
    Foreign,
    /// The cluster would not take it.
    Refused {
        /// Its words.
        why: String,
    },
    /// The cluster did not say.
    Unknown {
        /// Why.
        why: String,
    },
}

/// Fields of one manager that are named; the others are counted.
const FIELDS: usize = 4;

/// What a sync would do, in the order and the words in which objects are counted.
const KINDS: [&str; 9] = [
    "create",
    "adopt unchanged",
    "adopt and change",
    "conflict",
    "not granted",
    "of another environment",
    "refused by the cluster",
    "not known",
    "in the place of a hook",
];

impl Live {
    /// What a sync would do with the object: `create`, `adopt unchanged`, `conflict with MANAGER`, `not granted` …
    /// `name` writes names from outside as the place wants them, `said` sentences of others.
    pub fn words(&self, name: impl Fn(&str) -> String, said: impl Fn(&str) -> String) -> String {
        match self {
            Self::Absent { unchecked: None } | Self::Same | Self::Differs => self.kind().to_owned(),
            Self::Absent { unchecked: Some(why) } => format!("create, not checked: {}", said(why)),
            Self::Conflict { held } => {
                let one = |(manager, fields): (&String, &Vec<String>)| {
                    let mut named: Vec<String> = fields.iter().take(FIELDS).map(|field| name(field)).collect();
                    if fields.len() > FIELDS {
                        named.push(format!("{} more", fields.len() - FIELDS));
                    }
                    let at = if named.is_empty() { String::new() } else { format!(" at {}", named.join(", ")) };
                    format!("conflict with {}{at}", name(manager))
                };
                held.iter().map(one).collect::<Vec<_>>().join("; ")
            }
            Self::NotGranted { why } => format!("not granted: {}", said(why)),
            Self::Owned { by } => format!("belongs to {}", name(by)),
            Self::Foreign => "cannot be run: somebody else's object has the name of this hook".to_owned(),
            Self::Refused { why } => format!("refused by the cluster: {}", said(why)),
            Self::Unknown { why } => format!("not known: {}", said(why)),
        }
    }

    /// Whether somebody has to do something before it could be synced.
    pub(super) fn is_in_the_way(&self) -> bool {
        match self {
            Self::Conflict { .. }
            | Self::NotGranted { .. }
            | Self::Owned { .. }
            | Self::Foreign
            | Self::Refused { .. } => true,
            Self::Absent { .. } | Self::Same | Self::Differs | Self::Unknown { .. } => false,
        }
    }

    fn place(&self) -> usize {
        match self {
            Self::Absent { .. } => 0,
            Self::Same => 1,
            Self::Differs => 2,
            Self::Conflict { .. } => 3,
            Self::NotGranted { .. } => 4,
            Self::Owned { .. } => 5,
            Self::Refused { .. } => 6,
            Self::Unknown { .. } => 7,
            Self::Foreign => 8,
        }
    }

    fn kind(&self) -> &'static str {
        KINDS.get(self.place()).copied().unwrap_or_default()
    }
}

/// `2 create, 1 adopt unchanged, 1 conflict`; nothing when nothing was asked.
pub(super) fn counted<'l>(all: impl Iterator<Item = &'l Live>) -> String {
    let mut counts = [0_usize; KINDS.len()];
    for live in all {
        if let Some(count) = counts.get_mut(live.place()) {
            *count += 1;
        }
    }
    let some = counts.into_iter().zip(KINDS).filter(|(count, _)| *count > 0);
    some.map(|(count, kind)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
}
