//! A merge queue, as GitHub has them: a branch for each pull request, on top of the one before it.

use super::super::FakeForge;
use super::super::git::{Bare, By};
use super::super::hook::{Happened, PullChange, Pushed};
use super::super::state::{Merged, Moved, Turned};
use super::{Merge, Pr};

/// A pull request in the queue.
pub(crate) struct Queued {
    pr: Pr,
    base: String,
    pub(crate) branch: String,
    pub(crate) commit: String,
}

impl FakeForge {
    /// They are put into the queue of their base, in this order, and each group is asked about.
    pub(crate) async fn queues(&self, who: &str, prs: &[&Pr]) -> Vec<Queued> {
        let mut queue: Vec<Queued> = Vec::new();
        for pr in prs {
            let pull = self.pull(pr);
            let bare = Bare::at(self.world.folder.path(), pull.repository);
            let from = match queue.last() {
                Some(ahead) => ahead.commit.clone(),
                None => bare.tip(&pull.base).await,
            };
            let branch = format!("gh-readonly-queue/{}/pr-{}-{from}", pull.base, pull.number);
            bare.git(&["update-ref", &format!("refs/heads/{branch}"), &from]).await;
            let message = format!("{} (#{})", pull.title, pull.number);
            let committer = self.merges_as(who);
            let by = By { author: &pull.author, committer: who, at: self.seconds(), message: &message };
            let commit = bare.merge(&branch, &pull.head_sha, &by, Merge::Squash).await;
            self.note_commit(&commit, &pull.author, committer);
            {
                let mut state = self.world.state();
                state.tick();
                state.repository_mut(pull.repository).branches.insert(branch.clone(), commit.clone());
                let happened = Happened::GroupFormed {
                    by: who,
                    repository: pull.repository,
                    group: (&branch, &commit),
                    base: (&pull.base, &from),
                };
                state.tell(&happened);
            }
            self.world.tell_all().await;
            let pr = Pr { repository: pr.repository, number: pr.number };
            queue.push(Queued { pr, base: pull.base, branch, commit });
        }
        queue
    }

    /// The queue merges them all at once: the base is where the last of them is, and the queue's branches are gone.
    pub(crate) async fn merges_queue(&self, who: &str, queue: &[Queued]) {
        let last = queue.last().expect("something is in the queue");
        let bare = Bare::at(self.world.folder.path(), last.pr.repository);
        bare.git(&["update-ref", &format!("refs/heads/{}", last.base), &last.commit]).await;
        for one in queue {
            bare.git(&["update-ref", "-d", &format!("refs/heads/{}", one.branch)]).await;
        }
        {
            let mut state = self.world.state();
            let now = state.tick();
            let (repository, base) = (last.pr.repository, last.base.as_str());
            let before = state.repository(repository).branches[base].clone();
            for one in queue {
                state.repository_mut(repository).branches.remove(&one.branch);
                let ours = state.pull_mut(repository, one.pr.number);
                ours.is_open = false;
                ours.merge =
                    Some(Merged { commit: one.commit.clone(), by: who.to_owned(), is_squash: true, is_named: true });
                (ours.closed, ours.updated) = (Some(now), now);
                state.turned(who, repository, one.pr.number, Turned::Merged(one.commit.clone()));
                state.tell_pull(PullChange::Closed, who, repository, one.pr.number);
            }
            state.repository_mut(repository).branches.insert(base.to_owned(), last.commit.clone());
            let (before, after) = (Some(before.as_str()), Some(last.commit.as_str()));
            state.tell_push(&Pushed { by: who, repository, branch: base, before, after, how: Moved::Merged });
        }
        self.world.tell_all().await;
    }

    /// They are thrown out of the queue.
    pub(crate) async fn leaves_queue(&self, queue: &[Queued]) {
        for one in queue {
            let bare = Bare::at(self.world.folder.path(), one.pr.repository);
            bare.git(&["update-ref", "-d", &format!("refs/heads/{}", one.branch)]).await;
            self.world.state().repository_mut(one.pr.repository).branches.remove(&one.branch);
        }
    }

    /// What is said of a group.
    pub(crate) fn said_of(&self, one: &Queued) -> String {
        let said = self.statuses_of(one.pr.repository, &one.commit);
        let line = |(context, (state, text)): (&String, &(String, String))| format!("{context}: {state}, {text}");
        said.iter().map(line).collect::<Vec<_>>().join("\n").replace("bascule/", "")
    }
}
