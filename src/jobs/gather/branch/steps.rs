//! The steps of a walk: what each commit has, who made it, what it was shown as and what was given for it.

use std::collections::{BTreeMap, BTreeSet};

use super::block_at;
use super::line::Line;
use crate::consent::{Change, Contributors, HashedSet, Hold, Made, Merged, Offer, Place, ShownAs, Step};
use crate::db::pulls::{self, PullState};
use crate::db::{environments, holds, sets};
use crate::forge;
use crate::ids::{CommitId, ObjectHash, SetDigest, TraceId};
use crate::jobs::gather::pull;

use crate::jobs::error::JobError;
use crate::jobs::gather::contents::Contents;
use crate::jobs::gather::place::{self, Attended};
use crate::jobs::gather::repository::Repository;
use crate::jobs::gather::size;
use crate::jobs::gather::whose::{self, contributors_of_pull};
use crate::jobs::work::boxed;
use crate::policy::rules::Environment;

/// Looks at the commits of one environment's branch.
pub(super) struct Looker<'a> {
    pub(super) repository: &'a Repository<'a>,
    contents: &'a Contents<'a>,
    pub(super) environment: &'a environments::Environment,
    default_tip: &'a CommitId,
    entries: BTreeMap<ObjectHash, Environment>,
    places: BTreeMap<i64, Attended>,
    cause: &'a str,
    trace: TraceId,
}

impl<'a> Looker<'a> {
    pub(super) fn new(
        repository: &'a Repository<'a>,
        contents: &'a Contents<'a>,
        environment: &'a environments::Environment,
        default_tip: &'a CommitId,
        cause: &'a str,
        trace: TraceId,
    ) -> Self {
        let (entries, places) = (BTreeMap::new(), BTreeMap::new());
        Self { repository, contents, environment, default_tip, entries, places, cause, trace }
    }

    /// The rules met on the way, by the entry that holds them, and the places heard.
    pub(super) fn found(self) -> (BTreeMap<ObjectHash, Environment>, BTreeMap<i64, Attended>) {
        (self.entries, self.places)
    }

    pub(super) async fn line(&self, commits: Vec<CommitId>) -> Result<Line, JobError> {
        Line::read(self.repository, &self.environment.branch, commits).await
    }

