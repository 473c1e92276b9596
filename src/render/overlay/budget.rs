//! What one build may cost. The core runs in the server's own process on what anybody wrote, so each loop pays.

use serde_json::{Map, Value};

use super::{Outside, outside};

/// Steps: a node read, copied or looked at is one. All of them are some seconds at most, and some hundred MiB.
const STEPS: usize = 5_000_000;
/// Bytes read and generated. What is larger is no ordinary overlay.
const BYTES: usize = 16 << 20;
/// Bytes written into objects. One value may be written into every object, many times over what is read.
const WRITTEN: usize = 32 << 20;
/// Kustomizations entered. A base that two overlays name is entered twice.
const VISITS: usize = 2_000;
/// Nesting of kustomizations.
pub(super) const LEVELS: usize = 32;
/// Objects at any time: as many as a set may hold.
pub(super) const OBJECTS: usize = 5_000;

/// What is left.
#[derive(Debug)]
pub(super) struct Budget {
    steps: usize,
    bytes: usize,
    written: usize,
    visits: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { steps: STEPS, bytes: BYTES, written: WRITTEN, visits: VISITS }
    }

    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Outside> {
        take(&mut self.steps, steps)
    }

    pub(super) fn bytes(&mut self, bytes: usize) -> Result<(), Outside> {
        take(&mut self.bytes, bytes)
    }

    /// Bytes that are written into an object, or copied within it.
    pub(super) fn written(&mut self, bytes: usize) -> Result<(), Outside> {
        take(&mut self.written, bytes)
    }

    /// A whole value that is copied, or compared: each node a step, and its bytes.
    pub(super) fn copied(&mut self, value: &Value) -> Result<(), Outside> {
        self.spend(1)?;
        match value {
            Value::String(text) => self.written(text.len()),
            Value::Array(items) => items.iter().try_for_each(|item| self.copied(item)),
            Value::Object(map) => self.entries(map),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }

    /// The same for all of a mapping.
    pub(super) fn entries(&mut self, map: &Map<String, Value>) -> Result<(), Outside> {
        map.iter().try_for_each(|(key, value)| {
            self.written(key.len())?;
            self.copied(value)
        })
    }

    pub(super) fn visit(&mut self) -> Result<(), Outside> {
        take(&mut self.visits, 1)
    }
}

fn take(left: &mut usize, cost: usize) -> Result<(), Outside> {
    match left.checked_sub(cost) {
        Some(rest) => {
            *left = rest;
            Ok(())
        }
        None => outside("it is larger than what is rendered within the server"),
    }
}
