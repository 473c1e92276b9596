//! An open pull request: what merging it would change of each environment, and who consents to that.

use std::collections::{BTreeMap, BTreeSet};

use super::branch::{branch, contributors_of_pull, court, fetch};
use super::contents::{Content, Contents, FileAt, SetAt};
use super::place::{self, Attended};
use super::repository::Repository;
use super::speak::{self, Seen, Spoken};
use super::{JobError, rows};
use crate::consent::{
    Case, Change, Contributors, Court, HashedSet, InForce, Law, Passage, Place, ShownAs, Size, Subject, judge,
};
use crate::db::{environments, previews, pulls, sets};
use crate::forge;
use crate::git::{Merge, Want};
use crate::ids::{CommitId, EnvironmentName, ObjectHash};
use crate::manifest::Room;
use crate::policy::rules::{Environment, SyncMode};
use crate::preview::{Deployment, EnvironmentRow, Outcome, Page, RowChange, Subject as PageSubject};
use crate::queue::{Claimed, Lease};

/// An environment that the pull request touches, on both sides.
struct Touched {
    old: Option<(Environment, SetAt)>,
    new: Option<(Environment, SetAt)>,
}

/// Attends to it.
pub(super) async fn attend(
    repository: &Repository<'_>,
    row: &pulls::Pull,
    pull: &forge::Pull,
    job: &Claimed,
    lease: &Lease,
) -> Result<Option<Spoken>, JobError> {
    // Gather: both sides of the merge.
    let mirror = &repository.mirror;
    let (default, base) = (branch(&repository.row.default_branch)?, branch(&pull.base_branch)?);
    let number = u64::try_from(pull.number).unwrap_or_default();
    fetch(mirror, &[default.clone(), base.clone(), Want::Pull(number)]).await?;
    let tips = (mirror.tip(&default).await?, mirror.tip(&base).await?);
    let (Some(default_tip), Some(base_tip)) = tips else {
        return Err(JobError::Superseded("the base branch is gone".to_owned()));
    };
    if !mirror.has_commit(&pull.head).await? {
        return Err(JobError::Passing("the head moved while it was fetched".to_owned()));
    }
    let contents = Contents::new(repository);
    let base_tree = contents.tree(&base_tip).await?;
    let on_default = pull.base_branch == repository.row.default_branch;
    let before = contents.file_at(&contents.tree(&default_tip).await?, &base_tree).await?;
    let place = Place { number: pull.number, base_branch: pull.base_branch.clone() };
    let subject = PageSubject::Pull { head: pull.head.clone(), into: pull.base_branch.clone() };
    let merge = match mirror.merge_result(&base_tip, &pull.head).await? {
        Merge::Clean { tree } => Some(tree),
        Merge::Conflict { paths } if !matches!(before, FileAt::Absent) => {
            let page = Page { outcome: Outcome::Conflict { paths }, ..empty(subject) };
            return say(repository, row, &place, page, Vec::new(), job, lease).await.map(Some);
        }
        Merge::Conflict { .. } | Merge::Unrelated => None,
    };
    let Some(tree) = merge else {
        let page = Page { outcome: Outcome::Untouched, ..empty(subject) };
        return speak::quietly(repository, row, page, lease).await.map(Some);
    };
    let merged = contents.tree(&tree).await?;
    let blocks = if on_default { merged.clone() } else { contents.tree(&default_tip).await? };
    let after = contents.file_at(&blocks, &merged).await?;
    let subject = match (&before, &after) {
        (FileAt::Absent, FileAt::Absent) => {
            let page = Page { outcome: Outcome::Untouched, ..empty(subject) };
            return speak::quietly(repository, row, page, lease).await.map(Some);
        }
        (_, FileAt::Invalid(errors)) => {
            let errors = errors.iter().map(ToString::to_string).collect();
            let page = Page { outcome: Outcome::RulesInvalid { errors }, ..empty(subject) };
            return say(repository, row, &place, page, Vec::new(), job, lease).await.map(Some);
        }
        (FileAt::Absent, FileAt::Valid(_)) => {
            PageSubject::Proposal { head: pull.head.clone(), into: pull.base_branch.clone() }
        }
        (FileAt::Valid(_) | FileAt::Invalid(_), FileAt::Absent | FileAt::Valid(_)) => subject,
    };
    let changed = mirror.changed_paths(&base_tip, &tree).await?;
    let lines = mirror.changed_lines(&base_tip, &tree).await?;
    let paths: Vec<String> = changed.iter().map(|one| one.path.clone()).collect();
    let sides = Sides { before: before.environments(), after: after.environments(), branch: &pull.base_branch };
    let touched = super::boxed(touched(repository, &contents, &sides, (&base_tip, &tree), &paths)).await?;
    if touched.is_empty() {
        let page = Page { outcome: Outcome::Untouched, ..empty(subject) };
        return speak::quietly(repository, row, page, lease).await.map(Some);
    }

    // Gather: who says what.
    let cause = format!("job {} {}", job.id, job.kind);
    let heard = super::boxed(place::attend(repository, place.clone(), true, &pull.head, &cause, job.trace)).await?;
    let contributors = super::boxed(contributors_of_pull(repository, pull, &base_tip)).await?;

    // Decide: each environment's change, and what is missing.
    let objects: u64 = touched.values().map(|one| one.change().map_or(0, |(change, _)| change.objects())).sum();
    let counted = |lines: &crate::git::Lines| match lines {
        crate::git::Lines::Text { added, removed } => added + removed,
        crate::git::Lines::Binary => 0,
        // More than any limit: an owner has to look at it.
        crate::git::Lines::TooLarge => u64::from(u32::MAX),
    };
    let size = Size { files: paths.len() as u64, lines: lines.values().map(counted).sum(), objects };
    let mut page = Page { outcome: Outcome::Compared, ..empty(subject) };
    let mut seen = Vec::new();
    let mut room = Room::default();
    for (name, touched) in &touched {
        let scene =
            Scene { repository, place: &place, heard: &heard, contributors: &contributors, size, paths: &paths };
        let (row, look) = super::boxed(scene.row(name, touched, &pull.head, &mut room)).await?;
        page.environments.extend(row);
        seen.extend(look);
    }
    for (name, _) in sides.before.iter().filter(|(name, _)| touched.contains_key(*name)) {
        if !sides.after.contains_key(name) && sides.follows(&sides.before[name], &repository.row.default_branch) {
            page.notes.push(format!("{name} would be orphaned: what is deployed stays, and is not watched any more"));
        }
    }
    page.answers = speak::answers(repository, &heard, &page).await?;
    say_heard(repository, row, &heard, page, seen, job, lease).await.map(Some)
}

