//! Asks policies in a box: the engines reach no network, file or clock by themselves, and what they take of time, memory
//! and stack ends a process that nothing depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex, OnceCell, Semaphore};

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
    /// Texts that were read before and are good: a file is looked at for every commit of a branch, and seldom changes.
    read: Mutex<BTreeMap<[u8; 32], BTreeMap<String, Answer>>>,
}

/// Texts that are remembered.
const MOST_READ: usize = 200;

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
            read: Mutex::default(),
        }
    }

    /// Carries out an order: an answer for each name of it, whatever the policies do.
    pub(super) async fn carry_out(&self, order: &Order) -> Result<BTreeMap<String, Answer>, RenderError> {
        let names = order.names();
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let machine = |error: serde_json::Error| RenderError::Machine(error.to_string());
        let written = serde_json::to_vec(order).map_err(machine)?;
        let Order::Read(_) = order else { return self.run(order, &names, &written).await };
        let key: [u8; 32] = Sha256::digest(&written).into();
        if let Some(known) = self.read.lock().await.get(&key) {
            return Ok(known.clone());
        }
        let answers = self.run(order, &names, &written).await?;
        // Only what is good: a fault may have been of this machine's, which was busy.
        if answers.values().all(|answer| *answer == Answer::Faults(Vec::new())) {
            let mut read = self.read.lock().await;
            if read.len() >= MOST_READ {
                read.clear();
            }
            read.insert(key, answers.clone());
        }
        Ok(answers)
    }

    async fn run(
        &self,
        order: &Order,
        names: &[String],
        written: &[u8],
    ) -> Result<BTreeMap<String, Answer>, RenderError> {
        let find = || find(BASCULE, self.given.as_deref(), self.search.as_ref(), &self.scratch, &self.limits);
        let tool = self.tool.get_or_init(find).await;
        let tool = tool.as_ref().map_err(|why| RenderError::NoProgram(why.clone()))?;
        let machine = |error: serde_json::Error| RenderError::Machine(error.to_string());
        let sandbox = Sandbox::new(&self.scratch)?;
        sandbox.put(ORDER, written)?;
        let args = ["judge".to_owned(), sandbox.inside(tool.level, ORDER)];
        let _slot = self.slots.acquire().await.map_err(|_| RenderError::Machine("it is closed".to_owned()))?;
        let why = match sandbox.run(tool.level, (tool.name, &tool.path), &args, &self.limits).await {
            Ok(ran) if ran.ok => return serde_json::from_slice(&ran.out).map_err(machine),
            Ok(ran) => ended(&ran.err, &self.limits),
            Err(RenderError::TimedOut { limit, .. }) => format!("the policies took longer than {} s", limit.as_secs()),
            Err(RenderError::TooMuch { limit, .. }) => format!("the policies said more than {limit}"),
            Err(other) => return Err(other),
        };
        Ok(names.iter().map(|name| (name.clone(), order.failed(&why))).collect())
    }
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
