//! Canonical JSON and the key it is hashed under (rule 2 of consent).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Number, Value};
use sha2::Sha256;

use crate::ids::ObjectHash;

/// Below this an `f64` holds every integer exactly: 2^53.
pub(super) const EXACT: f64 = 9_007_199_254_740_992.0;

/// The installation's key for object hashes, kept outside the database, so that a hash in a database dump or a comment
/// cannot be guessed back to a password.
#[derive(Clone)]
pub struct HashKey([u8; 32]);

impl HashKey {
    /// Wraps the key's bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// HMAC-SHA-256 of the value's canonical JSON.
    pub fn hash(&self, value: &Value) -> ObjectHash {
        ObjectHash(self.of_bytes(&canonical_json(value)))
    }

    /// The same of bytes that are no value.
    pub(super) fn of_bytes(&self, bytes: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("HashKey(…)")
    }
}

/// The one way to write a value: keys sorted by their bytes, no white space, integers exact, a float without fraction
/// as the integer it is. This is what is hashed, and what is sent.
pub fn canonical_json(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            // Sorted here and not by the map's type, which another crate's feature could change under us.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by(|a, b| a.0.cmp(b.0));
            out.push(b'{');
            for (place, (key, inner)) in entries.into_iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                plain(&Value::String(key.clone()), out);
                out.push(b':');
                write(inner, out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Number(number) => plain(&Value::Number(integral(number)), out),
        Value::Null | Value::Bool(_) | Value::String(_) => plain(value, out),
    }
}

fn plain(value: &Value, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a scalar is always JSON, and a Vec takes every write");
}

/// `2.0` as `2`; every other number as it is.
fn integral(number: &Number) -> Number {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT => Number::from(float as i64),
        _ => number.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn canonical_json_is_one_text_for_one_value() {
        let value = json!({"b": [1, 2.0, 0.5, -0.0, null], "a": {"z": "ä\n\u{1}\"", "": u64::MAX}, "A": i64::MIN});
        insta::assert_snapshot!(
            String::from_utf8(canonical_json(&value)).unwrap(),
            @r#"{"A":-9223372036854775808,"a":{"":18446744073709551615,"z":"ä\n\u0001\""},"b":[1,2,0.5,0,null]}"#
        );
    }

    #[test]
    fn a_hash_depends_on_key_and_content_alone() {
        let (ours, theirs) = (HashKey::new([1; 32]), HashKey::new([2; 32]));
        assert_eq!(ours.hash(&json!({"a": 1, "b": 2})), ours.hash(&json!({"b": 2.0, "a": 1})));
        assert_ne!(ours.hash(&json!({"a": 1})), theirs.hash(&json!({"a": 1})));
        assert_ne!(ours.hash(&json!({"a": 1})), ours.hash(&json!({"a": "1"})));
        assert_eq!(format!("{ours:?}"), "HashKey(…)");
    }
}
