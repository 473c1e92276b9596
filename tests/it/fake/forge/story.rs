//! What people do on the forge, in the words of the stories.

mod queue;
mod together;
mod train;

pub(crate) use queue::Queued;

use super::FakeForge;
use super::git::{Bare, By, File};
use super::hook::{Happened, PullChange, Pushed, RepositoryChange};
use super::state::{Commit, Merged, Moved, Pull, PullPush, Repository, Turned};

/// A repository of the fake forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shop {
    pub(crate) id: i64,
    pub(crate) name: String,
}

/// A pull request of the fake forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pr {
    pub(crate) repository: i64,
    pub(crate) number: i64,
}

/// How a pull request is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merge {
    Commit,
    Squash,
    Rebase,
    FastForward,
}

impl FakeForge {
    // ── repositories ───────────────────────────────────────────────────────────────────────────────────────────────

    /// A new repository `owner/name`, of an organisation, with one commit of these files on `main`.
    pub(crate) async fn repository(&self, name: &str, files: &[(&str, &str)]) -> Shop {
        let id = {
            let mut state = self.world.state();
            state.user(name.split_once('/').unwrap().0).is_organisation = true;
            let id = state.id();
            state.repositories.push(Repository {
                id,
                name: name.to_owned(),
                is_fork: false,
                is_deleted: false,
                is_archived: false,
                branches: [].into(),
                rights: [].into(),
            });
            id
        };
        Bare::create(self.world.folder.path(), id).await;
        {
            let mut state = self.world.state();
            state.user("root");
            state.tell(&Happened::Repository { how: RepositoryChange::Created, by: "root", repository: id });
        }
        let shop = Shop { id, name: name.to_owned() };
        self.pushes_to("root", &shop, "main", files).await;
        shop
    }

    /// Another name for it. Gitea tells nobody.
    pub(crate) async fn renames(&self, shop: &Shop, name: &str) -> Shop {
        {
            let mut state = self.world.state();
            state.user("root");
            state.moved.insert(shop.name.clone(), shop.id);
            name.clone_into(&mut state.repository_mut(shop.id).name);
            let how = RepositoryChange::Renamed(shop.name.split_once('/').unwrap().1.to_owned());
            state.tell(&Happened::Repository { how, by: "root", repository: shop.id });
        }
        self.world.tell_all().await;
        Shop { id: shop.id, name: name.to_owned() }
    }

    /// Deletes it. Gitea tells nobody.
    pub(crate) async fn deletes(&self, shop: &Shop) {
        {
            let mut state = self.world.state();
            state.user("root");
            state.tell(&Happened::Repository { how: RepositoryChange::Deleted, by: "root", repository: shop.id });
            state.repository_mut(shop.id).is_deleted = true;
        }
        self.world.tell_all().await;
    }

    /// Deletes it and makes another of the same name.
    pub(crate) async fn recreates(&self, shop: &Shop, files: &[(&str, &str)]) -> Shop {
        self.deletes(shop).await;
        self.repository(&shop.name, files).await
    }

    /// Somebody pushes a commit of these files to a branch, without a pull request; the commit.
    pub(crate) async fn pushes_to(&self, who: &str, shop: &Shop, branch: &str, files: &[(&str, &str)]) -> String {
        let from = self.tip(shop, branch).or_else(|| self.tip(shop, "main"));
        self.commit(who, who, shop.id, branch, from.as_deref(), &written(files)).await
    }

    /// From now on commits say this.
    pub(crate) fn commits_say(&self, message: &str) {
        self.world.state().message = message.to_owned();
    }

    fn message(&self) -> String {
        self.world.state().message.clone()
    }

    /// The same, of a commit that says it is somebody else's.
    pub(crate) async fn pushes_as(
        &self,
        who: &str,
        author: &str,
        shop: &Shop,
        branch: &str,
        files: &[(&str, &str)],
    ) -> String {
        let from = self.tip(shop, branch).or_else(|| self.tip(shop, "main"));
        self.commit(who, author, shop.id, branch, from.as_deref(), &written(files)).await
    }

