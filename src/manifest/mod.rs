//! Manifests: from rendered YAML to the objects of an environment, their identity, hashes, order and differences.
//!
//! ```text
//! files ──parse──▶ Parsed ──RenderedSet::build──▶ Object (identity, canonical JSON, hash) ──diff──▶ what people read
//!                          Scopes, Within, HashKey ▲
//! ```
//!
//! Pure: the same bytes give the same set on every machine. What is decided here, once:
//!
//! * Text of every [`Dialect`] is read as `kubectl` reads it ([`yaml`]): YAML 1.1 booleans, `0777` octal, merge keys.
//! * A number is kept exactly or refused; `1.0` is `1`. A key written twice is refused.
//! * What only the server sets leaves an object, a Secret's `stringData` becomes `data` ([`shape`]).
//! * Which objects run once as hooks; those of acts that are no sync are left out, and named ([`hooks`]).
//! * What an object needs of its set before it is sent ([`edges()`]), and in which wave it goes ([`wave`]).
//! * What a person looks for first in a change is told beside its lines ([`Notable`]).
//! * Identity has no version: the same object may be written at another API version ([`crate::ids::ObjectKey`]).
//!
//! Absent on purpose: schemas (the cluster's dry run knows them; [`checks`] has what it would not say clearly), and opening
//! what is sealed: a Secret of SOPS is hashed, compared and judged as it is written ([`is_sealed`]).

mod canonical;
mod checks;
mod diff;
mod edges;
pub mod edit;
mod error;
mod fingerprint;
mod fixed;
mod hooks;
mod identity;
mod notable;
mod order;
mod schema;
mod scope;
mod sealed;
mod served;
mod set;
mod shape;
mod visible;
mod within;
mod yaml;

pub use canonical::{HashKey, canonical_json};
pub use diff::{
    Body, Hunk, Manner, ObjectDiff, Quiet, Room, Verb, compare, diff, diff_rules, differing, is_secret_flag,
    looks_secret, without_secrets,
};
pub use edges::edges;
pub use error::{ManifestError, Problem};
pub use fingerprint::Fingerprints;
pub use hooks::{Act, Deletes, Hook, When, hook};
pub use notable::Notable;
pub use order::{Phase, apply_order, delete_order, phase, wave};
pub use schema::{Fit, fit as schema_fit};
pub use scope::{Scope, Scopes, is_built_in_group};
pub use sealed::{for_opening, is_sealed, with_opened, with_placeholders};
pub use served::ServedSchemas;
pub use set::{LeftOut, Object, RenderedSet};
pub use visible::visible;
pub use within::{Judge, Within};
pub use yaml::{Dialect, Limits, Parsed, parse};

/// What every annotation and label of ours begins with.
pub const OUR_PREFIX: &str = "bascule.dev/";
