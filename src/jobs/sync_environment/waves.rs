//! Act: in which order objects are sent. Waves wait for each other; within one, an object waits for what it needs of the
//! same set, and for nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::{BoxFuture, OptionFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};

use crate::ids::ObjectKey;
use crate::manifest::{Phase, edges, wave};
use crate::sync::health::waits;
use crate::sync::{Action, Desired, Kept, Line, Outcome};

use super::gather::Scene;
use super::send::Sent;
use super::{Interrupted, Run};

/// Answers that wait to be recorded before nothing more is sent: a database that is slow is not run away from.
const BATCH: usize = 64;

/// What is to be recorded.
#[derive(Default)]
struct Answers<'a> {
    known: Vec<(&'a Desired, Sent)>,
    /// What is not sent for want of what could not be, and why.
    left: Vec<(Vec<(&'a Desired, &'a Action)>, String)>,
}

impl Answers<'_> {
    fn is_empty(&self) -> bool {
        self.known.is_empty() && self.left.is_empty()
    }
}

impl Run<'_> {
    /// Everything but namespaces and definitions: wave after wave, each as soon as the one before it is well. `stopped` says why
    /// nothing of it may go.
    pub(super) async fn send_waves(
        &self,
        scene: &Scene,
        mut stopped: Option<String>,
        outcome: &mut Outcome,
    ) -> Result<(), Interrupted> {
        let mut waves: BTreeMap<i64, Vec<(&Desired, &Action)>> = BTreeMap::new();
        for (object, action) in of_phase(scene, Phase::Rest, outcome) {
            let number = scene.set.objects.get(&object.key).map_or(0, |whole| wave(&whole.json));
            waves.entry(number).or_default().push((object, action));
        }
        let last = waves.keys().next_back().copied();
        for (number, objects) in waves {
            if let Some(why) = &stopped {
                self.leave(scene, objects, why, outcome).await?;
                continue;
            }
            self.send_in_order(scene, &objects, outcome).await?;
            if Some(number) == last {
                break;
            }
            if !outcome.is_applied() {
                stopped = Some(format!("wave {number}, which goes before it, could not be sent whole"));
                continue;
            }
            let is_awaited = |key: &ObjectKey| scene.set.objects.get(key).is_some_and(|whole| waits(key, &whole.json));
            let awaited: Vec<_> =
                objects.iter().map(|(object, _)| *object).filter(|object| is_awaited(&object.key)).collect();
            let limit = Duration::from_secs(scene.rules.timeout_seconds);
            self.wait(scene, &awaited, limit, outcome).await?;
            // They are judged once more with the rest.
            outcome.unjudged.clear();
            stopped =
                (!outcome.unhealthy.is_empty()).then(|| format!("wave {number}, which goes before it, is not well"));
        }
        Ok(())
    }

    /// Each as soon as what it needs of these is there, as many at once as the server takes well.
    pub(super) async fn send_in_order(
        &self,
        scene: &Scene,
        objects: &[(&Desired, &Action)],
        outcome: &mut Outcome,
    ) -> Result<(), Interrupted> {
        // What does not change is there already.
        let is_there = |action: &Action| matches!(action, Action::Unchanged { .. });
        let known = objects.iter().filter_map(|(object, action)| match action {
            Action::Unchanged { moved } => Some((*object, Sent::Unchanged { moved: moved.clone() })),
            _ => None,
        });
        let known: Vec<_> = known.collect();
        let objects: Vec<_> = objects.iter().copied().filter(|(_, action)| !is_there(action)).collect();
        let objects = objects.as_slice();
        if !known.is_empty() {
            self.take(scene, known, outcome).await?;
        }
        let mut line = Line::new(objects.len(), &needs(scene, objects));
        let places: BTreeMap<&ObjectKey, usize> =
            objects.iter().enumerate().map(|(place, (object, _))| (&object.key, place)).collect();
        let mut flying = FuturesUnordered::new();
        // The database takes its time, and the server need not wait for it: what is answered meanwhile is recorded next, together.
        let mut recording: Option<BoxFuture<'_, Result<Outcome, Interrupted>>> = None;
        let mut answers = Answers::default();
        let interrupted = loop {
            while flying.len() < self.pace.width()
                && answers.known.len() < BATCH
                && let Some((object, action)) = line.lets_out().and_then(|place| objects.get(place))
            {
                flying.push(self.send_one(scene, object, action));
            }
            if recording.is_none() && !answers.is_empty() {
                recording = Some(self.record_answers(scene, std::mem::take(&mut answers)).boxed());
            }
            tokio::select! {
                biased;
                recorded = async { Some(recording.as_mut()?.await) }, if recording.is_some() => {
                    recording = None;
                    match recorded {
                        Some(Ok(more)) => outcome.add(more),
                        Some(Err(interrupted)) => break interrupted,
                        None => {}
                    }
                }
                Some((object, sent)) = flying.next() => {
                    let place = places.get(&object.key).copied().unwrap_or_default();
                    match sent {
                        Ok(sent @ (Sent::Refused(_) | Sent::Unsure(_))) => {
                            let why = format!("it needs {}, which could not be sent", object.key);
                            let gone = line.is_missing(place);
                            let gone = gone.into_iter().filter_map(|place| objects.get(place)).copied().collect();
                            answers.left.push((gone, why));
                            answers.known.push((object, sent));
                        }
                        Ok(sent) => {
                            line.is_there(place);
                            answers.known.push((object, sent));
                        }
                        Err(interrupted) => break interrupted,
                    }
                }
                else => {
                    // Two may need each other, as autoscalers that are told to scale one another do: what becomes of that is the
                    // cluster's to say, and a sync that sent neither would be well.
                    match line.forces_out().and_then(|place| objects.get(place)) {
                        Some((object, action)) => flying.push(self.send_one(scene, object, action)),
                        None => return Ok(()),
                    }
                }
            }
        };
        // What is on its way arrives before anybody else is let at the job: a request that is no longer listened to is carried
        // out all the same, and perhaps after the first of the next worker's.
        let arrived = async {
            while let Some((object, sent)) = flying.next().await {
                answers.known.extend(sent.ok().map(|sent| (object, sent)));
            }
        };
        let recorded = OptionFuture::from(recording);
        let ((), recorded) = futures::join!(arrived, recorded);
        let is_ours = !matches!(interrupted, Interrupted::Lost(_) | Interrupted::Database(_));
        let is_ours = is_ours && recorded.as_ref().is_none_or(Result::is_ok);
        outcome.add(recorded.and_then(Result::ok).unwrap_or_default());
        // What was answered is recorded, where that can be.
        if is_ours {
            outcome.add(self.record_answers(scene, answers).await?);
        }
        Err(interrupted)
    }

    async fn record_answers(&self, scene: &Scene, answers: Answers<'_>) -> Result<Outcome, Interrupted> {
        let mut outcome = Outcome::default();
        self.take(scene, answers.known, &mut outcome).await?;
        for (objects, why) in answers.left {
            self.leave(scene, objects, &why, &mut outcome).await?;
        }
        Ok(outcome)
    }

    /// Nothing of the plan is sent: what was written ahead of it in this run is not ours.
    pub(super) async fn let_go_of_all(&self, scene: &Scene) -> Result<(), Interrupted> {
        let mut tx = self.begin().await?;
        for (_, object, _) in &scene.plan.actions {
            self.let_go(&mut tx, scene, &object.key).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// These are not sent. What was written ahead of them in this run is not ours.
    async fn leave(
        &self,
        scene: &Scene,
        objects: Vec<(&Desired, &Action)>,
        why: &str,
        outcome: &mut Outcome,
    ) -> Result<(), Interrupted> {
        let mut tx = self.begin().await?;
        for (object, action) in objects {
            match action {
                Action::Unchanged { .. } => outcome.unchanged += 1,
                Action::Create | Action::Update { .. } | Action::Adopt { .. } | Action::Blocked(_) => {
                    self.let_go(&mut tx, scene, &object.key).await?;
                    outcome.unsent.push(Kept { object: object.key.clone(), why: why.to_owned() });
                }
            }
        }
        tx.commit().await?;
        Ok(())
    }
}

/// What is planned for a phase; of what another environment has, that it failed was said before.
pub(super) fn of_phase<'s>(scene: &'s Scene, phase: Phase, outcome: &Outcome) -> Vec<(&'s Desired, &'s Action)> {
    let failed: BTreeSet<&ObjectKey> = outcome.failed.iter().map(|failure| &failure.object).collect();
    let of_it = scene.plan.actions.iter().filter(|(of, object, _)| *of == phase && !failed.contains(&object.key));
    of_it.map(|(_, object, action)| (object, action)).collect()
}

/// The edges between these, by their places.
fn needs(scene: &Scene, objects: &[(&Desired, &Action)]) -> BTreeMap<usize, BTreeSet<usize>> {
    let places: BTreeMap<&ObjectKey, usize> =
        objects.iter().enumerate().map(|(place, (object, _))| (&object.key, place)).collect();
    let whole = objects.iter().filter_map(|(object, _)| scene.set.objects.get(&object.key));
    let of = |key: &ObjectKey| places.get(key).copied();
    let edges = edges(whole).into_iter();
    edges.filter_map(|(key, needs)| Some((of(key)?, needs.into_iter().filter_map(of).collect()))).collect()
}
