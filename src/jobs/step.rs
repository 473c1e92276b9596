//! The labelled points of a job: between any two of them the worker may die, and the next one goes on from what the
//! database and the forge say. Each is announced right after the effect it names. Those of a sync to a cluster are
//! [`crate::sync::Step`].

use std::sync::Arc;

use crate::forge::budget::Cost;
use crate::queue::Claimed;
use crate::sync;

/// A point of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// What an earlier worker began and did not end is closed as unknown.
    LeftOpenClosed,
    /// The repository's row says what we do with it.
    RepositoryKnown,
    /// The pull request's row has what the forge says of it.
    PullKnown,
    /// The mirror has what the job looks at.
    Fetched,
    /// Approvals given and void are recorded.
    ConsentHeard,
    /// The preview is stored, before it is said.
    PreviewStored,
    /// The log holds what is about to be written on the forge.
    Intended(Write),
    /// The forge has taken it, and nothing of ours knows yet.
    Written(Write),
    /// The log holds what came of it.
    Told(Write),
    /// What the environment is held for is stored.
    HoldStored,
    /// There is nothing it is held for any more.
    HoldLifted,
    /// The position has moved to a commit that changes nothing.
    PositionAdvanced,
    /// A way back that was asked for is a deployment that runs, or refused.
    WayBackDecided,
    /// The gate's transaction is committed: a deployment is running.
    SyncStarted,
    /// What the job found, the next jobs and the end of this one are one transaction, now committed.
    Recorded,
    /// A point of the sync that follows the gate.
    Sync(sync::Step),
}

/// What is written on a forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Write {
    /// Our comment, for the first time.
    Comment,
    /// Our comment, with another text.
    Edit,
    /// A commit status, or the check run that says it.
    Status,
    /// A reaction to a command.
    Reaction,
    /// An issue for a held change.
    Issue,
    /// Another text in such an issue.
    IssueEdit,
    /// The end of such an issue.
    IssueEnd,
    /// A deployment on the forge's page of them.
    Deployment,
    /// How it stands.
    DeploymentWord,
    /// That a delivery which failed is made again.
    Redelivery,
    /// A branch of ours.
    Branch,
    /// A pull request of ours.
    Pull,
}

impl Write {
    /// As the log calls it before, after, and after it failed.
    pub(super) fn actions(self) -> [&'static str; 3] {
        match self {
            Self::Comment | Self::Edit => ["preview.post", "preview.posted", "preview.not_posted"],
            Self::Status => ["status.post", "status.posted", "status.not_posted"],
            Self::Reaction => ["reaction.post", "reaction.posted", "reaction.not_posted"],
            Self::Issue => ["issue.open", "issue.opened", "issue.not_opened"],
            Self::IssueEdit => ["issue.edit", "issue.edited", "issue.not_edited"],
            Self::IssueEnd => ["issue.close", "issue.closed", "issue.not_closed"],
            Self::Deployment => ["deployment.show", "deployment.shown", "deployment.not_shown"],
            Self::DeploymentWord => ["deployment.tell", "deployment.told", "deployment.not_told"],
            Self::Redelivery => ["delivery.ask", "delivery.asked", "delivery.not_asked"],
            Self::Branch => ["branch.push", "branch.pushed", "branch.not_pushed"],
            Self::Pull => ["pull.open", "pull.opened", "pull.not_opened"],
        }
    }

    /// What it costs on a forge that counts.
    pub(super) fn cost(self) -> Cost {
        let creations = match self {
            Self::Comment | Self::Issue | Self::Pull => 1,
            Self::Edit
            | Self::Status
            | Self::Reaction
            | Self::IssueEdit
            | Self::IssueEnd
            | Self::Deployment
            | Self::DeploymentWord
            | Self::Redelivery
            | Self::Branch => 0,
        };
        Cost { points: 5, creations }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Comment => "comment",
            Self::Edit => "edit",
            Self::Status => "status",
            Self::Reaction => "reaction",
            Self::Issue => "issue",
            Self::IssueEdit => "issue-edit",
            Self::IssueEnd => "issue-end",
            Self::Deployment => "deployment",
            Self::DeploymentWord => "deployment-word",
            Self::Redelivery => "redelivery",
            Self::Branch => "branch",
            Self::Pull => "pull",
        }
    }
}

