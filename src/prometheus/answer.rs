//! What an answer says (<https://prometheus.io/docs/prometheus/latest/querying/api/>).

use serde::Deserialize;
use serde_json::Value;

use super::{Answer, Fate};

/// Of what it says of an error, in characters.
const SAID: usize = 200;

#[derive(Deserialize)]
struct Read {
    status: String,
    #[serde(default)]
    data: Option<Data>,
    #[serde(default, rename = "errorType")]
    error_type: String,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Value,
}

/// Whether what was asked holds. The error is what becomes of it, and what is wrong.
pub(super) fn read(code: u16, body: &[u8]) -> Result<Answer, (Fate, String)> {
    let read: Result<Read, _> = serde_json::from_slice(body);
    let said = read.as_ref().map(|read| clipped(&read.error)).unwrap_or_default();
    match (code, read) {
        (200, Ok(Read { status, data: Some(data), .. })) if status == "success" => holds(&data),
        (400, Ok(read)) if read.error_type == "bad_data" => {
            Err((Fate::Never, format!("it does not understand the query: {said}")))
        }
        (401 | 403, _) => {
            Err((Fate::Refused, format!("it does not let us in ({code}): `token` of its section is what it is shown")))
        }
        (404, _) => Err((
            Fate::Refused,
            "there is nothing that can be asked (404): `url` names the folder of `/api/v1/query`".to_owned(),
        )),
        (422 | 503, Ok(_)) if !said.is_empty() => {
            Err((Fate::Later, format!("the query could not be answered: {said}")))
        }
        (429 | 500.., _) => Err((Fate::Later, format!("it is not well ({code})"))),
        (200, _) => Err((Fate::Refused, "what it answers is no answer of a Prometheus".to_owned())),
        _ => Err((Fate::Refused, format!("it answers {code} to whom asks"))),
    }
}

fn holds(data: &Data) -> Result<Answer, (Fate, String)> {
    let none = || (Fate::Refused, "what it answers is no answer of a Prometheus".to_owned());
    match data.kind.as_str() {
        "vector" => {}
        "scalar" | "string" | "matrix" => {
            let advice = "what is looked at is whether it gives something: compare a vector, as in `sum(…) < 0.05`";
            return Err((
                Fate::Never,
                format!("the query gives a {}, which holds whatever it is; {advice}", data.kind),
            ));
        }
        _ => return Err(none()),
    }
    let series = data.result.as_array().ok_or_else(none)?;
    let mut numbers = Vec::with_capacity(series.len());
    for one in series {
        if one.get("histogram").is_some() {
            return Err((Fate::Never, "the query gives histograms, which are no numbers".to_owned()));
        }
        let value = one.get("value").and_then(|pair| pair.get(1)).and_then(Value::as_str);
        numbers.push(value.and_then(|value| value.parse::<f64>().ok()).ok_or_else(none)?);
    }
    // Of what cannot be compared, nobody can say that it holds.
    let is_told = !numbers.is_empty() && numbers.iter().all(|number| !number.is_nan());
    Ok(if is_told { Answer::Holds } else { Answer::DoesNot })
}

/// On one line, and short.
fn clipped(text: &str) -> String {
    let mut clipped: String = text.chars().take(SAID).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SAID).is_some() {
        clipped.push('…');
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(result: &str) -> String {
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}},"warnings":["partial"]}}"#)
    }

    #[test]
    fn something_holds_and_nothing_does_not() {
        let one = |value: &str| format!(r#"{{"metric":{{"a":"b"}},"value":[1700000000.1,"{value}"]}}"#);
        for (body, expected) in [
            (vector(""), Answer::DoesNot),
            (vector(&one("0")), Answer::Holds),
            (vector(&one("+Inf")), Answer::Holds),
            (vector(&one("NaN")), Answer::DoesNot),
            (vector(&format!("{},{}", one("1"), one("NaN"))), Answer::DoesNot),
        ] {
            assert_eq!(read(200, body.as_bytes()), Ok(expected), "{body}");
        }
    }

    #[test]
    fn everything_else_is_no_answer_and_says_whose_turn_it_is() {
        let long =
            format!(r#"{{"status":"error","errorType":"bad_data","error":"1:5: parse\nerror {}"}}"#, "x".repeat(900));
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#;
        let slow = r#"{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}"#;
        let deep = "[".repeat(100_000);
        let said = [
            (200, scalar),
            (200, &vector(r#"{"histogram":[1,{}]}"#)),
            (200, &vector(r#"{"value":[1,2]}"#)),
            (200, &vector("7")),
            (200, r#"{"status":"success","data":{"resultType":"vector","result":{}}}"#),
            (200, r#"{"status":"success"}"#),
            (200, "<html>sign in</html>"),
            (200, &deep),
            (400, &long),
            (400, "nginx"),
            (401, ""),
            (404, "not found"),
            (422, r#"{"status":"error","errorType":"execution","error":"many-to-many matching not allowed"}"#),
            (429, ""),
            (503, slow),
            (502, "<html>"),
        ]
        .map(|(code, body)| {
            let (fate, what) = read(code, body.as_bytes()).unwrap_err();
            format!("{fate:?}: {what}")
        });
        insta::assert_snapshot!(said.join("\n"), @"
        Never: the query gives a scalar, which holds whatever it is; what is looked at is whether it gives something: compare a vector, as in `sum(…) < 0.05`
        Never: the query gives histograms, which are no numbers
        Refused: what it answers is no answer of a Prometheus
        Refused: what it answers is no answer of a Prometheus
        Refused: what it answers is no answer of a Prometheus
        Refused: what it answers is no answer of a Prometheus
        Refused: what it answers is no answer of a Prometheus
        Refused: what it answers is no answer of a Prometheus
        Never: it does not understand the query: 1:5: parse error xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
        Refused: it answers 400 to whom asks
        Refused: it does not let us in (401): `token` of its section is what it is shown
        Refused: there is nothing that can be asked (404): `url` names the folder of `/api/v1/query`
        Later: the query could not be answered: many-to-many matching not allowed
        Later: it is not well (429)
        Later: the query could not be answered: query timed out in expression evaluation
        Later: it is not well (502)
        ");
    }
}
