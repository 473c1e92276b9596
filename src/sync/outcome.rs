use serde::{Deserialize, Serialize};

use crate::ids::ObjectKey;

use super::hold::HoldReason;

/// Characters of a query that are told.
const QUERY: usize = 200;

/// What came of a sync: stored with the deployment, told on the pull request, kept in the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// Objects sent that were not there.
    pub created: u64,
    /// Objects sent that were there and ours.
    pub updated: u64,
    /// Objects sent that were there and nobody's.
    pub adopted: u64,
    /// Objects not sent, because nothing of ours differs.
    pub unchanged: u64,
    /// Objects deleted and confirmed gone.
    pub deleted: u64,
    /// Objects that left the set and stay, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
    /// Objects that could not be sent or deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Failure>,
    /// Objects of which somebody else holds fields with other values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Troubled>,
    /// Objects that are sent and not well, or not yet when the time was up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unhealthy: Vec<Failure>,
    /// Hooks that ran in this sync and ended well.
    #[serde(skip_serializing_if = "is_zero")]
    pub hooks: u64,
    /// Objects that were not sent, because what they wait for is not as it should be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unsent: Vec<Kept>,
    /// Objects that are sent, and of which nothing tells whether they are well: they count as applied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unjudged: Vec<Kept>,
    /// What was to hold after it (`verify`), and did not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unverified: Vec<Unverified>,
    /// What the cluster says of the first objects that are not well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub explained: Vec<Explained>,
    /// Nothing could be tried, and why: what is stored of the deployment cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
    /// What could not be tried is because its cluster's name leads to another cluster.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub orphaned: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An object that stays although it left the set, or of which something else is to be said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Which.
    pub object: ObjectKey,
    /// Why.
    pub why: String,
}

/// A query that was to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unverified {
    /// Whom it was asked of, as the server's file calls it.
    pub prometheus: String,
    /// What was asked.
    pub query: String,
    /// What came of it.
    pub why: String,
}

/// What the cluster says of one object that is not well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// Which.
    pub object: ObjectKey,
    /// Each a line of a person's length: pods, events, the end of a log. Secrets are hidden in it.
    pub lines: Vec<String>,
}

/// An object with which something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which.
    pub object: ObjectKey,
    /// What is wrong, for a person; holds no value of a Secret.
    pub why: String,
}

/// An object whose fields somebody else holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Troubled {
    /// Which.
    pub object: ObjectKey,
    /// Who holds what.
    pub fields: Vec<FieldConflict>,
}

/// One field and the manager that holds it with another value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FieldConflict {
    /// The field manager, with its subresource when it wrote through one.
    pub manager: String,
    /// The field's path, as the server writes it.
    pub path: String,
}

/// How a deployment ended, as its row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Everything is sent and well.
    Healthy,
    /// Something could not be sent or is not well.
    Failed,
    /// Nothing failed, and somebody else holds fields.
    Conflict,
}

impl State {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Failed => "failed",
            Self::Conflict => "conflict",
        }
    }
}

impl Outcome {
    /// What came of more of the same sync.
    pub fn add(&mut self, more: Self) {
        let Self {
            created,
            updated,
            adopted,
            unchanged,
            deleted,
            kept,
            failed,
            conflicts,
            unhealthy,
            hooks,
            unsent,
            ..
        } = more;
        self.created += created;
        self.updated += updated;
        self.adopted += adopted;
        self.unchanged += unchanged;
        self.deleted += deleted;
        self.hooks += hooks;
        self.kept.extend(kept);
        self.failed.extend(failed);
        self.conflicts.extend(conflicts);
        self.unhealthy.extend(unhealthy);
        self.unsent.extend(unsent);
        self.unjudged.extend(more.unjudged);
        self.unverified.extend(more.unverified);
        self.explained.extend(more.explained);
        self.broken = self.broken.take().or(more.broken);
        self.orphaned |= more.orphaned;
    }

    /// Objects sent.
    pub fn sent(&self) -> u64 {
        self.created + self.updated + self.adopted
    }

