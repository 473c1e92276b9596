//! GitLab's two ways to say that a delivery is its own. With a signing token it signs id, time and body, as Standard
//! Webhooks has it. The older secret token is sent as it is, and covers nothing: it is taken only where no signing token
//! is configured, so that nobody can choose the weaker of the two.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::Refused;

/// The older one.
const TOKEN: &str = "x-gitlab-token";
const SIGNATURES: &str = "webhook-signature";
/// What a signing token begins with; base64 follows.
const SIGNING: &str = "whsec_";
/// What a signing token may be decoded: Standard Webhooks allows these, and GitLab makes 32.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// How far the clocks of both sides may be apart, and a delivery be on its way: what is older may be one that was heard.
const TOLERANCE_SECONDS: u64 = 300;
/// Of a rotation there are two.
const MOST_SIGNATURES: usize = 8;

/// What a request carries of both.
#[derive(Debug)]
pub(super) struct Claimed {
    signed: Option<Signed>,
    token: Option<SecretString>,
}

#[derive(Debug)]
struct Signed {
    id: String,
    /// As it was written, which is what is signed.
    written: String,
    seconds: i64,
    signatures: Vec<[u8; 32]>,
}

pub(super) fn claimed(headers: &HeaderMap) -> Result<Claimed, Refused> {
    let token = once(headers, TOKEN)?.map(|token| SecretString::from(token.to_owned()));
    let signed = match once(headers, SIGNATURES)? {
        Some(signatures) => Some(signed(headers, signatures)?),
        None => None,
    };
    if token.is_none() && signed.is_none() {
        return Err(Refused::Absent);
    }
    Ok(Claimed { signed, token })
}

fn signed(headers: &HeaderMap, signatures: &str) -> Result<Signed, Refused> {
    let id = once(headers, "webhook-id")?.ok_or(Refused::Absent)?;
    let written = once(headers, "webhook-timestamp")?.ok_or(Refused::Absent)?;
    // A dot in one of them would say where it ends and the next begins.
    let is_id = id.len() <= 200 && id.bytes().all(|b| b.is_ascii_graphic() && b != b'.');
    let is_time = written.len() <= 11 && written.bytes().all(|b| b.is_ascii_digit());
    let seconds = written.parse().ok().filter(|_| is_id && is_time).ok_or(Refused::Malformed)?;
    let mut of_version_one = Vec::new();
    for one in signatures.split(' ') {
        let (version, digits) = one.split_once(',').ok_or(Refused::Malformed)?;
        // Those of another version are for others.
        if version == "v1" {
            let bytes = BASE64_STANDARD.decode(digits).map_err(|_| Refused::Malformed)?;
            of_version_one.push(bytes.try_into().map_err(|_| Refused::Malformed)?);
        }
    }
    if of_version_one.is_empty() || of_version_one.len() > MOST_SIGNATURES {
        return Err(Refused::Malformed);
    }
    Ok(Signed { id: id.to_owned(), written: written.to_owned(), seconds, signatures: of_version_one })
}

/// A header that is there, and not empty.
fn once<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Refused> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(Refused::Doubled);
    }
    let value = value.map(|value| value.to_str()).transpose().map_err(|_| Refused::Malformed)?;
    Ok(value.filter(|value| !value.is_empty()))
}

/// Whether anything can be verified under it.
pub(super) fn is_usable(secret: &SecretString) -> bool {
    match secret.expose_secret().strip_prefix(SIGNING) {
        Some(_) => key(secret).is_some(),
        None => !secret.expose_secret().is_empty(),
    }
}

/// What a signing token signs with; none of what is no signing token.
fn key(secret: &SecretString) -> Option<Vec<u8>> {
    let digits = secret.expose_secret().strip_prefix(SIGNING)?;
    BASE64_STANDARD.decode(digits).ok().filter(|key| KEY_BYTES.contains(&key.len()))
}

pub(super) fn verify(secrets: &[SecretString], claimed: &Claimed, body: &[u8], now: Timestamp) -> Result<(), Refused> {
    if secrets.iter().any(|secret| secret.expose_secret().starts_with(SIGNING)) {
        verify_signed(secrets, claimed.signed.as_ref().ok_or(Refused::Absent)?, body, now)
    } else {
        verify_token(secrets, claimed.token.as_ref().ok_or(Refused::Absent)?)
    }
}

fn verify_signed(secrets: &[SecretString], signed: &Signed, body: &[u8], now: Timestamp) -> Result<(), Refused> {
    let mut good = Choice::from(0);
    for key in secrets.iter().filter_map(key) {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { continue };
        for part in [signed.id.as_bytes(), b".", signed.written.as_bytes(), b".", body] {
            mac.update(part);
        }
        let wanted = mac.finalize().into_bytes();
        for signature in &signed.signatures {
            good |= wanted.ct_eq(signature.as_slice());
        }
    }
    if !bool::from(good) {
        return Err(Refused::Wrong);
    }
    if now.as_second().abs_diff(signed.seconds) > TOLERANCE_SECONDS { Err(Refused::Stale) } else { Ok(()) }
}

/// Their hashes are compared, which are of one length whatever the tokens are.
fn verify_token(secrets: &[SecretString], token: &SecretString) -> Result<(), Refused> {
    let hash = |secret: &SecretString| Sha256::digest(secret.expose_secret().as_bytes());
    let given = hash(token);
    let good = secrets.iter().fold(Choice::from(0), |good, secret| good | hash(secret).ct_eq(&given));
    if bool::from(good) { Ok(()) } else { Err(Refused::Wrong) }
}

#[cfg(test)]
#[path = "gitlab_tests.rs"]
mod tests;
