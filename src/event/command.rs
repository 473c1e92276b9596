//! Commands in comments: the first line of a new, unedited comment or review, outside quotes and code.
//!
//! Reading a command never fails: a comment has none, or one, or one we answer with what is wrong about it. What
//! looks like a command but could be read in two ways is refused, because a person's consent must not be guessed.
//!
//! Deliberately not commands: `/bascule` anywhere but on the first line, inside a quote (also the lazy continuation
//! that Markdown gives a quote's last paragraph) or code; and words whose letters only look like ours.

use super::back_to;
pub use super::back_to::BackTo;
use super::of_object::{self, OfObject};
pub use super::selector::Selector;
use super::until::Until;

/// The word every command begins with.
const TRIGGER: &str = "/bascule";
/// A longer command line was not typed by a person; its answer would be as long.
const LONGEST_LINE: usize = 500;
/// A longer reason belongs in the pull request's text.
pub const LONGEST_REASON: usize = 300;

/// An environment's name, a number and a policy's: no name of a policy is longer.
const LONGEST_POLICY: usize = 140;

/// What a comment asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// List the commands.
    Help,
    /// Say what is missing and who can give it.
    Explain {
        /// `None`: every environment of the pull request.
        environments: Option<Selector>,
    },
    /// Render again, and move a held change on.
    Preview,
    /// Consent to the change shown.
    Approve {
        /// `None`: every environment of the preview whose rules name the giver.
        environments: Option<Selector>,
        /// Eight or more digits of the change consented to, without `b1:`, in lower case.
        digest: Option<String>,
        /// The exact number of deletions consented to.
        deletions: Option<u64>,
        /// For a grant's owner who approves a held change.
        reason: Option<String>,
    },
    /// Take approvals back, for ever.
    Revoke {
        /// `None`: every environment.
        environments: Option<Selector>,
    },
    /// Let what a policy denies pass, for the change shown.
    Waive {
        /// The policy, as it is shown.
        policy: String,
        /// `None`: every environment in which it was shown.
        environments: Option<Selector>,
        /// Eight or more digits of what is denied, without `d1:`, in lower case.
        digest: Option<String>,
        /// Why.
        reason: String,
    },
    /// Start a gated sync.
    Sync {
        /// Which.
        environments: Selector,
    },
    /// Apply again what drifted.
    Heal {
        /// Of which.
        environments: Selector,
    },
    /// Write what drifted into the repository as it is in the cluster.
    Adopt {
        /// Of which.
        environments: Selector,
        /// `None`: everything that drifted.
        of: Option<OfObject>,
    },
    /// Sync nothing new for a while.
    Freeze {
        /// Which.
        environments: Selector,
        /// Why: at most 300 bytes, without control characters.
        reason: String,
        /// `None`: until somebody ends it.
        until: Option<Until>,
    },
    /// End a freeze.
    Unfreeze {
        /// Of which.
        environments: Selector,
    },
    /// Let what an environment waits for pass, as one of two people.
    Emergency {
        /// Which.
        environments: Selector,
        /// Why: at most 300 bytes, without control characters.
        reason: String,
    },
    /// Somebody looked at an emergency, in its own issue.
    Reviewed {
        /// What they found.
        reason: Option<String>,
    },
    /// Put the objects of an earlier content back, and pin the environment there.
    Rollback {
        /// Which.
        environments: Selector,
        /// `None`: to the healthy content before what runs.
        to: Option<BackTo>,
        /// Why, if somebody says so.
        reason: Option<String>,
    },
    /// End a pin, or try again after a failure.
    Resume {
        /// Of which.
        environments: Selector,
    },
    /// Not understood; nothing is done, the sentence is the answer.
    Misunderstood {
        /// What is wrong and what to type, in plain words; quotes of the comment are escaped and short.
        answer: String,
    },
}

