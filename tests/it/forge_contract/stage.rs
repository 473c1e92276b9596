//! Where the story happens: on the fake forge, or on a real Gitea. Each act is told to both in their own words.

use std::collections::HashMap;
use std::time::Duration;

use bascule::clock::Clock;
use bascule::forge::{ANSWER_WITHIN, Forge, Kind, Settings, SignIn};
use serde_json::json;

use crate::fake::forge::{FakeForge, Merge, Pr, Right, SECRET, Says, Shop, TOKEN};
use crate::parts::{Gitea, GiteaApi, Permission, Progress, User, Verdict};

pub(super) const SHOP: &str = "acme/shop";

fn client(url: String, token: &str) -> Forge {
    let settings = Settings {
        name: "work".parse().unwrap(),
        url,
        sign_in: SignIn::Token(token.to_owned().into()),
        ca_pem: None,
        answer_within: ANSWER_WITHIN,
    };
    Forge::new(Kind::Gitea, settings, Clock::system()).unwrap()
}

/// Where the story happens.
pub(super) enum Stage {
    Fake { forge: FakeForge, shop: Shop },
    Real { gitea: Box<Gitea>, people: HashMap<&'static str, User>, ours: User },
}

impl Stage {
    pub(super) async fn fake() -> Self {
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

    pub(super) async fn real() -> Self {
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

    pub(super) fn url(&self) -> String {
        match self {
            Self::Fake { forge, .. } => forge.url(),
            Self::Real { gitea, .. } => gitea.url(),
        }
    }

    pub(super) fn client(&self) -> Forge {
        match self {
            Self::Fake { forge, .. } => client(forge.url(), TOKEN),
            Self::Real { gitea, ours, .. } => client(gitea.url(), &ours.token),
        }
    }

    pub(super) async fn opens_pull(&self, who: &'static str, path: &str) -> i64 {
        match self {
            Self::Fake { forge, shop } => forge.opens_pull(who, shop, &[(path, "one\n")]).await.number,
            Self::Real { gitea, people, .. } => {
                let api = gitea.api_of(&people[who]).unwrap();
                let branch = format!("change-{}", 1 + self.numbers(&api).await);
                api.commit(SHOP, &branch, "Change files\n", &[(path, Some("one\n"))]).await.unwrap();
                let title = branch.replace("change-", "Change ");
                i64::try_from(api.open_pull(SHOP, &branch, &title).await.unwrap()).unwrap()
            }
        }
    }

    async fn numbers(&self, api: &GiteaApi) -> usize {
        api.get(&format!("/repos/{SHOP}/issues?state=all")).await.unwrap().as_array().unwrap().len()
    }

    pub(super) async fn pushes(&self, who: &'static str, number: i64, path: &str) {
        match self {
            Self::Fake { forge, shop } => {
                forge.pushes(who, &Pr { repository: shop.id, number }, &[(path, "two\n")]).await;
            }
            Self::Real { gitea, people, .. } => {
                let api = gitea.api_of(&people[who]).unwrap();
                api.commit(SHOP, &format!("change-{number}"), "Change files\n", &[(path, Some("two\n"))])
                    .await
                    .unwrap();
                wait_for_push(&api, number).await;
            }
        }
    }

    pub(super) async fn reviews(&self, who: &'static str, number: i64, verdict: Verdict, text: &str) {
        match self {
            Self::Fake { forge, shop } => {
                let pr = Pr { repository: shop.id, number };
                let state = match verdict {
                    Verdict::Approve => Says::Approves,
                    Verdict::RequestChanges => Says::AsksForChanges,
                    Verdict::Comment => Says::Remarks,
                };
                forge.reviews(who, &pr, state, text, &forge.head(&pr)).await;
            }
            Self::Real { gitea, people, .. } => {
                let api = gitea.api_of(&people[who]).unwrap();
                api.review(SHOP, u64::try_from(number).unwrap(), verdict, text).await.unwrap();
            }
        }
    }

    pub(super) async fn comments(&self, who: &'static str, number: i64, text: &str) -> i64 {
        match self {
            Self::Fake { forge, shop } => forge.comments_on(who, shop.id, number, text).await,
            Self::Real { gitea, people, .. } => {
                let api = gitea.api_of(&people[who]).unwrap();
                i64::try_from(api.comment(SHOP, u64::try_from(number).unwrap(), text).await.unwrap()).unwrap()
            }
        }
    }

    pub(super) async fn merges(&self, who: &'static str, number: i64, how: Merge) {
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

    pub(super) async fn dismisses_first_review(&self, number: i64) {
        match self {
            Self::Fake { forge, shop } => forge.dismisses_first_review(&Pr { repository: shop.id, number }).await,
            Self::Real { gitea, .. } => {
                let api = gitea.api().unwrap();
                let path = format!("/repos/{SHOP}/pulls/{number}/reviews");
                let first = api.get(&path).await.unwrap()[0]["id"].clone();
                api.post(&format!("{path}/{first}/dismissals"), json!({ "message": "no" })).await.unwrap();
            }
        }
    }

    pub(super) async fn undismisses_first_review(&self, number: i64) {
        match self {
            Self::Fake { forge, shop } => forge.undismisses_first_review(&Pr { repository: shop.id, number }),
            Self::Real { gitea, .. } => {
                let api = gitea.api().unwrap();
                let path = format!("/repos/{SHOP}/pulls/{number}/reviews");
                let first = api.get(&path).await.unwrap()[0]["id"].clone();
                api.post(&format!("{path}/{first}/undismissals"), json!({})).await.unwrap();
            }
        }
    }

    /// The real one counts in seconds, and not for us.
    pub(super) async fn next_second(&self) {
        let second = || Clock::system().now().as_second();
        let now = second();
        while matches!(self, Self::Real { .. }) && second() == now {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn deletes_comment(&self, who: &'static str, comment: i64) {
        match self {
            Self::Fake { forge, .. } => forge.deletes_comment(who, comment).await,
            Self::Real { gitea, people, .. } => {
                let api = gitea.api_of(&people[who]).unwrap();
                api.delete(&format!("/repos/{SHOP}/issues/comments/{comment}")).await.unwrap();
            }
        }
    }

    pub(super) async fn updates_from_base(&self, who: &'static str, number: i64) {
        match self {
            Self::Fake { forge, shop } => {
                forge.updates_from_base(who, &Pr { repository: shop.id, number }).await;
            }
            Self::Real { gitea, people, .. } => {
                let api = gitea.api_of(&people[who]).unwrap();
                api.post(&format!("/repos/{SHOP}/pulls/{number}/update?style=merge"), json!({})).await.unwrap();
                wait_for_push(&api, number).await;
            }
        }
    }

    /// From a fork of one's own, whose owner has no right here.
    pub(super) async fn opens_pull_from_fork(&self, who: &'static str, path: &str) -> i64 {
        match self {
            Self::Fake { forge, shop } => forge.opens_pull_from_fork(who, shop, &[(path, "one\n")]).await.number,
            Self::Real { gitea, people, .. } => {
                let api = gitea.api_of(&people[who]).unwrap();
                api.post(&format!("/repos/{SHOP}/forks"), json!({})).await.unwrap();
                let fork = format!("{who}/shop");
                let branch = format!("change-{}", 1 + self.numbers(&api).await);
                api.commit(&fork, &branch, "Change files\n", &[(path, Some("one\n"))]).await.unwrap();
                let title = branch.replace("change-", "Change ");
                let number = api.open_pull(SHOP, &format!("{who}:{branch}"), &title).await.unwrap();
                i64::try_from(number).unwrap()
            }
        }
    }

    pub(super) async fn pushes_to_fork(&self, who: &'static str, number: i64, path: &str) {
        match self {
            Self::Fake { .. } => self.pushes(who, number, path).await,
            Self::Real { gitea, people, .. } => {
                let api = gitea.api_of(&people[who]).unwrap();
                let files = [(path, Some("two\n"))];
                api.commit(&format!("{who}/shop"), &format!("change-{number}"), "Change files\n", &files)
                    .await
                    .unwrap();
                wait_for_push(&api, number).await;
            }
        }
    }

    /// Has everything delivered there from now on.
    pub(super) async fn delivers_to(&self, url: &str) {
        match self {
            Self::Fake { forge, .. } => forge.hooks_to(url),
            Self::Real { gitea, .. } => drop(gitea.add_hook(SHOP, url, SECRET).await.unwrap()),
        }
    }

    pub(super) async fn renames(&self, name: &str) {
        match self {
            Self::Fake { forge, shop } => drop(forge.renames(shop, &format!("acme/{name}")).await),
            Self::Real { gitea, .. } => {
                let body = json!({ "name": name });
                gitea.api().unwrap().patch(&format!("/repos/{SHOP}"), body).await.unwrap();
            }
        }
    }
}

/// It tells the pull request of a push a moment later.
async fn wait_for_push(api: &GiteaApi, number: i64) {
    for _ in 0..200 {
        let timeline = api.get(&format!("/repos/{SHOP}/issues/{number}/timeline")).await.unwrap();
        let pushes = timeline.as_array().unwrap().iter().filter(|entry| entry["type"] == "pull_push").count();
        if pushes > 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("pull request {number} was not told of a push");
}
