//! Why an object is not well, from what its cluster says of it: the words a person would look for with four commands.
//!
//! Everything here is somebody else's text: it is made visible, bounded, and passed through the same redaction as
//! everything that is shown of a Secret.

use serde_json::Value;

use crate::manifest::visible;

/// Hides what is secret in a text. Asked before anything is cut: half a secret is one that nothing hides.
type Redact<'a> = &'a dyn Fn(&str) -> String;

/// What was read of one object and what belongs to it.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The object; `None` when it is not there or cannot be read.
    pub live: Option<Value>,
    /// Its pods.
    pub pods: Vec<Value>,
    /// Warnings of its namespace.
    pub events: Vec<Value>,
    /// The end of what the first container in trouble wrote.
    pub log: Option<Log>,
    /// What could not be read, and what would let us.
    pub missing: Vec<String>,
}

/// The end of a log.
#[derive(Debug, Clone)]
pub struct Log {
    /// Whose.
    pub container: String,
    /// The lines.
    pub text: String,
}

/// What is wrong with one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Which.
    pub container: String,
    /// `waits: CrashLoopBackOff`, `ended with exit code 1 (Error)`.
    pub what: String,
    /// Whether it ran at all, so that it may have written something.
    pub has_run: bool,
    /// Whether what it wrote is of a run that is over, and it runs or waits anew.
    pub has_ended: bool,
}

/// Pods that are described.
const PODS: usize = 2;
/// Events that are named, newest first.
const EVENTS: usize = 3;
/// Lines of a log that are shown.
const LINES: usize = 10;
/// Characters of one line.
const LONG: usize = 200;

/// The label selector of a workload's pods, as a query: only of those that name labels.
pub fn selector(live: &Value) -> Option<String> {
    let labels = live.pointer("/spec/selector/matchLabels")?.as_object().filter(|labels| !labels.is_empty())?;
    let pairs = labels.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)));
    Some(pairs.collect::<Vec<_>>().join(","))
}

/// Pods that are not ready and not done, those that say why first.
pub fn unwell(pods: &[Value]) -> impl Iterator<Item = &Value> {
    let is_unwell = |pod: &&Value| text(pod, "/status/phase") != "Succeeded" && !is_ready(pod);
    let mut all: Vec<_> = pods.iter().filter(is_unwell).collect();
    all.sort_by_cached_key(|pod| {
        (trouble(pod, &str::to_owned).is_none(), std::cmp::Reverse(text(pod, "/metadata/creationTimestamp").to_owned()))
    });
    all.into_iter()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|one| text(one, "/type") == "Ready" && text(one, "/status") == "True")
}

/// What is wrong with the first container of a pod of which anything is. `redact` hides what is secret in a text.
pub fn trouble(pod: &Value, redact: Redact<'_>) -> Option<Trouble> {
    let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let all = || lists.iter().filter_map(|list| pod.pointer(list)?.as_array()).flatten();
    // One that merely waits for its pod to be set up says less than one that ended.
    let begins = |one: &&Value| {
        matches!(text(one, "/state/waiting/reason"), "ContainerCreating" | "PodInitializing")
            && one.pointer("/lastState/terminated").is_none()
    };
    let of = |one: &Value| of_container(one, redact);
    all().filter(|one| !begins(one)).find_map(of).or_else(|| all().find_map(of))
}

fn of_container(one: &Value, redact: Redact<'_>) -> Option<Trouble> {
    let ended = |state: &str| one.pointer(&format!("{state}/terminated")).map(|ended| how_ended(ended, redact));
    let (before, now) = (ended("/lastState"), ended("/state"));
    let waits = text(one, "/state/waiting/reason");
    let restarts = one.pointer("/restartCount").and_then(Value::as_i64).unwrap_or(0);
    let mut what = if !waits.is_empty() {
        let message = text(one, "/state/waiting/message");
        if message.is_empty() {
            format!("waits: {waits}")
        } else {
            format!("waits: {waits} ({})", short(&redact(message)))
        }
    } else if let Some((how, false)) = &now {
        how.clone()
    } else if before.is_some() && one.pointer("/ready") != Some(&Value::Bool(true)) {
        "runs again".to_owned()
    } else {
        return None;
    };
    if let Some((how, _)) = &before {
        what += &format!(", and before that {how}");
    }
    if restarts > 0 {
        what += &format!(", {restarts} restarts");
    }
    Some(Trouble {
        container: text(one, "/name").to_owned(),
        what,
        has_run: before.is_some() || now.is_some(),
        has_ended: before.is_some() && now.is_none(),
    })
}

