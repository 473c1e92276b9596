//! `[prometheus.NAME]`: who may be asked whether a deployment does well. A repository names one; where it is, is said here alone.

use std::collections::BTreeMap;

use super::Prometheus;
use super::reading::{Reading, path, secret, tables, url};
use crate::ids::PrometheusName;
use crate::policy::block::{Block, Keys};
use crate::policy::document::Node;

/// The keys of `[prometheus.NAME]`.
pub const PROMETHEUS_KEYS: Keys = Keys { known: &["url", "token", "ca_file"], later: &[] };

/// By name; `None` where something was wrong, so that a grant can still name it.
pub(super) fn servers(node: Option<&Node>, reading: &mut Reading<'_>) -> BTreeMap<PrometheusName, Option<Prometheus>> {
    let tables = tables::<PrometheusName>(node, "prometheus", reading.complaints);
    tables.into_iter().map(|(name, node)| (name.clone(), server(&name, node, reading))).collect()
}

fn server(name: &PrometheusName, node: &Node, reading: &mut Reading<'_>) -> Option<Prometheus> {
    let before = reading.complaints.len();
    let block = Block::open(node, &format!("in `[prometheus.{name}]`"), PROMETHEUS_KEYS, reading.complaints)?;
    if block.get("url").is_none() {
        let advice = "write where it is: `https://prometheus.example.com`, with the path it is served under";
        reading.complaints.add(block.at, format!("prometheus `{name}` has no `url`"), advice);
    }
    let url = url(&block, "url", reading.complaints);
    let token = block.get("token").and_then(|node| secret(node, "token", reading));
    let ca_file = path(&block, "ca_file", reading.complaints);
    (reading.complaints.len() == before).then_some(Prometheus { url: url?, token, ca_file })
}
