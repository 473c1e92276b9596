//! `bascule audit`: the log, and what it proves.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;

use super::client::{Client, ClientError};
use super::deployments::{named, summed_up};
use super::emergency;
use super::table::{self, Column, Output, Said};

/// The log that can be proven.
#[derive(Debug, clap::Args)]
pub struct Audit {
    /// What to do.
    #[command(subcommand)]
    pub act: Act,
}

/// What to do with the log.
#[derive(Debug, Subcommand)]
pub enum Act {
    /// Entries, newest first.
    List(List),
    /// One entry.
    Show(Show),
    /// Is the log whole? 0 whole, 1 not, 2 could not be found out.
    Verify(Verify),
    /// The signed heads and the whole log, one JSON object a line, to standard output.
    Export,
    /// Who approved what runs, and was it exactly that?
    Report(Report),
}

/// Entries, newest first.
#[derive(Debug, clap::Args)]
pub struct List {
    /// The subject begins with this.
    #[arg(long)]
    pub subject: Option<String>,
    /// Exactly this action.
    #[arg(long)]
    pub action: Option<String>,
    /// One trace, from delivery to sync.
    #[arg(long)]
    pub trace: Option<String>,
    /// Not before (2026-11-21 or 2026-11-21T09:00:00Z).
    #[arg(long)]
    pub from: Option<String>,
    /// Before.
    #[arg(long)]
    pub to: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// How to show them.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// One entry.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// Its number.
    pub seq: i64,
    /// How to show it.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Is the log whole?
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("proof").args(["checkpoints", "public_key"]).multiple(true))]
pub struct Verify {
    /// Without a server: a file that `audit export` wrote.
    #[arg(long, value_name = "EXPORT", requires = "proof")]
    pub offline: Option<PathBuf>,
    /// The folder of the signed heads, or a copy of it, for `--offline`; without it, the heads the export carries.
    #[arg(long, value_name = "DIR", requires = "offline")]
    pub checkpoints: Option<PathBuf>,
    /// The public key in hex, for `--offline`; without it, the one in the folder, which whoever writes there can replace.
    #[arg(long, value_name = "HEX", requires = "offline")]
    pub public_key: Option<String>,
    /// How to show it.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// A report.
#[derive(Debug, clap::Args)]
pub struct Report {
    /// Which: deployments, exceptions or emergencies.
    pub name: String,
    /// One environment: `[REPOSITORY:]NAME`.
    #[arg(long, value_name = "ENV")]
    pub env: Option<String>,
    /// Not started before (2026-11-21 or 2026-11-21T09:00:00Z).
    #[arg(long)]
    pub from: Option<String>,
    /// Started before.
    #[arg(long)]
    pub to: Option<String>,
    /// What runs now: the newest of each environment.
    #[arg(long)]
    pub current: bool,
    /// Of emergencies, those that nobody reviewed: 1 while there is one.
    #[arg(long)]
    pub open: bool,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// How to show it.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Reports of the contract that this version does not build.
const LATER: [&str; 4] = ["policy-changes", "access", "gaps", "delivery"];

const ENTRY: &[Column] =
    &[("SEQ", "/seq"), ("AT", "/at"), ("WHO", "/actor"), ("DID", "/action"), ("ON", "/subject"), ("CAUSE", "/cause")];

const DEPLOYMENT: &[Column] = &[
    ("ENVIRONMENT", "/environment"),
    ("NUMBER", "/number"),
    ("STATE", "/state"),
    ("COMMIT", "/commit_short"),
    ("PULLS", "/pulls"),
    ("APPROVED BY", "/approved_by"),
    ("APPROVED CHANGE", "/approved_change"),
    ("ANSWER", "/answer"),
    ("STARTED", "/started_at"),
];

impl Act {
    /// Asks the server.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ask(&self, client: &Client) -> Result<Said, ClientError> {
        match self {
            Self::List(list) => {
                let query = [
                    ("subject", list.subject.clone()),
                    ("action", list.action.clone()),
                    ("trace", list.trace.clone()),
                    ("from", list.from.clone()),
                    ("to", list.to.clone()),
                ];
                Ok(table::show(list.output, ENTRY, &client.pages("audit", &query, list.limit).await?))
            }
            Self::Show(show) => {
                Ok(table::show_one(show.output, &client.get(&format!("audit/{}", show.seq), &[]).await?))
            }
            Self::Verify(verify) => {
                let report = client.get("audit/verify", &[]).await?;
                // What says nothing of a log must not be taken for a whole one.
                if !report["entries"].is_u64() || !report["findings"].is_array() {
                    return Err(client.not_ours());
                }
                Ok(verified(verify.output, &report))
            }
            Self::Export => {
                client.copy("audit/export", &mut std::io::stdout().lock()).await?;
                Ok(Said::good(String::new()))
            }
            Self::Report(report) => report.ask(client).await,
        }
    }
}

impl Report {
    async fn ask(&self, client: &Client) -> Result<Said, ClientError> {
        if LATER.contains(&self.name.as_str()) {
            return Err(ClientError::Absent(format!("`audit report {}` is not in this version", self.name)));
        }
        if self.name == "emergencies" {
            return emergency::report(client, self).await;
        }
        if self.open {
            return Err(ClientError::Absent("`--open` belongs to the report emergencies".to_owned()));
        }
        if !["deployments", "exceptions"].contains(&self.name.as_str()) {
            return Err(ClientError::Absent(
                "there are the reports deployments, exceptions and emergencies".to_owned(),
            ));
        }
        let (repository, environment) = self.env.as_deref().map_or((None, None), |env| {
            let (repository, name) = named(env);
            (repository, Some(name))
        });
        let query = [
            ("repository", repository),
            ("environment", environment),
            ("from", self.from.clone()),
            ("to", self.to.clone()),
            ("current", self.current.then(|| "true".to_owned())),
        ];
        let items = client.pages(&format!("reports/{}", self.name), &query, self.limit).await?;
        Ok(match self.output {
            Output::Json => table::show(self.output, DEPLOYMENT, &items),
            Output::Table => {
                let rows: Vec<Value> = items.into_iter().map(summed_up).collect();
                table::show(self.output, DEPLOYMENT, &rows)
            }
        })
    }
}

/// Says whether a log is whole, from what a verification found.
pub fn verified(output: Output, report: &Value) -> Said {
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    let is_good = findings.is_empty();
    if output == Output::Json {
        return Said { text: table::json(report), is_good };
    }
    let number = |at: &str| report[at].as_i64().unwrap_or(0);
    let entries = number("entries");
    let mut text = format!(
        "{}: {} held against {}{}\n",
        if is_good { "whole" } else { "NOT whole" },
        counted(entries, "entry", "entries"),
        counted(number("checkpoints"), "signed head", "signed heads"),
        report["signed_since"].as_str().map_or(String::new(), |at| format!(", the first of {}", table::plain(at))),
    );
    let later = "as safe as the database, no safer";
    text += &match (number("vouched"), report["vouched_at"].as_str()) {
        (0, _) | (_, None) => format!("no signed head vouches for any entry: all are {later}\n"),
        (seq, Some(at)) => {
            let at = table::plain(at);
            let rest = match entries - seq {
                ..=0 => "and none is newer".to_owned(),
                1 => format!("the 1 after it is {later}"),
                more => format!("the {more} after it are {later}"),
            };
            format!("vouched for: every entry up to {seq}, as it was when its head was signed at {at}; {rest}\n")
        }
    };
    for finding in &findings {
        let (seq, signed) = (&finding["seq"], &finding["signed"]);
        text += &match finding["finding"].as_str().unwrap_or_default() {
            "changed" => format!("entry {seq} is not what was written\n"),
            "missing" => format!("entry {seq} is missing or out of order\n"),
            "unchained" => format!("entry {seq} does not follow the one before it\n"),
            "cut" => {
                format!("the log ends at {}, and {signed} entries were signed: its end was cut off\n", finding["size"])
            }
            "rewritten" => format!("entry {signed} is not the one that was signed: the log was written anew\n"),
            "bad_signature" => format!("the signed head of {signed} entries is not signed by this key\n"),
            "unvouched" => {
                let (entries, since) =
                    (&finding["entries"], table::plain(finding["since"].as_str().unwrap_or_default()));
                let what = match finding["after"].as_i64().unwrap_or(0) {
                    0 => "no signed head vouches for it".to_owned(),
                    after => format!("no signed head vouches for what comes after entry {after}"),
                };
                format!(
                    "{what}: {entries} entries since {since}, and a head is signed every minute or thousand entries; \
                     signed heads were taken away, or no worker signs into this folder\n"
                )
            }
            "head_gone" => format!(
                "the export says that a head of {signed} entries was signed when it was made, and that head is not here: \
                 signed heads were taken away\n"
            ),
            "unended" => format!(
                "the export ends at entry {seq}, which is not the entry of its own making: its end was cut off\n"
            ),
            other => format!("{}\n", table::plain(other)),
        };
    }
    Said { text, is_good }
}

fn counted(count: i64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use serde_json::json;

    #[test]
    fn a_verification_says_what_was_found_and_up_to_where_it_vouches() {
        let good = json!({ "entries": 12, "checkpoints": 2, "vouched": 10, "vouched_at": "2026-11-21T09:00:00Z",
            "signed_since": "2026-11-20T09:00:00Z", "findings": [] });
        assert_snapshot!(verified(Output::Table, &good).text, @r"
        whole: 12 entries held against 2 signed heads, the first of 2026-11-20T09:00:00Z
        vouched for: every entry up to 10, as it was when its head was signed at 2026-11-21T09:00:00Z; the 2 after it are as safe as the database, no safer
        ");
        let bad = json!({ "entries": 7, "checkpoints": 2, "vouched": 0, "findings": [
            { "finding": "missing", "seq": 4 }, { "finding": "cut", "size": 7, "signed": 10 },
            { "finding": "rewritten", "signed": 5 }] });
        let said = verified(Output::Table, &bad);
        assert!(!said.is_good);
        assert_snapshot!(said.text, @r"
        NOT whole: 7 entries held against 2 signed heads
        no signed head vouches for any entry: all are as safe as the database, no safer
        entry 4 is missing or out of order
        the log ends at 7, and 10 entries were signed: its end was cut off
        entry 5 is not the one that was signed: the log was written anew
        ");
    }
}
