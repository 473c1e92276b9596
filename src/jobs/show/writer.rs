//! Every write on a forge, and nothing else writes there: the lease is checked, the intent is committed, the forge is
//! asked, and what came of it is committed.
//!
//! A worker that dies in between leaves an open intent, which the next run of the same job closes as unknown. It then
//! looks before it writes again: a comment and an issue are found by our marker and account, a status and a reaction are
//! the same when they are given twice.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{Postgres, Transaction};

use crate::audit::{self, NewEntry};
use crate::db::ourselves;
use crate::db::previews::{self, Showing};
use crate::db::redeliveries::{self, Lost};
use crate::forge::{
    self, Comment, DeliveryLog, DeploymentWord, Fate, Forge, Issue, NewCheck, NewDeployment, NewPull, NewStatus,
    Reaction,
};
use crate::git::{BranchName, GitError};
use crate::ids::CommitId;
use crate::jobs::context::Context;
use crate::jobs::error::JobError;
use crate::jobs::gather::repository::Repository;
use crate::jobs::step::{Step, Write};
use crate::jobs::work;
use crate::queue::{self, Claimed, Lease, Permit};

/// The lease must outlast one write to the forge, whose own limit is 10 s.
const LIMIT: Duration = Duration::from_secs(11);

/// A job's right to write on the forge of its repository.
#[derive(Debug, Clone, Copy)]
pub(in crate::jobs) struct Writer<'a> {
    repository: &'a Repository<'a>,
    lease: &'a Lease,
}

/// A write whose intent is in the log.
struct Begun {
    write: Write,
    subject: String,
    detail: Value,
    intent: i64,
    /// Spent by the write that follows.
    _permit: Permit,
}

type Answer<T> = Result<forge::Result<T>, JobError>;

impl<'a> Writer<'a> {
    pub(in crate::jobs) fn new(repository: &'a Repository<'a>, lease: &'a Lease) -> Self {
        Self { repository, lease }
    }

    /// Our one comment: this text instead of what `ours` says, else a new one. `showing`: what is shown in it from then on.
    pub(in crate::jobs) async fn comment(
        &self,
        number: i64,
        ours: Option<i64>,
        text: &str,
        showing: Option<&Showing>,
    ) -> Answer<Comment> {
        let (forge, at) = (self.repository.forge(), &self.repository.at);
        let write = if ours.is_some() { Write::Edit } else { Write::Comment };
        let detail = json!({ "preview": showing.map(|showing| showing.preview), "comment": ours });
        let begun = self.begin(write, self.repository.place(number), detail).await?;
        let written = match ours {
            Some(ours) => forge.edit_comment(at, number, ours, text).await,
            None => forge.create_comment(at, number, text).await,
        };
        let came = |comment: &Comment| json!({ "comment": comment.id, "at": comment.updated_at });
        let shown = showing.zip(written.as_ref().ok().map(|comment| comment.updated_at));
        self.end(begun, &written, came, written.as_ref().ok(), shown).await?;
        if written.is_ok() {
            metrics::counter!("bascule_comments_written_total").increment(1);
        }
        Ok(written)
    }

    pub(in crate::jobs) async fn status(&self, number: i64, head: &CommitId, status: &NewStatus) -> Answer<()> {
        let state = format!("{:?}", status.state).to_lowercase();
        // Not what it says: that may quote a pull request, and the log is for ever.
        let detail = json!({ "commit": head, "context": status.context, "state": state });
        let begun = self.begin(Write::Status, self.repository.place(number), detail).await?;
        let written = self.repository.forge().set_status(&self.repository.at, head, status).await;
        self.end(begun, &written, |()| json!({}), None, None).await?;
        Ok(written)
    }

