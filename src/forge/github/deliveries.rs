//! GitHub's log of what it delivered, of the last three days: an App's, which the App reads as itself, or a webhook's, for which
//! a token needs the right to it.

use reqwest::Method;
use serde::Deserialize;

use super::{GitHub, Way, Whom, lists};
use crate::forge::error::{Fate, Result};
use crate::forge::http::Call;
use crate::forge::log::{DeliveryLog, DeliveryLogs, DeliveryTries, DeliveryTry};

/// One that is longer is none of GitHub's.
const LONGEST_CURSOR: usize = 1_000;
/// The same of a delivery's id, which is a UUID.
const LONGEST_ID: usize = 100;

#[derive(Deserialize)]
struct AttemptJson {
    id: i64,
    guid: String,
    delivered_at: jiff::Timestamp,
    status_code: Option<i64>,
}

impl GitHub {
    pub(crate) fn delivery_logs(&self) -> DeliveryLogs {
        match self.way {
            Way::App(_) => DeliveryLogs::OfApp,
            Way::Token(_) => DeliveryLogs::OfRepositories,
        }
    }

    /// Those that failed alone, where GitHub knows how to tell them apart; older Enterprise Servers tell of all.
    pub(crate) async fn delivery_tries(&self, log: &DeliveryLog, page: Option<&str>) -> Result<DeliveryTries> {
        let hook = hook_of(log);
        let (whom, path) = self.place(log, &hook, &[]);
        let mut query = vec![("status", "failure"), ("per_page", lists::PAGE)];
        query.extend(page.map(|page| ("cursor", page)));
        let call = Call { name: "hook_deliveries", path: &path, query: &query };
        let (headers, body) = self.send::<()>(Method::GET, whom, call, None).await?;
        let all: Vec<AttemptJson> = self.http.json(&call, &body)?;
        let next = lists::next(&headers).and_then(|query| query.into_iter().find(|(key, _)| key == "cursor"));
        let next = next.map(|(_, cursor)| cursor);
        if next.as_ref().is_some_and(|cursor| cursor.len() > LONGEST_CURSOR) {
            let what = format!("/{} goes on at no cursor", path.join("/"));
            return Err(self.http.error(Fate::Invalid, None, what));
        }
        let all = all.into_iter().filter(|one| one.guid.len() <= LONGEST_ID && !one.guid.contains('\0'));
        let attempt = |one: AttemptJson| DeliveryTry {
            id: one.id,
            delivery_id: one.guid,
            at: one.delivered_at,
            went_well: one.status_code.is_some_and(|code| (200..300).contains(&code)),
        };
        Ok(DeliveryTries { tries: all.map(attempt).collect(), next })
    }

    pub(crate) async fn redeliver(&self, log: &DeliveryLog, attempt: i64) -> Result<()> {
        let (hook, attempt) = (hook_of(log), attempt.to_string());
        let (whom, path) = self.place(log, &hook, &[&attempt, "attempts"]);
        let call = Call { name: "redeliver", path: &path, query: &[] };
        self.send::<()>(Method::POST, whom, call, None).await.map(drop)
    }

    fn place<'a>(&self, log: &'a DeliveryLog, hook: &'a str, rest: &[&'a str]) -> (Whom<'a>, Vec<&'a str>) {
        let (whom, mut path) = match log {
            DeliveryLog::App => (Whom::App, vec!["app", "hook", "deliveries"]),
            DeliveryLog::Webhook { at, .. } => (Whom::Repository(at), self.path(at, &["hooks", hook, "deliveries"])),
        };
        path.extend(rest);
        (whom, path)
    }
}

fn hook_of(log: &DeliveryLog) -> String {
    match log {
        DeliveryLog::App => String::new(),
        DeliveryLog::Webhook { hook, .. } => hook.to_string(),
    }
}
