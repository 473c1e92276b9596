//! Which object somebody means: `KIND/NAME`, as `kubectl` takes it.

use std::str::FromStr;

use super::command::{Command, quoted, too_much};
use super::selector::Selector;

/// The longest name that Kubernetes gives, and longer than any kind.
const LONGEST: usize = 253;

/// An object, as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfObject {
    /// Its kind, in whatever case: `Deployment`, `configmap`.
    pub kind: String,
    /// Its name, or `NAMESPACE/NAME`.
    pub name: String,
}

/// Nothing of the kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an object (Deployment/web, or Deployment/shop/web where two namespaces have one)")]
pub struct NoObject;

impl FromStr for OfObject {
    type Err = NoObject;
    fn from_str(text: &str) -> Result<Self, NoObject> {
        let (kind, name) = text.split_once('/').ok_or(NoObject)?;
        let is_name = |name: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
            (1..=LONGEST).contains(&name.len()) && name.bytes().all(plain)
        };
        let is_kind = (1..=LONGEST).contains(&kind.len()) && kind.bytes().all(|b| b.is_ascii_alphanumeric());
        let names = name.split('/').count();
        if !is_kind || names > 2 || !name.split('/').all(is_name) {
            return Err(NoObject);
        }
        Ok(Self { kind: kind.to_owned(), name: name.to_owned() })
    }
}

impl OfObject {
    /// Whether it is this one.
    pub fn is(&self, key: &crate::ids::ObjectKey) -> bool {
        let names = |namespace: Option<&str>, name: &str| match namespace {
            Some(namespace) => self.name == name || self.name == format!("{namespace}/{name}"),
            None => self.name == name,
        };
        self.kind.eq_ignore_ascii_case(&key.kind) && names(key.namespace.as_deref(), &key.name)
    }
}

impl std::fmt::Display for OfObject {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.kind, self.name)
    }
}

/// `adopt ENV [KIND/NAME]`, without its first word.
pub(super) fn read(words: &[&str]) -> Result<Command, String> {
    let (environments, of) = match words {
        [] => {
            return Err("`adopt` needs the environment: `/bascule adopt ENV [KIND/NAME]`; nothing was done.".to_owned());
        }
        [environments] => (environments, None),
        [environments, of] => (environments, Some(*of)),
        [_, _, more, ..] => return Err(too_much("adopt", more)),
    };
    let of = match of {
        Some(of) => {
            let read = of.parse::<OfObject>();
            Some(read.map_err(|error| format!("`adopt ENV` takes {error}, not {}; nothing was done.", quoted(of)))?)
        }
        None => None,
    };
    Ok(Command::Adopt { environments: Selector::parse(environments)?, of })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ObjectKey;

    #[test]
    fn an_object_is_named_as_kubectl_names_it() {
        for bad in [
            "",
            "web",
            "/web",
            "Deployment/",
            "Deployment/a/b/c",
            "Deploy ment/web",
            "Deployment/we\u{301}b",
            "../x",
            "a/../b;",
        ] {
            assert!(bad.parse::<OfObject>().is_err(), "{bad}");
        }
        let key = ObjectKey {
            group: "apps".into(),
            kind: "Deployment".into(),
            namespace: Some("shop".into()),
            name: "web".into(),
        };
        for (text, is) in [
            ("Deployment/web", true),
            ("deployment/web", true),
            ("deployment/shop/web", true),
            ("deployment/other/web", false),
            ("StatefulSet/web", false),
            ("Deployment/Web", false),
        ] {
            assert_eq!(text.parse::<OfObject>().unwrap().is(&key), is, "{text}");
        }
        assert!(!"ClusterRole/shop/x".parse::<OfObject>().unwrap().is(&ObjectKey {
            group: String::new(),
            kind: "ClusterRole".into(),
            namespace: None,
            name: "x".into()
        }));
    }
}
