//! Other names, tags and digests for images.

use serde_json::Value;

use super::budget::Budget;
use super::facts::Facts;
use super::object::Object;
use super::written::Image;
use super::{Outside, fields, outside, text};

pub(super) fn set(list: &mut [Object], image: &Image, budget: &mut Budget) -> Result<(), Outside> {
    let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:@{}".contains(&b));
    if image.name.is_empty() || image.name.contains(['{', '}']) || !plain(&image.name) {
        return outside("an image is named by a pattern");
    }
    if ![&image.new_name, &image.new_tag, &image.digest].iter().all(|word| plain(word)) {
        return outside("an image has odd characters");
    }
    for object in list.iter_mut().filter(|object| object.kind() != "CustomResourceDefinition") {
        for value in object.json.values_mut() {
            containers(value, image, budget)?;
        }
        if let Some(items) = object.json.get_mut("containers") {
            of_each(items, image, budget)?;
        }
        if let Some(items) = object.json.get_mut("initContainers") {
            of_each(items, image, budget)?;
        }
        fields::each(object, &Facts::get().images, None, &mut |at, budget| update(at, image, budget), budget)?;
    }
    Ok(())
}

/// Whatever is called `containers` or `initContainers`, wherever it is.
fn containers(value: &mut Value, image: &Image, budget: &mut Budget) -> Result<(), Outside> {
    budget.spend(1)?;
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| containers(item, image, budget)),
        Value::Object(map) => map.iter_mut().try_for_each(|(key, value)| {
            containers(value, image, budget)?;
            if key == "containers" || key == "initContainers" { of_each(value, image, budget) } else { Ok(()) }
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn of_each(value: &mut Value, image: &Image, budget: &mut Budget) -> Result<(), Outside> {
    let Value::Array(items) = value else { return Ok(()) };
    budget.spend(items.len())?;
    items.iter_mut().try_for_each(|item| match item {
        Value::Object(container) => container.get_mut("image").map_or(Ok(()), |at| update(at, image, budget)),
        _ => outside("a container is not a mapping"),
    })
}

fn update(value: &mut Value, image: &Image, budget: &mut Budget) -> Result<(), Outside> {
    let Value::String(was) = value else { return outside("an image is not text") };
    // Compared one character after the other.
    budget.spend(1 + was.len().min(image.name.len()) / 16)?;
    let Some(rest) = after_name(was, &image.name) else { return Ok(()) };
    if !is_tag_and_digest(rest) {
        return Ok(());
    }
    let (name, tag, digest) = split(was);
    let name = if image.new_name.is_empty() { name } else { &image.new_name };
    let (tag, digest) = match (image.new_tag.as_str(), image.digest.as_str()) {
        ("", "") => (tag, digest),
        ("", new) => ("", new),
        (new, "") => (new, ""),
        (tag, digest) => (tag, digest),
    };
    let mut new = name.to_owned();
    for (mark, part) in [(':', tag), ('@', digest)] {
        if !part.is_empty() {
            new.push(mark);
            new.push_str(part);
        }
    }
    // It is written without quotes, as what it reads like.
    if !text::is_text(&new) {
        return outside("an image reads like a number");
    }
    budget.written(was.len() + new.len())?;
    *value = new.into();
    Ok(())
}

/// What follows the name. kustomize makes a pattern of the name, in which a dot is any character.
fn after_name<'a>(image: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = image.chars();
    for wanted in name.chars() {
        let have = rest.next()?;
        if wanted != have && (wanted != '.' || have == '\n') {
            return None;
        }
    }
    Some(rest.as_str())
}

/// `:tag`, `@algorithm:digest`, both or nothing.
fn is_tag_and_digest(rest: &str) -> bool {
    let word = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.{}-".contains(&b));
    let (tag, digest) = rest.split_once('@').map_or((rest, None), |(tag, digest)| (tag, Some(digest)));
    let algorithm = |name: &str| {
        name.split(['.', '+', '_', '-']).all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    let tag_fits = tag.is_empty() || tag.strip_prefix(':').is_some_and(word);
    let digest_fits =
        digest.is_none_or(|digest| digest.split_once(':').is_some_and(|(name, value)| algorithm(name) && word(value)));
    tag_fits && digest_fits
}

/// Name, tag and digest. A colon before the first slash is a port.
fn split(image: &str) -> (&str, &str, &str) {
    let from = match image.find('/') {
        Some(slash) if slash > 0 => slash,
        _ => 0,
    };
    let (name_and_tag, digest) = match image[from..].find('@') {
        Some(at) => (&image[..from + at], &image[from + at + 1..]),
        None => (image, ""),
    };
    match name_and_tag[from..].find(':') {
        Some(at) => (&name_and_tag[..from + at], &name_and_tag[from + at + 1..], digest),
        None => (name_and_tag, "", digest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_taken_apart() {
        assert_eq!(split("a"), ("a", "", ""));
        assert_eq!(split("a:1"), ("a", "1", ""));
        assert_eq!(split("host:5000/a/b:1@sha256:ff"), ("host:5000/a/b", "1", "sha256:ff"));
        assert_eq!(split("host:5000/a@sha256:ff"), ("host:5000/a", "", "sha256:ff"));
        assert!(is_tag_and_digest("") && is_tag_and_digest(":1") && is_tag_and_digest(":1@sha256:ff"));
        assert!(!is_tag_and_digest("x") && !is_tag_and_digest("/b:1") && !is_tag_and_digest(":1:2"));
        assert_eq!(after_name("registryXio/a:1", "registry.io/a"), Some(":1"));
    }
}
