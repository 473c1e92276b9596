//! A server that answers as GitHub's description says, by its own examples, and takes note of every request that this or the
//! newest GitHub Enterprise Server's description does not allow. A test says what it answers otherwise.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::description::{CLOUD, Description, SERVER};

/// Paths that the description does not have, each with its reason.
const NOT_DESCRIBED: &[(&str, &str)] = &[(
    "GET /repositories/{id}",
    "GitHub's own redirects of renamed repositories lead there; nothing else leads from a number to a name",
)];

pub(super) struct Wire {
    url: String,
    inner: Arc<Inner>,
    /// Ends with the test.
    _serving: JoinSet<()>,
}

struct Inner {
    description: &'static Description,
    /// What is answered otherwise, in order; the last stays.
    says: Mutex<HashMap<String, VecDeque<Says>>>,
    asked: Mutex<Vec<Asked>>,
    /// What the description does not allow.
    faults: Mutex<Vec<String>>,
    operations: Mutex<BTreeSet<String>>,
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// `GET /repos/acme/shop/pulls?state=open`.
    pub(super) line: String,
    pub(super) signed: String,
    /// Of what is known already.
    pub(super) tag: String,
    pub(super) body: Value,
}

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Says {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Value,
}

pub(super) fn says(status: u16, body: Value) -> Says {
    Says { status, headers: Vec::new(), body }
}

impl Says {
    pub(super) fn with(mut self, header: &'static str, value: impl ToString) -> Self {
        self.headers.push((header, value.to_string()));
        self
    }
}

impl Wire {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Arc::new(Inner {
            description: &CLOUD,
            says: Mutex::default(),
            asked: Mutex::default(),
            faults: Mutex::default(),
            operations: Mutex::default(),
        });
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(inner.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, inner, _serving: serving }
    }

    /// As configured: the API is below it, as GitHub Enterprise Server has it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// From now on, `asked` (`GET /user`, without a query) is answered so.
    pub(super) fn says(&self, asked: &str, answers: impl IntoIterator<Item = Says>) {
        self.inner.says.lock().unwrap().insert(asked.to_owned(), answers.into_iter().collect());
    }

    /// What was asked since the last time.
    pub(super) fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.inner.asked.lock().unwrap())
    }

    pub(super) fn take_lines(&self) -> Vec<String> {
        self.take_asked().into_iter().map(|asked| asked.line).collect()
    }

    pub(super) fn operations(&self) -> Vec<String> {
        self.inner.operations.lock().unwrap().iter().cloned().collect()
    }

    /// Whether everything asked was in the description.
    pub(super) fn check(&self) {
        let faults = self.inner.faults.lock().unwrap();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    /// The example of an operation, as JSON to make another of.
    pub(super) fn example(&self, method: &str, path: &str) -> Value {
        self.inner.description.find(method, path).unwrap().example().1
    }
}

async fn answer(
    State(inner): State<Arc<Inner>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Inner { description, says, asked, faults, operations } = &*inner;
    let query: Vec<(String, String)> = reqwest::Url::parse(&format!("http://x{uri}"))
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default();
    let body: Option<Value> = (!body.is_empty()).then(|| serde_json::from_slice(&body).unwrap());
    let (path, is_api) = match uri.path().strip_prefix("/api/v3") {
        Some(path) => (path.to_owned(), true),
        None => (uri.path().to_owned(), false),
    };
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    asked.lock().unwrap().push(Asked {
        line: format!("{method} {path}{}", uri.query().map(|query| format!("?{query}")).unwrap_or_default()),
        signed: text("authorization"),
        tag: text("if-none-match"),
        body: body.clone().unwrap_or_default(),
    });

    let found = description.find(method.as_str(), &path);
    let by_number = path.strip_prefix("/repositories/").filter(|rest| rest.parse::<i64>().is_ok());
    let mut wrong: Vec<String> = match (&found, by_number) {
        (Some(operation), _) => operation.faults(&query, body.as_ref()),
        (None, Some(_)) if NOT_DESCRIBED.iter().any(|(line, _)| *line == format!("{method} /repositories/{{id}}")) => {
            Vec::new()
        }
        (None, _) => vec!["is not in the description".to_owned()],
    };
    match SERVER.find(method.as_str(), &path) {
        Some(operation) => {
            let faults = operation.faults(&query, body.as_ref());
            wrong.extend(faults.into_iter().map(|why| format!("on GitHub Enterprise Server: {why}")));
        }
        None if by_number.is_some() => {}
        None => wrong.push("is not in the description of GitHub Enterprise Server".to_owned()),
    }
    if !is_api {
        wrong.push("is not below the API's address".to_owned());
    }
    for (name, wanted) in [("accept", "application/vnd.github+json"), ("x-github-api-version", "2022-11-28")] {
        if text(name) != wanted {
            wrong.push(format!("has no {name}: {wanted}"));
        }
    }
    // Whoever makes an App is nobody yet.
    let is_nobody = found.as_ref().is_some_and(|operation| operation.id == "apps/create-from-manifest");
    if !text("user-agent").starts_with("bascule/") || text("authorization").starts_with("Bearer ") == is_nobody {
        wrong.push("does not say who asks".to_owned());
    }
    faults.lock().unwrap().extend(wrong.into_iter().map(|why| format!("{method} {uri}: {why}")));
    let id = found.as_ref().map_or("(by number)", |operation| operation.id);
    operations.lock().unwrap().insert(format!("{method} {id}"));

    let mut otherwise = says.lock().unwrap();
    let own = otherwise.get_mut(&format!("{method} {path}"));
    let said = match own {
        Some(list) if list.len() > 1 => list.pop_front().unwrap(),
        Some(list) => list.front().unwrap().clone(),
        None => {
            let (status, body) = found.map_or((404, json!({ "message": "Not Found" })), |found| found.example());
            Says { status, headers: Vec::new(), body }
        }
    };
    let mut answer = (StatusCode::from_u16(said.status).unwrap(), axum::Json(said.body)).into_response();
    for (name, value) in said.headers {
        answer.headers_mut().append(name, value.parse().unwrap());
    }
    answer
}