/// The three points of each of these writes, before and after the others.
macro_rules! steps {
    ([$($before:ident),*], [$($write:ident),*], [$($after:ident),*]) => {
        &[
            $(Step::$before,)*
            $(Step::Intended(Write::$write), Step::Written(Write::$write), Step::Told(Write::$write),)*
            $(Step::$after,)*
        ]
    };
}

impl Step {
    /// The jobs, and the steps each meets, one time or another.
    pub const OF: [(&'static str, &'static [Self]); 12] = [
        (
            "attend_pull",
            steps!(
                [LeftOpenClosed, RepositoryKnown, PullKnown, Fetched, ConsentHeard, PreviewStored],
                [Comment, Edit, Status, Reaction, IssueEnd],
                [Recorded]
            ),
        ),
        ("attend_group", steps!([LeftOpenClosed, RepositoryKnown, Fetched], [Status], [Recorded])),
        ("follow_branch", steps!([LeftOpenClosed, RepositoryKnown, Fetched], [], [Recorded])),
        (
            "sync_environment",
            steps!(
                [LeftOpenClosed, RepositoryKnown, Fetched, ConsentHeard],
                [Issue],
                [HoldStored, HoldLifted, PositionAdvanced, WayBackDecided, SyncStarted, Recorded]
            ),
        ),
        ("open_revert", steps!([LeftOpenClosed, RepositoryKnown, Fetched], [Branch, Pull], [Recorded])),
        ("look_at_checks", steps!([LeftOpenClosed, RepositoryKnown], [], [Recorded])),
        ("tell_applications", steps!([LeftOpenClosed, RepositoryKnown], [Status], [Recorded])),
        ("tell_deployments", steps!([LeftOpenClosed, RepositoryKnown], [Deployment, DeploymentWord], [Recorded])),
        (
            "tell_emergencies",
            steps!([LeftOpenClosed, RepositoryKnown], [Issue, Comment, Edit, Reaction, IssueEnd], [Recorded]),
        ),
        ("sweep_repository", steps!([LeftOpenClosed, RepositoryKnown], [], [Recorded])),
        ("sweep_installations", steps!([LeftOpenClosed], [], [Recorded])),
        ("sweep_deliveries", steps!([LeftOpenClosed], [Redelivery], [Recorded])),
    ];

    /// The label in logs and on the command line of a test.
    pub fn label(self) -> String {
        match self {
            Self::LeftOpenClosed => "left-open-closed".to_owned(),
            Self::RepositoryKnown => "repository-known".to_owned(),
            Self::PullKnown => "pull-known".to_owned(),
            Self::Fetched => "fetched".to_owned(),
            Self::ConsentHeard => "consent-heard".to_owned(),
            Self::PreviewStored => "preview-stored".to_owned(),
            Self::Intended(write) => format!("{}-intended", write.label()),
            Self::Written(write) => format!("{}-written", write.label()),
            Self::Told(write) => format!("{}-told", write.label()),
            Self::HoldStored => "hold-stored".to_owned(),
            Self::HoldLifted => "hold-lifted".to_owned(),
            Self::PositionAdvanced => "position-advanced".to_owned(),
            Self::WayBackDecided => "way-back-decided".to_owned(),
            Self::SyncStarted => "sync-started".to_owned(),
            Self::Recorded => "recorded".to_owned(),
            Self::Sync(step) => format!("sync-{}", step.label()),
        }
    }
}

/// Told of every step right after its effect; what it does with that is its own business.
#[derive(Clone)]
pub struct Observer(Arc<Told>);

type Told = dyn Fn(&Claimed, Step) + Send + Sync;

impl Observer {
    /// One that does this.
    pub fn new(told: impl Fn(&Claimed, Step) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }

    /// Says that a job has met a step.
    pub(super) fn met(&self, job: &Claimed, step: Step) {
        tracing::debug!(kind = job.kind, key = job.key, fence = job.fence, step = step.label(), "job step");
        (self.0)(job, step);
    }
}

impl Default for Observer {
    /// One that does nothing.
    fn default() -> Self {
        Self::new(|_, _| {})
    }
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Observer(…)")
    }
}
