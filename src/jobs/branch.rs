//! One environment and its branch: the walk of consent from its position to the branch's tip, with all its facts.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::contents::{Contents, FileAt};
use super::place::{self, Attended};
use super::repository::Repository;
use super::{JobError, people};
use crate::consent::{
    Before, Brings, Change, Contributed, Contributors, Court, HashedSet, Hold, Made, Merged, Offer, People, Place,
    Position, Push, Reading, ShownAs, Size, Step, Walk, walk,
};
use crate::db::{environments, holds, pulls, pushes, repositories, sets};
use crate::forge::PullState;
use crate::git::{BranchName, Mirror, Want};
use crate::ids::{Account, CommitId, EnvironmentName, ObjectHash, TraceId};
use crate::policy::rules::Environment;

/// Commits looked at before a first sync: the first set may have come with any of them.
const FIRST_SET_COMMITS: usize = 20;

/// An environment, judged.
pub(super) struct Walked {
    pub(super) environment: environments::Environment,
    pub(super) court: Court,
    pub(super) walk: Walk,
    /// When the facts were read, and the newest fact stored before.
    pub(super) reading: Reading,
    /// The places heard on the way, by number.
    pub(super) places: BTreeMap<i64, Attended>,
    /// What other environments have at each covered commit, for `after`.
    pub(super) befores: BTreeMap<(EnvironmentName, CommitId), Before>,
    /// The branch's tip.
    pub(super) tip: CommitId,
    /// Where its held change is shown.
    pub(super) shown_in: Option<i64>,
}

/// Fetches what a job looks at.
pub(super) async fn fetch(mirror: &Mirror, wants: &[Want]) -> Result<(), JobError> {
    Ok(mirror.fetch(wants).await?)
}

/// A branch of a repository as something to fetch.
pub(super) fn branch(name: &str) -> Result<Want, JobError> {
    Ok(Want::Branch(name.parse::<BranchName>()?))
}

/// Judges one environment. `None`: its branch is not there.
pub(super) async fn walked(
    repository: &Repository<'_>,
    contents: &Contents<'_>,
    environment: environments::Environment,
    cause: &str,
    trace: TraceId,
) -> Result<Option<Walked>, JobError> {
    let context = repository.context;
    let mut conn = context.pool.acquire().await?;
    let known = repositories::by_key(&mut conn, &repository.row.key).await?;
    let newest_fact = known.map_or(repository.row.fact_version, |row| row.fact_version);
    let reading = Reading { at: context.clock.now(), newest_fact };
    let hold = holds::get(&mut conn, environment.id).await?;
    drop(conn);

    let default = branch(&repository.row.default_branch)?;
    let own = branch(&environment.branch)?;
    fetch(&repository.mirror, &[default.clone(), own.clone()]).await?;
    let Some(tip) = repository.mirror.tip(&own).await? else { return Ok(None) };
    let Some(default_tip) = repository.mirror.tip(&default).await? else { return Ok(None) };
    let commits = commits_since(repository, &environment, hold.as_ref(), &tip).await?;

    let shown_in = hold.as_ref().and_then(|hold| hold.shown_in);
    let mut looker = Looker {
        repository,
        contents,
        environment: &environment,
        default_tip: &default_tip,
        entries: BTreeMap::new(),
        places: BTreeMap::new(),
        cause,
        trace,
    };
    let merged = looker.merged_pulls(&commits).await?;
    let pushers = looker.pushers(&commits).await?;
    let mut steps = Vec::with_capacity(commits.len());
    for commit in &commits {
        steps.push(super::boxed(looker.step(commit, merged.get(commit).copied(), &commits, &merged, &pushers)).await?);
    }
    let hold = match hold {
        Some(hold) => looker.hold(hold, &commits).await?,
        None => None,
    };
    let position = match &environment.position {
        Some(at) => {
            let set = looker.stored(&at.set).await?;
            Some(Position { commit: at.commit.clone(), set })
        }
        None => None,
    };
    let Looker { entries, places, .. } = looker;
    let court = court(repository, &environment, entries, &places).await?;
    let walk = walk(&court, position.as_ref(), &steps, hold.as_ref());
    let befores = befores(repository, contents, &environment, &court, &walk, &default_tip).await?;
    Ok(Some(Walked { environment, court, walk, reading, places, befores, tip, shown_in }))
}

