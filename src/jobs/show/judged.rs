//! What a merge would change of each environment, and who consents to that: of a pull request as it would be merged now, or
//! as it is merged in a queue.

mod ahead;
mod failed;

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::abreast::{ABREAST, Turn, Turns};
use super::placed::placed;
use super::progress::Progress;
use super::rows::{self, Thinned};
use super::speak::{Seen, lets_in};
use crate::consent::{
    Case, Contributors, Court, HashedSet, InForce, Law, Passage, Place, ShownAs, Size, Subject, judge,
    policies_in_force,
};
use crate::db::{environments, previews, sets};
use crate::forge;
use crate::git::Tree;
use crate::ids::{CommitId, EnvironmentName, ObjectHash, Span};
use crate::jobs::error::JobError;
use crate::jobs::gather::baselines::{self, Patience};
use crate::jobs::gather::claims::{self, Claims};
use crate::jobs::gather::contents::{Contents, FileAt, SetAt};
use crate::jobs::gather::court::{court, neighbours};
use crate::jobs::gather::live::{self, Looked, Origin, Whose};
use crate::jobs::gather::place::{self, Attended};
use crate::jobs::gather::policies;
use crate::jobs::gather::repository::Repository;
use crate::jobs::gather::size;
use crate::jobs::gather::touched::{Sides, Touched, touched};
use crate::jobs::gather::whose::contributors_of_pull;
use crate::jobs::work;
use crate::manifest::RenderedSet;
use crate::policy::rules::{self, Environment, SyncMode};
use crate::policy::windows::Window;
use crate::policy::{FILE_NAME, Ignore};
use crate::preview::{Deployment, EnvironmentRow, Mark, Outcome, Page, RowChange, Subject as PageSubject};

/// What came of the look.
pub(in crate::jobs) enum Judged {
    /// Nothing of ours is touched.
    Untouched(Page),
    /// There is nothing to consent to: why is on the page.
    Unheard(Page),
    /// These environments, judged by what was heard.
    Heard {
        page: Page,
        heard: Box<Attended>,
        seen: Vec<Seen>,
        /// A cluster that was away, so that less is on the page than there is to say.
        away: Option<String>,
    },
}

