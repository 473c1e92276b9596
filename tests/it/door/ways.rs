//! Ways to forge a delivery, each made of a genuine one.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256, Sha512};

use super::victims::{BODY, ID, SIGNATURES, Victim};
use super::wire::Delivery;
use crate::support::random::Random;

/// A way to forge.
pub(super) type Way = fn(&Victim, &mut Random) -> Delivery;

pub(super) const WAYS: [(&str, Way); 19] = [
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
        let (one, other) = (random.below(digits.len()), random.below(digits.len()));
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
        let bytes = victim.bytes();
        let spread = |with: &str, every: usize| -> String {
            digits.as_bytes().chunks(every).map(|two| std::str::from_utf8(two).unwrap()).collect::<Vec<_>>().join(with)
        };
        let at = random.below(digits.len() - 1) + 1;
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
        let known = victim.secret;
        let at = random.below(known.len());
        let secret = match random.below(10) {
            0 => String::new(),
            1 => known[..at].to_owned(),
            2 => known[at + 1..].to_owned(),
            3 => format!("{known}{}", random.one(&["\n", " ", "\0x", "\r\n", "="])),
            4 => known.to_uppercase(),
            5 => hex::encode(known),
            6 => BASE64_STANDARD.encode(known),
            7 => victim.name.to_owned(),
            8 => (*random.one(&["secret", "password", "null", "undefined", "changeme", "{}", "0"])).to_owned(),
            _ => format!("{:x}", random.next()),
        };
        victim.with_digits(&victim.digits_under(&secret, BODY.as_bytes()))
    }),
    ("another algorithm", |victim, random| {
        let (secret, body) = (victim.secret.as_bytes(), BODY.as_bytes());
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
        let prefix = random.one(&["", "sha1=", "sha256=", "sha512=", "md5=", "v1,", "v1a,"]);
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
        let as_many = BASE64_STANDARD.encode(hex::decode(&digits).unwrap());
        victim.with_digits(if random.below(2) == 0 { &digits } else { &as_many })
    }),
    ("another id or another time", |victim, random| {
        let at = victim.sent("webhook-timestamp").to_owned();
        let id = format!("{:x}", random.next());
        let delivery = victim.genuine.clone();
        match random.below(7) {
            0 => delivery.with("webhook-id", &id),
            1 => delivery.with("webhook-timestamp", &at.replace(&at[9..], &random.below(10).to_string())),
            2 => delivery.with(
                "webhook-timestamp",
                random.one(&["", "0", "-1", "now", "1e9", "\u{661}", "2026-11-21T00:00:00Z"]),
            ),
            3 => delivery.with("webhook-id", random.one(&["", ".", "forged.", "Forged", "forged\u{a0}", "forged,"])),
            4 => delivery.also("webhook-id", &id),
            5 => delivery.also("webhook-timestamp", &at),
            // What stands before the dots is moved over them.
            _ => {
                let moved = format!("{ID}.{}", &at[..random.below(at.len())]);
                let rest = at[moved.len() - ID.len() - 1..].to_owned();
                delivery.with("webhook-id", &moved).with("webhook-timestamp", &rest)
            }
        }
    }),
    ("a time that is past or to come", |victim, random| {
        // Heard once, and sent again: its signature is good.
        let at: i64 = victim.sent("webhook-timestamp").parse().unwrap();
        let away = 400 + i64::try_from(random.below(1 << 30)).unwrap();
        let at = if random.below(4) == 0 { at + away } else { at - away };
        victim.genuine.clone().signed_at(victim.secret, ID, at)
    }),
    ("the older token", |victim, random| {
        let bare = victim.genuine.clone().with_token(match random.below(3) {
            0 => victim.secret,
            1 => &victim.secret["whsec_".len()..],
            _ => &victim.digits,
        });
        let bare = bare.with("x-request-id", &random.next().to_string());
        if random.below(2) == 0 { bare } else { bare.with("webhook-id", ID).with("webhook-signature", "") }
    }),
];
