//! Log lines and counters: where they go, and in which form. What is counted is listed in `docs/metrics.md`.

use std::io::{self, Write};
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
    let lines = tracing_subscriber::fmt().with_env_filter(filter);
    match format {
        Format::Text => lines.with_ansi(false).with_writer(|| Lines::text(io::stderr())).finish().try_init()?,
        Format::Json => {
            lines.json().flatten_event(true).with_writer(|| Lines::json(io::stderr())).finish().try_init()?;
        }
    }
    Ok(())
}

/// Writes each event as one line in which nothing is hidden. Branches, titles and messages of errors are other people's
/// text: a line end in one would begin a line that we never wrote, and a terminal would obey what is in it.
struct Lines<W> {
    to: W,
    escape: fn(char) -> String,
}

impl<W: Write> Lines<W> {
    fn text(to: W) -> Self {
        Self { to, escape: |character| character.escape_default().to_string() }
    }

    /// JSON's own writer escapes what JSON demands, and no more.
    fn json(to: W) -> Self {
        Self { to, escape: |character| format!("\\u{:04x}", u32::from(character)) }
    }
}

impl<W: Write> Write for Lines<W> {
    /// An event comes whole, with its line end.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        let mut shown = String::with_capacity(text.len());
        for character in line.chars() {
            if is_hidden(character) { shown += &(self.escape)(character) } else { shown.push(character) }
        }
        self.to.write_all((shown + end).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Moves the cursor, ends a line, turns the direction of the text, or has no width.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
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

    fn logged(writer: fn(Vec<u8>) -> Lines<Vec<u8>>, event: &str) -> String {
        let mut lines = writer(Vec::new());
        lines.write_all(event.as_bytes()).unwrap();
        String::from_utf8(lines.to).unwrap()
    }

    #[test]
    fn a_line_of_the_log_is_one_line_whatever_a_branch_is_called() {
        let hostile = "WARN cannot render branch=main\n2026-11-21T09:00:00Z INFO approved by=lead\r\u{1b}[2K\u{9b}2K";
        let text = logged(Lines::text, &format!("{hostile}\u{202e}nimda\u{200b} caf\u{e9}\n"));
        insta::assert_snapshot!(text.trim_end(), @r"WARN cannot render branch=main\n2026-11-21T09:00:00Z INFO approved by=lead\r\u{1b}[2K\u{9b}2K\u{202e}nimda\u{200b} café");
        assert_eq!(text.lines().count(), 1);
        assert!(text.ends_with("caf\u{e9}\n"));
    }

    #[test]
    fn a_line_in_json_stays_json_and_says_the_same() {
        let branch = "main\n\u{1b}[2K\u{9b}2K\u{202e}nimda \"quoted\" caf\u{e9}";
        let event = serde_json::json!({ "branch": branch }).to_string() + "\n";
        let line = logged(Lines::json, &event);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["branch"], branch);
        assert!(!line.trim_end().chars().any(is_hidden), "{line:?}");
    }

    #[test]
    fn what_tracing_writes_comes_in_whole_lines() {
        use std::sync::Arc;
        #[derive(Clone, Default)]
        struct Written(Arc<Mutex<Vec<u8>>>);
        impl Write for Written {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let branch = "x\n1970-01-01T00:00:00Z  INFO bascule: approved\u{1b}[1m";
        let log = |json: bool| {
            let written = Written::default();
            let to = written.clone();
            let lines = tracing_subscriber::fmt();
            let tell = || tracing::warn!(%branch, title = branch, "a message\nof {branch}");
            if json {
                let lines = lines.json().flatten_event(true).with_writer(move || Lines::json(to.clone()));
                tracing::subscriber::with_default(lines.finish(), tell);
            } else {
                let lines = lines.with_ansi(false).with_writer(move || Lines::text(to.clone()));
                tracing::subscriber::with_default(lines.finish(), tell);
            }
            String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
        };
        for text in [log(false), log(true)] {
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(!text.trim_end().chars().any(is_hidden), "{text:?}");
        }
        let line: serde_json::Value = serde_json::from_str(&log(true)).unwrap();
        assert_eq!((&line["title"], &line["branch"]), (&serde_json::json!(branch), &serde_json::json!(branch)));
    }

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