    /// Every commit of a line; `before` is the set it begins from.
    pub(super) async fn steps(&mut self, line: &Line, before: Option<&HashedSet>) -> Result<Vec<Step>, JobError> {
        let mut steps: Vec<Step> = Vec::with_capacity(line.commits.len());
        for commit in &line.commits {
            let before = steps.iter().rev().find_map(|step| step.set.as_ref()).or(before).cloned();
            let set = self.set_at(commit).await?;
            let (made, merged) = boxed(self.made(line, commit, before.as_ref(), set.as_ref())).await?;
            steps.push(Step { commit: commit.clone(), set, made, merged });
        }
        Ok(steps)
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
    pub(super) async fn stored(&mut self, digest: &SetDigest) -> Result<HashedSet, JobError> {
        let mut conn = self.repository.context.pool.acquire().await?;
        let set = sets::load_hashed(&mut conn, digest).await?;
        if let Some(entry) = set.entry() {
            self.entries.extend(sets::entries(&mut conn, &[*entry]).await?);
        }
        Ok(set)
    }

    /// What came with a commit: from whom, which files, how much. For the last of a merged pull request also what that
    /// was shown as, and given.
    pub(super) async fn made(
        &mut self,
        line: &Line,
        commit: &CommitId,
        before: Option<&HashedSet>,
        set: Option<&HashedSet>,
    ) -> Result<(Made, Option<Merged>), JobError> {
        let mut made = self.altered(commit).await?;
        made.size.objects = set.map_or(0, |set| Change::between(before, set).objects());
        made.join(&self.beside(line, commit).await?);
        let Some(number) = line.merged.get(commit) else {
            made.contributors.join(&self.pushed(line, commit).await?);
            return Ok((made, None));
        };
        let (contributors, merged) = self.pull(*number, line, commit).await?;
        made.contributors.join(&contributors);
        if let Some(shown) = merged.offers.last() {
            made.join(&shown.made);
        }
        Ok((made, Some(merged)))
    }

    /// Files that the environment reads, and the size of everything that a commit alters.
    async fn altered(&self, commit: &CommitId) -> Result<Made, JobError> {
        let (paths, size) = size::of_commit(&self.repository.mirror, commit).await?;
        let files = self.read_by(std::slice::from_ref(commit), paths).await?;
        Ok(Made { contributors: Contributors::default(), files, size })
    }

    /// Those of these files that the environment reads at one of these commits.
    pub(super) async fn read_by(&self, commits: &[CommitId], paths: Vec<String>) -> Result<BTreeSet<String>, JobError> {
        let mut read = BTreeSet::new();
        for commit in commits {
            let closure = match &self.environment.block {
                Some(block) => self.contents.closure(block, &self.contents.tree(commit).await?).await,
                None => None,
            };
            let reads = |path: &&String| closure.as_ref().is_none_or(|closure| closure.touched_by([path.as_str()]));
            read.extend(paths.iter().filter(reads).cloned());
        }
        Ok(read)
    }

    /// Whose a commit is that came without a pull request, or in the middle of one that was rebased.
    async fn pushed(&self, line: &Line, commit: &CommitId) -> Result<Contributors, JobError> {
        let first = self.repository.mirror.parents(commit).await?.into_iter().take(1).collect::<Vec<_>>();
        let facts = self.repository.mirror.commits(commit, &first).await?;
        let written = whose::written(self.repository, &facts).await?;
        let (name, pushes) = line.pushes_of(commit);
        Ok(Contributors::of_pushes(&name, &pushes, &written))
    }

    /// A merged pull request: whose it is, what it was shown as, and was given.
    async fn pull(&mut self, number: i64, line: &Line, commit: &CommitId) -> Result<(Contributors, Merged), JobError> {
        let pull = merged_pull(self.repository, number).await?;
        let mut contributors = contributors_of_pull(self.repository, &pull, commit).await?;
        contributors.join(&self.merger(line, commit).await?);
        let (name, id) = (self.environment.name.clone(), self.environment.id);
        let heard = self.heard(number, commit).await?;
        let shown = heard.remembered.shown.iter();
        let shown = shown.filter(|one| one.environment == id && one.shown.shown_as == ShownAs::Pull);
        let offers: Vec<Offer> = shown
            .map(|one| Offer {
                change: one.change.clone(),
                old_set: one.shown.old_set,
                made: Made { contributors: contributors.clone(), files: one.files.clone(), size: one.size },
            })
            .collect();
        let (place, approvals) = (heard.said.place.clone(), heard.recorded(&name));
        let given_back = place::given_back(self.repository, number, &name).await?;
        Ok((contributors, Merged { place, head: pull.head, offers, approvals, given_back }))
    }

    /// Who merged, when the merge holds something of their own: anything but what Git makes of its parents.
    async fn merger(&self, line: &Line, commit: &CommitId) -> Result<Contributors, JobError> {
        let mirror = &self.repository.mirror;
        let parents = mirror.parents(commit).await?;
        if parents.len() < 2 || mirror.is_clean_merge(commit).await? {
            return Ok(Contributors::default());
        }
        let facts = mirror.commits(commit, &parents).await?;
        let written = whose::written(self.repository, &facts).await?;
        Ok(Contributors::of_pushes(commit.as_str(), &line.pushed_to(commit), &written))
    }

    /// A place, heard once in a walk. A pull request is for the branch it was merged into, and its head is the one that
    /// was merged; an issue of ours is for the environment's branch, and has the commit its change ends in.
    async fn heard(&mut self, number: i64, commit: &CommitId) -> Result<&Attended, JobError> {
        if !self.places.contains_key(&number) {
            let mut conn = self.repository.context.pool.acquire().await?;
            let pull = pulls::get(&mut conn, self.repository.row.id, number).await?;
            drop(conn);
            let is_pull = pull.is_some();
            let (base_branch, head) = match pull {
                Some(pull) => (pull.facts.base_branch, pull.facts.head_sha),
                None => (self.environment.branch.clone(), commit.clone()),
            };
            let place = Place { number, base_branch };
            let heard = place::attend(self.repository, place, is_pull, &head, self.cause, self.trace).await?;
            self.places.insert(number, heard);
        }
        Ok(&self.places[&number])
    }

    /// The stored held change, as the walk takes it.
    pub(super) async fn hold(&mut self, hold: holds::Hold, commits: &[CommitId]) -> Result<Option<Hold>, JobError> {
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
                let heard = self.heard(number, &change.to_commit).await;
                match heard.map(|heard| (heard.said.place.clone(), heard.recorded(&name))) {
                    Ok((place, approvals)) => (Some(place), approvals),
                    Err(_) if self.is_deleted(number).await? => (None, Vec::new()),
                    Err(error) => return Err(error),
                }
            }
            None => (None, Vec::new()),
        };
        let (from, old_set) = (change.from_commit, change.from_set);
        let behind = boxed(self.behind(from.as_ref(), commits)).await?;
        Ok(Some(Hold { from, old_set, to: change.to_commit, change: difference, behind, place, approvals }))
    }

    /// Whether an issue of ours was deleted: what was said in it is gone, and consents to nothing. It is asked for by name,
    /// since one list that is not there may be the forge's own confusion. Whoever attends to it next shows the change
    /// elsewhere.
    async fn is_deleted(&self, number: i64) -> Result<bool, JobError> {
        if super::is_pull(self.repository, number).await? {
            return Ok(false);
        }
        match self.repository.forge().issue(&self.repository.at, number).await {
            Ok(_) => Ok(false),
            Err(error) if error.is_gone() => Ok(true),
            Err(error) => Err(error.into()),
        }
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
        let line = self.line(passed).await?;
        made.join(&self.taken_off(from, &line).await?);
        for commit in &line.commits {
            made.join(&self.made(&line, commit, None, None).await?.0);
        }
        Ok(made)
    }
}

/// A merged pull request: what is stored of it does not change any more.
pub(in crate::jobs) async fn merged_pull(repository: &Repository<'_>, number: i64) -> Result<forge::Pull, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    let stored = pulls::get(&mut conn, repository.row.id, number).await?;
    drop(conn);
    match stored {
        Some(row) if row.facts.state == PullState::Merged => Ok(pull::pull_of(&row.facts)),
        _ => Ok(repository.forge().pull(&repository.at, number).await?),
    }
}
