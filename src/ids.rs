//! Words: the identities every other module speaks in. Nothing here does I/O or knows a database.
//!
//! Each type is parsed once and cannot be wrong afterwards: a [`CommitId`] is always full lower-case hex, an
//! [`EnvironmentName`] is always printable in a comment, a digest is always 32 bytes.

mod span;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use span::{NoSpan, Span};

/// Why a word could not be read; `Display` is fit for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{given}` {why}")]
pub struct WordError {
    what: &'static str,
    given: String,
    why: &'static str,
}

impl WordError {
    fn new(what: &'static str, given: &str, why: &'static str) -> Self {
        let given = given.chars().take(80).flat_map(char::escape_debug).collect();
        Self { what, given, why }
    }
}

/// Declares a checked string: `FromStr`, `Display`, serde, ordering, and `as_str`.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr, $why:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(String);

        impl $name {
            /// The text, as parsed.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = WordError;
            fn from_str(text: &str) -> Result<Self, WordError> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(WordError::new($what, text, $why)) }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

fn is_config_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 63 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// The characters a Kubernetes label value, a URL segment and a Markdown table cell all take as they are.
fn is_environment_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'.';
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    text.len() <= 63 && text.bytes().all(inner) && edge(text.as_bytes().first()) && edge(text.as_bytes().last())
}

fn is_commit(text: &str) -> bool {
    (text.len() == 40 || text.len() == 64) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

word!(
    /// The name of a configured forge instance: the `work` of `[forge.work]` and of `/webhooks/work`.
    ForgeName, "forge", is_config_name, "must be 1 to 63 letters, digits, `-` or `_`"
);
word!(
    /// The name of a configured cluster: the `prod` of `[cluster.prod]`.
    ClusterName, "cluster", is_config_name, "must be 1 to 63 letters, digits, `-` or `_`"
);
word!(
    /// The name of a configured registry: the `charts` of `[registry.charts]`.
    RegistryName, "registry", is_config_name, "must be 1 to 63 letters, digits, `-` or `_`"
);
word!(
    /// The name of a configured Prometheus: the `main` of `[prometheus.main]`.
    PrometheusName, "prometheus", is_config_name, "must be 1 to 63 letters, digits, `-` or `_`"
);
word!(
    /// The name of an environment within its repository.
    EnvironmentName, "environment", is_environment_name,
    "must be 1 to 63 letters, digits, `-`, `_` or `.`, and begin and end with a letter or digit"
);
word!(
    /// A Git commit (or tree) id: 40 or 64 lower-case hex digits, never abbreviated.
    CommitId, "commit", is_commit, "is not a full hexadecimal object id"
);

impl CommitId {
    /// The first seven digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..7).unwrap_or(&self.0)
    }
}

/// A repository as the forge numbers it: survives renames, differs after delete and re-create.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RepositoryKey {
    /// Which configured forge.
    pub forge: ForgeName,
    /// The forge's own number.
    pub id: i64,
}

/// A merge request or an issue of GitLab, which counts them apart: there is a merge request 5, and an issue 5. Everything
/// of ours knows one number of a place, as the other forges do. So a merge request keeps its own, and an issue has it
/// negative; only what speaks with GitLab, and what people read, tells the two apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Iid {
    /// `!5`
    MergeRequest(i64),
    /// `#5`
    Issue(i64),
}

impl Iid {
    /// What a number of ours names.
    pub fn of(number: i64) -> Self {
        if number < 0 { Self::Issue(number.saturating_neg()) } else { Self::MergeRequest(number) }
    }

    /// Our number of it.
    pub fn number(self) -> i64 {
        match self {
            Self::MergeRequest(iid) => iid,
            Self::Issue(iid) => iid.saturating_neg(),
        }
    }
}

impl fmt::Display for Iid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MergeRequest(iid) => write!(out, "!{iid}"),
            Self::Issue(iid) => write!(out, "#{iid}"),
        }
    }
}

/// An account on a forge. Two values are the same person-account when forge and id agree; the login is for reading.
#[derive(Debug, Clone, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Which configured forge.
    pub forge: ForgeName,
    /// The forge's own number of the account.
    pub id: i64,
    /// The login at the time it was read.
    pub login: String,
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        (&self.forge, self.id) == (&other.forge, other.id)
    }
}
impl PartialOrd for Account {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Account {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.forge, self.id).cmp(&(&other.forge, other.id))
    }
}
impl std::hash::Hash for Account {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.forge, self.id).hash(state);
    }
}

/// Where an environment's objects go. Another target makes it another environment (rule 1 of consent).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The configured cluster.
    pub cluster: ClusterName,
    /// The namespace of objects that name none.
    pub namespace: String,
}

