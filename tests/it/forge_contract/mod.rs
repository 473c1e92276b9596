//! The fake forge is as good as it is true: one story, told on it and on a real Gitea, must read the same through our
//! client, down to every field, and be told by the same deliveries. What differs by nature (numbers, hashes, times) is
//! replaced.

mod recorder;
mod stage;
mod transcript;

use std::path::Path;
use std::time::Duration;

use bascule::forge::{Forge, NewPull, NewStatus, PullState, Push, Reaction, RepositoryAt, StatusState};
use bascule::git::{Mirror, NewCommit, Program, Remote, Want};
use bascule::ids::{CommitId, RepositoryKey};

use self::recorder::Recorder;
use self::stage::{SHOP, Stage};
use self::transcript::Transcript;
use crate::fake::forge::Merge;
use crate::parts::Verdict;

/// The story; what our client saw of it.
async fn story(stage: &Stage) -> String {
    let forge = stage.client();
    let mut seen = Transcript::default();
    let repository = forge.repository_by_name(&SHOP.parse().unwrap()).await.unwrap();
    let at = repository.at.clone();
    seen.note("repository", &repository);
    seen.note("the same by its number", forge.repository_by_id(at.id).await.unwrap() == repository);
    seen.note("a repository that is not there", forge.repository_by_name(&"acme/none".parse().unwrap()).await);
    seen.note("a number that is not there", forge.repository_by_id(424_242).await);

    let first = stage.opens_pull("alice", "a.yaml").await;
    seen.note("opened", forge.pull(&at, first).await.unwrap());
    stage.pushes("lead", first, "b.yaml").await;
    let pull = forge.pull(&at, first).await.unwrap();
    seen.note("pushed", &pull);
    seen.note("open", forge.open_pulls(&at).await.unwrap());
    seen.note("no such pull request", forge.pull(&at, 4242).await);
    seen.note("its commits", forge.pull_commits(&at, first).await.unwrap());
    let pushes = forge.pull_pushes(&at, &pull).await.unwrap();
    seen.note("its last push", pushes.last().map(|push| (push.pusher.clone(), push.commits.last().cloned())));
    seen.note("its last commit's people", forge.commit_people(&at, &pull.head).await.unwrap());
    let nothing: CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
    seen.note("no such commit", forge.commit_people(&at, &nothing).await);

    stage.reviews("lead", first, Verdict::Approve, "fine").await;
    stage.reviews("eve", first, Verdict::RequestChanges, "no").await;
    stage.reviews("eve", first, Verdict::Comment, "hm").await;
    seen.note("reviews", forge.reviews(&at, first).await.unwrap());
    stage.dismisses_first_review(first).await;
    stage.next_second().await;
    stage.undismisses_first_review(first).await;
    let reviews = forge.reviews(&at, first).await.unwrap();
    let told: Vec<_> = reviews.iter().map(|review| (review.dismissed, review.given_at == review.given_until)).collect();
    seen.note("a dismissal that was undone is still seen, and when the review was given", told);
    stage.reviews("eve", first, Verdict::Approve, "now yes").await;
    seen.note("reviews", forge.reviews(&at, first).await.unwrap());

    let theirs = stage.comments("eve", first, "/bascule help").await;
    seen.note("comment", forge.comment(&at, first, theirs).await.unwrap());
    let ours = forge.create_comment(&at, first, "**Bascule**").await.unwrap();
    seen.note("ours", &ours);
    seen.note("ours, edited", forge.edit_comment(&at, first, ours.id, "**Bascule** again").await.unwrap().body);
    seen.note(
        "comments",
        forge
            .comments(&at, first)
            .await
            .unwrap()
            .iter()
            .map(|c| (c.author.clone(), c.body.clone()))
            .collect::<Vec<_>>(),
    );
    let changed = forge.comments_changed_since(&at, pull.updated_at).await.unwrap();
    seen.note("changed", changed.iter().map(|c| (c.number, c.body.clone())).collect::<Vec<_>>());
    seen.note("so much was said", forge.pull(&at, first).await.unwrap().comments);
    let remark = stage.comments("eve", first, "never mind").await;
    stage.deletes_comment("eve", remark).await;
    seen.note("and no more than before", forge.pull(&at, first).await.unwrap().comments);
    seen.note("no such comment", forge.comment(&at, first, 424_242).await);
    seen.note("reaction", forge.react(&at, first, theirs, Reaction::Seen).await);
    seen.note("the same again", forge.react(&at, first, theirs, Reaction::Seen).await);

    let status =
        |state| NewStatus { context: "bascule/preview".into(), state, description: "d".to_owned(), target_url: None };
    forge.set_status(&at, &pull.head, &status(StatusState::Pending)).await.unwrap();
    forge.set_status(&at, &pull.head, &status(StatusState::Success)).await.unwrap();
    seen.note("statuses", forge.statuses(&at, &pull.head).await.unwrap());
    seen.note("a status for no commit", forge.set_status(&at, &nothing, &status(StatusState::Success)).await);

    let mut issue = forge.create_issue(&at, "Held", "why").await.unwrap();
    seen.note("issue", &issue);
    let opened = forge.open_issues_of(&at, "bascule").await.unwrap();
    seen.note("issues of ours", opened == [issue.clone()]);
    seen.note("issues of hers", forge.open_issues_of(&at, "alice").await.unwrap());
    issue.is_open = false;
    issue.body = "lifted".to_owned();
    seen.note("issue, closed", forge.edit_issue(&at, &issue).await.unwrap());
    let read = forge.issue(&at, issue.number).await.unwrap();
    // The real one's clock stands still or not between the two.
    issue.updated_at = read.updated_at;
    seen.note("the same, read", read == issue);
    seen.note("issues of ours", forge.open_issues_of(&at, "bascule").await.unwrap());

    people(&forge, &at, &mut seen).await;

    stage.merges("lead", first, Merge::Squash).await;
    let merged = forge.pull(&at, first).await.unwrap();
    seen.note("merged", &merged);
    seen.note("the branch is there", forge.branch(&at, "main").await.unwrap().tip == merged.base);
    seen.note("no such branch", forge.branch(&at, "no/such").await);
    let mut branches = forge.branches(&at).await.unwrap();
    branches.sort_by(|a, b| a.name.cmp(&b.name));
    seen.note("branches", branches);
    let since = pull.updated_at;
    let closed = forge.pulls_closed_since(&at, since, 1).await.unwrap();
    seen.note("closed", closed.pulls.iter().map(|pull| pull.number).collect::<Vec<_>>());
    let last = last_push_to_main(&forge, &at, since).await;
    seen.note("who moved main", (&last.pusher, last.after.as_ref() == Some(&merged.base)));

    let second = stage.opens_pull("alice", "c.yaml").await;
    stage.merges("lead", second, Merge::Rebase).await;
    let rebased = forge.pull(&at, second).await.unwrap();
    seen.note("rebased: the merge's commit is the branch's tip", {
        matches!(&rebased.state, PullState::Merged { commit, .. } if commit.as_ref() == Some(&rebased.base))
    });

    let third = stage.opens_pull("alice", "d.yaml").await;
    stage.merges("lead", stage.opens_pull("alice", "e.yaml").await, Merge::Squash).await;
    stage.updates_from_base("lead", third).await;
    stage.merges("lead", third, Merge::FastForward).await;
    seen.note("fast-forwarded to the merge of its base", forge.pull(&at, third).await.unwrap());

    fork(stage, &forge, &at, &mut seen).await;
    opens_our_own(stage, &forge, &repository.key, &at, &mut seen).await;
    seen.text
}