/// Judges a pull request merged into `base`, with what came of it (a tree, or a commit). `default` is the default branch's
/// tip, which holds the rules; where it is the pull request's own branch, that is `base`. `progress` is told how far it is.
pub(in crate::jobs) async fn judged(
    repository: &Repository<'_>,
    contents: &Contents<'_>,
    pull: &forge::Pull,
    (default, base): (&CommitId, &CommitId),
    tree: &CommitId,
    patience: &Patience,
    progress: Option<&Progress<'_>>,
) -> Result<Judged, JobError> {
    let base_tree = contents.tree(base).await?;
    let on_default = pull.base_branch == repository.row.default_branch;
    let before = contents.file_at(&contents.tree(default).await?, &base_tree).await?;
    let place = Place { number: pull.number, base_branch: pull.base_branch.clone() };
    let subject = PageSubject::Pull { head: pull.head.clone(), into: pull.base_branch.clone() };
    let merged = contents.tree(tree).await?;
    let blocks = if on_default { merged.clone() } else { contents.tree(default).await? };
    let after = contents.file_at(&blocks, &merged).await?;
    let subject = match (&before, &after) {
        (FileAt::Absent, FileAt::Absent) => {
            let page = Page { outcome: Outcome::Untouched, ..empty(subject) };
            return Ok(Judged::Untouched(page));
        }
        (_, FileAt::Invalid(errors)) => {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            // As it would be merged: of another branch's pull request it is not in there.
            let marks = Mark::all(&errors, on_default.then_some(FILE_NAME));
            let page = Page { outcome: Outcome::RulesInvalid { errors }, marks, ..empty(subject) };
            return Ok(Judged::Unheard(page));
        }
        (FileAt::Absent, FileAt::Valid(_)) => {
            PageSubject::Proposal { head: pull.head.clone(), into: pull.base_branch.clone() }
        }
        (FileAt::Valid(_) | FileAt::Invalid(_), FileAt::Absent) => {
            let errors = vec![format!("{FILE_NAME} would be gone")];
            let page = Page { outcome: Outcome::RulesInvalid { errors }, ..empty(subject) };
            return Ok(Judged::Unheard(page));
        }
        (FileAt::Valid(_) | FileAt::Invalid(_), FileAt::Valid(_)) => subject,
    };
    let (paths, altered) = size::between(&repository.mirror, base_tree.id(), merged.id()).await?;
    let sides = Sides { before, after, branch: &pull.base_branch };
    let touched = work::boxed(touched(repository, contents, &sides, (&base_tree, &merged), &paths, progress)).await?;
    if touched.is_empty() {
        let page = Page { outcome: Outcome::Untouched, ..empty(subject) };
        return Ok(Judged::Untouched(page));
    }

    // Gather: who says what.
    let job = repository.job;
    let cause = work::cause(job);
    let (heard, contributors) = tokio::try_join!(
        work::boxed(place::attend(repository, place.clone(), true, &pull.head, &cause, job.trace)),
        work::boxed(contributors_of_pull(repository, pull, base)),
    )?;

    // Decide: each environment's change, and what is missing.
    let objects: u64 = touched.values().map(|one| one.change().map_or(0, |(change, _)| change.objects())).sum();
    let size = Size { objects, ..altered };
    let mut page = Page { outcome: Outcome::Compared, ..empty(subject) };
    let mut seen = touched_no_more(&heard, |name| touched.contains_key(name));
    let mut away = None;
    let scene = Scene {
        repository,
        contents,
        place: &place,
        heard: &heard,
        contributors: &contributors,
        size,
        paths: &paths,
        merged: &merged,
        is_proposal: matches!(page.subject, PageSubject::Proposal { .. }),
        claims: work::boxed(claims::second(repository, &touched)).await?,
        origin: match pull.from_fork && !lets_in(repository, &heard, &pull.head).await? {
            true => Origin::Fork,
            false => Origin::Pull,
        },
        patience,
        known: BTreeMap::new(),
    };
    let scene = &work::boxed(scene.knows(&touched)).await?;
    scene.expects(&touched);
    let turns = &Turns::begin();
    let rows = touched.iter().enumerate().map(|(at, (name, touched))| {
        work::boxed(async move {
            let turn = turns.of(at, touched.objects()).await;
            Ok::<_, JobError>((touched, work::boxed(scene.row(name, touched, &pull.head, turn)).await?))
        })
    });
    let mut rows = stream::iter(rows.collect::<Vec<_>>()).buffered(ABREAST);
    while let Some((touched, made)) = rows.try_next().await? {
        page.environments.extend(made.row);
        page.marks.extend(touched.marks());
        page.marks.extend(made.marks);
        seen.extend(made.seen);
        away = away.or(made.away);
        if let Some(progress) = progress.filter(|_| !page.environments.is_empty()) {
            progress.is_wanted().await?;
        }
    }
    drop(rows);
    let (before, after) = (sides.before.environments(), sides.after.environments());
    for name in touched.keys() {
        let default = &repository.row.default_branch;
        let followed = before.get(name).is_some_and(|environment| sides.follows(environment, default));
        if followed && !after.contains_key(name) {
            page.notes.push(format!("{name} would be orphaned: what is deployed stays, and is not watched any more"));
        }
    }
    Ok(Judged::Heard { page, heard: Box::new(heard), seen, away })
}

/// What is shown of one environment and remembered as shown, and why it may be more when it is looked at again.
#[derive(Default)]
struct Made {
    row: Option<EnvironmentRow>,
    seen: Option<Seen>,
    away: Option<String>,
    /// What is wrong at which line.
    marks: Vec<Mark>,
}

struct Scene<'a> {
    repository: &'a Repository<'a>,
    contents: &'a Contents<'a>,
    merged: &'a Tree,
    is_proposal: bool,
    claims: Claims,
    origin: Origin,
    patience: &'a Patience,
    place: &'a Place,
    heard: &'a Attended,
    contributors: &'a Contributors,
    size: Size,
    paths: &'a [String],
    /// The environments that render, as they are stored.
    known: BTreeMap<EnvironmentName, environments::Environment>,
}

