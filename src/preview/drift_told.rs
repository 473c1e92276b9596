//! What is said of drift in an issue of ours.

use jiff::Timestamp;

use super::markdown::{clip, code, prose};
use crate::ids::EnvironmentName;

/// Fields and hands named of one object; the rest is counted.
const FIELDS: usize = 10;
/// Characters of a name, and of a sentence: whoever writes an object decides how long its keys are.
const NAME: usize = 200;
const SENTENCE: usize = 500;
/// Bytes of all lines; an object that would go beyond is counted. GitHub takes 65,536 characters, the least of all.
const LINES: usize = 40_000;

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
    let count = drifted.len() + more;
    let mut room = LINES;
    let mut lines: Vec<String> = Vec::new();
    for line in drifted.iter().map(line) {
        let Some(left) = room.checked_sub(line.len()) else { break };
        room = left;
        lines.push(line);
    }
    let more = count - lines.len();
    if more > 0 {
        lines.push(format!("- and {more} more: `bascule drift {environment}`"));
    }
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
    let named = |all: &[String]| {
        let mut named: Vec<String> = all.iter().take(FIELDS).map(|name| code(&clip(name, NAME))).collect();
        let more = all.len().saturating_sub(FIELDS);
        if more > 0 {
            named.push(format!("{more} more"));
        }
        named.join(", ")
    };
    let mut said = format!("- {}: {}", code(&clip(&one.object, SENTENCE)), one.what);
    if !one.fields.is_empty() {
        said += &format!(": {}", named(one.fields));
    }
    if !one.by.is_empty() {
        said += &format!(", by {}", named(one.by));
    }
    said += &format!(", since {}", one.since.strftime("%Y-%m-%d %H:%MZ"));
    if let Some(detail) = one.detail {
        said += &format!("; {}", prose(&clip(detail, SENTENCE)));
    }
    if let Some(trouble) = one.trouble {
        said += &format!("; it could not be put right: {}", prose(&clip(trouble, SENTENCE)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_long_what_drifted_is_it_fits_into_an_issue_and_everything_is_counted() {
        let long = vec!["`\u{202e}@all ".repeat(1000); 1000];
        let one = || DriftTold {
            object: "ConfigMap shop/web".repeat(100),
            what: "changed",
            fields: &long,
            by: &long,
            detail: Some(&long[0]),
            since: Timestamp::UNIX_EPOCH,
            trouble: Some(&long[0]),
            can_be_healed: true,
            can_be_adopted: false,
        };
        let all: Vec<DriftTold<'_>> = (0..50).map(|_| one()).collect();
        let (_, text) = drift_issue(&"production".parse().unwrap(), "prod", "x/1", &all, 7);
        assert!(text.len() < 65_536, "{}", text.len());
        let named = text.lines().filter(|line| line.starts_with("- `ConfigMap")).count();
        assert!(
            named > 0 && text.contains(&format!("- and {} more: `bascule drift production`", 57 - named)),
            "{named}"
        );
        assert!(text.contains("57 objects of `production`") && !text.contains("bascule adopt"), "{text}");
        assert!(is_drift_issue(&text, "x/1") && !is_drift_issue(&text, "x/12"));
    }
}
