//! `verify`: what a Prometheus has to say, and for how long, before an environment counts as healthy after a sync.

use serde::{Deserialize, Serialize};

use super::block::{Block, Keys, list};
use super::document::Node;
use super::environment::word;
use super::located::Complaints;
use crate::ids::{EnvironmentName, PrometheusName, Span, Target};

/// The keys of one item of `verify`.
pub const VERIFY_KEYS: Keys = Keys { known: &["prometheus", "query", "for", "within"], later: &[] };

/// Each is asked every few seconds.
const MOST: usize = 10;
/// It goes into an address: what proxies take of one is four times this.
const LONGEST_QUERY: usize = 2_000;
/// What is watched for longer than a day is an alert, and holds back nothing.
const LONGEST_SECONDS: u64 = 86_400;
/// How long it may take to begin to hold, where the file does not say.
const SPARE_SECONDS: u64 = 600;
/// Less is no room for one answer that came late.
const LEAST_SPARE_SECONDS: u64 = 60;

/// One question, of one Prometheus.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Verify {
    /// Which `[prometheus.NAME]` is asked.
    pub prometheus: PrometheusName,
    /// In PromQL: it holds while it gives something.
    pub query: String,
    /// For how long it has to hold, without a break.
    pub for_seconds: u64,
    /// In how long all of that has to have happened.
    pub within_seconds: u64,
}

impl Verify {
    /// The same, of an environment: `${…}` stands for what is its own.
    pub(super) fn of(self, name: &EnvironmentName, target: &Target) -> Self {
        let query = self.query.replace("${environment}", name.as_str());
        let query = query.replace("${namespace}", &target.namespace);
        Self { query: query.replace("${cluster}", target.cluster.as_str()), ..self }
    }
}

/// Reads `verify` of an environment.
pub(super) fn verify(node: &Node, complaints: &mut Complaints) -> Vec<Verify> {
    let items = list(node, "verify", complaints).unwrap_or_default();
    if items.len() > MOST {
        complaints.add(&node.at, format!("`verify` has more than {MOST} queries"), "join some of them with `and`");
    }
    items.iter().filter_map(|item| one(item, complaints)).collect()
}

fn one(node: &Node, complaints: &mut Complaints) -> Option<Verify> {
    let block = Block::open(node, "in `verify`", VERIFY_KEYS, complaints)?;
    for (key, advice) in [
        ("prometheus", "name a `[prometheus.NAME]` of the server"),
        ("query", "write what has to hold: `'sum(rate(errors_total[1m])) < 0.05'`"),
        ("for", "write for how long it has to hold: `5m`"),
    ] {
        if block.get(key).is_none() {
            complaints.add(block.at, format!("an item of `verify` has no `{key}`"), advice);
        }
    }
    let prometheus = block
        .text("prometheus", complaints)
        .and_then(|(text, at)| word(text, at, "write the name of a `[prometheus.NAME]` of the server", complaints));
    let query = block.text("query", complaints).and_then(|(text, at)| {
        let fault = fault(text);
        if let Some((problem, advice)) = fault {
            complaints.add(at, problem, advice);
        }
        fault.is_none().then(|| text.to_owned())
    });
    let for_seconds = block.seconds("for", LONGEST_SECONDS, complaints);
    let within =
        block.get("within").and_then(|node| Some((node, block.seconds("within", LONGEST_SECONDS * 2, complaints)?)));
    if let (Some((node, within)), Some(least)) = (within, for_seconds.map(|seconds| seconds + LEAST_SPARE_SECONDS))
        && within < least
    {
        let advice = format!("write {} or more, or remove it", Span::of_seconds(least));
        complaints.add(&node.at, "`within` is not a minute longer than `for`", advice);
    }
    let for_seconds = for_seconds?;
    let within_seconds = within.map_or(for_seconds + SPARE_SECONDS, |(_, seconds)| seconds);
    Some(Verify { prometheus: prometheus?, query: query?, for_seconds, within_seconds })
}

/// What is wrong with a query that can be seen without asking.
fn fault(query: &str) -> Option<(&'static str, &'static str)> {
    if query.len() > LONGEST_QUERY {
        return Some(("`query` is longer than 2000 bytes", "make a recording rule of it, and compare that"));
    }
    if query.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Some(("`query` has control characters", "remove them"));
    }
    if outside_of_quotes(query)
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .any(|word| word == "bool")
    {
        let advice =
            "remove it: a comparison without it gives nothing when it does not hold, which is what is looked at";
        return Some(("`bool` gives a value whether the query holds or not", advice));
    }
    None
}

/// What is no string in it.
fn outside_of_quotes(query: &str) -> String {
    let mut kept = String::with_capacity(query.len());
    let mut within: Option<char> = None;
    let mut chars = query.chars();
    while let Some(c) = chars.next() {
        match within {
            Some('`') | None => {}
            Some(_) if c == '\\' => {
                chars.next();
                continue;
            }
            Some(_) => {}
        }
        match within {
            Some(quote) if quote == c => within = None,
            Some(_) => {}
            None if ['"', '\'', '`'].contains(&c) => {
                within = Some(c);
                kept.push(' ');
            }
            None => kept.push(c),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_in_a_string_is_no_operator() {
        for good in ["up == 1", r#"a{b="x < bool 1"} < 1"#, r"a{b='\' bool'} < 1", "boolean < 1", "a{b=`\\`} < 1"] {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in ["a < bool 1", r#"a{b="\""} >bool(1)"#, "a{b=`\\`} == bool 1"] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }
}
