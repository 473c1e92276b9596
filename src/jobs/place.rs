//! A pull request, or an issue of ours, as a place where people consent: what was given, revoked and asked there, read
//! from the forge as it is now; and the recording of approvals and voids.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sqlx::PgConnection;

use super::repository::Repository;
use super::{JobError, people};
use crate::audit::{self, NewEntry};
use crate::consent::{
    Answer, Approval, Given, Identities, Look, Now, Objection, People, Place, Recorded, Revocation, SourceNow, State,
    Text, Wanted, WhyNot, bind, voids,
};
use crate::db::approvals::{self, Stored};
use crate::db::previews::{self, Preview, ShownChange};
use crate::db::sets;
use crate::event::command::{self, Command, Selector};
use crate::forge::{Comment, Review, Verdict};
use crate::ids::{Account, CommitId, EnvironmentName, ObjectHash, TraceId};
use crate::policy::rules::{ApprovalSource, Environment, OnPush, Voters};

/// Everything said in a place.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) place: Place,
    pub(super) reviews: Vec<Review>,
    pub(super) comments: Vec<Comment>,
}

/// A command to be answered.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The comment's number; a review's is negative, since the forge numbers them apart.
    pub(super) id: i64,
    /// The same, as approvals name it.
    pub(super) source: (ApprovalSource, i64),
    pub(super) by: Account,
    pub(super) command: Command,
}

/// Reads a place. The lists are whole or this fails: what is not in them was deleted.
pub(super) async fn listen(repository: &Repository<'_>, place: Place, is_pull: bool) -> Result<Said, JobError> {
    let forge = repository.forge();
    let comments = forge.comments(&repository.at, place.number).await?;
    let reviews = if is_pull { forge.reviews(&repository.at, place.number).await? } else { Vec::new() };
    Ok(Said { place, reviews, comments })
}

impl Said {
    /// Commands of people, oldest first; our own comments are no commands.
    pub(super) fn asked(&self, ourselves: &Account) -> Vec<Asked> {
        let comments = self.comments.iter().filter(|comment| !comment.is_edited()).filter_map(|comment| {
            let source = (ApprovalSource::Command, comment.id);
            Some(Asked { id: comment.id, source, by: comment.author.clone()?, command: command::parse(&comment.body)? })
        });
        let reviews = self.reviews.iter().filter_map(|review| {
            let source = (ApprovalSource::Review, review.id);
            Some(Asked { id: -review.id, source, by: review.person.clone()?, command: command::parse(&review.body)? })
        });
        comments.chain(reviews).filter(|asked| asked.by != *ourselves).collect()
    }

    /// Everything that means to approve, as it is now. `named` resolves what a selector means.
    fn given(&self, ourselves: &Account, stages: &Stages) -> Vec<Given> {
        let reviews = self.reviews.iter().filter(|review| !review.dismissed).filter_map(|review| {
            let person = review.person.clone()?;
            let (wanted, deletions, reason) = match (review.verdict, command::parse(&review.body)) {
                (Verdict::ChangesRequested, _) => return None,
                (_, Some(Command::Approve { environments, digest, deletions, reason })) => {
                    (stages.wanted(environments, digest)?, deletions, reason)
                }
                (Verdict::Approved, None) => (Wanted::Everything, None, None),
                // An approving review whose text is another command, or a botched one, is not taken for consent.
                (Verdict::Approved | Verdict::Commented, _) => return None,
            };
            Some(Given {
                person,
                source: ApprovalSource::Review,
                source_id: review.id,
                head: review.commit.clone(),
                wanted,
                deletions,
                reason,
                at: review.given_at,
                text: Text::Unedited,
            })
        });
        let comments = self.comments.iter().filter_map(|comment| {
            let person = comment.author.clone()?;
            let Some(Command::Approve { environments, digest, deletions, reason }) = command::parse(&comment.body)
            else {
                return None;
            };
            Some(Given {
                person,
                source: ApprovalSource::Command,
                source_id: comment.id,
                head: None,
                wanted: stages.wanted(environments, digest)?,
                deletions,
                reason,
                at: comment.created_at,
                text: if comment.is_edited() { Text::Edited } else { Text::Unedited },
            })
        });
        reviews.chain(comments).filter(|given| given.person != *ourselves).collect()
    }

