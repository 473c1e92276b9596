//! Deliveries as Gitea makes them.

use serde_json::json;

use super::super::hook::{CommentChange, Delivery, Happened, PullChange, Pushed, ReviewChange, Told};
use super::super::state::{Says, State};

/// What it tells. Of dismissed and edited reviews, and of what becomes of a repository, it tells nothing.
pub(in super::super) fn told(state: &State, happened: &Happened<'_>) -> Vec<Told> {
    match *happened {
        Happened::Pull { ref how, by, repository, number } => {
            let (action, kind) = match how {
                PullChange::Opened => ("opened", "pull_request"),
                PullChange::Pushed(_) => ("synchronized", "pull_request_sync"),
                PullChange::Closed => ("closed", "pull_request"),
                PullChange::Reopened => ("reopened", "pull_request"),
                PullChange::Retargeted(_) | PullChange::Titled(_) | PullChange::Drafted | PullChange::Readied => {
                    ("edited", "pull_request")
                }
            };
            let body = json!({
                "action": action,
                "number": number,
                "pull_request": state.pull(repository, number).map(|pull| state.pull_page(pull)),
                "repository": state.repository_page(state.repository(repository)),
                "sender": state.user_page(by),
                "commit_id": "",
                "review": null,
            });
            vec![("pull_request", kind, body)]
        }
        Happened::Review { how: ReviewChange::Submitted, by, review } => {
            let (event, kind) = match review.says {
                Says::Approves => ("pull_request_approved", "pull_request_review_approved"),
                Says::AsksForChanges => ("pull_request_rejected", "pull_request_review_rejected"),
                Says::Remarks => ("pull_request_comment", "pull_request_review_comment"),
            };
            let body = json!({
                "action": "reviewed",
                "number": review.number,
                "pull_request": state.pull(review.repository, review.number).map(|pull| state.pull_page(pull)),
                "repository": state.repository_page(state.repository(review.repository)),
                "sender": state.user_page(by),
                "commit_id": review.commit,
                "review": { "type": kind, "content": review.body },
            });
            vec![(event, kind, body)]
        }
        Happened::Status { by, status } => {
            let body = json!({
                "commit": { "id": status.commit },
                "context": status.context,
                "created_at": status.at,
                "description": status.description,
                "id": status.id,
                "repository": state.repository_page(state.repository(status.repository)),
                "sender": state.user_page(by),
                "sha": status.commit,
                "state": status.state,
                "target_url": status.target_url,
                "updated_at": null,
            });
            vec![("status", "status", body)]
        }
        // There are none.
        Happened::Check { .. } | Happened::CheckAgain { .. } | Happened::GroupFormed { .. } => Vec::new(),
        Happened::Review { .. } | Happened::Repository { .. } => Vec::new(),
        Happened::Comment { ref how, by, comment } => {
            let action = match how {
                CommentChange::Created => "created",
                CommentChange::Edited(_) => "edited",
                CommentChange::Deleted => "deleted",
            };
            let pull = state.pull(comment.repository, comment.number);
            let kind = if pull.is_some() { "pull_request_comment" } else { "issue_comment" };
            let body = json!({
                "action": action,
                "issue": { "number": comment.number },
                "pull_request": pull.map(|pull| state.pull_page(pull)),
                "comment": state.comment_page(comment),
                "repository": state.repository_page(state.repository(comment.repository)),
                "sender": state.user_page(by),
                "is_pull": pull.is_some(),
            });
            vec![("issue_comment", kind, body)]
        }
        Happened::Pushed(Pushed { by, repository, branch, before, after, .. }) => {
            let nothing = "0".repeat(40);
            let page = state.repository_page(state.repository(repository));
            let sender = state.user_page(by);
            vec![match after {
                Some(after) => {
                    let body = json!({
                        "ref": format!("refs/heads/{branch}"),
                        "before": before.unwrap_or(&nothing),
                        "after": after,
                        "commits": [],
                        "repository": page,
                        "pusher": sender,
                        "sender": sender,
                    });
                    ("push", "push", body)
                }
                None => {
                    let body = json!({ "ref": branch, "ref_type": "branch", "repository": page, "sender": sender });
                    ("delete", "delete", body)
                }
            }]
        }
    }
}

/// It also says that it is GitHub.
pub(in super::super) fn headers(delivery: &Delivery) -> Vec<(String, String)> {
    let signature = delivery.signature();
    let mut headers = Vec::new();
    for prefix in ["X-Gitea", "X-Gogs", "X-GitHub"] {
        headers.push((format!("{prefix}-Delivery"), delivery.id.clone()));
        headers.push((format!("{prefix}-Event"), delivery.event.to_owned()));
        headers.push((format!("{prefix}-Event-Type"), delivery.event_type.to_owned()));
    }
    headers.push(("X-Gitea-Signature".to_owned(), signature.clone()));
    headers.push(("X-Gogs-Signature".to_owned(), signature.clone()));
    headers.push(("X-Hub-Signature-256".to_owned(), format!("sha256={signature}")));
    headers
}
