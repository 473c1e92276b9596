//! Reading a body from someone we do not know yet: bounded in size, in rate, in time, and in what all of them hold at once.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How much is read from whom. The defaults are those of [`Limits::default`].
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one body. GitHub sends up to 25 MB, and of what would be larger nothing; Gitea some hundred KB at most.
    pub body: usize,
    /// Bytes of all bodies being read or stored at once.
    pub in_flight: usize,
    /// Deliveries being read or stored at once.
    pub concurrent: usize,
    /// For a whole body.
    pub time: Duration,
    /// Bytes a second, averaged since the first …
    pub rate: usize,
    /// … and asked only after this long, so that a slow start is no offence.
    pub rate_after: Duration,
    /// From the last byte to our answer: forges give up after 5 to 10 s.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 25 << 20,
            in_flight: 256 << 20,
            concurrent: 1_024,
            time: Duration::from_secs(30),
            rate: 16 << 10,
            rate_after: Duration::from_secs(5),
            answer: Duration::from_secs(4),
        }
    }
}

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// Over the cap.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// Too slow, or not done in time.
    #[error("the body came too slowly")]
    TooSlow,
    /// The connection broke, or the length was a lie.
    #[error("the body ended early")]
    Broken,
    /// Others hold all the memory there is for bodies.
    #[error("too many deliveries at once")]
    Full,
}

/// The memory all bodies share, in KiB.
#[derive(Debug, Clone)]
pub struct InFlight(Arc<Semaphore>);

impl InFlight {
    /// Room for so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes >> 10)))
    }

    fn take(&self, bytes: usize) -> Result<Room, Unread> {
        let kib = u32::try_from(bytes.div_ceil(1 << 10).max(1)).map_err(|_| Unread::Full)?;
        let taken = Arc::clone(&self.0).try_acquire_many_owned(kib).map_err(|_| Unread::Full)?;
        Ok(Room(taken))
    }
}

/// The room a body takes. It goes where the bytes go, and is given back when it is dropped.
#[derive(Debug)]
pub struct Room(OwnedSemaphorePermit);

/// A body, and the room it takes.
#[derive(Debug)]
pub struct Held {
    /// The raw bytes.
    pub bytes: Vec<u8>,
    /// Until it is dropped.
    pub room: Room,
}

/// Room that is taken at once for any body, and the least by which it grows.
const STEP: usize = 64 << 10;

/// Reads a body to its end. `length` is what the sender says. Room is taken as the bytes come, doubling so that it is
/// asked for rarely, and not for a length that is only said: a few who promise much and send nothing would have it all.
///
/// # Errors
/// [`Unread`].
pub async fn read(body: Body, length: Option<usize>, limits: &Limits, room: &InFlight) -> Result<Held, Unread> {
    if length.is_some_and(|length| length > limits.body) {
        return Err(Unread::TooLarge(limits.body));
    }
    let whole = length.unwrap_or(limits.body);
    let mut taken = whole.min(STEP);
    let mut held = Held { bytes: Vec::new(), room: room.take(taken)? };
    let mut body = body;
    let begin = Instant::now();
    loop {
        let frame = match tokio::time::timeout_at(deadline(begin, held.bytes.len(), limits), body.frame()).await {
            Err(_) => return Err(Unread::TooSlow),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Unread::Broken),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        if held.bytes.len() + data.len() > limits.body {
            return Err(Unread::TooLarge(limits.body));
        }
        if held.bytes.len() + data.len() > taken {
            let missing = held.bytes.len() + data.len() - taken;
            let more = taken.max(STEP).min(whole.saturating_sub(taken)).max(missing);
            held.room.0.merge(room.take(more)?.0);
            taken += more;
            // As much as was taken and no more, which is where growing by itself might end.
            held.bytes.reserve_exact(taken - held.bytes.len());
        }
        held.bytes.extend_from_slice(&data);
    }
    if length.is_some_and(|length| length != held.bytes.len()) {
        return Err(Unread::Broken);
    }
    Ok(held)
}

/// Until when the next bytes must have come: the moment the average would fall below the rate, and never after the end.
fn deadline(begin: Instant, so_far: usize, limits: &Limits) -> Instant {
    let earned = Duration::from_secs_f64(so_far as f64 / limits.rate as f64);
    begin + earned.max(limits.rate_after).min(limits.time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { body: 1 << 20, in_flight: 2 << 20, ..Limits::default() }
    }

    #[tokio::test]
    async fn a_body_over_the_cap_is_refused_whether_it_says_so_or_not() {
        let room = InFlight::new(8 << 20);
        let big = vec![0; (1 << 20) + 1];
        let said = read(Body::from(big.clone()), Some(big.len()), &limits(), &room).await;
        assert_eq!(said.unwrap_err(), Unread::TooLarge(1 << 20));
        let unsaid = read(Body::from(big), None, &limits(), &room).await;
        assert_eq!(unsaid.unwrap_err(), Unread::TooLarge(1 << 20));
    }

    #[tokio::test]
    async fn bodies_share_their_room_and_give_it_back() {
        let room = InFlight::new(1 << 20);
        let one = read(Body::from(vec![0; 1 << 20]), Some(1 << 20), &limits(), &room).await.unwrap();
        assert_eq!(read(Body::from("x"), Some(1), &limits(), &room).await.unwrap_err(), Unread::Full);
        drop(one);
        assert!(read(Body::from("x"), Some(1), &limits(), &room).await.is_ok());
    }

    #[tokio::test]
    async fn who_promises_much_and_sends_nothing_takes_no_room_from_others() {
        let room = InFlight::new(1 << 20);
        let silent = || Body::from_stream(futures::stream::pending::<Result<&str, std::io::Error>>());
        let limits = limits();
        let promised = futures::future::join_all((0..10).map(|_| read(silent(), Some(1 << 20), &limits, &room)));
        tokio::select! {
            biased;
            cut = promised => panic!("{cut:?}"),
            whole = read(Body::from(vec![0; 256 << 10]), Some(256 << 10), &limits, &room) => assert!(whole.is_ok()),
        }
    }

    #[tokio::test]
    async fn a_dripping_body_is_cut_at_the_rate_floor() {
        // A byte now and then, for ever: asked about its rate after a moment instead of after seconds.
        let drip = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok::<_, std::io::Error>("x"), ()))
        });
        let limits = Limits { rate_after: Duration::from_millis(50), ..limits() };
        let cut = read(Body::from_stream(drip), None, &limits, &InFlight::new(1 << 20)).await;
        assert_eq!(cut.unwrap_err(), Unread::TooSlow);
    }
}