    /// The place as voids are judged against it.
    pub(super) fn now(&self, head: &CommitId, looks: BTreeMap<EnvironmentName, Vec<Look>>, stages: &Stages) -> Now {
        let mut sources = BTreeMap::new();
        for review in &self.reviews {
            let state = if review.dismissed { SourceNow::Dismissed } else { SourceNow::Stands };
            sources.insert((ApprovalSource::Review, review.id), state);
        }
        for comment in &self.comments {
            let state = if comment.is_edited() { SourceNow::Edited } else { SourceNow::Stands };
            sources.insert((ApprovalSource::Command, comment.id), state);
        }
        let objections = self.reviews.iter().filter(|review| review.verdict == Verdict::ChangesRequested);
        let objections = objections
            .filter_map(|review| Some(Objection { person: review.person.clone()?, at: review.given_at }))
            .collect();
        let revocations = self.comments.iter().filter_map(|comment| {
            let Some(Command::Revoke { environments }) = command::parse(&comment.body) else { return None };
            let environments = environments.map(|selector| stages.names(&selector));
            Some(Revocation {
                person: comment.author.clone()?,
                environments,
                at: comment.created_at,
                comment: comment.id,
            })
        });
        Now {
            place: self.place.clone(),
            sources,
            objections,
            revocations: revocations.collect(),
            head: head.clone(),
            looks,
        }
    }

    /// Everybody who gave something, and everybody whose approval is recorded.
    pub(super) fn people(&self, stored: &[Stored]) -> BTreeSet<Account> {
        let reviewers = self.reviews.iter().filter_map(|review| review.person.clone());
        let commenters = self.comments.iter().filter(|comment| command::parse(&comment.body).is_some());
        let recorded = stored.iter().map(|one| one.recorded.approval.person.clone());
        reviewers.chain(commenters.filter_map(|comment| comment.author.clone())).chain(recorded).collect()
    }
}

/// The environments a place speaks of, with their stages: what a selector is resolved by.
#[derive(Debug, Clone, Default)]
pub(super) struct Stages(pub(super) BTreeMap<EnvironmentName, Option<String>>);

impl Stages {
    /// The environments a selector means.
    pub(super) fn names(&self, selector: &Selector) -> BTreeSet<EnvironmentName> {
        let meant = |(name, stage): &(&EnvironmentName, &Option<String>)| selector.matches(name, stage.as_deref());
        let mut names: BTreeSet<EnvironmentName> = self.0.iter().filter(meant).map(|(name, _)| name.clone()).collect();
        if let (true, Selector::Name(name)) = (names.is_empty(), selector) {
            names.insert(name.clone());
        }
        names
    }

    fn wanted(&self, environments: Option<Selector>, digest: Option<String>) -> Option<Wanted> {
        match (environments, digest) {
            (None, _) => Some(Wanted::Everything),
            (Some(Selector::Name(name)), Some(digest)) => Some(Wanted::Change(name, digest)),
            // A digest names one change of one environment.
            (Some(_), Some(_)) => None,
            (Some(selector), None) => Some(Wanted::Environments(self.names(&selector))),
        }
    }
}

/// What is stored about a place.
#[derive(Debug, Clone)]
pub(super) struct Remembered {
    pub(super) previews: Vec<Preview>,
    pub(super) shown: Vec<ShownChange>,
    pub(super) approvals: Vec<Stored>,
}

/// Reads what is stored about a place.
pub(super) async fn remember(conn: &mut PgConnection, repository: i64, number: i64) -> Result<Remembered, sqlx::Error> {
    Ok(Remembered {
        previews: previews::of(conn, repository, number).await?,
        shown: previews::shown_in(conn, repository, number).await?,
        approvals: approvals::given_in(conn, repository, number).await?,
    })
}

impl Remembered {
    /// What was looked at, per environment, oldest first.
    pub(super) fn looks(&self) -> BTreeMap<EnvironmentName, Vec<Look>> {
        let mut looks: BTreeMap<EnvironmentName, Vec<Look>> = BTreeMap::new();
        for preview in &self.previews {
            for (name, change) in &preview.looks {
                let look = Look { head: preview.head.clone(), from: preview.shown_at, change: *change };
                looks.entry(name.clone()).or_default().push(look);
            }
        }
        looks
    }
}

/// Something that was given and is no approval of an environment.
#[derive(Debug, Clone)]
pub(super) struct Unbound {
    pub(super) source: (ApprovalSource, i64),
    pub(super) environment: EnvironmentName,
    pub(super) why: WhyNot,
}

