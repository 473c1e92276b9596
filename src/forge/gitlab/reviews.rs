//! Reviews, of which GitLab keeps no list: who approves now, who asks for changes now, and a line that the system wrote
//! each time somebody did.
//!
//! The lines have numbers, authors and an order, so a line is the review. It counts only while GitLab's own list of
//! approvals has its author, too, and a later approval of the same person ends it. The line is written in the background,
//! just after the approval (`MergeRequests::ApprovalService`); one whose line is not there yet waits for it.
//!
//! Nothing tells which commit somebody had before them: neither the approval nor the page it is given on is bound to one,
//! and who approves just after a push may have read what was there before it. So a review has no commit, and counts only
//! while a single change was ever shown in the merge request, as a command without digest does.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::lists::List;
use super::{GitLab, parts, place, wire};
use crate::forge::error::Result;
use crate::forge::facts::{RepositoryAt, Review, Verdict};
use crate::forge::http::Call;
use crate::ids::ForgeName;

/// Lines that the system wrote in one merge request.
const MOST_LINES: usize = 20_000;
/// People who were asked to review one merge request.
const MOST_REVIEWERS: usize = 1_000;

impl GitLab {
    /// Oldest first.
    pub(crate) async fn reviews(&self, at: &RepositoryAt, number: i64) -> Result<Vec<Review>> {
        let path = place(at, number, &["notes"]);
        let query = [("sort", "asc"), ("order_by", "created_at"), ("activity_filter", "only_activity")];
        let list = List { name: "reviews", path: &path, query: &query, most: MOST_LINES };
        let lines: Vec<wire::NoteJson> = self.whole(list, |note: &wire::NoteJson| note.id).await?;
        let path = place(at, number, &["approvals"]);
        let approvals: wire::Approvals =
            self.http.get(Call { name: "approvals", path: &parts(&path), query: &[] }).await?;
        let path = place(at, number, &["reviewers"]);
        let list = List { name: "reviewers", path: &path, query: &[], most: MOST_REVIEWERS };
        let reviewers: Vec<wire::Reviewer> = self.all(list).await?;
        Ok(read(&self.http.forge, lines, approvals, reviewers))
    }
}

/// What somebody did last, as the lines have it.
fn read(
    forge: &ForgeName,
    lines: Vec<wire::NoteJson>,
    approvals: wire::Approvals,
    reviewers: Vec<wire::Reviewer>,
) -> Vec<Review> {
    let approves: BTreeMap<i64, Option<Timestamp>> =
        approvals.approved_by.iter().map(|one| (one.user.id, one.approved_at)).collect();
    let mut reviews: Vec<Review> = Vec::new();
    // By the author's number: where in `reviews` the approval is that nothing ended yet, and the last objection.
    let (mut standing, mut objected): (BTreeMap<i64, usize>, BTreeMap<i64, usize>) = Default::default();
    for line in lines.into_iter().filter(|line| line.system) {
        let Some(author) = line.author.as_ref().map(|author| author.id) else { continue };
        let Some(said) = Said::of(&line.body) else { continue };
        if said != Said::ObjectsTo
            && let Some(before) = standing.remove(&author)
        {
            reviews[before].dismissed = true;
        }
        let verdict = match said {
            Said::Approves => {
                standing.insert(author, reviews.len());
                Verdict::Approved
            }
            Said::ObjectsTo => {
                objected.insert(author, reviews.len());
                Verdict::ChangesRequested
            }
            Said::ApprovesNoMore => continue,
        };
        reviews.push(Review {
            id: line.id,
            comment: None,
            person: wire::account(forge, line.author),
            verdict,
            commit: None,
            dismissed: false,
            given_at: line.created_at,
            given_until: line.created_at,
            body: String::new(),
        });
    }
    for (author, at) in standing {
        let review = &mut reviews[at];
        match approves.get(&author) {
            // A line is never written before its approval: this one is of an earlier one.
            Some(Some(given)) if *given > review.given_until => review.dismissed = true,
            // Its own time, where that is told, is a little earlier.
            Some(given) => review.given_at = given.unwrap_or(review.given_at),
            None => review.dismissed = true,
        }
    }
    // Versions that know who asks for changes and write no line of it: it holds against whatever its giver approved.
    for reviewer in reviewers.into_iter().filter(|one| one.state == "requested_changes") {
        if objected.contains_key(&reviewer.user.id) {
            continue;
        }
        reviews.push(Review {
            // The lines' numbers are positive.
            id: -reviewer.user.id,
            comment: None,
            verdict: Verdict::ChangesRequested,
            commit: None,
            dismissed: false,
            given_at: reviewer.created_at.unwrap_or(Timestamp::UNIX_EPOCH),
            given_until: Timestamp::MAX,
            person: wire::account(forge, Some(reviewer.user)),
            body: String::new(),
        });
    }
    reviews
}

/// What a line of the system says of its author.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Approves,
    ApprovesNoMore,
    ObjectsTo,
}

impl Said {
    /// The whole line, in the words of `SystemNotes::MergeRequestsService`: no part of it is anybody's own.
    fn of(line: &str) -> Option<Self> {
        match line {
            "approved this merge request" => Some(Self::Approves),
            "unapproved this merge request" => Some(Self::ApprovesNoMore),
            "requested changes" => Some(Self::ObjectsTo),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "reviews_tests.rs"]
mod tests;
