//! On which forges each story is told: `docs/stories.md` is this table, and the test below keeps it so.
//!
//! Every story is told on Gitea, with deliveries and with sweeps alone. On GitHub those of the files [`OFTEN`], and on
//! GitLab [`OFTEN_ON_GITLAB`], are told with deliveries each time the tests run; all of them, both ways, by `make test-all`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bascule::config::Environ;

use super::town::Told;
use crate::fake::forge::Tongue;

/// Set to anything: every story on every forge, both ways. To a forge's kind, `gitlab`: those of that forge, and Gitea's
/// with deliveries to compare them with.
const EVERYTHING: &str = "BASCULE_EVERY_STORY";

/// Files whose stories are about what differs from forge to forge.
const OFTEN: [&str; 12] = [
    "adopt",
    "branches",
    "checks",
    "claims",
    "consent",
    "held",
    "outages",
    "pulls",
    "refusals",
    "repositories",
    "reverts",
    "shuffled",
];

/// Stories in which GitLab shows itself to be another: checks that are jobs of a pipeline, approvals without a review, numbers counted apart, reactions that
/// look like edits, statuses that are jobs, forks, merges that leave no commit of their own.
const OFTEN_ON_GITLAB: [&str; 23] = [
    "adopt::what_somebody_changed_is_written_where_it_stands_and_whoever_asked_is_the_author",
    "branches::a_retargeted_pull_request_has_lost_its_approvals",
    "checks::what_was_approved_is_synced_when_its_checks_are_green",
    "checks::checks_that_cannot_be_read_are_not_green",
    "consent::a_push_that_leaves_the_change_keeps_the_approval",
    "consent::a_command_with_the_digest_counts",
    "consent::asking_for_changes_takes_ones_approval_back",
    "consent::a_dismissed_review_does_not_count",
    "consent::an_edited_comment_does_not_count",
    "consent::whoever_pushed_to_the_head_does_not_count",
    "consent::whoever_left_the_team_before_the_merge_does_not_count",
    "held::what_nobody_approved_is_held_also_when_it_arrives_with_an_approved_merge",
    "long_lists::a_push_of_more_commits_than_its_delivery_lists_is_read_whole",
    "outages::an_issue_whose_making_was_not_answered_is_found_and_no_second_one_is_made",
    "pulls::a_closed_pull_request_changes_nothing_and_comes_back_as_it_was",
    "pulls::a_draft_is_previewed_and_what_was_approved_of_it_counts_when_it_is_ready",
    "pulls::merged_by_fast_forward_it_is_deployed",
    "pulls::merged_by_squash_it_is_deployed",
    "pulls::what_a_stranger_brings_from_a_fork_is_deployed_once_somebody_else_approved_it",
    "refusals::a_permission_that_is_missing_is_named_and_used_when_it_is_given",
    "reverts::a_rollback_opens_its_revert_and_whoever_merges_that_ends_the_pin",
    "reverts::a_right_that_is_missing_is_said_once_and_used_when_it_is_given",
    "shuffled::whatever_order_it_is_told_in_and_however_often_it_ends_the_same",
];

