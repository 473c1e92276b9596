//! What the fake forge remembers.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::github::App;
use super::hook::{Delivering, Delivery, Told, Try};
use super::limits::Enforced;
use super::oauth::OAuth;
use super::tongue::Tongue;

/// How the API fails.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// This status, in the forge's own JSON.
    Status(u16),
    /// A page for people, with this status: a proxy's error, or a sign-in.
    Html(u16),
    /// 429 and `Retry-After` of so many seconds.
    SlowDown(u32),
    /// The connection ends in the middle of the answer.
    BreaksOff,
    /// No answer at all.
    Hangs,
    /// An answer larger than anyone reads.
    Endless,
    /// No call is left in this hour: refused until so many seconds have passed.
    UsedUp(i64),
    /// Valid JSON of another shape.
    OtherShape,
    /// To another address.
    Redirects(String),
}

/// What somebody may do with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Right {
    None,
    Read,
    Write,
    Admin,
}

impl Right {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// What a review says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Approves,
    AsksForChanges,
    Remarks,
}

#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) id: i64,
    pub(super) login: String,
    pub(super) is_bot: bool,
    pub(super) is_site_admin: bool,
    pub(super) is_suspended: bool,
    pub(super) is_organisation: bool,
    /// What they push is in no list of activities.
    pub(super) hides_activity: bool,
}

/// Whose approvals GitLab asks for before it merges.
#[derive(Clone, Debug)]
pub(super) struct ApprovalRule {
    pub(super) repository: i64,
    pub(super) number: i64,
    pub(super) name: String,
    pub(super) wanted: usize,
    pub(super) eligible: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Team {
    pub(super) id: i64,
    pub(super) organisation: String,
    pub(super) name: String,
    pub(super) code: Right,
    pub(super) members: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Repository {
    pub(super) id: i64,
    pub(super) name: String,
    /// Nobody listens to what happens in one.
    pub(super) is_fork: bool,
    pub(super) is_deleted: bool,
    pub(super) is_archived: bool,
    pub(super) branches: BTreeMap<String, String>,
    pub(super) rights: BTreeMap<String, Right>,
}

#[derive(Clone, Debug)]
pub(super) struct Pull {
    pub(super) repository: i64,
    pub(super) number: i64,
    pub(super) title: String,
    pub(super) body: String,
    pub(super) author: String,
    pub(super) base: String,
    pub(super) head: String,
    pub(super) head_repository: i64,
    pub(super) head_sha: String,
    /// The base's commit when the pull request itself was moved last.
    pub(super) base_sha: String,
    pub(super) is_open: bool,
    pub(super) is_draft: bool,
    pub(super) merge: Option<Merged>,
    pub(super) merge_base: String,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) closed: Option<Timestamp>,
    pub(super) pushes: Vec<PullPush>,
}

#[derive(Clone, Debug)]
pub(super) struct Merged {
    pub(super) commit: String,
    pub(super) by: String,
    pub(super) is_squash: bool,
    /// Whether GitLab names the commit in the merge request.
    pub(super) is_named: bool,
}

#[derive(Clone, Debug)]
pub(super) struct PullPush {
    pub(super) id: i64,
    pub(super) by: String,
    pub(super) commits: Vec<String>,
    pub(super) is_forced: bool,
    pub(super) at: Timestamp,
}

#[derive(Clone, Debug)]
pub(super) struct Issue {
    pub(super) repository: i64,
    pub(super) number: i64,
    pub(super) author: String,
    pub(super) title: String,
    pub(super) body: String,
    pub(super) is_open: bool,
    pub(super) at: Timestamp,
    pub(super) updated: Timestamp,
}

#[derive(Clone, Debug)]
pub(super) struct Comment {
    pub(super) id: i64,
    pub(super) repository: i64,
    pub(super) number: i64,
    pub(super) author: String,
    pub(super) body: String,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    /// The text of a review: told in deliveries, not in the list of comments.
    pub(super) of_review: bool,
    /// By whom and when, last.
    pub(super) edited: Option<(String, Timestamp)>,
}

#[derive(Clone, Debug)]
pub(super) struct Review {
    pub(super) id: i64,
    pub(super) comment: i64,
    pub(super) repository: i64,
    pub(super) number: i64,
    pub(super) author: String,
    pub(super) says: Says,
    pub(super) body: String,
    pub(super) commit: String,
    pub(super) dismissed: bool,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
}

#[derive(Clone, Debug)]
pub(super) struct Status {
    pub(super) id: i64,
    pub(super) repository: i64,
    pub(super) commit: String,
    pub(super) context: String,
    pub(super) state: String,
    pub(super) description: String,
    pub(super) target_url: String,
    pub(super) creator: String,
    pub(super) at: Timestamp,
}

/// A check of an app, as GitHub has them beside statuses.
#[derive(Clone, Debug)]
pub(crate) struct CheckRun {
    pub(crate) id: i64,
    pub(crate) repository: i64,
    pub(crate) commit: String,
    pub(crate) app: String,
    pub(crate) name: String,
    pub(crate) external_id: String,
    pub(crate) title: String,
    pub(crate) summary: String,
    /// Lines it marks, as they were sent.
    pub(crate) marks: Vec<serde_json::Value>,
    /// `None`: it runs.
    pub(crate) conclusion: Option<String>,
    pub(crate) at: Timestamp,
}

/// A deployment to an environment, and what was said of it, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Deployment {
    pub(super) id: i64,
    pub(super) repository: i64,
    pub(super) commit: String,
    pub(super) reference: String,
    pub(super) environment: String,
    pub(super) description: String,
    pub(super) payload: serde_json::Value,
    pub(super) creator: String,
    pub(super) words: Vec<DeploymentWord>,
    pub(super) at: Timestamp,
}

