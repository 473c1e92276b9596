//! What a story looks at: comments, the log, the cluster, and the rows that are left at its end.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use regex::{Captures, Regex};
use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::town::Town;
use crate::fake::forge::Pr;

/// Everything that has to be the same however the server heard of it: no ids of ours, no times.
const ROWS: [(&str, &str); 7] = [
    (
        "environment",
        "SELECT name, state, namespace, branch, position_commit, encode(position_set, 'hex') AS set, healthy_commit,
                encode(healthy_set, 'hex') AS healthy_set FROM environment ORDER BY name, namespace",
    ),
    (
        "deployment",
        "SELECT name, number, commit_sha, encode(set_digest, 'hex') AS set, from_commit, pulls,
                jsonb_array_length(approvals) AS approvals, deployment.state
         FROM deployment JOIN environment ON environment.id = environment_id ORDER BY name, number",
    ),
    (
        "approval",
        "SELECT name, pull_number, shown_as, person->>'login' AS person, source, reviewed_head, deletions,
                encode(change_digest, 'hex') AS change, encode(base_set, 'hex') AS base_set,
                encode(head_set, 'hex') AS head_set, approval_void.reason AS void,
                approval_use.approval_id IS NOT NULL AS used
         FROM approval JOIN environment ON environment.id = environment_id
         LEFT JOIN approval_void ON approval_void.approval_id = approval.id
         LEFT JOIN approval_use ON approval_use.approval_id = approval.id
         ORDER BY name, given_at, person->>'login'",
    ),
    (
        "hold",
        "SELECT name, reason, detail, lifts, from_commit, to_commit, encode(to_set, 'hex') AS set,
                encode(change_digest, 'hex') AS change, shown_in
         FROM hold JOIN environment ON environment.id = environment_id ORDER BY name",
    ),
    (
        "object",
        "SELECT environment.name, kind, inventory.namespace, inventory.name AS object, uid IS NOT NULL AS confirmed
         FROM inventory JOIN environment ON environment.id = environment_id ORDER BY 1, 2, 3, 4",
    ),
    (
        "pull",
        "SELECT number, state, author->>'login' AS author, base_branch, head_sha, merge_commit,
                comment_id IS NOT NULL AS commented FROM pull ORDER BY number",
    ),
    ("job", "SELECT kind, state, error FROM job ORDER BY kind, key"),
];

impl Town {
    /// What is left at the end, a line for each row, with every comment and status of ours. Commits and digests are
    /// numbered as they appear: two tellings have others.
    pub(super) async fn rows(&self) -> String {
        let mut text = String::new();
        for (table, query) in ROWS {
            let as_json = format!("SELECT to_jsonb(row) AS row FROM ({query}) AS row");
            let rows = sqlx::query(sqlx::AssertSqlSafe(as_json)).fetch_all(&self.database.owner).await.unwrap();
            for row in rows {
                let row: Value = PgRow::get(&row, "row");
                writeln!(text, "{table} {}", self.as_elsewhere(&row.to_string())).unwrap();
            }
        }
        for number in 1..self.forge.numbers(&self.shop) {
            let pr = Pr { repository: self.shop.id, number };
            let comment = self.as_elsewhere(&self.forge.comment(&pr));
            writeln!(text, "\n#{number} {}\n{comment}", self.statuses_text(&pr)).unwrap();
        }
        numbered(&self.readable(&text))
    }

