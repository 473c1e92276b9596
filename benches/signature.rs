//! `make bench-signature`: whether the time of a check of a signature tells how much of it is right.
//!
//! Two kinds of forged deliveries take turns at random: one whose signature is wrong in its first digits, and one in its last.
//! Welch's t of their times stays below 4.5 where nothing is to be learned. That this would be seen is shown by a comparison
//! that stops at the first byte that differs, measured alike. It ends with 1 when either is not so. Times are no matter of a
//! test: a busy machine only blurs them.
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::unwrap_used, reason = "a program for the terminal")]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use axum::http::HeaderMap;
use bascule::webhook::signature::{Claimed, Kind, claimed, verify};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::SecretString;
use sha2::Sha256;

const SAMPLES: usize = 1_000_000;
/// Beyond it, two means are taken for different: one in a hundred thousand times by chance.
const LIMIT: f64 = 4.5;
const SECRET: &str = "a secret of the forge's own";
const BODY: &[u8] = b"{\"action\":\"opened\",\"number\":7}";

/// A cheap coin; which delivery comes next is no secret.
struct Coin(u64);

impl Coin {
    fn tosses(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::from(self.0 >> 63 == 1)
    }
}

/// The times of both, in nanoseconds, in the order in which they were taken.
fn timed(mut check: impl FnMut(usize)) -> [Vec<u64>; 2] {
    let (mut coin, mut times) = (Coin(0x9E37_79B9_7F4A_7C15), [Vec::new(), Vec::new()]);
    (0..SAMPLES / 100).for_each(|_| check(coin.tosses()));
    for _ in 0..SAMPLES {
        let side = coin.tosses();
        let began = Instant::now();
        check(side);
        let took = u64::try_from(began.elapsed().as_nanos()).unwrap();
        times[side].push(took);
    }
    times
}

/// Welch's t. What took longer than nineteen in twenty of both is left out: that is the machine's other work.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds and counts are far below 2^52")]
fn welch(times: &[Vec<u64>; 2]) -> f64 {
    let mut all: Vec<u64> = times.concat();
    all.sort_unstable();
    let most = all[all.len() / 20 * 19];
    let [one, other] = times.each_ref().map(|side| {
        let kept: Vec<f64> = side.iter().filter(|took| **took <= most).map(|took| *took as f64).collect();
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let variance = kept.iter().map(|took| (took - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    });
    let spread = (one.1 + other.1).sqrt();
    if spread > 0.0 { (one.0 - other.0) / spread } else { 0.0 }
}

fn right() -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(BODY);
    mac.finalize().into_bytes().into()
}

/// The right signature, with this byte of it altered.
fn forged(byte: usize) -> [u8; 32] {
    let mut signature = right();
    signature[byte] ^= 0x40;
    signature
}

fn carried(signature: [u8; 32]) -> Claimed {
    let mut headers = HeaderMap::new();
    headers.insert("x-hub-signature-256", format!("sha256={}", hex::encode(signature)).parse().unwrap());
    claimed(Kind::GitHub, &headers).unwrap()
}

fn main() -> ExitCode {
    let secrets = [SecretString::from(SECRET.to_owned())];
    let forgeries = [carried(forged(0)), carried(forged(31))];
    let ours = welch(&timed(|side| {
        black_box(verify(black_box(&secrets), &forgeries[side], black_box(BODY), Timestamp::UNIX_EPOCH)).unwrap_err();
    }));

    let (right, wrong) = (right(), [forged(0), forged(31)]);
    let leaky = welch(&timed(|side| {
        // Ten times: one of them is over before the clock has moved.
        for _ in 0..10 {
            let (one, other) = (black_box(&right), black_box(&wrong[side]));
            black_box(one.iter().zip(other).position(|(one, other)| black_box(one) != other));
        }
    }));

    println!("the check of a signature, wrong in its first or in its last byte, {SAMPLES} samples: t = {ours:.2}");
    println!("a comparison that stops at the first byte that differs, the same: t = {leaky:.2}");
    if ours.abs() < LIMIT && leaky.abs() > LIMIT {
        println!("good: |t| < {LIMIT}, and the other one is seen");
        return ExitCode::SUCCESS;
    }
    println!(
        "NOT GOOD: the first has to be below {LIMIT}, the second above; on a quiet machine, try again before you believe it"
    );
    ExitCode::FAILURE
}
