//! What is counted of every call to a forge (docs/metrics.md).

use super::{Call, Http};
use crate::forge::error::{Fate, ForgeError, Result};

impl Http {
    /// One call, for the metrics.
    pub(super) fn count<T>(&self, call: &Call<'_>, begun: tokio::time::Instant, outcome: &Result<T>) {
        let told = match outcome {
            Ok(_) => "ok",
            Err(ForgeError { fate: Fate::Retry { .. }, .. }) => "retry",
            Err(ForgeError { fate: Fate::Refused, .. }) => "refused",
            Err(ForgeError { fate: Fate::Gone, .. }) => "gone",
            Err(ForgeError { fate: Fate::Invalid, .. }) => "invalid",
        };
        let forge = || self.forge.as_str().to_owned();
        metrics::counter!("bascule_forge_calls_total", "forge" => forge(), "call" => call.name, "outcome" => told)
            .increment(1);
        metrics::histogram!("bascule_forge_call_seconds", "forge" => forge(), "call" => call.name)
            .record(begun.elapsed().as_secs_f64());
    }
}
