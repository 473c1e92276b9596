//! Running a renderer for an environment: into a set, or only to see whether it still gives what was consented to.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::Contents;
use super::files::TreeFiles;
use crate::consent::{Change, HashedSet};
use crate::db::sets;
use crate::git::Tree;
use crate::ids::ObjectKey;
use crate::jobs::error::JobError;
use crate::manifest::{self, Judge, RenderedSet, Scope, Scopes, Within, canonical_json};
use crate::policy::rules::Environment;
use crate::render::{Blame, Closure, RenderError, RenderInput, WithChart};

/// What a renderer gave.
pub(super) struct Rendered {
    /// The set, or one error a line.
    pub(super) set: Result<RenderedSet, Vec<String>>,
    /// What the cluster told of the kinds in it.
    pub(super) kinds: BTreeMap<String, Option<Scope>>,
    pub(super) renderer: String,
    pub(super) took: Duration,
}

/// What one grant says of an object.
type GrantJudge = Box<dyn Fn(&ObjectKey) -> Result<(), String> + Send + Sync>;

/// Where an environment's objects may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Inside one of the grants that reach its target.
    Granted,
    /// Anywhere: only to be shown, never to be judged or synced.
    Anywhere,
}

impl Contents<'_> {
    /// Runs the renderer, whatever is remembered.
    pub(super) async fn render(
        &self,
        environment: &Environment,
        files: &WithChart<TreeFiles>,
        (input, closure): (&RenderInput, &Closure),
        scopes: &Scopes,
        reach: Reach,
    ) -> Result<Rendered, RenderError> {
        metrics::counter!("bascule_renders_total").increment(1);
        let context = self.repository.context;
        let rendered = context.renderer.render(files, input, closure).await?;
        let judges: Vec<GrantJudge> = self
            .reaches(environment)
            .into_iter()
            .map(|grant| -> GrantJudge {
                Box::new(move |key| grant.allows(key).map_err(|outside| outside.to_string()))
            })
            .collect();
        let mut kinds = BTreeMap::new();
        let set =
            manifest::parse(&rendered.documents, rendered.dialect, &manifest::Limits::default()).and_then(|parsed| {
                kinds = scopes.told(&parsed);
                let judges: Vec<Judge<'_>> = judges.iter().map(|judge| &**judge as Judge<'_>).collect();
                let within = match reach {
                    Reach::Granted => Within::OneOf(&judges),
                    Reach::Anywhere => Within::Anywhere,
                };
                RenderedSet::build(&environment.target, environment, parsed, within, scopes, &context.hash_key)
            });
        let set = set.map_err(|errors| errors.iter().map(ToString::to_string).collect());
        let renderer = match &environment.chart {
            Some(chart) => format!("{} of {chart}", rendered.renderer),
            None => rendered.renderer,
        };
        Ok(Rendered { set, kinds, renderer, took: rendered.took })
    }

    /// Renders once more, whatever is remembered: the set with the files its objects are in, or what is wrong with it.
    pub(in crate::jobs) async fn afresh(
        &self,
        environment: &Environment,
        tree: &Tree,
    ) -> Result<Result<RenderedSet, Vec<String>>, JobError> {
        let files = match self.charts.files(environment, tree).await? {
            Ok(files) => files,
            Err(why) => return Ok(Err(vec![why])),
        };
        let renderer = &self.repository.context.renderer;
        let mut input = RenderInput::of(environment);
        let rendered = match renderer.closure(&files, &input).await {
            Ok(closure) => {
                let scopes = self.scopes.of(environment).await?;
                if closure.asks_cluster {
                    input.cluster = self.scopes.capabilities(environment).await?;
                }
                self.render(environment, &files, (&input, &closure), &scopes, Reach::Granted).await
            }
            Err(error) => Err(error),
        };
        match rendered {
            Ok(rendered) => Ok(rendered.set),
            Err(error) if matches!(error.blame(), Blame::Author | Blame::Absent) => Ok(Err(vec![error.to_string()])),
            Err(error) => Err(error.into()),
        }
    }

    /// What rendering once more gives that was not consented to, in words. A template that reads the time or draws random
    /// values, and a remembered render that went bad, are found so.
    pub(in crate::jobs) async fn differs_afresh(
        &self,
        environment: &Environment,
        tree: &Tree,
        consented: &HashedSet,
    ) -> Result<Option<String>, JobError> {
        let set = match self.afresh(environment, tree).await? {
            Ok(set) => sets::hashed(&set),
            Err(errors) => return Ok(Some(errors.join("; "))),
        };
        let change = Change::between(Some(consented), &set);
        Ok(change.items().first().map(|first| match change.items().len() {
            1 => first.key.to_string(),
            more => format!("{} and {} more", first.key, more - 1),
        }))
    }
}

/// What a set depends on: what is rendered and how, the environment's own block, and what the grants allow. Where objects
/// of its kinds live is remembered with it: which kinds those are is known only when it is rendered.
pub(super) fn cache_key(
    environment: &Environment,
    closure: &Closure,
    grants: Option<&[crate::policy::rules::Grant]>,
) -> [u8; 32] {
    let mut hasher = Sha256::new_with_prefix("set 2\n");
    hasher.update(closure.input_hash.0);
    for part in [serde_json::to_value(environment), serde_json::to_value(grants)] {
        let bytes = canonical_json(&part.expect("rules are plain data"));
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    }
    hasher.finalize().into()
}
