//! Rego, by conftest's conventions: rules called `deny`, `violation` and `warn` (or `deny_…`) in any package are asked about
//! each object, which is `input`; those of `package bascule.change` and below, once, about the whole change.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use regex::Regex;
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};
use serde_json::Value as Json;

use super::{Effect, Matter, Opinion, Question};
use crate::ids::ObjectKey;

/// Where policies over the whole change are.
const OF_CHANGES: [&str; 2] = ["bascule", "change"];
/// One rule, asked once. The box ends what the engine does not.
const LONGEST: Duration = Duration::from_secs(5);
/// How the error of one that takes more begins. The others are not asked then: each might take as long.
const TOO_LONG: &str = "a rule took longer";

type Files = BTreeMap<String, String>;

/// Whether a file holds tests.
pub fn is_test(path: &str) -> bool {
    path.ends_with("_test.rego")
}

/// A rule that says what is wrong.
struct Entry {
    /// `data.main.deny`.
    path: String,
    /// `warn` warns, whatever its policy does.
    warns: bool,
    is_of_changes: bool,
}

struct Compiled {
    engine: Engine,
    entries: Vec<Entry>,
}

pub(super) fn faults(files: &Files) -> Vec<String> {
    match compile(files).and_then(|mut compiled| compiled.warm()) {
        Ok(()) => Vec::new(),
        Err(faults) => faults,
    }
}

impl Compiled {
    /// Asks everything about nothing: what the engine finds only when it runs, a function that is not there or rules that
    /// need each other, is found before anybody depends on it.
    fn warm(&mut self) -> Result<(), Vec<String>> {
        for entry in &self.entries {
            self.engine.set_input(Value::new_object());
            match self.engine.eval_rule(entry.path.clone()) {
                Ok(_) => {}
                Err(error) if is_of_the_text(&error.to_string()) => return Err(vec![placed(&error.to_string())]),
                // What an empty input does to it is no fault of the text.
                Err(_) => {}
            }
        }
        Ok(())
    }
}

fn is_of_the_text(error: &str) -> bool {
    ["could not find function", "recursion", "undefined function", "use of undefined", "unsafe", "not a function"]
        .iter()
        .any(|words| error.contains(words))
}

fn compile(files: &Files) -> Result<Compiled, Vec<String>> {
    let engine = loaded(files)?;
    let compiled = Compiled { entries: entries(&engine), engine };
    if compiled.entries.is_empty() {
        return Err(vec!["it has no rule called `deny`, `violation` or `warn`".to_owned()]);
    }
    Ok(compiled)
}