    /// Somebody makes a branch what it was at `commit`, by force.
    pub(crate) async fn resets(&self, who: &str, shop: &Shop, branch: &str, commit: &str) {
        let bare = Bare::at(self.world.folder.path(), shop.id);
        bare.git(&["update-ref", &format!("refs/heads/{branch}"), commit]).await;
        self.moved(who, shop.id, branch, commit, true).await;
    }

    /// Deletes a branch.
    pub(crate) async fn deletes_branch(&self, who: &str, shop: &Shop, branch: &str) {
        let bare = Bare::at(self.world.folder.path(), shop.id);
        bare.git(&["update-ref", "-d", &format!("refs/heads/{branch}")]).await;
        {
            let mut state = self.world.state();
            state.user(who);
            let before = state.repository_mut(shop.id).branches.remove(branch);
            let (repository, before, how) = (shop.id, before.as_deref(), Moved::Pushed);
            state.tell_push(&Pushed { by: who, repository, branch, before, after: None, how });
        }
        self.world.tell_all().await;
    }

    /// A branch's commit.
    pub(crate) fn tip(&self, shop: &Shop, branch: &str) -> Option<String> {
        self.world.state().repository(shop.id).branches.get(branch).cloned()
    }

    // ── pull requests ──────────────────────────────────────────────────────────────────────────────────────────────

    /// Opens a pull request for `main`, from a branch of the repository itself.
    pub(crate) async fn opens_pull(&self, who: &str, shop: &Shop, files: &[(&str, &str)]) -> Pr {
        self.opens_pull_of(who, shop, "main", &written(files)).await
    }

    /// The same that removes files.
    pub(crate) async fn opens_pull_that_removes(&self, who: &str, shop: &Shop, paths: &[&str]) -> Pr {
        let files: Vec<File<'_>> = paths.iter().map(|path| (*path, None)).collect();
        self.opens_pull_of(who, shop, "main", &files).await
    }

    /// The same for any branch and any mixture.
    pub(crate) async fn opens_pull_of(&self, who: &str, shop: &Shop, base: &str, files: &[(&str, Option<&str>)]) -> Pr {
        let number = self.world.state().next_number(shop.id);
        let branch = format!("change-{number}");
        let from = self.tip(shop, base);
        self.commit(who, who, shop.id, &branch, from.as_deref(), files).await;
        self.open(who, shop.id, base, shop.id, &branch).await
    }

    /// Opens one for `main` from a branch that is there, whoever pushed it.
    pub(crate) async fn opens_pull_from_branch(&self, who: &str, shop: &Shop, branch: &str) -> Pr {
        self.world.state().user(who);
        self.open(who, shop.id, "main", shop.id, branch).await
    }

    /// Opens one from a fork of one's own.
    pub(crate) async fn opens_pull_from_fork(&self, who: &str, shop: &Shop, files: &[(&str, &str)]) -> Pr {
        let base = Bare::at(self.world.folder.path(), shop.id);
        let (fork, number) = {
            let mut state = self.world.state();
            state.user(who);
            let id = state.id();
            let mut fork = state.repository(shop.id).clone();
            fork.id = id;
            fork.is_fork = true;
            fork.name = format!("{who}/{}", shop.name.split_once('/').unwrap().1);
            state.repositories.push(fork);
            (id, state.next_number(shop.id))
        };
        base.fork(self.world.folder.path(), fork).await;
        let branch = format!("change-{number}");
        let from = self.tip(shop, "main");
        self.commit(who, who, fork, &branch, from.as_deref(), &written(files)).await;
        self.open(who, shop.id, "main", fork, &branch).await
    }

