//! Which lines of two texts correspond.

use std::ops::Range;

use imara_diff::{Algorithm, Diff, InternedInput};

use super::lines::Line;

/// Lines `old` were replaced by lines `new`; either may be empty, not both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) old: Range<usize>,
    pub(super) new: Range<usize>,
}

/// The runs that differ, in order. Myers' algorithm and not the histogram's, which is twenty times slower on YAML, where
/// the same lines come again and again.
pub(super) fn align(before: &[Line], after: &[Line]) -> Vec<Run> {
    let mut input = InternedInput::default();
    input.update_before(before.iter().map(|line| line.compared.as_str()));
    input.update_after(after.iter().map(|line| line.compared.as_str()));
    let range = |lines: Range<u32>| lines.start as usize..lines.end as usize;
    let hunks = Diff::compute(Algorithm::Myers, &input);
    hunks.hunks().map(|hunk| Run { old: range(hunk.before), new: range(hunk.after) }).collect()
}
