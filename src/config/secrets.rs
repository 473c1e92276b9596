//! `[secrets.NAME]`: keys that open what repositories keep sealed. Which repository's environments they are for is said by
//! a grant, never by the repository.

use std::collections::BTreeMap;

use super::Secret;
use super::reading::{Reading, secret, tables};
use crate::ids::ClusterName;
use crate::policy::block::{Block, Keys};
use crate::policy::document::Node;

/// The keys of `[secrets.NAME]`.
pub const SECRETS_KEYS: Keys = Keys { known: &["age_keys"], later: &[] };

/// Where the keys of age are, by name.
pub(super) fn secrets(node: Option<&Node>, reading: &mut Reading<'_>) -> BTreeMap<String, Secret> {
    // They are named like clusters.
    let tables = tables::<ClusterName>(node, "secrets", reading.complaints);
    let one = |(name, node): (ClusterName, &Node)| {
        let block = Block::open(node, &format!("in `[secrets.{name}]`"), SECRETS_KEYS, reading.complaints)?;
        let Some(keys) = block.get("age_keys") else {
            let advice = "add `age_keys = { file = \"…\" }`: what age-keygen wrote";
            reading.complaints.add(block.at, format!("secrets `{name}` has no `age_keys`"), advice);
            return None;
        };
        Some((name.to_string(), secret(keys, "age_keys", reading)?))
    };
    tables.into_iter().filter_map(one).collect()
}
