//! One commit for many: deliveries that arrive while the last commit runs share the next one.
//!
//! No timer: a lone delivery is committed at once, and under load the batch is whatever queued up meanwhile. What is
//! answered 202 is committed, together with the jobs it causes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};

use super::OUR_OWN;
use super::body::Room;
use crate::db::deliveries::{self, DeliveryState, NewDelivery, Stored};
use crate::db::pushes::{self, Push};
use crate::db::{self, DbError, Fate, check_runs, comment_edits, ourselves, repositories};
use crate::ids::{CommitId, RepositoryKey};
use crate::queue::worker::chain;
use crate::queue::{self, Bell, Lane, NewJob};

/// Deliveries that may wait for a commit; beyond it the sender is asked to come again.
const WAITING: usize = 1_024;
/// Deliveries in one commit: bounds the statement, not the rate.
const BATCH: usize = 256;
/// Under the senders' patience: a commit that takes longer is answered 503, and the sweep finds what it told.
const PATIENCE: Duration = Duration::from_secs(3);

/// A verified delivery with all that is committed with it.
#[derive(Debug, Clone)]
pub struct Intake {
    /// The row.
    pub delivery: NewDelivery,
    /// The repositories it is a fact about.
    pub repositories: Vec<RepositoryKey>,
    /// A push it tells of: who pushed cannot be asked later.
    pub push: Option<Push>,
    /// A comment it tells was edited or deleted (a review's text is negative): within its first second nothing else tells,
    /// and of a review never.
    pub edited: Option<i64>,
    /// A commit whose check of ours is to run again: the next job makes a new one, whatever was said before.
    pub again: Option<CommitId>,
    /// Whose own comment it tells of: when that is us, nothing comes of it.
    pub by: Option<i64>,
    /// What to do about it.
    pub jobs: Vec<NewJob>,
}

/// The store is down, too slow or too full; nothing was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot take deliveries now")]
pub struct Unavailable;

struct Waiting {
    intake: Intake,
    /// Of its body, which is here also when its sender has given up.
    room: Room,
    answer: oneshot::Sender<Result<Stored, Unavailable>>,
}

/// Hands deliveries to the one task that commits them.
#[derive(Debug, Clone)]
pub struct Store(mpsc::Sender<Waiting>);

/// The task that commits; to be run until every [`Store`] is dropped.
pub struct Committer {
    waiting: mpsc::Receiver<Waiting>,
    pool: PgPool,
    bell: Bell,
}

/// A store and its task.
pub fn new(pool: PgPool, bell: Bell) -> (Store, Committer) {
    let (sender, waiting) = mpsc::channel(WAITING);
    (Store(sender), Committer { waiting, pool, bell })
}

impl Store {
    /// Returns when the delivery is committed.
    ///
    /// # Errors
    /// [`Unavailable`]; the delivery may still have been committed, which does no harm: a second one is a duplicate.
    pub async fn put(&self, intake: Intake, room: Room) -> Result<Stored, Unavailable> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Waiting { intake, room, answer }).map_err(|_| Unavailable)?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Unavailable),
        }
    }
}

impl Committer {
    /// Commits until there is nobody left to hand anything in.
    pub async fn run(mut self) {
        let mut batch = Vec::new();
        while self.waiting.recv_many(&mut batch, BATCH).await > 0 {
            // Whoever stopped waiting was told 503: what is not committed yet need not be.
            batch.retain(|waiting| !waiting.answer.is_closed());
            let mut rooms = Vec::with_capacity(batch.len());
            let (intakes, answers): (Vec<_>, Vec<_>) = batch
                .drain(..)
                .map(|Waiting { intake, room, answer }| {
                    rooms.push(room);
                    (intake, answer)
                })
                .unzip();
            if intakes.is_empty() {
                continue;
            }
            let intakes = Arc::new(intakes);
            match tokio::time::timeout(PATIENCE, self.store(&intakes)).await {
                Ok(Ok(stored)) => {
                    metrics::counter!("bascule_webhook_commits_total").increment(1);
                    let lanes: BTreeSet<Lane> = intakes.iter().flat_map(|i| &i.jobs).map(|job| job.lane).collect();
                    lanes.into_iter().for_each(|lane| self.bell.ring(lane));
                    for (answer, stored) in answers.into_iter().zip(stored) {
                        let _ = answer.send(Ok(stored));
                    }
                }
                failed => {
                    let error = match failed {
                        Ok(Err(error)) => chain(&error),
                        _ => "no answer in time".to_owned(),
                    };
                    tracing::error!(deliveries = intakes.len(), error, "cannot store deliveries");
                    for answer in answers {
                        let _ = answer.send(Err(Unavailable));
                    }
                }
            }
            drop(rooms);
        }
    }

