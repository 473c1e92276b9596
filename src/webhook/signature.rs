//! Is it from our forge? Decided on the raw bytes, before anything is parsed, in time that does not depend on the secret.

mod gitlab;

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// Why a delivery is refused. The sender is told only that it is; the counter says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No signature header of this kind of forge, or an empty one.
    #[error("no signature")]
    Absent,
    /// The header is there twice: which one would another program have read?
    #[error("more than one signature")]
    Doubled,
    /// Not written as this kind of forge writes it: of most, 64 lower-case hex digits behind the prefix.
    #[error("malformed signature")]
    Malformed,
    /// It verifies under none of the secrets.
    #[error("wrong signature")]
    Wrong,
    /// It verifies, and was made long ago, or is to come.
    #[error("a signature of another time")]
    Stale,
}

/// The kinds of forge. All but GitLab sign with the HMAC-SHA-256 of the body, in lower-case hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `X-Gitea-Signature`.
    Gitea,
    /// `X-Forgejo-Signature`; Gitea's where that is not sent.
    Forgejo,
    /// `X-Hub-Signature-256`, behind `sha256=`. The SHA-1 beside it is never looked at.
    GitHub,
    /// `webhook-signature` under a signing token; without one, `X-Gitlab-Token`.
    GitLab,
}

impl Kind {
    /// The headers that may carry the signature, the deciding one first. Gitea also sends the GitHub and Gogs headers;
    /// they are never looked at, so that a sender cannot choose how it is checked.
    fn signature_headers(self) -> &'static [&'static str] {
        match self {
            Self::Gitea => &["x-gitea-signature"],
            Self::Forgejo => &["x-forgejo-signature", "x-gitea-signature"],
            Self::GitHub => &["x-hub-signature-256"],
            Self::GitLab => &[],
        }
    }

    /// What stands before the digits.
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Gitea | Self::Forgejo | Self::GitLab => b"",
            Self::GitHub => b"sha256=",
        }
    }

    /// The header that names the delivery.
    pub fn delivery_headers(self) -> &'static [&'static str] {
        match self {
            Self::Gitea => &["x-gitea-delivery"],
            Self::Forgejo => &["x-forgejo-delivery", "x-gitea-delivery"],
            Self::GitHub => &["x-github-delivery"],
            // The first is the one that is signed. The last is the same for all that one deed caused, and all that older
            // ones send.
            Self::GitLab => &["webhook-id", "idempotency-key", "x-gitlab-event-uuid"],
        }
    }

    /// The header that names the event.
    pub fn event_headers(self) -> &'static [&'static str] {
        match self {
            Self::Gitea => &["x-gitea-event"],
            Self::Forgejo => &["x-forgejo-event", "x-gitea-event"],
            Self::GitHub => &["x-github-event"],
            Self::GitLab => &["x-gitlab-event"],
        }
    }
}

/// The signature a request carries.
#[derive(Debug)]
pub struct Claimed(Carried);

#[derive(Debug)]
enum Carried {
    /// Of the body.
    Digest([u8; 32]),
    /// A GitLab's.
    GitLab(gitlab::Claimed),
}

/// The signature a request carries, read from its headers alone.
///
/// # Errors
/// Absent, doubled or malformed.
pub fn claimed(kind: Kind, headers: &HeaderMap) -> Result<Claimed, Refused> {
    Ok(Claimed(match kind {
        Kind::GitLab => Carried::GitLab(gitlab::claimed(headers)?),
        Kind::Gitea | Kind::Forgejo | Kind::GitHub => Carried::Digest(digest(kind, headers)?),
    }))
}

fn digest(kind: Kind, headers: &HeaderMap) -> Result<[u8; 32], Refused> {
    let name = kind.signature_headers().iter().find(|name| headers.contains_key(**name)).ok_or(Refused::Absent)?;
    let mut values = headers.get_all(*name).iter();
    let value = values.next().ok_or(Refused::Absent)?.as_bytes();
    if values.next().is_some() {
        return Err(Refused::Doubled);
    }
    if value.is_empty() {
        return Err(Refused::Absent);
    }
    let digits = value.strip_prefix(kind.prefix()).ok_or(Refused::Malformed)?;
    let lower_hex = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
    let mut signature = [0; 32];
    if digits.len() != 64 || !digits.iter().all(lower_hex) || hex::decode_to_slice(digits, &mut signature).is_err() {
        return Err(Refused::Malformed);
    }
    Ok(signature)
}

