//! A merge train, as GitLab has them: a reference for each merge request, on top of the one before it. One after the other,
//! what stands there becomes the branch (`MergeRequests::CreateRefService`, `MergeStrategies::FromTrainRef`).

use super::super::FakeForge;
use super::super::git::{Bare, By};
use super::super::state::{Merged, Moved};
use super::{Merge, Pr};

/// A merge request on the train.
pub(crate) struct Aboard {
    pr: Pr,
    base: String,
    pub(crate) commit: String,
    how: Merge,
}

impl FakeForge {
    /// They are put on the train of their base, in this order; their project merges in this way.
    pub(crate) async fn boards(&self, who: &str, prs: &[&Pr], how: Merge) -> Vec<Aboard> {
        let mut train: Vec<Aboard> = Vec::new();
        for pr in prs {
            let pull = self.pull(pr);
            let bare = Bare::at(self.world.folder.path(), pull.repository);
            let from = match train.last() {
                Some(ahead) => ahead.commit.clone(),
                None => bare.tip(&pull.base).await,
            };
            // It has to be a branch while it is made.
            let scratch = format!("train-{}", pull.number);
            bare.git(&["update-ref", &format!("refs/heads/{scratch}"), &from]).await;
            let message = format!("{} (!{})", pull.title, pull.number);
            let committer = self.merges_as(who);
            // What is rebased keeps its author, and is committed by whoever put it there.
            let author = if how == Merge::Squash { &pull.author } else { who };
            let by = By { author, committer, at: self.seconds(), message: &message };
            let commit = bare.merge(&scratch, &pull.head_sha, &by, how).await;
            bare.git(&["update-ref", &format!("refs/merge-requests/{}/train", pull.number), &commit]).await;
            bare.git(&["update-ref", "-d", &format!("refs/heads/{scratch}")]).await;
            // On top of the branch already, it stays what it was.
            if commit != pull.head_sha {
                self.note_commit(&commit, if how == Merge::Commit { who } else { &pull.author }, committer);
            }
            train.push(Aboard { pr: (*pr).clone(), base: pull.base, commit, how });
        }
        train
    }

    /// The train's pipelines succeeded, one after the other.
    pub(crate) async fn arrives(&self, who: &str, train: &[Aboard]) {
        for one in train {
            let bare = Bare::at(self.world.folder.path(), one.pr.repository);
            bare.git(&["update-ref", &format!("refs/heads/{}", one.base), &one.commit]).await;
            // Of what was rebased no attribute names the commit: only by the commit itself the merge request is found.
            let (is_squash, is_named) = (one.how == Merge::Squash, one.how != Merge::Rebase);
            let merged = Merged { commit: one.commit.clone(), by: who.to_owned(), is_squash, is_named };
            self.became(&one.pr, merged, Moved::Merged);
            self.world.tell_all().await;
        }
    }
}
