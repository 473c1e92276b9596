//! Which lines of two texts correspond: Myers' greedy algorithm with a bound on its work.

use std::collections::HashMap;
use std::ops::Range;

use super::lines::Line;

/// Differences the algorithm looks for before it gives up and calls the whole middle different. Its memory is the square
/// of this (32 MB), its time this times the lines, so one million shuffled lines cost what ten thousand do.
const MOST_EDITS: usize = 2_000;

/// Lines `old` were replaced by lines `new`; either may be empty, not both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) old: Range<usize>,
    pub(super) new: Range<usize>,
}

/// The runs that differ, in order.
pub(super) fn align<'a>(before: &'a [Line], after: &'a [Line]) -> Vec<Run> {
    let mut numbers = HashMap::new();
    let mut numbered = |lines: &'a [Line]| -> Vec<usize> {
        let number = |line: &'a Line| {
            let next = numbers.len();
            *numbers.entry(line.compared.as_str()).or_insert(next)
        };
        lines.iter().map(number).collect()
    };
    let (old, new) = (numbered(before), numbered(after));
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut runs = match edits(old, new) {
        Some(runs) => runs,
        None => vec![Run { old: 0..old.len(), new: 0..new.len() }],
    };
    runs.retain(|run| !(run.old.is_empty() && run.new.is_empty()));
    for run in &mut runs {
        run.old = run.old.start + head..run.old.end + head;
        run.new = run.new.start + head..run.new.end + head;
    }
    runs
}

/// Myers, "An O(ND) Difference Algorithm and Its Variations", 1986, with the furthest points of every round kept to walk
/// back; `None` beyond the bound.
fn edits(old: &[usize], new: &[usize]) -> Option<Vec<Run>> {
    let (n, m) = (old.len(), new.len());
    if n == 0 || m == 0 {
        return Some(vec![Run { old: 0..n, new: 0..m }]);
    }
    let limit = MOST_EDITS.min(n + m);
    // furthest[k + d] after round d is the furthest x on diagonal k = x - y.
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    for d in 0..=limit {
        let mut furthest = vec![0; 2 * d + 1];
        for step in 0..=d {
            let k = 2 * step as isize - d as isize;
            let mut x = start(rounds.last(), k, d);
            let mut y = usize::try_from(x as isize - k).unwrap_or(usize::MAX);
            while x < n && y < m && old[x] == new[y] {
                x += 1;
                y += 1;
            }
            furthest[(k + d as isize) as usize] = x;
            if x >= n && y >= m {
                rounds.push(furthest);
                return Some(walk_back(&rounds, n, m));
            }
        }
        rounds.push(furthest);
    }
    None
}

/// Where round `d` begins on diagonal `k`: below the furthest point of one neighbour, or right of the other's.
fn start(last: Option<&Vec<usize>>, k: isize, d: usize) -> usize {
    let Some(last) = last else { return 0 };
    if goes_down(last, k, d) { point(last, k + 1, d) } else { point(last, k - 1, d) + 1 }
}

fn goes_down(last: &[usize], k: isize, d: usize) -> bool {
    k == -(d as isize) || (k != d as isize && point(last, k - 1, d) < point(last, k + 1, d))
}

/// The furthest x on diagonal `k` of the round before `d`.
fn point(last: &[usize], k: isize, d: usize) -> usize {
    last[(k + d as isize - 1) as usize]
}

fn walk_back(rounds: &[Vec<usize>], n: usize, m: usize) -> Vec<Run> {
    let (mut x, mut y) = (n as isize, m as isize);
    let mut runs: Vec<Run> = Vec::new();
    for d in (1..rounds.len()).rev() {
        let last = &rounds[d - 1];
        let k = x - y;
        let from = if goes_down(last, k, d) { k + 1 } else { k - 1 };
        let (before_x, down) = (point(last, from, d) as isize, from == k + 1);
        let before_y = before_x - from;
        let (px, py) = (before_x as usize, before_y as usize);
        let step = if down { Run { old: px..px, new: py..py + 1 } } else { Run { old: px..px + 1, new: py..py } };
        match runs.last_mut() {
            Some(next) if next.old.start == step.old.end && next.new.start == step.new.end => {
                next.old.start = step.old.start;
                next.new.start = step.new.start;
            }
            _ => runs.push(step),
        }
        (x, y) = (before_x, before_y);
    }
    runs.reverse();
    runs
}
