//! Charts of registries, for a local look: asked as the server would, and forgotten afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::tree::TreeFiles;
use crate::policy::chart::Chart;
use crate::policy::rules::Environment;
use crate::registry::Registries;
use crate::render::{Limits, Remote, WithChart};

/// The chart as it is now, unpacked; or why it cannot be had.
type Found = Result<(Chart, Arc<Remote>), String>;

/// The charts of one look, each asked for once.
#[derive(Default)]
pub(super) struct Charts {
    registries: Registries,
    known: Mutex<BTreeMap<Chart, Found>>,
}

impl Charts {
    pub(super) fn of(registries: Registries) -> Self {
        Self { registries, known: Mutex::default() }
    }

    /// An environment that knows its chart, and its files with that among them; or why there is none.
    pub(super) async fn beside(
        &self,
        environment: &Environment,
        files: &TreeFiles,
    ) -> Result<(Environment, WithChart<TreeFiles>), String> {
        let mut environment = environment.clone();
        let Some(chart) = &environment.chart else {
            return Ok((environment, WithChart { files: files.clone(), chart: None }));
        };
        let mut known = self.known.lock().await;
        let found = match known.get(chart) {
            Some(found) => found.clone(),
            None => {
                let found = self.asked(chart).await;
                known.insert(chart.clone(), found.clone());
                found
            }
        };
        let (chart, unpacked) = found?;
        environment.chart = Some(chart);
        Ok((environment, WithChart { files: files.clone(), chart: Some(unpacked) }))
    }

    async fn asked(&self, chart: &Chart) -> Found {
        if self.registries.named(&chart.registry).is_none() {
            let where_from = format!("`[registry.{}]` of a bascule.toml here, and there is none", chart.registry);
            return Err(format!("chart {chart} would come from {where_from}"));
        }
        let registry = self.registries.of(chart).map_err(|error| error.to_string())?;
        let mut chart = chart.clone();
        if chart.pinned().is_none() {
            chart.bound = Some(registry.resolve(&chart).await.map_err(|error| error.to_string())?);
        }
        let Some(bound) = chart.pinned() else { return Err(format!("chart {chart} has no digest")) };
        let packed = registry.fetch(&chart, &bound).await.map_err(|error| error.to_string())?;
        let unpacked = Remote::unpack(&chart, &packed, &Limits::default()).map_err(|error| error.to_string())?;
        Ok((chart, Arc::new(unpacked)))
    }
}
