//! The fake forge is as good as it is true: one story, told on it and on a real Gitea, must read the same through our
//! client, down to every field. What differs by nature (numbers, hashes, times) is replaced by its order of appearance.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use bascule::clock::Clock;
use bascule::forge::{ANSWER_WITHIN, Forge, Kind, NewStatus, Push, Reaction, RepositoryAt, Settings, StatusState};
use bascule::ids::CommitId;
use serde_json::json;

use crate::fake::forge::{FakeForge, Merge, Pr, Right, Shop, TOKEN};
use crate::parts::{Gitea, Permission, Progress, User, Verdict};

const SHOP: &str = "acme/shop";

fn client(url: String, token: &str) -> Forge {
    let settings = Settings {
        name: "work".parse().unwrap(),
        url,
        token: token.to_owned().into(),
        ca_pem: None,
        answer_within: ANSWER_WITHIN,
    };
    Forge::new(Kind::Gitea, settings, Clock::system()).unwrap()
}

/// Where the story happens.
enum Stage {
    Fake { forge: FakeForge, shop: Shop },
    Real { gitea: Box<Gitea>, people: HashMap<&'static str, User>, ours: User },
}

impl Stage {
    async fn fake() -> Self {
        let forge = FakeForge::start().await;
        let shop = forge.repository(SHOP, &[("README.md", "# shop\n")]).await;
        for person in ["alice", "lead"] {
            forge.lets(person, &shop, Right::Read);
        }
        forge.lets("eve", &shop, Right::Read);
        forge.team("acme", "platform", Right::Write, &["alice", "lead"]);
        forge.bot("robo");
        Self::Fake { forge, shop }
    }

    async fn real() -> Self {
        let gitea = Gitea::start(&Progress::silent()).await.unwrap();
        let mut people = HashMap::new();
        for person in ["alice", "lead", "eve"] {
            people.insert(person, gitea.create_user(person).await.unwrap());
        }
        let ours = gitea.create_user("bascule").await.unwrap();
        gitea.create_user("robo").await.unwrap();
        gitea.create_organisation(gitea.admin(), "acme").await.unwrap();
        gitea.create_repository("acme", "shop").await.unwrap();
        gitea.create_team("acme", "platform", Permission::Write, &[&people["alice"], &people["lead"]]).await.unwrap();
        let teams = gitea.api().unwrap().get("/orgs/acme/teams").await.unwrap();
        let owners = teams.as_array().unwrap().iter().find(|team| team["name"] == "Owners").unwrap();
        let path = format!("/teams/{}/members/bascule", owners["id"]);
        gitea.api().unwrap().put(&path, json!({})).await.unwrap();
        Self::Real { gitea: Box::new(gitea), people, ours }
    }

    fn client(&self) -> Forge {
        match self {
            Self::Fake { forge, .. } => client(forge.url(), TOKEN),
            Self::Real { gitea, ours, .. } => client(gitea.url(), &ours.token),
        }
    }

    async fn opens_pull(&self, who: &'static str, path: &str) -> i64 {
        match self {
            Self::Fake { forge, shop } => forge.opens_pull(who, shop, &[(path, "one\n")]).await.number,
            Self::Real { gitea, people, .. } => {
                let api = gitea.api_of(&people[who]).unwrap();
                let branch = format!("change-{}", 1 + self.pulls(&api).await);
                api.commit(SHOP, &branch, "Change files\n", &[(path, Some("one\n"))]).await.unwrap();
                let title = branch.replace("change-", "Change ");
                i64::try_from(api.open_pull(SHOP, &branch, &title).await.unwrap()).unwrap()
            }
        }
    }

    async fn pulls(&self, api: &crate::parts::GiteaApi) -> usize {
        api.get(&format!("/repos/{SHOP}/pulls?state=all")).await.unwrap().as_array().unwrap().len()
    }

