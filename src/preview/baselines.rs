//! The three baselines of an environment, side by side and each by its name: in a comment, on a page, in a terminal.

use super::live::Live;
use super::markdown::{NAME, clip, code, prose};
use super::page::{Deployment, EnvironmentRow, ObjectChange, RowChange};
use super::standing::{Admission, Drifted, Effect, Standing, counted};
use super::words::{count, name};
use crate::ids::ObjectKey;
use crate::manifest::Verb;

/// Characters of one sentence of others.
const SAID: usize = 600;

/// What the three are called, and the server's answer beside them.
pub const HEADS: [&str; 4] =
    ["change: base → merged", "effect now: live → merged", "drift already: live → base", "API server"];

/// Something that has to be said of one object. The order is that in which they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// The API server says no, or a sync would stop.
    Refused,
    /// It is not as the base has it.
    Drift,
    /// Applying does something else than the change.
    Effect,
    /// The API server warns, or could not be asked.
    Noted,
}

impl EnvironmentRow {
    /// What the cluster says beside the change, as long as that is ahead: once it is merged and its turn has come, it is of
    /// yesterday.
    fn compared(&self) -> Option<&Standing> {
        let is_ahead = match self.deployment {
            Deployment::AfterMerge { .. }
            | Deployment::OnCommand { .. }
            | Deployment::Never
            | Deployment::Local
            | Deployment::Held { .. } => true,
            Deployment::Nothing
            | Deployment::Queued
            | Deployment::Running { .. }
            | Deployment::Verifying { .. }
            | Deployment::Healthy { .. }
            | Deployment::Failed { .. } => false,
        };
        let changes = matches!(self.change, RowChange::Change { .. });
        self.standing.as_ref().filter(|_| changes && is_ahead)
    }