#[derive(Clone, Debug)]
pub(super) struct DeploymentWord {
    pub(super) id: i64,
    pub(super) state: String,
    pub(super) description: String,
    pub(super) url: String,
    pub(super) at: Timestamp,
}

/// How a branch came to be at another commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    Pushed,
    Forced,
    /// By the button of a pull request.
    Merged,
}

#[derive(Clone, Debug)]
pub(super) struct Activity {
    pub(super) id: i64,
    pub(super) repository: i64,
    pub(super) how: Moved,
    pub(super) by: String,
    pub(super) branch: String,
    pub(super) before: Option<String>,
    pub(super) head: Option<String>,
    pub(super) at: Timestamp,
}

/// Something that happened in a pull request, beside what was said and pushed.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) id: i64,
    pub(super) repository: i64,
    pub(super) number: i64,
    pub(super) by: String,
    pub(super) at: Timestamp,
    pub(super) what: Turned,
}

#[derive(Clone, Debug)]
pub(super) enum Turned {
    Closed,
    /// Its last commit on the base.
    Merged(String),
    Reopened,
    /// From one branch to another.
    Retargeted(String, String),
    /// From one title to another.
    Titled(String, String),
    Drafted,
    Readied,
    /// The review, and what it said.
    Dismissed(i64, Says),
}

/// Who a commit says it is by, as logins of `LOGIN@example.com`.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) author: String,
    pub(super) committer: String,
}

/// Calls that are open together.
#[derive(Default)]
pub(super) struct AtOnce {
    pub(super) now: usize,
    pub(super) most: usize,
}

