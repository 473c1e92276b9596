//! `explain`: what each environment waits for, and where its word is explained.

use std::collections::BTreeSet;

use crate::event::command::Selector;
use crate::ids::EnvironmentName;
use crate::preview::{Answered, Consent, Deployment, Meaning, Page};
use crate::sync::HoldReason;

/// A sentence for each environment that is meant, and the page that says what the words of holds mean and what to type.
pub(super) fn answer(page: &Page, environments: Option<&Selector>, public_url: &str) -> Answered {
    let meant =
        |name: &EnvironmentName, stage: Option<&str>| environments.is_none_or(|selector| selector.matches(name, stage));
    let rows = page.environments.iter().filter(|row| meant(&row.name, row.stage.as_deref()));
    let mut words = BTreeSet::new();
    let sentences = rows.map(|row| {
        if let Deployment::Held { reason, .. } = &row.deployment {
            words.insert(reason.clone());
        }
        let consent = match &row.consent {
            Consent::Asked { missing, .. } if !missing.is_empty() => missing.clone(),
            Consent::Asked { .. } => format!("{} has its consent", row.name),
            Consent::NotNeeded => format!("{} needs no approval", row.name),
            Consent::ByRollback => format!("{} passes: the rollback has consented to it", row.name),
            Consent::Closed { why } => format!("{} is closed: {why}", row.name),
        };
        // Who waived what, and what somebody still may.
        let waivers: String = row.waivers.iter().map(|waiver| format!("; {}", waiver.line())).collect();
        let consent = consent + &waivers;
        match &row.deployment {
            // What consent is missing was just said.
            Deployment::Held { reason, detail, lifts } if *reason == HoldReason::Waiting.as_str() => {
                format!("{consent}; held ({reason}): {detail}; lifted by: {lifts}")
            }
            Deployment::Held { reason, lifts, .. } => {
                format!("{consent}; held ({reason}), lifted by: {lifts}")
            }
            Deployment::AfterMerge { checks, .. } | Deployment::OnCommand { checks, .. } if !checks.is_empty() => {
                let are = if checks.len() == 1 { "is" } else { "are" };
                format!("{consent}; once merged it waits until {} {are} green", checks.join(", "))
            }
            Deployment::Nothing
            | Deployment::AfterMerge { .. }
            | Deployment::OnCommand { .. }
            | Deployment::Never
            | Deployment::Local
            | Deployment::Queued
            | Deployment::Running { .. }
            | Deployment::Verifying { .. }
            | Deployment::Healthy { .. }
            | Deployment::Failed { .. } => consent,
        }
    });
    let sentences: Vec<String> = sentences.collect();
    let meaning = |word: String| Meaning { address: format!("{public_url}/docs/operations#{word}"), word };
    Answered::Explain { sentences, meanings: words.into_iter().map(meaning).collect() }
}
