//! What a registry of OCI says, read: manifests, lists of tags, and how it wants to be asked.
//!
//! Four requests of the distribution specification are all that a chart needs (<https://github.com/opencontainers/distribution-spec/blob/main/spec.md>):
//! a list of tags, a manifest, a blob, and a token for them
//! (<https://distribution.github.io/distribution/spec/auth/token/>). Libraries for it follow redirects with the credentials
//! they have, and read without a bound.

use serde::Deserialize;

use super::error::{Fate, Fault};
use crate::policy::chart::is_digest;

/// What a manifest is asked for as: one of a chart is never a list of platforms.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// As helm 3.0 to 3.6 pushed.
const OLD_LAYER: &str = "application/tar+gzip";

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
}

/// The archive a manifest is of: its digest, and its size.
pub(super) fn archive(manifest: &[u8]) -> Result<(String, u64), Fault> {
    let refused = |what: &str| (Fate::Never, format!("what it has there is no chart: {what}"));
    let manifest: Manifest = serde_json::from_slice(manifest).map_err(|_| refused("its manifest cannot be read"))?;
    let is_chart = |layer: &&Layer| layer.media_type == LAYER || layer.media_type == OLD_LAYER;
    let layer = manifest.layers.iter().find(is_chart).ok_or_else(|| refused("it has no layer of helm's"))?;
    if !is_digest(&layer.digest) {
        return Err(refused("its layer is not named by sha256"));
    }
    Ok((layer.digest.clone(), layer.size))
}

/// A page of tags.
pub(super) fn tags(text: &[u8]) -> Result<Vec<String>, Fault> {
    #[derive(Deserialize)]
    struct Tags {
        tags: Option<Vec<String>>,
    }
    let tags: Tags = serde_json::from_slice(text)
        .map_err(|_| (Fate::Refused, "its list of tags cannot be read: is this a registry of OCI?".to_owned()))?;
    Ok(tags.tags.unwrap_or_default())
}

/// Where the next page begins, by the `Link` of this one. Only that is taken of it: where the registry is, is known.
pub(super) fn next_page(link: &str) -> Option<String> {
    let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = rest.split(';').any(|part| matches!(part.trim(), "rel=\"next\"" | "rel=next"));
    let (_, query) = address.split_once('?').filter(|_| is_next)?;
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "last").map(|(_, last)| last.into_owned())
}

/// How a registry wants to be asked, by its `WWW-Authenticate`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With name and password.
    Basic,
    /// With a token of this place.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

pub(super) fn challenge(header: &str) -> Option<Challenge> {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, None, None);
    let mut rest = rest;
    // A scope has commas within its quotes.
    while let Some((key, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => (after.split(',').next().unwrap_or_default(), after.split_once(',').map_or("", |(_, more)| more)),
        };
        match key.trim().trim_start_matches(',').trim() {
            "realm" => realm = Some(value.to_owned()),
            "service" => service = Some(value.to_owned()),
            "scope" => scope = Some(value.to_owned()),
            _ => {}
        }
        rest = after.trim_start_matches([',', ' ']);
    }
    Some(Challenge::Bearer { realm: realm?, service, scope })
}

/// The token in an answer: registries name it in one of two ways.
pub(super) fn token(text: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Token {
        token: Option<String>,
        access_token: Option<String>,
    }
    let Token { token, access_token } = serde_json::from_slice(text).ok()?;
    token.or(access_token).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `helm push` makes it.
    fn manifest(layers: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"sha256:{0}","size":2}},"layers":[{layers}]}}"#,
            "a".repeat(64)
        )
    }

    #[test]
    fn a_manifest_names_the_archive_of_a_chart() {
        let provenance = r#"{"mediaType":"application/vnd.cncf.helm.chart.provenance.v1.prov","digest":"x","size":1}"#;
        let digest = format!("sha256:{}", "b".repeat(64));
        let layer = format!(r#"{{"mediaType":"{LAYER}","digest":"{digest}","size":7}}"#);
        assert_eq!(archive(manifest(&format!("{provenance},{layer}")).as_bytes()), Ok((digest, 7)));
        let image = r#"{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"x","size":1}"#;
        let unnamed = format!(r#"{{"mediaType":"{LAYER}","digest":"md5:1","size":7}}"#);
        let mut told = String::new();
        for bad in [manifest(image), manifest(&unnamed), manifest(""), "<html>".to_owned(), "{}".to_owned()] {
            told += &format!("{:?}\n", archive(bad.as_bytes()).unwrap_err());
        }
        insta::assert_snapshot!(told, @r#"
        (Never, "what it has there is no chart: it has no layer of helm's")
        (Never, "what it has there is no chart: its layer is not named by sha256")
        (Never, "what it has there is no chart: it has no layer of helm's")
        (Never, "what it has there is no chart: its manifest cannot be read")
        (Never, "what it has there is no chart: it has no layer of helm's")
        "#);
    }

    #[test]
    fn challenges_and_pages_are_read_as_registries_write_them() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        };
        for (header, expected) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                Some(bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:a/b:pull,push"),
                )),
            ),
            (r#"bearer realm="https://x/t", service=y"#, Some(bearer("https://x/t", Some("y"), None))),
            (r#"Basic realm="here""#, Some(Challenge::Basic)),
            ("Basic", Some(Challenge::Basic)),
            ("Bearer service=\"x\"", None),
            ("Bearer realm=\"x", None),
            ("Negotiate", None),
        ] {
            assert_eq!(challenge(header), expected, "{header}");
        }
        assert_eq!(next_page(r#"</v2/a/tags/list?last=1.4.2&n=100>; rel="next""#).as_deref(), Some("1.4.2"));
        assert_eq!(next_page(r#"<https://elsewhere/?n=1&last=v%2F1>; rel=next"#).as_deref(), Some("v/1"));
        assert_eq!(next_page(r#"</v2/a/tags/list?last=1.4.2>; rel="prev""#), None);
        assert_eq!(token(br#"{"access_token":"a"}"#).as_deref(), Some("a"));
        assert_eq!(token(br#"{"token":"b","access_token":"a"}"#).as_deref(), Some("b"));
        assert_eq!(token(b"{}"), None);
        assert_eq!(tags(br#"{"name":"a","tags":null}"#), Ok(Vec::new()));
        assert_eq!(tags(br#"{"name":"a","tags":["1","2"]}"#).unwrap().len(), 2);
        assert!(tags(b"<html>").is_err());
    }
}
