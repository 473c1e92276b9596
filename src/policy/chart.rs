//! A chart of a registry, as a block names it: `chart: { registry: charts, name: shop, version: 1.4.x }`.

use std::fmt;

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use super::rules::Environment;
use crate::ids::RegistryName;

/// Where a chart that is not in the repository lies while it is rendered, by its name. What a repository has there is hidden
/// from the environments that use the chart, and from no others.
pub const FOLDER: &str = ".bascule/charts";

/// A chart that lies in a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Chart {
    /// The `charts` of `[registry.charts]`.
    pub registry: RegistryName,
    /// Its name there.
    pub name: String,
    /// One version, or a range of them.
    pub version: String,
    /// What exactly it has to be, where the block says so: `sha256:…`, of the archive in an index, of the manifest in OCI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What the version meant when the repository first used it, where the block does not say. A part of the entry, so that
    /// what was consented to is what is synced, wherever the registry's tag points by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
}

/// One version of a chart, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bound {
    /// The version.
    pub version: String,
    /// `sha256:…`.
    pub digest: String,
}

impl Chart {
    /// What it is, as far as that is known.
    pub fn pinned(&self) -> Option<Bound> {
        let written = self.digest.clone().map(|digest| Bound { version: self.version.clone(), digest });
        written.or_else(|| self.bound.clone())
    }

    /// The folder it lies in while it is rendered.
    pub fn folder(&self) -> String {
        format!("{FOLDER}/{}", self.name)
    }
}

/// `charts/shop 1.4.x → 1.4.2, sha256:0123456789ab`.
impl fmt::Display for Chart {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{} {}", self.registry, self.name, self.version)?;
        let Some(Bound { version, digest }) = self.pinned() else { return Ok(()) };
        if version != self.version {
            write!(out, " → {version}")?;
        }
        write!(out, ", {}", digest.chars().take("sha256:".len() + 12).collect::<String>())
    }
}

impl Environment {
    /// What it is rendered from, for people.
    pub fn source(&self) -> String {
        match &self.chart {
            Some(chart) => format!("chart {}/{} {}", chart.registry, chart.name, chart.version),
            None if self.path.is_empty() => "the root".to_owned(),
            None => self.path.clone(),
        }
    }
}

/// Which versions of a chart are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    /// This one.
    Exactly(Version),
    /// The newest of these.
    Range(VersionReq),
}

impl Versions {
    /// Reads `1.4.2`, or a range as helm's: `1.4.x`, `1.4`, `~1.4.2`, `^1.4`, `>=1.4, <2`, `*`. The error is advice.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const ADVICE: &str = "write one as `1.4.2`, or a range as `1.4.x`, `~1.4.2`, `^1.4` or `>=1.4, <2`";
        if text.len() > 100 {
            return Err(ADVICE);
        }
        if let Ok(version) = version(text) {
            return Ok(Self::Exactly(version));
        }
        // To helm, `1.4` is any of them; to the library, anything before 2.
        let bare = text.strip_prefix('v').unwrap_or(text);
        let numbers = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let range = if bare.split('.').count() <= 2 && bare.split('.').all(numbers) {
            VersionReq::parse(&format!("{bare}.*"))
        } else {
            VersionReq::parse(text)
        };
        range.map(Self::Range).map_err(|_| ADVICE)
    }

    /// The newest of these among some, as it is written there. What is no version is none.
    pub fn newest<'v>(&self, among: impl Iterator<Item = &'v str>) -> Option<&'v str> {
        let wanted = |found: &Version| match self {
            Self::Exactly(wanted) => found == wanted,
            Self::Range(range) => range.matches(found),
        };
        let read = among.filter_map(|text| Some((version(text).ok()?, text)));
        read.filter(|(found, _)| wanted(found)).max().map(|(_, text)| text)
    }
}

/// A version as charts have them: some begin with a `v`, and a tag of OCI has `_` where a version has `+`.
fn version(text: &str) -> Result<Version, semver::Error> {
    Version::parse(&text.strip_prefix('v').unwrap_or(text).replace('_', "+"))
}

/// Whether two texts are one version.
pub fn is_same_version(one: &str, other: &str) -> bool {
    one == other || matches!((version(one), version(other)), (Ok(one), Ok(other)) if one == other)
}

/// Whether a text is a digest as registries write them.
pub fn is_digest(text: &str) -> bool {
    let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(lower))
}

/// Whether a text can be a chart's name: it becomes a part of addresses, and a folder.
pub fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    (1..=250).contains(&text.len())
        && text.bytes().all(plain)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERE: [&str; 9] =
        ["1.3.9", "v1.4.0", "1.4.2", "1.4.10", "1.5.0-rc.1", "1.5.0", "2.0.0", "latest", "1.4.11_build.3"];

    #[test]
    fn a_version_or_a_range_means_the_newest_there_is() {
        for (asked, meant) in [
            ("1.4.2", Some("1.4.2")),
            ("v1.4.2", Some("1.4.2")),
            ("1.4.0", Some("v1.4.0")),
            ("1.4.x", Some("1.4.11_build.3")),
            ("1.4.*", Some("1.4.11_build.3")),
            ("1.4", Some("1.4.11_build.3")),
            ("1", Some("1.5.0")),
            ("~1.3.1", Some("1.3.9")),
            ("^1.4", Some("1.5.0")),
            (">=1.4, <1.4.10", Some("1.4.2")),
            ("*", Some("2.0.0")),
            ("1.5.0-rc.1", Some("1.5.0-rc.1")),
            ("1.4.11+build.3", Some("1.4.11_build.3")),
            ("3.x", None),
            ("1.4.3", None),
        ] {
            assert_eq!(Versions::parse(asked).unwrap().newest(THERE.into_iter()), meant, "{asked}");
        }
        for bad in ["", "latest", "1.4.2.1", "one", "=>1", &"1".repeat(200)] {
            assert!(Versions::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_chart_says_what_its_version_meant() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let written = |digest: Option<&String>, bound| Chart {
            registry: "charts".parse().unwrap(),
            name: "shop".to_owned(),
            version: "1.4.x".to_owned(),
            digest: digest.cloned(),
            bound,
        };
        assert_eq!(written(None, None).to_string(), "charts/shop 1.4.x");
        let bound = Bound { version: "1.4.2".to_owned(), digest: digest.clone() };
        assert_eq!(written(None, Some(bound)).to_string(), "charts/shop 1.4.x → 1.4.2, sha256:0123456789ab");
        assert_eq!(written(Some(&digest), None).to_string(), "charts/shop 1.4.x, sha256:0123456789ab");
        assert!(is_digest(&digest) && !is_digest("sha256:0") && !is_digest(&digest.to_uppercase()));
        assert!(is_name("a-b_c.d2") && !is_name("../x") && !is_name("A") && !is_name("a..b") && !is_name("-a"));
    }
}
