//! Reading the few YAML files that say what else is read.

use serde_json::Value;

use super::RenderError;

/// All documents of a file, as JSON; empty ones are left out.
pub(super) fn documents(file: &str, text: &[u8]) -> Result<Vec<Value>, RenderError> {
    let unreadable = |why: String| RenderError::Unreadable { file: file.to_owned(), why };
    let options = serde_saphyr::options! {
        // Errors quote no line: the file may hold a secret.
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: 64, max_nodes: 250_000, max_documents: 10_000 },
    };
    let text = std::str::from_utf8(text).map_err(|_| unreadable("it is not UTF-8".to_owned()))?;
    let read = serde_saphyr::from_multiple_with_options::<Value>(text, options);
    let documents = read.map_err(|error| unreadable(error.to_string().chars().take(300).collect()))?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// A file of one document, which is a mapping.
pub(super) fn mapping(file: &str, text: &[u8]) -> Result<serde_json::Map<String, Value>, RenderError> {
    let mut documents = documents(file, text)?;
    match (documents.pop(), documents.is_empty()) {
        (Some(Value::Object(map)), true) => Ok(map),
        (None, _) => Ok(serde_json::Map::new()),
        _ => Err(RenderError::Unreadable { file: file.to_owned(), why: "it is not one mapping".to_owned() }),
    }
}

/// The strings of a key that holds a list (or one string).
pub(super) fn strings<'v>(map: &'v serde_json::Map<String, Value>, key: &str) -> Vec<&'v str> {
    match map.get(key) {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one],
        _ => Vec::new(),
    }
}

/// The mappings of a key that holds a list.
pub(super) fn mappings<'v>(
    map: &'v serde_json::Map<String, Value>,
    key: &str,
) -> Vec<&'v serde_json::Map<String, Value>> {
    map.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object).collect()
}