/// What hearing a place came to.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    /// New approvals, with the environment each is of.
    pub(super) approvals: Vec<(i64, Approval)>,
    /// Recorded approvals that are void now.
    pub(super) voids: Vec<(uuid::Uuid, EnvironmentName, String)>,
    /// What bound nothing.
    pub(super) unbound: Vec<Unbound>,
}

/// Binds what was given and finds what is void. Pure; [`record`] stores it.
#[expect(clippy::too_many_arguments, reason = "the facts of one judgement, each from another place")]
pub(super) fn hear(
    said: &Said,
    remembered: &Remembered,
    head: &CommitId,
    stages: &Stages,
    ourselves: &Account,
    identities: &Identities,
    on_push: impl Fn(&EnvironmentName) -> OnPush,
    named: impl Fn(&Account) -> BTreeMap<EnvironmentName, ObjectHash>,
) -> Heard {
    let shown: Vec<_> = remembered.shown.iter().map(|one| one.shown.clone()).collect();
    let ids: BTreeMap<&EnvironmentName, i64> =
        remembered.shown.iter().map(|one| (&one.shown.environment, one.environment)).collect();
    let recorded: BTreeSet<_> = remembered.approvals.iter().map(|one| one.recorded.approval.key.clone()).collect();
    let (mut approvals, mut unbound) = (Vec::new(), Vec::new());
    for given in said.given(ourselves, stages) {
        for (environment, bound) in bind(&given, &shown, &said.place, &named(&given.person)) {
            match bound {
                Ok(approval) if recorded.contains(&approval.key) => {}
                Ok(approval) => {
                    let id = ids.get(&environment).copied();
                    approvals.extend(id.map(|id| (id, approval)));
                }
                Err(why) => unbound.push(Unbound { source: (given.source, given.source_id), environment, why }),
            }
        }
    }
    let now = said.now(head, remembered.looks(), stages);
    let standing = remembered.approvals.iter().filter(|one| one.recorded.state == State::Stands);
    let voids = standing
        .filter_map(|one| {
            let environment = &one.recorded.approval.key.environment;
            let why = voids(&one.recorded.approval, &now, on_push(environment), identities)?;
            Some((one.id, environment.clone(), why.to_string()))
        })
        .collect();
    Heard { approvals, voids, unbound }
}

/// Stores new approvals and voids with their audit entries. Gives whether there was anything.
pub(super) async fn record(
    conn: &mut PgConnection,
    repository: &Repository<'_>,
    heard: &Heard,
    cause: &str,
    trace: TraceId,
) -> Result<bool, sqlx::Error> {
    let mut anything = false;
    let subject = |environment: &EnvironmentName| format!("{} {environment}", repository.granted_name());
    for (environment, approval) in &heard.approvals {
        let id = repository.context.clock.new_id();
        if !approvals::record(conn, id, (repository.row.id, *environment), approval).await? {
            continue;
        }
        anything = true;
        let person = &approval.person;
        let entry = NewEntry {
            actor: actor(person),
            action: "approval.recorded",
            subject: subject(&approval.key.environment),
            detail: json!({
                "approval": id, "number": approval.place.number, "base_branch": approval.place.base_branch,
                "head": approval.head, "change": approval.change, "old_set": approval.old_set, "new_set": approval.new_set,
                "preview": approval.preview, "person": person, "source": approval.key.source,
                "source_id": approval.key.source_id, "policy": approval.policy, "deletions": approval.deletions,
                "reason": approval.reason, "given_at": approval.at,
            }),
            cause: cause.to_owned(),
            trace,
        };
        audit::append(conn, &entry).await?;
    }
    for (id, environment, reason) in &heard.voids {
        if !approvals::void(conn, *id, reason).await? {
            continue;
        }
        anything = true;
        let entry = NewEntry {
            actor: "bascule".to_owned(),
            action: "approval.voided",
            subject: subject(environment),
            detail: json!({ "approval": id, "reason": reason }),
            cause: cause.to_owned(),
            trace,
        };
        audit::append(conn, &entry).await?;
    }
    Ok(anything)
}

/// A place that was heard: what was said, what is stored after it, and who everybody is.
#[derive(Debug, Clone)]
pub(super) struct Attended {
    pub(super) said: Said,
    pub(super) remembered: Remembered,
    pub(super) people: People,
    pub(super) unbound: Vec<Unbound>,
    /// Environments approved just now.
    pub(super) newly_approved: BTreeSet<i64>,
}