    /// A check run on a commit, in place of a status: these words in the one that is there, else another one. Its number.
    /// Whoever calls this has looked whether there is one.
    pub(in crate::jobs) async fn check(
        &self,
        number: i64,
        head: &CommitId,
        ours: Option<i64>,
        check: &NewCheck,
    ) -> Answer<i64> {
        let (forge, at) = (self.repository.forge(), &self.repository.at);
        let state = format!("{:?}", check.status.state).to_lowercase();
        let detail = json!({ "commit": head, "context": check.status.context, "state": state, "check_run": ours });
        let begun = self.begin(Write::Status, self.repository.place(number), detail).await?;
        let written = match ours {
            Some(ours) => forge.edit_check(at, ours, check).await.map(|()| ours),
            None => forge.create_check(at, head, check).await,
        };
        self.end(begun, &written, |number| json!({ "check_run": number }), None, None).await?;
        Ok(written)
    }

    /// A status beside a commit that is in no pull request of ours.
    pub(in crate::jobs) async fn deploy_status(&self, commit: &CommitId, status: &NewStatus) -> Answer<()> {
        let state = format!("{:?}", status.state).to_lowercase();
        let detail = json!({ "commit": commit, "context": status.context, "state": state });
        let begun = self.begin(Write::Status, self.repository.granted_name(), detail).await?;
        let written = self.repository.forge().set_status(&self.repository.at, commit, status).await;
        self.end(begun, &written, |()| json!({}), None, None).await?;
        Ok(written)
    }

    pub(in crate::jobs) async fn reaction(&self, number: i64, comment: i64, reaction: Reaction) -> Answer<()> {
        let detail = json!({ "comment": comment, "reaction": format!("{reaction:?}").to_lowercase() });
        let begun = self.begin(Write::Reaction, self.repository.place(number), detail).await?;
        let written = self.repository.forge().react(&self.repository.at, number, comment, reaction).await;
        self.end(begun, &written, |()| json!({}), None, None).await?;
        Ok(written)
    }

    /// An issue of ours. Whoever calls this has looked whether there is one.
    pub(in crate::jobs) async fn issue(&self, environment: &str, title: &str, body: &str) -> Answer<Issue> {
        let subject = format!("{} {environment}", self.repository.granted_name());
        let begun = self.begin(Write::Issue, subject, json!({ "title": title })).await?;
        let written = self.repository.forge().create_issue(&self.repository.at, title, body).await;
        self.end(begun, &written, |issue: &Issue| json!({ "number": issue.number }), None, None).await?;
        Ok(written)
    }

    /// A new branch of ours, at a commit that the mirror has. Whoever calls this has looked whether it is there.
    pub(in crate::jobs) async fn branch(
        &self,
        environment: &str,
        branch: &BranchName,
        commit: &CommitId,
    ) -> Result<Result<(), GitError>, JobError> {
        let subject = format!("{} {environment}", self.repository.granted_name());
        let detail = json!({ "branch": branch.as_str(), "commit": commit });
        let begun = self.begin(Write::Branch, subject, detail).await?;
        let written = self.repository.mirror.push_new(branch, commit).await;
        self.end(begun, &written, |()| json!({}), None, None).await?;
        Ok(written)
    }

    /// A pull request of ours. Whoever calls this has looked whether there is one; its number.
    pub(in crate::jobs) async fn pull(&self, environment: &str, new: &NewPull) -> Answer<i64> {
        let subject = format!("{} {environment}", self.repository.granted_name());
        let detail = json!({ "branch": new.head_branch, "into": new.base_branch });
        let begun = self.begin(Write::Pull, subject, detail).await?;
        let written = self.repository.forge().create_pull(&self.repository.at, new).await;
        self.end(begun, &written, |number| json!({ "number": number }), None, None).await?;
        Ok(written)
    }

    /// Another text in an issue of ours.
    pub(in crate::jobs) async fn issue_text(&self, issue: &Issue) -> Answer<Issue> {
        let detail = json!({ "issue": issue.number });
        let begun = self.begin(Write::IssueEdit, self.repository.place(issue.number), detail).await?;
        let written = self.repository.forge().edit_issue(&self.repository.at, issue).await;
        self.end(begun, &written, |_| json!({}), None, None).await?;
        Ok(written)
    }