/// Reads the files: as Rego of today, or, where that cannot be, as Rego before 1.0.
fn loaded(files: &Files) -> Result<Engine, Vec<String>> {
    if files.is_empty() {
        return Err(vec!["there is no Rego".to_owned()]);
    }
    let chance = Regex::new(r#"\brand\s*(\.|\[)"#).expect("the pattern is constant and valid");
    for (file, text) in files {
        if let Some((before, _)) = text.split_once('\0') {
            return Err(vec![format!("{file}:{}: it has a character of number zero", before.split('\n').count())]);
        }
        // The one builtin of chance that the engine cannot be built without.
        if let Some(found) = chance.find(text) {
            let line = text[..found.start()].lines().count().max(1);
            return Err(vec![format!("{file}:{line}: a policy cannot draw lots: `rand` is not there")]);
        }
    }
    read(files, false).or_else(|faults| read(files, true).map_err(|_| faults))
}

fn read(files: &Files, is_v0: bool) -> Result<Engine, Vec<String>> {
    let mut engine = Engine::new();
    engine.set_rego_v0(is_v0);
    engine.set_strict_builtin_errors(false);
    let interval = NonZeroU32::new(64).expect("it is not zero");
    engine.set_execution_timer_config(ExecutionTimerConfig { limit: LONGEST, check_interval: interval });
    let mut faults = Vec::new();
    for (file, text) in files {
        if let Err(error) = engine.add_policy(file.clone(), text.clone()) {
            faults.push(placed(&error.to_string()));
        }
    }
    if faults.is_empty() { Ok(engine) } else { Err(faults) }
}

/// The rules that say what is wrong, in the order of their paths.
fn entries(engine: &Engine) -> Vec<Entry> {
    let mut engine = engine.clone();
    let packages = engine.get_policy_package_components().unwrap_or_default();
    let mut found: BTreeMap<String, Entry> = BTreeMap::new();
    let modules = engine.get_modules().clone();
    for (package, module) in packages.iter().zip(&modules) {
        let below: Vec<&str> = package.components.iter().map(String::as_str).collect();
        let is_of_changes = below.starts_with(&OF_CHANGES);
        for name in module.policy.iter().filter_map(|rule| head(rule.span().text())) {
            let kind = ["deny", "violation", "warn"]
                .into_iter()
                .find(|kind| name.strip_prefix(kind).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')));
            let Some(kind) = kind else { continue };
            let path = path(&package.components, name);
            found.entry(path.clone()).or_insert(Entry { path, warns: kind == "warn", is_of_changes });
        }
    }
    found.into_values().collect()
}

/// The name a rule begins with; functions are no rules.
fn head(text: &str) -> Option<&str> {
    let text = text.strip_prefix("default").map_or(text, str::trim_start);
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    (!rest.starts_with('(')).then_some(name)
}

fn path(package: &[String], rule: &str) -> String {
    let mut path = "data".to_owned();
    for part in package.iter().map(String::as_str).chain([rule]) {
        let is_word = !part.is_empty()
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !part.starts_with(|c: char| c.is_ascii_digit());
        if is_word {
            path.push('.');
            path.push_str(part);
        } else {
            path.push_str(&format!("[{}]", Json::from(part)));
        }
    }
    path
}

pub(super) fn ask(files: &Files, question: &Question, matter: &Matter) -> Opinion {
    let Compiled { mut engine, entries } = match compile(files) {
        Ok(compiled) => compiled,
        Err(faults) => return Opinion::broken(faults.join("; ")),
    };
    let mut opinion = Opinion::default();
    // What fails is remembered, and the others are asked all the same: what is denied there stays denied.
    let mut about = |entries: &[&Entry], input: Value, object: Option<&ObjectKey>| {
        engine.set_input(input);
        for entry in entries {
            if opinion.broken.as_deref().is_some_and(|why| why.starts_with(TOO_LONG)) {
                return;
            }
            let value = engine.eval_rule(entry.path.clone()).map_err(|error| placed(&error.to_string()));
            let effect = if entry.warns { Effect::Warn } else { question.effect };
            match value.and_then(|value| messages(&value, question)) {
                Ok(all) => all.iter().for_each(|message| opinion.add(effect, object, message)),
                Err(why) => {
                    opinion.breaks(|| object.map_or_else(|| why.clone(), |key| format!("{why} (at {key})")));
                }
            }
        }
    };
    let of_changes: Vec<&Entry> = entries.iter().filter(|entry| entry.is_of_changes).collect();
    let of_objects: Vec<&Entry> = entries.iter().filter(|entry| !entry.is_of_changes).collect();
    if !of_changes.is_empty() {
        about(&of_changes, Value::from(matter.document()), None);
    }
    if !of_objects.is_empty() {
        for pair in &matter.objects {
            let Some(object) = &pair.new else { continue };
            about(&of_objects, Value::from(object.clone()), Some(&pair.key));
        }
    }
    opinion
}

/// What a rule said: nothing, one text, or several; each a text or an object with `msg`.
fn messages(value: &Value, question: &Question) -> Result<BTreeSet<String>, String> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.to_string()),
        Value::Object(entries) => match entries.get(&Value::from("msg")) {
            Some(Value::String(text)) => Ok(text.to_string()),
            _ => Err("a rule gives an object without a text as `msg`".to_owned()),
        },
        _ => Err("a rule gives what is neither text nor an object with `msg`".to_owned()),
    };
    match value {
        Value::Undefined | Value::Bool(false) | Value::Null => Ok(BTreeSet::new()),
        Value::Bool(true) => {
            let said = question.message.clone().unwrap_or_else(|| format!("`{}` says no", question.name));
            Ok(BTreeSet::from([said]))
        }
        Value::Set(items) => items.iter().map(one).collect(),
        Value::Array(items) => items.iter().map(one).collect(),
        other => Ok(BTreeSet::from([one(other)?])),
    }
}

/// One test of a policy.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tested {
    /// `main.test_no_pods`.
    pub name: String,
    /// Why it failed; `None`: it passed.
    pub failed: Option<String>,
}

/// Runs the tests of these files, those of policies among them.
///
/// # Errors
/// What is wrong with the text, with file and line.
pub fn test(files: &Files) -> Result<Vec<Tested>, Vec<String>> {
    let mut engine = loaded(files)?;
    let packages = engine.get_policy_package_components().unwrap_or_default();
    let modules = engine.get_modules().clone();
    let mut rules: BTreeSet<(Vec<String>, String)> = BTreeSet::new();
    for (package, module) in packages.iter().zip(&modules) {
        let names = module.policy.iter().filter_map(|rule| head(rule.span().text()));
        let tests = names.filter(|name| name.starts_with("test_"));
        rules.extend(tests.map(|name| (package.components.clone(), name.to_owned())));
    }
    let mut tested = Vec::new();
    for (package, rule) in rules {
        engine.set_input(Value::new_object());
        let failed = match engine.eval_rule(path(&package, &rule)) {
            Ok(Value::Bool(true)) => None,
            Ok(Value::Undefined | Value::Bool(false)) => Some("it is not true".to_owned()),
            Ok(_) => Some("it gives something that is not true".to_owned()),
            Err(error) => Some(placed(&error.to_string())),
        };
        tested.push(Tested { name: format!("{}.{rule}", package.join(".")), failed });
    }
    Ok(tested)
}

/// The engine draws its errors under the line; we say them in one: `policy/a.rego:3:5: …`.
fn placed(error: &str) -> String {
    // It says how long to the nanosecond, and what is shown must not differ from look to look.
    if error.contains("exceeded time limit") {
        return format!("{TOO_LONG} than {} s", LONGEST.as_secs());
    }
    let place = error.lines().find_map(|line| line.strip_prefix("--> "));
    let said = error.lines().rev().find_map(|line| line.strip_prefix("error: "));
    match (place, said) {
        (Some(place), Some(said)) => format!("{place}: {said}"),
        _ => error.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}
