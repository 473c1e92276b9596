//! Charts that are not in the repository: what each is to it, and its files.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::files::TreeFiles;
use super::scopes::WhenAway;
use crate::db::charts;
use crate::git::Tree;
use crate::jobs::error::JobError;
use crate::jobs::gather::repository::Repository;
use crate::policy::chart::Chart;
use crate::policy::rules::Environment;
use crate::queue::worker::chain;
use crate::registry::{Fate, Indexes, RegistryError};
use crate::render::{Limits, Remote, WithChart};

/// Which registries are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// All of the server's file.
    All,
    /// Only for what the repository uses already: what a stranger writes is rendered, and is shown to the stranger.
    OnlyForWhatIsUsed,
}

/// The charts of a job.
pub(super) struct KnownCharts<'r> {
    repository: &'r Repository<'r>,
    when_away: WhenAway,
    asked: Asked,
    unpacked: Mutex<Unpacked>,
    indexes: Indexes,
    /// What is wrong with those that could not be had, asked once a job.
    wrong: Mutex<BTreeMap<Chart, Wrong>>,
}

/// Bytes of unpacked charts that a job keeps. One may be 64 MiB, and a branch may name thousands.
const MOST_KEPT: usize = 256 << 20;

/// Those that were unpacked. By all that is said of them: where each lies while it is rendered, and whether it is what it is
/// called, follows from its name and its version as much as from its digest.
#[derive(Default)]
struct Unpacked {
    known: BTreeMap<Chart, Arc<Remote>>,
    bytes: usize,
}

impl Unpacked {
    /// Keeps one more; where that would be too much, those before it are forgotten: they are in the store.
    fn keep(&mut self, chart: &Chart, unpacked: &Arc<Remote>) {
        let size = unpacked.size();
        if self.bytes.saturating_add(size) > MOST_KEPT {
            *self = Self::default();
        }
        if self.known.insert(chart.clone(), unpacked.clone()).is_none() {
            self.bytes += size;
        }
    }
}

/// Why there is no chart.
#[derive(Debug, Clone)]
struct Wrong {
    fate: Fate,
    why: String,
}

impl<'r> KnownCharts<'r> {
    pub(super) fn new(repository: &'r Repository<'r>, when_away: WhenAway) -> Self {
        Self {
            repository,
            when_away,
            asked: Asked::All,
            unpacked: Mutex::default(),
            indexes: Indexes::default(),
            wrong: Mutex::default(),
        }
    }

    /// The same for what a stranger wrote.
    pub(super) fn of_a_stranger(self) -> Self {
        Self { asked: Asked::OnlyForWhatIsUsed, ..self }
    }

    /// Gives each environment what its chart is. One that cannot be had is left as it is: it is an error of its own
    /// environments, and of no others.
    pub(super) async fn bind(&self, environments: Vec<&mut Environment>) -> Result<(), JobError> {
        for environment in environments {
            let Some(chart) = &mut environment.chart else { continue };
            if chart.pinned().is_some() {
                continue;
            }
            let mut conn = self.repository.context.pool.acquire().await?;
            let known = charts::get(&mut conn, self.repository.row.id, chart).await?;
            drop(conn);
            chart.bound = match known {
                Some(bound) => Some(bound),
                None if self.asked == Asked::OnlyForWhatIsUsed => None,
                None => self.resolved(chart).await?,
            };
        }
        Ok(())
    }

    async fn resolved(&self, chart: &Chart) -> Result<Option<crate::policy::chart::Bound>, JobError> {
        if self.wrong.lock().await.contains_key(chart) {
            return Ok(None);
        }
        let found = match self.repository.context.registries.of(chart) {
            Ok(registry) => registry.resolve_by(chart, &self.indexes).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => {
                let mut conn = self.repository.context.pool.acquire().await?;
                Ok(Some(charts::bind(&mut conn, self.repository.row.id, chart, &found).await?))
            }
            Err(error) => {
                self.note(chart, error).await;
                Ok(None)
            }
        }
    }

    /// One that is not bound, and of which nothing is known to be wrong.
    fn unbound(&self, chart: &Chart) -> Wrong {
        match self.asked {
            Asked::All => {
                let why = format!("what chart {chart} means was not known when the rules were read");
                Wrong { fate: Fate::Later, why }
            }
            Asked::OnlyForWhatIsUsed => {
                let advice = "somebody with write access can push the same change to a branch of this repository";
                let why = format!(
                    "chart {chart} is not used by this repository yet, and is not fetched for a pull request from a fork: {advice}"
                );
                Wrong { fate: Fate::Never, why }
            }
        }
    }

