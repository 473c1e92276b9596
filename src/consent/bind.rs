//! Rule 5: an approval is bound to what was shown, or it is none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::approval::{Approval, ApprovalKey, Given, Place, Shown, Text, Wanted};
use super::waiver::Denial;
use crate::ids::{ChangeDigest, DenialDigest, EnvironmentName, ObjectHash};

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
    /// No such denial of that policy was shown.
    NotDenied {
        /// The policy.
        policy: String,
        /// The command, where one is shown now.
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
            Self::NotDenied { policy, line } => {
                let name: String = policy.chars().filter(|c| c.is_ascii_graphic() && *c != '`').take(64).collect();
                write!(
                    out,
                    "no denial by policy `{name}` that these words name, and that may be waived, was shown here"
                )?;
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
        Wanted::Waiver { environments: Some(names), .. } => names.iter().collect(),
        Wanted::Waiver { policy, environments: None, .. } => {
            let denied = shown.iter().filter(|one| one.denials.iter().any(|denial| denial.policy == *policy));
            denied.map(|one| &one.environment).filter(|name| named.contains_key(name)).collect()
        }
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
    if let Wanted::Waiver { policy: waived, digest, .. } = &given.wanted {
        let (denial, one) = denial_meant(given, &here, name, waived, digest.as_deref())?;
        return Ok(Approval { waives: Some(denial.clone()), deletions: None, ..approval(given, one, place, *policy) });
    }
    let now = here.iter().rev().find(|one| one.from.is_some());
    let line = now.map(|now| line_to_type(name, &now.change, now.deletions));
    let in_time = here.iter().filter(|one| one.from.is_none_or(|from| from <= given.at));
    let meant: Vec<&&Shown> = match &given.wanted {
        Wanted::Change(_, digits) => in_time.filter(|one| one.change.matches(digits)).collect(),
        Wanted::Everything | Wanted::Environments(_) | Wanted::Waiver { .. } => {
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

/// The one denial that somebody read who waives it: by its digits, or the only one of that policy that was ever shown.
fn denial_meant<'s>(
    given: &Given,
    here: &[&'s Shown],
    name: &EnvironmentName,
    policy: &str,
    digits: Option<&str>,
) -> Result<(&'s Denial, &'s Shown), WhyNot> {
    let of_policy = |one: &'s Shown| one.denials.iter().filter(|denial| denial.policy == policy).map(move |d| (d, one));
    let line = here.iter().rfind(|one| one.from.is_some()).and_then(|one| of_policy(one).next());
    let line = line.map(|(denial, one)| denial.line_to_type(name, &one.change));
    let in_time = here.iter().filter(|one| one.from.is_none_or(|from| from <= given.at));
    let reviewed = in_time.filter(|one| given.head.as_ref().is_none_or(|head| *head == one.head));
    let named =
        |(denial, one): &(&Denial, &Shown)| digits.is_none_or(|digits| denial.digest(&one.change).matches(digits));
    let meant: Vec<(&Denial, &Shown)> = reviewed.flat_map(|one| of_policy(one)).filter(named).collect();
    let digests: BTreeSet<DenialDigest> = meant.iter().map(|(denial, one)| denial.digest(&one.change)).collect();
    match meant.iter().rfind(|(_, one)| one.from.is_some()) {
        Some(newest) if digests.len() == 1 => Ok(*newest),
        Some(_) if digits.is_none() => Err(WhyNot::Ambiguous { line }),
        Some(_) | None => Err(WhyNot::NotDenied { policy: policy.to_owned(), line }),
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
        waives: None,
        at: given.at,
    }
}

#[cfg(test)]
mod tests {
    use super::super::cast::{account, at, commit, place, production};
    use super::super::{ShownAs, Text};
    use super::*;
    use crate::ids::{CommitId, SetDigest};
    use crate::policy::rules::ApprovalSource;

    const FIRST: u8 = 0x11;
    const SECOND: u8 = 0x22;

    fn shown(change: u8, head: char, from: Option<i64>) -> Shown {
        Shown {
            environment: production(),
            shown_as: ShownAs::Pull,
            preview: 1,
            head: commit(head),
            old_set: None,
            new_set: SetDigest([change; 32]),
            change: ChangeDigest([change; 32]),
            deletions: None,
            denials: BTreeSet::new(),
            from: from.map(at),
        }
    }

    fn given(head: Option<CommitId>, wanted: Wanted, second: i64) -> Given {
        Given {
            person: account("lee"),
            source: ApprovalSource::Review,
            source_id: 3,
            head,
            wanted,
            deletions: None,
            reason: None,
            at: at(second),
            text: Text::Unedited,
        }
    }

    fn bound(given: &Given, shown: &[Shown]) -> Result<u8, WhyNot> {
        let named = BTreeMap::from([(production(), ObjectHash([9; 32]))]);
        let mut all = bind(given, shown, &place(), &named);
        all.remove(&production()).unwrap_or(Err(WhyNot::NotNamed)).map(|approval| approval.change.0[0])
    }

    #[test]
    fn an_approval_is_bound_to_what_was_shown_or_is_none() {
        let line = |change: u8| Some(format!("/bascule approve production {}", hex::encode([change; 6])));
        let here = || Wanted::Environments(BTreeSet::from([production()]));
        let typed = |digits: &str| Wanted::Change(production(), digits.to_owned());
        let review = |second| given(Some(commit('a')), Wanted::Everything, second);
        let command = |wanted| given(None, wanted, 50);
        let one = [shown(FIRST, 'a', Some(10))];
        let base_moved = [shown(FIRST, 'a', Some(10)), shown(SECOND, 'a', Some(40))];
        let pushed = [shown(FIRST, 'a', Some(10)), shown(SECOND, 'b', Some(40))];
        let same_again = [shown(FIRST, 'a', Some(10)), shown(FIRST, 'a', Some(40))];
        let lost = [shown(FIRST, 'a', Some(10)), shown(SECOND, 'a', None)];
        let no_such = |given: &str, change| Err(WhyNot::NoSuchChange { given: given.into(), line: line(change) });
        for (given, shown, expected, why) in [
            (review(50), &one[..], Ok(FIRST), "the one change of the reviewed commit"),
            (review(50), &pushed, Ok(FIRST), "pushed between load and submit: the review's own commit"),
            (review(50), &same_again, Ok(FIRST), "shown twice is one change"),
            (review(50), &base_moved, Err(WhyNot::Ambiguous { line: line(SECOND) }), "either may have been read"),
            (review(40), &base_moved, Err(WhyNot::Ambiguous { line: line(SECOND) }), "in the same second too"),
            (review(39), &base_moved, Ok(FIRST), "what came later cannot have been read"),
            (review(50), &lost, Err(WhyNot::Ambiguous { line: line(FIRST) }), "what may have been written"),
            (review(9), &one, Err(WhyNot::NothingShown { line: line(FIRST) }), "nothing was shown yet"),
            (review(50), &[shown(FIRST, 'a', None)], Err(WhyNot::NothingShown { line: None }), "nor surely"),
            (given(None, Wanted::Everything, 50), &pushed, Err(WhyNot::Ambiguous { line: line(SECOND) }), "no commit"),
            (command(here()), &one, Ok(FIRST), "a command without digest"),
            (command(here()), &pushed, Err(WhyNot::Ambiguous { line: line(SECOND) }), "of two it says nothing"),
            (command(typed("11111111")), &pushed, Ok(FIRST), "eight digits name it"),
            (command(typed("b1:111111111111")), &pushed, Ok(FIRST), "as the comment prints it"),
            (command(typed("1111111")), &pushed, no_such("1111111", SECOND), "seven do not"),
            (command(typed("33333333")), &pushed, no_such("33333333", SECOND), "never shown"),
            (Given { text: Text::Edited, ..command(typed("11111111")) }, &pushed, Err(WhyNot::Edited), "edited"),
        ] {
            assert_eq!(bound(&given, shown), expected, "{why}");
        }
    }

    #[test]
    fn what_no_rule_names_is_said_to_a_command_and_not_to_a_review() {
        let shown = [shown(FIRST, 'a', Some(10))];
        let nobody = BTreeMap::new();
        let review = given(Some(commit('a')), Wanted::Everything, 50);
        assert!(bind(&review, &shown, &place(), &nobody).is_empty());
        let command = given(None, Wanted::Environments(BTreeSet::from([production()])), 50);
        assert_eq!(bind(&command, &shown, &place(), &nobody)[&production()], Err(WhyNot::NotNamed));
    }

    #[test]
    fn the_answer_is_the_line_to_type_and_nothing_of_what_was_typed() {
        let why = WhyNot::NoSuchChange {
            given: "`@acme/all` <b>".into(),
            line: Some("/bascule approve production 22".into()),
        };
        insta::assert_snapshot!(why, @"`acmeallb` names no one change that was shown here; for the change shown now, type `/bascule approve production 22`");
    }
}
