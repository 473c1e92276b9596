//! The cells and sentences about one environment.

use crate::ids::{CommitId, EnvironmentName, ObjectKey};
use crate::manifest::Verb;

use super::live::{Live, counted};
use super::markdown::{NAME, cell, clip, code, prose};
use super::page::{Consent, Deployment, EnvironmentRow, ObjectChange, RowChange, Subject};

/// More people than this are counted in a cell; the sentence below the table names what is missing.
const PEOPLE: usize = 4;

/// `Deployment shop/web`, the kind in plain letters.
pub(super) fn object(key: &ObjectKey) -> String {
    let name = match &key.namespace {
        Some(namespace) => format!("{namespace}/{}", key.name),
        None => key.name.clone(),
    };
    // A kind is letters and digits by construction, and a commit's digits are not a kind.
    format!("{} {}", if is_word(&key.kind) { key.kind.clone() } else { code(&key.kind) }, code(&clip(&name, NAME)))
}

fn is_word(kind: &str) -> bool {
    let hex = kind.len() >= 7 && kind.bytes().all(|b| b.is_ascii_hexdigit());
    !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric()) && !hex
}

/// The first line's middle: what was looked at.
pub(super) fn subject(subject: &Subject) -> String {
    let name = |text: &str| code(&clip(text, NAME));
    match subject {
        Subject::Pull { head, into } => format!("{} into {}", code(head.short()), name(into)),
        Subject::Proposal { head, into } => format!("**proposal** · {} into {}", code(head.short()), name(into)),
        Subject::Held { commit, branch } => {
            format!("**held** · {} of {} waits for consent", code(commit.short()), name(branch))
        }
        Subject::Local { base, head } => format!("{} → {}", name(base), name(head)),
    }
}

pub(super) fn consent_cell(consent: &Consent) -> String {
    match consent {
        Consent::NotNeeded => "none needed".to_owned(),
        Consent::ByRollback => "given by the rollback".to_owned(),
        Consent::Closed { .. } => "closed, see below".to_owned(),
        Consent::Asked { wanted, given, counted, not_counted, .. } => {
            let mut text = if given >= wanted { "given".to_owned() } else { format!("{given} of {wanted}") };
            if !counted.is_empty() {
                text.push_str(": ");
                text.push_str(&people(counted.iter().map(String::as_str)));
            }
            if !not_counted.is_empty() {
                let without = people(not_counted.iter().map(|one| one.login.as_str()));
                text.push_str(&format!(" (not counted: {without})"));
            }
            text
        }
    }
}

fn people<'a>(logins: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = logins.len().saturating_sub(PEOPLE);
    let mut named: Vec<String> = logins.take(PEOPLE).map(|login| cell(&clip(login, NAME))).collect();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    named.join(", ")
}

pub(super) fn deployment_cell(deployment: &Deployment) -> String {
    match deployment {
        Deployment::Nothing => "nothing to do".to_owned(),
        Deployment::AfterMerge { after, soaks, checks, windows } => {
            let soaked =
                |name| soaks.get(name).map(|soak| format!(" (healthy for {})", cell(soak))).unwrap_or_default();
            let names: Vec<String> =
                after.iter().map(|name| format!("{}{}", cell(name.as_str()), soaked(name))).collect();
            let names = if names.is_empty() { String::new() } else { format!(", after {}", names.join(", ")) };
            format!("after merge{names}{}{}", green(checks), within(windows))
        }
        Deployment::OnCommand { checks, windows } => {
            format!("after merge, by `/bascule sync`{}{}", green(checks), within(windows))
        }
        Deployment::Never => "never: preview and consent only".to_owned(),
        Deployment::Local => "—".to_owned(),
        Deployment::Queued => "merged, queued".to_owned(),
        Deployment::Running { number } => format!("`#{number}` running"),
        Deployment::Verifying { number } => format!("`#{number}` synced, being verified"),
        Deployment::Healthy { number, kept } if kept.is_empty() => format!("`#{number}` healthy"),
        Deployment::Healthy { number, .. } => format!("`#{number}` healthy, see below"),
        Deployment::Failed { number, .. } => format!("`#{number}` **failed**, see below"),
        Deployment::Held { reason, .. } => format!("**held**: {}", cell(&clip(reason, NAME))),
    }
}

/// `, after `ci/test` is green`; nothing when no check is waited for.
fn green(checks: &[String]) -> String {
    let names: Vec<String> = checks.iter().map(|name| cell(&clip(name, NAME))).collect();
    match names.as_slice() {
        [] => String::new(),
        [only] => format!(", after {only} is green"),
        several => format!(", after {} are green", several.join(", ")),
    }
}

/// `, Mon–Fri 09:00–17:00 (Europe/Berlin)`; nothing when it may be synced at any time. Words of ours: names and numbers.
fn within(windows: &[String]) -> String {
    windows.iter().map(|window| format!(", {}", cell(&clip(window, NAME)))).collect()
}