impl Scene<'_> {
    async fn row(
        &self,
        name: &EnvironmentName,
        touched: &Touched,
        head: &CommitId,
        turn: Turn<'_>,
    ) -> Result<Made, JobError> {
        let Some((block, set)) = &touched.new else { return Ok(Made::default()) };
        let errors = match set {
            SetAt::Set(_) => None,
            SetAt::Broken { errors, .. } => Some(errors.clone()),
            SetAt::Absent => Some(vec![format!("there is no folder `{}` in the merge result", block.path)]),
        };
        if let Some(errors) = errors {
            return self.failed(block, errors).await;
        }
        let Some((change, content)) = touched.change() else { return Ok(Made::default()) };
        if let Some(claims) = self.claims.get(name) {
            let errors = self.claimed(block, claims).await?;
            return self.failed(block, errors).await;
        }
        let environment = match self.known.get(name) {
            Some(known) => known.clone(),
            None => self.known(block).await?,
        };
        if change.is_empty() {
            return Ok(Made { seen: Some(Seen::unchanged(name.clone())), ..Made::default() });
        }
        let old = touched.old_content();
        let digest = change.digest(&self.repository.row.key, name);
        let files = touched.files(self.paths);
        let mut entries: BTreeMap<ObjectHash, Environment> = BTreeMap::new();
        for (environment, content) in [(touched.old.as_ref(), old), (touched.new.as_ref(), Some(content))] {
            if let (Some((block, _)), Some(content)) = (environment, content) {
                entries.extend(content.hashed.entry().map(|entry| (*entry, block.clone())));
            }
        }
        let neighbours = match old {
            Some(_) => Vec::new(),
            None => neighbours(&mut *self.repository.context.pool.acquire().await?, &environment).await?,
        };
        let judges = (entries, neighbours);
        let court = court(self.repository, &environment, judges, &files, [&self.heard.people]).await?;
        let law = law(&court, old.map(|old| &old.hashed), &content.hashed);
        let mut conn = self.repository.context.pool.acquire().await?;
        let seal = &self.repository.context.seal;
        let (old_set, new_set) = sets::load_both(&mut conn, old.map(|old| &old.hashed), &content.hashed, seal).await?;
        // What the file says may be held, and approved by nobody: it hides what the rules in force hide too.
        let in_force = match &environment.position {
            Some(at) if old.is_some_and(|old| old.digest == at.set) => {
                Some(touched.old.as_ref().map(|(block, _)| block.clone()))
            }
            Some(_) => Some(environments::in_force(&mut conn, &environment).await?),
            None => None,
        };
        drop(conn);
        let standing = policies_in_force(law);
        let said = work::boxed(policies::said(self.repository, &standing, block, old_set.as_ref(), &new_set)).await?;
        let recorded = self.heard.recorded(name);
        let given_back = place::given_back(self.repository, self.place.number, name).await?;
        let becomes = court.becomes(&content.hashed);
        let stands = old.map_or(0, |old| old.hashed.objects());
        let subject = Subject { change: &change, files: &files, size: self.size, stands, said: Some(&said), becomes };
        let case = Case {
            subject,
            digest,
            from_set: old.map(|old| old.digest),
            place: Some(self.place),
            head: Some(head),
            passage: Passage::of_pull(&digest, given_back.as_ref()),
            contributors: self.contributors,
            approvals: &recorded,
        };
        let verdict = judge(case, law, &court.people);
        let before = touched.old.as_ref().map(|(block, _)| block);
        let rules = rows::rules(before.filter(|_| old.is_some()), block);
        let checks = block.consent.checks.iter().cloned().collect();
        let own = in_force.as_ref().map_or(block, |in_force| in_force.as_ref().unwrap_or(block));
        let windows = own.windows.iter().chain(court.floors.iter().flat_map(|(_, floor)| &floor.windows));
        let windows = windows.map(Window::words).collect();
        let deployment = match block.sync.mode {
            SyncMode::Auto => {
                let after = block.after.iter().map(|after| after.environment.clone()).collect();
                let soaks = block.after.iter().filter_map(|after| {
                    Some((after.environment.clone(), Span::of_seconds(after.soak_seconds?).to_string()))
                });
                Deployment::AfterMerge { after, soaks: soaks.collect(), checks, windows }
            }
            SyncMode::Manual => Deployment::OnCommand { checks, windows },
            SyncMode::None => Deployment::Never,
        };
        let is_first = old.is_none() && environment.position.is_none();
        let looked = if is_first { self.look(&environment, block, &new_set).await? } else { Looked::default() };
        let (whose, sets) = (whose(&environment, block), (old_set.as_ref(), &new_set));
        let compared = baselines::compare(self.repository, &whose, sets, self.origin, self.patience).await?;
        let fingerprints = self.repository.fingerprints();
        let agreed = before.zip(in_force).map(|(before, in_force)| {
            let hidden = in_force.map(|own| own.ignore).unwrap_or_default();
            let ignore = Ignore::of_both(&before.ignore, &hidden);
            Environment { ignore, ..before.clone() }
        });
        let thinned = Thinned { fingerprints: &fingerprints, before: agreed.as_ref().or(before) };
        turn.comes().await;
        let objects = rows::objects(sets, &thinned, &mut turn.room());
        drop(turn);
        let objects = rows::found(objects, &looked.live);
        let remarks = rows::remarks(Some(&said), &verdict);
        let compared_objects = rows::compared(objects, &compared);
        let at = (self.contents, self.merged);
        let (objects, marks) = placed(at, block, touched, compared_objects, &remarks).await?;
        let row = EnvironmentRow {
            name: name.clone(),
            stage: block.stage.clone(),
            target: block.target.clone(),
            change: RowChange::Change { digest: Some(digest), rules, objects },
            consent: rows::consent(name, &verdict, &court.people),
            deployment,
            rendering: Some(rows::rendering(content)),
            left_out: new_set.left_out,
            unasked: looked.unasked,
            standing: compared.standing(),
            admission_is_required: requires(block) || touched.old.as_ref().is_some_and(|(old, _)| requires(old)),
            policies: remarks,
            waivers: rows::waivers(name, &digest, &verdict),
        };
        // Where an answer is required, the status waits for it; elsewhere it is said, and asked for by whoever wants to know.
        let away = compared.away.filter(|_| row.admission_is_required);
        let shown = crate::consent::Shown {
            environment: name.clone(),
            shown_as: ShownAs::Pull,
            preview: 0,
            head: head.clone(),
            old_set: old.map(|old| old.digest),
            new_set: content.digest,
            change: digest,
            deletions: verdict.deletions,
            denials: verdict.denials(),
            from: None,
        };
        let change =
            previews::ShownChange { id: 0, environment: environment.id, shown, change, files, size: self.size };
        let away = looked.away.or(away).or(court.people.away);
        Ok(Made { row: Some(row), seen: Some(Seen::changed(change)), away, marks })
    }

    async fn known(&self, block: &Environment) -> Result<environments::Environment, JobError> {
        let mut conn = self.repository.context.pool.acquire().await?;
        let branch = block.branch.as_deref().unwrap_or(&self.repository.row.default_branch);
        Ok(environments::known(&mut conn, self.repository.row.id, block, branch).await?)
    }

    async fn look(
        &self,
        environment: &environments::Environment,
        block: &Environment,
        set: &RenderedSet,
    ) -> Result<Looked, JobError> {
        live::look(self.repository, &whose(environment, block), set, self.origin, self.patience).await
    }
}