/// The commits of the branch that are not ancestors of the position, oldest first.
async fn commits_since(
    repository: &Repository<'_>,
    environment: &environments::Environment,
    hold: Option<&holds::Hold>,
    tip: &CommitId,
) -> Result<Vec<CommitId>, JobError> {
    if let Some(position) = &environment.position {
        return Ok(repository.mirror.first_parent(Some(&position.commit), tip).await?);
    }
    let all = match repository.mirror.first_parent(None, tip).await {
        Ok(all) => all,
        Err(crate::git::GitError::TooLarge { .. }) => vec![tip.clone()],
        Err(error) => return Err(error.into()),
    };
    let held_at = hold.and_then(|hold| hold.change.as_ref()).map(|change| &change.to_commit);
    let fixed = held_at.and_then(|commit| all.iter().position(|one| one == commit));
    let from = all.len().saturating_sub(FIRST_SET_COMMITS).min(fixed.unwrap_or(usize::MAX));
    Ok(all.into_iter().skip(from).collect())
}

struct Looker<'a> {
    repository: &'a Repository<'a>,
    contents: &'a Contents<'a>,
    environment: &'a environments::Environment,
    default_tip: &'a CommitId,
    entries: BTreeMap<ObjectHash, Environment>,
    places: BTreeMap<i64, Attended>,
    cause: &'a str,
    trace: TraceId,
}