/// Stories that are not told on a forge, or not by sweeps alone, and why.
const NOT_ON: &[(Tongue, &str, Option<Told>, &str)] = &[
    (
        Tongue::GitHub,
        "consent::a_deleted_comment_does_not_count",
        Some(Told::BySweeps),
        "no list of GitHub's shows that a comment was deleted: without its delivery the gate finds it, our comment later",
    ),
    (Tongue::GitHub, "consent::a_dismissed_review_counts_no_more_when_the_dismissal_is_undone", None, NOT_UNDONE),
    (
        Tongue::GitHub,
        "consent::a_review_of_what_was_not_shown_yet_does_not_count_when_a_dismissal_of_it_is_undone",
        None,
        NOT_UNDONE,
    ),
    (Tongue::GitHub, "gate::a_push_that_nothing_tells_of_asks_for_one_approval_more", None, HIDES_NOTHING),
    (
        Tongue::GitLab,
        "consent::a_deleted_comment_does_not_count",
        Some(Told::ByDeliveries),
        "GitLab tells nobody that a comment was deleted: the gate finds it, and a sweep, which puts our comment right",
    ),
    (Tongue::GitLab, "consent::a_dismissed_review_counts_no_more_when_the_dismissal_is_undone", None, APPROVED_ANEW),
    (
        Tongue::GitLab,
        "consent::a_review_of_what_was_not_shown_yet_does_not_count_when_a_dismissal_of_it_is_undone",
        None,
        APPROVED_ANEW,
    ),
    (
        Tongue::GitLab,
        "long_lists::more_closed_pull_requests_than_are_read_at_once_delay_a_judgement_and_do_not_end_it",
        Some(Told::BySweeps),
        "all of them change within a minute in it, and a sweep looks for comments in whatever did",
    ),
    (Tongue::GitLab, "gate::a_push_that_nothing_tells_of_asks_for_one_approval_more", None, HIDES_NOTHING),
];
const NOT_UNDONE: &str = "GitHub does not undo a dismissal";
const APPROVED_ANEW: &str = "an approval that is gone on GitLab does not come back: there is a new one";
const HIDES_NOTHING: &str = "nobody can hide there what they pushed";

/// Stories that end in other words on some forges, and why. Elsewhere the rows of all forges are the same.
const OTHERWISE: [(&str, &[Tongue], &str); 8] = [
    (
        "adopt::what_somebody_changed_is_written_where_it_stands_and_whoever_asked_is_the_author",
        &[Tongue::GitLab],
        NUMBERED,
    ),
    ("consent::asking_for_changes_takes_ones_approval_back", &[Tongue::GitHub], KEEPS_BOTH),
    (
        "doubts::what_only_looks_like_an_approval_is_none",
        &[Tongue::GitHub, Tongue::GitLab],
        "GitHub keeps both, and on GitLab whoever has approved does not approve once more, so that the reasons are others",
    ),
    (
        "consent::a_review_that_was_deleted_is_not_claimed_any_more",
        &[Tongue::GitLab],
        "what the system wrote of an approval stays, and says that it was taken back",
    ),
    ("repositories::a_repository_that_is_made_anew_is_refused_until_an_operator_accepts_it", &[Tongue::GitLab], APART),
    (
        "repositories::a_repository_that_is_renamed_to_a_name_of_another_does_not_get_its_grant",
        &[Tongue::GitLab],
        APART,
    ),
    ("reverts::a_rollback_opens_its_revert_and_whoever_merges_that_ends_the_pin", &[Tongue::GitLab], MARKED),
    ("reverts::a_right_that_is_missing_is_said_once_and_used_when_it_is_given", &[Tongue::GitLab], MARKED),
];
const NUMBERED: &str = "what is said of it names its pull request, which is written `!3` there";
const MARKED: &str = "what is said of it names its revert, which is written `!3` there";
const KEEPS_BOTH: &str =
    "Gitea and GitLab take the approval before it back, GitHub keeps both, so that the reason is another";
const APART: &str = "issues of two projects have the same numbers there, and only one project is counted here";

/// Files whose stories are of the server and its surroundings, and would be the same on any forge: told on one.
const OF_NO_FORGE: [(&str, &str); 4] = [
    ("drift", "of the cluster, not of the forge"),
    ("drift_attacked", "of the cluster, not of the forge"),
    ("own_words", "counts Gitea's calls"),
    ("restarts", "of the server, not of the forge"),
];
/// The same of single stories.
const OF_NO_FORGE_ONE: [(&str, &str); 1] =
    [("gate::what_is_stored_of_merged_pull_requests_is_not_asked_for_again", "counts Gitea's calls")];

