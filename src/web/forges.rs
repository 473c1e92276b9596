//! `/api/v1/forges`: how much of what each forge takes is used, and what waits until there is room.

use std::collections::BTreeMap;

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::asked::Page;
use super::problem::{Problem, ProblemBody};
use super::who::{Allowed, Read};
use super::{Of, State};
use crate::db::budgets;
use crate::queue;

/// A forge as it is to us now.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Forge {
    /// Its name in the configuration.
    forge: String,
    /// What was asked of it lately, for each account of ours that its limits count apart.
    accounts: Vec<Account>,
    /// Jobs that wait until it has room for them.
    waiting: i64,
    /// When the first of them goes on.
    until: Option<String>,
    /// What there is no room for.
    why: Option<String>,
}

/// What an account of ours asked.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Account {
    /// Where our App is installed; empty: our own account, or the App itself. Shown to machine tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// Points in the last minute: a call that reads is one, one that writes is five. Counted where the forge has limits that
    /// no answer tells.
    points_a_minute: u32,
    /// Comments and issues written in the last minute.
    creations_a_minute: u32,
    /// The same in the last hour.
    creations_an_hour: u32,
    /// Calls that are left, as the forge said last.
    left: Option<u32>,
    /// When all of them are there again.
    left_until: Option<String>,
    /// No call before this: the forge asked for a pause.
    paused_until: Option<String>,
}

/// The forges that were asked anything.
#[utoipa::path(get, path = "/api/v1/forges", tag = "forges",
    responses((status = 200, body = Page<Forge>), (status = "4XX", body = ProblemBody)))]
pub(super) async fn list(who: Allowed<Read>, Of(state): Of<State>) -> Result<Json<Page<Forge>>, Problem> {
    let person = who.session().map(|session| session.person.forge.as_str());
    let (mut connection, now) = (state.pool.acquire().await?, state.clock.now());
    let mut forges = BTreeMap::<String, Forge>::new();
    for (forge, account, ledger) in budgets::all(&mut connection).await? {
        let (spent, is_future) = (ledger.spent(now), |at: &jiff::Timestamp| *at > now);
        let left = ledger.left.filter(|left| is_future(&left.until));
        of(&mut forges, &forge).accounts.push(Account {
            // Whose repositories are here is not for everybody who may read one of them.
            account: person.is_none().then_some(account),
            points_a_minute: spent.points_a_minute,
            creations_a_minute: spent.creations_a_minute,
            creations_an_hour: spent.creations_an_hour,
            left: left.map(|left| left.left),
            left_until: left.map(|left| left.until.to_string()),
            paused_until: ledger.until.filter(is_future).map(|at| at.to_string()),
        });
    }
    for waiting in queue::waiting(&mut connection).await? {
        let forge = of(&mut forges, &waiting.forge);
        (forge.waiting, forge.until, forge.why) = (waiting.jobs, Some(waiting.until.to_string()), waiting.why);
    }
    let mut items: Vec<Forge> = forges.into_values().collect();
    items.retain(|one| person.is_none_or(|forge| forge == one.forge));
    if person.is_some() {
        // The words may name a repository.
        items.iter_mut().for_each(|one| one.why = None);
    }
    let most = i64::try_from(items.len()).unwrap_or(i64::MAX).saturating_add(1);
    Ok(Json(Page::of(items, most, |one: &Forge| one.forge.clone())))
}

fn of<'f>(forges: &'f mut BTreeMap<String, Forge>, name: &str) -> &'f mut Forge {
    forges.entry(name.to_owned()).or_insert_with(|| Forge { forge: name.to_owned(), ..Forge::default() })
}
