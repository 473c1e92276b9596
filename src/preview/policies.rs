//! What policies said of a change. Their words are of whoever wrote them, and shown as such.

use serde::{Deserialize, Serialize};

use crate::ids::ObjectKey;
use crate::manifest::visible;

use super::markdown::{NAME, clip, code, prose};
use super::page::{Consent, EnvironmentRow};
use super::words::{count, name, object};

/// Bytes of a finding's words in a comment.
const WORDS: usize = 300;

/// What a policy makes of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruling {
    /// It cannot be asked, and nothing passes.
    Broken,
    /// It denies the change, and nothing passes.
    Denies,
    /// It denies the change, and those whom it names let that pass.
    Waived,
    /// It cannot be asked, and the change replaces it: whoever owns the file is asked.
    Mended,
    /// It asks people.
    Reviews,
    /// It only says so.
    Warns,
}

/// One thing that a policy said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PolicyRemark {
    /// What it makes of it.
    pub ruling: Ruling,
    /// The policy's name.
    pub policy: String,
    /// At which object; `None` is the change as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectKey>,
    /// Its words, or why it cannot be asked.
    pub message: String,
    /// How many more like it there are.
    #[serde(default, skip_serializing_if = "is_none")]
    pub more: u64,
}

/// What a policy denies and somebody may waive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyWaiver {
    /// The policy.
    pub policy: String,
    /// The digits of what it denies, which a waiver names.
    pub digest: String,
    /// The whole line to type.
    pub line: String,
    /// How many have to waive it.
    pub needed: u32,
    /// Whether they did.
    pub is_waived: bool,
    /// Who did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<WaivedBy>,
}

/// Somebody who waived it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaivedBy {
    /// Who.
    pub login: String,
    /// Why, in their words.
    pub reason: String,
}

impl PolicyWaiver {
    /// In one plain line.
    pub fn line(&self) -> String {
        let by: Vec<String> = self.by.iter().map(|one| format!("@{}: {}", one.login, one.reason)).collect();
        match (self.is_waived, by.is_empty()) {
            (true, _) => format!("policy {} is waived by {}", self.policy, by.join("; ")),
            (false, true) => format!("policy {} can be waived for this change: {}", self.policy, self.line),
            (false, false) => {
                format!("policy {} is waived by {}, and waits for others: {}", self.policy, by.join("; "), self.line)
            }
        }
    }

    /// For the comment; the digits are in it either way, since a waiver is bound to what was shown.
    fn written(&self, of: &str) -> String {
        let policy = code(&clip(&self.policy, NAME));
        let said = |one: &WaivedBy| {
            let reason = prose(&clip(&visible(&one.reason), WORDS));
            format!("{}: {reason}", code(&format!("@{}", clip(&one.login, NAME))))
        };
        let by = self.by.iter().map(said).collect::<Vec<_>>().join("; ");
        let digest = code(&format!("d1:{}", self.digest));
        let line = code(&self.line);
        match (self.is_waived, self.by.is_empty()) {
            (true, _) => format!("- ⚠ {of}: {policy} is waived, for {digest} only, by {by}\n"),
            (false, true) => format!("- {of}: {policy} is waived for this change alone by {line}\n"),
            (false, false) => format!("- {of}: {policy} is waived by {by}; others have to say it too: {line}\n"),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(number: &u64) -> bool {
    *number == 0
}

impl Ruling {
    /// Whether nothing passes.
    pub fn closes(self) -> bool {
        match self {
            Self::Broken | Self::Denies => true,
            Self::Waived | Self::Mended | Self::Reviews | Self::Warns => false,
        }
    }

    /// Completes "policy `x` …".
    pub fn word(self) -> &'static str {
        match self {
            Self::Broken => "cannot be asked",
            Self::Denies => "denies",
            Self::Waived => "denies, which is waived,",
            Self::Mended => "cannot be asked, and is replaced: the file's owners are asked",
            Self::Reviews => "asks for a review",
            Self::Warns => "warns",
        }
    }
}

impl PolicyRemark {
    /// In one plain line: ``no-pods denies Pod shop/debug: no bare pods``.
    pub fn line(&self) -> String {
        let at = self.object.as_ref().map(|key| format!(" {key}")).unwrap_or_default();
        let more = if self.more > 0 { format!(" (and {} more)", self.more) } else { String::new() };
        format!("policy {} {}{at}: {}{more}", self.policy, self.ruling.word(), self.message)
    }
}

impl EnvironmentRow {
    /// Policies that let nothing pass, by name.
    pub fn denied_by(&self) -> Vec<&str> {
        let closing = self.policies.iter().filter(|one| one.ruling.closes());
        let mut names: Vec<&str> = closing.map(|one| one.policy.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Policies that were waived, by name.
    pub fn waived(&self) -> Vec<&str> {
        self.waivers.iter().filter(|one| one.is_waived).map(|one| one.policy.as_str()).collect()
    }

    /// Whether nothing is asked but waivers: then there is nothing to approve.
    pub(super) fn asks_only_waivers(&self) -> bool {
        let waivers: u32 = self.waivers.iter().map(|one| one.needed).sum();
        matches!(self.consent, Consent::Asked { wanted, .. } if waivers > 0 && wanted == waivers)
    }
}

/// What policies said, for the comment: what closes comes first, at most `most` lines for an environment.
pub(super) fn remarks(row: &EnvironmentRow, most: usize) -> String {
    let mut all: Vec<&PolicyRemark> = row.policies.iter().collect();
    all.sort();
    let mut text = String::new();
    for one in all.iter().take(most) {
        let sign = if one.ruling.closes() { "⛔" } else { "⚠" };
        let at = one.object.as_ref().map(|key| format!(" at {}", object(key))).unwrap_or_default();
        let more = if one.more > 0 { format!(" (and {} more)", one.more) } else { String::new() };
        let said = prose(&clip(&visible(&one.message), WORDS));
        let policy = code(&clip(&one.policy, NAME));
        text.push_str(&format!("- {sign} {}: {policy} **{}**{at}: {said}{more}\n", name(row), one.ruling.word()));
    }
    let left = all.len().saturating_sub(most);
    if left > 0 {
        text.push_str(&format!("- and {} of policies of {}\n", count(left, "more remark"), name(row)));
    }
    for waiver in &row.waivers {
        text.push_str(&waiver.written(&name(row)));
    }
    if text.is_empty() { text } else { text + "\n" }
}
