//! Deliveries: made as Gitea makes them, sent when the test wants them.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::state::{Activity, Comment, Review, State};
use super::{FakeForge, SECRET, World};

/// When deliveries are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivering {
    /// Each before the act that causes it is over.
    AtOnce,
    /// Kept until the test takes them.
    Kept,
    /// Never: lost on the way.
    Lost,
}

/// One delivery, signed.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) id: String,
    pub(crate) event: &'static str,
    pub(crate) event_type: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Delivery {
    /// The header `X-Gitea-Signature`.
    pub(crate) fn signature(&self) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(&self.body);
        hex::encode(mac.finalize().into_bytes())
    }
}

impl FakeForge {
    /// Where deliveries go: `http://…/webhooks/work`.
    pub(crate) fn hooks_to(&self, url: &str) {
        self.world.state().hook = Some(url.to_owned());
    }

    /// From now on.
    pub(crate) fn delivers(&self, delivering: Delivering) {
        self.world.state().delivering = delivering;
    }

    /// Those kept since the last time, oldest first: to be sent in any order, twice, or not at all.
    pub(crate) fn take_deliveries(&self) -> Vec<Delivery> {
        std::mem::take(&mut self.world.state().kept)
    }

    /// Sends one; the answer's status, or `None` when nobody answers.
    pub(crate) async fn sends(&self, delivery: &Delivery) -> Option<u16> {
        send(&self.world, delivery).await
    }
}

impl World {
    /// Tells whoever wants to know what happened since the last time.
    pub(super) async fn tell_all(&self) {
        let deliveries: Vec<Delivery> = {
            let mut state = self.state();
            let untold = std::mem::take(&mut state.untold);
            let all: Vec<Delivery> = untold.into_iter().map(|told| state.delivery(told)).collect();
            match state.delivering {
                Delivering::Lost => Vec::new(),
                Delivering::Kept => {
                    state.kept.extend(all);
                    Vec::new()
                }
                Delivering::AtOnce => all,
            }
        };
        for delivery in &deliveries {
            send(self, delivery).await;
        }
    }
}

impl State {
    fn delivery(&mut self, (event, event_type, body): (&'static str, &'static str, Value)) -> Delivery {
        let id = format!("00000000-0000-4000-8000-{:012}", self.id());
        Delivery { id, event, event_type, body: serde_json::to_vec_pretty(&body).unwrap() }
    }

    pub(super) fn tell_pull(&mut self, action: &str, by: &str, repository: i64, number: i64) {
        let kind = if action == "synchronized" { "pull_request_sync" } else { "pull_request" };
        let body = json!({
            "action": action,
            "number": number,
            "pull_request": self.pull(repository, number).map(|pull| self.pull_page(pull)),
            "repository": self.repository_page(self.repository(repository)),
            "sender": self.user_page(by),
            "commit_id": "",
            "review": null,
        });
        self.untold.push(("pull_request", kind, body));
    }

    pub(super) fn tell_review(&mut self, review: &Review) {
        let (event, kind) = match review.state {
            "APPROVED" => ("pull_request_approved", "pull_request_review_approved"),
            "REQUEST_CHANGES" => ("pull_request_rejected", "pull_request_review_rejected"),
            _ => ("pull_request_comment", "pull_request_review_comment"),
        };
        let body = json!({
            "action": "reviewed",
            "number": review.number,
            "pull_request": self.pull(review.repository, review.number).map(|pull| self.pull_page(pull)),
            "repository": self.repository_page(self.repository(review.repository)),
            "sender": self.user_page(&review.author),
            "commit_id": review.commit,
            "review": { "type": kind, "content": review.body },
        });
        self.untold.push((event, kind, body));
    }

    pub(super) fn tell_comment(&mut self, action: &str, by: &str, comment: &Comment) {
        let pull = self.pull(comment.repository, comment.number);
        let kind = if pull.is_some() { "pull_request_comment" } else { "issue_comment" };
        let body = json!({
            "action": action,
            "issue": { "number": comment.number },
            "pull_request": pull.map(|pull| self.pull_page(pull)),
            "comment": self.comment_page(comment),
            "repository": self.repository_page(self.repository(comment.repository)),
            "sender": self.user_page(by),
            "is_pull": pull.is_some(),
        });
        self.untold.push(("issue_comment", kind, body));
    }

    /// A branch moved: the list of activities, and the delivery. `None` is "it was not there" or "it is gone".
    pub(super) fn tell_push(
        &mut self,
        by: &str,
        repository: i64,
        branch: &str,
        before: Option<&str>,
        after: Option<&str>,
    ) {
        let nothing = "0".repeat(40);
        let op = if after.is_some() { "commit_repo" } else { "delete_branch" };
        let (id, at) = (self.id(), self.tick());
        let (branch, by, head) = (branch.to_owned(), by.to_owned(), after.map(str::to_owned));
        let before_it = before.map(str::to_owned);
        let page = self.repository_page(self.repository(repository));
        let sender = self.user_page(&by);
        let told = match after {
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
        };
        self.untold.push(told);
        self.activities.push(Activity { id, repository, op, by, branch, before: before_it, head, at });
    }
}

async fn send(world: &World, delivery: &Delivery) -> Option<u16> {
    let url = world.state().hook.clone()?;
    let signature = delivery.signature();
    let mut request = world.client.post(url).header("Content-Type", "application/json").body(delivery.body.clone());
    for prefix in ["X-Gitea", "X-Gogs", "X-GitHub"] {
        request = request
            .header(format!("{prefix}-Delivery"), &delivery.id)
            .header(format!("{prefix}-Event"), delivery.event)
            .header(format!("{prefix}-Event-Type"), delivery.event_type);
    }
    let request = request
        .header("X-Gitea-Signature", &signature)
        .header("X-Gogs-Signature", &signature)
        .header("X-Hub-Signature-256", format!("sha256={signature}"));
    Some(request.send().await.ok()?.status().as_u16())
}
