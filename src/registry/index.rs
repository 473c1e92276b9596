//! `index.yaml`: what a registry of files has.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::Mutex;

use super::error::{Fate, Fault, RegistryError};
use crate::ids::RegistryName;

/// What was read, for as long as one job asks: an index is up to 32 MiB, takes seconds to read, and names all charts of its
/// registry.
#[derive(Debug, Default)]
pub struct Indexes(Mutex<BTreeMap<RegistryName, Arc<Index>>>);

impl Indexes {
    /// A registry's index, read once.
    pub(super) async fn of(
        &self,
        registry: &RegistryName,
        read: impl Future<Output = Result<Index, RegistryError>>,
    ) -> Result<Arc<Index>, RegistryError> {
        let mut known = self.0.lock().await;
        if let Some(index) = known.get(registry) {
            return Ok(index.clone());
        }
        let index = Arc::new(read.await?);
        known.insert(registry.clone(), index.clone());
        Ok(index)
    }
}

/// An index.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    api_version: String,
    #[serde(default)]
    entries: BTreeMap<String, Option<Vec<Listed>>>,
}

/// One version of a chart, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Listed {
    /// The version.
    pub(super) version: String,
    /// Where its archive is: whole, or from where the index is.
    #[serde(default)]
    pub(super) urls: Vec<String>,
    /// Of the archive, in hex; old ones have none.
    #[serde(default)]
    digest: Option<String>,
}

impl Listed {
    /// `sha256:…`.
    pub(super) fn digest(&self) -> Option<String> {
        let digest = self.digest.as_deref().filter(|digest| !digest.is_empty())?;
        Some(if digest.starts_with("sha256:") { digest.to_owned() } else { format!("sha256:{digest}") })
    }
}

impl Index {
    /// The versions of one chart.
    pub(super) fn versions(&self, chart: &str) -> Result<&[Listed], Fault> {
        match self.entries.get(chart) {
            Some(Some(versions)) => Ok(versions),
            Some(None) | None => Err((Fate::Never, format!("it has no chart `{chart}`"))),
        }
    }
}

/// Reads one.
pub(super) fn read(text: &[u8]) -> Result<Index, Fault> {
    let unread = |why: &str| (Fate::Refused, format!("its index.yaml cannot be read: {why}"));
    let options = serde_saphyr::options! {
        with_snippet: false,
        // Of the largest there are (30,000 versions, each with some 60 values), twice as much.
        budget: serde_saphyr::budget! { max_depth: 64, max_nodes: 4_000_000, max_events: 12_000_000 },
    };
    let text = std::str::from_utf8(text).map_err(|_| unread("it is not UTF-8"))?;
    if text.trim_start().starts_with('<') {
        return Err((Fate::Refused, "it answers with a page for people, not with an index".to_owned()));
    }
    let index: Index = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| unread(&error.to_string().chars().take(200).collect::<String>()))?;
    if index.api_version != "v1" {
        return Err(unread("its `apiVersion` is not `v1`"));
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `helm repo index` writes it.
    const INDEX: &str = "\
apiVersion: v1
entries:
  empty: null
  shop:
  - apiVersion: v2
    created: \"2026-11-22T09:00:00.123456789Z\"
    digest: 0123
    keywords: [a, b]
    name: shop
    urls:
    - shop-1.4.2.tgz
    version: 1.4.2
  - name: shop
    version: 1.4.1
generated: \"2026-11-22T09:00:00.123456789Z\"
";

    fn versions(text: &[u8], chart: &str) -> Result<Vec<Listed>, Fault> {
        read(text)?.versions(chart).map(<[Listed]>::to_vec)
    }

    #[tokio::test]
    async fn an_index_is_read_once_for_all_that_are_asked_of_it() {
        let (indexes, reads) = (Indexes::default(), std::cell::Cell::new(0));
        for registry in ["charts", "charts", "others", "charts"] {
            let of = async {
                reads.set(reads.get() + 1);
                Ok(read(INDEX.as_bytes()).unwrap())
            };
            let index = indexes.of(&registry.parse().unwrap(), of).await.unwrap();
            assert_eq!(index.versions("shop").unwrap().len(), 2);
        }
        assert_eq!(reads.get(), 2);
    }

    #[test]
    fn an_index_lists_the_versions_of_a_chart() {
        let found = versions(INDEX.as_bytes(), "shop").unwrap();
        let told: Vec<_> = found.iter().map(|one| (one.version.as_str(), one.urls.len(), one.digest())).collect();
        assert_eq!(told, [("1.4.2", 1, Some("sha256:0123".to_owned())), ("1.4.1", 0, None)]);
    }

    #[test]
    fn what_is_no_index_is_told_apart() {
        let mut told = String::new();
        let deep = format!("apiVersion: v1\nentries: {}", "[".repeat(5_000));
        let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n";
        for text in [
            "<!doctype html><html></html>",
            "apiVersion: v2\n",
            "apiVersion: v1\n",
            "hello",
            "{\"errors\":[]}",
            "apiVersion: v1\nentries:\n  shop: 1\n",
            INDEX.replace("shop", "other").as_str(),
            "apiVersion: v1\nentries: { empty: , shop: }\n",
        ] {
            let (fate, why) = versions(text.as_bytes(), "shop").unwrap_err();
            told += &format!("{fate:?}: {why}\n");
        }
        assert!(versions(deep.as_bytes(), "shop").is_err());
        assert!(versions(bomb.as_bytes(), "shop").is_err());
        assert!(versions(b"\xff", "shop").is_err());
        insta::assert_snapshot!(told, @"
        Refused: it answers with a page for people, not with an index
        Refused: its index.yaml cannot be read: its `apiVersion` is not `v1`
        Never: it has no chart `shop`
        Refused: its index.yaml cannot be read: expected mapping start at line 1, column 1
        Refused: its index.yaml cannot be read: missing field `apiVersion` at line 1, column 2
        Refused: its index.yaml cannot be read: expected sequence start at line 3, column 9
        Never: it has no chart `shop`
        Never: it has no chart `shop`
        ");
    }
}
