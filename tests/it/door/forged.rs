//! Forged deliveries: of every kind of forge thousands, each made of a genuine one in some way that somebody might try.
//! None is taken, and none is read.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bascule::webhook::Endpoint;
use bascule::webhook::signature::{Kind, Refused, claimed, verify};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256, Sha512};

use super::wire::{Client, Delivery, sign};
use super::{Door, telemetry};
use crate::support::random::Random;

/// Where the random ones begin; `FORGED_SEED=… cargo test` compiles another one in.
const SEED: &str = match option_env!("FORGED_SEED") {
    Some(seed) => seed,
    None => "20261121",
};
/// Different forgeries of each kind of forge.
const FORGERIES: usize = 10_000;
/// Those of them that are sent to a real door.
const SENT: usize = 300;

const FORGED: &str = "what only the forge knows";
const BODY: &str =
    r#"{"action":"opened","number":7,"repository":{"id":1,"full_name":"acme/shop"},"sender":{"id":2,"login":"ann"}}"#;

/// A forge whose deliveries are forged.
struct Victim {
    kind: Kind,
    /// Its name at the door, which no other test uses: what is counted under it is ours.
    name: &'static str,
    /// The header that decides.
    header: &'static str,
    prefix: &'static str,
    /// What it sends, and the digits of its signature: made once, since most forgeries are made of them.
    genuine: Delivery,
    digits: String,
}

fn victims() -> [Victim; 3] {
    [
        victim(Kind::Gitea, "forged-gitea", "x-gitea-signature", "", Delivery::gitea),
        victim(Kind::Forgejo, "forged-forgejo", "x-forgejo-signature", "", Delivery::forgejo),
        victim(Kind::GitHub, "forged-github", "x-hub-signature-256", "sha256=", Delivery::github),
    ]
}

