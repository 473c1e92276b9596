//! Every call the client can make, as a token's account and as an App: none that the description does not have, and the
//! description's own example is understood as an answer.

use bascule::clock::Clock;
use bascule::forge::{
    DeliveryLog, DeliveryLogs, DeploymentState, DeploymentWord, Forge, Mark, NewCheck, NewDeployment, NewPull,
    NewStatus, NewWebhook, Pull, Reaction, Result, SignIn, StatusState,
};
use insta::assert_snapshot;
use jiff::Timestamp;
use uuid::Uuid;

use super::wire::{Wire, says};
use super::{TOKEN, app, client, clock, hello};

const COMMIT: &str = "6dcb09b5b57875f334f61aebed695e2e4193db5e";

/// Asks everything. What a call's example says is another test's; here it has to be understood.
async fn asks_everything(forge: &Forge) -> Result<()> {
    let (at, commit) = (hello(), COMMIT.parse().unwrap());
    forge.ourselves().await?;
    forge.git_token(&at).await?;
    forge.repository_by_name(&at.name).await?;
    forge.repository_by_id(at.id).await?;
    forge.branches(&at).await?;
    forge.branch(&at, "feature/one").await?;
    forge.webhooks(&at).await?;
    forge.organisation_webhooks("octo-org").await?;
    let wanted = NewWebhook { url: "https://bascule.example.com/webhooks/hub", secret: &"whisper".to_owned().into() };
    forge.put_webhook(&at, None, wanted).await?;
    forge.put_webhook(&at, Some(12_345_678), wanted).await?;
    forge.rights(&at).await?;
    forge.repositories().await?;
    forge.installed().await?;
    forge.pushes(&at, Timestamp::MIN).await?;
    forge.commit_people(&at, &commit).await?;
    let pull: Pull = forge.pull(&at, 1347).await?;
    forge.open_pulls(&at).await?;
    forge.closed_pulls_changed_last(&at).await?;
    forge.pulls_closed_since(&at, Timestamp::MIN, 1).await?;
    forge.pull_commits(&at, 1347).await?;
    forge.pull_pushes(&at, &Pull { from_fork: true, ..pull }).await?;
    forge.reviews(&at, 1347).await?;
    forge.comments(&at, 1347).await?;
    forge.comments_changed_since(&at, "2011-04-14T16:00:49Z".parse().unwrap()).await?;
    forge.comment(&at, 1347, 1).await?;
    forge.create_comment(&at, 1347, "**Bascule**").await?;
    forge.edit_comment(&at, 1347, 1, "**Bascule** again").await?;
    for reaction in [Reaction::Agreed, Reaction::Seen, Reaction::Confused] {
        forge.react(&at, 1347, 1, reaction).await?;
    }
    let new = NewPull {
        base_branch: "main".to_owned(),
        head_branch: "bascule/revert-production-3".to_owned(),
        title: "Revert #1347: production was rolled back".to_owned(),
        body: "why".to_owned(),
    };
    forge.create_pull(&at, &new).await?;
    let mut issue = forge.create_issue(&at, "held", "a change").await?;
    forge.open_issues_of(&at, "bascule[bot]").await?;
    for is_open in [false, true] {
        issue.is_open = is_open;
        forge.edit_issue(&at, &issue).await?;
    }
    forge.issue(&at, 1347).await?;
    for state in [StatusState::Pending, StatusState::Success, StatusState::Failure, StatusState::Error] {
        let target_url = (state == StatusState::Success).then(|| "https://bascule.example.com/previews/1".to_owned());
        let description = "one object changes".to_owned();
        forge
            .set_status(&at, &commit, &NewStatus { context: "bascule/preview".into(), state, description, target_url })
            .await?;
    }
    assert!(forge.may_deploy(&at).await?);
    let environment = "production".to_owned();
    let (ours, id) = (environment.parse().unwrap(), Uuid::from_u128(7));
    let new = NewDeployment { commit: commit.clone(), branch: "main".to_owned(), environment, ours, number: 41, id };
    let number = forge.create_deployment(&at, &new).await?;
    assert_eq!(forge.find_deployment(&at, &new, &[]).await?, None, "another one's");
    let states = [DeploymentState::Queued, DeploymentState::Running, DeploymentState::Well, DeploymentState::Failed];
    for state in states.into_iter().chain([DeploymentState::Replaced]) {
        let url = (state == DeploymentState::Well).then(|| "https://bascule.example.com/previews/1".to_owned());
        forge.set_deployment(&at, number, &DeploymentWord { state, description: "1 updated".to_owned(), url }).await?;
    }
    assert!(forge.deployment_is(&at, number, DeploymentState::Well).await?);
    if forge.may_check(&at).await? {
        checks(forge).await?;
    }
    let log = match forge.delivery_logs() {
        DeliveryLogs::OfApp => DeliveryLog::App,
        DeliveryLogs::OfRepositories | DeliveryLogs::None => DeliveryLog::Webhook { at: at.clone(), hook: 12_345_678 },
    };
    let logged = forge.delivery_tries(&log, None).await?;
    assert!(!logged.tries.is_empty());
    forge.delivery_tries(&log, Some("v1_17323292984")).await?;
    forge.redeliver(&log, logged.tries[0].id).await?;
    forge.statuses(&at, &commit).await?;
    forge.checks(&at, &commit, &["mighty_readme".to_owned()].into()).await?;
    forge.permission(&at, "octocat").await?;
    forge.is_team_member("github/Justice-League", "octocat").await?;
    forge.user("octocat").await?;
    forge.account_by_email("octocat@github.com").await?;
    forge.account_by_email("octocat@users.noreply.127.0.0.1").await?;
    Ok(())
}

