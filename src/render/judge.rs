//! Asks policies in a box: the engines reach no network, file or clock by themselves, and what they take of time, memory
//! and stack ends a process that nothing depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex, OnceCell, Semaphore};
use tokio::time::Instant;

use super::remembered::Remembered;
use super::sandbox::Sandbox;
use super::tools::{Known, Tool, find};
use super::{Limits, Programs, RenderError};
use crate::ids::ObjectKey;
use crate::manifest::RenderedSet;
use crate::policy::code::order::{Answer, Order};
use crate::policy::code::{Effect, Matter, Opinion, Pair};
use crate::policy::rules::Environment;
use crate::preview::{PolicyRemark, Ruling};

/// Ourselves.
const BASCULE: Known = Known { name: "bascule", version: &["--version"], least: (0, 0) };
const ORDER: &str = "order.json";

/// Asks policies. Holds where the program is, the walls and the bounds.
#[derive(Debug)]
pub(super) struct Judge {
    given: Option<PathBuf>,
    search: Option<OsString>,
    scratch: PathBuf,
    limits: Limits,
    tool: OnceCell<Result<Tool, String>>,
    slots: Semaphore,
    remembered: Mutex<Remembered>,
}

/// How long policies are asked one by one after they could not be asked together. What is left then cannot be asked.
const PATIENCE: Duration = Duration::from_secs(120);

impl Judge {
    pub(super) fn new(programs: &Programs, scratch: &Path, limits: &Limits) -> Self {
        let limits = Limits { cpu: Duration::from_secs(30), time: Duration::from_secs(60), output: 8 << 20, ..*limits };
        // What runs now judges; something else that has us as a library, such as a demo, does not know how.
        let running =
            std::env::current_exe().ok().filter(|path| path.file_stem().is_some_and(|name| name == "bascule"));
        Self {
            given: programs.judge.clone().or(running),
            search: programs.search.clone(),
            scratch: scratch.to_owned(),
            limits,
            tool: OnceCell::new(),
            slots: Semaphore::new(2),
            remembered: Mutex::default(),
        }
    }

    /// Carries out an order: an answer for each name of it, whatever the policies do.
    pub(super) async fn carry_out(&self, order: &Order) -> Result<BTreeMap<String, Answer>, RenderError> {
        if order.names().is_empty() {
            return Ok(BTreeMap::new());
        }
        let written = written(order)?;
        let key: [u8; 32] = Sha256::digest(&written).into();
        if let Some(known) = self.remembered.lock().await.get(&key) {
            return Ok(known.clone());
        }
        let answers = self.ask(order, &written).await?;
        self.remembered.lock().await.put(key, &answers);
        Ok(answers)
    }

    /// Asks all of them together, and each that got no answer so by itself: only what takes too long or too much is broken
    /// by it.
    async fn ask(&self, order: &Order, written: &[u8]) -> Result<BTreeMap<String, Answer>, RenderError> {
        let names = order.names();
        let (mut answers, why) = match self.run(written).await? {
            Ok(answers) => (answers, "it was not answered".to_owned()),
            Err(why) => (BTreeMap::new(), why),
        };
        let begin = Instant::now();
        for name in &names {
            if answers.contains_key(name) {
                continue;
            }
            let answer = if names.len() == 1 || order.stands_together() {
                order.failed(&why)
            } else if begin.elapsed() > PATIENCE {
                order.failed("it was not asked, because the others took too long")
            } else {
                match self.run(&self::written(&order.only(name))?).await? {
                    Ok(mut of_it) => of_it.remove(name).unwrap_or_else(|| order.failed("it was not answered")),
                    Err(why) => order.failed(&why),
                }
            };
            answers.insert(name.clone(), answer);
        }
        Ok(answers)
    }