    /// Closes an issue of ours.
    pub(in crate::jobs) async fn end_issue(&self, issue: &Issue) -> Answer<Issue> {
        let closed = Issue { is_open: false, ..issue.clone() };
        let begun = self.begin(Write::IssueEnd, self.repository.place(issue.number), json!({})).await?;
        let written = self.repository.forge().edit_issue(&self.repository.at, &closed).await;
        self.end(begun, &written, |_| json!({}), None, None).await?;
        Ok(written)
    }

    /// One of our deployments, on the forge's page of them. Whoever calls this has looked whether it is there.
    pub(in crate::jobs) async fn deployment(&self, new: &NewDeployment) -> Answer<i64> {
        let detail = json!({ "deployment": new.number, "commit": new.commit, "shown_under": new.environment });
        let begun = self.begin(Write::Deployment, self.of(new), detail).await?;
        let written = self.repository.forge().create_deployment(&self.repository.at, new).await;
        self.end(begun, &written, |number| json!({ "number": number }), None, None).await?;
        Ok(written)
    }

    /// How it stands.
    pub(in crate::jobs) async fn deployment_word(
        &self,
        new: &NewDeployment,
        number: i64,
        word: &DeploymentWord,
    ) -> Answer<()> {
        let state = format!("{:?}", word.state).to_lowercase();
        let detail = json!({ "deployment": new.number, "number": number, "state": state });
        let begun = self.begin(Write::DeploymentWord, self.of(new), detail).await?;
        let written = self.repository.forge().set_deployment(&self.repository.at, number, word).await;
        self.end(begun, &written, |()| json!({}), None, None).await?;
        Ok(written)
    }

    fn of(&self, new: &NewDeployment) -> String {
        format!("{} {}", self.repository.granted_name(), new.ours)
    }

    /// Where it writes.
    pub(in crate::jobs) fn repository(&self) -> &'a Repository<'a> {
        self.repository
    }

    async fn begin(&self, write: Write, subject: String, detail: Value) -> Result<Begun, JobError> {
        let pen = self.pen();
        pen.intend(pen.may(write).await?, write, subject, detail).await
    }

    async fn end<T, E: std::fmt::Display>(
        &self,
        begun: Begun,
        written: &Result<T, E>,
        came: impl FnOnce(&T) -> Value,
        said: Option<&Comment>,
        shown: Option<(&Showing, Timestamp)>,
    ) -> Result<(), JobError> {
        let pen = self.pen();
        let mut tx = pen.wrote(&begun).await?;
        if let Some(comment) = said {
            ourselves::said(&mut tx, &self.repository.row.key, comment.id, &comment.body).await?;
        }
        if let Some((showing, at)) = shown {
            previews::now_shown(&mut tx, showing, at).await?;
        }
        pen.tell(tx, begun, written, came).await
    }

    fn pen(&self) -> Pen<'_> {
        let Repository { context, job, at, .. } = self.repository;
        Pen { context, job, lease: self.lease, forge: self.repository.forge(), owner: at.name.owner() }
    }
}

/// A job's right to write on a forge, wherever: what each write begins and ends with.
#[derive(Debug, Clone, Copy)]
pub(in crate::jobs) struct Pen<'a> {
    pub(in crate::jobs) context: &'a Context,
    pub(in crate::jobs) job: &'a Claimed,
    pub(in crate::jobs) lease: &'a Lease,
    pub(in crate::jobs) forge: &'a Forge,
    /// Whose limits it counts towards; nobody's for our App itself.
    pub(in crate::jobs) owner: &'a str,
}