/// What has to be said below the table about one environment, each a sentence; errors are not among them.
pub(super) fn sentences(row: &EnvironmentRow) -> Vec<String> {
    let mut said = Vec::new();
    match &row.consent {
        Consent::NotNeeded | Consent::ByRollback => {}
        Consent::Closed { why } => said.push(format!("{}: consent cannot be judged: {}", name(row), prose(why))),
        Consent::Asked { not_counted, missing, .. } => {
            if !missing.is_empty() {
                said.push(prose(missing));
            } else {
                let without = |one: &super::page::NotCounted| {
                    format!("{}: {}'s does not count: {}", name(row), code(&clip(&one.login, NAME)), prose(&one.why))
                };
                said.extend(not_counted.iter().map(without));
            }
        }
    }
    match &row.deployment {
        Deployment::Failed { number, object: at, why, runbook } => {
            let at = at.as_ref().map(|key| format!(" at {}", object(key))).unwrap_or_default();
            let runbook = match runbook {
                // Its rules let no character into it that could end a link.
                Some(address) if address.starts_with("https://") => format!("; [runbook](<{address}>)"),
                Some(file) => format!("; runbook: {}", code(file)),
                None => String::new(),
            };
            let why = prose(&clip(why, 2_000));
            said.push(format!("{}: deployment `#{number}` failed{at}: {why}{runbook}", name(row)));
        }
        Deployment::Healthy { kept, .. } => {
            said.extend((!kept.is_empty()).then(|| format!("{}: {}", name(row), prose(&clip(kept, 2_000)))));
        }
        Deployment::Held { detail, lifts, .. } => {
            let lifts = if lifts.is_empty() { String::new() } else { format!(" It is lifted by {}", code(lifts)) };
            said.push(format!("{} is held: {}.{lifts}", name(row), prose(detail.trim_end_matches('.'))));
        }
        Deployment::Nothing
        | Deployment::AfterMerge { .. }
        | Deployment::OnCommand { .. }
        | Deployment::Never
        | Deployment::Local
        | Deployment::Queued
        | Deployment::Running { .. }
        | Deployment::Verifying { .. } => {}
    }
    let found = counted(found(row).map(|(_, live)| live));
    if !found.is_empty() {
        said.push(format!("{} in the cluster: {found}", name(row)));
    }
    if let Some(why) = &row.unasked {
        said.push(format!("{}: what the cluster has is not fully known: {}", name(row), prose(&clip(why, 2_000))));
    }
    for left in &row.left_out {
        said.push(format!(
            "{}: {} is left out: a hook for {}",
            name(row),
            object(&left.key),
            code(&clip(&left.acts, NAME))
        ));
    }
    said
}

/// The environment's name as code: names of ours are safe characters, and yet `1.2` would begin a list.
pub(super) fn name(row: &EnvironmentRow) -> String {
    code(row.name.as_str())
}

/// What happens to an object.
pub(super) fn done(verb: Verb) -> &'static str {
    match verb {
        Verb::Added => "added",
        Verb::Changed => "changed",
        Verb::Removed => "removed",
    }
}

/// What a first sync would do with an object; marked where it would be in the way.
pub(super) fn live(live: &Live) -> String {
    let words = live.words(|name| code(&clip(name, NAME)), |said| prose(&clip(said, NAME)));
    if live.is_in_the_way() { format!("⚠ {words}") } else { words }
}

/// Objects whose state in the cluster has to be said: all of a proposal or first set.
pub(super) fn found(row: &EnvironmentRow) -> impl Iterator<Item = (&ObjectChange, &Live)> {
    row.named().iter().filter_map(|object| object.live.as_ref().map(|live| (object, live)))
}

/// Names of what is removed.
pub(super) fn removed(row: &EnvironmentRow) -> impl Iterator<Item = &ObjectChange> {
    row.objects().iter().filter(|object| object.diff.verb == Verb::Removed)
}

/// What goes with an object that is deleted, where that is more than itself.
pub(super) fn takes_along(key: &ObjectKey) -> Option<&'static str> {
    match (key.group.as_str(), key.kind.as_str()) {
        ("", "Namespace") => Some(", with everything in it"),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => Some(", with every object of its kind"),
        ("", "PersistentVolumeClaim") => Some(", and what it holds, unless its volume is retained"),
        ("apps", "StatefulSet") => Some(", with its pods; the claims of its volumes stay"),
        _ => None,
    }
}

/// Whether the change alters the environment's own rules.
pub(super) fn changes_rules(row: &EnvironmentRow) -> bool {
    matches!(&row.change, RowChange::Change { rules, .. } if !rules.is_empty())
}

/// `1 object`, `2 objects`.
pub(super) fn count(number: usize, one: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {one}{s}")
}

/// Title and text of the issue a held change without a pull request is shown in, and `whose` it is, so that it is found
/// again. Names of ours alone: titles are Markdown on some forges.
pub fn held_issue(environment: &EnvironmentName, commit: &CommitId, whose: &str) -> (String, String) {
    let title = format!("Bascule: {environment} is held at {}", commit.short());
    let text = format!(
        "{}\n`{environment}` will not be synced to `{}` until somebody consents to its change, which is in the comment below.\n",
        held_marker(whose),
        commit.short()
    );
    (title, text)
}

/// Whether a text begins as one of [`held_issue`] for the same `whose`.
pub fn is_held_issue(text: &str, whose: &str) -> bool {
    text.trim_start().starts_with(&held_marker(whose))
}

fn held_marker(whose: &str) -> String {
    format!("<!-- bascule:held {whose} -->")
}
