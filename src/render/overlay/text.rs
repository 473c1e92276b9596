//! YAML in, where every reader of YAML agrees.
//!
//! kustomize reads manifests by one library and its own file by another, older one; neither is ours. What they could read
//! differently from each other or from us (words like `no`, dates, octal numbers, anchors, tags, odd line ends) is
//! outside the core: the tool then reads it itself.

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

use super::budget::Budget;
use super::{Outside, outside};

/// Nesting that is followed. No real object passes 40.
const DEPTH: usize = 64;

/// Marks that change what kustomize's libraries do with the lines around them.
const MAGIC: [&str; 4] = ["$openapi", "\"$ref\"", "$kpt-set", "x-k8s-cli"];

enum Open {
    List(Vec<Value>),
    Map(Map<String, Value>, Option<String>),
}

/// All documents of a text; empty ones are left out.
pub(super) fn documents(text: &[u8], budget: &mut Budget) -> Result<Vec<Value>, Outside> {
    budget.bytes(text.len())?;
    let text = std::str::from_utf8(text).map_err(|_| Outside::new("a file is not UTF-8"))?;
    if !is_safe(text) {
        return outside("a file has line ends or characters that readers treat differently");
    }
    if MAGIC.iter().any(|mark| text.contains(mark)) {
        return outside("a file has marks for kustomize's own libraries");
    }
    for line in text.lines() {
        let is_separator = |rest: &str| rest.trim().is_empty() || rest.trim_start().starts_with('#');
        if line.starts_with("...")
            || line.starts_with('%')
            || line.strip_prefix("---").is_some_and(|rest| !is_separator(rest))
        {
            return outside("a file separates its documents in an unusual way");
        }
    }
    read(text, budget)
}

/// Whether readers agree about each character: line ends are `\n`, and nothing is invisible.
pub(super) fn is_safe(text: &str) -> bool {
    let odd = |c: char| {
        (c < ' ' && c != '\n' && c != '\t')
            || ('\u{7f}'..='\u{9f}').contains(&c)
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    !text.chars().any(odd)
}

/// Whether kustomize gives a text back as it is: one of several lines that begins with a tab it cannot read again itself.
pub(super) fn is_kept(text: &str) -> bool {
    is_safe(text) && !(text.contains('\n') && text.trim_start_matches(['\n', ' ']).starts_with('\t'))
}

fn read(text: &str, budget: &mut Budget) -> Result<Vec<Value>, Outside> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: DEPTH,
        block_nesting_limit: DEPTH,
    };
    let mut documents = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|_| Outside::new("a file is not YAML"))?;
        budget.spend(1)?;
        let done = match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_, None) | Event::DocumentEnd => continue,
            // A value left empty is a `~` without a place.
            Event::Scalar(_, ScalarStyle::Plain, 0, None)
                if span.start.index() == span.end.index() && !open.is_empty() =>
            {
                return outside("a value is left empty");
            }
            Event::Scalar(text, style, 0, None) => scalar(&text, style)?,
            Event::SequenceStart(_, 0, None) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(_, 0, None) => {
                // However few bytes it is written in, it takes hundreds.
                budget.spend(3)?;
                open.push(Open::Map(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Value::Array(items),
                Some(Open::Map(map, None)) => Value::Object(map),
                _ => return outside("a file is not YAML"),
            },
            _ => return outside("a file has anchors, tags or directives"),
        };
        if open.len() > DEPTH {
            return outside("a file is nested too deeply");
        }
        match open.last_mut() {
            None if done.is_null() => {}
            None => documents.push(done),
            Some(Open::List(items)) => items.push(done),
            Some(Open::Map(map, key)) => match key.take() {
                Some(key) => {
                    map.insert(key, done);
                }
                None => {
                    let Value::String(name) = done else { return outside("a key is not text") };
                    if name == "<<" || map.contains_key(&name) {
                        return outside("a key is written twice, or merges another mapping");
                    }
                    *key = Some(name);
                }
            },
        }
    }
    Ok(documents)
}

fn scalar(text: &str, style: ScalarStyle) -> Result<Value, Outside> {
    // An escape can write what the text itself may not hold.
    if !is_kept(text) {
        return outside("a text has characters that readers treat differently");
    }
    match style {
        ScalarStyle::Plain => plain(text),
        ScalarStyle::Folded
            if text.starts_with([' ', '\t'])
                || text.contains("\n ")
                || text.contains("\n\t")
                || text.ends_with("\n\n") =>
        {
            outside("a folded text keeps indentation or empty lines")
        }
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted | ScalarStyle::Literal | ScalarStyle::Folded => {
            Ok(text.into())
        }
    }
}

