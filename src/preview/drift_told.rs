//! What is said of drift in an issue of ours.

use jiff::Timestamp;

use super::markdown::{code, prose};
use crate::ids::EnvironmentName;

/// Fields named of one object; the rest is counted.
const FIELDS: usize = 10;

/// An object that is not as it was left: names, and no value.
pub struct DriftTold<'a> {
    /// Which.
    pub object: String,
    /// In which way, in a word.
    pub what: &'a str,
    /// The fields that differ.
    pub fields: &'a [String],
    /// Whose hand it was, as the cluster names it.
    pub by: &'a [String],
    /// What else is to be said.
    pub detail: Option<&'a str>,
    /// Since when.
    pub since: Timestamp,
    /// Why it could not be put right.
    pub trouble: Option<&'a str>,
    /// Whether it can be put back.
    pub can_be_healed: bool,
    /// Whether the repository can be made to say what is there.
    pub can_be_adopted: bool,
}

/// Title and text of the issue. `more`: objects that are only counted; `whose`: installation and environment, by which it is
/// known again.
pub fn drift_issue(
    environment: &EnvironmentName,
    cluster: &str,
    whose: &str,
    drifted: &[DriftTold<'_>],
    more: usize,
) -> (String, String) {
    let mut lines: Vec<String> = drifted.iter().map(line).collect();
    if more > 0 {
        lines.push(format!("- and {more} more: `bascule drift {environment}`"));
    }
    let count = drifted.len() + more;
    let (objects, are) = if count == 1 { ("object", "is") } else { ("objects", "are") };
    let heal = drifted.iter().any(|one| one.can_be_healed).then(|| {
        format!("`bascule heal {environment}`, or `/bascule heal {environment}` in a pull request, puts back what was deployed. ")
    });
    let adopt = drifted
        .iter()
        .any(|one| one.can_be_adopted)
        .then(|| format!("`bascule adopt {environment}` keeps what is there, by a pull request. "));
    let ways: String = heal.into_iter().chain(adopt).collect();
    let text = format!(
        "{}\n{count} {objects} of {} in the cluster {} {are} not as deployed:\n\n{}\n\n{ways}This text is kept up to date, and \
         the issue is closed when everything was as deployed for two hours.\n",
        marker(whose),
        code(environment.as_str()),
        code(cluster),
        lines.join("\n"),
    );
    (title(environment), text)
}

fn line(one: &DriftTold<'_>) -> String {
    let mut fields: Vec<String> = one.fields.iter().take(FIELDS).map(|field| code(field)).collect();
    let more = one.fields.len().saturating_sub(FIELDS);
    if more > 0 {
        fields.push(format!("{more} more"));
    }
    let by: Vec<String> = one.by.iter().map(|by| code(by)).collect();
    let mut said = format!("- {}: {}", code(&one.object), one.what);
    if !fields.is_empty() {
        said += &format!(": {}", fields.join(", "));
    }
    if !by.is_empty() {
        said += &format!(", by {}", by.join(", "));
    }
    said += &format!(", since {}", one.since.strftime("%Y-%m-%d %H:%MZ"));
    if let Some(detail) = one.detail {
        said += &format!("; {}", prose(detail));
    }
    if let Some(trouble) = one.trouble {
        said += &format!("; it could not be put right: {}", prose(trouble));
    }
    said
}

/// The same issue when nothing drifts any more.
pub fn drift_over(environment: &EnvironmentName, whose: &str, since: Timestamp) -> (String, String) {
    let text = format!(
        "{}\nEverything of {} is as deployed, since {}.\n",
        marker(whose),
        code(environment.as_str()),
        since.strftime("%Y-%m-%d %H:%MZ")
    );
    (title(environment), text)
}

/// Whether a text is that of such an issue.
pub fn is_drift_issue(text: &str, whose: &str) -> bool {
    text.trim_start().starts_with(&marker(whose))
}

fn title(environment: &EnvironmentName) -> String {
    format!("Bascule: drift in {environment}")
}

fn marker(whose: &str) -> String {
    format!("<!-- bascule:drift {whose} -->")
}
