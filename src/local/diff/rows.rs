//! From pairs of rules to the rows of a page: what is touched, rendered on both sides, compared.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};

use super::super::report::Verdict;
use super::environments::{Pair, Pairs};
use super::sides::Sides;
use super::tree::TreeFiles;
use super::{Ask, DiffError, Diffed, shapes};
use crate::consent::{InForce, Law, Said, policies_in_force};
use crate::ids::{EnvironmentName, ObjectHash, ObjectKey, Target};
use crate::manifest::{
    Body, Dialect, Fingerprints, HashKey, Hunk, Limits, Manner, Object, RenderedSet, Room, Scopes, Within, compare,
    diff, parse,
};
use crate::policy::Noise;
use crate::policy::rules::Environment;
use crate::preview::{
    Consent, Deployment, EnvironmentRow, ObjectChange, Outcome, Page, PolicyRemark, Rendering, RowChange, Subject,
};
use crate::render::{Blame, Closure, RenderError, RenderInput, Renderer, WithChart, matter, remarks};

/// Hashes are compared within this process and never leave it, so the key need not be secret.
const KEY: [u8; 32] = [0; 32];

/// One side of one environment.
enum Side {
    /// No such environment, or no such folder.
    Absent,
    /// What it would read.
    Reads(Box<(Environment, Closure, WithChart<TreeFiles>)>),
    /// Why it cannot be rendered.
    Fails(String),
}

/// What became of one side.
enum Set {
    Absent,
    /// With the program that rendered it; plain files need none.
    Is(Box<RenderedSet>, Option<Rendering>),
    Fails(Vec<String>),
}

/// The page of a file that cannot be read.
pub(super) fn invalid(sides: &Sides, errors: Vec<String>) -> Page {
    page_of(sides, Outcome::RulesInvalid { errors }, Vec::new(), Vec::new())
}

/// The page of everything that is touched.
pub(super) async fn page(sides: &Sides, renderer: &Renderer, pairs: Pairs, ask: &Ask) -> Result<Diffed, DiffError> {
    let Pairs { pairs, mut notes } = pairs;
    let order = order(&pairs);
    // Renderers bound themselves; this many only wait for them.
    let wide = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let looked = futures::stream::iter(pairs.iter().map(|(name, pair)| look(sides, renderer, name, pair, ask)));
    let looked: Vec<Looked> = looked.buffered(wide).try_collect().await?;
    let mut rows = Vec::new();
    let mut ends = false;
    for (name, looked) in pairs.keys().zip(looked) {
        match looked {
            Looked::Untouched => {}
            Looked::Note(note) => notes.push(note),
            Looked::Ends(note) => {
                ends = true;
                notes.push(note);
            }
            Looked::Row(row, said) => {
                notes.extend(said);
                rows.push((order.get(name).copied().unwrap_or_default(), *row));
            }
        }
    }
    rows.sort_by_key(|(order, _)| *order);
    let rows: Vec<EnvironmentRow> = rows.into_iter().map(|(_, row)| row).collect();
    if rows.is_empty() {
        notes.extend(sides.hint.clone());
    }
    let outcome = if rows.is_empty() { Outcome::Untouched } else { Outcome::Compared };
    let page = page_of(sides, outcome, rows, notes);
    let denied = page.environments.iter().any(|row| !row.denied_by().is_empty());
    let verdict = match (page.has_errors(), page.has_changes() || ends) {
        (true, _) => Verdict::CouldNot,
        (false, _) if denied => Verdict::Denied,
        (false, true) => Verdict::Bad,
        (false, false) => Verdict::Good,
    };
    Ok(Diffed { page, verdict })
}

fn page_of(sides: &Sides, outcome: Outcome, environments: Vec<EnvironmentRow>, notes: Vec<String>) -> Page {
    let (base, head) = sides.names.clone();
    let (answers, marks, merge_rules) = (Vec::new(), Vec::new(), Vec::new());
    Page { subject: Subject::Local { base, head }, outcome, environments, notes, answers, marks, merge_rules }
}

enum Looked {
    Untouched,
    /// It cannot be told, and could not before.
    Note(String),
    /// It is no more.
    Ends(String),
    /// The row, and what has to be said to read it.
    Row(Box<EnvironmentRow>, Vec<String>),
}