fn victim(
    kind: Kind,
    name: &'static str,
    header: &'static str,
    prefix: &'static str,
    sends: fn(&str, &str, &'static str) -> Delivery,
) -> Victim {
    let digits = sign(FORGED, BODY.as_bytes());
    let delivery = sends("pull_request", "forged", BODY).to(&format!("POST /webhooks/{name} HTTP/1.1"));
    // Where two names count, it sends the one that decides.
    let delivery = delivery.without("x-gitea-signature").with(header, &format!("{prefix}{digits}"));
    Victim { kind, name, header, prefix, genuine: delivery, digits }
}

/// Every header in which some forge or other says who it is.
const SIGNATURES: [&str; 12] = [
    "x-gitea-signature",
    "x-forgejo-signature",
    "x-hub-signature-256",
    "x-hub-signature",
    "x-gogs-signature",
    "x-gitlab-token",
    "webhook-signature",
    "x-signature",
    "x-signature-256",
    "x-github-signature",
    "x-github-signature-256",
    "authorization",
];

impl Victim {
    /// Its signature of its own body.
    fn good(&self) -> String {
        format!("{}{}", self.prefix, self.digits)
    }

    fn good_of(&self, body: &[u8]) -> String {
        if body == BODY.as_bytes() { self.good() } else { format!("{}{}", self.prefix, sign(FORGED, body)) }
    }

    /// With this for its signature.
    fn signed(&self, signature: &str) -> Delivery {
        self.genuine.clone().with(self.header, signature)
    }

    /// With this for the digits of its signature.
    fn with_digits(&self, digits: &str) -> Delivery {
        self.signed(&format!("{}{digits}", self.prefix))
    }

    /// Whether it is signed as this forge signs, said in other words than the door's: some ways lead back to it.
    fn would_send(&self, delivery: &Delivery) -> bool {
        let named = |name: &str| -> Vec<&str> {
            let values = delivery.headers.iter().filter(|(there, _)| there == name);
            // What is around a value on the wire is not the value.
            values.map(|(_, value)| value.trim_matches([' ', '\t'])).collect()
        };
        let mut values = named(self.header);
        if self.kind == Kind::Forgejo && values.is_empty() {
            values = named("x-gitea-signature");
        }
        values == [self.good_of(&delivery.body)]
    }
}

/// A way to forge.
type Way = fn(&Victim, &mut Random) -> Delivery;

const WAYS: [(&str, Way); 16] = [
    ("a bit of the body", |victim, random| {
        let mut delivery = victim.genuine.clone();
        let at = random.below(delivery.body.len());
        delivery.body[at] ^= 1 << random.below(8);
        delivery
    }),
    ("a bit of the signature", |victim, random| {
        let mut bytes = victim.good().into_bytes();
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(7);
        // Not every byte can be written into a header.
        victim.signed(&String::from_utf8(bytes).unwrap().replace(|c: char| c.is_control(), "~"))
    }),
    ("another digit", |victim, random| {
        let mut digits = victim.digits.clone().into_bytes();
        let at = random.below(digits.len());
        digits[at] = b"0123456789abcdefABCDEFgx"[random.below(24)];
        victim.with_digits(&String::from_utf8(digits).unwrap())
    }),
    ("digits in another order", |victim, random| {
        let mut digits = victim.digits.clone().into_bytes();
        let (one, other) = (random.below(64), random.below(64));
        digits.swap(one, other);
        victim.with_digits(&String::from_utf8(digits).unwrap())
    }),
    ("a body that was cut or goes on", |victim, random| {
        let mut delivery = victim.genuine.clone();
        match random.below(3) {
            0 => delivery.body.truncate(random.below(BODY.len())),
            1 => drop(delivery.body.drain(..1 + random.below(BODY.len() - 1))),
            _ => delivery.body.extend((0..=random.below(20)).map(|_| b" \n}0,\0x\xff"[random.below(8)])),
        }
        delivery
    }),
    ("a signature that was cut or goes on", |victim, random| {
        let good = victim.good();
        match random.below(4) {
            0 => victim.signed(&good[..random.below(good.len())]),
            1 => victim.signed(&good[1 + random.below(good.len() - 1)..]),
            2 => victim.signed(&format!("{good}{}", "0f".repeat(1 + random.below(500)))),
            _ => victim.signed(&good.repeat(2 + random.below(5))),
        }
    }),
    ("upper case", |victim, random| {
        let good = victim.good();
        let turned = |c: char| if random.below(4) == 0 { c.to_ascii_uppercase() } else { c };
        victim.signed(&good.chars().map(turned).collect::<String>())
    }),
    ("a prefix", |victim, random| {
        let before = [
            "",
            "sha256=",
            "sha1=",
            "sha512=",
            "SHA256=",
            "sha256:",
            "sha256 ",
            "v1,",
            "v1=",
            "0x",
            "=",
            "\"",
            "hmac-sha256=",
        ];
        let (one, other) = (random.one(&before), random.one(&before));
        let after = random.one(&["", "=", "\"", ";", ", ", " ", "\t.", "#", "%00", "%0d%0a", "\\0"]);
        victim.signed(&format!("{one}{other}{}{after}", victim.digits))
    }),
    ("an encoding", |victim, random| {
        let digits = &victim.digits;
        let bytes = hex::decode(digits).unwrap();
        let spread = |with: &str, every: usize| -> String {
            digits.as_bytes().chunks(every).map(|two| std::str::from_utf8(two).unwrap()).collect::<Vec<_>>().join(with)
        };
        let at = random.below(63) + 1;
        let written = match random.below(9) {
            0 => BASE64_STANDARD.encode(bytes),
            1 => BASE64_URL_SAFE_NO_PAD.encode(bytes),
            2 => hex::encode(digits),
            3 => spread(random.one(&[":", " ", "-", "%", "\\x", ",", "_"]), 1 + random.below(32)),
            4 => digits.chars().map(|c| format!("%{:02x}", c as u8)).collect(),
            5 => digits.chars().map(|c| char::from_u32(c as u32 + 0xfee0).unwrap()).collect(),
            6 => bytes.iter().map(|byte| format!("{byte} ")).collect(),
            7 => format!("{}{}{}", &digits[..at], random.one(&["\u{a0}", "\u{200b}", "é", "\u{ff10}"]), &digits[at..]),
            _ => bytes.iter().rev().map(|byte| format!("{byte:02x}")).collect(),
        };
        victim.with_digits(&written)
    }),
    ("another secret", |victim, random| {
        let at = random.below(FORGED.len());
        let secret = match random.below(10) {
            0 => String::new(),
            1 => FORGED[..at].to_owned(),
            2 => FORGED[at + 1..].to_owned(),
            3 => format!("{FORGED}{}", random.one(&["\n", " ", "\0x", "\r\n", "="])),
            4 => FORGED.to_uppercase(),
            5 => hex::encode(FORGED),
            6 => BASE64_STANDARD.encode(FORGED),
            7 => victim.name.to_owned(),
            8 => (*random.one(&["secret", "password", "null", "undefined", "changeme", "{}", "0"])).to_owned(),
            _ => format!("{:x}", random.next()),
        };
        victim.with_digits(&sign(&secret, BODY.as_bytes()))
    }),
    ("another algorithm", |victim, random| {
        let (secret, body) = (FORGED.as_bytes(), BODY.as_bytes());
        let mut longer = Hmac::<Sha512>::new_from_slice(secret).unwrap();
        longer.update(body);
        let longer = hex::encode(longer.finalize().into_bytes());
        let written = match random.below(7) {
            0 => hex::encode(Sha256::digest(body)),
            1 => hex::encode(Sha256::digest([secret, body].concat())),
            2 => hex::encode(Sha256::digest([body, secret].concat())),
            3 => longer,
            4 => longer[..64].to_owned(),
            // What SHA-1 and MD5 have for lengths.
            5 => victim.digits[..40].to_owned(),
            _ => victim.digits[..32].to_owned(),
        };
        let prefix = random.one(&["", "sha1=", "sha256=", "sha512=", "md5="]);
        victim.signed(&format!("{prefix}{written}"))
    }),
    ("the header of another forge", |victim, random| {
        let other = random.one(&SIGNATURES);
        let digits = &victim.digits;
        let written = format!("{}{digits}", random.one(&["", "sha256=", "sha1=", "v1,", "Bearer "]));
        let bare = victim.genuine.clone().without(victim.header).with(other, &written);
        match random.below(3) {
            0 => bare,
            1 => bare.with(victim.header, ""),
            // The good one is there, under a name that does not count.
            _ => bare.with(victim.header, &victim.good_of(b"another body")),
        }
    }),
    ("a header twice", |victim, random| {
        let good = victim.good();
        let mut others =
            vec![good.clone(), String::new(), "0".repeat(64), victim.good_of(b""), format!("{:x}", random.next())];
        others.push(format!("{}{:064x}", victim.prefix, random.next()));
        let other = others.swap_remove(random.below(others.len()));
        let bare = victim.genuine.clone().without(victim.header);
        match random.below(5) {
            0 => bare.also(victim.header, &good).also(victim.header, &other),
            1 => bare.also(victim.header, &other).also(victim.header, &good),
            2 => bare.with(victim.header, &format!("{good}{}{other}", random.one(&[",", ", ", ";", " ", "\t"]))),
            3 => bare.with(victim.header, &format!("{other}{}{good}", random.one(&[",", ", ", ";", " ", "\t"]))),
            _ => bare.also(victim.header, &other).also(victim.header, &other).also(victim.header, &good),
        }
    }),
    ("something that looks like a header", |victim, random| {
        let good = victim.good();
        let shape = random.one(&["%0d%0a", "\\r\\n", "\t", " ", ";", "\u{85}", "\u{2028}", "\u{e}\u{8d}\u{8a}"]);
        // A control character cannot be written into a header, but what some programs make one of can.
        let shape = shape.replace(|c: char| c.is_ascii_control() && c != '\t', "?");
        let carrier = random.one(&["x-forwarded-for", "user-agent", "x-request-id", "cookie", "via", "x-original-url"]);
        let hidden = format!("{}{shape}{}: {good}", random.next(), victim.header);
        victim.genuine.clone().without(victim.header).with(carrier, &hidden)
    }),
    ("the signature of another body", |victim, random| {
        let other = BODY.replace("7", &(8 + random.below(100_000)).to_string());
        let mut delivery = victim.signed(&victim.good_of(other.as_bytes()));
        if random.below(2) == 0 {
            delivery = victim.genuine.clone();
            delivery.body = other.into_bytes();
        }
        delivery
    }),
    ("a guess", |victim, random| {
        let digits: String = (0..4).map(|_| format!("{:016x}", random.next())).collect();
        victim.with_digits(&digits)
    }),
];

/// Different forgeries, with the way each was made; every way in its turn.
fn forgeries(victim: &Victim, random: &mut Random) -> Vec<(&'static str, Delivery)> {
    let (mut made, mut seen) = (Vec::with_capacity(FORGERIES), HashSet::new());
    for (name, way) in WAYS.iter().cycle() {
        let delivery = way(victim, random);
        if !victim.would_send(&delivery) && seen.insert((delivery.headers.clone(), delivery.body.clone())) {
            made.push((*name, delivery));
        }
        if made.len() == FORGERIES {
            break;
        }
    }
    made
}

fn judged(kind: Kind, delivery: &Delivery) -> Result<(), Refused> {
    let mut headers = HeaderMap::new();
    for (name, value) in &delivery.headers {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    verify(&[FORGED.to_owned().into()], &claimed(kind, &headers)?, &delivery.body)
}

/// What the door of this process counted under a forge's name, beside refusals.
fn taken(name: &str) -> Vec<String> {
    let text = telemetry::record().unwrap().render();
    let ours =
        text.lines().filter(|line| line.contains(&format!("forge=\"{name}\"")) && !line.contains("_signature\""));
    ours.map(str::to_owned).collect()
}

#[tokio::test]
async fn ten_thousand_forgeries_of_each_forge_are_refused_unread() {
    println!("seed {SEED}");
    let mut random = Random(SEED.parse().expect("FORGED_SEED is a number"));
    let door = Door::new().await;
    let secrets: bascule::webhook::Secrets = Arc::new(|| Some(vec![FORGED.to_owned().into()]));
    let endpoint = |victim: &Victim| Endpoint { kind: victim.kind, secrets: secrets.clone() };
    let victims = victims();
    door.endpoints.set(victims.each_ref().map(|victim| (victim.name.parse().unwrap(), endpoint(victim))).into());
    for victim in &victims {
        assert_eq!(judged(victim.kind, &victim.genuine), Ok(()), "{:?}", victim.kind);
        let forged = forgeries(victim, &mut random);
        let mut ways = BTreeMap::<&str, usize>::new();
        for (way, delivery) in &forged {
            assert!(judged(victim.kind, delivery).is_err(), "{:?}, {way}: {delivery:?}", victim.kind);
            *ways.entry(way).or_default() += 1;
        }
        println!("{:?}: {} forgeries: {ways:?}", victim.kind, forged.len());
        assert_eq!((forged.len(), ways.len()), (FORGERIES, WAYS.len()));
        for (way, delivery) in forged.iter().step_by(FORGERIES / SENT) {
            let answer = Client::connect(door.at).await.ask(delivery.bytes()).await;
            let refused = answer.is_some_and(|answer| (answer.status, answer.text.as_str()) == (401, "refused\n"));
            assert!(refused, "{:?}, {way}: {delivery:?}", victim.kind);
        }
        assert_eq!(taken(victim.name), [""; 0], "nothing was read, or answered in another way");
    }
    assert_eq!(door.stored().await, []);
    assert_eq!(door.jobs().await, [""; 0]);
    for victim in &victims {
        assert_eq!(door.send(&victim.genuine).await.status, 202);
        assert_eq!(taken(victim.name).len(), 2, "one answer, and one reading: {:?}", taken(victim.name));
    }
}

#[tokio::test]
async fn what_can_only_be_written_on_the_wire_is_no_signature_either() {
    let door = Door::new().await;
    let good = format!("sha256={}", sign(super::HUB_SECRET, BODY.as_bytes()));
    let bare = Delivery::github("pull_request", "a", BODY).without("x-hub-signature-256");
    let length = format!("content-length: {}", BODY.len());
    let whole = |lines: &str| format!("{}{lines}\r\n{length}\r\n\r\n{BODY}", bare.head());
    let chunk = format!("{:x}\r\n{BODY}\r\n0\r\n", BODY.len());
    for (name, bytes) in [
        ("a blank before the colon", whole(&format!("x-hub-signature-256 : {good}"))),
        ("underscores", whole(&format!("x_hub_signature_256: {good}"))),
        ("on the next line", whole(&format!("x-hub-signature-256:\r\n {good}"))),
        ("after a line that goes on", whole(&format!("x-request-id: a\r\n x-hub-signature-256: {good}"))),
        ("after a carriage return", whole(&format!("x-request-id: a\rx-hub-signature-256: {good}"))),
        ("after a zero byte", whole(&format!("x-request-id: a\0x-hub-signature-256: {good}"))),
        ("a zero byte in it", whole(&format!("x-hub-signature-256: {good}\0"))),
        ("a zero byte in its name", whole(&format!("x-hub-signature-256\0: {good}"))),
        ("without a colon", whole(&format!("x-hub-signature-256 {good}"))),
        (
            "behind the body",
            format!(
                "{}transfer-encoding: chunked\r\ntrailer: x-hub-signature-256\r\n\r\n{chunk}x-hub-signature-256: {good}\r\n\r\n",
                bare.head()
            ),
        ),
        ("in the body", format!("{}{length}\r\n\r\nx-hub-signature-256: {good}\r\n\r\n{BODY}", bare.head())),
        (
            "in the path",
            bare.clone().to(&format!("POST /webhooks/hub?x-hub-signature-256={good} HTTP/1.1")).head()
                + &format!("{length}\r\n\r\n{BODY}"),
        ),
    ] {
        let mut client = Client::connect(door.at).await;
        let answer = client.ask(bytes).await;
        assert!(answer.is_none_or(|answer| [400, 401].contains(&answer.status)), "{name}");
        client.rest().await;
    }
    assert_eq!(door.stored().await, []);
    assert_eq!(door.send(&Delivery::github("pull_request", "a", BODY)).await.status, 202);
}
