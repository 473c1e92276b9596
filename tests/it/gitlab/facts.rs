//! What GitLab's answers are in our words.

use bascule::forge::{AccountKind, MergeRule, NewStatus, PullState, Reaction, Standing, StatusState, Verdict};
use bascule::policy::rules::Role;
use jiff::{SignedDuration, Timestamp};

use super::Lab;
use crate::fake::forge::{Merge, Pr, Right};

const README: &str = "README.md";

impl Lab {
    async fn opened(&self) -> Pr {
        self.fake.opens_pull("eve", &self.shop, &[(README, "# better\n")]).await
    }

    /// Who said what, and whether it counts no more.
    async fn said(&self, pr: &Pr) -> Vec<(String, Verdict, bool)> {
        let reviews = self.forge.reviews(&self.at, pr.number).await.unwrap();
        assert!(reviews.iter().all(|review| review.commit.is_none()), "GitLab binds no approval to a commit");
        reviews.into_iter().map(|one| (one.person.unwrap().login, one.verdict, one.dismissed)).collect()
    }
}

#[tokio::test]
async fn a_merge_request_is_open_closed_or_merged_by_what_its_method_leaves() {
    let lab = Lab::new().await;
    let state = async |pr: &Pr| lab.forge.pull(&lab.at, pr.number).await.unwrap().state;
    let commit = async |pr: &Pr| match state(pr).await {
        PullState::Merged { commit, by, at } => {
            assert_eq!((by.unwrap().login, at.is_some()), ("root".to_owned(), true));
            commit.unwrap().to_string()
        }
        other => panic!("{other:?}"),
    };
    let pr = lab.opened().await;
    let open = lab.forge.pull(&lab.at, pr.number).await.unwrap();
    assert_eq!((open.state, open.from_fork, open.head_repository), (PullState::Open, false, Some(lab.shop.id)));
    assert_eq!(open.merge_base.unwrap().to_string(), lab.fake.tip(&lab.shop, "main").unwrap());
    lab.fake.closes("eve", &pr).await;
    assert_eq!(state(&pr).await, PullState::Closed);
    for how in [Merge::FastForward, Merge::Commit, Merge::Squash] {
        let pr = lab.fake.opens_pull("eve", &lab.shop, &[(README, &format!("# {how:?}\n"))]).await;
        let merged = lab.fake.merges("root", &pr, how).await;
        assert_eq!(commit(&pr).await, merged, "{how:?}");
    }
    let closed = lab.forge.pulls_closed_since(&lab.at, Timestamp::MIN, 1).await.unwrap();
    assert_eq!((closed.pulls.len(), closed.goes_on_at), (4, None), "the closed one, too");
    let last = closed.pulls.iter().find(|pull| Some(pull.updated_at) == closed.newest);
    assert_eq!(last.map(|pull| pull.number), Some(closed.pulls[0].number), "newest first");
}

#[tokio::test]
async fn merge_requests_and_issues_of_one_number_are_told_apart() {
    let lab = Lab::new().await;
    let pr = lab.opened().await;
    let issue = lab.forge.create_issue(&lab.at, "held", "a change").await.unwrap();
    assert_eq!((pr.number, issue.number), (1, -1));
    lab.forge.create_comment(&lab.at, pr.number, "of the merge request").await.unwrap();
    let ours = lab.forge.create_comment(&lab.at, issue.number, "of the issue").await.unwrap();
    assert_eq!(ours.number, Some(-1));
    let said = async |number| lab.forge.comments(&lab.at, number).await.unwrap().remove(0).body;
    assert_eq!((said(1).await, said(-1).await), ("of the merge request".to_owned(), "of the issue".to_owned()));
    assert!(lab.forge.issue(&lab.at, 1).await.unwrap_err().is_gone());
    assert!(lab.forge.pull(&lab.at, -1).await.unwrap_err().is_gone());
    assert_eq!(lab.forge.place(-1), "#1");
    assert_eq!(lab.forge.place(1), "!1");
}