    /// Runs the box. `Err`: why it gave no answers at all.
    async fn run(&self, written: &[u8]) -> Result<Result<BTreeMap<String, Answer>, String>, RenderError> {
        let find = || find(BASCULE, self.given.as_deref(), self.search.as_ref(), &self.scratch, &self.limits);
        let tool = self.tool.get_or_init(find).await;
        let tool = tool.as_ref().map_err(|why| RenderError::NoProgram(why.clone()))?;
        let machine = |error: serde_json::Error| RenderError::Machine(error.to_string());
        let sandbox = Sandbox::new(&self.scratch)?;
        sandbox.put(ORDER, written)?;
        let args = ["judge".to_owned(), sandbox.inside(tool.level, ORDER)];
        let _slot = self.slots.acquire().await.map_err(|_| RenderError::Machine("it is closed".to_owned()))?;
        match sandbox.run(tool.level, (tool.name, &tool.path), &args, &self.limits).await {
            Ok(ran) if ran.ok => Ok(Ok(serde_json::from_slice(&ran.out).map_err(machine)?)),
            Ok(ran) => Ok(Err(ended(&ran.err, &self.limits))),
            Err(RenderError::TimedOut { limit, .. }) => Ok(Err(format!("it took longer than {} s", limit.as_secs()))),
            Err(RenderError::TooMuch { limit, .. }) => Ok(Err(format!("it said more than {limit}"))),
            Err(other) => Err(other),
        }
    }
}

fn written(order: &Order) -> Result<Vec<u8>, RenderError> {
    serde_json::to_vec(order).map_err(|error| RenderError::Machine(error.to_string()))
}

/// Why the process ended, from what it said last; it names each policy before it is asked.
fn ended(said: &str, limits: &Limits) -> String {
    let last = said.lines().rev().find_map(|line| line.strip_prefix("asking "));
    let whose = last.map_or_else(|| "the policies".to_owned(), |name| format!("`{name}`"));
    if said.contains("memory allocation") {
        format!("{whose} took more than {} MiB of memory", limits.memory >> 20)
    } else if said.contains("overflowed its stack") {
        format!("{whose} is nested too deep")
    } else {
        format!("{whose} ended the process that judges: time, memory or nesting without bounds")
    }
}

/// What policies are asked about: both sides of each object of an environment, which has these rules afterwards.
pub fn matter(environment: &Environment, old: Option<&RenderedSet>, new: &RenderedSet) -> Matter {
    let mut pairs: BTreeMap<&ObjectKey, Pair> = BTreeMap::new();
    let pair = |key: &ObjectKey| Pair { key: key.clone(), old: None, new: None };
    for (key, object) in old.into_iter().flat_map(|set| &set.objects) {
        pairs.entry(key).or_insert_with(|| pair(key)).old = Some(object.json.clone());
    }
    for (key, object) in &new.objects {
        pairs.entry(key).or_insert_with(|| pair(key)).new = Some(object.json.clone());
    }
    Matter {
        environment: environment.name.to_string(),
        stage: environment.stage.clone().unwrap_or_default(),
        cluster: new.target.cluster.to_string(),
        namespace: new.target.namespace.clone(),
        objects: pairs.into_values().collect(),
    }
}

/// What policies said, as a preview shows it; `mended` are those that fail and that the change replaces.
pub fn remarks(opinions: &BTreeMap<String, Opinion>, mended: &BTreeSet<String>) -> Vec<PolicyRemark> {
    let mut all: Vec<PolicyRemark> = Vec::new();
    for (name, opinion) in opinions {
        let remark = |ruling, object: Option<&ObjectKey>, message: &str| PolicyRemark {
            ruling,
            policy: name.clone(),
            object: object.cloned(),
            message: message.to_owned(),
            more: 0,
        };
        let found = opinion.found.iter().map(|one| {
            let ruling = match one.effect {
                Effect::Deny => Ruling::Denies,
                Effect::Review => Ruling::Reviews,
                Effect::Warn => Ruling::Warns,
            };
            remark(ruling, one.object.as_ref(), &one.message)
        });
        let first = all.len();
        let failing = if mended.contains(name) { Ruling::Mended } else { Ruling::Broken };
        all.extend(opinion.broken.iter().map(|why| remark(failing, None, why)));
        all.extend(found);
        if let Some(last) = all.get_mut(first..).and_then(<[PolicyRemark]>::last_mut) {
            last.more = opinion.more;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_fails_closes_unless_the_change_replaces_it() {
        let opinions = BTreeMap::from([("p".to_owned(), Opinion::broken("no such key"))]);
        let told = |mended: &[&str]| {
            let mended = mended.iter().map(|name| (*name).to_owned()).collect();
            let all = remarks(&opinions, &mended);
            all.iter().map(|one| format!("{} {}", one.line(), one.ruling.closes())).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(told(&[]), @"policy p cannot be asked: no such key true");
        insta::assert_snapshot!(told(&["p"]), @"policy p cannot be asked, and is replaced: the file's owners are asked: no such key false");
    }
}