/// Everything.
pub(crate) struct State {
    pub(super) tongue: Tongue,
    pub(super) users: Vec<User>,
    pub(super) teams: Vec<Team>,
    pub(super) approval_rules: Vec<ApprovalRule>,
    pub(super) repositories: Vec<Repository>,
    /// Old names, and the repository each leads to.
    pub(super) moved: BTreeMap<String, i64>,
    pub(super) pulls: Vec<Pull>,
    pub(super) issues: Vec<Issue>,
    pub(super) comments: Vec<Comment>,
    pub(super) reviews: Vec<Review>,
    pub(super) statuses: Vec<Status>,
    pub(super) check_runs: Vec<CheckRun>,
    pub(super) deployments: Vec<Deployment>,
    /// What new commits say.
    pub(super) message: String,
    pub(super) activities: Vec<Activity>,
    pub(super) turns: Vec<Turn>,
    pub(super) commits: BTreeMap<String, Commit>,
    /// What a push brought that brought many, newest first, by its newest.
    pub(super) brought: BTreeMap<String, Vec<String>>,
    /// Of these, how many are asked for side by side.
    pub(super) at_once: AtOnce,
    /// (comment, login, what).
    pub(super) reactions: Vec<(i64, String, String)>,
    pub(super) hook: Option<String>,
    pub(super) hook_name: Option<String>,
    pub(super) delivering: Delivering,
    pub(super) kept: Vec<Delivery>,
    /// What happened and is not told yet.
    pub(super) untold: Vec<Told>,
    /// What was told and is to be told again.
    pub(super) again: Vec<Delivery>,
    /// What was delivered or lost, oldest first.
    pub(super) tries: Vec<Try>,
    pub(super) fault: Option<(String, Fault)>,
    /// The call that is carried out and not answered as it should be, once.
    pub(super) lost: Option<(String, Fault)>,
    pub(super) calls: Vec<String>,
    /// As the forge's documentation has them, where that is kept.
    pub(super) operations: std::collections::BTreeSet<String>,
    /// Conversations with Git.
    pub(super) fetches: usize,
    /// The most entries of a page, as an administrator may lower it.
    pub(super) largest_page: usize,
    /// Calls our account has left in this hour, where they are counted.
    pub(super) calls_left: u32,
    pub(super) enforced: Option<Enforced>,
    pub(super) apps: Vec<App>,
    pub(super) oauth: OAuth,
    /// `http://127.0.0.1:PORT`, for the addresses in answers.
    pub(super) url: String,
    /// By which deliveries are signed; its own where nobody said another.
    pub(super) clock: Option<bascule::clock::Clock>,
    now: Timestamp,
    last_id: i64,
}

impl State {
    pub(super) fn new(tongue: Tongue, url: String) -> Self {
        let mut state = Self {
            tongue,
            users: Vec::new(),
            teams: Vec::new(),
            repositories: Vec::new(),
            moved: BTreeMap::new(),
            pulls: Vec::new(),
            issues: Vec::new(),
            comments: Vec::new(),
            reviews: Vec::new(),
            statuses: Vec::new(),
            check_runs: Vec::new(),
            deployments: Vec::new(),
            message: "Change files".to_owned(),
            activities: Vec::new(),
            turns: Vec::new(),
            commits: BTreeMap::new(),
            brought: BTreeMap::new(),
            at_once: AtOnce::default(),
            reactions: Vec::new(),
            approval_rules: Vec::new(),
            hook: None,
            hook_name: None,
            delivering: Delivering::AtOnce,
            kept: Vec::new(),
            untold: Vec::new(),
            again: Vec::new(),
            tries: Vec::new(),
            fault: None,
            lost: None,
            calls: Vec::new(),
            operations: Default::default(),
            largest_page: tongue.largest_page(),
            calls_left: 15_000,
            enforced: None,
            apps: Vec::new(),
            oauth: OAuth::default(),
            fetches: 0,
            url,
            clock: None,
            now: "2026-01-05T09:00:00Z".parse().unwrap(),
            last_id: 0,
        };
        state.user("bascule");
        state
    }

    /// A new number, for anything.
    pub(super) fn id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    /// A second later than everything before.
    pub(super) fn tick(&mut self) -> Timestamp {
        self.now = self.now.checked_add(jiff::SignedDuration::from_secs(1)).unwrap();
        self.now
    }

    /// The time of the last thing that happened.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// So long nothing happens.
    pub(super) fn waits(&mut self, time: jiff::SignedDuration) {
        self.now = self.now.checked_add(time).unwrap();
    }