    async fn pushes(&self, who: &'static str, number: i64, path: &str) {
        match self {
            Self::Fake { forge, shop } => {
                forge.pushes(who, &Pr { repository: shop.id, number }, &[(path, "two\n")]).await;
            }
            Self::Real { gitea, people, .. } => {
                let api = gitea.api_of(&people[who]).unwrap();
                api.commit(SHOP, &format!("change-{number}"), "Change files\n", &[(path, Some("two\n"))])
                    .await
                    .unwrap();
                // It tells the pull request a moment later.
                for _ in 0..100 {
                    let pull = api.get(&format!("/repos/{SHOP}/issues/{number}/timeline")).await.unwrap();
                    let pushes = pull.as_array().unwrap().iter().filter(|entry| entry["type"] == "pull_push").count();
                    if pushes > 1 {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn reviews(&self, who: &'static str, number: i64, verdict: Verdict, text: &str) {
        match self {
            Self::Fake { forge, shop } => {
                let pr = Pr { repository: shop.id, number };
                let state = match verdict {
                    Verdict::Approve => "APPROVED",
                    Verdict::RequestChanges => "REQUEST_CHANGES",
                    Verdict::Comment => "COMMENT",
                };
                forge.reviews(who, &pr, state, text, &forge.head(&pr)).await;
            }
            Self::Real { gitea, people, .. } => {
                let api = gitea.api_of(&people[who]).unwrap();
                api.review(SHOP, u64::try_from(number).unwrap(), verdict, text).await.unwrap();
            }
        }
    }

    async fn comments(&self, who: &'static str, number: i64, text: &str) -> i64 {
        match self {
            Self::Fake { forge, shop } => forge.comments_on(who, shop.id, number, text).await,
            Self::Real { gitea, people, .. } => {
                let api = gitea.api_of(&people[who]).unwrap();
                i64::try_from(api.comment(SHOP, u64::try_from(number).unwrap(), text).await.unwrap()).unwrap()
            }
        }
    }

    async fn merges(&self, who: &'static str, number: i64, how: Merge) {
        match self {
            Self::Fake { forge, shop } => drop(forge.merges(who, &Pr { repository: shop.id, number }, how).await),
            Self::Real { gitea, people, .. } => {
                let way = match how {
                    Merge::Commit => "merge",
                    Merge::Squash => "squash",
                    Merge::Rebase => "rebase",
                    Merge::FastForward => "fast-forward-only",
                };
                let api = gitea.api_of(&people[who]).unwrap();
                api.merge(SHOP, u64::try_from(number).unwrap(), way).await.unwrap();
            }
        }
    }

    async fn dismisses_first_review(&self, number: i64) {
        match self {
            Self::Fake { forge, shop } => forge.dismisses_first_review(&Pr { repository: shop.id, number }),
            Self::Real { gitea, .. } => {
                let api = gitea.api().unwrap();
                let path = format!("/repos/{SHOP}/pulls/{number}/reviews");
                let first = api.get(&path).await.unwrap()[0]["id"].clone();
                api.post(&format!("{path}/{first}/dismissals"), json!({ "message": "no" })).await.unwrap();
            }
        }
    }

    async fn renames(&self, name: &str) {
        match self {
            Self::Fake { forge, shop } => drop(forge.renames(shop, &format!("acme/{name}"))),
            Self::Real { gitea, .. } => {
                let body = json!({ "name": name });
                gitea.api().unwrap().patch(&format!("/repos/{SHOP}"), body).await.unwrap();
            }
        }
    }
}

/// What the client saw, with everything that differs by nature replaced.
#[derive(Default)]
struct Transcript {
    text: String,
    commits: Vec<String>,
}

impl Transcript {
    fn note(&mut self, what: &str, seen: impl std::fmt::Debug) {
        let seen = self.plain(&format!("{seen:?}"));
        writeln!(self.text, "{what}: {seen}").unwrap();
    }

    /// Hashes become `commit 1`, numbers of things `N`, times `TIME`; of an error's words, ours stay.
    fn plain(&mut self, text: &str) -> String {
        let replaced = |pattern: &str, text: &str, with: &str| {
            regex::Regex::new(pattern).unwrap().replace_all(text, with).into_owned()
        };
        let text = replaced(r"\b20\d\d-\d\d-\d\dT[0-9:.]+Z", text, "TIME");
        let text = replaced(r"\b(id|comment|head_repository): (Some\()?\d+", &text, "$1: ${2}N");
        let text = replaced(r"(answered \d+): [^)]*\)", &text, "$1)");
        let hash = regex::Regex::new(r"\b[0-9a-f]{40}\b").unwrap();
        let numbered = |found: &regex::Captures<'_>| {
            let known = self.commits.iter().position(|known| known == &found[0]);
            let number = known.unwrap_or_else(|| {
                self.commits.push(found[0].to_owned());
                self.commits.len() - 1
            });
            format!("commit {}", number + 1)
        };
        hash.replace_all(&text, numbered).into_owned()
    }
}

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
    let pushes = forge.pull_pushes(&at, first).await.unwrap();
    seen.note("its pushes", pushes.iter().map(|push| (&push.pusher, push.commits.last())).collect::<Vec<_>>().last());
    seen.note("its last commit's people", forge.commit_people(&at, &pull.head).await.unwrap());
    let nothing: CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
    seen.note("no such commit", forge.commit_people(&at, &nothing).await);

    stage.reviews("lead", first, Verdict::Approve, "fine").await;
    stage.reviews("eve", first, Verdict::RequestChanges, "no").await;
    stage.reviews("eve", first, Verdict::Comment, "hm").await;
    seen.note("reviews", forge.reviews(&at, first).await.unwrap());
    stage.dismisses_first_review(first).await;
    stage.reviews("eve", first, Verdict::Approve, "now yes").await;
    seen.note("reviews", forge.reviews(&at, first).await.unwrap());

    let theirs = stage.comments("eve", first, "/bascule help").await;
    seen.note("comment", forge.comment(&at, theirs).await.unwrap());
    let ours = forge.create_comment(&at, first, "**Bascule**").await.unwrap();
    seen.note("ours", &ours);
    seen.note("ours, edited", forge.edit_comment(&at, ours.id, "**Bascule** again").await.unwrap().body);
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
    seen.note("no such comment", forge.comment(&at, 424_242).await);
    seen.note("reaction", forge.react(&at, theirs, Reaction::Seen).await);
    seen.note("the same again", forge.react(&at, theirs, Reaction::Seen).await);

    let status = |state| NewStatus { context: "bascule/preview", state, description: "d".to_owned(), target_url: None };
    forge.set_status(&at, &pull.head, &status(StatusState::Pending)).await.unwrap();
    forge.set_status(&at, &pull.head, &status(StatusState::Success)).await.unwrap();
    seen.note("statuses", forge.statuses(&at, &pull.head).await.unwrap());
    seen.note("a status for no commit", forge.set_status(&at, &nothing, &status(StatusState::Success)).await);

    let mut issue = forge.create_issue(&at, "Held", "why").await.unwrap();
    seen.note("issue", &issue);
    issue.is_open = false;
    issue.body = "lifted".to_owned();
    seen.note("issue, closed", forge.edit_issue(&at, &issue).await.unwrap());
    seen.note("the same, read", forge.issue(&at, issue.number).await.unwrap() == issue);

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
    let closed = forge.pulls_closed_since(&at, since).await.unwrap();
    seen.note("closed", closed.iter().map(|pull| pull.number).collect::<Vec<_>>());
    let last = last_push_to_main(&forge, &at, since).await;
    seen.note("who moved main", (&last.pusher, last.after.as_ref() == Some(&merged.base)));

    let second = stage.opens_pull("alice", "c.yaml").await;
    stage.merges("lead", second, Merge::Rebase).await;
    let rebased = forge.pull(&at, second).await.unwrap();
    seen.note("rebased: the merge's commit is the branch's tip", {
        matches!(&rebased.state, bascule::forge::PullState::Merged { commit, .. } if commit.as_ref() == Some(&rebased.base))
    });

    stage.renames("shop2").await;
    seen.note("by its old name", forge.pull(&at, first).await.map(|pull| pull.number));
    seen.note("by its number", forge.repository_by_id(at.id).await.unwrap().at.name);
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
        seen.note(&format!("{login} in platform"), forge.is_team_member("acme", "platform", login).await);
    }
    seen.note("no such team", forge.is_team_member("acme", "none", "alice").await);
    seen.note("no such organisation", forge.is_team_member("none", "none", "alice").await.is_err());
    seen.note("alice", forge.user("alice").await.unwrap());
    seen.note("the organisation", forge.user("acme").await.unwrap());
    seen.note("nobody", forge.user("nobody").await);
    seen.note("by address", forge.account_by_email("alice@example.com").await.unwrap());
    seen.note("by no address", forge.account_by_email("nobody@nowhere.example").await.unwrap());
}

#[tokio::test]
async fn the_fake_forge_and_a_real_gitea_tell_our_client_the_same() {
    let (fake, real) = tokio::join!(Stage::fake(), Stage::real());
    let (fake, real) = tokio::join!(story(&fake), story(&real));
    let (fake, real): (Vec<_>, Vec<_>) = (fake.lines().collect(), real.lines().collect());
    assert_eq!(fake.len(), real.len());
    let different: Vec<String> =
        fake.iter().zip(&real).filter(|(a, b)| a != b).map(|(a, b)| format!("fake {a}\nreal {b}")).collect();
    assert!(different.is_empty(), "{}", different.join("\n\n"));
}