/// The real one notes a push a moment after it happened.
async fn last_push_to_main(forge: &Forge, at: &RepositoryAt, since: jiff::Timestamp) -> Push {
    let since = since.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap();
    for _ in 0..200 {
        let pushes = forge.pushes(at, since).await.unwrap();
        if let Some(push) = pushes.into_iter().find(|push| push.branch == "main") {
            return push;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody moved main");
}

async fn people(forge: &Forge, at: &RepositoryAt, seen: &mut Transcript) {
    seen.note("we are", forge.ourselves().await.unwrap());
    for login in ["alice", "eve", "bascule", "nobody"] {
        seen.note(&format!("right of {login}"), forge.permission(at, login).await);
        seen.note(&format!("{login} in platform"), forge.is_team_member("acme/platform", login).await);
    }
    seen.note("no such team", forge.is_team_member("acme/none", "alice").await);
    seen.note("no such organisation", forge.is_team_member("none/none", "alice").await.is_err());
    seen.note("alice", forge.user("alice").await.unwrap());
    seen.note("the organisation", forge.user("acme").await.unwrap());
    seen.note("nobody", forge.user("nobody").await);
    seen.note("by address", forge.account_by_email("alice@example.com").await.unwrap());
    seen.note("by no address", forge.account_by_email("nobody@nowhere.example").await.unwrap());
}

/// A branch that we push, with a commit of ours, and its pull request.
async fn opens_our_own(stage: &Stage, forge: &Forge, key: &RepositoryKey, at: &RepositoryAt, seen: &mut Transcript) {
    let (git, folder) = (Program::find(Path::new("git")).await.unwrap(), tempfile::tempdir().unwrap());
    let token = forge.git_token(at).await.unwrap();
    let remote = Remote::of_forge(&forge.clone_url(&at.name), &stage.url(), Some(token)).unwrap();
    let mirror = Mirror::open(&git, folder.path(), key, &remote).await.unwrap();
    mirror.fetch(&[Want::Branch("main".parse().unwrap())]).await.unwrap();
    let tip = forge.branch(at, "main").await.unwrap().tip;
    let before = mirror.parents(&tip).await.unwrap().remove(0);
    let tree = mirror.tree_of(&before).await.unwrap();
    let new = NewCommit { tree: &tree, parent: &tip, message: "Revert it", at: 1_767_600_000 };
    let commit = mirror.commit(new).await.unwrap();
    let branch = "bascule/revert-production-3";
    mirror.push_new(&branch.parse().unwrap(), &commit).await.unwrap();
    let refused = mirror.push_new(&branch.parse().unwrap(), &tip).await;
    seen.note("a branch that is there", refused.is_err());
    seen.note("ours", forge.branch(at, branch).await.unwrap().tip == commit);
    seen.note("its commit is nobody's", forge.commit_people(at, &commit).await.unwrap());
    let new = NewPull {
        base_branch: "main".to_owned(),
        head_branch: branch.to_owned(),
        title: "Revert it".to_owned(),
        body: "why".to_owned(),
    };
    let number = forge.create_pull(at, &new).await.unwrap();
    seen.note("a pull request of ours", forge.pull(at, number).await.unwrap());
    seen.note("once more", forge.create_pull(at, &new).await.is_err());
}

/// From a fork: who pushes there is told nowhere but on the pull request.
async fn fork(stage: &Stage, forge: &Forge, at: &RepositoryAt, seen: &mut Transcript) {
    let number = stage.opens_pull_from_fork("eve", "f.yaml").await;
    let pull = forge.pull(at, number).await.unwrap();
    seen.note("from a fork", &pull);
    stage.pushes_to_fork("eve", number, "g.yaml").await;
    let pushes = forge.pull_pushes(at, &pull).await.unwrap();
    seen.note("pushed in the fork", pushes.last().map(|push| push.pusher.clone()));
    seen.note(
        "its head",
        forge.pull(at, number).await.unwrap().head == *pushes.last().unwrap().commits.last().unwrap(),
    );
}

/// Afterwards: what is still to be told when a repository is renamed, the real one tells without the pull request.
async fn rename(stage: &Stage) -> String {
    let forge = stage.client();
    let mut seen = Transcript::default();
    let at = forge.repository_by_name(&SHOP.parse().unwrap()).await.unwrap().at;
    stage.renames("shop2").await;
    seen.note("by its old name", forge.pull(&at, 1).await.map(|pull| pull.number));
    seen.note("by its number", forge.repository_by_id(at.id).await.unwrap().at.name);
    seen.text
}

#[tokio::test]
async fn the_fake_forge_and_a_real_gitea_tell_our_client_the_same() {
    let (fake, real) = tokio::join!(Stage::fake(), Stage::real());
    let (fake_deliveries, real_deliveries) = tokio::join!(Recorder::start(), Recorder::start());
    fake.delivers_to(&fake_deliveries.url()).await;
    real.delivers_to(&real_deliveries.url()).await;

    let (fake_story, real_story) = tokio::join!(story(&fake), story(&real));
    same(&fake_story, &real_story);

    let told = fake_deliveries.told();
    same(&told.join("\n"), &real_deliveries.told_when(told.len()).await.join("\n"));

    same(&rename(&fake).await, &rename(&real).await);
}

fn same(fake: &str, real: &str) {
    let diff = similar::TextDiff::from_lines(real, fake);
    assert!(fake == real, "- real, + fake:\n{}", diff.unified_diff().context_radius(0));
}
