//! Every call the client can make: none that GitLab does not document (the fake refuses it), and these it makes.

use bascule::forge::{
    DeploymentState, DeploymentWord, NewDeployment, NewPull, NewStatus, Pull, Reaction, Result, StatusState,
};
use insta::assert_snapshot;
use jiff::Timestamp;
use uuid::Uuid;

use super::Lab;
use crate::fake::forge::{Pr, Right};

/// Asks everything of a place with something in it.
async fn asks_everything(lab: &Lab, pr: &Pr, said: i64) -> Result<()> {
    let (forge, at) = (&lab.forge, &lab.at);
    forge.ourselves().await?;
    forge.git_token(at).await?;
    forge.repository_by_name(&at.name).await?;
    forge.repository_by_id(at.id).await?;
    forge.branches(at).await?;
    forge.branch(at, "main").await?;
    forge.webhooks(at).await?;
    forge.organisation_webhooks("acme").await?;
    forge.pushes(at, Timestamp::UNIX_EPOCH).await?;
    let pull: Pull = forge.pull(at, pr.number).await?;
    forge.commit_people(at, &pull.head).await?;
    forge.open_pulls(at).await?;
    forge.closed_pulls_changed_last(at).await?;
    forge.pulls_closed_since(at, Timestamp::MIN, 1).await?;
    forge.pull_commits(at, pr.number).await?;
    assert_eq!(forge.pull_merged_as(at, "main", &pull.head).await?, None, "it is open");
    forge.pull_pushes(at, &pull).await?;
    forge.reviews(at, pr.number).await?;
    forge.merge_rules(at, pr.number).await?;
    forge.comments_changed_since(at, "2026-01-05T09:00:00Z".parse().unwrap()).await?;
    let new = NewPull {
        base_branch: "main".to_owned(),
        head_branch: "bascule/revert-production-3".to_owned(),
        title: "Revert !1: production was rolled back".to_owned(),
        body: "why".to_owned(),
    };
    lab.fake.pushes_to("kim", &lab.shop, &new.head_branch, &[("README.md", "# as it was\n")]).await;
    forge.create_pull(at, &new).await?;
    let mut issue = forge.create_issue(at, "held", "a change").await?;
    forge.open_issues_of(at, "bascule").await?;
    for is_open in [false, true] {
        issue.is_open = is_open;
        forge.edit_issue(at, &issue).await?;
    }
    forge.issue(at, issue.number).await?;
    let asked = lab.fake.comments_on("kim", at.id, lab.fake.place_of(at.id, issue.number).number, "why?").await;
    for (number, said) in [(pr.number, said), (issue.number, asked)] {
        forge.comments(at, number).await?;
        let ours = forge.create_comment(at, number, "**Bascule**").await?;
        forge.edit_comment(at, number, ours.id, "**Bascule** again").await?;
        for reaction in [Reaction::Agreed, Reaction::Seen, Reaction::Confused, Reaction::Seen] {
            forge.react(at, number, said, reaction).await?;
        }
        forge.comment(at, number, said).await?;
    }
    for state in [StatusState::Pending, StatusState::Success, StatusState::Failure, StatusState::Error] {
        let target_url = (state == StatusState::Success).then(|| "https://bascule.example.com/previews/1".to_owned());
        let description = "one object changes".to_owned();
        forge
            .set_status(
                at,
                &pull.head,
                &NewStatus { context: "bascule/preview".into(), state, description, target_url },
            )
            .await?;
    }
    forge.statuses(at, &pull.head).await?;
    let environment = "production".to_owned();
    let (ours, id, commit) = (environment.parse().unwrap(), Uuid::from_u128(7), forge.branch(at, "main").await?.tip);
    let new = NewDeployment { commit, branch: "main".to_owned(), environment, ours, number: 41, id };
    assert_eq!(forge.find_deployment(at, &new, &[]).await?, None);
    let number = forge.create_deployment(at, &new).await?;
    assert_eq!(forge.find_deployment(at, &new, &[]).await?, Some(number));
    assert_eq!(forge.find_deployment(at, &new, &[number]).await?, None, "another one's");
    // Said again, it is not refused; and GitLab has no word for the last.
    for state in [DeploymentState::Queued, DeploymentState::Well, DeploymentState::Well, DeploymentState::Replaced] {
        forge.set_deployment(at, number, &DeploymentWord { state, description: String::new(), url: None }).await?;
    }
    assert!(forge.deployment_is(at, number, DeploymentState::Well).await?);
    forge.permission(at, "kim").await?;
    forge.is_team_member("acme/platform", "kim").await?;
    forge.is_team_member("acme/platform", "eve").await?;
    forge.user("kim").await?;
    forge.account_by_email("kim@example.com").await?;
    Ok(())
}

#[tokio::test]
async fn every_call_is_documented_and_its_answer_is_understood() {
    let lab = Lab::new().await;
    lab.fake.team("acme", "platform", Right::Write, &["kim"]);
    // Of a fork, so that pushes to it are asked for, and its commit is on no branch of the project.
    let pr = lab.fake.opens_pull_from_fork("eve", &lab.shop, &[("README.md", "# better\n")]).await;
    lab.fake.asks_before_merging(&pr, "security", 1, &["kim"]);
    // A command to which somebody reacted has to be looked up.
    let said = lab.fake.comments("kim", &pr, "/bascule help").await;
    asks_everything(&lab, &pr, said).await.unwrap();
    assert_snapshot!(lab.fake.operations().join("\n"), @"
    GET groups/{}
    GET groups/{}/hooks
    GET groups/{}/members/{}
    GET projects/{}
    GET projects/{}/deployments
    GET projects/{}/deployments/{}
    GET projects/{}/events
    GET projects/{}/hooks
    GET projects/{}/issues
    GET projects/{}/issues/{}
    GET projects/{}/issues/{}/notes
    GET projects/{}/issues/{}/notes/{}
    GET projects/{}/members/all/{}
    GET projects/{}/merge_requests
    GET projects/{}/merge_requests/{}
    GET projects/{}/merge_requests/{}/approval_state
    GET projects/{}/merge_requests/{}/approvals
    GET projects/{}/merge_requests/{}/commits
    GET projects/{}/merge_requests/{}/notes
    GET projects/{}/merge_requests/{}/notes/{}
    GET projects/{}/merge_requests/{}/reviewers
    GET projects/{}/repository/branches
    GET projects/{}/repository/branches/{}
    GET projects/{}/repository/commits/{}/merge_requests
    GET projects/{}/repository/commits/{}/statuses
    GET user
    GET users
    GET users/{}
    POST graphql
    POST projects/{}/deployments
    POST projects/{}/issues
    POST projects/{}/issues/{}/notes
    POST projects/{}/issues/{}/notes/{}/award_emoji
    POST projects/{}/merge_requests
    POST projects/{}/merge_requests/{}/notes
    POST projects/{}/merge_requests/{}/notes/{}/award_emoji
    POST projects/{}/statuses/{}
    PUT projects/{}/deployments/{}
    PUT projects/{}/issues/{}
    PUT projects/{}/issues/{}/notes/{}
    PUT projects/{}/merge_requests/{}/notes/{}
    ");
}
