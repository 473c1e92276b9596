//! `consent.checks`: which named checks are green on a commit, and what is said of those that are not. Nobody consents by
//! them and they cover nothing: they delay a sync to what is covered, as `after` does.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{CommitId, EnvironmentName};

/// The longest address of a check that is shown.
const LONGEST_LINK: usize = 500;

/// What is said to lift what passes without anybody.
pub const BY_ITSELF: &str = "nothing to type: it goes on by itself";
/// The same, where a check failed: it may be green yet, and nobody can wait for that.
pub const BY_A_RE_RUN: &str =
    "nothing to type: a re-run that succeeds, or a commit that passes, and it goes on by itself";

/// How a check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Light {
    /// Good.
    Green,
    /// Somebody works on it.
    Pending,
    /// Not good.
    Red,
}

/// What the forge has under a name. There may be several of one name: a status and, on GitHub, a check of each app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// The name.
    pub name: String,
    /// How it stands.
    pub light: Light,
    /// Where it is explained, as its reporter says.
    pub link: Option<String>,
}

/// A check that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// How it stands; `None` when nobody has reported anything of that name.
    pub light: Option<Light>,
    /// Where it is explained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// The checks of one commit that are not green.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// These.
    Open(Vec<Check>),
    /// The forge could not be asked, and this is why: closed.
    Unread(String),
    /// Nobody asked: enough newer commits were not green either.
    NotAsked,
}

/// What of the wanted is not green; `None` when all is. Of several reports of one name the worst counts.
pub fn awaited(wanted: &BTreeSet<String>, reported: &[Reported]) -> Option<Awaited> {
    let state = |name: &String| {
        let worst = reported.iter().filter(|one| one.name == *name).max_by_key(|one| one.light);
        let link = worst.and_then(|worst| worst.link.as_deref()).and_then(shown_link);
        Check { name: name.clone(), light: worst.map(|worst| worst.light), link }
    };
    let open: Vec<Check> = wanted.iter().map(state).filter(|check| check.light != Some(Light::Green)).collect();
    (!open.is_empty()).then_some(Awaited::Open(open))
}

/// An address that may be repeated in a comment and kept in the log: without what may be a secret of its own. Anybody who
/// may set a status chose it, so it is shown and never followed.
fn shown_link(link: &str) -> Option<String> {
    let (scheme, rest) = link.split_once("://")?;
    let place = rest.split(['?', '#']).next().unwrap_or_default();
    let host = place.split('/').next().unwrap_or_default();
    let plain = place.bytes().all(|b| b.is_ascii_graphic() && b != b'`');
    let fits = matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains('@') && plain;
    (fits && link.len() <= LONGEST_LINK).then(|| format!("{scheme}://{place}"))
}

impl Awaited {
    /// What is waited for, in a sentence. Plain text: whoever shows it escapes it there.
    pub fn sentence(&self, environment: &EnvironmentName, commit: &CommitId) -> String {
        let at = commit.short();
        match self {
            Self::Unread(why) => {
                format!("{environment} waits until its checks on `{at}` can be read from the forge: {why}")
            }
            Self::NotAsked => format!("{environment} waits for the checks of a commit newer than `{at}`"),
            Self::Open(checks) => {
                let names: Vec<String> = checks.iter().map(|check| quoted(&check.name)).collect();
                let told: Vec<String> = match checks.as_slice() {
                    [only] => vec![only.stands()],
                    several => several.iter().map(|one| format!("{} {}", quoted(&one.name), one.stands())).collect(),
                };
                let are = if names.len() == 1 { "is" } else { "are" };
                format!("{environment} waits until {} {are} green on `{at}`: {}", names.join(" and "), told.join("; "))
            }
        }
    }

    /// What ends the waiting.
    pub fn lifts(&self, environment: &EnvironmentName) -> String {
        match self {
            Self::Open(_) if self.is_red() => BY_A_RE_RUN.to_owned(),
            Self::Open(_) | Self::NotAsked => BY_ITSELF.to_owned(),
            Self::Unread(_) => format!("/bascule sync {environment}"),
        }
    }
}

impl Awaited {
    /// Whether a check failed.
    pub fn is_red(&self) -> bool {
        match self {
            Self::Open(checks) => checks.iter().any(|check| check.light == Some(Light::Red)),
            Self::Unread(_) | Self::NotAsked => false,
        }
    }
}