/// What an App alone can: a check run in each state, with as many lines as GitHub takes.
async fn checks(forge: &Forge) -> Result<()> {
    let (at, commit) = (hello(), COMMIT.parse().unwrap());
    let mark = |line| Mark {
        path: "deploy/web.yaml".to_owned(),
        line,
        message: "has no kind".to_owned(),
        is_warning: line % 2 == 0,
    };
    for state in [StatusState::Pending, StatusState::Success, StatusState::Failure, StatusState::Error] {
        let target_url = (state == StatusState::Success).then(|| "https://bascule.example.com/previews/1".to_owned());
        let status = NewStatus { context: "bascule/preview".into(), state, description: "fine".to_owned(), target_url };
        let check = NewCheck { status, summary: "| a |\n".to_owned(), marks: (1..=50).map(mark).collect(), round: 3 };
        let number = forge.create_check(&at, &commit, &check).await?;
        forge.edit_check(&at, number, &check).await?;
    }
    assert_eq!(forge.find_check(&at, &commit, "mighty_readme", 3).await?, None, "of another round");
    Ok(())
}

/// On a wire that answers what the story needs; the wire has found nothing wrong with it.
async fn asks_on(wire: &Wire, sign_in: SignIn) {
    // A dismissed review has to be looked up, and one with a command.
    let mut reviews = wire.example("GET", "/repos/octocat/Hello-World/pulls/1347/reviews");
    (reviews[0]["state"], reviews[0]["body"]) = ("DISMISSED".into(), "/bascule approve".into());
    wire.says("GET /repos/octocat/Hello-World/pulls/1347/reviews", [says(200, reviews)]);
    let not_found = says(404, serde_json::json!({ "message": "Not Found" }));
    wire.says("GET /orgs/github/teams/justice-league/memberships/octocat", [not_found]);
    let repository = wire.example("GET", "/repos/octocat/Hello-World");
    wire.says("GET /repositories/1296269", [says(200, repository)]);
    let clock: Clock = clock();
    asks_everything(&client(wire, sign_in, &clock)).await.unwrap();
    wire.check();
}