    async fn open(&self, who: &str, repository: i64, base: &str, head_repository: i64, head: &str) -> Pr {
        let root = self.world.folder.path();
        let (number, base_sha, head_sha) = {
            let state = self.world.state();
            let tip = |repository, branch| state.repository(repository).branches[branch].clone();
            (state.next_number(repository), tip(repository, base), tip(head_repository, head))
        };
        let bare = Bare::at(root, repository);
        bare.show_pull(&Bare::at(root, head_repository), number, &head_sha).await;
        let merge_base = bare.merge_base(&base_sha, &head_sha).await;
        let commits = bare.commits(&base_sha, &head_sha).await;
        {
            let mut state = self.world.state();
            let (id, now) = (state.id(), state.tick());
            // The real one tells what was there at the opening as the opener's push.
            let push = PullPush { id, by: who.to_owned(), commits, is_forced: false, at: now };
            state.pulls.push(Pull {
                repository,
                number,
                title: format!("Change {number}"),
                body: String::new(),
                author: who.to_owned(),
                base: base.to_owned(),
                head: head.to_owned(),
                head_repository,
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
            state.tell_pull(PullChange::Opened, who, repository, number);
        }
        self.world.tell_all().await;
        Pr { repository, number }
    }

    /// So many more pull requests of the same branch, opened at the same time.
    pub(crate) fn has_many_like(&self, pr: &Pr, count: usize) {
        let mut state = self.world.state();
        let like = state.pull(pr.repository, pr.number).unwrap().clone();
        for _ in 0..count {
            let number = state.next_number(pr.repository);
            state.pulls.push(Pull { number, ..like.clone() });
        }
    }

    /// An organisation has that many repositories, about which nobody asks but what they are called; their numbers.
    pub(crate) fn has_many_repositories(&self, organisation: &str, count: usize) -> Vec<i64> {
        let mut state = self.world.state();
        let made = (0..count).map(|number| {
            let (id, name) = (state.id(), format!("{organisation}/r{number}"));
            let (is_fork, is_deleted, is_archived) = (false, false, false);
            let (branches, rights) = ([].into(), [].into());
            state.repositories.push(Repository { id, name, is_fork, is_deleted, is_archived, branches, rights });
            id
        });
        made.collect()
    }

    /// Somebody pushes one more commit of these files to the head; the new head.
    pub(crate) async fn pushes(&self, who: &str, pr: &Pr, files: &[(&str, &str)]) -> String {
        self.pushes_by(who, who, pr, files).await
    }

    /// Somebody pushes a commit that says it is somebody else's.
    pub(crate) async fn pushes_by(&self, who: &str, author: &str, pr: &Pr, files: &[(&str, &str)]) -> String {
        let pull = self.pull(pr);
        self.commit(who, author, pull.head_repository, &pull.head, Some(&pull.head_sha), &written(files)).await
    }

    /// Somebody replaces the head's commits by one on top of the base.
    pub(crate) async fn force_pushes(&self, who: &str, pr: &Pr, files: &[(&str, &str)]) -> String {
        let pull = self.pull(pr);
        self.commit(who, who, pull.head_repository, &pull.head, Some(&pull.merge_base), &written(files)).await
    }

    /// Somebody merges the base into the head, as the forge's button does; the new head.
    pub(crate) async fn updates_from_base(&self, who: &str, pr: &Pr) -> String {
        let pull = self.pull(pr);
        let bare = Bare::at(self.world.folder.path(), pull.repository);
        let base = bare.tip(&pull.base).await;
        let by = By { author: who, committer: who, at: self.seconds(), message: "Merge the base" };
        let merged = bare.merge(&pull.head, &base, &by, Merge::Commit).await;
        self.note_commit(&merged, who, self.merges_as(who));
        self.moved(who, pull.head_repository, &pull.head, &merged, false).await;
        merged
    }

    /// Merges it; the last commit on the base.
    pub(crate) async fn merges(&self, who: &str, pr: &Pr, how: Merge) -> String {
        let pull = self.pull(pr);
        let bare = Bare::at(self.world.folder.path(), pull.repository);
        let message = format!("{} (#{})", pull.title, pull.number);
        let committer = self.merges_as(who);
        let by = By { author: &pull.author, committer: who, at: self.seconds(), message: &message };
        let merged = bare.merge(&pull.base, &pull.head_sha, &by, how).await;
        match how {
            Merge::Commit => self.note_commit(&merged, who, committer),
            Merge::Squash => self.note_commit(&merged, &pull.author, committer),
            Merge::Rebase => self.note_commit(&merged, &pull.author, &pull.author),
            Merge::FastForward => {}
        }
        let moved = if how == Merge::FastForward { Moved::Pushed } else { Moved::Merged };
        let is_squash = how == Merge::Squash;
        self.became(pr, Merged { commit: merged.clone(), by: who.to_owned(), is_squash, is_named: true }, moved);
        self.world.tell_all().await;
        merged
    }

    /// Its base is at its merge, and it is closed.
    fn became(&self, pr: &Pr, merged: Merged, how: Moved) {
        let (pull, Merged { commit, by, .. }) = (self.pull(pr), merged.clone());
        let mut state = self.world.state();
        let now = state.tick();
        let (repository, branch) = (pull.repository, pull.base.as_str());
        let before = state.repository_mut(repository).branches.insert(pull.base.clone(), commit.clone());
        let ours = state.pull_mut(pr.repository, pr.number);
        ours.is_open = false;
        ours.merge = Some(merged);
        (ours.closed, ours.updated) = (Some(now), now);
        state.turned(&by, pr.repository, pr.number, Turned::Merged(commit.clone()));
        state.tell_pull(PullChange::Closed, &by, pr.repository, pr.number);
        let (before, after) = (before.as_deref(), Some(commit.as_str()));
        state.tell_push(&Pushed { by: &by, repository, branch, before, after, how });
    }

    /// The committer of what a button of the forge makes.
    fn merges_as<'a>(&self, who: &'a str) -> &'a str {
        let mut state = self.world.state();
        let committer = state.tongue.merges_as().unwrap_or(who);
        state.user(committer);
        committer
    }

