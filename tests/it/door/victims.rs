//! Forges whose deliveries are forged: what each sends, and what it would send.

use bascule::clock::Clock;
use bascule::webhook::signature::Kind;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::wire::{Delivery, sign, sign_standard};

const FORGED: &str = "what only the forge knows";
/// A signing token of GitLab's; its older one has the digits any signature could have.
const SIGNING: &str = "whsec_d2hhdCBvbmx5IHRoZSBmb3JnZSBrbm93cywgYW5kIHVz";
const TOKEN: &str = "5f1b0a2c7d8e93645f1b0a2c7d8e9364aabbccddeeff00112233445566778899";
pub(super) const BODY: &str =
    r#"{"action":"opened","number":7,"repository":{"id":1,"full_name":"acme/shop"},"sender":{"id":2,"login":"ann"}}"#;

/// A forge whose deliveries are forged.
pub(super) struct Victim {
    pub(super) kind: Kind,
    /// Its name at the door, which no other test uses: what is counted under it is ours.
    pub(super) name: &'static str,
    /// The header that decides.
    pub(super) header: &'static str,
    pub(super) prefix: &'static str,
    /// What it knows.
    pub(super) secret: &'static str,
    /// What it sends, and the digits of its signature: made once, since most forgeries are made of them.
    pub(super) genuine: Delivery,
    pub(super) digits: String,
    /// Ways that lead nowhere else: where nothing is signed, what is sent may be anything.
    pub(super) no_ways: &'static [&'static str],
}

pub(super) const ID: &str = "forged";
/// Ways that change what only a signature covers.
const OF_BODIES: [&str; 5] = [
    "a bit of the body",
    "a body that was cut or goes on",
    "the signature of another body",
    "another id or another time",
    "a time that is past or to come",
];
const OF_TIMES: [&str; 3] = ["another id or another time", "a time that is past or to come", "the older token"];

pub(super) fn victims() -> [Victim; 5] {
    let named = |delivery: Delivery, name: &str| {
        // Where two names count, it sends the one that decides.
        delivery.to(&format!("POST /webhooks/{name} HTTP/1.1")).without("x-gitea-signature")
    };
    let of_body = |kind, name, header, prefix, sends: fn(&str, &str, &'static str) -> Delivery| {
        let digits = sign(FORGED, BODY.as_bytes());
        let genuine = named(sends("pull_request", ID, BODY), name).with(header, &format!("{prefix}{digits}"));
        Victim { kind, name, header, prefix, secret: FORGED, genuine, digits, no_ways: &OF_TIMES }
    };
    let gitlab = |name| named(Delivery::gitlab("Merge Request Hook", ID, BODY), name);
    let now = Clock::system().now().as_second();
    let signed = gitlab("forged-gitlab").signed_at(SIGNING, ID, now);
    [
        of_body(Kind::Gitea, "forged-gitea", "x-gitea-signature", "", Delivery::gitea),
        of_body(Kind::Forgejo, "forged-forgejo", "x-forgejo-signature", "", Delivery::forgejo),
        of_body(Kind::GitHub, "forged-github", "x-hub-signature-256", "sha256=", Delivery::github),
        Victim {
            kind: Kind::GitLab,
            name: "forged-gitlab",
            header: "webhook-signature",
            prefix: "v1,",
            secret: SIGNING,
            digits: sign_standard(SIGNING, ID, &now.to_string(), BODY.as_bytes()),
            genuine: signed,
            no_ways: &[],
        },
        Victim {
            kind: Kind::GitLab,
            name: "forged-old-gitlab",
            header: "x-gitlab-token",
            prefix: "",
            secret: TOKEN,
            digits: TOKEN.to_owned(),
            genuine: gitlab("forged-old-gitlab").with_token(TOKEN),
            no_ways: &OF_BODIES,
        },
    ]
}

/// Every header in which some forge or other says who it is.
pub(super) const SIGNATURES: [&str; 12] = [
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
    /// A secret that no other victim has.
    pub(super) fn secret_of_its_own(&self) -> String {
        if self.secret == FORGED { format!("{FORGED}: {}", self.name) } else { self.secret.to_owned() }
    }

    /// One that a second forge of its kind might have.
    pub(super) fn secret_of_a_twin(&self) -> String {
        match self.header {
            "webhook-signature" => SIGNING.replace("d2hhdCBv", "b2hhdCBv"),
            _ => format!("{} twin", self.secret_of_its_own()),
        }
    }

    /// Its signature of its own body.
    pub(super) fn good(&self) -> String {
        format!("{}{}", self.prefix, self.digits)
    }

    pub(super) fn good_of(&self, body: &[u8]) -> String {
        if body == BODY.as_bytes() {
            self.good()
        } else {
            format!("{}{}", self.prefix, self.digits_under(self.secret, body))
        }
    }

    /// What it would have for digits if it knew this.
    pub(super) fn digits_under(&self, secret: &str, body: &[u8]) -> String {
        match self.header {
            "x-gitlab-token" => secret.replace(|c: char| c.is_control(), "~"),
            "webhook-signature" => {
                let secret = BASE64_STANDARD.encode(secret.strip_prefix("whsec_").map_or_else(
                    || secret.as_bytes().to_vec(),
                    |digits| BASE64_STANDARD.decode(digits).unwrap_or_default(),
                ));
                sign_standard(&format!("whsec_{secret}"), ID, self.sent("webhook-timestamp"), body)
            }
            _ => sign(secret, body),
        }
    }

    pub(super) fn sent(&self, header: &str) -> &str {
        self.genuine.headers.iter().find(|(name, _)| name == header).map_or("", |(_, value)| value)
    }

    /// What its digits stand for.
    pub(super) fn bytes(&self) -> Vec<u8> {
        hex::decode(&self.digits).or_else(|_| BASE64_STANDARD.decode(&self.digits)).unwrap()
    }

    /// With this for its signature.
    pub(super) fn signed(&self, signature: &str) -> Delivery {
        self.genuine.clone().with(self.header, signature)
    }

    /// With this for the digits of its signature.
    pub(super) fn with_digits(&self, digits: &str) -> Delivery {
        self.signed(&format!("{}{digits}", self.prefix))
    }

    /// Whether it is signed as this forge signs, said in other words than the door's: some ways lead back to it.
    pub(super) fn would_send(&self, delivery: &Delivery) -> bool {
        let named = |name: &str| -> Vec<&str> {
            let values = delivery.headers.iter().filter(|(there, _)| there == name);
            // What is around a value on the wire is not the value.
            values.map(|(_, value)| value.trim_matches([' ', '\t'])).collect()
        };
        let mut values = named(self.header);
        if self.kind == Kind::Forgejo && values.is_empty() {
            values = named("x-gitea-signature");
        }
        if self.header == "x-gitlab-token" {
            return values == [TOKEN];
        }
        if self.header == "webhook-signature" {
            // Of several, one is enough, and all of them have to be some.
            let same = ["webhook-id", "webhook-timestamp"].iter().all(|name| named(name) == [self.sent(name)]);
            let good = self.good_of(&delivery.body);
            return same && values.len() == 1 && values[0].split(' ').any(|one| one == good);
        }
        values == [self.good_of(&delivery.body)]
    }
}