impl Check {
    fn stands(&self) -> String {
        let stands = match self.light {
            None => "not reported yet",
            Some(Light::Pending) => "running",
            Some(Light::Red) => "failed",
            Some(Light::Green) => "green",
        };
        let link = self.link.as_ref().map(|link| format!(", see {link}")).unwrap_or_default();
        format!("{stands}{link}")
    }
}

/// As code: a backtick of its own would end it.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(wanted: &[&str], reported: &[(&str, Light, &str)]) -> String {
        let wanted = wanted.iter().map(|name| (*name).to_owned()).collect();
        let reported: Vec<Reported> = reported
            .iter()
            .map(|(name, light, link)| Reported {
                name: (*name).to_owned(),
                light: *light,
                link: Some((*link).to_owned()).filter(|link| !link.is_empty()),
            })
            .collect();
        told(awaited(&wanted, &reported))
    }

    fn told(awaited: Option<Awaited>) -> String {
        let (environment, commit) = ("production".parse().unwrap(), "a1b2c3d4".repeat(5).parse().unwrap());
        let told = |one: &Awaited| format!("{} [{}]", one.sentence(&environment, &commit), one.lifts(&environment));
        awaited.as_ref().map_or_else(|| "goes on".to_owned(), told)
    }

    #[test]
    fn every_wanted_check_has_to_be_green_and_of_several_of_one_name_the_worst_counts() {
        use Light::{Green, Pending, Red};
        let lines = [
            said(&[], &[("ci/test", Red, "")]),
            said(&["ci/test"], &[("ci/test", Green, ""), ("ci/lint", Red, "")]),
            said(&["ci/test"], &[]),
            said(&["ci/test"], &[("CI/test", Green, "")]),
            said(&["ci/test"], &[("ci/test", Pending, "https://ci.example.com/7")]),
            said(&["ci/test"], &[("ci/test", Red, "https://ci.example.com/7?token=s3cret#end")]),
            said(&["ci/test"], &[("ci/test", Green, ""), ("ci/test", Red, ""), ("ci/test", Pending, "")]),
            said(&["a", "b", "c"], &[("b", Red, "http://ci/b"), ("c", Green, "")]),
            said(&["a`b"], &[]),
        ];
        insta::assert_snapshot!(lines.join("\n"), @"
        goes on
        goes on
        production waits until `ci/test` is green on `a1b2c3d`: not reported yet [nothing to type: it goes on by itself]
        production waits until `ci/test` is green on `a1b2c3d`: not reported yet [nothing to type: it goes on by itself]
        production waits until `ci/test` is green on `a1b2c3d`: running, see https://ci.example.com/7 [nothing to type: it goes on by itself]
        production waits until `ci/test` is green on `a1b2c3d`: failed, see https://ci.example.com/7 [nothing to type: a re-run that succeeds, or a commit that passes, and it goes on by itself]
        production waits until `ci/test` is green on `a1b2c3d`: failed [nothing to type: a re-run that succeeds, or a commit that passes, and it goes on by itself]
        production waits until `a` and `b` are green on `a1b2c3d`: `a` not reported yet; `b` failed, see http://ci/b [nothing to type: a re-run that succeeds, or a commit that passes, and it goes on by itself]
        production waits until `a'b` is green on `a1b2c3d`: not reported yet [nothing to type: it goes on by itself]
        ");
    }

    #[test]
    fn what_was_not_read_is_not_green() {
        let lines = [told(Some(Awaited::Unread("it is away".to_owned()))), told(Some(Awaited::NotAsked))];
        insta::assert_snapshot!(lines.join("\n"), @"
        production waits until its checks on `a1b2c3d` can be read from the forge: it is away [/bascule sync production]
        production waits for the checks of a commit newer than `a1b2c3d` [nothing to type: it goes on by itself]
        ");
    }

    #[test]
    fn an_address_that_could_be_more_than_one_is_not_repeated() {
        for link in
            ["", "javascript:alert(1)", "https://", "https://ann:s3cret@ci/1", "https://ci/a b", "https://ci/`", "/1"]
        {
            assert_eq!(shown_link(link), None, "{link}");
        }
        assert_eq!(shown_link(&format!("https://ci/{}", "x".repeat(600))), None);
        assert_eq!(shown_link("https://ci/o/r/1?x#y").as_deref(), Some("https://ci/o/r/1"));
    }
}
