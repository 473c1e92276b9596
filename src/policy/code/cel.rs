//! CEL, as Kubernetes' ValidatingAdmissionPolicy has it: an expression over `object` and `oldObject`, or over `change`;
//! true is good.

use std::collections::HashMap;
use std::sync::Arc;

use cel::{Context, Env, Program, Value};
use serde_json::Value as Json;

use super::{Matter, Opinion, Question, names};

/// The names an expression may use.
const NAMES: [&str; 4] = ["object", "oldObject", "request", "change"];

/// What an expression is asked about.
enum Over {
    /// Each object of the result.
    Objects,
    /// And each that is removed: an expression that asks for the operation knows that there are such.
    ObjectsAndRemoved,
    /// All of it, once.
    Change,
}

pub(super) fn faults(text: &str) -> Vec<String> {
    compile(text).err().into_iter().collect()
}

/// The parser goes down once for each bracket, on the stack of whoever calls it.
const DEEPEST: usize = 50;

/// An expression over these variables.
pub(super) fn over(text: &str, given: &[&str]) -> Result<Program, String> {
    let program = parse(text)?;
    match names::unknown(program.expression(), given) {
        Some(why) => Err(why),
        None => Ok(program),
    }
}

fn parse(text: &str) -> Result<Program, String> {
    if text.contains('\0') {
        return Err("it has a character of number zero".to_owned());
    }
    let mut depth = 0_usize;
    for character in text.chars() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err("its brackets are deeper than is read".to_owned());
        }
    }
    Env::stdlib().compile(text).map_err(|errors| {
        let first = errors.errors.first();
        first.map_or_else(
            || "this is not CEL".to_owned(),
            |error| {
                // What could have stood there instead is everything.
                let said = error.msg.lines().next().unwrap_or_default();
                let said = said.split_once(" expecting ").map_or(said, |(said, _)| said);
                format!("{}:{}: {said}", error.pos.0, error.pos.1)
            },
        )
    })
}

fn compile(text: &str) -> Result<(Program, Over), String> {
    let program = parse(text)?;
    let references = program.references();
    let is_over_change = references.has_variable("change");
    let is_over_objects = NAMES[..3].iter().any(|name| references.has_variable(name));
    let over = match (is_over_objects, is_over_change) {
        (true, true) => return Err("it asks about `change` and about one `object`: make two policies of it".to_owned()),
        (false, false) => return Err("it asks about neither `object` nor `change`".to_owned()),
        (false, true) => Over::Change,
        (true, false) if references.has_variable("request") => Over::ObjectsAndRemoved,
        (true, false) => Over::Objects,
    };
    drop(references);
    let given: &[&str] = match over {
        Over::Change => &["change"],
        Over::Objects | Over::ObjectsAndRemoved => &NAMES[..3],
    };
    if let Some(why) = names::unknown(program.expression(), given) {
        return Err(why);
    }
    Ok((program, over))
}

pub(super) fn ask(text: &str, question: &Question, matter: &Matter) -> Opinion {
    let (program, over) = match compile(text) {
        Ok(compiled) => compiled,
        Err(why) => return Opinion::broken(why),
    };
    let said = || question.message.clone().unwrap_or_else(|| format!("`{text}` is not true"));
    let mut opinion = Opinion::default();
    let env = Arc::new(Env::stdlib());
    let asked = |variables: [(&str, &Json); 3]| {
        let mut context = Context::with_env(env.clone());
        for (name, value) in variables {
            context.add_variable_from_value(name, value_of(value));
        }
        match program.execute(&context) {
            Ok(Value::Bool(good)) => Ok(good),
            Ok(other) => Err(format!("it gives {}, and not true or false", other.type_of())),
            Err(error) => Err(advised(error.to_string())),
        }
    };
    if let Over::Change = over {
        let (document, none) = (matter.document(), Json::Null);
        match asked([("change", &document), ("object", &none), ("oldObject", &none)]) {
            Ok(true) => {}
            Ok(false) => opinion.add(question.effect, None, &said()),
            Err(why) => opinion.breaks(|| why),
        }
        return opinion;
    }
    let nothing = Json::Null;
    for pair in &matter.objects {
        if pair.new.is_none() && matches!(over, Over::Objects) {
            continue;
        }
        let object = pair.new.as_ref().unwrap_or(&nothing);
        let old = pair.old.as_ref().unwrap_or(&nothing);
        match asked([("object", object), ("oldObject", old), ("request", &pair.request())]) {
            Ok(true) => {}
            Ok(false) => opinion.add(question.effect, Some(&pair.key), &said()),
            // The others are asked all the same: what is denied there stays denied.
            Err(why) => opinion.breaks(|| format!("at {}: {why}", pair.key)),
        }
    }
    opinion
}

/// Whole numbers are signed, as Kubernetes has them: an unsigned one could not be added to a literal.
pub(super) fn value_of(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(signed), _) => Value::Int(signed),
            (None, Some(unsigned)) => Value::UInt(unsigned),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(value_of).collect())),
        Json::Object(entries) => {
            let entries: HashMap<String, Value> =
                entries.iter().map(|(key, value)| (key.clone(), value_of(value))).collect();
            Value::from(entries)
        }
    }
}
/// An error of an expression, with what to do about the one that every author meets first: CEL has no optional fields.
pub(super) fn advised(error: String) -> String {
    if error.starts_with("No such key") { error + " (ask first whether it is there: `has(…)`)" } else { error }
}
