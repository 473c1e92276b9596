//! `[registry.NAME]`: where charts come from that are not in a repository.

use std::collections::{BTreeMap, BTreeSet};

use super::Registry;
use super::address::base_url;
use super::reading::{Reading, path, secret, tables};
use crate::ids::RegistryName;
use crate::policy::block::{Block, Keys};
use crate::policy::document::Node;
use crate::policy::located::{Complaints, Place};

/// The keys of `[registry.NAME]`.
pub const REGISTRY_KEYS: Keys =
    Keys { known: &["url", "username", "password", "plain_http", "ca_file", "hosts", "token_host"], later: &[] };

/// Registries by name; `None` where something was wrong, so that a repository can still name it.
pub(super) fn registries(node: Option<&Node>, reading: &mut Reading<'_>) -> BTreeMap<RegistryName, Option<Registry>> {
    let tables = tables::<RegistryName>(node, "registry", reading.complaints);
    tables.into_iter().map(|(name, node)| (name.clone(), registry(&name, node, reading))).collect()
}

fn registry(name: &RegistryName, node: &Node, reading: &mut Reading<'_>) -> Option<Registry> {
    let before = reading.complaints.len();
    let block = Block::open(node, &format!("in `[registry.{name}]`"), REGISTRY_KEYS, reading.complaints)?;
    if block.get("url").is_none() {
        let advice = "write the folder of an index.yaml, `https://charts.example.com`, or `oci://host/path`";
        reading.complaints.add(block.at, format!("registry `{name}` has no `url`"), advice);
    }
    let url = block.text("url", reading.complaints).and_then(|written| url(written, reading.complaints));
    let plain_http = block.flag("plain_http", reading.complaints).unwrap_or(false);
    if let (Some(at), Some(url)) = (block.place_of("plain_http").filter(|_| plain_http), &url)
        && !url.starts_with("oci://")
    {
        reading.complaints.add(at, "`plain_http` is for a registry of OCI", "write `http://` in `url`");
    }
    let username = block.text("username", reading.complaints);
    let password = block.get("password").and_then(|node| secret(node, "password", reading));
    for (key, other) in [("username", "password"), ("password", "username")] {
        if let (Some(at), None) = (block.place_of(key), block.get(other)) {
            reading.complaints.add(at, format!("`{key}` without `{other}`"), "write both, or neither");
        }
    }
    if let Some((text, at)) = username.filter(|(text, _)| text.contains(':') || text.chars().any(char::is_control)) {
        let advice = "write the name of an account there";
        reading.complaints.add(at, format!("`{}` cannot be a `username`", text.escape_debug()), advice);
    }
    let ca_file = path(&block, "ca_file", reading.complaints);
    let written = block.texts("hosts", reading.complaints).unwrap_or_default();
    let hosts: BTreeSet<String> = written.into_iter().filter_map(|one| host(one, reading.complaints)).collect();
    let token_host = block.text("token_host", reading.complaints).and_then(|one| host(one, reading.complaints));
    (reading.complaints.len() == before).then_some(Registry {
        url: url?,
        plain_http,
        credentials: username.map(|(name, _)| name.to_owned()).zip(password),
        ca_file,
        hosts,
        token_host,
    })
}

/// An address without a slash at its end.
fn url((text, at): (&str, &Place), complaints: &mut Complaints) -> Option<String> {
    let read = match text.strip_prefix("oci://") {
        // The same rules, for what has no scheme of its own there.
        Some(rest) => base_url(&format!("https://{rest}")).map(|url| url.replacen("https://", "oci://", 1)),
        None => base_url(text).map_err(|fault| match text.contains("://") {
            true if !text.starts_with("http") => "it begins with none of `https://`, `http://` and `oci://`",
            _ => fault,
        }),
    };
    match read {
        Ok(url) => Some(url),
        Err(fault) => {
            let at = if text.contains('@') { at.without_column() } else { at.clone() };
            let advice = "write `https://host/path` or `oci://host/path`, and name and password apart from it";
            complaints.add(&at, format!("`url` is no address of a registry: {fault}"), advice);
            None
        }
    }
}

fn host((text, at): (&str, &Place), complaints: &mut Complaints) -> Option<String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b);
    let is_host = (1..=253).contains(&text.len()) && text.bytes().all(plain);
    if !is_host {
        complaints.add(at, format!("`{text}` is no host"), "write its name alone: `auth.example.com`");
    }
    is_host.then(|| text.to_owned())
}
