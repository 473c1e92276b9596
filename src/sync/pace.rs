//! How many requests a sync has on their way: a little more while all goes well, half as many when the server is busy.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Additive increase, multiplicative decrease, between one and what a cluster's rate is flat from.
#[derive(Debug)]
pub struct Pace {
    most: usize,
    /// In hundredths: an answer widens it by one hundredth of a full round.
    width: AtomicUsize,
}

const WHOLE: usize = 100;

impl Pace {
    /// Begins as wide as it may be: most servers are not busy.
    pub fn new(most: usize) -> Self {
        Self { most, width: AtomicUsize::new(most * WHOLE) }
    }

    /// How many may be on their way.
    pub fn width(&self) -> usize {
        (self.width.load(Ordering::Relaxed) / WHOLE).max(1)
    }

    /// A request was answered: about one more for each full round of them.
    pub fn answered(&self) {
        let step = WHOLE / self.width();
        self.change(|width| (width + step).min(self.most * WHOLE));
    }

    /// The server has too much to do (429), or did not answer in time.
    pub fn busy(&self) {
        self.change(|width| (width / 2).max(WHOLE));
    }

    fn change(&self, to: impl Fn(usize) -> usize) {
        // Never fails: it is tried again until nobody was faster.
        let _ = self.width.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |width| Some(to(width)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_server_is_asked_half_as_much_and_then_slowly_more() {
        let pace = Pace::new(16);
        assert_eq!(pace.width(), 16);
        (0..100).for_each(|_| pace.answered());
        assert_eq!(pace.width(), 16, "never wider");
        let halves: Vec<_> = (0..6).map(|_| (pace.busy(), pace.width()).1).collect();
        assert_eq!(halves, [8, 4, 2, 1, 1, 1]);
        pace.answered();
        assert_eq!(pace.width(), 2);
        let mut answers = 0;
        while pace.width() < 16 {
            pace.answered();
            answers += 1;
        }
        assert!((100..200).contains(&answers), "a full round for each one more: {answers}");
    }
}