impl Pen<'_> {
    /// Asks for a delivery again, and never more than once: that it is asked for is committed with the intent, and
    /// taken back only when the forge surely did nothing. `of`: whose log it is in, for people.
    pub(in crate::jobs) async fn ask_again(&self, log: &DeliveryLog, lost: &Lost, of: &str) -> Answer<()> {
        let (write, forge) = (Write::Redelivery, self.forge.name());
        let mut tx = self.may(write).await?;
        redeliveries::asked(&mut tx, forge, &lost.delivery_id).await?;
        let detail = json!({ "delivery": lost.delivery_id, "attempt": lost.attempt });
        let begun = self.intend(tx, write, of.to_owned(), detail).await?;
        let written = self.forge.redeliver(log, lost.attempt).await;
        let mut tx = self.wrote(&begun).await?;
        if written.as_ref().is_err_and(was_not_done) {
            redeliveries::not_done(&mut tx, forge, &lost.delivery_id).await?;
        }
        self.tell(tx, begun, &written, |()| json!({})).await?;
        Ok(written)
    }

    /// The lease is checked twice: nobody whose time is over begins anything, and the log may have taken its own.
    async fn may(&self, write: Write) -> Result<Transaction<'static, Postgres>, JobError> {
        let _early = self.lease.check(LIMIT)?;
        // What cannot be sent now is not intended now.
        self.forge.room(self.owner, write.cost()).await?;
        self.ours().await
    }

    async fn intend(
        &self,
        mut tx: Transaction<'static, Postgres>,
        write: Write,
        subject: String,
        detail: Value,
    ) -> Result<Begun, JobError> {
        let [action, ..] = write.actions();
        let intent = audit::intent(&mut tx, &self.entry(action, &subject, detail.clone())).await?;
        tx.commit().await?;
        self.met(Step::Intended(write));
        Ok(Begun { write, subject, detail, intent, _permit: self.lease.check(LIMIT)? })
    }

    async fn wrote(&self, begun: &Begun) -> Result<Transaction<'static, Postgres>, JobError> {
        self.met(Step::Written(begun.write));
        self.ours().await
    }

    async fn tell<T, E: std::fmt::Display>(
        &self,
        mut tx: Transaction<'static, Postgres>,
        begun: Begun,
        written: &Result<T, E>,
        came: impl FnOnce(&T) -> Value,
    ) -> Result<(), JobError> {
        let [_, done, failed] = begun.write.actions();
        let (action, more) = match written {
            Ok(written) => (done, came(written)),
            Err(error) => (failed, json!({ "error": error.to_string() })),
        };
        let mut detail = begun.detail;
        if let (Some(detail), Value::Object(more)) = (detail.as_object_mut(), more) {
            detail.extend(more);
        }
        audit::outcome(&mut tx, begun.intent, &self.entry(action, &begun.subject, detail)).await?;
        tx.commit().await?;
        self.met(Step::Told(begun.write));
        Ok(())
    }

    /// A transaction in which the job is surely ours: whoever takes it over closes what we began, and we add nothing.
    async fn ours(&self) -> Result<Transaction<'static, Postgres>, JobError> {
        let mut tx = self.context.pool.begin().await?;
        queue::confirm(&mut tx, self.job).await?;
        Ok(tx)
    }

    fn met(&self, step: Step) {
        self.context.observer.met(self.job, step);
    }

    fn entry(&self, action: &'static str, subject: &str, detail: Value) -> NewEntry {
        NewEntry {
            actor: "bascule".to_owned(),
            action,
            subject: subject.to_owned(),
            detail,
            cause: work::cause(self.job),
            trace: self.job.trace,
        }
    }
}

/// The forge said no before it did anything: a limit, or a right that is missing.
fn was_not_done(error: &forge::ForgeError) -> bool {
    let asks_for_patience = matches!(error.fate, Fate::Retry { .. }) && error.status.is_some_and(|code| code < 500);
    asks_for_patience || error.fate == Fate::Refused
}
