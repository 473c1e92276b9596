//! What is said of an emergency, in an issue of ours.

use uuid::Uuid;

use super::markdown::{code, prose};
use crate::ids::EnvironmentName;

/// Title and text of the issue: who let pass what, over what, and who has to look at it.
pub fn emergency_issue(
    environment: &EnvironmentName,
    number: i64,
    deployment: &Uuid,
    people: &[(&str, &str)],
    passed: &[String],
) -> (String, String) {
    let title = format!("Bascule: emergency in {environment}, deployment {number}");
    let who: Vec<String> =
        people.iter().map(|(login, reason)| format!("- {}: {}", code(login), prose(reason))).collect();
    let passed: Vec<String> = passed.iter().map(|one| format!("- {}", prose(one))).collect();
    let text = format!(
        "{}\nTwo people let deployment `#{number}` of `{environment}` pass:\n\n{}\n\nIt passed over:\n\n{}\n\n**A review is owed \
         within 24 hours**, by somebody whom the environment's rules name and who did not take part: look at what was deployed, \
         and write `/bascule reviewed` here. Closing this issue without that ends nothing.\n",
        marker(deployment),
        who.join("\n"),
        passed.join("\n")
    );
    (title, text)
}

/// Whether a text is that of [`emergency_issue`] of this deployment.
pub fn is_emergency_issue(text: &str, deployment: &Uuid) -> bool {
    text.trim_start().starts_with(&marker(deployment))
}

/// A reminder, so many days later: our one comment in that issue.
pub fn emergency_reminder(environment: &EnvironmentName, days: i32) -> String {
    let days = if days == 1 { "a day".to_owned() } else { format!("{days} days") };
    format!(
        "{OWED}\nThis emergency in `{environment}` was {days} ago, and nobody reviewed it yet. Whoever looked at it writes \
         `/bascule reviewed`.\n"
    )
}

/// Whether a comment is such a reminder.
pub fn is_emergency_reminder(text: &str) -> bool {
    text.trim_start().starts_with(OWED)
}

const OWED: &str = "<!-- bascule:owed -->";

fn marker(deployment: &Uuid) -> String {
    format!("<!-- bascule:emergency {deployment} -->")
}
