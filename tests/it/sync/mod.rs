//! Syncs on a real database and a real API server: what a deployment sends, leaves and deletes.

mod answers;
mod broken;
pub(crate) mod crash;
mod explained;
mod faults;
mod fences;
mod health_rules;
mod hooks;
mod kills;
mod order;
mod orphans;
mod place;
mod sealed;
mod stories;
mod turns;
mod width;

use place::{Place, Server, TERM, block, cluster_name, lease, settings};
