//! What a repository is called on its forge.

/// `owner/name`, checked so that it can be a path of a URL and nothing else. Read as text it has exactly these two
/// segments; where groups are within groups, it is read by [`RepositoryName::in_groups`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepositoryName {
    owner: String,
    name: String,
}

/// A name that is no `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a repository's name is `owner/name`, of letters, digits, `.`, `-` and `_`")]
pub struct NotAName;

/// Groups within groups that GitLab allows, and the repository.
const DEEPEST_NAME: usize = 21;

impl RepositoryName {
    /// A name of GitLab: `group/name`, `group/subgroup/name`, and so on.
    ///
    /// # Errors
    /// One segment, too many, or one that is none.
    pub fn in_groups(text: &str) -> Result<Self, NotAName> {
        let (owner, name) = text.rsplit_once('/').ok_or(NotAName)?;
        let good = text.split('/').count() <= DEEPEST_NAME && text.split('/').all(is_segment);
        good.then(|| Self { owner: owner.to_owned(), name: name.to_owned() }).ok_or(NotAName)
    }

    /// The owner: a person, an organisation, or a group within its groups (`acme/platform`).
    pub fn owner(&self) -> &str {
        &self.owner
    }
    /// The name within the owner's.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl std::str::FromStr for RepositoryName {
    type Err = NotAName;
    fn from_str(text: &str) -> Result<Self, NotAName> {
        match text.split_once('/') {
            Some((owner, name)) if is_segment(owner) && is_segment(name) => {
                Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
            }
            _ => Err(NotAName),
        }
    }
}

impl std::fmt::Display for RepositoryName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.owner, self.name)
    }
}

/// Whether `text` can be a login, an organisation or a repository: what goes into a path as one segment.
pub(super) fn is_segment(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= 100 && text.bytes().all(inner) && text.bytes().any(|b| b != b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_two_segments_and_within_groups_as_many_as_there_are_groups() {
        let nested = RepositoryName::in_groups("acme/platform/tools/shop").unwrap();
        assert_eq!((nested.owner(), nested.name()), ("acme/platform/tools", "shop"));
        assert_eq!(nested.to_string(), "acme/platform/tools/shop");
        assert!("acme/platform/shop".parse::<RepositoryName>().is_err(), "elsewhere there are no groups within groups");
        assert_eq!("acme/shop".parse(), RepositoryName::in_groups("acme/shop"));
        let deep = |segments: usize| vec!["a"; segments].join("/");
        assert!(RepositoryName::in_groups(&deep(21)).is_ok() && RepositoryName::in_groups(&deep(22)).is_err());
        for bad in [
            "",
            "shop",
            "/shop",
            "acme/",
            "acme//shop",
            "acme/../shop",
            "acme/./shop",
            "a b/shop",
            "a%2Fb/shop",
            "a?/b",
        ] {
            assert!(RepositoryName::in_groups(bad).is_err() && bad.parse::<RepositoryName>().is_err(), "{bad}");
        }
    }
}
