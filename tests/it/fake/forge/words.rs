//! Comments and reviews as they change what the forge remembers, and what is told of it.

use super::hook::{CommentChange, Happened, ReviewChange};
use super::state::{Comment, Issue, Review, Says, State, Turned};

impl State {
    pub(super) fn comment(&self, id: i64) -> &Comment {
        self.comments.iter().find(|comment| comment.id == id).expect("a comment of this forge")
    }

    /// Somebody writes on a pull request or issue; the comment's number.
    pub(super) fn write_comment(&mut self, author: &str, repository: i64, number: i64, body: &str) -> i64 {
        self.user(author);
        let (id, now) = (self.id(), self.tick());
        let (author, body) = (author.to_owned(), body.to_owned());
        let (created, updated, of_review, edited) = (now, now, false, None);
        let comment = Comment { id, repository, number, author, body, created, updated, of_review, edited };
        self.comments.push(comment.clone());
        if self.pull(repository, number).is_some() {
            self.touch(repository, number);
        }
        let on_issue = |issue: &&mut Issue| issue.repository == repository && issue.number == number;
        self.issues.iter_mut().filter(on_issue).for_each(|issue| issue.updated = now);
        self.tell_comment(CommentChange::Created, &comment.author.clone(), &comment);
        id
    }

    pub(super) fn edit_comment(&mut self, by: &str, id: i64, body: &str) {
        self.user(by);
        let now = self.tick();
        let found = self.comments.iter_mut().find(|comment| comment.id == id).expect("a comment of this forge");
        let before = std::mem::replace(&mut found.body, body.to_owned());
        found.updated = now;
        found.edited = Some((by.to_owned(), now));
        let comment = found.clone();
        self.tell_comment(CommentChange::Edited(before), by, &comment);
    }

    pub(super) fn write_review(
        &mut self,
        who: &str,
        repository: i64,
        number: i64,
        says: Says,
        body: &str,
        commit: &str,
    ) -> i64 {
        self.user(who);
        let (id, comment, now) = (self.id(), self.id(), self.tick());
        if says != Says::Remarks && self.tongue.replaces_verdicts() {
            // The newest verdict of a person replaces the ones before.
            let mine = |review: &&mut Review| {
                review.repository == repository && review.number == number && review.author == who
            };
            for review in self.reviews.iter_mut().filter(mine).filter(|review| review.says != Says::Remarks) {
                review.dismissed = true;
                review.updated = now;
            }
        }
        let knows_no_reviews = self.tongue.knows_no_reviews();
        let said = Comment {
            id: comment,
            repository,
            number,
            author: who.to_owned(),
            body: body.to_owned(),
            created: now,
            updated: now,
            of_review: !knows_no_reviews,
            edited: None,
        };
        if !knows_no_reviews {
            self.comments.push(said);
        } else if !body.is_empty() {
            self.tell_comment(CommentChange::Created, who, &said);
            self.comments.push(said);
        }
        let review = Review {
            id,
            comment,
            repository,
            number,
            author: who.to_owned(),
            says,
            body: body.to_owned(),
            commit: commit.to_owned(),
            dismissed: false,
            created: now,
            updated: now,
        };
        self.reviews.push(review.clone());
        self.touch(repository, number);
        self.tell(&Happened::Review { how: ReviewChange::Submitted, by: who, review: &review });
        id
    }

    /// Somebody edits the text of a review.
    pub(super) fn edit_review(&mut self, by: &str, id: i64, body: &str) {
        let found = self.reviews.iter_mut().find(|found| found.id == id).expect("a review of this forge");
        if self.tongue.keeps_reviews_as_comments() {
            let comment = found.comment;
            self.edit_comment(by, comment, body);
        } else {
            let before = std::mem::replace(&mut found.body, body.to_owned());
            self.user(by);
            let now = self.tick();
            let found = self.reviews.iter_mut().find(|found| found.id == id).expect("a review of this forge");
            found.updated = now;
            let review = found.clone();
            self.tell(&Happened::Review { how: ReviewChange::Edited(before), by, review: &review });
        }
    }

    /// A review is dismissed, or (where that can be) is not any more.
    pub(super) fn dismiss(&mut self, by: &str, id: i64, dismissed: bool) {
        self.user(by);
        let now = self.tick();
        let review = self.reviews.iter_mut().find(|review| review.id == id).expect("a review of this forge");
        review.dismissed = dismissed;
        review.updated = now;
        let review = review.clone();
        if dismissed {
            self.touch(review.repository, review.number);
            self.turned(by, review.repository, review.number, Turned::Dismissed(id, review.says));
            self.tell(&Happened::Review { how: ReviewChange::Dismissed, by, review: &review });
        } else {
            assert!(self.tongue.undoes_dismissals(), "this forge cannot undo a dismissal");
        }
    }

    pub(super) fn issue_of(&self, repository: i64, title_part: &str) -> Option<&Issue> {
        self.issues.iter().find(|issue| issue.repository == repository && issue.title.contains(title_part))
    }
}