/// The command of a comment or of a review's text; `None` when there is none.
pub fn parse(body: &str) -> Option<Command> {
    let mut lines = spoken_lines(body);
    let rest = after_trigger(lines.next()?)?;
    if lines.any(|line| after_trigger(line).is_some()) {
        let answer =
            "One comment carries one command, on its first line; nothing was done. Write one comment for each.";
        return Some(Command::Misunderstood { answer: answer.to_owned() });
    }
    Some(read(rest).unwrap_or_else(|answer| Command::Misunderstood { answer }))
}

/// What follows the trigger word on its line, when the line has it.
fn after_trigger(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches(' ').strip_prefix(TRIGGER)?;
    match rest.chars().next() {
        None => Some(rest),
        Some(next) if next.is_ascii_alphanumeric() || next.is_ascii_punctuation() => None,
        Some(_) => Some(rest),
    }
}

/// The lines a person speaks themselves: without blank ones, quotes and code.
fn spoken_lines(body: &str) -> impl Iterator<Item = &str> {
    let mut fence: Option<(u8, usize)> = None;
    let mut quoting = false;
    body.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).filter(move |line| {
        let indent = line.bytes().take_while(|b| *b == b' ').count();
        let text = line.get(indent..).unwrap_or_default();
        let mark = text.bytes().next().filter(|b| indent < 4 && (*b == b'`' || *b == b'~'));
        let run = mark.map_or(0, |mark| text.bytes().take_while(|b| *b == mark).count());
        if let Some((open, length)) = fence {
            if mark == Some(open) && run >= length && text.bytes().skip(run).all(|b| b == b' ' || b == b'\t') {
                fence = None;
            }
            return false;
        }
        if text.trim_matches([' ', '\t']).is_empty() {
            quoting = false;
            return false;
        }
        if let Some(mark) = mark.filter(|_| run >= 3) {
            fence = Some((mark, run));
            quoting = false;
            return false;
        }
        // A quote goes on until a blank line, whether or not its later lines carry the mark.
        quoting |= indent < 4 && text.starts_with('>');
        !quoting && indent < 4 && !text.starts_with('\t')
    })
}

/// Words of the contract, in the order `help` lists them.
const WORDS: [&str; 15] = [
    "help",
    "explain",
    "preview",
    "approve",
    "revoke",
    "sync",
    "freeze",
    "unfreeze",
    "waive",
    "emergency",
    "reviewed",
    "rollback",
    "resume",
    "heal",
    "adopt",
];

fn read(rest: &str) -> Result<Command, String> {
    if rest.len() > LONGEST_LINE {
        return Err(format!("A command is at most {LONGEST_LINE} characters long; nothing was done."));
    }
    let (typed, reason) = split_reason(rest)?;
    if let Some(odd) = typed.chars().find(|c| !c.is_ascii() || (c.is_ascii_control() && *c != '\t')) {
        return Err(format!(
            "The command contains the character U+{:04X}, which is not one a command is made of, though it may look \
             like one; nothing was done. Type it again by hand.",
            u32::from(odd)
        ));
    }
    let mut words = typed.split([' ', '\t']).filter(|word| !word.is_empty());
    let first = words.next().unwrap_or("help").to_ascii_lowercase();
    let rest: Vec<&str> = words.collect();
    if !WORDS.contains(&first.as_str()) {
        return Err(unknown(&first));
    }
    let reasoned = ["approve", "waive", "freeze", "emergency", "reviewed", "rollback"];
    if reason.is_some() && !reasoned.contains(&first.as_str()) {
        return Err(format!("`{first}` takes no `--reason`; nothing was done."));
    }
    match first.as_str() {
        "help" => none_left("help", &rest).map(|()| Command::Help),
        "preview" => none_left("preview", &rest).map(|()| Command::Preview),
        "explain" => Ok(Command::Explain { environments: at_most_one("explain", &rest)? }),
        "revoke" => Ok(Command::Revoke { environments: at_most_one("revoke", &rest)? }),
        "sync" => Ok(Command::Sync { environments: the_one("sync", &rest)? }),
        "heal" => Ok(Command::Heal { environments: the_one("heal", &rest)? }),
        "adopt" => of_object::read(&rest),
        "unfreeze" => Ok(Command::Unfreeze { environments: the_one("unfreeze", &rest)? }),
        "freeze" => read_freeze(&rest, reason),
        "rollback" => back_to::read(&rest, reason),
        "resume" => Ok(Command::Resume { environments: the_one("resume", &rest)? }),
        "waive" => read_waive(&rest, reason),
        "emergency" => read_emergency(&rest, reason),
        "reviewed" => none_left("reviewed", &rest).map(|()| Command::Reviewed { reason }),
        _ => read_approve(&rest, reason),
    }
}

