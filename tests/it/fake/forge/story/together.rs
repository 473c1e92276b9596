//! Commits of several people.

use super::super::FakeForge;
use super::super::git::{Bare, By};
use super::{Pr, written};

impl FakeForge {
    /// Somebody pushes a commit whose message names somebody else as its co-author.
    pub(crate) async fn pushes_with(&self, who: &str, with: &str, pr: &Pr, files: &[(&str, &str)]) -> String {
        let pull = self.pull(pr);
        let bare = Bare::at(self.world.folder.path(), pull.head_repository);
        let message = format!("Change files\n\nCo-authored-by: {with} <{with}@example.com>");
        let by = By { author: who, committer: who, at: self.seconds(), message: &message };
        let commit = bare.commit(&pull.head, Some(&pull.head_sha), &by, &written(files)).await;
        self.note_commit(&commit, who, who);
        self.moved(who, pull.head_repository, &pull.head, &commit, false).await;
        commit
    }
}
