//! How objects are whose kinds somebody wrote health rules for: asked in the box in which policies are.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;

use crate::cluster::Judges;
use crate::ids::ObjectKey;
use crate::policy::code::health::{Asked, Rule, Said};
use crate::policy::code::order::{Answer, Order};
use crate::policy::health::HealthRules;
use crate::render::Renderer;
use crate::sync::Health;

/// Objects asked about at once: with those of a status of a thousand lines each, far below what the box holds.
const AT_ONCE: usize = 50;

/// The rules of one watch.
pub(super) struct ByRule<'r> {
    renderer: &'r Renderer,
    rules: &'r HealthRules,
    /// Rules that took too long or too much, by kind, with what was said: the others are not made to wait for them again.
    given_up: Mutex<BTreeMap<String, String>>,
}

impl<'r> ByRule<'r> {
    pub(super) fn new(renderer: &'r Renderer, rules: &'r HealthRules) -> Self {
        Self { renderer, rules, given_up: Mutex::default() }
    }

    fn given_up(&self, kind: &str) -> Option<String> {
        self.given_up.lock().ok()?.get(kind).cloned()
    }

    /// Objects of one kind: a rule that takes too long costs no other's.
    async fn ask(&self, (by, rule): (&str, &Rule), objects: BTreeMap<ObjectKey, Value>) -> BTreeMap<ObjectKey, Health> {
        if let Some(why) = self.given_up(&rule.kind) {
            return objects.into_keys().map(|key| (key, Health::Failed(why.clone()))).collect();
        }
        let asked = |object: Value| Asked { by: by.to_owned(), rule: rule.clone(), object };
        let keys: BTreeMap<String, ObjectKey> = objects.keys().map(|key| (key.to_string(), key.clone())).collect();
        let order = objects.into_iter().map(|(key, object)| (key.to_string(), asked(object))).collect();
        let mut answers = match self.renderer.judge(&Order::Health(order)).await {
            Ok(answers) => answers,
            // That is this machine's fault: what is asked with the next status may be answered. Meanwhile it is not well.
            Err(error) => {
                let why = Health::Progressing(cannot(by, &error.to_string()));
                return keys.into_values().map(|key| (key, why.clone())).collect();
            }
        };
        let mut verdict = |name: &str| match answers.remove(name) {
            Some(Answer::Health(Said::Healthy)) => Health::Healthy,
            Some(Answer::Health(Said::Progressing(why))) => Health::Progressing(why),
            Some(Answer::Health(Said::Failed(why))) => Health::Failed(why),
            Some(Answer::Health(Said::Unknown(why))) => Health::Unknown(why),
            Some(Answer::Health(Said::Unanswered(why))) => self.gives_up(&rule.kind, by, &why),
            Some(Answer::Faults(_) | Answer::Says(_) | Answer::Tests(_)) | None => {
                self.gives_up(&rule.kind, by, "it was not answered")
            }
        };
        keys.into_iter().map(|(name, key)| (key, verdict(&name))).collect()
    }

    /// Not unknown, which counts as applied: whoever can make a rule too costly could make it pass.
    fn gives_up(&self, kind: &str, by: &str, why: &str) -> Health {
        let why = cannot(by, why);
        // The first is the reason; what came after it was not asked at all.
        let Ok(mut given_up) = self.given_up.lock() else { return Health::Failed(why) };
        Health::Failed(given_up.entry(kind.to_owned()).or_insert(why).clone())
    }
}

fn cannot(by: &str, why: &str) -> String {
    format!("health rule {by} cannot be asked: {why}")
}

impl Judges for ByRule<'_> {
    fn has_rule(&self, key: &ObjectKey) -> bool {
        self.rules.rule(key).is_some()
    }

    fn may_tell(&self, key: &ObjectKey) -> bool {
        self.rules.rule(key).is_some_and(|(_, rule)| self.given_up(&rule.kind).is_none())
    }

    fn judge(&self, objects: BTreeMap<ObjectKey, Value>) -> BoxFuture<'_, BTreeMap<ObjectKey, Health>> {
        let mut batches: BTreeMap<&str, Vec<BTreeMap<ObjectKey, Value>>> = BTreeMap::new();
        for (key, object) in objects {
            let Some((_, rule)) = self.rules.rule(&key) else { continue };
            let of_kind = batches.entry(rule.kind.as_str()).or_default();
            match of_kind.last_mut() {
                Some(batch) if batch.len() < AT_ONCE => drop(batch.insert(key, object)),
                Some(_) | None => of_kind.push(BTreeMap::from([(key, object)])),
            }
        }
        async move {
            let mut verdicts = BTreeMap::new();
            for batch in batches.into_values().flatten() {
                let Some(rule) = batch.keys().next().and_then(|key| self.rules.rule(key)) else { continue };
                verdicts.extend(self.ask(rule, batch).await);
            }
            verdicts
        }
        .boxed()
    }
}