async fn look(
    sides: &Sides,
    renderer: &Renderer,
    name: &EnvironmentName,
    pair: &Pair,
    ask: &Ask,
) -> Result<Looked, DiffError> {
    let old = side(sides, &sides.old, renderer, pair.old.as_ref()).await?;
    if let (Side::Reads(reads), Some(after)) = (&old, &pair.new) {
        let (_, closure, _) = reads.as_ref();
        let changed = sides.changed.iter().map(String::as_str);
        if pair.old.as_ref() == Some(after) && !closure.touched_by(changed) {
            return Ok(Looked::Untouched);
        }
    }
    let new = side(sides, &sides.new, renderer, pair.new.as_ref()).await?;
    match (&old, &new) {
        (Side::Reads(old), Side::Reads(new)) if old.0 == new.0 && old.1.input_hash == new.1.input_hash => {
            return Ok(Looked::Untouched);
        }
        (Side::Fails(before), Side::Fails(after)) if before == after && pair.old == pair.new => {
            return Ok(Looked::Note(format!("`{name}` does not render, before and after: {after}")));
        }
        (Side::Absent, Side::Absent) => return Ok(Looked::Untouched),
        _ => {}
    }
    let Some(environment) = pair.new.as_ref().or(pair.old.as_ref()) else { return Ok(Looked::Untouched) };
    if let Side::Absent = new {
        let what = match &pair.new {
            Some(new) => format!("its folder `{}` is gone", new.path),
            None => "it is no longer in .bascule.yaml".to_owned(),
        };
        let note = format!("`{name}` ends here: {what}. Its objects stay in the cluster until somebody removes them.");
        return Ok(Looked::Ends(note));
    }
    let (old, new) = (set(renderer, old).await?, set(renderer, new).await?);
    let note = match (&old, &new) {
        (Set::Fails(errors), Set::Is(..)) => {
            Some(format!("`{name}` did not render before ({}): every object of it is shown as new.", errors.join("; ")))
        }
        (Set::Is(old, _), Set::Is(new, _)) if old.target != new.target => {
            let Target { cluster, namespace } = &old.target;
            Some(format!(
                "`{name}` goes elsewhere: its objects in {cluster}/{namespace} stay until somebody removes them."
            ))
        }
        _ => None,
    };
    let mut notes: Vec<String> = note.into_iter().collect();
    if let (Some(kept), Set::Is(new, _)) = (&ask.schemas, &new) {
        notes.extend(shapes::faults(kept, &new.target, before(&old, new), new));
    }
    let policies = remarks_on(renderer, pair, &old, &new).await?;
    Ok(Looked::Row(
        Box::new(EnvironmentRow { policies, ..row(environment, pair, old, new, ask.fingerprints.as_ref()) }),
        notes,
    ))
}

/// What policies say: those of the old side, as the server asks them; of what is new its own. Floors are the server's.
async fn remarks_on(renderer: &Renderer, pair: &Pair, old: &Set, new: &Set) -> Result<Vec<PolicyRemark>, DiffError> {
    let (Set::Is(set, _), Some(after)) = (new, &pair.new) else { return Ok(Vec::new()) };
    let before = before(old, set);
    let rules = match (before, &pair.old) {
        (Some(_), Some(block)) => InForce::OfSet(block),
        _ => InForce::First { own: after, neighbours: &[] },
    };
    let standing = policies_in_force(Law { rules, floors: &[], grant_owners: None });
    if standing.is_empty() {
        return Ok(Vec::new());
    }
    let questions = standing.iter().map(|one| one.question.clone()).collect();
    let opinions = renderer.opinions(questions, matter(after, before, set)).await;
    let opinions = opinions.map_err(|error| DiffError::Ask(format!("policies cannot be asked: {error}")))?;
    let said = Said::of(&standing, opinions, after);
    Ok(remarks(&said.opinions, &said.mended))
}

/// What is compared with: another cluster or namespace makes it a new environment (rule 1 of consent).
fn before<'s>(old: &'s Set, new: &RenderedSet) -> Option<&'s RenderedSet> {
    match old {
        Set::Is(old, _) if old.target == new.target => Some(old.as_ref()),
        Set::Is(..) | Set::Absent | Set::Fails(_) => None,
    }
}

/// What an environment reads on one side.
async fn side(
    sides: &Sides,
    files: &TreeFiles,
    renderer: &Renderer,
    environment: Option<&Environment>,
) -> Result<Side, DiffError> {
    let Some(environment) = environment else { return Ok(Side::Absent) };
    let (environment, files) = match sides.charts.beside(environment, files).await {
        Ok(found) => found,
        Err(why) => return Ok(Side::Fails(why)),
    };
    match renderer.closure(&files, &RenderInput::of(&environment)).await {
        Ok(closure) => Ok(Side::Reads(Box::new((environment, closure, files)))),
        Err(error) => match failed(error)? {
            None => Ok(Side::Absent),
            Some(why) => Ok(Side::Fails(why)),
        },
    }
}

/// An error for the row; `None` when there is simply nothing there.
fn failed(error: RenderError) -> Result<Option<String>, DiffError> {
    match (error.blame(), error) {
        (Blame::Absent, _) => Ok(None),
        (_, RenderError::Files(error)) => Err(error.into()),
        (_, error) => Ok(Some(error.to_string())),
    }
}

