//! Rule 5: an approval is bound to what was shown, or it is none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::approval::{Approval, ApprovalKey, Given, Place, Shown, Text, Wanted};
use crate::ids::{ChangeDigest, EnvironmentName, ObjectHash};

/// Why something somebody gave is no approval of an environment; `Display` is the answer to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyNot {
    /// Its text was changed after it was sent.
    Edited,
    /// No rule of the environment names them.
    NotNamed,
    /// Our comment had no change of it that they could have meant. `line` is what to type, when there is one now.
    NothingShown {
        /// The command.
        line: Option<String>,
    },
    /// Our comment had more than one, so we do not know which they read.
    Ambiguous {
        /// The command.
        line: Option<String>,
    },
    /// The digits given are of no change, or of several, that our comment had.
    NoSuchChange {
        /// The digits.
        given: String,
        /// The command.
        line: Option<String>,
    },
}

impl fmt::Display for WhyNot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = match self {
            Self::Edited => return out.write_str("its text was edited; write a new comment"),
            Self::NotNamed => return out.write_str("no rule of this environment names you"),
            Self::NothingShown { line } => {
                out.write_str("no change of this environment was shown for the commit you reviewed")?;
                line
            }
            Self::Ambiguous { line } => {
                out.write_str("more than one change of this environment was shown, so we do not know which you read")?;
                line
            }
            Self::NoSuchChange { given, line } => {
                let digits: String = given.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
                write!(out, "`{digits}` names no one change that was shown here")?;
                line
            }
        };
        match line {
            Some(line) => write!(out, "; for the change shown now, type `{line}`"),
            None => Ok(()),
        }
    }
}

/// The line to type for the change of an environment that is shown now: what the comment prints.
pub fn line_to_type(environment: &EnvironmentName, change: &ChangeDigest, deletions: Option<u64>) -> String {
    let deletions = deletions.map(|number| format!(" --deletions {number}")).unwrap_or_default();
    format!("/bascule approve {environment} {}{deletions}", change.short())
}

/// Binds what somebody gave to the changes they were shown, environment by environment.
///
/// `shown` is everything our comment ever had in this place, oldest first. `named` are the environments whose rules
/// name this person, each with the entry in force. A change counts as shown when the comment had it, by the forge's
/// clock, no later than the approval was given. A change that came into the comment later can not have been read, and
/// the answer to the same facts never depends on when we look.
pub fn bind(
    given: &Given,
    shown: &[Shown],
    place: &Place,
    named: &BTreeMap<EnvironmentName, ObjectHash>,
) -> BTreeMap<EnvironmentName, Result<Approval, WhyNot>> {
    let wanted: BTreeSet<&EnvironmentName> = match &given.wanted {
        Wanted::Everything => {
            shown.iter().map(|one| &one.environment).filter(|name| named.contains_key(name)).collect()
        }
        Wanted::Environments(names) => names.iter().collect(),
        Wanted::Change(name, _) => BTreeSet::from([name]),
    };
    wanted.into_iter().map(|name| (name.clone(), bind_one(given, shown, place, name, named.get(name)))).collect()
}

fn bind_one(
    given: &Given,
    shown: &[Shown],
    place: &Place,
    name: &EnvironmentName,
    policy: Option<&ObjectHash>,
) -> Result<Approval, WhyNot> {
    if given.text == Text::Edited {
        return Err(WhyNot::Edited);
    }
    let Some(policy) = policy else { return Err(WhyNot::NotNamed) };
    let here: Vec<&Shown> = shown.iter().filter(|one| one.environment == *name).collect();
    let now = here.iter().rev().find(|one| one.from.is_some());
    let line = now.map(|now| line_to_type(name, &now.change, now.deletions));
    let in_time = here.iter().filter(|one| one.from.is_none_or(|from| from <= given.at));
    let meant: Vec<&&Shown> = match &given.wanted {
        Wanted::Change(_, digits) => in_time.filter(|one| one.change.matches(digits)).collect(),
        Wanted::Everything | Wanted::Environments(_) => {
            in_time.filter(|one| given.head.as_ref().is_none_or(|head| *head == one.head)).collect()
        }
    };
    let digests: BTreeSet<ChangeDigest> = meant.iter().map(|one| one.change).collect();
    // Of several showings of the one change, the newest: its sets are what was compared when the approval was given.
    let newest = meant.iter().rev().find(|one| one.from.is_some());
    match (&given.wanted, newest) {
        (_, Some(one)) if digests.len() == 1 => Ok(approval(given, one, place, *policy)),
        (Wanted::Change(_, digits), _) => Err(WhyNot::NoSuchChange { given: digits.clone(), line }),
        (_, Some(_)) => Err(WhyNot::Ambiguous { line }),
        (_, None) => Err(WhyNot::NothingShown { line }),
    }
}

fn approval(given: &Given, shown: &Shown, place: &Place, policy: ObjectHash) -> Approval {
    Approval {
        key: ApprovalKey { environment: shown.environment.clone(), source: given.source, source_id: given.source_id },
        place: place.clone(),
        head: shown.head.clone(),
        shown_as: shown.shown_as,
        old_set: shown.old_set,
        new_set: shown.new_set,
        change: shown.change,
        preview: shown.preview,
        person: given.person.clone(),
        policy,
        deletions: given.deletions,
        reason: given.reason.clone(),
        at: given.at,
    }
}