impl Attended {
    /// Everything given here for one environment.
    pub(super) fn recorded(&self, environment: &EnvironmentName) -> Vec<Recorded> {
        let of = |one: &&Stored| one.recorded.approval.key.environment == *environment;
        self.remembered.approvals.iter().filter(of).map(|one| one.recorded.clone()).collect()
    }
}

/// Listens to a place, and stores at once what was approved and what is void, whatever becomes of the rest of the job.
pub(super) async fn attend(
    repository: &Repository<'_>,
    place: Place,
    is_pull: bool,
    head: &CommitId,
    cause: &str,
    trace: TraceId,
) -> Result<Attended, JobError> {
    let ourselves = repository.ourselves().await?;
    let said = listen(repository, place, is_pull).await?;
    let mut conn = repository.context.pool.acquire().await?;
    let mut remembered = remember(&mut conn, repository.row.id, said.place.number).await?;
    let rules = rules_shown(&mut conn, &remembered).await?;
    drop(conn);
    let platform = &repository.platform;
    let granted = repository.granted_name();
    let voters_of = |rules: &Environment| -> Vec<Voters> {
        let floors = platform.floors_under(&rules.target.cluster);
        let floors = floors.into_iter().flat_map(|(_, floor)| floor.approvals.iter());
        let grants = platform.grants_reaching(&granted, &rules.target);
        let owners = grants.into_iter().filter_map(|granted| granted.grant.owners.as_ref());
        let own = rules.consent.approvals.iter().chain(&rules.owners);
        own.chain(floors).chain(owners).map(|rule| rule.voters.clone()).collect()
    };
    let voters: Vec<Voters> = rules.values().flat_map(|(_, rules)| voters_of(rules)).collect();
    let people = people::people(repository, &said.people(&remembered.approvals), &voters).await;
    let stages = Stages(rules.iter().map(|(name, (_, rules))| (name.clone(), rules.stage.clone())).collect());
    let named = |account: &Account| -> BTreeMap<EnvironmentName, ObjectHash> {
        let Some(standing) = people.standings.get(account) else { return BTreeMap::new() };
        let names = |rules: &Environment| {
            voters_of(rules).iter().any(|voters| people.is_one_of(standing, voters) == Answer::Yes)
        };
        rules.iter().filter(|(_, (_, rules))| names(rules)).map(|(name, (entry, _))| (name.clone(), *entry)).collect()
    };
    let on_push = |name: &EnvironmentName| rules.get(name).map_or(OnPush::Keep, |(_, rules)| rules.consent.on_push);
    let mut newly_approved = BTreeSet::new();
    // Until nothing is new: what was given and taken back before we first looked is void from its beginning, and only
    // what is recorded can be void. Each round records something for ever, so there is a last one.
    let unbound = loop {
        let heard = hear(&said, &remembered, head, &stages, ourselves, &people.identities, on_push, named);
        if heard.approvals.is_empty() && heard.voids.is_empty() {
            break heard.unbound;
        }
        let mut tx = repository.context.pool.begin().await?;
        let recorded = record(&mut tx, repository, &heard, cause, trace).await?;
        tx.commit().await?;
        let mut conn = repository.context.pool.acquire().await?;
        remembered.approvals = approvals::given_in(&mut conn, repository.row.id, said.place.number).await?;
        newly_approved.extend(heard.approvals.iter().map(|(environment, _)| *environment));
        if !recorded {
            break heard.unbound;
        }
    };
    Ok(Attended { said, remembered, people, unbound, newly_approved })
}

/// The rules in force for each environment whose change was shown, by the newest showing: those of the set it begins
/// from, and of the set itself where it is the first.
async fn rules_shown(
    conn: &mut PgConnection,
    remembered: &Remembered,
) -> Result<BTreeMap<EnvironmentName, (ObjectHash, Environment)>, JobError> {
    let mut rules = BTreeMap::new();
    for shown in &remembered.shown {
        let digest = shown.shown.old_set.unwrap_or(shown.shown.new_set);
        let set = sets::load_hashed(conn, &digest).await?;
        let Some(entry) = set.entry().copied() else { continue };
        if let Some(block) = sets::entries(conn, &[entry]).await?.remove(&entry) {
            rules.insert(shown.shown.environment.clone(), (entry, block));
        }
    }
    Ok(rules)
}

/// A person, as the log names them.
pub(super) fn actor(account: &Account) -> String {
    format!("{}/{} ({})", account.forge, account.login, account.id)
}
