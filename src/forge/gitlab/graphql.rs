//! The few questions that only GraphQL answers. They read; that they are sent by POST is GraphQL's manner.

use serde::Deserialize;
use serde_json::{Value, json};

use super::GitLab;
use crate::forge::error::{Fate, Result};
use crate::forge::http::Call;

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    data: Option<Value>,
    #[serde(default)]
    errors: Vec<Value>,
}

impl GitLab {
    /// What a query gives. An answer with an error in it is none, because what it lacks could not be told from what is
    /// not there.
    pub(super) async fn graphql(&self, name: &'static str, query: &str, variables: Value) -> Result<Value> {
        let call = Call { name, path: &["graphql"], query: &[] };
        let answer: Answer = self.http.post(call, &json!({ "query": query, "variables": variables })).await?;
        match (answer.data, answer.errors.first()) {
            (Some(data), None) => Ok(data),
            (_, error) => {
                let inert = |c: char| if c.is_control() || c == '`' { ' ' } else { c };
                let said = error.and_then(|error| error["message"].as_str()).unwrap_or("nothing");
                let said: String = said.chars().map(inert).take(200).collect();
                Err(self.http.error(Fate::Invalid, None, format!("does not answer this query (/graphql said {said})")))
            }
        }
    }
}

/// The number in `gid://gitlab/User/5`.
pub(super) fn number(global: &Value) -> Option<i64> {
    global.as_str()?.rsplit_once('/')?.1.parse().ok()
}