/// Every call, as a token's account.
pub(super) async fn asked_by_token() -> Wire {
    let wire = Wire::start().await;
    asks_on(&wire, SignIn::Token(TOKEN.to_owned().into())).await;
    wire
}

/// Every call, as an App that was installed.
pub(super) async fn asked_by_app() -> Wire {
    let wire = Wire::start().await;
    app::installs(&wire, &["octocat", "github", "octo-org"]);
    for installation in 1..=3 {
        let path = format!("/app/installations/{installation}/access_tokens");
        let mut given = wire.example("POST", &path);
        given["permissions"] = serde_json::json!({ "checks": "write", "deployments": "write" });
        wire.says(&format!("POST {path}"), [says(201, given)]);
    }
    asks_on(&wire, app::key().sign_in()).await;
    wire
}

#[tokio::test]
async fn every_call_is_in_the_description_and_its_example_is_understood() {
    assert_snapshot!(asked_by_token().await.operations().join("\n"), @r#"
    GET (by number)
    GET checks/list-for-ref
    GET issues/get
    GET issues/get-comment
    GET issues/list-comments
    GET issues/list-comments-for-repo
    GET issues/list-events
    GET issues/list-events-for-timeline
    GET issues/list-for-repo
    GET orgs/list-webhooks
    GET pulls/get
    GET pulls/list
    GET pulls/list-commits
    GET pulls/list-reviews
    GET repos/get
    GET repos/get-branch
    GET repos/get-collaborator-permission-level
    GET repos/get-commit
    GET repos/list-activities
    GET repos/list-branches
    GET repos/list-commit-statuses-for-ref
    GET repos/list-deployment-statuses
    GET repos/list-deployments
    GET repos/list-for-authenticated-user
    GET repos/list-webhook-deliveries
    GET repos/list-webhooks
    GET search/users
    GET teams/get-by-name
    GET teams/get-membership-for-user-in-org
    GET users/get-authenticated
    GET users/get-by-username
    PATCH issues/update
    PATCH issues/update-comment
    PATCH repos/update-webhook
    POST issues/create
    POST issues/create-comment
    POST pulls/create
    POST reactions/create-for-issue-comment
    POST repos/create-commit-status
    POST repos/create-deployment
    POST repos/create-deployment-status
    POST repos/create-webhook
    POST repos/redeliver-webhook-delivery
    "#);
}

#[tokio::test]
async fn an_app_makes_no_call_that_is_not_in_the_description_either() {
    let all = asked_by_app().await.operations().join("\n");
    assert!(!all.contains("(by number)"), "{all}");
    assert_snapshot!(all, @"
    GET apps/get-authenticated
    GET apps/get-webhook-config-for-app
    GET apps/list-installations
    GET apps/list-repos-accessible-to-installation
    GET apps/list-webhook-deliveries
    GET checks/list-for-ref
    GET issues/get
    GET issues/get-comment
    GET issues/list-comments
    GET issues/list-comments-for-repo
    GET issues/list-events
    GET issues/list-events-for-timeline
    GET issues/list-for-repo
    GET pulls/get
    GET pulls/list
    GET pulls/list-commits
    GET pulls/list-reviews
    GET repos/get
    GET repos/get-branch
    GET repos/get-collaborator-permission-level
    GET repos/get-commit
    GET repos/list-activities
    GET repos/list-branches
    GET repos/list-commit-statuses-for-ref
    GET repos/list-deployment-statuses
    GET repos/list-deployments
    GET search/users
    GET teams/get-by-name
    GET teams/get-membership-for-user-in-org
    GET users/get-by-username
    PATCH apps/update-webhook-config-for-app
    PATCH checks/update
    PATCH issues/update
    PATCH issues/update-comment
    POST apps/create-installation-access-token
    POST apps/redeliver-webhook-delivery
    POST checks/create
    POST issues/create
    POST issues/create-comment
    POST pulls/create
    POST reactions/create-for-issue-comment
    POST repos/create-commit-status
    POST repos/create-deployment
    POST repos/create-deployment-status
    ");
}