struct Sides<'a> {
    before: BTreeMap<EnvironmentName, Environment>,
    after: BTreeMap<EnvironmentName, Environment>,
    branch: &'a str,
}

impl Sides<'_> {
    fn follows(&self, environment: &Environment, default: &str) -> bool {
        environment.branch.as_deref().unwrap_or(default) == self.branch
    }
}

/// The environments whose block or content differs, each rendered on both sides. What reads none of the changed files is
/// not rendered.
async fn touched(
    repository: &Repository<'_>,
    contents: &Contents<'_>,
    sides: &Sides<'_>,
    trees: (&CommitId, &CommitId),
    paths: &[String],
) -> Result<BTreeMap<EnvironmentName, Touched>, JobError> {
    let default = &repository.row.default_branch;
    let (base, merged) = (contents.tree(trees.0).await?, contents.tree(trees.1).await?);
    contents.warm(&base, sides.before.values()).await?;
    contents.warm(&merged, sides.after.values()).await?;
    let names: BTreeSet<&EnvironmentName> = sides.before.keys().chain(sides.after.keys()).collect();
    let mut all = BTreeMap::new();
    for name in names {
        let of = |side: &BTreeMap<EnvironmentName, Environment>| {
            side.get(name).filter(|environment| sides.follows(environment, default)).cloned()
        };
        let (old, new) = (of(&sides.before), of(&sides.after));
        if let (Some(old), Some(new)) = (&old, &new)
            && old == new
            && let Some(closure) = contents.closure(old, &base).await
            && !closure.touched_by(paths.iter().map(String::as_str))
        {
            continue;
        }
        let old = match old {
            Some(environment) => {
                let set = contents.set_at(&environment, &base).await?;
                Some((environment, set))
            }
            None => None,
        };
        let new = match new {
            Some(environment) => {
                let set = contents.set_at(&environment, &merged).await?;
                Some((environment, set))
            }
            None => None,
        };
        if old.is_some() || new.is_some() {
            all.insert(name.clone(), Touched { old, new });
        }
    }
    Ok(all)
}