/// Which object of a cluster: the identity under which it is compared, applied, owned and pruned.
/// The API version is not part of it: the same object may be written at another version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// API group, empty for the core group.
    pub group: String,
    /// Kind, as written.
    pub kind: String,
    /// Namespace, `None` for cluster-scoped objects.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(out, "{} {}/{}", self.kind, namespace, self.name),
            None => write!(out, "{} {}", self.kind, self.name),
        }
    }
}

/// A key of a rendered set: the environment's own entry, or one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetKey {
    /// The environment's own block and the owner files it uses.
    Entry,
    /// One rendered object.
    Object(ObjectKey),
}

impl fmt::Display for SetKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry => out.write_str("the environment's own rules"),
            Self::Object(key) => key.fmt(out),
        }
    }
}

/// Declares a 32-byte digest that prints as hex behind an optional prefix.
macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The bytes, as stored.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }
            /// Reads stored bytes; `None` when they are not 32.
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str($prefix)?;
                out.write_str(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, concat!(stringify!($name), "({})"), &hex::encode(self.0)[..12])
            }
        }
        impl FromStr for $name {
            type Err = WordError;
            fn from_str(text: &str) -> Result<Self, WordError> {
                let bytes = hex::decode(text.strip_prefix($prefix).unwrap_or(text));
                bytes.ok().as_deref().and_then(Self::from_bytes).ok_or_else(|| {
                    WordError::new(stringify!($name), text, "is not 64 hexadecimal digits")
                })
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

digest!(
    /// HMAC-SHA-256, under the installation's key, of an object's canonical JSON (rule 2 of consent).
    ObjectHash, ""
);
digest!(
    /// The digest of a rendered set: its sorted keys and hashes.
    SetDigest, "s1:"
);
digest!(
    /// The digest of a change (rule 3 of consent); `b1` is the version of its format.
    ChangeDigest, "b1:"
);

digest!(
    /// The digest of a policy: what it asks, and what becomes of what it finds.
    PolicyDigest, "p1:"
);
digest!(
    /// The digest of everything that a policy denies of one step.
    OpinionDigest, "o1:"
);
digest!(
    /// The digest of what a policy denies of one change: what a waiver names.
    DenialDigest, "d1:"
);

/// A digest that people type.
macro_rules! typed {
    ($name:ident, $prefix:literal) => {
        impl $name {
            /// The twelve digits a comment prints; eight or more are accepted back.
            pub fn short(&self) -> String {
                hex::encode(&self.0[..6])
            }

            #[doc = concat!("Whether `prefix` (eight or more hex digits, with or without `", $prefix, "`) begins this digest.")]
            pub fn matches(&self, prefix: &str) -> bool {
                let digits = prefix.strip_prefix($prefix).unwrap_or(prefix).to_ascii_lowercase();
                digits.len() >= 8 && hex::encode(self.0).starts_with(&digits)
            }
        }
    };
}

typed!(ChangeDigest, "b1:");
typed!(DenialDigest, "d1:");

/// One id from delivery to sync, through every log line and audit entry (invariant 17). The time-ordered kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TraceId(pub uuid::Uuid);

impl fmt::Display for TraceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(out)
    }
}

/// What an entry of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A file, executable or not.
    File,
    /// A folder.
    Folder,
    /// A symbolic link; its blob is its target. Never followed.
    Symlink,
    /// A submodule: a commit of another repository. Never fetched.
    Submodule,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_refuse_what_a_comment_or_a_command_line_could_trip_over() {
        for bad in ["", "-x", "a b", "a\nb", "ä", "x-", &"a".repeat(64), "`a`", "../a"] {
            assert!(bad.parse::<EnvironmentName>().is_err(), "{bad:?}");
        }
        for good in ["production", "shop-berlin", "a.b_c", "1"] {
            assert_eq!(good.parse::<EnvironmentName>().unwrap().as_str(), good);
        }
        assert!("abc123".parse::<CommitId>().is_err(), "abbreviated");
        assert!("A".repeat(40).parse::<CommitId>().is_err(), "upper case");
        assert!("a".repeat(40).parse::<CommitId>().is_ok());
    }

    #[test]
    fn where_issues_are_counted_apart_their_numbers_are_negative() {
        for (iid, number, written) in [(Iid::MergeRequest(5), 5, "!5"), (Iid::Issue(5), -5, "#5")] {
            assert_eq!((iid.number(), Iid::of(number), iid.to_string().as_str()), (number, iid, written));
        }
        assert_eq!(Iid::of(i64::MIN), Iid::Issue(i64::MAX));
    }

    #[test]
    fn a_change_digest_is_named_by_eight_digits_or_more() {
        let digest = ChangeDigest([0xab; 32]);
        assert!(digest.matches("abababab") && digest.matches("b1:ABABABABAB"));
        assert!(!digest.matches("abababa"), "seven are too few");
        assert!(!digest.matches("abababac"));
    }
}