    /// Says that it is not meant to be merged yet.
    pub(crate) async fn drafts(&self, who: &str, pr: &Pr) {
        self.alters(who, pr, |pull| {
            pull.is_draft = true;
            PullChange::Drafted
        })
        .await;
    }

    /// Says that it is.
    pub(crate) async fn readies(&self, who: &str, pr: &Pr) {
        self.alters(who, pr, |pull| {
            pull.is_draft = false;
            PullChange::Readied
        })
        .await;
    }

    /// Closes it without merging.
    pub(crate) async fn closes(&self, who: &str, pr: &Pr) {
        self.alters(who, pr, |pull| {
            pull.is_open = false;
            PullChange::Closed
        })
        .await;
    }

    /// Opens it again.
    pub(crate) async fn reopens(&self, who: &str, pr: &Pr) {
        self.alters(who, pr, |pull| {
            pull.is_open = true;
            PullChange::Reopened
        })
        .await;
    }

    /// Makes it one for another branch.
    pub(crate) async fn retargets(&self, who: &str, pr: &Pr, base: &str) {
        self.alters(who, pr, |pull| PullChange::Retargeted(std::mem::replace(&mut pull.base, base.to_owned()))).await;
    }

    /// Gives it another title.
    pub(crate) async fn titles(&self, who: &str, pr: &Pr, title: &str) {
        self.alters(who, pr, |pull| PullChange::Titled(std::mem::replace(&mut pull.title, title.to_owned()))).await;
    }

    async fn alters(&self, who: &str, pr: &Pr, how: impl FnOnce(&mut Pull) -> PullChange) {
        {
            let mut state = self.world.state();
            state.user(who);
            let now = state.tick();
            let pull = state.pull_mut(pr.repository, pr.number);
            let change = how(pull);
            pull.updated = now;
            pull.closed = if pull.is_open { None } else { Some(now) };
            let (base, title) = (pull.base.clone(), pull.title.clone());
            let tip = state.repository(pr.repository).branches.get(&base).cloned();
            let turned = match &change {
                PullChange::Opened | PullChange::Pushed(_) => None,
                PullChange::Closed => Some(Turned::Closed),
                PullChange::Reopened => Some(Turned::Reopened),
                PullChange::Retargeted(from) => {
                    state.pull_mut(pr.repository, pr.number).base_sha = tip.unwrap_or_default();
                    Some(Turned::Retargeted(from.clone(), base))
                }
                PullChange::Titled(from) => Some(Turned::Titled(from.clone(), title)),
                PullChange::Drafted => Some(Turned::Drafted),
                PullChange::Readied => Some(Turned::Readied),
            };
            if let Some(turned) = turned {
                state.turned(who, pr.repository, pr.number, turned);
            }
            state.tell_pull(change, who, pr.repository, pr.number);
        }
        self.world.tell_all().await;
    }

