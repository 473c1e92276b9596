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

    /// Somebody pushes so many commits at once. The oldest says that it is somebody else's.
    pub(crate) async fn pushes_many(&self, who: &str, oldest_of: &str, pr: &Pr, count: usize) {
        let pull = self.pull(pr);
        let bare = Bare::at(self.world.folder.path(), pull.head_repository);
        let at = self.seconds();
        let author = |nth: usize| if nth == 0 { oldest_of } else { who };
        let texts: Vec<String> = (0..count).map(|nth| format!("note {nth}\n")).collect();
        let mut all = Vec::with_capacity(count);
        for (nth, text) in texts.iter().enumerate() {
            let by = By { author: author(nth), committer: who, at, message: "Change files" };
            all.push((by, ("NOTES.md", Some(text.as_str()))));
        }
        let commits = bare.commit_each(&pull.head, &pull.head_sha, &all).await;
        for (nth, commit) in commits.iter().rev().enumerate() {
            self.note_commit(commit, author(nth), who);
        }
        let newest = commits[0].clone();
        self.world.state().brought.insert(newest.clone(), commits);
        self.moved(who, pull.head_repository, &pull.head, &newest, false).await;
    }
}