async fn set(renderer: &Renderer, side: Side) -> Result<Set, DiffError> {
    let (environment, closure, files) = match side {
        Side::Absent => return Ok(Set::Absent),
        Side::Fails(why) => return Ok(Set::Fails(vec![why])),
        Side::Reads(reads) => *reads,
    };
    let rendered = match renderer.render(&files, &RenderInput::of(&environment), &closure).await {
        Ok(rendered) => rendered,
        Err(error) => return Ok(failed(error)?.map_or(Set::Absent, |why| Set::Fails(vec![why]))),
    };
    let parsed = parse(&rendered.documents, rendered.dialect, &Limits::default());
    let built = parsed.and_then(|parsed| {
        let scopes = Scopes::without_cluster();
        RenderedSet::build(&environment.target, &environment, parsed, Within::Anywhere, &scopes, &HashKey::new(KEY))
    });
    let rendering = match rendered.dialect {
        Dialect::Plain => None,
        Dialect::Kustomize | Dialect::Helm => {
            let milliseconds = u64::try_from(rendered.took.as_millis()).ok();
            let of = environment.chart.as_ref().map(|chart| format!(" of {chart}")).unwrap_or_default();
            Some(Rendering { milliseconds, renderer: rendered.renderer + &of })
        }
    };
    Ok(match built {
        Ok(set) => Set::Is(Box::new(set), rendering),
        Err(errors) => Set::Fails(errors.iter().map(ToString::to_string).collect()),
    })
}

fn row(
    environment: &Environment,
    pair: &Pair,
    old: Set,
    new: Set,
    fingerprints: Option<&Fingerprints>,
) -> EnvironmentRow {
    let (change, rendering, left_out) = match new {
        // The caller has dealt with an end.
        Set::Absent => (RowChange::Same, None, Vec::new()),
        Set::Fails(errors) => (RowChange::Failed { errors, objects: Vec::new() }, None, Vec::new()),
        Set::Is(new, rendering) => {
            let change = change(pair, (before(&old, &new), &new), fingerprints);
            (change, rendering, new.left_out)
        }
    };
    EnvironmentRow {
        name: environment.name.clone(),
        stage: environment.stage.clone(),
        target: environment.target.clone(),
        change,
        consent: asked(environment),
        deployment: Deployment::Local,
        rendering,
        left_out,
        unasked: None,
        standing: None,
        admission_is_required: false,
        policies: Vec::new(),
        waivers: Vec::new(),
    }
}

fn change(
    pair: &Pair,
    (old, new): (Option<&RenderedSet>, &RenderedSet),
    fingerprints: Option<&Fingerprints>,
) -> RowChange {
    let mut room = Room::default();
    let noise = Noise::of(pair.old.as_ref());
    let quiet = |key: &ObjectKey, trail: &[String], values: Option<[&str; 2]>| noise.hides(key, trail, values);
    let objects = compare(old, new, Manner { fingerprints, quiet: &quiet }, &mut room);
    let objects: Vec<ObjectChange> = objects.into_iter().map(ObjectChange::from).collect();
    let rules = match (&pair.old, &pair.new) {
        (Some(before), Some(after)) if before != after => rules(before, after, &mut room),
        _ => Vec::new(),
    };
    if objects.is_empty() && rules.is_empty() {
        RowChange::Same
    } else {
        RowChange::Change { digest: None, rules, objects }
    }
}

/// The environment's own block, compared as an object is.
fn rules(old: &Environment, new: &Environment, room: &mut Room) -> Vec<Hunk> {
    let object = |environment: &Environment| {
        let json = serde_json::to_value(environment).ok()?;
        let name = environment.name.to_string();
        let key = ObjectKey { group: String::new(), kind: "Environment".to_owned(), namespace: None, name };
        let hash: ObjectHash = HashKey::new(KEY).hash(&json);
        Some(Object { key, api_version: String::new(), json, file: None, line: None, hash })
    };
    let difference = diff(object(old).as_ref(), object(new).as_ref(), Manner::PLAIN, room);
    match difference.map(|difference| difference.body) {
        Some(Body::Hunks(hunks)) => hunks,
        Some(Body::Name | Body::TooLarge(_)) | None => Vec::new(),
    }
}

fn asked(environment: &Environment) -> Consent {
    let wanted: u32 = environment.consent.approvals.iter().map(|rule| rule.count).sum();
    if wanted == 0 {
        return Consent::NotNeeded;
    }
    let (counted, not_counted, missing) = (Vec::new(), Vec::new(), String::new());
    Consent::Asked { wanted, given: 0, counted, not_counted, missing, deletions: None }
}

/// The order they would be synced in: those waited for first, then by name.
fn order(pairs: &BTreeMap<EnvironmentName, Pair>) -> BTreeMap<EnvironmentName, usize> {
    let rules = |name| pairs.get(name).and_then(|pair: &Pair| pair.new.as_ref().or(pair.old.as_ref()));
    let mut depths: BTreeMap<EnvironmentName, usize> = BTreeMap::new();
    // `after` has no circles within a side; over two sides it may, so no more rounds than environments.
    for _ in 0..=pairs.len() {
        let mut settled = true;
        for name in pairs.keys() {
            let waits = rules(name).into_iter().flat_map(|rules| &rules.after);
            let depth =
                waits.map(|after| depths.get(&after.environment).map_or(0, |depth| depth + 1)).max().unwrap_or(0);
            settled &= depths.insert(name.clone(), depth.min(pairs.len())) == Some(depth.min(pairs.len()));
        }
        if settled {
            break;
        }
    }
    depths
}