/// In words, and whether that is how it should end.
fn how_ended(terminated: &Value, redact: Redact<'_>) -> (String, bool) {
    let code = terminated.pointer("/exitCode").and_then(Value::as_i64).unwrap_or(0);
    let because = match (text(terminated, "/reason"), text(terminated, "/message")) {
        ("", "") => String::new(),
        (reason, "") => format!(" ({reason})"),
        ("", message) => format!(" ({})", short(&redact(message))),
        (reason, message) => format!(" ({reason}: {})", short(&redact(message))),
    };
    (format!("ended with exit code {code}{because}"), code == 0)
}

/// The lines a person reads. `redact` hides what is secret in a text.
pub fn lines(evidence: &Evidence, redact: Redact<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for pod in unwell(&evidence.pods).take(PODS) {
        let what = match trouble(pod, redact) {
            Some(trouble) => format!("container {} {}", trouble.container, trouble.what),
            None => match unscheduled(pod, redact) {
                Some(why) => why,
                None => format!("is {}, not ready", text(pod, "/status/phase")),
            },
        };
        lines.push(format!("pod {}: {what}", text(pod, "/metadata/name")));
    }
    let others = unwell(&evidence.pods).count().saturating_sub(PODS);
    if others > 0 {
        lines.push(format!("{others} more of its pods are not ready"));
    }
    lines.extend(events(evidence, redact));
    let mut lines: Vec<_> = lines.iter().map(|line| visible(&redact(line))).collect();
    if let Some(log) = &evidence.log {
        let hidden = redact(&log.text);
        let all: Vec<_> = hidden.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let newest = all.iter().skip(all.len().saturating_sub(LINES));
        let quoted: Vec<_> = newest.map(|line| format!("`{}`", short(line).replace('`', "'"))).collect();
        lines.push(match quoted[..] {
            [] => format!("{} wrote nothing", visible(&log.container)),
            _ => format!("last lines of {}: {}", visible(&log.container), quoted.join(" ")),
        });
    }
    lines.extend(evidence.missing.iter().map(|missing| redact(missing)));
    lines
}

fn unscheduled(pod: &Value, redact: Redact<'_>) -> Option<String> {
    let conditions = pod.pointer("/status/conditions")?.as_array()?;
    let found =
        conditions.iter().find(|one| text(one, "/type") == "PodScheduled" && text(one, "/status") == "False")?;
    Some(format!("is not scheduled: {}", short(&redact(text(found, "/message")))))
}

/// The newest warnings about the object, its pods, and what stands between them. The same one is told once.
fn events(evidence: &Evidence, redact: Redact<'_>) -> Vec<String> {
    let uid = |object: &Value| text(object, "/metadata/uid").to_owned();
    let ours: Vec<_> = evidence.live.iter().chain(&evidence.pods).map(uid).filter(|uid| !uid.is_empty()).collect();
    let name = evidence.live.as_ref().map(|live| text(live, "/metadata/name")).unwrap_or_default();
    let kind = evidence.live.as_ref().map(|live| text(live, "/kind")).unwrap_or_default();
    let is_about = |event: &&Value| {
        let about = |pointer: &str| text(event, &format!("/involvedObject/{pointer}"));
        // A Deployment's pods are made by replica sets, which are named after it and say why they could not; the pods of a
        // Job that failed are gone, and were named after it, too.
        let between = matches!(about("kind"), "ReplicaSet" | "Pod")
            && !name.is_empty()
            && about("name")
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|rest| !rest.contains('-'));
        // Some who write events leave the uid out.
        let is_named = about("uid").is_empty() && about("name") == name && about("kind") == kind;
        between || is_named || ours.iter().any(|uid| uid == about("uid"))
    };
    let when = |event: &Value| {
        let times = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
        times.iter().map(|at| text(event, at)).find(|time| !time.is_empty()).unwrap_or_default().to_owned()
    };
    let mut about: Vec<_> = evidence.events.iter().filter(is_about).collect();
    about.sort_by_key(|event| std::cmp::Reverse(when(event)));
    let mut told: Vec<(String, i64)> = Vec::new();
    for event in about {
        let count = event.pointer("/series/count").or_else(|| event.pointer("/count")).and_then(Value::as_i64);
        let line = format!("event {}: {}", text(event, "/reason"), short(&redact(text(event, "/message"))));
        match told.iter_mut().find(|(same, _)| *same == line) {
            Some((_, times)) => *times += count.unwrap_or(1),
            None => told.push((line, count.unwrap_or(1))),
        }
    }
    let counted = |(line, times): (String, i64)| if times > 1 { format!("{line} ({times} times)") } else { line };
    told.into_iter().take(EVENTS).map(counted).collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// One line, visible, and no longer than a person reads.
fn short(text: &str) -> String {
    let line = visible(text.trim());
    match line.char_indices().nth(LONG) {
        None => line,
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