/// Files whose stories are of what some forges alone have, and told on these by their own ways.
const OF_SOME: [(&str, &[Tongue], &str); 8] = [
    ("app", &[Tongue::GitHub], "only a GitHub App has check runs"),
    ("deployments", &[Tongue::GitHub, Tongue::GitLab], "it has no page of deployments"),
    ("installation", &[Tongue::GitHub], "Apps are GitHub's"),
    ("merge_rules", &[Tongue::GitLab], "the others show no such rules to us"),
    ("kills", &[Tongue::GitHub], "of the worker, not of the forge; told where most is written"),
    ("redelivery", &[Tongue::GitHub], "it has no log of its deliveries that we could use"),
    ("rollbacks_alone", &[Tongue::GitHub], "of the server, not of the forge"),
    ("trains", &[Tongue::GitLab], "merge trains are GitLab's"),
];

/// How to tell the story of this name (`consent::…`): on which forge, and how it is heard there.
pub(super) fn tellings(story: &str) -> Vec<(Tongue, Told)> {
    let asked = Environ::of_process().get(EVERYTHING).map(str::to_owned);
    let everything = asked.is_some();
    let mut all = vec![(Tongue::Gitea, Told::ByDeliveries), (Tongue::Gitea, Told::BySweeps)];
    let file = story.split("::").next().unwrap();
    if of_no_forge(file, story).is_none() {
        if everything || OFTEN.contains(&file) {
            all.push((Tongue::GitHub, Told::ByDeliveries));
        }
        if everything || OFTEN_ON_GITLAB.contains(&story) {
            all.push((Tongue::GitLab, Told::ByDeliveries));
        }
        if everything {
            all.extend([(Tongue::GitHub, Told::BySweeps), (Tongue::GitLab, Told::BySweeps)]);
        }
    }
    if let Some(kind) = asked.filter(|kind| all.iter().any(|(on, _)| on.kind() == *kind)) {
        all.retain(|(on, told)| on.kind() == kind || (*on, *told) == (Tongue::Gitea, Told::ByDeliveries));
    }
    all.retain(|(on, told)| {
        !NOT_ON.iter().any(|(not, name, how, _)| (*not, *name) == (*on, story) && how.is_none_or(|how| how == *told))
    });
    all
}

/// Whether a story is to end in the same rows on two forges, or two ways of hearing it on one.
pub(super) fn ends_alike(story: &str, [one, other]: [Tongue; 2]) -> bool {
    let is_other =
        |(name, on, _): &(&str, &[Tongue], &str)| *name == story && (on.contains(&one) || on.contains(&other));
    one == other || !OTHERWISE.iter().any(is_other)
}

fn of_no_forge(file: &str, story: &str) -> Option<&'static str> {
    let file = OF_NO_FORGE.iter().find(|(name, _)| *name == file);
    file.or_else(|| OF_NO_FORGE_ONE.iter().find(|(name, _)| *name == story)).map(|(_, why)| *why)
}

/// The name of a story by that of its closure: `it::stories::consent::a_story::{{closure}}`.
pub(super) fn name_of<S>() -> &'static str {
    let whole = std::any::type_name::<S>();
    let (_, name) = whole.split_once("::stories::").expect("a story is told in a file of stories");
    name.split("::{{closure}}").next().unwrap()
}

/// A file of stories: its name, what it is about, and its stories as they are named.
struct File {
    name: String,
    about: String,
    stories: Vec<String>,
}

fn files() -> Vec<File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/stories");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let about: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
        let about = about.split(|line| line.is_empty()).next().unwrap_or_default().join(" ");
        let named = text.split("#[test]\nfn ").skip(1).filter_map(|rest| rest.split_once('('));
        File { name, about, stories: named.map(|(name, _)| name.to_owned()).collect() }
    };
    let all = paths.into_iter().map(read);
    all.filter(|file| !file.stories.is_empty() && file.name != "table").collect()
}