/// Whether a secret is one that something can be signed under; an empty one would let everybody in.
pub fn is_usable(kind: Kind, secret: &SecretString) -> bool {
    match kind {
        Kind::GitLab => gitlab::is_usable(secret),
        Kind::Gitea | Kind::Forgejo | Kind::GitHub => !secret.expose_secret().is_empty(),
    }
}

/// Verifies the body under any of the secrets (more than one during a rotation). Every secret is tried whatever the
/// others said, so that the time tells nothing.
///
/// # Errors
/// [`Refused::Wrong`]; of a GitLab also [`Refused::Stale`], and [`Refused::Absent`] when what is there is the weaker of two.
pub fn verify(secrets: &[SecretString], claimed: &Claimed, body: &[u8], now: Timestamp) -> Result<(), Refused> {
    let claimed = match &claimed.0 {
        Carried::GitLab(claimed) => return gitlab::verify(secrets, claimed, body, now),
        Carried::Digest(digest) => digest,
    };
    let mut good = subtle::Choice::from(0);
    for secret in secrets {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else { continue };
        mac.update(body);
        good |= subtle::Choice::from(u8::from(mac.verify_slice(claimed).is_ok()));
    }
    if bool::from(good) { Ok(()) } else { Err(Refused::Wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"action":"opened"}"#;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    fn sign(secret: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body);
        hex::encode(mac.finalize().into_bytes())
    }

    fn check(kind: Kind, headers: &[(&'static str, &str)], body: &[u8]) -> Result<(), Refused> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        verify(&[secret("old"), secret("new")], &claimed(kind, &map)?, body, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn both_secrets_of_a_rotation_verify_and_no_other() {
        for good in ["old", "new"] {
            assert_eq!(check(Kind::Gitea, &[("x-gitea-signature", &sign(good, BODY))], BODY), Ok(()));
        }
        assert_eq!(check(Kind::Gitea, &[("x-gitea-signature", &sign("other", BODY))], BODY), Err(Refused::Wrong));
        assert_eq!(check(Kind::Gitea, &[("x-gitea-signature", &sign("", BODY))], BODY), Err(Refused::Wrong));
    }

    #[test]
    fn every_flipped_bit_of_the_body_is_refused() {
        let signature = sign("new", BODY);
        for bit in 0..BODY.len() * 8 {
            let mut body = BODY.to_vec();
            body[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check(Kind::Gitea, &[("x-gitea-signature", &signature)], &body), Err(Refused::Wrong), "{bit}");
        }
    }

    #[test]
    fn a_signature_is_exactly_sixty_four_lower_case_digits_once() {
        let good = sign("new", BODY);
        let prefixed = format!("sha256={good}");
        let long = "a".repeat(100_000);
        let upper = good.to_uppercase();
        let (spaced, cut, odd) = (format!("{good} "), &good[..62], &good[..63]);
        for bad in [&upper, &prefixed, &spaced, cut, odd, "zz", &long, &format!("{good}{good}")] {
            let refused = check(Kind::Gitea, &[("x-gitea-signature", bad)], BODY);
            assert_eq!(refused, Err(Refused::Malformed), "{}", &bad[..bad.len().min(80)]);
        }
        assert_eq!(check(Kind::Gitea, &[("x-gitea-signature", "")], BODY), Err(Refused::Absent));
        assert_eq!(check(Kind::Gitea, &[], BODY), Err(Refused::Absent));
        let twice = [("x-gitea-signature", good.as_str()), ("x-gitea-signature", good.as_str())];
        assert_eq!(check(Kind::Gitea, &twice, BODY), Err(Refused::Doubled));
    }

    #[test]
    fn the_headers_of_another_forge_do_not_count() {
        let (good, prefixed) = (sign("new", BODY), format!("sha256={}", sign("new", BODY)));
        for other in ["x-hub-signature-256", "x-hub-signature", "x-gogs-signature", "x-gitlab-token"] {
            assert_eq!(check(Kind::Gitea, &[(other, &good)], BODY), Err(Refused::Absent), "{other}");
            assert_eq!(check(Kind::Forgejo, &[(other, &prefixed)], BODY), Err(Refused::Absent), "{other}");
        }
        assert_eq!(check(Kind::Gitea, &[("x-forgejo-signature", &good)], BODY), Err(Refused::Absent));
    }

    #[test]
    fn githubs_published_example_verifies() {
        // docs.github.com, "Validating webhook deliveries", "Testing the webhook payload validation".
        let published = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let mut map = HeaderMap::new();
        map.insert("x-hub-signature-256", published.parse().unwrap());
        let claimed = claimed(Kind::GitHub, &map).unwrap();
        let verify = |body| verify(&[secret("It's a Secret to Everybody")], &claimed, body, Timestamp::UNIX_EPOCH);
        assert_eq!(verify(b"Hello, World!"), Ok(()));
        assert_eq!(verify(b"Hello, World"), Err(Refused::Wrong));
    }

    #[test]
    fn githubs_digits_stand_behind_exactly_their_prefix() {
        let good = sign("new", BODY);
        let check = |value: &str| check(Kind::GitHub, &[("x-hub-signature-256", value)], BODY);
        assert_eq!(check(&format!("sha256={good}")), Ok(()));
        for prefix in
            ["", "sha1=", "sha512=", "SHA256=", "Sha256=", "sha256", "sha256:", "sha256==", "sha256= ", " sha256="]
        {
            assert_eq!(check(&format!("{prefix}{good}")), Err(Refused::Malformed), "{prefix}");
        }
        for bad in ["sha256=", "sha256=0", &format!("sha256={}", good.to_uppercase()), &format!("sha256=sha256={good}")]
        {
            assert_eq!(check(bad), Err(Refused::Malformed), "{bad}");
        }
    }

    #[test]
    fn what_gitea_sends_in_githubs_name_is_judged_by_the_endpoint_alone() {
        // Both sign the same bytes under the same secret, and Gitea writes all of these headers.
        let (good, bad) = (sign("new", BODY), sign("other", BODY));
        let (good_hub, bad_hub) = (format!("sha256={good}"), format!("sha256={bad}"));
        fn sent<'a>(gitea: &'a str, hub: &'a str) -> [(&'static str, &'a str); 3] {
            [("x-gitea-signature", gitea), ("x-gogs-signature", gitea), ("x-hub-signature-256", hub)]
        }
        assert_eq!(check(Kind::GitHub, &sent(&bad, &good_hub), BODY), Ok(()));
        assert_eq!(check(Kind::GitHub, &sent(&good, &bad_hub), BODY), Err(Refused::Wrong));
        assert_eq!(check(Kind::Gitea, &sent(&good, &bad_hub), BODY), Ok(()));
        assert_eq!(check(Kind::Gitea, &sent(&bad, &good_hub), BODY), Err(Refused::Wrong));
        for other in ["x-hub-signature", "x-gitea-signature", "x-forgejo-signature", "x-gitlab-token"] {
            assert_eq!(check(Kind::GitHub, &[(other, &good_hub)], BODY), Err(Refused::Absent), "{other}");
        }
    }

    #[test]
    fn forgejos_own_signature_decides_when_it_is_there() {
        let good = sign("new", BODY);
        assert_eq!(check(Kind::Forgejo, &[("x-gitea-signature", &good)], BODY), Ok(()));
        let bad = sign("other", BODY);
        let both = [("x-forgejo-signature", bad.as_str()), ("x-gitea-signature", good.as_str())];
        assert_eq!(check(Kind::Forgejo, &both, BODY), Err(Refused::Wrong), "no falling back to the weaker header");
        let empty = [("x-forgejo-signature", ""), ("x-gitea-signature", good.as_str())];
        assert_eq!(check(Kind::Forgejo, &empty, BODY), Err(Refused::Absent));
    }
}