fn read_waive(words: &[&str], reason: Option<String>) -> Result<Command, String> {
    let (Some(policy), Some(reason)) = (words.first(), reason) else {
        return Err(
            "`waive` needs the policy and a reason: `/bascule waive POLICY --reason …`; nothing was done.".to_owned()
        );
    };
    if !reason.chars().any(char::is_alphanumeric) {
        return Err("A waiver says why, in words: write your reason behind `--reason`; nothing was done.".to_owned());
    }
    // Names of policies, with a floor's, an environment's or a number before them.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/#".contains(&b);
    if policy.len() > LONGEST_POLICY || !policy.bytes().all(plain) || policy.starts_with('-') {
        return Err(format!("{} is not a policy's name; nothing was done.", quoted(policy)));
    }
    let environments = words.get(1).map(|word| Selector::parse(word)).transpose()?;
    let digest = words.get(2).map(|word| read_digest(word.strip_prefix("d1:").unwrap_or(word))).transpose()?;
    if let Some(word) = words.get(3) {
        return Err(too_much("waive", word));
    }
    if digest.is_some() && !matches!(environments, Some(Selector::Name(_))) {
        return Err(
            "A digest names what is denied in one environment: `/bascule waive POLICY ENV DIGEST --reason …`, with \
                    the environment's own name; nothing was done."
                .to_owned(),
        );
    }
    Ok(Command::Waive { policy: (*policy).to_owned(), environments, digest, reason })
}

fn read_approve(words: &[&str], reason: Option<String>) -> Result<Command, String> {
    let (mut environments, mut digest, mut deletions) = (None, None, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some(option) = word.strip_prefix("--") {
            let number = match option.split_once('=') {
                Some(("deletions", number)) => number,
                None if option == "deletions" => words.next().copied().unwrap_or_default(),
                _ => return Err(format!("`approve` has no option {}; nothing was done.", quoted(word))),
            };
            let digits = !number.is_empty() && number.len() <= 9 && number.bytes().all(|b| b.is_ascii_digit());
            if !digits || deletions.is_some() {
                return Err("`--deletions` takes one number, once: `--deletions 4`; nothing was done.".to_owned());
            }
            deletions = number.parse().ok();
        } else if environments.is_none() {
            environments = Some(Selector::parse(word)?);
        } else if digest.is_none() {
            digest = Some(read_digest(word)?);
        } else {
            return Err(too_much("approve", word));
        }
    }
    if digest.is_some() && !matches!(environments, Some(Selector::Name(_))) {
        return Err("A digest names one change of one environment: `/bascule approve ENV DIGEST`, with the \
                    environment's own name; nothing was done."
            .to_owned());
    }
    Ok(Command::Approve { environments, digest, deletions, reason })
}

/// `--until` stands before the reason, or is what the reason ends with.
fn read_freeze(words: &[&str], reason: Option<String>) -> Result<Command, String> {
    let line = "`/bascule freeze ENV --reason … [--until 2h]`";
    let Some(reason) = reason else {
        return Err(format!("`freeze` needs a reason: {line}; nothing was done."));
    };
    let (reason, last) = match reason.rsplit_once("--until") {
        Some((reason, until)) => (reason.trim().to_owned(), Some(until.trim_start_matches('=').trim().to_owned())),
        None => (reason, None),
    };
    let (environments, first) = match words {
        [] => return Err(format!("`freeze` needs the environment: {line}; nothing was done.")),
        [environments] => (environments, None),
        [environments, option, rest @ ..] => match (option.strip_prefix("--until"), rest) {
            (Some(""), [until]) => (environments, Some((*until).to_owned())),
            (Some(until), []) if until.starts_with('=') => (environments, Some(until[1..].to_owned())),
            _ => return Err(too_much("freeze", option)),
        },
    };
    if reason.is_empty() {
        return Err(format!("`freeze` needs a reason: {line}; nothing was done."));
    }
    let until = match (first, last) {
        (Some(_), Some(_)) => return Err("`--until` is said twice; nothing was done.".to_owned()),
        (Some(until), None) | (None, Some(until)) => {
            Some(until.parse().map_err(|error| format!("{} is no end: {error}; nothing was done.", quoted(&until)))?)
        }
        (None, None) => None,
    };
    Ok(Command::Freeze { environments: Selector::parse(environments)?, reason, until })
}

