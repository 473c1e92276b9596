//! Check runs: an App makes them, everybody reads them.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::hook::Happened;
use super::super::server::Call;
use super::super::state::{CheckRun, Repository, State};
use super::app::Caller;
use super::page::LONG_AGO;
use super::wire::{NOT_FOUND, Page, forbidden, found, made};

/// Lines that one request may mark.
const MOST_ANNOTATIONS: usize = 50;
/// Characters of a summary.
const LONGEST_SUMMARY: usize = 65_535;

/// Below `check-runs`.
pub(super) fn call(state: &mut State, caller: &Caller, call: &Call, at: &Repository, rest: &[&str]) -> Page {
    let Caller::Installation { .. } = caller else { return forbidden("You must authenticate via a GitHub App.") };
    let output = &call.body["output"];
    let marks = output["annotations"].as_array().cloned().unwrap_or_default();
    let invalid = |field, why: &str| Page::Invalid { resource: "CheckRun", field, why: why.to_owned() };
    if marks.len() > MOST_ANNOTATIONS {
        return invalid("annotations", "is too long (maximum is 50 items)");
    }
    if output["summary"].as_str().is_some_and(|text| text.chars().count() > LONGEST_SUMMARY) {
        return invalid("summary", "Only 65535 characters are allowed");
    }
    let conclusion = call.body["conclusion"].as_str().map(str::to_owned);
    if call.body["status"] == "completed" && conclusion.is_none() {
        return invalid("conclusion", "is required when the status is completed");
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let run = match (call.method.as_str(), rest) {
        ("POST", []) => {
            let commit = call.text("head_sha");
            if !state.commits.contains_key(&commit) {
                let why = format!("No commit found for SHA: {commit}");
                return Page::Refused(StatusCode::UNPROCESSABLE_ENTITY, why);
            }
            let run = CheckRun {
                id: state.id(),
                repository: at.id,
                commit,
                app: "bascule".to_owned(),
                name: call.text("name"),
                external_id: call.text("external_id"),
                title: text(&output["title"]),
                summary: text(&output["summary"]),
                marks,
                conclusion,
                at: state.tick(),
            };
            state.check_runs.push(run.clone());
            run
        }
        ("PATCH", [id]) => {
            let mine = |run: &&mut CheckRun| run.id.to_string() == *id && run.repository == at.id;
            let Some(run) = state.check_runs.iter_mut().find(mine) else { return NOT_FOUND };
            (run.title, run.summary) = (text(&output["title"]), text(&output["summary"]));
            run.conclusion = conclusion;
            // Those that were marked before stay.
            run.marks.extend(marks);
            run.clone()
        }
        _ => return NOT_FOUND,
    };
    state.tell(&Happened::Check { by: "bascule[bot]", run: &run });
    let page = state.gh_check_run(&run);
    if call.method == "POST" { made(page) } else { found(page) }
}

/// Of a commit, newest first: of each app the newest of each name, or all.
pub(super) fn of_commit(state: &State, call: &Call, at: &Repository, sha: &str) -> Page {
    let mut shown: Vec<&CheckRun> = Vec::new();
    let asked = |key: &str| call.query.get(key).map(String::as_str);
    let all = asked("filter") == Some("all");
    for run in state.check_runs.iter().rev().filter(|run| run.repository == at.id && run.commit == sha) {
        let is_newer = shown.iter().any(|known| (&known.app, &known.name) == (&run.app, &run.name));
        let is_asked_for = asked("check_name").is_none_or(|name| name == run.name)
            && asked("app_id").is_none_or(|id| id == state.app_id(&run.app).to_string());
        if (all || !is_newer) && is_asked_for {
            shown.push(run);
        }
    }
    let beside = json!({ "total_count": shown.len() });
    Page::Within("check_runs", shown.into_iter().map(|run| state.gh_check_run(run)).collect(), beside)
}

impl State {
    /// The number of an app of this name, ours or a CI's.
    fn app_id(&self, slug: &str) -> i64 {
        let ours = self.apps.first().filter(|_| slug == "bascule").map(|app| app.id);
        ours.unwrap_or_else(|| 1_000 + i64::try_from(slug.len()).unwrap())
    }

    pub(super) fn gh_check_run(&self, run: &CheckRun) -> Value {
        let url = self.gh_repository_url(run.repository, &format!("check-runs/{}", run.id));
        let name = &self.repository(run.repository).name;
        let app = self.app_id(&run.app);
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        json!({
            "id": run.id,
            "head_sha": run.commit,
            "node_id": format!("CR_{}", run.id),
            "external_id": run.external_id,
            "url": url,
            "html_url": format!("{}/{name}/runs/{}", self.url, run.id),
            "details_url": format!("https://ci.example.com/{}", run.id),
            "status": if run.conclusion.is_some() { "completed" } else { "in_progress" },
            "conclusion": run.conclusion,
            "started_at": run.at,
            "completed_at": run.conclusion.as_ref().map(|_| run.at),
            "output": {
                "title": text(&run.title), "summary": text(&run.summary), "text": null,
                "annotations_count": run.marks.len(), "annotations_url": format!("{url}/annotations"),
            },
            "name": run.name,
            "check_suite": { "id": run.id },
            "app": {
                "id": app,
                "slug": run.app,
                "node_id": format!("A_{app}"),
                "owner": self.gh_user("acme"),
                "name": run.app,
                "description": null,
                "external_url": "https://ci.example.com",
                "html_url": format!("{}/apps/{}", self.url, run.app),
                "created_at": LONG_AGO,
                "updated_at": LONG_AGO,
                "permissions": {},
                "events": [],
            },
            "pull_requests": self.gh_pulls_of(run),
        })
    }

    /// The open pull requests of the repository itself that have the commit: of a fork's it tells nothing.
    fn gh_pulls_of(&self, run: &CheckRun) -> Vec<Value> {
        let place = |repository: i64| {
            let name = self.repository(repository).name.split_once('/').unwrap().1;
            json!({ "id": repository, "url": self.gh_repository_url(repository, ""), "name": name })
        };
        let mine = self.pulls.iter().filter(|pull| {
            pull.is_open
                && pull.head_sha == run.commit
                && (pull.repository, pull.head_repository) == (run.repository, run.repository)
        });
        let page = |pull: &super::super::state::Pull| {
            json!({
                "id": pull.repository * 10_000 + pull.number,
                "number": pull.number,
                "url": self.gh_repository_url(pull.repository, &format!("pulls/{}", pull.number)),
                "head": { "ref": pull.head, "sha": pull.head_sha, "repo": place(pull.head_repository) },
                "base": { "ref": pull.base, "sha": pull.base_sha, "repo": place(pull.repository) },
            })
        };
        mine.map(page).collect()
    }
}
