//! What a command is answered, where a reaction alone does not say it.

use serde::{Deserialize, Serialize};

use crate::ids::EnvironmentName;
use crate::manifest::visible;

use super::markdown::{NAME, clip, code, prose};

/// One answer, to one person's command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Who asked.
    pub to: String,
    /// The comment that asked; a review's number is negative. So that nobody is answered twice.
    #[serde(default)]
    pub asked: i64,
    /// What is answered.
    #[serde(flatten)]
    pub answered: Answered,
}

/// A word of a hold, and the page of ours that says what it means and what to type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meaning {
    /// The word.
    pub word: String,
    /// The page's address.
    pub address: String,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answered", rename_all = "snake_case")]
pub enum Answered {
    /// `help`: the list of commands.
    Help,
    /// `explain`: a sentence for each environment, for this reader.
    Explain {
        /// What is missing and who can give it.
        sentences: Vec<String>,
        /// The words of holds in them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        meanings: Vec<Meaning>,
    },
    /// `approve`: what was consented to, and what not and why.
    Approved {
        /// Consented to.
        environments: Vec<EnvironmentName>,
        /// Refused, each with a sentence.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        refused: Vec<String>,
    },
    /// `waive`: of which environments, and what not and why.
    Waived {
        /// The policy.
        policy: String,
        /// Waived here.
        environments: Vec<EnvironmentName>,
        /// Refused, each with a sentence.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        refused: Vec<String>,
    },
    /// More than one change was shown, so it has to be said which one.
    WhichChange {
        /// Each environment's line to type, without `/bascule`.
        lines: Vec<String>,
    },
    /// `revoke`.
    Revoked {
        /// Whose approvals are void now.
        environments: Vec<EnvironmentName>,
    },
    /// `sync`, `preview`: done, or why not.
    Said {
        /// A sentence.
        sentence: String,
    },
}

/// Items of a list, and characters of a sentence, that an answer holds.
const ITEMS: usize = 20;
const SENTENCE: usize = 1_000;

/// The commands of this version: what to type, who may, what it does.
const COMMANDS: &[(&str, &str)] = &[
    ("approve [ENV [DIGEST]] [--deletions N]", "consent to exactly the change shown (whom a rule names)"),
    (
        "waive POLICY [ENV [DIGEST]] --reason …",
        "let what a policy denies pass, for this change only (whom that policy names)",
    ),
    ("revoke [ENV]", "take your approvals and waivers back, for ever"),
    ("explain [ENV]", "what is missing and who can give it"),
    ("preview", "render again, and move a held change on"),
    ("sync ENV", "start a sync of what is covered (write access, or whom `may` names)"),
    ("freeze ENV --reason … [--until 2h]", "sync nothing new for a while (write access, or whom `may` names)"),
    ("unfreeze ENV", "end that"),
    ("heal ENV", "apply again what drifted from the last deployment"),
    ("adopt ENV [KIND/NAME]", "a pull request that writes what drifted into the repository, as it is in the cluster"),
    ("emergency ENV --reason …", "let what waits there pass, as one of two (whom `may.emergency` names)"),
    (
        "rollback ENV [--to N|COMMIT] [--reason …]",
        "go back to what was healthy before, and stay there (write access, or whom `may` names)",
    ),
    ("resume ENV", "end that, or try again after a failure"),
    ("help", "this list"),
];

/// The answer as Markdown, in at most `most` bytes: one paragraph, or one and a list.
pub(super) fn written(answer: &Answer, most: usize) -> String {
    let whole = whole(answer);
    if whole.len() <= most {
        return whole;
    }
    format!("{}: the answer is too long for a comment; ask for one environment.\n", code(&clip(&answer.to, 40)))
}

fn whole(answer: &Answer) -> String {
    let to = code(&clip(&answer.to, NAME));
    let names = |all: &[EnvironmentName]| all.iter().map(|name| code(name.as_str())).collect::<Vec<_>>().join(", ");
    let said = |sentence: &str| prose(&clip(&visible(sentence), SENTENCE));
    let typed = |line: &str| code(&format!("/bascule {}", clip(line, NAME)));
    let list = |head: String, items: Vec<String>| {
        let more = items.len().saturating_sub(ITEMS);
        let shown: String = items.into_iter().take(ITEMS).map(|item| format!("- {item}\n")).collect();
        let more = if more > 0 { format!("- and {more} more\n") } else { String::new() };
        format!("{head}\n\n{shown}{more}")
    };
    match &answer.answered {
        Answered::Help => {
            let lines = COMMANDS.iter().map(|(line, does)| format!("{}: {does}", code(&format!("/bascule {line}"))));
            let head = format!("{to}: the first line of a comment may say (ENV is a name, a glob or `stage=NAME`)");
            list(head, lines.collect())
        }
        Answered::Explain { sentences, .. } if sentences.is_empty() => {
            format!("{to}: nothing of this waits for anybody.\n")
        }
        Answered::Explain { sentences, meanings } => {
            let sentences = list(format!("{to}, as of now:"), sentences.iter().map(|one| said(one)).collect());
            let meanings: Vec<_> =
                meanings.iter().map(|one| format!("[{}](<{}>)", code(&one.word), one.address)).collect();
            if meanings.is_empty() {
                return sentences;
            }
            format!("{sentences}\nWhat it means, and what to look at: {}\n", meanings.join(", "))
        }
        Answered::Approved { environments, refused } => {
            let mut text = match environments.as_slice() {
                [] => format!("{to}: nothing was approved."),
                some => format!("{to} approved {}.", names(some)),
            };
            for why in refused.iter().take(ITEMS) {
                text.push(' ');
                text.push_str(&said(why));
            }
            text + "\n"
        }
        Answered::Waived { policy, environments, refused } => {
            let policy = code(&clip(policy, NAME));
            let mut text = match environments.as_slice() {
                [] => format!("{to}: {policy} was not waived."),
                some => format!("{to} waived {policy} for {}, for this change only.", names(some)),
            };
            for why in refused.iter().take(ITEMS) {
                text.push(' ');
                text.push_str(&said(why));
            }
            text + "\n"
        }
        Answered::WhichChange { lines } => {
            let head = format!("{to}: more than one change was shown; say which one you consent to:");
            list(head, lines.iter().map(|line| typed(line)).collect())
        }
        Answered::Revoked { environments } if environments.is_empty() => {
            format!("{to}: there was no approval of yours to take back.\n")
        }
        Answered::Revoked { environments } => {
            format!("{to} took back what was approved for {}.\n", names(environments))
        }
        Answered::Said { sentence } => format!("{to}: {}\n", said(sentence)),
    }
}