#[tokio::test]
async fn an_approval_is_the_line_the_system_wrote_while_gitlab_lists_its_author() {
    let lab = Lab::new().await;
    let pr = lab.opened().await;
    lab.fake.comments("eve", &pr, "approved this merge request").await;
    assert_eq!(lab.said(&pr).await, [], "which anybody can write");
    let first = lab.fake.approves("kim", &pr).await;
    lab.fake.approves("lee", &pr).await;
    let kim = |taken_back| ("kim".to_owned(), Verdict::Approved, taken_back);
    let lee = |taken_back| ("lee".to_owned(), Verdict::Approved, taken_back);
    assert_eq!(lab.said(&pr).await, [kim(false), lee(false)]);
    lab.fake.dismisses(first).await;
    lab.fake.requests_changes("lee", &pr).await;
    let objects = ("lee".to_owned(), Verdict::ChangesRequested, false);
    assert_eq!(lab.said(&pr).await, [kim(true), lee(true), objects.clone()]);
    lab.fake.approves("kim", &pr).await;
    assert_eq!(lab.said(&pr).await, [kim(true), lee(true), objects, kim(false)], "the first is not revived");
    let comments = lab.forge.comments(&lab.at, pr.number).await.unwrap();
    let texts: Vec<&str> = comments.iter().map(|comment| comment.body.as_str()).collect();
    assert_eq!(texts, ["approved this merge request", "please"], "lines of the system are no comments");
}