impl Touched {
    /// The content it begins from: of the same target, since another one is another environment.
    fn old_content(&self) -> Option<&Content> {
        let (old, set) = self.old.as_ref()?;
        let same = self.new.as_ref().is_none_or(|(new, _)| new.target == old.target);
        set.content().filter(|_| same)
    }

    fn new_content(&self) -> Option<&Content> {
        self.new.as_ref()?.1.content()
    }

    fn change(&self) -> Option<(Change, &Content)> {
        let new = self.new_content()?;
        Some((Change::between(self.old_content().map(|old| &old.hashed), &new.hashed), new))
    }
}

struct Scene<'a> {
    repository: &'a Repository<'a>,
    place: &'a Place,
    heard: &'a Attended,
    contributors: &'a Contributors,
    size: Size,
    paths: &'a [String],
}

impl Scene<'_> {
    async fn row(
        &self,
        name: &EnvironmentName,
        touched: &Touched,
        head: &CommitId,
        room: &mut Room,
    ) -> Result<(Option<EnvironmentRow>, Option<Seen>), JobError> {
        let Some((block, set)) = &touched.new else { return Ok((None, None)) };
        let errors = match set {
            SetAt::Set(_) => None,
            SetAt::Broken { errors, .. } => Some(errors.clone()),
            SetAt::Absent => Some(vec![format!("there is no folder `{}` in the merge result", block.path)]),
        };
        if let Some(errors) = errors {
            return Ok((Some(rows::failed(block, errors)), None));
        }
        let Some((change, content)) = touched.change() else { return Ok((None, None)) };
        let mut conn = self.repository.context.pool.acquire().await?;
        let branch = block.branch.as_deref().unwrap_or(&self.repository.row.default_branch);
        let environment = environments::known(&mut conn, self.repository.row.id, block, branch).await?;
        if change.is_empty() {
            let seen = Seen::unchanged(name.clone());
            return Ok((None, Some(seen)));
        }
        let old = touched.old_content();
        let digest = change.digest(&self.repository.row.key, name);
        let files = self.files(touched);
        let mut entries: BTreeMap<ObjectHash, Environment> = BTreeMap::new();
        for (environment, content) in [(touched.old.as_ref(), old), (touched.new.as_ref(), Some(content))] {
            if let (Some((block, _)), Some(content)) = (environment, content) {
                entries.extend(content.hashed.entry().map(|entry| (*entry, block.clone())));
            }
        }
        drop(conn);
        let mut court = court(self.repository, &environment, entries, &BTreeMap::new()).await?;
        court.people = self.heard.people.clone();
        let law = law(&court, old.map(|old| &old.hashed), &content.hashed);
        let recorded = self.heard.recorded(name);
        let subject = Subject { change: &change, files: &files, size: self.size };
        let case = Case {
            subject,
            digest,
            from_set: old.map(|old| old.digest),
            place: Some(self.place),
            passage: Passage::Rules,
            contributors: self.contributors,
            approvals: &recorded,
        };
        let verdict = judge(case, law, &court.people);
        let mut conn = self.repository.context.pool.acquire().await?;
        let seal = &self.repository.context.seal;
        let new_set = sets::load(&mut conn, &content.digest, seal).await?;
        let old_set = match old {
            Some(old) => Some(sets::load(&mut conn, &old.digest, seal).await?),
            None => None,
        };
        let rules = rows::rules(touched.old.as_ref().filter(|_| old.is_some()).map(|(block, _)| block), block);
        let deployment = match block.sync.mode {
            SyncMode::Auto => {
                Deployment::AfterMerge { after: block.after.iter().map(|after| after.environment.clone()).collect() }
            }
            SyncMode::Manual => Deployment::OnCommand,
            SyncMode::None => Deployment::Never,
        };
        let row = EnvironmentRow {
            name: name.clone(),
            stage: block.stage.clone(),
            target: block.target.clone(),
            change: RowChange::Change {
                digest: Some(digest),
                rules,
                objects: rows::objects(old_set.as_ref(), &new_set, room),
            },
            consent: rows::consent(name, &verdict, &court.people),
            deployment,
            rendering: Some(rows::rendering(content)),
            left_out: new_set.left_out,
        };
        let shown = crate::consent::Shown {
            environment: name.clone(),
            shown_as: ShownAs::Pull,
            preview: 0,
            head: head.clone(),
            old_set: old.map(|old| old.digest),
            new_set: content.digest,
            change: digest,
            deletions: verdict.deletions,
            from: None,
        };
        let change =
            previews::ShownChange { id: 0, environment: environment.id, shown, change, files, size: self.size };
        Ok((Some(row), Some(Seen::changed(change))))
    }

    /// The changed files the render reads, or read before.
    fn files(&self, touched: &Touched) -> BTreeSet<String> {
        let sides = [&touched.old, &touched.new].into_iter().flatten();
        let closures: Vec<_> = sides.filter_map(|(_, set)| set.closure()).collect();
        let reads = |path: &&String| closures.iter().any(|closure| closure.touched_by([path.as_str()]));
        self.paths.iter().filter(reads).cloned().collect()
    }
}