    /// What the API server answered to an object of this row, in few words, as long as it is not of yesterday.
    pub fn answer_to(&self, change: &ObjectChange) -> Option<&'static str> {
        self.compared().and(change.admission.as_ref()).map(Admission::mark)
    }

    /// The cells of [`HEADS`]; `None` where nothing was compared with a cluster.
    pub fn baselines(&self) -> Option<[String; 4]> {
        let standing = self.compared()?;
        let counts = self.counts().into_iter().zip(["added", "changed", "removed"]).filter(|(number, _)| *number > 0);
        let counts: Vec<String> = counts.map(|(number, what)| format!("{number} {what}")).collect();
        let change = if counts.is_empty() { "its own rules".to_owned() } else { counts.join(", ") };
        if standing.unknown.is_some() {
            return Some([change, "not known".to_owned(), "not known".to_owned(), self.answered()]);
        }
        let drift = counted(standing.drift.iter().map(|drift| drift.how.kind()));
        let more = if standing.more > 0 { format!(" and {} more", standing.more) } else { String::new() };
        let drift = if drift.is_empty() { "none".to_owned() } else { drift + &more };
        Some([change, self.effect(standing), drift, self.answered()])
    }

    /// `the change`, and how applying now departs from it.
    fn effect(&self, standing: &Standing) -> String {
        let of_change = counted(self.objects().iter().filter_map(|object| object.effect.as_ref()).map(Effect::kind));
        let besides = |of: &dyn Fn(&Drifted) -> bool| {
            let own = |key: &ObjectKey| self.objects().iter().any(|object| object.diff.key == *key);
            standing.drift.iter().filter(|one| !own(&one.key) && of(&one.how)).count()
        };
        let others = [
            (besides(&Drifted::is_put_right), "puts drift right in"),
            (besides(&|how| *how == Drifted::Undeployed), "brings what is not deployed yet in"),
            (besides(&|how| *how == Drifted::LeftOver), "removes what is left over:"),
            (besides(&Drifted::stops), "stops at drift in"),
        ];
        let others = others.iter().filter(|(number, _)| *number > 0);
        let others: Vec<String> = others.map(|(number, what)| format!("{what} {}", count(*number, "object"))).collect();
        let mut text = "the change".to_owned();
        if !of_change.is_empty() {
            text += &format!(", but {of_change}");
        }
        if !others.is_empty() {
            text += &format!("; also {}", others.join(", "));
        }
        text
    }

    /// How the API server answered about all that is added and changed.
    fn answered(&self) -> String {
        let [taken, refused, conflicts, unasked] = self.answers();
        match (taken, refused + conflicts + unasked) {
            (0, 0) => return "nothing to ask".to_owned(),
            (1, 0) => return "✓ takes it".to_owned(),
            (all, 0) => return format!("✓ takes all {all}"),
            _ => {}
        }
        let parts = [
            (refused, "✗", "refused"),
            (conflicts, "✗", "in conflict"),
            (unasked, "–", "not asked"),
            (taken, "✓", "taken"),
        ];
        let parts = parts.iter().filter(|(number, ..)| *number > 0);
        parts.map(|(number, mark, what)| format!("{mark} {number} {what}")).collect::<Vec<_>>().join(", ")
    }

    /// Of how many objects that are added and changed the API server says that it takes them, refuses them, that others
    /// hold fields of them; and of how many it did not say anything.
    pub(super) fn answers(&self) -> [usize; 4] {
        let mut counts = [0; 4];
        for object in self.objects().iter().filter(|object| object.diff.verb != Verb::Removed) {
            let place = match (&object.admission, &object.live) {
                (Some(Admission::Taken { .. } | Admission::TakenAs { .. }), _)
                | (None, Some(Live::Absent { unchecked: None } | Live::Same | Live::Differs)) => 0,
                (Some(Admission::Refused { .. }), _) | (None, Some(Live::Refused { .. } | Live::Foreign)) => 1,
                (Some(Admission::Conflict { .. }), _) | (None, Some(Live::Conflict { .. })) => 2,
                (Some(Admission::Unasked { .. }), _) | (None, Some(_) | None) => 3,
            };
            counts[place] += 1;
        }
        counts
    }

    /// What has to be said of single objects, in the order of weight. `name` writes names from outside as the place wants
    /// them, `said` sentences of others, `object` an object's own name.
    pub fn remarks(
        &self,
        name: impl Fn(&str) -> String,
        said: impl Fn(&str) -> String,
        object: impl Fn(&ObjectKey) -> String,
    ) -> Vec<(Weight, String)> {
        let Some(standing) = self.compared() else { return Vec::new() };
        let mut all = Vec::new();
        for one in self.objects() {
            let which = object(&one.diff.key);
            let file = one.diff.file.as_ref().map(|file| format!(" ({})", name(file))).unwrap_or_default();
            if let Some(admission) = &one.admission
                && let Some(weight) = admission.weight()
            {
                all.push((weight, format!("{which}{file}: {}", admission.words(&name, &said))));
            }
            if let Some(effect) = &one.effect {
                all.push((effect.weight(), format!("effect: {which}: {}", effect.words(&said))));
            }
        }
        // What is not deployed yet is counted: it is the rest of the branch.
        let drift = standing.drift.iter().filter(|one| one.how != Drifted::Undeployed);
        all.extend(
            drift.map(|one| (Weight::Drift, format!("drift: {}: {}", object(&one.key), one.words(&name, &said)))),
        );
        all.sort_by_key(|(weight, _)| *weight);
        all
    }

    /// Why effect and drift are not known.
    pub fn not_compared(&self) -> Option<&str> {
        self.compared()?.unknown.as_deref()
    }
}

/// The table and its lines, at most `most` of these; nothing where nothing is compared with a cluster.
pub(super) fn baselines(rows: &[EnvironmentRow], most: usize) -> String {
    let cells: Vec<(&EnvironmentRow, [String; 4])> =
        rows.iter().filter_map(|row| Some((row, row.baselines()?))).collect();
    if cells.is_empty() {
        return String::new();
    }
    let mut text = format!("| environment | {} |\n|---|---|---|---|---|\n", HEADS.join(" | "));
    for (row, cells) in &cells {
        text.push_str(&format!("| {} | {} |\n", name(row), cells.join(" | ")));
    }
    text.push('\n');
    for (row, why) in rows.iter().filter_map(|row| Some((row, row.not_compared()?))) {
        text.push_str(&format!("{}: effect and drift are not known: {}\n\n", name(row), prose(&clip(why, SAID))));
    }
    let of = |row: &EnvironmentRow| {
        let outside = |text: &str| code(&clip(text, NAME));
        let remarks = row.remarks(outside, |said| prose(&clip(said, SAID)), super::words::object);
        remarks.into_iter().map(|(weight, text)| (weight, format!("{} {text}", name(row)))).collect::<Vec<_>>()
    };
    let mut lines: Vec<(Weight, String)> = rows.iter().flat_map(of).collect();
    lines.sort_by_key(|(weight, _)| *weight);
    for (_, line) in lines.iter().take(most) {
        text.push_str(&format!("- {line}\n"));
    }
    if lines.len() > most {
        text.push_str(&format!("- and {}, on the page of this preview\n", count(lines.len() - most, "more such line")));
    }
    if lines.is_empty() { text } else { text + "\n" }
}
