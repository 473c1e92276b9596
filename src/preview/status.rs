//! The two lines beside a commit. A forge shows 140 characters of plain text, and both contexts are on every pull request
//! of a granted repository.

use std::collections::BTreeSet;

use super::markdown::clip;
use super::page::{Consent, EnvironmentRow, Outcome, Page};
use super::words::count;
use crate::manifest::visible;

/// The context that says whether a preview could be computed.
pub const PREVIEW_CONTEXT: &str = "bascule/preview";
/// The context that says whether consent is complete.
pub const CONSENT_CONTEXT: &str = "bascule/consent";

/// The shortest limit of the forges.
const LONGEST: usize = 140;

/// A status' state, as every forge has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusState {
    /// A job is at work on it.
    Pending,
    /// Good.
    Success,
    /// Somebody has to do something.
    Failure,
    /// It could not be found out.
    Error,
}

/// One status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusLine {
    /// `bascule/preview` or `bascule/consent`.
    pub context: &'static str,
    /// Good or not.
    pub state: StatusState,
    /// At most 140 characters of plain text.
    pub description: String,
}

impl StatusLine {
    /// Any other: its description is made one line that every forge takes.
    pub fn new(context: &'static str, state: StatusState, description: impl AsRef<str>) -> Self {
        Self { context, state, description: one_line(description.as_ref()) }
    }

    /// While a job computes it.
    pub fn pending(context: &'static str) -> Self {
        Self::new(context, StatusState::Pending, "being computed")
    }

    /// For a pull request that touches nothing of ours, or a repository without a file: at once, without a job.
    pub fn untouched(context: &'static str) -> Self {
        Self::new(context, StatusState::Success, "nothing of ours is touched")
    }
}

/// A line that every forge takes beside something, whatever is in it.
pub fn one_line(text: &str) -> String {
    // One character of it the ellipsis.
    clip(&visible(text), LONGEST - 1)
}

/// What `bascule/preview` says.
pub fn preview_status(page: &Page) -> StatusLine {
    let says = |state, text: String| StatusLine::new(PREVIEW_CONTEXT, state, text);
    match &page.outcome {
        Outcome::Untouched => StatusLine::untouched(PREVIEW_CONTEXT),
        Outcome::Conflict { .. } => says(StatusState::Failure, "cannot be merged as it is".to_owned()),
        Outcome::RulesInvalid { errors } => {
            let first = errors.first().map_or("", String::as_str);
            says(StatusState::Failure, format!(".bascule.yaml cannot be read: {first}"))
        }
        Outcome::Failed { why } => says(StatusState::Error, why.clone()),
        Outcome::Compared => {
            let failed: Vec<&str> =
                page.environments.iter().filter(|row| row.is_failed()).map(|row| row.name.as_str()).collect();
            if !failed.is_empty() {
                return says(StatusState::Failure, format!("does not render: {}", failed.join(", ")));
            }
            if let Some(why) = not_admitted(&page.environments) {
                return says(StatusState::Failure, why);
            }
            let denied = page.environments.iter().map(|row| (row, row.denied_by())).find(|(_, by)| !by.is_empty());
            if let Some((row, by)) = denied {
                return says(StatusState::Failure, format!("{} is closed by policy {}", row.name, by.join(", ")));
            }
            let changed = page.environments.iter().filter(|row| row.digest().is_some()).count();
            match changed {
                0 => says(StatusState::Success, "nothing changes".to_owned()),
                _ => says(
                    StatusState::Success,
                    format!("{} in {} would change", count(page.objects(), "object"), count(changed, "environment")),
                ),
            }
        }
    }
}

/// What the API server would not take, or was not asked about where it has to be.
fn not_admitted(rows: &[EnvironmentRow]) -> Option<String> {
    let of = |number: fn(&EnvironmentRow) -> usize| {
        let some = rows.iter().filter(|row| number(row) > 0);
        let names: Vec<&str> = some.clone().map(|row| row.name.as_str()).collect();
        let objects = count(some.map(number).sum(), "object");
        (!names.is_empty()).then(|| (objects, names.join(", ")))
    };
    let refused = |row: &EnvironmentRow| {
        let [_, refused, conflicts, _] = row.answers();
        refused + conflicts
    };
    let unasked = |row: &EnvironmentRow| {
        let [.., unasked] = row.answers();
        if row.admission_is_required { unasked } else { 0 }
    };
    if let Some((objects, names)) = of(refused) {
        return Some(format!("the API server would not take {objects}: {names}"));
    }
    let (objects, names) = of(unasked)?;
    Some(format!("the API server was not asked about {objects}, and has to be (admission): {names}"))
}

/// What `bascule/consent` says.
pub fn consent_status(page: &Page) -> StatusLine {
    let says = |state, text: String| StatusLine::new(CONSENT_CONTEXT, state, text);
    match &page.outcome {
        Outcome::Untouched => return StatusLine::untouched(CONSENT_CONTEXT),
        Outcome::Conflict { .. } => return says(StatusState::Failure, "there is nothing to consent to yet".to_owned()),
        Outcome::RulesInvalid { .. } => {
            return says(StatusState::Failure, "there are no rules to judge by".to_owned());
        }
        Outcome::Failed { .. } => return says(StatusState::Error, "there is no preview to consent to".to_owned()),
        Outcome::Compared => {}
    }
    if page.environments.iter().any(|row| row.is_failed()) {
        return says(StatusState::Failure, "what does not render cannot be consented to".to_owned());
    }
    let asking = page.environments.iter().filter(|row| row.digest().is_some());
    let open: Vec<String> =
        asking.clone().filter_map(|row| open(&row.consent).map(|what| format!("{} {what}", row.name))).collect();
    if !open.is_empty() {
        return says(StatusState::Failure, format!("missing: {}", open.join(", ")));
    }
    let needed = asking.filter(|row| row.consent != Consent::NotNeeded).count();
    let given = match needed {
        0 => "none needed".to_owned(),
        _ => format!("given for {}", count(needed, "environment")),
    };
    // Behind what passes stands what it passes.
    let waived: BTreeSet<&str> = page.environments.iter().flat_map(EnvironmentRow::waived).collect();
    let waived: Vec<&str> = waived.into_iter().collect();
    let waived = if waived.is_empty() { String::new() } else { format!(", policies waived: {}", waived.join(", ")) };
    says(StatusState::Success, given + &waived)
}

fn open(consent: &Consent) -> Option<String> {
    match consent {
        Consent::NotNeeded | Consent::ByRollback => None,
        Consent::Asked { wanted, given, .. } => (given < wanted).then(|| format!("{given} of {wanted}")),
        Consent::Closed { .. } => Some("cannot be judged".to_owned()),
    }
}