    /// Something happened in a pull request, now.
    pub(super) fn turned(&mut self, by: &str, repository: i64, number: i64, what: Turned) {
        let (id, at) = (self.id(), self.now);
        self.turns.push(Turn { id, repository, number, by: by.to_owned(), at, what });
    }

    /// Somebody of this login, who is there from now on.
    pub(super) fn user(&mut self, login: &str) -> &mut User {
        let at = match self.users.iter().position(|user| user.login == login) {
            Some(at) => at,
            None => {
                let id = self.id();
                self.users.push(User {
                    id,
                    login: login.to_owned(),
                    is_bot: false,
                    is_site_admin: false,
                    is_suspended: false,
                    is_organisation: false,
                    hides_activity: false,
                });
                self.users.len() - 1
            }
        };
        &mut self.users[at]
    }

    pub(super) fn repository(&self, id: i64) -> &Repository {
        self.repositories.iter().find(|found| found.id == id).expect("a repository of this forge")
    }

    pub(super) fn repository_mut(&mut self, id: i64) -> &mut Repository {
        self.repositories.iter_mut().find(|found| found.id == id).expect("a repository of this forge")
    }

    pub(super) fn pull(&self, repository: i64, number: i64) -> Option<&Pull> {
        self.pulls.iter().find(|pull| pull.repository == repository && pull.number == number)
    }

    pub(super) fn pull_mut(&mut self, repository: i64, number: i64) -> &mut Pull {
        let found = self.pulls.iter_mut().find(|pull| pull.repository == repository && pull.number == number);
        found.expect("a pull request of this forge")
    }

    /// Something was said in a pull request, now.
    pub(super) fn touch(&mut self, repository: i64, number: i64) {
        let (now, is_seldom) = (self.now, self.tongue.touches_seldom());
        let pull = self.pull_mut(repository, number);
        if !is_seldom || now.duration_since(pull.updated) > jiff::SignedDuration::from_mins(1) {
            pull.updated = now;
        }
    }

    /// What an issue is called where they are numbered apart: 1, 2, 3, whatever is between them.
    pub(super) fn issue_iid(&self, issue: &Issue) -> usize {
        let before = |one: &&Issue| one.repository.abs() == issue.repository.abs() && one.number <= issue.number;
        self.issues.iter().filter(before).count()
    }

    /// The number that the stories know an issue by.
    pub(super) fn issue_number(&self, repository: i64, iid: &str) -> Option<i64> {
        let mut mine = self.issues.iter().filter(|issue| issue.repository == repository);
        mine.find(|issue| self.issue_iid(issue).to_string() == iid).map(|issue| issue.number)
    }

    /// The next number of a repository, shared by issues and pull requests.
    pub(super) fn next_number(&self, repository: i64) -> i64 {
        let pulls = self.pulls.iter().filter(|pull| pull.repository == repository).map(|pull| pull.number);
        let issues = self.issues.iter().filter(|issue| issue.repository.abs() == repository).map(|issue| issue.number);
        pulls.chain(issues).max().unwrap_or(0) + 1
    }

    /// What somebody may do, however they got the right.
    pub(super) fn right(&self, repository: &Repository, login: &str) -> Right {
        let owner = repository.name.split('/').next().unwrap();
        let theirs = |team: &&Team| team.organisation == owner && team.members.iter().any(|member| member == login);
        let by_team = self.teams.iter().filter(theirs).map(|team| team.code).max();
        self.told_right(repository, login).max(by_team.unwrap_or(Right::None))
    }

    /// The right somebody has of their own, not by a team.
    pub(super) fn told_right(&self, repository: &Repository, login: &str) -> Right {
        match self.users.iter().find(|user| user.login == login) {
            Some(user) if user.is_site_admin || login == "bascule" => Right::Admin,
            _ => repository.rights.get(login).copied().unwrap_or(Right::Write),
        }
    }
}