    /// Whether every object of the set is in the cluster as it should be: what deleting anything presupposes.
    pub fn is_applied(&self) -> bool {
        self.failed.is_empty() && self.conflicts.is_empty() && self.unsent.is_empty() && self.broken.is_none()
    }

    /// How it ended.
    pub fn state(&self) -> State {
        let is_short = !self.failed.is_empty() || !self.unsent.is_empty() || !self.unhealthy.is_empty();
        if is_short || self.broken.is_some() || !self.unverified.is_empty() {
            State::Failed
        } else if !self.conflicts.is_empty() {
            State::Conflict
        } else {
            State::Healthy
        }
    }

    /// Why the environment is held afterwards, if it is.
    pub fn hold(&self) -> Option<HoldReason> {
        match self.state() {
            _ if self.orphaned => Some(HoldReason::Orphaned),
            State::Healthy => None,
            State::Conflict => Some(HoldReason::Conflict),
            State::Failed => Some(HoldReason::Failed),
        }
    }

    /// What left the set and stays, and why: the first of it and how many more. `None`: nothing does.
    pub fn stays(&self) -> Option<String> {
        let Kept { object, why } = self.kept.first()?;
        let more = match self.kept.len() {
            1 => String::new(),
            count => format!(", and {} more", count - 1),
        };
        Some(format!("{object} stays: {why}{more}"))
    }

    /// What nothing tells of, and why: the first of it and how many more. `None`: everything was judged.
    pub fn not_judged(&self) -> Option<String> {
        let Kept { object, why } = self.unjudged.first()?;
        let more = match self.unjudged.len() {
            1 => String::new(),
            count => format!(", and {} more", count - 1),
        };
        Some(format!("whether {object} is well is not known: {why}{more}"))
    }

    /// What a person is told beside a sync that went well.
    pub fn remarks(&self) -> String {
        self.stays().into_iter().chain(self.not_judged()).collect::<Vec<_>>().join("; ")
    }

    /// The sentence, and what the cluster says of it.
    pub fn told(&self) -> String {
        let mut text = self.sentence();
        for (at, Explained { object, lines }) in self.explained.iter().enumerate() {
            let whose = if at == 0 { String::new() } else { format!("{object}: ") };
            text += &format!(" · {whose}{}", lines.join(" · "));
        }
        text
    }

    /// As the log keeps it for ever: without what programs wrote into theirs.
    #[must_use]
    pub fn without_words_of_programs(&self) -> Self {
        Self { explained: Vec::new(), ..self.clone() }
    }

