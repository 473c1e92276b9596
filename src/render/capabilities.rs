//! What a chart is told of the cluster it is for.

use std::collections::BTreeSet;

/// `.Capabilities`, as the target's cluster says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// `v1.36.0`.
    version: String,
    /// `apps/v1` and `apps/v1/Deployment`, sorted.
    api_versions: BTreeSet<String>,
}

/// API versions in one argument, each a hundred bytes at most: the kernel takes 128 KiB.
const IN_ONE: usize = 500;

impl Capabilities {
    /// Of a cluster's own version and the kinds it serves, (API version, kind). What could be taken for more than one word, and
    /// no cluster has, is left out.
    pub fn new<'k>(version: &str, kinds: impl Iterator<Item = (&'k str, &'k str)>) -> Option<Self> {
        let plain = |text: &str| {
            let fits = (1..=253).contains(&text.len());
            fits && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"./-+".contains(&b))
        };
        let api_versions = kinds
            .flat_map(|(version, kind)| [version.to_owned(), format!("{version}/{kind}")])
            .filter(|one| plain(one))
            .collect();
        plain(version).then(|| Self { version: version.to_owned(), api_versions })
    }

    /// Everything it says.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.version.as_str()).chain(self.api_versions.iter().map(String::as_str))
    }

    /// The same for helm. It adds what it was built with to what it is told here, and cannot be told to leave that out.
    pub(super) fn arguments(&self) -> Vec<String> {
        let all: Vec<&str> = self.api_versions.iter().map(String::as_str).collect();
        let versions = all.chunks(IN_ONE).map(|some| format!("--api-versions={}", some.join(",")));
        std::iter::once(format!("--kube-version={}", self.version)).chain(versions).collect()
    }

    /// For people.
    pub(super) fn title(&self) -> String {
        format!("for Kubernetes {}", self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_told_to_helm_in_words_that_are_nothing_else() {
        let kinds = [("v1", "Pod"), ("apps/v1", "Deployment"), ("x,--post-renderer=y/v1", "Z")];
        let told = Capabilities::new("v1.36.0", kinds.into_iter()).unwrap();
        assert_eq!(told.arguments(), ["--kube-version=v1.36.0", "--api-versions=apps/v1,apps/v1/Deployment,v1,v1/Pod"]);
        assert_eq!(Capabilities::new("v1 --x", kinds.into_iter()), None);
    }
}