    /// All in one transaction. What the database refuses for what it holds costs only itself: the others are stored
    /// without it, and it is kept for a person to look at.
    async fn store(&self, intakes: &Arc<Vec<Intake>>) -> Result<Vec<Stored>, DbError> {
        match self.commit(intakes.clone()).await {
            Err(error) if error.fate() == Fate::Never => {
                let mut stored = Vec::with_capacity(intakes.len());
                for intake in intakes.iter() {
                    stored.push(self.store_alone(intake.clone()).await?);
                }
                Ok(stored)
            }
            outcome => outcome,
        }
    }

    async fn store_alone(&self, intake: Intake) -> Result<Stored, DbError> {
        let mut alone = vec![intake];
        let stored = match self.commit(Arc::new(alone.clone())).await {
            Err(error) if error.fate() == Fate::Never => {
                alone[0].delivery.state = DeliveryState::Quarantined;
                alone[0].delivery.reason = Some(format!("the database refused what it says: {error}"));
                let error = chain(&error);
                tracing::error!(delivery = %alone[0].delivery.id, error, "a delivery cannot be stored as it was read");
                (alone[0].repositories, alone[0].jobs) = (Vec::new(), Vec::new());
                (alone[0].push, alone[0].edited, alone[0].again) = (None, None, None);
                self.commit(Arc::new(alone)).await?
            }
            outcome => outcome?,
        };
        stored.into_iter().next().ok_or(DbError::Broken(sqlx::Error::RowNotFound))
    }

    async fn commit(&self, intakes: Arc<Vec<Intake>>) -> Result<Vec<Stored>, DbError> {
        Ok(db::retrying(|| commit(self.pool.clone(), intakes.clone())).await?)
    }
}

async fn commit(pool: PgPool, intakes: Arc<Vec<Intake>>) -> Result<Vec<Stored>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let rows: Vec<&NewDelivery> = intakes.iter().map(|intake| &intake.delivery).collect();
    let stored = deliveries::store(&mut tx, &rows).await?;
    let mut news = Vec::with_capacity(intakes.len());
    for (intake, _) in intakes.iter().zip(&stored).filter(|(_, stored)| **stored == Stored::New) {
        let delivery = &intake.delivery;
        match intake.by {
            Some(by) if ourselves::is(&mut tx, &delivery.forge, by).await? => {
                let about = &delivery.repositories;
                deliveries::reread(&mut tx, delivery.id, DeliveryState::Ignored, Some(OUR_OWN), about).await?;
            }
            Some(_) | None => news.push(intake),
        }
    }
    let new = || news.iter().copied();
    let pushed: Vec<Push> = new().filter_map(|intake| intake.push.clone()).collect();
    pushes::record(&mut tx, &pushed).await?;
    for (repository, comment) in new().filter_map(|intake| intake.repositories.first().zip(intake.edited)) {
        comment_edits::record(&mut tx, repository, comment).await?;
    }
    for (repository, commit) in new().filter_map(|intake| intake.repositories.first().zip(intake.again.as_ref())) {
        check_runs::asked_again(&mut tx, repository, commit).await?;
    }
    // In order of key, as every other batch locks them: two servers cannot wait for each other.
    let told: BTreeSet<&RepositoryKey> = new().flat_map(|intake| &intake.repositories).collect();
    for repository in told {
        repositories::fact_stored(&mut tx, repository).await?;
    }
    let mut jobs: Vec<NewJob> = new().flat_map(|intake| intake.jobs.iter().cloned()).collect();
    jobs.sort_by(|a, b| (&a.kind, &a.key).cmp(&(&b.kind, &b.key)));
    queue::enqueue_all(&mut tx, &jobs).await?;
    tx.commit().await?;
    Ok(stored)
}
