//! What must not be shown: by the object's kind, by the name a value has, by what a value looks like.
//!
//! Redaction is for display alone and errs on the side of hiding. It is no proof: a password in a field called `note` is
//! shown, as it is in the pull request itself.

use std::iter::Peekable;
use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Matches, Regex};

use super::super::fingerprint::Fingerprints;

/// Stands where a value was, of which nothing is said.
pub(super) const REDACTED: &str = "(redacted)";
/// How whatever stands where a value was begins.
const OPENS: &str = "(redacted";

/// What stands where a value was.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark<'f> {
    /// Nothing is said of it.
    Bare,
    /// Its fingerprint: which values are the same.
    Of(&'f Fingerprints),
}

impl Mark<'_> {
    /// Stands where this value was.
    pub(super) fn of(self, value: &[u8]) -> String {
        match self {
            Self::Bare => REDACTED.to_owned(),
            Self::Of(fingerprints) => format!("{OPENS} {})", fingerprints.letters(value)),
        }
    }

    /// The same of text as it is written in a file: without the quotes around it and what separates it from the next.
    fn written(self, value: &str) -> String {
        self.of(value.trim_matches(['"', '\'', ',']).as_bytes())
    }
}

/// A word that makes the value of its name a secret …
const SECRET: &[&str] = &[
    "apikey",
    "bearer",
    "credential",
    "credentials",
    "dockercfg",
    "dockerconfigjson",
    "htpasswd",
    "jwt",
    "netrc",
    "pass",
    "passphrase",
    "passwd",
    "password",
    "passwords",
    "pgpass",
    "privatekey",
    "pwd",
    "secret",
    "secrets",
    "token",
    "tokens",
];
/// … or two that follow each other.
const KEY_OF: &[&str] = &[
    "access",
    "account",
    "api",
    "auth",
    "encryption",
    "master",
    "private",
    "rsa",
    "secret",
    "shared",
    "signing",
    "ssh",
];
/// A last word that makes it the name, place or measure of a secret instead.
const ABOUT: &[&str] = &[
    "algorithm",
    "audience",
    "audiences",
    "class",
    "count",
    "dir",
    "enabled",
    "endpoint",
    "expiration",
    "expiry",
    "file",
    "host",
    "id",
    "issuer",
    "kind",
    "length",
    "limit",
    "mode",
    "mount",
    "name",
    "names",
    "namespace",
    "path",
    "policy",
    "port",
    "provider",
    "ref",
    "refs",
    "required",
    "seconds",
    "selector",
    "size",
    "store",
    "timeout",
    "ttl",
    "type",
    "version",
    "volume",
];
/// A first word that does so.
const REFERS: &[&str] = &["existing"];

/// Whether the value of this name is to be hidden: a key of a ConfigMap, an environment variable, a field, a flag.
pub(super) fn is_secret_name(name: &str) -> bool {
    // Most names have nothing of it, which is said at once of all words. What is not ASCII may be a large letter of one.
    (!name.is_ascii() || NAMED.is_match(name)) && is_secret_by_words(name)
}

/// The same, its words looked at one by one.
fn is_secret_by_words(name: &str) -> bool {
    let words = words(name);
    let last_is_about = words.last().is_some_and(|word| ABOUT.contains(&word.as_str()));
    let first_refers = words.first().is_some_and(|word| REFERS.contains(&word.as_str()));
    if last_is_about || first_refers {
        return false;
    }
    let pair = |two: &[String]| two[1].starts_with("key") && KEY_OF.contains(&two[0].as_str());
    // `passwordKey` names a key within a Secret, unless it is a key of its own right (`secretKey`).
    let names_a_key = words.len() > 1 && words.last().is_some_and(|word| word == "key");
    words.windows(2).any(pair) || (!names_a_key && words.iter().any(|word| SECRET.contains(&word.as_str())))
}

/// `DB_PASSWORD`, `dbPassword`, `db.password` → db, password.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut last = ' ';
    for c in name.chars().take(256) {
        if !c.is_alphanumeric() || (c.is_uppercase() && (last.is_lowercase() || last.is_ascii_digit())) {
            words.push(String::new());
        }
        if let (true, Some(word)) = (c.is_alphanumeric(), words.last_mut()) {
            word.extend(c.to_lowercase());
        }
        last = c;
    }
    for word in &mut words {
        // `SECRET2` is a secret as much as the first one.
        word.truncate(word.trim_end_matches(|c: char| c.is_ascii_digit()).len());
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A word that makes a name a secret's, or the end of two that do.
static NAMED: LazyLock<Regex> = LazyLock::new(|| pattern(&format!("(?i-u:{}|key)", SECRET.join("|"))));
static USER_OF_URL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?<user>[^\s/@?#]+)@"));
static ASSIGNED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?<name>[A-Za-z][A-Za-z0-9_.-]*)(?<sign>["']?\s*(?:[=:]|:=)\s*)(?<value>[^\s,;&]+)"#));
static SETTING: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"^(?<head>\s*(?:export\s+|-\s+)?["']?(?<name>[A-Za-z][A-Za-z0-9_.-]*)["']?\s*(?:[=:]|:=)\s*)(?<value>\S.*)$"#,
    )
});
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk_live_|npm_|hvs\.)[A-Za-z0-9_-]{10,}",
    )
});