    /// Numbers of pull requests and issues, where they are counted apart, as the stories number them.
    fn as_elsewhere(&self, text: &str) -> String {
        if !self.forge.numbers_issues_apart() {
            return text.to_owned();
        }
        let known = |ours: &str| self.forge.place_of(self.shop.id, ours.parse().unwrap()).number;
        let issue = Regex::new(r#"("shown_in":|"pull_number":|"pulls":\[)(-\d+)"#).unwrap();
        let text = issue.replace_all(text, |found: &Captures<'_>| format!("{}{}", &found[1], known(&found[2])));
        let named = Regex::new(r"(^|[^`\w])([#!])(\d+)").unwrap();
        let place = |found: &Captures<'_>| match &found[2] {
            "#" => format!("{}#{}", &found[1], known(&format!("-{}", &found[3]))),
            _ => format!("{}#{}", &found[1], &found[3]),
        };
        named.replace_all(&text, place).into_owned()
    }

    /// Our comment on a pull request or issue, without what differs from one telling to the next.
    pub(super) fn comment(&self, pr: &Pr) -> String {
        self.as_shown(&self.as_elsewhere(&self.forge.comment(pr)))
    }

    /// `preview: success, 1 object in 1 environment would change`, and the same of consent.
    pub(super) fn statuses(&self, pr: &Pr) -> String {
        self.readable(&self.statuses_text(pr))
    }

    fn statuses_text(&self, pr: &Pr) -> String {
        let statuses = self.forge.statuses_if_pull(pr);
        let lines = statuses.iter().map(|(context, (state, said))| {
            format!("{}: {state}, {said}", context.strip_prefix("bascule/").unwrap_or(context))
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn readable(&self, text: &str) -> String {
        let text = text.replace(&self.namespace, "shop");
        let preview = Regex::new(r"/previews/\d+").unwrap();
        let took = Regex::new(r" in \d+\.\d s").unwrap();
        // Which letters stand for a value is the installation's and the repository's own.
        let letters = Regex::new(r"\(redacted [a-z2-7]{6}").unwrap();
        let text = took.replace_all(&preview.replace_all(&text, "/previews/…"), "").into_owned();
        letters.replace_all(&text, "(redacted …").into_owned()
    }

    /// What is the same in every telling of what people see.
    pub(super) fn as_shown(&self, text: &str) -> String {
        let hex = Regex::new("[0-9a-f]{7,64}").unwrap();
        hex.replace_all(&self.readable(text), "…").into_owned()
    }

    /// The table of our comment: a row for each environment.
    pub(super) fn row(&self, pr: &Pr) -> String {
        let comment = self.comment(pr);
        let is_row = |line: &&str| line.starts_with("| `");
        comment.lines().skip_while(|line| !is_row(line)).take_while(is_row).collect::<Vec<_>>().join("\n")
    }

    /// What our comment answered.
    pub(super) fn answers(&self, pr: &Pr) -> String {
        let comment = self.comment(pr);
        comment.lines().filter_map(|line| line.strip_prefix("> ")).collect::<Vec<_>>().join("\n")
    }

    /// The line the comment gives to be typed for an environment.
    pub(super) fn to_type(&self, pr: &Pr, environment: &str) -> String {
        let begin = format!("/bascule approve {environment} ");
        let comment = self.forge.comment(pr);
        let at = comment.find(&begin).unwrap_or_else(|| panic!("nothing to type for {environment}:\n{comment}"));
        comment[at..].split('`').next().unwrap().to_owned()
    }

    /// The log of a pull request or issue: what was done about it, in order. Intents are told by their outcomes, and
    /// statuses and reactions follow what is told here.
    pub(super) async fn audit_of(&self, pr: &Pr) -> String {
        let of = "SELECT action FROM audit_entry
                  WHERE NOT opens AND action NOT LIKE 'status.%' AND action NOT LIKE 'reaction.%'
                    AND (subject LIKE '%' || $2 OR detail->>'number' = $1 AND action LIKE 'approval%'
                     OR (detail->'pulls')::jsonb @> $1::jsonb
                     OR detail->>'approval' IN (SELECT id::text FROM approval WHERE pull_number = $1::bigint))
                  ORDER BY seq";
        let (number, place) = self.forge.known_as(pr);
        let query = sqlx::query_scalar(of).bind(number.to_string()).bind(place);
        let actions: Vec<String> = query.fetch_all(&self.database.owner).await.unwrap();
        let mut seen: Vec<String> = Vec::new();
        for action in actions {
            if seen.last() != Some(&action) {
                seen.push(action);
            }
        }
        seen.join(", ")
    }

    /// The environments of all syncs that were started, in order.
    pub(super) async fn syncs(&self) -> Vec<String> {
        let started = "SELECT split_part(subject, ' ', 2) FROM audit_entry WHERE action = 'sync.started' ORDER BY seq";
        sqlx::query_scalar(started).fetch_all(&self.database.owner).await.unwrap()
    }

    /// Config maps of the story's namespace and what they hold: `web=2`.
    pub(super) async fn objects(&self) -> Vec<String> {
        self.objects_in("").await
    }

    /// The same of the namespace with this ending.
    pub(super) async fn objects_in(&self, ending: &str) -> Vec<String> {
        let path = format!("/api/v1/namespaces/{}{ending}/configmaps", self.namespace);
        let list = self.plane.get(&path).await.unwrap();
        let all = list["items"].as_array().unwrap().iter();
        all.map(|one| format!("{}={}", text(&one["metadata"]["name"]), text(&one["data"]["value"]))).collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Commits and digests as the how-manieth they are; a short one is the long one it begins.
fn numbered(text: &str) -> String {
    let hex = Regex::new(r"\b[0-9a-f]{7,64}\b").unwrap();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let name = |found: &Captures<'_>| {
        let found = &found[0];
        let next = known.len() + 1;
        let same = known.iter().find(|(one, _)| one.starts_with(found)).map(|(_, number)| *number);
        let number = same.unwrap_or_else(|| *known.entry(found.to_owned()).or_insert(next));
        format!("<{number}>")
    };
    hex.replace_all(text, name).into_owned()
}