    async fn note(&self, chart: &Chart, error: RegistryError) -> Wrong {
        let repository = self.repository.granted_name();
        tracing::warn!(repository, registry = %chart.registry, chart = chart.name, error = chain(&error), "a chart cannot be had");
        let wrong = Wrong { fate: error.fate, why: error.to_string() };
        self.wrong.lock().await.insert(chart.clone(), wrong.clone());
        wrong
    }

    /// An environment's files with its chart among them, or why there is none.
    pub(super) async fn files(
        &self,
        environment: &Environment,
        tree: &Tree,
    ) -> Result<Result<WithChart<TreeFiles>, String>, JobError> {
        let files = TreeFiles { tree: tree.clone(), mirror: self.repository.mirror.clone() };
        let Some(chart) = &environment.chart else { return Ok(Ok(WithChart { files, chart: None })) };
        let wrong = match self.unpacked(chart).await? {
            Ok(unpacked) => return Ok(Ok(WithChart { files, chart: Some(unpacked) })),
            Err(wrong) => wrong,
        };
        match (wrong.fate, self.when_away) {
            (Fate::Never, _) | (_, WhenAway::Tell) => Ok(Err(wrong.why)),
            (Fate::Later, WhenAway::Stop) => Err(JobError::Away(wrong.why)),
            (Fate::Refused, WhenAway::Stop) => Err(JobError::Refused(wrong.why)),
        }
    }

    async fn unpacked(&self, chart: &Chart) -> Result<Result<Arc<Remote>, Wrong>, JobError> {
        if let Some(wrong) = self.wrong.lock().await.get(chart) {
            return Ok(Err(wrong.clone()));
        }
        let Some(bound) = chart.pinned() else { return Ok(Err(self.unbound(chart))) };
        if let Some(unpacked) = self.unpacked.lock().await.known.get(chart) {
            return Ok(Ok(unpacked.clone()));
        }
        let context = self.repository.context;
        if chart.digest.is_some() {
            let mut conn = context.pool.acquire().await?;
            let is_used = charts::get(&mut conn, self.repository.row.id, chart).await?.is_some();
            if !is_used && self.asked == Asked::OnlyForWhatIsUsed {
                return Ok(Err(self.unbound(chart)));
            }
        }
        let fetched = match context.registries.of(chart) {
            Ok(registry) => registry.fetch_by(chart, &bound, &self.indexes).await,
            Err(error) => Err(error),
        };
        let packed = match fetched {
            Ok(packed) => packed,
            Err(error) => return Ok(Err(self.note(chart, error).await)),
        };
        // Up to a second, when it is large.
        let called = chart.clone();
        let unpacked = tokio::task::spawn_blocking(move || Remote::unpack(&called, &packed, &Limits::default())).await;
        let unpacked = match unpacked {
            Ok(Ok(unpacked)) => Ok(Arc::new(unpacked)),
            Ok(Err(error)) => Err(Wrong { fate: Fate::Never, why: error.to_string() }),
            Err(_) => Err(Wrong { fate: Fate::Later, why: format!("chart {chart} was not unpacked to its end") }),
        };
        let unpacked = match unpacked {
            Ok(unpacked) => unpacked,
            Err(wrong) => {
                self.wrong.lock().await.insert(chart.clone(), wrong.clone());
                return Ok(Err(wrong));
            }
        };
        if chart.digest.is_some() {
            let mut conn = context.pool.acquire().await?;
            charts::bind(&mut conn, self.repository.row.id, chart, &bound).await?;
        }
        self.unpacked.lock().await.keep(chart, &unpacked);
        Ok(Ok(unpacked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(name: &str) -> Chart {
        let digest = Some(format!("sha256:{}", "a".repeat(64)));
        let registry = "charts".parse().unwrap();
        Chart { registry, name: name.to_owned(), version: "1.0.0".to_owned(), digest, bound: None }
    }

    #[test]
    fn a_chart_is_not_another_one_of_the_same_digest() {
        let mut kept = Unpacked::default();
        kept.keep(&chart("a"), &Arc::new(Remote::of_size(&chart("a"), 10)));
        assert!(kept.known.contains_key(&chart("a")));
        assert!(!kept.known.contains_key(&chart("b")));
    }

    #[test]
    fn those_before_are_forgotten_when_they_are_too_much() {
        let mut kept = Unpacked::default();
        for n in 0..20 {
            let chart = chart(&format!("c{n}"));
            kept.keep(&chart, &Arc::new(Remote::of_size(&chart, 50 << 20)));
            assert!(kept.known.contains_key(&chart));
            let bytes: usize = kept.known.values().map(|one| one.size()).sum();
            assert!(bytes <= MOST_KEPT && bytes == kept.bytes);
        }
    }
}
