//! What the page says in words of a row and of an answer.

use crate::preview::{Answered, Consent, Deployment};

/// What a command was answered.
pub(super) fn sentences(answered: &Answered) -> Vec<String> {
    let named = |word: &str, names: &[crate::ids::EnvironmentName]| {
        names.iter().map(|name| format!("{word}: {name}")).collect()
    };
    match answered {
        Answered::Help => vec!["the list of commands".to_owned()],
        Answered::Explain { sentences, .. } => sentences.clone(),
        Answered::Approved { environments, refused } => {
            let mut all: Vec<String> = named("approved", environments);
            all.extend(refused.iter().cloned());
            all
        }
        Answered::Waived { policy, environments, refused } => {
            let mut all: Vec<String> = named(&format!("waived {policy}"), environments);
            all.extend(refused.iter().cloned());
            all
        }
        Answered::WhichChange { lines } => lines.clone(),
        Answered::Revoked { environments } => named("revoked", environments),
        Answered::Said { sentence } => vec![sentence.clone()],
    }
}

/// How consent stands.
pub(super) fn consent(consent: &Consent) -> String {
    match consent {
        Consent::NotNeeded => "nobody is asked".to_owned(),
        Consent::ByRollback => "the rollback has consented to it".to_owned(),
        Consent::Closed { why } => format!("cannot be judged: {why}"),
        Consent::Asked { wanted, given, counted, not_counted, missing, deletions: _ } => {
            let mut text = format!("{given} of {wanted}");
            if !counted.is_empty() {
                text += &format!(" by {}", counted.join(", "));
            }
            for one in not_counted {
                text += &format!("; {} does not count: {}", one.login, one.why);
            }
            if missing.is_empty() { text } else { format!("{text}; {missing}") }
        }
    }
}

/// What becomes of the change.
pub(super) fn deployment(deployment: &Deployment) -> String {
    match deployment {
        Deployment::Nothing => "none: nothing changes".to_owned(),
        Deployment::AfterMerge { after, checks, windows, .. } if after.is_empty() => {
            format!("after the merge{}{}", green(checks), within(windows))
        }
        Deployment::AfterMerge { after, soaks, checks, windows } => {
            let soaked = |name| soaks.get(name).map(|soak| format!(" (healthy for {soak})")).unwrap_or_default();
            let names: Vec<String> = after.iter().map(|name| format!("{name}{}", soaked(name))).collect();
            format!("after the merge, and after {}{}{}", names.join(", "), green(checks), within(windows))
        }
        Deployment::OnCommand { checks, windows } => {
            format!("after the merge, when somebody says so{}{}", green(checks), within(windows))
        }
        Deployment::Never => "never: previews and consent only".to_owned(),
        Deployment::Local => "none: a local look".to_owned(),
        Deployment::Queued => "its turn comes".to_owned(),
        Deployment::Running { number } => format!("number {number} runs"),
        Deployment::Verifying { number } => format!("number {number} is synced, and being verified"),
        Deployment::Healthy { number, kept } if kept.is_empty() => format!("number {number} is healthy"),
        Deployment::Healthy { number, kept } => format!("number {number} is healthy; {kept}"),
        Deployment::Failed { number, object, why, runbook } => {
            let at = object.as_ref().map(|object| format!(" at {object}")).unwrap_or_default();
            let runbook = runbook.as_ref().map(|runbook| format!("; runbook: {runbook}")).unwrap_or_default();
            format!("number {number} failed{at}: {why}{runbook}")
        }
        Deployment::Held { reason, detail, lifts } => format!("held ({reason}): {detail}; lifted by {lifts}"),
    }
}

/// `, Mon–Fri 09:00–17:00 (Europe/Berlin)`; nothing when it may be synced at any time.
fn within(windows: &[String]) -> String {
    windows.iter().map(|window| format!(", {window}")).collect()
}

/// `, after ci/test is green`; nothing when no check is waited for.
fn green(checks: &[String]) -> String {
    match checks {
        [] => String::new(),
        [only] => format!(", after {only} is green"),
        several => format!(", after {} are green", several.join(", ")),
    }
}