    /// One sentence: the first thing that went wrong and how many more, or what was done.
    pub fn sentence(&self) -> String {
        if let Some(why) = &self.broken {
            return format!("nothing could be tried: {why}");
        }
        let more = |count: usize| match count {
            0 | 1 => String::new(),
            2 => ", and 1 more".to_owned(),
            count => format!(", and {} more", count - 1),
        };
        let unsent = match &self.unsent[..] {
            [] => String::new(),
            [Kept { object, why }] => format!("; {object} was not sent: {why}"),
            [Kept { why, .. }, ..] => format!("; {} objects were not sent: {why}", self.unsent.len()),
        };
        if let Some(Failure { object, why }) = self.failed.first() {
            return format!("failed at {object}: {why}{}{unsent}", more(self.failed.len() + self.conflicts.len()));
        }
        if let Some(Troubled { object, fields }) = self.conflicts.first() {
            let held: Vec<_> = fields.iter().map(|held| format!("`{}` holds `{}`", held.manager, held.path)).collect();
            return format!("conflict at {object}: {}{}", held.join(", "), more(self.conflicts.len()));
        }
        if let Some(Failure { object, why }) = self.unhealthy.first() {
            return format!("not healthy: {object}: {why}{}{unsent}", more(self.unhealthy.len()));
        }
        if let Some(Unverified { query, why, .. }) = self.unverified.first() {
            return format!("not verified: {}: {why}{}", short(query), more(self.unverified.len()));
        }
        let mut parts = Vec::new();
        for (count, what) in [
            (self.created, "created"),
            (self.updated, "updated"),
            (self.adopted, "adopted"),
            (self.deleted, "deleted"),
            (self.unchanged, "unchanged"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        if self.hooks > 0 {
            parts.push(format!("{} {} run", self.hooks, if self.hooks == 1 { "hook" } else { "hooks" }));
        }
        if !self.kept.is_empty() {
            parts.push(format!("{} kept", self.kept.len()));
        }
        if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") }
    }
}

/// A query on one line, and no longer than one reads.
fn short(query: &str) -> String {
    let line = query.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(QUERY) {
        Some((at, _)) => format!("`{}…`", &line[..at]),
        None => format!("`{line}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, name: &str) -> ObjectKey {
        ObjectKey { group: String::new(), kind: kind.into(), namespace: Some("shop".into()), name: name.into() }
    }

    #[test]
    fn an_outcome_says_the_first_thing_a_person_must_know() {
        let done = Outcome { created: 1, unchanged: 3, deleted: 1, ..Outcome::default() };
        assert_eq!((done.state(), done.hold(), done.sent()), (State::Healthy, None, 1));
        let fields = vec![FieldConflict { manager: "kubectl-edit".into(), path: ".spec.replicas".into() }];
        let conflict = Outcome { conflicts: vec![Troubled { object: key("Service", "web"), fields }], ..done.clone() };
        assert_eq!((conflict.state(), conflict.hold()), (State::Conflict, Some(HoldReason::Conflict)));
        let why = "spec.selector: field is immutable".to_owned();
        let failed = Outcome { failed: vec![Failure { object: key("Pod", "a"), why }], ..conflict.clone() };
        assert_eq!(failed.hold(), Some(HoldReason::Failed));
        let broken = Outcome { broken: Some("its set is not stored".into()), ..Outcome::default() };
        assert_eq!(broken.hold(), Some(HoldReason::Failed));
        let unhealthy = Outcome {
            unhealthy: vec![Failure { object: key("Pod", "a"), why: "1 of 2 ready".into() }],
            ..done.clone()
        };
        let sentences = [&done, &conflict, &failed, &broken, &unhealthy].map(Outcome::sentence).join("\n");
        insta::assert_snapshot!(sentences, @r"
        1 created, 1 deleted, 3 unchanged
        conflict at Service shop/web: `kubectl-edit` holds `.spec.replicas`
        failed at Pod shop/a: spec.selector: field is immutable, and 1 more
        nothing could be tried: its set is not stored
        not healthy: Pod shop/a: 1 of 2 ready
        ");
        assert!(!conflict.is_applied() && unhealthy.is_applied());

        let lines = vec!["event BackOff: it restarts".to_owned(), "log of web: `no database`".to_owned()];
        let explained = vec![Explained { object: key("Pod", "a"), lines }];
        let told = Outcome { explained, ..unhealthy };
        insta::assert_snapshot!(told.told(), @"not healthy: Pod shop/a: 1 of 2 ready · event BackOff: it restarts · log of web: `no database`");
        assert_eq!(told.without_words_of_programs().told(), told.sentence());
        let unjudged = vec![Kept { object: key("Widget", "w"), why: "it has no conditions".into() }];
        let unjudged = Outcome { unjudged, ..done };
        assert_eq!(unjudged.state(), State::Healthy, "nobody waits for what nothing tells");
        insta::assert_snapshot!(unjudged.remarks(), @"whether Widget shop/w is well is not known: it has no conditions");
    }

    #[test]
    fn an_outcome_is_read_back_from_what_is_stored() {
        let outcome = Outcome { created: 2, broken: Some("x".into()), ..Outcome::default() };
        let stored = serde_json::to_value(&outcome).unwrap();
        assert_eq!(serde_json::from_value::<Outcome>(stored).unwrap(), outcome);
        assert_eq!(serde_json::from_str::<Outcome>("{}").unwrap(), Outcome::default());
    }
}
