//! GitHub's own description of its API, as far as a mock has to read it: is this call in it, with these parameters and this
//! body, and what does it answer by its own example?

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::parts::shared;
use crate::schema::faults;

/// The description of one GitHub.
pub(super) struct Description(Value);

/// Of api.github.com. Read once: it is twelve megabytes.
pub(super) static CLOUD: LazyLock<Description> = LazyLock::new(|| Description::read(&file_of_cloud()));
/// Of the newest GitHub Enterprise Server that one is published of.
pub(super) static SERVER: LazyLock<Description> = LazyLock::new(|| Description::read(&file_of_server()));
const GENERATED: &str = "published/@octokit/openapi/generated";

/// Where api.github.com is described.
pub(super) fn file_of_cloud() -> PathBuf {
    shared(GENERATED).unwrap().join("api.github.com.json")
}

/// Where the newest GitHub Enterprise Server is described that one is published of.
pub(super) fn file_of_server() -> PathBuf {
    let folder = shared(GENERATED).unwrap();
    let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let version = |name: &String| -> Option<Vec<u32>> {
        let version = name.strip_prefix("ghes-")?.strip_suffix(".json")?;
        version.split('.').map(|part| part.parse().ok()).collect()
    };
    let newest = names.filter(|name| version(name).is_some()).max_by_key(version).unwrap();
    folder.join(newest)
}

/// An operation that a request was found to be.
pub(super) struct Operation<'d> {
    /// As the description calls it: `pulls/get`.
    pub(super) id: &'d str,
    operation: &'d Value,
    path: &'d Value,
    root: &'d Value,
}

impl Description {
    fn read(file: &Path) -> Self {
        Self(serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap())
    }

    /// The operation of a method and a path below the API's address. Words win over placeholders.
    pub(super) fn find(&self, method: &str, path: &str) -> Option<Operation<'_>> {
        let asked: Vec<&str> = path.split('/').collect();
        let is_placeholder = |part: &str| part.starts_with('{');
        let fits = |template: &str| {
            let parts: Vec<&str> = template.split('/').collect();
            let same = |(part, own): (&&str, &&str)| part == own || (is_placeholder(part) && !own.is_empty());
            parts.len() == asked.len() && parts.iter().zip(&asked).all(same)
        };
        let paths = self.0["paths"].as_object().unwrap().iter().filter(|(template, _)| fits(template));
        let (_, path) = paths.min_by_key(|(template, _)| template.matches('{').count())?;
        let operation = path.get(method.to_ascii_lowercase())?;
        Some(Operation { id: operation["operationId"].as_str().unwrap(), operation, path, root: &self.0 })
    }
}

impl Operation<'_> {
    /// What is wrong with a request.
    pub(super) fn faults(&self, query: &[(String, String)], body: Option<&Value>) -> Vec<String> {
        let own = [&self.operation["parameters"], &self.path["parameters"]];
        let parameters: Vec<&Value> =
            own.iter().filter_map(|list| list.as_array()).flatten().map(|one| self.resolve(one)).collect();
        let mut found = Vec::new();
        for (name, text) in query {
            let Some(parameter) = parameters.iter().find(|one| one["in"] == "query" && one["name"] == *name) else {
                found.push(format!("no parameter `{name}`"));
                continue;
            };
            let schema = self.resolve(&parameter["schema"]);
            let value = match schema["type"].as_str() {
                Some("integer") => text.parse::<i64>().map_or(json!(text), |number| json!(number)),
                _ => json!(text),
            };
            found.extend(faults(schema, &value, self.root, &format!("?{name}")));
        }
        let required = parameters.iter().filter(|one| one["in"] == "query" && one["required"] == true);
        let given: BTreeSet<&str> = query.iter().map(|(name, _)| name.as_str()).collect();
        found.extend(
            required.filter(|one| !given.contains(one["name"].as_str().unwrap())).map(|one| format!("lacks {one}")),
        );
        match (body, self.operation.get("requestBody")) {
            (Some(body), Some(wanted)) => {
                let schema = &self.resolve(wanted)["content"]["application/json"]["schema"];
                found.extend(faults(schema, body, self.root, "body"));
            }
            (Some(_), None) => found.push("takes no body".to_owned()),
            (None, Some(wanted)) if self.resolve(wanted)["required"] == true => found.push("lacks its body".to_owned()),
            (None, _) => {}
        }
        found
    }

    /// What it answers when all is well, by the description's first example. Two of them are not of their own schema: that
    /// of an issue is no JSON of one, and that of the activity has the names of a trial before it was published.
    pub(super) fn example(&self) -> (u16, Value) {
        let (code, mut value) = self.written_example();
        match self.id {
            "issues/get" => {
                let operation = &self.path["patch"];
                return Operation { id: "issues/update", operation, ..*self }.example();
            }
            "repos/list-activities" => {
                for entry in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                    for (old, new) in [("pushed_at", "timestamp"), ("push_type", "activity_type"), ("pusher", "actor")]
                    {
                        let moved = entry.remove(old).unwrap();
                        entry.insert(new.to_owned(), moved);
                    }
                }
            }
            _ => {}
        }
        (code, value)
    }

    fn written_example(&self) -> (u16, Value) {
        let responses = self.operation["responses"].as_object().unwrap();
        let (code, answer) = responses.iter().find(|(code, _)| code.starts_with('2')).unwrap();
        let examples = &self.resolve(answer)["content"]["application/json"]["examples"];
        let first = examples.as_object().and_then(|examples| examples.values().next());
        let value = first.map_or(Value::Null, |first| self.resolve(first)["value"].clone());
        (code.parse().unwrap(), value)
    }

    fn resolve<'v>(&'v self, value: &'v Value) -> &'v Value {
        let mut value = value;
        while let Some(to) = value.get("$ref").and_then(Value::as_str) {
            value = self.root.pointer(to.trim_start_matches('#')).unwrap();
        }
        value
    }
}