/// Rule 8: the rules of the set at hand; of a first set its own, and its neighbours'.
pub(super) fn law<'c>(court: &'c Court, old: Option<&HashedSet>, new: &HashedSet) -> Law<'c> {
    let read = |set: &HashedSet| set.entry().and_then(|entry| court.entries.get(entry));
    let rules = match old {
        Some(old) => read(old).map(InForce::OfSet),
        None => read(new).map(|own| InForce::First { own, neighbours: &court.neighbours }),
    };
    Law {
        rules: rules.unwrap_or(InForce::Unreadable),
        floors: &court.floors,
        grant_owners: court.grant_owners.as_ref(),
    }
}

pub(super) fn empty(subject: PageSubject) -> Page {
    Page { subject, outcome: Outcome::Compared, environments: Vec::new(), notes: Vec::new(), answers: Vec::new() }
}

async fn say(
    repository: &Repository<'_>,
    row: &pulls::Pull,
    place: &Place,
    mut page: Page,
    seen: Vec<Seen>,
    job: &Claimed,
    lease: &Lease,
) -> Result<Spoken, JobError> {
    let cause = format!("job {} {}", job.id, job.kind);
    let heard = place::attend(repository, place.clone(), true, &row.facts.head_sha, &cause, job.trace).await?;
    page.answers = speak::answers(repository, &heard, &page).await?;
    say_heard(repository, row, &heard, page, seen, job, lease).await
}

async fn say_heard(
    repository: &Repository<'_>,
    row: &pulls::Pull,
    heard: &Attended,
    page: Page,
    seen: Vec<Seen>,
    job: &Claimed,
    lease: &Lease,
) -> Result<Spoken, JobError> {
    let said = speak::Said {
        number: row.facts.number,
        head: &row.facts.head_sha,
        base: &row.facts.base_sha,
        comment: row.comment_id,
        comment_hash: row.comment_hash.as_deref(),
        statuses: Some(row.status_hash.as_deref()),
    };
    super::boxed(speak::say(repository, said, heard, page, seen, job, lease)).await
}