fn table() -> String {
    let mut text = "\
# Which stories are told on which forge

Made by `tests/it/stories/table.rs`, which fails when this is not what the tests do. *always*: each time the tests run;
*in full*: by `make test-all`. On Gitea and Forgejo every story is told with deliveries and again with sweeps alone. On GitHub
and GitLab *always* means with deliveries, and `make test-all` does both. A number is of how many stories of a file. A file is in
`tests/it/stories/`.

| file | its stories | Gitea, Forgejo | GitHub | GitLab |
|---|---|---|---|---|
"
    .to_owned();
    for File { name, about, .. } in files() {
        if let Some((_, tongues, why)) = OF_SOME.iter().find(|(of, ..)| *of == name) {
            let [gitea, github, gitlab] =
                [Tongue::Gitea, Tongue::GitHub, Tongue::GitLab].map(|on| match tongues.contains(&on) {
                    true => "always".to_owned(),
                    false => format!("no: {why}"),
                });
            writeln!(text, "| `{name}` | {about} | {gitea} | {github} | {gitlab} |").unwrap();
            continue;
        }
        let on_github = match of_no_forge(&name, "") {
            Some(why) => format!("no: {why}"),
            None if OFTEN.contains(&name.as_str()) => "always".to_owned(),
            None => "in full".to_owned(),
        };
        let often = OFTEN_ON_GITLAB.iter().filter(|story| story.split("::").next() == Some(&name)).count();
        let on_gitlab = match (of_no_forge(&name, ""), often) {
            (Some(_), _) | (None, 0) => on_github.replace("always", "in full"),
            (None, often) => format!("{often} always, others in full"),
        };
        writeln!(text, "| `{name}` | {about} | always | {on_github} | {on_gitlab} |").unwrap();
    }
    text +=
        "\nStories that are not told where others of their file are:\n\n| story | not on | because |\n|---|---|---|\n";
    let ones = OF_NO_FORGE_ONE.iter().map(|(story, why)| (Tongue::GitHub, *story, None, *why));
    for (tongue, story, how, why) in NOT_ON.iter().copied().chain(ones) {
        let how = how.map_or("", |told| if told == Told::BySweeps { ", by sweeps" } else { ", by deliveries" });
        writeln!(text, "| {} | {}{how} | {why} |", shown(story), tongue.name()).unwrap();
    }
    text += "\nStories that end in other words on a forge:\n\n| story | on | because |\n|---|---|---|\n";
    for (story, on, why) in OTHERWISE {
        let on: Vec<&str> = on.iter().map(|tongue| tongue.name()).collect();
        writeln!(text, "| {} | {} | {why} |", shown(story), on.join(", ")).unwrap();
    }
    text
}

fn shown(story: &str) -> String {
    let (file, story) = story.split_once("::").unwrap();
    format!("`{file}`: {}", story.replace('_', " "))
}

#[test]
fn the_documents_table_is_what_is_told() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stories.md");
    let (now, wanted) = (std::fs::read_to_string(&path).unwrap_or_default(), table());
    if now != wanted {
        let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stories.md");
        std::fs::write(&fresh, &wanted).unwrap();
        panic!("{} is not up to date; copy {} over it", path.display(), fresh.display());
    }
}

#[test]
fn what_the_table_names_is_there() {
    let all = files();
    let known: BTreeSet<String> =
        all.iter().flat_map(|file| file.stories.iter().map(|story| format!("{}::{story}", file.name))).collect();
    let names: BTreeSet<&str> = all.iter().map(|file| file.name.as_str()).collect();
    let named = NOT_ON.iter().map(|(_, story, ..)| story).chain(OF_NO_FORGE_ONE.iter().map(|(story, _)| story));
    let named = named.chain(&OFTEN_ON_GITLAB);
    for story in named.chain(OTHERWISE.iter().map(|(story, ..)| story)) {
        assert!(known.contains(*story), "{story}");
    }
    for file in OFTEN.iter().chain(OF_NO_FORGE.iter().map(|(file, _)| file)) {
        assert!(names.contains(file), "{file}");
    }
}