/// What a line has in it of which anything is hidden: a word of a secret's name, or what the other patterns cannot do
/// without. Most lines have nothing of it, and looking for all of it at once is a twentieth of asking each pattern.
static ANYTHING: LazyLock<Regex> = LazyLock::new(|| {
    // Names are of ASCII letters in the patterns that hide by a name; two words that make a secret together end in `key…`.
    let words = SECRET.join("|");
    pattern(&format!("(?i-u:{words}|key)|://|eyJ|AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|xox|sk_live_|npm_|hvs\\."))
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant that the tests compile")
}

/// Whether a whole value is a private key.
pub(super) fn is_private_key(value: &str) -> bool {
    value.contains("-----BEGIN") && value.contains("PRIVATE KEY")
}

/// One line of text with its secrets hidden: users of URLs, well-known tokens, and what is assigned to a secret's name
/// (`--password=x`, `db.password: x`, `"token": "x"`). `None` when there are none.
pub(super) fn hide(line: &str, mark: Mark<'_>) -> Option<String> {
    // Most lines are neither an assignment nor a URL, and shorter than any token.
    if line.len() < 16 && !line.contains(['=', ':', '@']) || !ANYTHING.is_match(line) {
        return None;
    }
    hide_each(line, mark)
}

/// The same, each pattern asked.
fn hide_each(line: &str, mark: Mark<'_>) -> Option<String> {
    if let Some(setting) = SETTING.captures(line)
        && is_secret_name(&setting["name"])
        && !is_reference(&setting["value"])
    {
        return Some(format!("{}{}", &setting["head"], mark.written(&setting["value"])));
    }
    let user = |found: &Captures<'_>| format!("{}{}@", &found["scheme"], mark.of(found["user"].as_bytes()));
    let mut shown = USER_OF_URL.replace_all(line, user).into_owned();
    shown = TOKEN.replace_all(&shown, |found: &Captures<'_>| mark.of(found[0].as_bytes())).into_owned();
    shown = ASSIGNED
        .replace_all(&shown, |found: &Captures<'_>| {
            let value = &found["value"];
            if is_secret_name(&found["name"]) && !is_reference(value) && !value.contains(OPENS) {
                format!("{}{}{}", &found["name"], &found["sign"], mark.written(value))
            } else {
                found[0].to_owned()
            }
        })
        .into_owned();
    (shown != line).then_some(shown)
}

/// Whether anything of a text would be hidden.
pub(super) fn is_redacted(text: &str) -> bool {
    let mut below = Below::default();
    is_private_key(text) || (ANYTHING.is_match(text) && text.lines().any(|line| below.hide(line, Mark::Bare).is_some()))
}

/// The lines of a text in which there is anything of what is hidden, found in one go: to ask each line by itself takes
/// longer than to compare them.
pub(super) struct Suspects<'t>(Peekable<Matches<'static, 't>>);

impl<'t> Suspects<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self(ANYTHING.find_iter(text).peekable())
    }

    /// Whether there is anything in these bytes of the text, which come after those that were asked about before. Nothing
    /// that is looked for goes from one line to the next.
    pub(super) fn are_in(&mut self, line: Range<usize>) -> bool {
        while self.0.next_if(|found| found.start() < line.start).is_some() {}
        self.0.peek().is_some_and(|found| found.start() < line.end)
    }
}

/// A variable or a template's expression instead of a value.
fn is_reference(value: &str) -> bool {
    let value = value.trim_matches(['"', '\'', ',']);
    let within = |open, close| value.strip_prefix(open).and_then(|rest: &str| rest.strip_suffix(close)).is_some();
    within("$(", ")") || within("${", "}") || within("{{", "}}")
}

/// Hides line after line of a text that may itself be YAML: also what stands below `password: |`.
#[derive(Default)]
pub(super) struct Below(Option<usize>);

impl Below {
    /// Whether lines are hidden because of what stands above them.
    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// The line with its secrets hidden; `None` when it has none.
    pub(super) fn hide(&mut self, line: &str, mark: Mark<'_>) -> Option<String> {
        let indent = line.len() - line.trim_start().len();
        if let Some(above) = self.0 {
            if line.trim().is_empty() {
                return None;
            }
            if indent > above {
                return Some(format!("{:indent$}{}", "", mark.of(line.trim().as_bytes())));
            }
            self.0 = None;
        }
        let opens = |setting: Captures<'_>| {
            let value = &setting["value"];
            value.starts_with(['|', '>']) && value.len() <= 3 && is_secret_name(&setting["name"])
        };
        if !ANYTHING.is_match(line) {
            return None;
        }
        if SETTING.captures(line).is_some_and(opens) {
            self.0 = Some(indent);
            return None;
        }
        hide(line, mark)
    }
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;
