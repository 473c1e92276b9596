//! Both tokens, and what must not pass for one.

use super::*;

const BODY: &[u8] = br#"{"object_kind":"push"}"#;
const NOW: i64 = 1_781_000_000;
/// 32 bytes, as GitLab makes them.
const NEW: &str = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
const OLD: &str = "whsec_////////////////////////////////////////////";

fn secrets(texts: &[&str]) -> Vec<SecretString> {
    texts.iter().map(|text| SecretString::from((*text).to_owned())).collect()
}

fn sign(secret: &str, id: &str, at: &str, body: &[u8]) -> String {
    let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{at}.").as_bytes());
    mac.update(body);
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

fn signed(signature: &str) -> Vec<(&'static str, String)> {
    vec![
        ("webhook-id", "a".to_owned()),
        ("webhook-timestamp", NOW.to_string()),
        ("webhook-signature", signature.to_owned()),
    ]
}

fn check(texts: &[&str], headers: &[(&'static str, String)]) -> Result<(), Refused> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    verify(&secrets(texts), &claimed(&map)?, BODY, Timestamp::from_second(NOW).unwrap())
}

#[test]
fn the_published_example_of_standard_webhooks_verifies() {
    // Of the libraries of standard-webhooks/standard-webhooks; its time is long ago.
    let (id, at) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330");
    let mut map = HeaderMap::new();
    for (name, value) in [
        ("webhook-id", id),
        ("webhook-timestamp", at),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ] {
        map.insert(name, value.parse().unwrap());
    }
    let claimed = claimed(&map).unwrap();
    let secrets = secrets(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
    let at = |seconds: i64| Timestamp::from_second(1_614_265_330 + seconds).unwrap();
    for seconds in [0, 300, -300] {
        assert_eq!(verify(&secrets, &claimed, br#"{"test": 2432232314}"#, at(seconds)), Ok(()));
    }
    for seconds in [301, -301, 1 << 30] {
        assert_eq!(verify(&secrets, &claimed, br#"{"test": 2432232314}"#, at(seconds)), Err(Refused::Stale));
    }
    assert_eq!(verify(&secrets, &claimed, br#"{"test":2432232314}"#, at(0)), Err(Refused::Wrong));
}

#[test]
fn of_several_signatures_one_under_any_of_the_secrets_is_enough() {
    let (good, old, other) =
        (sign(NEW, "a", &NOW.to_string(), BODY), sign(OLD, "a", &NOW.to_string(), BODY), sign(NEW, "b", "1", BODY));
    for list in [good.clone(), format!("{other} {good}"), format!("{good} {other}"), format!("v1a,?? {good}")] {
        assert_eq!(check(&[NEW], &signed(&list)), Ok(()), "{list}");
    }
    assert_eq!(check(&[OLD, NEW], &signed(&good)), Ok(()));
    assert_eq!(check(&[OLD, NEW], &signed(&old)), Ok(()));
    assert_eq!(check(&[NEW], &signed(&old)), Err(Refused::Wrong));
    let many = |count: usize| vec![good.as_str(); count].join(" ");
    assert_eq!(check(&[NEW], &signed(&many(8))), Ok(()));
    assert_eq!(check(&[NEW], &signed(&many(9))), Err(Refused::Malformed));
}

#[test]
fn what_is_no_signature_is_none() {
    let good = sign(NEW, "a", &NOW.to_string(), BODY);
    let digits = &good["v1,".len()..];
    for bad in [
        digits.to_owned(),
        format!("v1, {digits}"),
        format!("v1={digits}"),
        format!("v2,{digits}"),
        format!("V1,{digits}"),
        format!("{good}="),
        format!("v1,{}", digits.trim_end_matches('=')),
        format!("{good},{good}"),
        format!("{good}  {good}"),
        format!("v1,{}", hex::encode([7; 32])),
        "v1,".to_owned(),
        "v1,AAAA".to_owned(),
        "a".repeat(10_000),
    ] {
        assert_eq!(check(&[NEW], &signed(&bad)), Err(Refused::Malformed), "{}", &bad[..bad.len().min(90)]);
    }
    assert_eq!(check(&[NEW], &signed("")), Err(Refused::Absent));
    assert_eq!(check(&[NEW], &[]), Err(Refused::Absent));
}

#[test]
fn id_and_time_are_signed_and_cannot_be_moved_into_each_other() {
    let now = NOW.to_string();
    // What is signed is `a.b.NOW.`, whichever of the two has the dot.
    let good = sign(NEW, "a.b", &now, BODY);
    let with = |id: &str, at: &str, signature: &str| {
        let mut headers = signed(signature);
        (headers[0].1, headers[1].1) = (id.to_owned(), at.to_owned());
        check(&[NEW], &headers)
    };
    assert_eq!(with("a.b", &now, &good), Err(Refused::Malformed));
    assert_eq!(with("a", &format!("b.{now}"), &good), Err(Refused::Malformed));
    assert_eq!(with("b", &now, &sign(NEW, "a", &now, BODY)), Err(Refused::Wrong));
    assert_eq!(with("a", &format!("{}", NOW + 1), &sign(NEW, "a", &now, BODY)), Err(Refused::Wrong));
    for at in
        ["-1781000000", "+1781000000", "1781000000.0", "0x6a27d0c0", "178100000000", "9".repeat(30).as_str(), "now"]
    {
        assert_eq!(with("a", at, &sign(NEW, "a", at, BODY)), Err(Refused::Malformed), "{at}");
    }
    for missing in ["webhook-id", "webhook-timestamp"] {
        let mut headers = signed(&sign(NEW, "a", &now, BODY));
        headers.retain(|(name, _)| *name != missing);
        assert_eq!(check(&[NEW], &headers), Err(Refused::Absent), "{missing}");
    }
    for doubled in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut headers = signed(&sign(NEW, "a", &now, BODY));
        headers.extend(headers.clone().into_iter().filter(|(name, _)| *name == doubled));
        assert_eq!(check(&[NEW], &headers), Err(Refused::Doubled), "{doubled}");
    }
}

#[test]
fn the_older_token_counts_only_where_no_signing_token_is_configured() {
    let token = |text: &str| vec![("x-gitlab-token", text.to_owned())];
    assert_eq!(check(&["plain"], &token("plain")), Ok(()));
    assert_eq!(check(&["first", "plain"], &token("plain")), Ok(()), "a rotation");
    for bad in ["Plain", "plain1", "plai", "x", "sha256=plain", NEW] {
        assert_eq!(check(&["plain"], &token(bad)), Err(Refused::Wrong), "{bad}");
    }
    assert_eq!(check(&["plain"], &token("")), Err(Refused::Absent));
    assert_eq!(check(&["plain"], &[token("plain"), token("plain")].concat()), Err(Refused::Doubled));
    // No downgrade.
    assert_eq!(check(&[NEW], &token(NEW)), Err(Refused::Absent));
    assert_eq!(check(&["plain", NEW], &token("plain")), Err(Refused::Absent));
    let wrong = sign(OLD, "a", &NOW.to_string(), BODY);
    assert_eq!(check(&["plain", NEW], &[signed(&wrong), token("plain")].concat()), Err(Refused::Wrong));
    // GitLab sends both while both are set there.
    let good = sign(NEW, "a", &NOW.to_string(), BODY);
    assert_eq!(check(&[NEW], &[signed(&good), token("anything")].concat()), Ok(()));
    assert_eq!(check(&["plain"], &[signed(&wrong), token("plain")].concat()), Ok(()));
    assert_eq!(check(&["plain"], &signed(&good)), Err(Refused::Absent));
}

#[test]
fn a_signing_token_that_was_cut_verifies_nothing() {
    let usable = |text: &str| is_usable(&SecretString::from(text.to_owned()));
    assert!(usable(NEW) && usable("plain") && !usable(""));
    for bad in ["whsec_", "whsec_AAAA", &NEW[..NEW.len() - 2], "whsec_not base64", &format!("{NEW}{}", "A".repeat(80))]
    {
        assert!(!usable(bad), "{bad}");
    }
}