#[tokio::test]
async fn what_gitlab_asks_for_before_it_merges_is_told_where_an_edition_has_such_rules() {
    let lab = Lab::new().await;
    let pr = lab.opened().await;
    let told = async || {
        let rules = lab.forge.merge_rules(&lab.at, pr.number).await.unwrap();
        let told = |rule: MergeRule| format!("{} {} {:?} {}", rule.name, rule.wanted, rule.given, rule.is_met);
        rules.into_iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(told().await, [""; 0], "the Community Edition has no such page");
    lab.fake.asks_before_merging(&pr, "security", 2, &["kim", "lee"]);
    lab.fake.asks_before_merging(&pr, "docs", 0, &["ann"]);
    lab.fake.approves("lee", &pr).await;
    lab.fake.approves("ann", &pr).await;
    assert_eq!(told().await, ["security 2 [\"lee\"] false", "docs 0 [\"ann\"] true"]);
}

#[tokio::test]
async fn a_reaction_is_no_edit_and_an_edit_is_one_whatever_came_after_it() {
    let lab = Lab::new().await;
    let pr = lab.opened().await;
    let command = lab.fake.comments("kim", &pr, "/bascule approve staging").await;
    let read = async || lab.forge.comment(&lab.at, pr.number, command).await.unwrap();
    lab.forge.react(&lab.at, pr.number, command, Reaction::Seen).await.unwrap();
    assert!(!read().await.is_edited());
    let since = read().await.created_at;
    let changed = lab.forge.comments_changed_since(&lab.at, since).await.unwrap();
    assert_eq!(changed.iter().filter(|comment| comment.is_edited()).count(), 0);
    lab.fake.edits_comment("kim", command, "/bascule approve production").await;
    lab.forge.react(&lab.at, pr.number, command, Reaction::Agreed).await.unwrap();
    assert!(read().await.is_edited());
    lab.forge.react(&lab.at, pr.number, command, Reaction::Agreed).await.unwrap();
}

#[tokio::test]
async fn a_sweep_sees_what_was_said_although_gitlab_moves_no_time_for_it() {
    let lab = Lab::new().await;
    let pr = lab.opened().await;
    let seen = async || {
        let pull = lab.forge.open_pulls(&lab.at).await.unwrap().remove(0);
        (pull.updated_at, pull.comments)
    };
    let (opened, none) = seen().await;
    let said = lab.fake.comments("kim", &pr, "/bascule help").await;
    lab.fake.approves("lee", &pr).await;
    assert_eq!((seen().await, none), ((opened, 2), 0), "a comment and an approval, within a minute");
    let read_to = lab.forge.comments(&lab.at, pr.number).await.unwrap()[0].updated_at;
    lab.fake.edits_comment("kim", said, "/bascule approve").await;
    let edited = lab.forge.comments_changed_since(&lab.at, read_to + SignedDuration::from_secs(1)).await.unwrap();
    assert_eq!(
        edited.iter().map(|one| (one.id, one.number, one.is_edited())).collect::<Vec<_>>(),
        [(said, Some(1), true)]
    );
}

#[tokio::test]
async fn pushes_are_told_by_events_also_of_a_fork_that_shows_them() {
    let lab = Lab::new().await;
    let pr = lab.opened().await;
    lab.fake.pushes("kim", &pr, &[(README, "# best\n")]).await;
    let pushes = lab.forge.pushes(&lab.at, Timestamp::UNIX_EPOCH).await.unwrap();
    let told: Vec<_> = pushes
        .iter()
        .map(|push| (push.branch.as_str(), push.pusher.as_ref().unwrap().login.as_str(), push.before.is_some()))
        .collect();
    assert_eq!(told, [("change-1", "kim", true), ("change-1", "eve", false), ("main", "root", false)]);
    let late = lab.forge.pushes(&lab.at, pushes[0].at).await.unwrap();
    assert_eq!(late.len(), 1, "to the second, although GitLab is asked by the day");

    let fork = lab.fake.opens_pull_from_fork("eve", &lab.shop, &[(README, "# other\n")]).await;
    lab.fake.force_pushes("eve", &fork, &[(README, "# another\n")]).await;
    let pull = lab.forge.pull(&lab.at, fork.number).await.unwrap();
    assert!(pull.from_fork);
    let pushes = lab.forge.pull_pushes(&lab.at, &pull).await.unwrap();
    assert_eq!(pushes.iter().map(|push| push.is_forced).collect::<Vec<_>>(), [false, true]);
    assert_eq!(pushes[1].commits.last(), Some(&pull.head));
}

#[tokio::test]
async fn who_wrote_a_commit_is_whom_gitlab_maps_its_addresses_to() {
    let lab = Lab::new().await;
    let pr = lab.opened().await;
    let head = lab.fake.pushes_by("kim", "lee", &pr, &[(README, "# of lee\n")]).await;
    let people = async |commit: &str| lab.forge.commit_people(&lab.at, &commit.parse().unwrap()).await;
    let nobody = people(&head).await.unwrap();
    assert_eq!((nobody.author, nobody.committer), (None, None), "there is no account of that address");
    lab.fake.lets("lee", &lab.shop, Right::Write);
    let found = people(&head).await.unwrap();
    assert_eq!(found.author.as_ref().unwrap().login, "lee");
    assert_eq!(found.committer, found.author, "of the same address");
    assert!(people("0123456789012345678901234567890123456789").await.unwrap_err().is_gone());
    let of = async |email: &str| lab.forge.account_by_email(email).await.unwrap().map(|account| account.login);
    assert_eq!(of("lee@example.com").await.as_deref(), Some("lee"));
    assert_eq!(of("583231-octo@users.noreply.127.0.0.1").await.as_deref(), Some("octo"), "as GitLab gave it");
    assert_eq!((of("nobody@example.com").await, of("nobody").await), (None, None));
}

#[tokio::test]
async fn who_is_a_person_and_may_what_is_read_as_of_now() {
    let lab = Lab::new().await;
    lab.fake.team("acme", "release", Right::Read, &["kim"]);
    for (login, right) in [("eve", Right::Read), ("dev", Right::Write), ("lead", Right::Admin), ("no", Right::None)] {
        lab.fake.lets(login, &lab.shop, right);
    }
    let roles = [("eve", Some(Role::Read)), ("dev", Some(Role::Write)), ("lead", Some(Role::Admin)), ("no", None)];
    for (login, role) in roles {
        assert_eq!(lab.forge.permission(&lab.at, login).await.unwrap(), role, "{login}");
    }
    assert_eq!(lab.forge.permission(&lab.at, "nobody").await.unwrap(), None);
    let kind = async |login: &str| {
        let user = lab.forge.user(login).await.unwrap();
        (user.kind, user.standing)
    };
    assert_eq!(kind("dev").await, (AccountKind::Person, Standing::Active));
    lab.fake.bot("robo");
    lab.fake.suspends("dev");
    assert_eq!(kind("robo").await.0, AccountKind::NotAPerson);
    assert_eq!(kind("dev").await.1, Standing::Suspended);
    for odd in ["nobody", "", "..", "a/b", "a b", "acme"] {
        assert!(lab.forge.user(odd).await.unwrap_err().is_gone(), "{odd}");
    }

    let member = async |group: &str, login: &str| lab.forge.is_team_member(group, login).await;
    assert!(member("acme/release", "kim").await.unwrap());
    assert!(!member("acme/release", "dev").await.unwrap());
    assert!(!member("acme/release", "nobody").await.unwrap());
    assert!(member("acme/none", "kim").await.unwrap_err().is_gone(), "never a no");
    assert!(member("acme/../release", "kim").await.unwrap_err().is_gone());
    lab.fake.deletes(&lab.shop).await;
    assert!(lab.forge.permission(&lab.at, "no").await.unwrap_err().is_gone(), "the project is gone, not the right");
}

#[tokio::test]
async fn a_status_is_set_also_where_it_is_that_already_and_of_a_commit_on_no_branch() {
    let lab = Lab::new().await;
    let fork = lab.fake.opens_pull_from_fork("eve", &lab.shop, &[(README, "# other\n")]).await;
    let head = lab.forge.pull(&lab.at, fork.number).await.unwrap().head;
    let set = async |state| {
        let status =
            NewStatus { context: "bascule/consent".into(), state, description: "so".to_owned(), target_url: None };
        lab.forge.set_status(&lab.at, &head, &status).await.unwrap();
        lab.forge.statuses(&lab.at, &head).await.unwrap().iter().map(|one| one.state).collect::<Vec<_>>()
    };
    assert_eq!(set(StatusState::Pending).await, [StatusState::Pending]);
    assert_eq!(set(StatusState::Pending).await, [StatusState::Pending], "which GitLab refuses");
    assert_eq!(set(StatusState::Success).await, [StatusState::Success]);
    assert_eq!(set(StatusState::Error).await, [StatusState::Failure], "there is no other word for it");
    assert_eq!(set(StatusState::Pending).await, [StatusState::Pending]);
}

#[tokio::test]
async fn a_project_is_known_by_its_number_and_an_old_name_leads_nowhere() {
    let lab = Lab::new().await;
    let found = lab.forge.repository_by_name(&lab.at.name).await.unwrap();
    assert_eq!((found.key.id, found.default_branch.as_str(), found.is_empty), (lab.shop.id, "main", false));
    lab.fake.renames(&lab.shop, "acme/store").await;
    assert!(lab.forge.repository_by_name(&lab.at.name).await.unwrap_err().is_gone());
    assert_eq!(lab.forge.repository_by_id(lab.at.id).await.unwrap().at.name.to_string(), "acme/store");
    assert_eq!(lab.forge.branch(&lab.at, "main").await.unwrap().name, "main", "asked for by its number");
    assert!(lab.forge.branch(&lab.at, "feature/none").await.unwrap_err().is_gone());
    assert!(lab.forge.branch(&lab.at, "../x").await.unwrap_err().is_gone());
    let deep = lab.forge.repository_name("acme/platform/tools/shop").unwrap();
    assert_eq!(lab.forge.clone_url(&deep), format!("{}/acme/platform/tools/shop.git", lab.fake.url()));
}
