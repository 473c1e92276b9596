//! The bytes under a digest. Every text is written as its length (eight bytes, big-endian) and its UTF-8, every choice
//! as one byte, every list behind its count: no two different values have the same bytes, whatever they contain.

use sha2::{Digest, Sha256};

use crate::ids::{ObjectHash, SetKey, Target};

/// A digest being written.
pub(super) struct Writer(Sha256);

impl Writer {
    /// Begins with the name and version of the format, so that no two formats share a digest.
    pub(super) fn new(format: &str) -> Self {
        let mut writer = Self(Sha256::new());
        writer.text(format);
        writer
    }

    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.update(text.as_bytes());
    }

    pub(super) fn number(&mut self, number: i64) {
        self.0.update(number.to_be_bytes());
    }

    pub(super) fn count(&mut self, count: usize) {
        self.0.update(u64::try_from(count).unwrap_or(u64::MAX).to_be_bytes());
    }

    /// Nothing is the byte 0; something is the byte 1 and what `write` writes.
    pub(super) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.0.update([0]),
            Some(value) => {
                self.0.update([1]);
                write(self, value);
            }
        }
    }

    pub(super) fn target(&mut self, target: &Target) {
        self.text(target.cluster.as_str());
        self.text(&target.namespace);
    }

    /// The entry is the byte 0; an object the byte 1, group, kind, namespace or none, name.
    pub(super) fn key(&mut self, key: &SetKey) {
        let object = match key {
            SetKey::Entry => None,
            SetKey::Object(object) => Some(object),
        };
        self.option(object, |writer, object| {
            writer.text(&object.group);
            writer.text(&object.kind);
            writer.option(object.namespace.as_deref(), Self::text);
            writer.text(&object.name);
        });
    }

    pub(super) fn hash(&mut self, hash: &ObjectHash) {
        self.0.update(hash.as_bytes());
    }

    pub(super) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
