//! Every word of a preview: what a pull request would change, who consents, what became of it.
//!
//! ```text
//! Page (typed, redacted, stored) ──comment──▶ Markdown, within the forge's limit
//!                                ──terminal─▶ text for `bascule diff`
//!                                ──serde────▶ JSON; the web's page escapes it itself
//! status: the one line beside a commit     check: the same with a summary, and lines of files     answer: to a command
//! ```
//!
//! Nothing of a pull request's head is trusted as Markdown (invariant 5): every name, value, branch and error text goes
//! through [`markdown`], where it becomes code or is escaped, so that the document has exactly our nodes. Sentences of
//! ours are in this module alone.

mod adoption;
mod answer;
mod baselines;
mod check;
mod comment;
mod drift_told;
mod emergency;
mod facts;
mod fit;
mod hidden;
mod live;
mod mark;
mod markdown;
mod merge_rule;
mod page;
mod policies;
mod progress;
mod revert;
mod standing;
mod status;
mod terminal;
#[cfg(test)]
mod tests;
mod words;

pub use adoption::Adoption;
pub use answer::{Answer, Answered, Meaning};
pub use baselines::{HEADS, Weight};
pub use check::{Check, check};
pub use comment::{Comment, MARKER, comment, is_marked, updating};
pub use drift_told::{DriftTold, drift_issue, drift_over, is_drift_issue};
pub use emergency::{emergency_issue, emergency_reminder, is_emergency_issue, is_emergency_reminder};
pub use live::Live;
pub use mark::{Mark, Tells};
pub use merge_rule::MergeRule;
pub use page::{
    Consent, Deployment, EnvironmentRow, NotCounted, ObjectChange, Outcome, Page, Rendering, RowChange, Subject,
};
pub use policies::{PolicyRemark, PolicyWaiver, Ruling, WaivedBy};
pub use progress::{progress, without_progress};
pub use revert::Revert;
pub use standing::{Admission, Drift, Drifted, Effect, Standing};
pub use status::{CONSENT_CONTEXT, PREVIEW_CONTEXT, StatusLine, StatusState, consent_status, one_line, preview_status};
pub use terminal::{Look, terminal};
pub use words::{held_issue, is_held_issue};
