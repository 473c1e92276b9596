//! What our account brings by itself: branches it pushes, and pull requests it opens.

use axum::body::Body;
use axum::http::{Response, StatusCode};

use super::git::Bare;
use super::hook::{PullChange, Pushed};
use super::server::Call;
use super::state::{Commit, Moved, Pull, PullPush, State};
use super::{FakeForge, Pr, Right, Shop, World, github, is_us};

/// A pull request to open.
pub(super) struct New {
    pub(super) by: String,
    pub(super) repository: i64,
    pub(super) head: String,
    pub(super) base: String,
    pub(super) title: String,
    pub(super) body: String,
}

impl New {
    /// As most forges take it.
    pub(super) fn of(call: &Call, by: &str, repository: i64, [head, base, body]: [&str; 3]) -> Self {
        let (head, base, body) = (call.text(head), call.text(base), call.text(body));
        Self { by: by.to_owned(), repository, head, base, title: call.text("title"), body }
    }
}

/// Opens it; of which repository, and its number, or why not.
pub(super) async fn opens(world: &World, new: New) -> Result<(i64, i64), String> {
    let New { by, repository, head, base, title, body } = new;
    let (number, tips) = {
        let state = world.state();
        let branches = &state.repository(repository).branches;
        let is_there =
            |pull: &Pull| pull.is_open && (pull.repository, &pull.head, &pull.base) == (repository, &head, &base);
        if state.pulls.iter().any(is_there) {
            return Err("there is one already".to_owned());
        }
        (state.next_number(repository), branches.get(&base).cloned().zip(branches.get(&head).cloned()))
    };
    let Some((base_sha, head_sha)) = tips else { return Err("there is no such branch".to_owned()) };
    let bare = Bare::at(world.folder.path(), repository);
    bare.show_pull(&bare, number, &head_sha).await;
    let merge_base = bare.merge_base(&base_sha, &head_sha).await;
    let commits = bare.commits(&base_sha, &head_sha).await;
    let mut state = world.state();
    let (id, now) = (state.id(), state.tick());
    let push = PullPush { id, by: by.clone(), commits, is_forced: false, at: now };
    state.pulls.push(Pull {
        repository,
        number,
        title,
        body,
        author: by.clone(),
        base,
        head,
        head_repository: repository,
        head_sha,
        base_sha,
        is_open: true,
        is_draft: false,
        merge: None,
        merge_base,
        created: now,
        updated: now,
        closed: None,
        pushes: vec![push],
    });
    state.tell_pull(PullChange::Opened, &by, repository, number);
    Ok((repository, number))
}

/// One request of `git push`, by whoever has this token.
pub(super) async fn pushes(world: &World, id: i64, token: &str, rest: &str, body: Vec<u8>) -> Response<Body> {
    let by = {
        let state = world.state();
        match github::pusher(&state, token).filter(|_| may_push(&state, id)) {
            Some(login) => login,
            None => return state.tongue.refusal(StatusCode::FORBIDDEN, "Write access to repository not granted."),
        }
    };
    let bare = Bare::at(world.folder.path(), id);
    let answer = bare.takes(rest, body).await;
    for (branch, tip) in bare.branches().await {
        let before = world.state().repository(id).branches.get(&branch).cloned();
        if before.as_ref() == Some(&tip) {
            continue;
        }
        let mut state = world.state();
        state.user(by);
        // By an address that is nobody's.
        let commit = Commit { author: String::new(), committer: String::new() };
        state.commits.entry(tip.clone()).or_insert(commit);
        state.repository_mut(id).branches.insert(branch.clone(), tip.clone());
        let (before, after) = (before.as_deref(), Some(tip.as_str()));
        state.tell_push(&Pushed { by, repository: id, branch: &branch, before, after, how: Moved::Pushed });
    }
    world.tell_all().await;
    answer
}

fn may_push(state: &State, repository: i64) -> bool {
    state.repository(repository).rights.get("bascule").is_none_or(|right| *right >= Right::Write)
}

impl FakeForge {
    /// A file at the tip of a branch, as it is there.
    pub(crate) async fn file(&self, shop: &Shop, branch: &str, path: &str) -> String {
        Bare::at(self.world.folder.path(), shop.id).file(branch, path).await
    }

    /// The pull requests of ours: each with its title and what it says, oldest first.
    pub(crate) fn our_pulls(&self, shop: &Shop) -> Vec<(Pr, String, String)> {
        let state = self.world.state();
        let ours = state.pulls.iter().filter(|pull| pull.repository == shop.id && is_us(&pull.author));
        ours.map(|pull| {
            let pr = Pr { repository: pull.repository, number: pull.number };
            (pr, pull.title.clone(), pull.body.clone())
        })
        .collect()
    }
}
