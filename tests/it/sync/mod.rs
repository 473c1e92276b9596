//! Syncs on a real database and a real API server: what a deployment sends, leaves and deletes.

mod answers;
mod faults;
mod kills;
mod place;
mod stories;
mod width;

use place::{Place, Server, TERM, block, cluster_name, grant, lease, settings};
