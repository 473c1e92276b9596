//! Environments of a preview are looked at side by side, so that one is rendered, stored or asked about while another waits,
//! and take their room on the page one after the other, as if they had been.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::manifest::Room;

/// Environments looked at side by side: as many as a cluster takes dry runs at once, and a quarter of the connections to the
/// database.
pub(super) const ABREAST: usize = 8;
/// Objects of both sides of all of these together, which are in memory meanwhile. One that has more is looked at alone, since
/// it keeps its cluster busy by itself.
const TOGETHER: u32 = 600;

/// Whose turn it is.
pub(super) struct Turns {
    room: Mutex<Room>,
    objects: Semaphore,
    /// How many have begun, in their order.
    begun: watch::Sender<usize>,
    /// How many have had their turn, in their order; and those that had it, or want none, before it was theirs.
    had: watch::Sender<usize>,
    early: Mutex<BTreeSet<usize>>,
}

/// One environment's turn; given up when it is dropped.
pub(super) struct Turn<'t> {
    turns: &'t Turns,
    at: usize,
    _objects: SemaphorePermit<'t>,
}

impl Turns {
    pub(super) fn begin() -> Self {
        Self {
            room: Mutex::default(),
            objects: Semaphore::new(TOGETHER as usize),
            begun: watch::Sender::new(0),
            had: watch::Sender::new(0),
            early: Mutex::default(),
        }
    }

    /// The turn of the environment at this place, once there is memory for so many objects. In the order of their places: who
    /// waits for a turn waits only for those that have begun.
    pub(super) async fn of(&self, at: usize, objects: usize) -> Turn<'_> {
        const OURS: &str = "it is never closed while this is borrowed";
        self.begun.subscribe().wait_for(|begun| *begun == at).await.expect(OURS);
        let objects = u32::try_from(objects).unwrap_or(TOGETHER).clamp(1, TOGETHER);
        let objects = self.objects.acquire_many(objects).await.expect(OURS);
        self.begun.send_replace(at + 1);
        Turn { turns: self, at, _objects: objects }
    }
}

impl Turn<'_> {
    /// Waits until all before it have had theirs.
    pub(super) async fn comes(&self) {
        let comes = self.turns.had.subscribe().wait_for(|had| *had == self.at).await.map(drop);
        comes.expect("it is never closed while this is borrowed");
    }

    /// What is left of the page.
    pub(super) fn room(&self) -> MutexGuard<'_, Room> {
        self.turns.room.lock().expect(HELD)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut early = self.turns.early.lock().expect(HELD);
        early.insert(self.at);
        self.turns.had.send_modify(|had| {
            while early.remove(had) {
                *had += 1;
            }
        });
    }
}

const HELD: &str = "nobody panics while it is held";

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _, stream};

    use super::*;

    #[tokio::test]
    async fn whoever_is_ready_first_the_room_is_taken_in_order() {
        let turns = Turns::begin();
        // The later one is, the sooner it is ready; every third wants no room.
        let asks: Vec<_> = (0..20_usize)
            .map(|at| {
                let turns = &turns;
                async move {
                    let turn = turns.of(at, 50).await;
                    for _ in at..20 {
                        tokio::task::yield_now().await;
                    }
                    if at % 3 == 0 {
                        return None;
                    }
                    turn.comes().await;
                    turn.room().0 -= 1;
                    Some(Room::default().0 - turn.room().0)
                }
                .boxed()
            })
            .collect();
        let taken: Vec<usize> =
            stream::iter(asks).buffered(ABREAST).filter_map(|one| async move { one }).collect().await;
        assert_eq!(taken, (1..=13).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn one_with_many_objects_is_looked_at_alone() {
        let turns = Turns::begin();
        let small = turns.of(0, 1).await;
        let mut large = std::pin::pin!(turns.of(1, 1_000_000));
        assert!(futures::poll!(&mut large).is_pending());
        drop(small);
        let large = large.await;
        let mut next = std::pin::pin!(turns.of(2, 1));
        assert!(futures::poll!(&mut next).is_pending());
        drop(large);
        next.await.comes().await;
    }
}