    /// From now on its pages tell this head, which no push made: as between a force push and what is said of it.
    pub(crate) fn tells_head(&self, pr: &Pr, commit: &str) {
        commit.clone_into(&mut self.world.state().pull_mut(pr.repository, pr.number).head_sha);
    }

    /// The commit of its head.
    pub(crate) fn head(&self, pr: &Pr) -> String {
        self.pull(pr).head_sha
    }

    fn pull(&self, pr: &Pr) -> Pull {
        self.world.state().pull(pr.repository, pr.number).expect("a pull request of this forge").clone()
    }

    // ── what Git needs ─────────────────────────────────────────────────────────────────────────────────────────────

    fn seconds(&self) -> i64 {
        self.world.state().tick().as_second()
    }

    fn note_commit(&self, sha: &str, author: &str, committer: &str) {
        let commit = Commit { author: author.to_owned(), committer: committer.to_owned() };
        self.world.state().commits.insert(sha.to_owned(), commit);
    }

    async fn commit(
        &self,
        who: &str,
        author: &str,
        repository: i64,
        branch: &str,
        from: Option<&str>,
        files: &[File<'_>],
    ) -> String {
        let bare = Bare::at(self.world.folder.path(), repository);
        let was_there = self.world.state().repository(repository).branches.get(branch).cloned();
        let by = By { author, committer: author, at: self.seconds(), message: &self.message() };
        let commit = bare.commit(branch, from, &by, files).await;
        self.note_commit(&commit, author, author);
        let forced = was_there.is_some_and(|before| from != Some(before.as_str()));
        self.moved(who, repository, branch, &commit, forced).await;
        commit
    }

    /// A branch is at another commit now; so are the pull requests whose head it is.
    async fn moved(&self, who: &str, repository: i64, branch: &str, commit: &str, is_forced: bool) {
        let root = self.world.folder.path();
        let heads: Vec<Pull> = {
            let mut state = self.world.state();
            state.user(who);
            let before = state.repository_mut(repository).branches.insert(branch.to_owned(), commit.to_owned());
            let (before, after) = (before.as_deref(), Some(commit));
            let how = if is_forced { Moved::Forced } else { Moved::Pushed };
            state.tell_push(&Pushed { by: who, repository, branch, before, after, how });
            let mine = |pull: &&Pull| pull.is_open && pull.head_repository == repository && pull.head == branch;
            state.pulls.iter().filter(mine).cloned().collect()
        };
        for pull in heads {
            let bare = Bare::at(root, pull.repository);
            bare.show_pull(&Bare::at(root, repository), pull.number, commit).await;
            let base = bare.tip(&pull.base).await;
            let merge_base = bare.merge_base(&base, commit).await;
            let commits = if is_forced {
                vec![pull.head_sha.clone(), commit.to_owned()]
            } else {
                bare.commits(&pull.head_sha, commit).await
            };
            let mut state = self.world.state();
            let (id, at, counts_pushes) = (state.id(), state.tick(), state.tongue.counts_pushes());
            let ours = state.pull_mut(pull.repository, pull.number);
            commit.clone_into(&mut ours.head_sha);
            ours.base_sha = base;
            ours.merge_base = merge_base;
            if counts_pushes {
                ours.updated = at;
            }
            ours.pushes.push(PullPush { id, by: who.to_owned(), commits, is_forced, at });
            state.tell_pull(PullChange::Pushed(pull.head_sha), who, pull.repository, pull.number);
        }
        self.world.tell_all().await;
    }
}

/// Files to write.
fn written<'a>(files: &[(&'a str, &'a str)]) -> Vec<File<'a>> {
    files.iter().map(|(path, content)| (*path, Some(*content))).collect()
}
