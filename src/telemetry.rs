//! Log lines and counters: where they go, and in which form. What is counted is listed in `docs/metrics.md`.

use std::sync::{Mutex, PoisonError};

use metrics::Unit;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::TryInitError;

/// The documented list, from which each metric's description on `/metrics` is taken.
pub const METRICS: &str = include_str!("../docs/metrics.md");

/// What is logged when nobody says otherwise: ours in full, and of libraries what somebody has to look at.
pub const FILTER: &str = "warn,bascule=info";

/// Seconds of the buckets of every histogram: from a request out of memory to a sync that waits to become healthy.
const BUCKETS: [f64; 14] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0];

/// How a log line is written. Both go to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why nothing can be logged or counted.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is none.
    #[error("the log filter cannot be read; write one like `{FILTER}`")]
    Filter(#[from] ParseError),
    /// Somebody else's subscriber is there already.
    #[error("log lines already go elsewhere")]
    Logs(#[from] TryInitError),
    /// Somebody else's recorder is there already.
    #[error("metrics cannot be recorded")]
    Metrics(#[from] BuildError),
}

/// Sends log lines to standard error. The filter comes from the caller, never from the environment.
///
/// # Errors
/// A filter that cannot be read, or a second call.
pub fn log(filter: &str, format: Format) -> Result<(), TelemetryError> {
    use tracing_subscriber::util::SubscriberInitExt as _;
    let filter = EnvFilter::builder().parse(filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        Format::Text => lines.with_ansi(false).finish().try_init()?,
        Format::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

/// The one recorder of this process.
static RECORDED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Begins to count, once; the handle is for `/metrics`.
///
/// # Errors
/// When somebody else counts in this process.
pub fn record() -> Result<PrometheusHandle, TelemetryError> {
    let mut recorded = RECORDED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = recorded.as_ref() {
        return Ok(handle.clone());
    }
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)?;
    let handle = builder.install_recorder()?;
    for (name, kind, help) in listed() {
        let unit = if name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count };
        match kind {
            "counter" => metrics::describe_counter!(name, unit, help),
            "gauge" => metrics::describe_gauge!(name, unit, help),
            _ => metrics::describe_histogram!(name, unit, help),
        }
    }
    *recorded = Some(handle.clone());
    Ok(handle)
}

/// Name, kind and meaning of every metric: the rows of the document's tables.
fn listed() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    METRICS.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        match cells.as_slice() {
            [name, kind, _, help] => Some((name.strip_prefix('`')?.strip_suffix('`')?, *kind, *help)),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Every literal name in a `metrics::…!` of the source, with its kind.
    fn counted(folder: &Path, found: &mut BTreeSet<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                counted(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for kind in ["counter", "gauge", "histogram"] {
                for rest in text.split(&format!("metrics::{kind}!(")).skip(1) {
                    if let Some(name) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                        found.insert((name.to_owned(), kind.to_owned()));
                    }
                }
            }
        }
    }

    #[test]
    fn the_document_lists_what_is_counted_and_nothing_else() {
        let mut found = BTreeSet::new();
        counted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        let listed: BTreeSet<_> = listed().map(|(name, kind, _)| (name.to_owned(), kind.to_owned())).collect();
        assert_eq!(listed, found);
    }
}