impl Looker<'_> {
    /// Which of these commits end a pull request: asked of the forge where our memory does not say.
    async fn merged_pulls(&self, commits: &[CommitId]) -> Result<BTreeMap<CommitId, i64>, JobError> {
        let mut conn = self.repository.context.pool.acquire().await?;
        let mut found = BTreeMap::new();
        for commit in commits {
            if let Some(number) = pulls::merged_as(&mut conn, self.repository.row.id, commit).await? {
                found.insert(commit.clone(), number);
            }
        }
        if found.len() == commits.len() {
            return Ok(found);
        }
        // A merge whose delivery was lost: the forge's own list of what was closed tells.
        let since = self.repository.context.clock.now() - SignedDuration::from_hours(24 * 30);
        for pull in self.repository.forge().pulls_closed_since(&self.repository.at, since).await? {
            let PullState::Merged { commit: Some(commit), .. } = &pull.state else { continue };
            if pull.base_branch == self.environment.branch && commits.contains(commit) && !found.contains_key(commit) {
                pulls::upsert(&mut conn, self.repository.row.id, &super::attend::facts_of(&pull)).await?;
                found.insert(commit.clone(), pull.number);
            }
        }
        Ok(found)
    }

    /// Who pushed the branch to which commit.
    async fn pushers(&self, commits: &[CommitId]) -> Result<BTreeMap<CommitId, Option<Account>>, JobError> {
        let mut conn = self.repository.context.pool.acquire().await?;
        let key = &self.repository.row.key;
        let stored = pushes::to_branch(&mut conn, key, &self.environment.branch).await?;
        let mut known: BTreeMap<CommitId, Option<Account>> = stored.into_iter().collect();
        if commits.iter().any(|commit| !known.contains_key(commit)) {
            let since = self.repository.context.clock.now() - SignedDuration::from_hours(24 * 7);
            for push in self.repository.forge().pushes(&self.repository.at, since).await? {
                if push.branch == self.environment.branch
                    && let Some(after) = push.after
                {
                    known.entry(after).or_insert(push.pusher);
                }
            }
        }
        Ok(known)
    }

    async fn step(
        &mut self,
        commit: &CommitId,
        pull: Option<i64>,
        commits: &[CommitId],
        merged: &BTreeMap<CommitId, i64>,
        pushers: &BTreeMap<CommitId, Option<Account>>,
    ) -> Result<Step, JobError> {
        let set = self.set_at(commit).await?;
        if let Some(number) = pull {
            let (made, merged) = self.pull(number, commit).await?;
            return Ok(Step { commit: commit.clone(), set, made, merged: Some(merged) });
        }
        let made = self.pushed(commit, commits, merged, pushers).await?;
        Ok(Step { commit: commit.clone(), set, made, merged: None })
    }

    async fn set_at(&mut self, commit: &CommitId) -> Result<Option<HashedSet>, JobError> {
        let block = block_at(self.repository, self.contents, self.environment, commit, self.default_tip).await?;
        let Some(block) = block else { return Ok(None) };
        let tree = self.contents.tree(commit).await?;
        let set = self.contents.set_at(&block, &tree).await?;
        let Some(content) = set.content() else { return Ok(None) };
        if let Some(entry) = content.hashed.entry() {
            self.entries.insert(*entry, block);
        }
        Ok(Some(content.hashed.clone()))
    }

    /// A stored set, and what its entry says.
    async fn stored(&mut self, digest: &crate::ids::SetDigest) -> Result<HashedSet, JobError> {
        let mut conn = self.repository.context.pool.acquire().await?;
        let set = sets::load_hashed(&mut conn, digest).await?;
        if let Some(entry) = set.entry() {
            self.entries.extend(sets::entries(&mut conn, &[*entry]).await?);
        }
        Ok(set)
    }

    async fn heard(&mut self, number: i64, is_pull: bool, head: &CommitId) -> Result<&Attended, JobError> {
        if !self.places.contains_key(&number) {
            let place = Place { number, base_branch: self.environment.branch.clone() };
            let heard = place::attend(self.repository, place, is_pull, head, self.cause, self.trace).await?;
            self.places.insert(number, heard);
        }
        Ok(&self.places[&number])
    }

    /// A merged pull request: what it made, was shown as, and was given.
    async fn pull(&mut self, number: i64, commit: &CommitId) -> Result<(Made, Merged), JobError> {
        let pull = self.repository.forge().pull(&self.repository.at, number).await?;
        let contributors = contributors_of_pull(self.repository, &pull, commit).await?;
        let name = self.environment.name.clone();
        let id = self.environment.id;
        let base_branch = pull.base_branch.clone();
        let heard = self.heard(number, true, &pull.head).await?;
        let shown = heard.remembered.shown.iter();
        let shown = shown.filter(|one| one.environment == id && one.shown.shown_as == ShownAs::Pull);
        let offers: Vec<Offer> = shown
            .map(|one| Offer {
                change: one.change.clone(),
                old_set: one.shown.old_set,
                made: Made { contributors: contributors.clone(), files: one.files.clone(), size: one.size },
            })
            .collect();
        let made = offers.last().map_or_else(|| Made { contributors, ..Made::default() }, |offer| offer.made.clone());
        let place = Place { number, base_branch };
        Ok((made, Merged { place, offers, approvals: heard.recorded(&name) }))
    }

    /// A commit that came without a pull request, or in the middle of one that was rebased.
    async fn pushed(
        &self,
        commit: &CommitId,
        commits: &[CommitId],
        merged: &BTreeMap<CommitId, i64>,
        pushers: &BTreeMap<CommitId, Option<Account>>,
    ) -> Result<Made, JobError> {
        let facts = self.repository.mirror.commits(commit, &parents(self.repository, commit).await?).await?;
        let written = people::written(self.repository, &facts).await?;
        let at = commits.iter().position(|one| one == commit).unwrap_or_default();
        // The push that brought it is the first one to it or to a later commit.
        let push = commits.iter().skip(at).find(|one| pushers.contains_key(*one) || merged.contains_key(*one));
        let pushes = match push {
            // It came with a merge, and merging makes nobody a contributor.
            Some(after) if merged.contains_key(after) => Vec::new(),
            Some(after) => vec![Push { pusher: pushers.get(after).cloned().flatten(), brings: Brings::Work }],
            None => vec![Push { pusher: None, brings: Brings::Work }],
        };
        let contributors = Contributors::of_pushes(commit.as_str(), &pushes, &written);
        let changed = match facts.last().and_then(|facts| facts.parents.first()) {
            Some(parent) => self.repository.mirror.changed_paths(parent, commit).await?,
            None => Vec::new(),
        };
        let block = self.environment.block.as_ref();
        let closure = match block {
            Some(block) => self.contents.closure(block, &self.contents.tree(commit).await?).await,
            None => None,
        };
        let reads = |path: &str| closure.as_ref().is_none_or(|closure| closure.touched_by([path]));
        let files = changed.iter().map(|one| one.path.clone()).filter(|path| reads(path)).collect();
        let size = Size { files: changed.len() as u64, ..Size::default() };
        Ok(Made { contributors, files, size })
    }

    /// What came between the commit a held change begins at and the position, when a sync has passed it since: its
    /// people are contributors of the held change too.
    async fn behind(&mut self, from: Option<&CommitId>, commits: &[CommitId]) -> Result<Made, JobError> {
        let mut made = Made::default();
        let position = self.environment.position.as_ref().map(|at| at.commit.clone());
        let (Some(from), Some(position)) = (from, position) else { return Ok(made) };
        if *from == position || commits.contains(from) {
            return Ok(made);
        }
        let passed = self.repository.mirror.first_parent(Some(from), &position).await?;
        let (merged, pushers) = (self.merged_pulls(&passed).await?, self.pushers(&passed).await?);
        for commit in &passed {
            made.join(&match merged.get(commit) {
                Some(number) => self.pull(*number, commit).await?.0,
                None => self.pushed(commit, &passed, &merged, &pushers).await?,
            });
        }
        Ok(made)
    }

    async fn hold(&mut self, hold: holds::Hold, commits: &[CommitId]) -> Result<Option<Hold>, JobError> {
        let Some(change) = hold.change else { return Ok(None) };
        let old = match &change.from_set {
            Some(digest) => Some(self.stored(digest).await?),
            None => None,
        };
        let new = self.stored(&change.to_set).await?;
        let difference = Change::between(old.as_ref(), &new);
        let (place, approvals) = match hold.shown_in {
            Some(number) => {
                let name = self.environment.name.clone();
                let is_pull = is_pull(self.repository, number).await?;
                let heard = self.heard(number, is_pull, &change.to_commit).await?;
                (Some(heard.said.place.clone()), heard.recorded(&name))
            }
            None => (None, Vec::new()),
        };
        let (from, old_set) = (change.from_commit, change.from_set);
        let behind = self.behind(from.as_ref(), commits).await?;
        Ok(Some(Hold { from, old_set, to: change.to_commit, change: difference, behind, place, approvals }))
    }
}