fn read_emergency(words: &[&str], reason: Option<String>) -> Result<Command, String> {
    let line = "`/bascule emergency ENV --reason …`";
    let (Some(environments), Some(reason)) = (words.first(), reason) else {
        return Err(format!("`emergency` needs the environment and a reason: {line}; nothing was done."));
    };
    if !reason.chars().any(char::is_alphanumeric) {
        return Err(
            "An emergency says why, in words: write your reason behind `--reason`; nothing was done.".to_owned()
        );
    }
    if let Some(word) = words.get(1) {
        return Err(too_much("emergency", word));
    }
    Ok(Command::Emergency { environments: Selector::parse(environments)?, reason })
}

fn read_digest(word: &str) -> Result<String, String> {
    let digits = word.strip_prefix("b1:").unwrap_or(word).to_ascii_lowercase();
    if (8..=64).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(digits)
    } else {
        Err(format!("{} is not a change's digest: 8 to 64 hexadecimal digits; nothing was done.", quoted(word)))
    }
}

/// Cuts `--reason …` off: it takes the rest of the line, in any script.
fn split_reason(rest: &str) -> Result<(&str, Option<String>), String> {
    let Some(at) = rest.find("--reason") else { return Ok((rest, None)) };
    let (typed, tail) = (&rest[..at], &rest[at + "--reason".len()..]);
    let reason: String =
        tail.trim_start_matches('=').trim().trim_matches('"').chars().filter(|c| !c.is_control()).collect();
    if reason.trim().is_empty() || reason.len() > LONGEST_REASON || !typed.ends_with([' ', '\t']) {
        return Err(format!("`--reason` comes last and takes up to {LONGEST_REASON} characters; nothing was done."));
    }
    Ok((typed, Some(reason)))
}

fn at_most_one(command: &str, words: &[&str]) -> Result<Option<Selector>, String> {
    match words {
        [] => Ok(None),
        [one] => Selector::parse(one).map(Some),
        [_, second, ..] => Err(too_much(command, second)),
    }
}

fn the_one(command: &str, words: &[&str]) -> Result<Selector, String> {
    at_most_one(command, words)?
        .ok_or_else(|| format!("`{command}` needs the environment: `/bascule {command} ENV`; nothing was done."))
}

fn none_left(command: &str, words: &[&str]) -> Result<(), String> {
    words.first().map_or(Ok(()), |word| Err(too_much(command, word)))
}

pub(super) fn too_much(command: &str, word: &str) -> String {
    format!("`{command}` takes no {} there; nothing was done. `/bascule help` lists the commands.", quoted(word))
}

fn unknown(word: &str) -> String {
    let nearest = WORDS.iter().map(|known| (distance(word, known), known)).min();
    let hint = match nearest {
        Some((steps, known)) if steps <= 2 && steps < known.len() => format!(" Did you mean `/bascule {known}`?"),
        _ => " `/bascule help` lists the commands.".to_owned(),
    };
    format!("There is no command {}; nothing was done.{hint}", quoted(word))
}

/// A word of the comment, short and inert in Markdown.
pub(super) fn quoted(word: &str) -> String {
    let inert: String =
        word.chars().take(40).map(|c| if c == '`' || !c.is_ascii_graphic() { '?' } else { c }).collect();
    format!("`{inert}`")
}

/// Levenshtein distance; both words are short.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let next = (corner + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
