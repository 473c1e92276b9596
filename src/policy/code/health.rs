//! When an object is well, in CEL: expressions over `object`, as it is in the cluster.

use std::sync::Arc;

use cel::{Context, Env, Program, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::cel::{advised, over, value_of};

/// Characters of a message that are kept: as many as of a condition's.
const MOST_MESSAGE: usize = 300;

/// What somebody says of the health of a kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// `group/Kind`.
    pub kind: String,
    /// True when an object is well.
    pub healthy: String,
    /// True when it will not be well by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// True while it is on its way; without it, whatever has neither failed nor is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progressing: Option<String>,
    /// A text: what people are told of one that is not well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Rule {
    /// Its expressions, by their keys.
    pub fn expressions(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let optional = [("failed", &self.failed), ("progressing", &self.progressing), ("message", &self.message)];
        let optional = optional.into_iter().filter_map(|(key, text)| Some((key, text.as_deref()?)));
        std::iter::once(("healthy", self.healthy.as_str())).chain(optional)
    }
}

/// An object that is judged by a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The rule's name, as people are told of it.
    pub by: String,
    /// The rule.
    pub rule: Rule,
    /// The object, as it is in the cluster.
    pub object: Json,
}

/// What a rule says of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Said {
    /// It is well.
    Healthy,
    /// Not yet, and why.
    Progressing(String),
    /// It will not be by itself, and why.
    Failed(String),
    /// The rule does not tell, and why not.
    Unknown(String),
    /// The rule gave no answer: it took too long or too much. It would the next time.
    Unanswered(String),
}

/// What is wrong with an expression over an object.
pub fn fault(text: &str) -> Option<String> {
    over(text, &["object"]).err()
}

/// Judges an object. What cannot be asked never makes it well.
pub fn judge(Asked { by, rule, object }: &Asked) -> Said {
    let env = Arc::new(Env::stdlib());
    let mut context = Context::with_env(env);
    context.add_variable_from_value("object", value_of(object));
    let is = |key: &str, text: &str| -> Result<bool, Said> {
        let unasked = |why: String| unasked(by, key, object, &why);
        match run(text, &context).map_err(unasked)? {
            Value::Bool(is) => Ok(is),
            other => Err(unasked(format!("it gives {}, and not true or false", other.type_of()))),
        }
    };
    let told = |otherwise: String| match rule.message.as_deref().map(|text| run(text, &context)) {
        None => otherwise,
        Some(Ok(Value::String(text))) if !text.is_empty() => text.chars().take(MOST_MESSAGE).collect(),
        Some(Ok(Value::String(_) | Value::Null)) => otherwise,
        Some(Ok(other)) => format!("{otherwise} (its `message` gives {}, and no text)", other.type_of()),
        Some(Err(why)) => format!("{otherwise} (its `message` cannot be asked: {why})"),
    };
    let judged = || -> Result<Said, Said> {
        if let Some(failed) = &rule.failed
            && is("failed", failed)?
        {
            return Ok(Said::Failed(told(format!("has failed by health rule {by}"))));
        }
        if is("healthy", &rule.healthy)? {
            return Ok(Said::Healthy);
        }
        match &rule.progressing {
            Some(progressing) if !is("progressing", progressing)? => {
                Ok(Said::Unknown(format!("nothing of health rule {by} is true of it")))
            }
            Some(_) | None => Ok(Said::Progressing(told(format!("is not well yet by health rule {by}")))),
        }
    };
    judged().unwrap_or_else(|said| said)
}

fn run(text: &str, context: &Context<'_, '_>) -> Result<Value, String> {
    let program: Program = over(text, &["object"])?;
    program.execute(context).map_err(|error| advised(error.to_string()))
}

/// Most objects have no status until their controller has met them, and rules read what is in it.
fn unasked(by: &str, key: &str, object: &Json, why: &str) -> Said {
    let is_met = object.get("status").and_then(Json::as_object).is_some_and(|status| !status.is_empty());
    if !is_met && why.starts_with("No such key") {
        return Said::Progressing("its controller has said nothing yet".to_owned());
    }
    Said::Unknown(format!("`{key}` of health rule {by} cannot be asked: {why}"))
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