/// What an unquoted scalar is, if nobody could take it for anything else.
pub(super) fn plain(text: &str) -> Result<Value, Outside> {
    match text {
        "true" => return Ok(true.into()),
        "false" => return Ok(false.into()),
        "null" | "~" => return Ok(Value::Null),
        _ if is_text(text) => return Ok(text.into()),
        _ => {}
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_whole = |part: &str| all_digits(part) && part.len() <= 15 && (part == "0" || !part.starts_with('0'));
    let number = if is_whole(digits) && text != "-0" {
        text.parse::<i64>().ok().map(Number::from)
    } else if let Some((whole, fraction)) = digits.split_once('.')
        && is_whole(whole)
        && all_digits(fraction)
        && whole.len() + fraction.len() <= 15
    {
        // A fraction of nothing is an integer to everybody who writes JSON.
        text.parse::<f64>().ok().and_then(|float| {
            if float.fract() == 0.0 { Some(Number::from(float as i64)) } else { Number::from_f64(float) }
        })
    } else {
        None
    };
    match number {
        Some(number) => Ok(Value::Number(number)),
        None => outside("an unquoted value that readers of YAML take for different things"),
    }
}

/// Words that some reader takes for a boolean, nothing, or a number.
const WORDS: [&str; 13] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "=", "<<"];

/// Whether an unquoted scalar is text to every reader: not a number, a boolean, a date or nothing.
pub(super) fn is_text(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    if text == "." || text == ".." {
        return true;
    }
    let bare = text.trim_start_matches(['-', '+', '.']).to_ascii_lowercase();
    if WORDS.contains(&text.to_ascii_lowercase().as_str()) || WORDS.contains(&bare.as_str()) {
        return false;
    }
    match first {
        '0'..='9' | '-' | '+' | '.' => {
            let rest = text.trim_start_matches(['-', '+', '.']);
            let begins_as_word = rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '-');
            // Letters of no number, date or unit of either.
            let telling = |c: char| matches!(c.to_ascii_lowercase(), 'g'..='n' | 'p'..='s' | 'u'..='w' | 'y' | '/');
            let in_hash = |c: char| matches!(c.to_ascii_lowercase(), 'a' | 'c' | 'd' | 'f');
            let dotted = text.matches('.').count() >= 2 && text.chars().all(|c| c.is_ascii_digit() || c == '.');
            (first == '-' && rest != text && begins_as_word)
                || text.chars().any(telling)
                || (text.chars().any(in_hash) && !text.contains(['x', 'X', '_', ':', ' ']))
                || (dotted && first.is_ascii_digit())
        }
        '~' => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_nobody_doubts_is_read() {
        for (text, value) in [
            ("abc", json!("abc")),
            ("1", json!(1)),
            ("-12", json!(-12)),
            ("0.5", json!(0.5)),
            ("2.0", json!(2)),
            ("100m", json!("100m")),
            ("64Mi", json!("64Mi")),
            ("10.0.0.1", json!("10.0.0.1")),
            ("1.2.3", json!("1.2.3")),
            ("--port=80", json!("--port=80")),
            ("-v", json!("-v")),
            ("true", json!(true)),
            ("~", json!(null)),
            ("7b3c9ed", json!("7b3c9ed")),
            ("2025a", json!("2025a")),
        ] {
            assert_eq!(plain(text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn what_somebody_doubts_is_left_to_the_tool() {
        for text in [
            "",
            "no",
            "Yes",
            "ON",
            "y",
            "True",
            "NULL",
            "0777",
            "0o17",
            "0x1F",
            "0b11",
            "1e3",
            "1_000",
            "1:30",
            "+5",
            "2024-01-01",
            "2001-12-14t21:59:43Z",
            ".5",
            "5.",
            "-.inf",
            ".NaN",
            "=",
            "-0",
            "01",
            "1e10",
            "12345678901234567890",
            "0.1234567890123456",
            "1E5",
            "08",
            "0b1",
            "190:20:30",
        ] {
            assert!(plain(text).is_err(), "{text}");
        }
    }

    #[test]
    fn odd_texts_are_outside() {
        let read = |text: &str| documents(text.as_bytes(), &mut Budget::new());
        assert_eq!(read("# nothing\n---\n---\na: 1\n--- # next\nb: [x, {c: d}]\n").unwrap().len(), 2);
        for odd in [
            "a: 1\r\nb: 2\r\n",
            "a: &x 1\nb: *x\n",
            "a: !!str 1\n",
            "a: 1\na: 2\n",
            "? [a]\n: b\n",
            "<<: {a: 1}\n",
            "a: 1\n...\nb: 2\n",
            "%YAML 1.2\n---\na: 1\n",
            "--- a\n",
            "a:\n",
            "1: a\n",
            "a: \"\\u0007\"\n",
            "a: [\n",
            "\u{feff}a: 1\n",
            "a: 1 # {\"$openapi\":\"x\"}\n",
        ] {
            assert!(read(odd).is_err(), "{odd:?}");
        }
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        assert!(read(&deep).is_err());
        assert!(documents(&vec![b'a'; 64 << 20], &mut Budget::new()).is_err());
    }
}