/// Whether a number of ours is a pull request (the forge counts issues with them).
pub(super) async fn is_pull(repository: &Repository<'_>, number: i64) -> Result<bool, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    Ok(pulls::get(&mut conn, repository.row.id, number).await?.is_some())
}

/// The block of an environment at a commit of its branch, when it is the same environment there: another target is
/// another one.
pub(super) async fn block_at(
    repository: &Repository<'_>,
    contents: &Contents<'_>,
    environment: &environments::Environment,
    commit: &CommitId,
    default_tip: &CommitId,
) -> Result<Option<Environment>, JobError> {
    let on_default = environment.branch == repository.row.default_branch;
    let blocks = contents.tree(if on_default { commit } else { default_tip }).await?;
    let FileAt::Valid(mut all) = contents.file_at(&blocks, &contents.tree(commit).await?).await? else {
        return Ok(None);
    };
    Ok(all.remove(&environment.name).filter(|block| block.target == environment.target))
}

async fn parents(repository: &Repository<'_>, commit: &CommitId) -> Result<Vec<CommitId>, JobError> {
    // `commits` of one commit without its ancestors: its first parent and all behind it are left out.
    let line = repository.mirror.first_parent(None, commit).await;
    let before = line.ok().and_then(|line| line.len().checked_sub(2).and_then(|at| line.get(at).cloned()));
    Ok(before.into_iter().collect())
}