/// A pull request that takes the requirement away has still to meet it.
fn requires(block: &Environment) -> bool {
    block.admission == rules::Admission::Required
}

fn whose<'e>(environment: &'e environments::Environment, block: &'e Environment) -> Whose<'e> {
    Whose { environment: environment.id, name: &environment.name, sync: Some(&block.sync) }
}

/// Rule 8: the rules of the set at hand; of a first set its own, and its neighbours'.
pub(in crate::jobs) fn law<'c>(court: &'c Court, old: Option<&HashedSet>, new: &HashedSet) -> Law<'c> {
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

/// Environments that were to be changed by an earlier head, and are left as they are now.
pub(super) fn touched_no_more(heard: &Attended, is_touched: impl Fn(&EnvironmentName) -> bool) -> Vec<Seen> {
    let shown = heard.remembered.shown.iter().map(|one| &one.shown).filter(|one| one.shown_as == ShownAs::Pull);
    let names: BTreeSet<&EnvironmentName> = shown.map(|one| &one.environment).collect();
    names.into_iter().filter(|name| !is_touched(name)).cloned().map(Seen::unchanged).collect()
}

pub(in crate::jobs) fn empty(subject: PageSubject) -> Page {
    let (environments, notes, merge_rules) = (Vec::new(), Vec::new(), Vec::new());
    let (outcome, answers, marks) = (Outcome::Compared, Vec::new(), Vec::new());
    Page { subject, outcome, environments, notes, answers, marks, merge_rules }
}