/// Whose a pull request is: everybody who opened, pushed to, or wrote it.
pub(super) async fn contributors_of_pull(
    repository: &Repository<'_>,
    pull: &crate::forge::Pull,
    merged_as: &CommitId,
) -> Result<Contributors, JobError> {
    let wants = [Want::Pull(u64::try_from(pull.number).unwrap_or_default())];
    // The head's reference may be gone once it is merged; its commits may still be here, or come by their ids.
    if repository.mirror.fetch(&wants).await.is_err() && !repository.mirror.has_commit(&pull.head).await? {
        fetch(&repository.mirror, &[Want::Commit(pull.head.clone())]).await?;
    }
    let base = match &pull.merge_base {
        Some(base) => Some(base.clone()),
        None => repository.mirror.merge_base(merged_as, &pull.head).await?,
    };
    let commits = repository.mirror.commits(&pull.head, &base.into_iter().collect::<Vec<_>>()).await?;
    let written = people::written(repository, &commits).await?;
    let brings: Vec<(CommitId, Brings)> =
        commits.iter().zip(&written).map(|(commit, written)| (commit.id.clone(), written.brings)).collect();
    let pushes = people::pushes_to_pull(repository, pull, &brings).await?;
    let name = format!("#{}", pull.number);
    Ok(match &pull.author {
        Some(author) => Contributors::of_pull((author.clone(), Contributed::Opened), &name, &pushes, &written),
        None => Contributors::of_pushes(&name, &pushes, &written),
    })
}

/// Everything that judges an environment.
pub(super) async fn court(
    repository: &Repository<'_>,
    environment: &environments::Environment,
    entries: BTreeMap<ObjectHash, Environment>,
    places: &BTreeMap<i64, Attended>,
) -> Result<Court, JobError> {
    let platform = &repository.platform;
    let target = &environment.target;
    let mut conn = repository.context.pool.acquire().await?;
    let mut neighbours = Vec::new();
    for digest in environments::neighbours(&mut conn, environment).await? {
        let set = sets::load_hashed(&mut conn, &digest).await?;
        let entry: Vec<ObjectHash> = set.entry().copied().into_iter().collect();
        neighbours.extend(sets::entries(&mut conn, &entry).await?.into_values());
    }
    let floors = platform.floors_under(&target.cluster);
    let grants = platform.grants_reaching(&repository.granted_name(), target);
    let mut people = People::new(repository.row.key.forge.clone(), platform.groups.clone(), Vec::new());
    for heard in places.values() {
        people.standings.extend(heard.people.standings.clone());
    }
    Ok(Court {
        repository: repository.row.key.clone(),
        environment: environment.name.clone(),
        target: target.clone(),
        entries,
        neighbours,
        floors: floors.into_iter().map(|(name, floor)| (name.to_owned(), floor.clone())).collect(),
        grant_owners: grants.into_iter().find_map(|granted| granted.grant.owners.clone()),
        people,
    })
}

/// What the environments a covered commit waits for have there, and with what they were last healthy.
async fn befores(
    repository: &Repository<'_>,
    contents: &Contents<'_>,
    environment: &environments::Environment,
    court: &Court,
    walk: &Walk,
    default_tip: &CommitId,
) -> Result<BTreeMap<(EnvironmentName, CommitId), Before>, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    let all = environments::of_repository(&mut conn, repository.row.id).await?;
    drop(conn);
    let mut befores = BTreeMap::new();
    for covered in &walk.covered {
        let rules = covered.set.entry().and_then(|entry| court.entries.get(entry));
        let wanted: BTreeSet<&EnvironmentName> =
            rules.into_iter().flat_map(|rules| &rules.after).map(|after| &after.environment).collect();
        for name in wanted {
            let same = |one: &&environments::Environment| one.name == *name && one.branch == environment.branch;
            let Some(other) = all.iter().find(same) else { continue };
            let at_commit = match block_at(repository, contents, other, &covered.commit, default_tip).await? {
                Some(block) => {
                    let set = contents.set_at(&block, &contents.tree(&covered.commit).await?).await?;
                    set.content().map(|content| content.hashed.clone())
                }
                None => None,
            };
            let mut conn = repository.context.pool.acquire().await?;
            let healthy = match &other.healthy {
                Some(at) => Some(sets::load_hashed(&mut conn, &at.set).await?),
                None => None,
            };
            befores.insert((name.clone(), covered.commit.clone()), Before { at_commit, healthy });
        }
    }
    Ok(befores)
}
