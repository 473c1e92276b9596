//! The same with the real Gitea, whose pages a person's browser goes through.

use serde_json::{Value, json};

use super::{Browser, listens, serve};
use crate::parts::{Gitea, Permission, Progress};

#[tokio::test]
async fn a_person_signs_in_through_a_real_gitea() {
    let gitea = Gitea::start(&Progress::silent()).await.unwrap();
    let alice = gitea.create_user("alice").await.unwrap();
    let api = gitea.api().unwrap();
    let mut numbers = Vec::new();
    for name in ["shop", "vault"] {
        let full = gitea.create_repository("root", name).await.unwrap();
        api.patch(&format!("/repos/{full}"), json!({ "private": true })).await.unwrap();
        numbers.push(api.get(&format!("/repos/{full}")).await.unwrap()["id"].as_i64().unwrap());
    }
    gitea.add_collaborator("root/shop", &alice, Permission::Read).await.unwrap();
    let listens = listens().await;
    let application = json!({ "name": "bascule", "confidential_client": true,
        "redirect_uris": [format!("{}/sign-in/work/callback", listens.1)] });
    let made = api.post("/user/applications/oauth2", application).await.unwrap();
    let ours = (made["client_id"].as_str().unwrap(), made["client_secret"].as_str().unwrap());
    let house = serve(listens, ("gitea", &gitea.url(), gitea.admin_token()), ours).await;
    for (name, number) in ["shop", "vault"].iter().zip(&numbers) {
        sqlx::query(
            "INSERT INTO repository (forge, forge_id, full_name, default_branch) VALUES ('work', $1, $2, 'main')",
        )
        .bind(number)
        .bind(format!("root/{name}"))
        .execute(&house.database.owner)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO environment (repository_id, name, cluster, namespace, branch)
             SELECT id, $1, 'prod', $1, 'main' FROM repository WHERE full_name = $2",
        )
        .bind(name)
        .bind(format!("root/{name}"))
        .execute(&house.database.owner)
        .await
        .unwrap();
    }

    let mut browser = Browser::new();
    let page = browser.open(&format!("{}/user/login", gitea.url())).await;
    let csrf = if page.text.contains("name=\"_csrf\"") { page.field("_csrf") } else { String::new() };
    let fields = [("_csrf", csrf.as_str()), ("user_name", "alice"), ("password", &alice.password)];
    let signed_in = browser.submit(&format!("{}/user/login", gitea.url()), &gitea.url(), &fields).await;
    assert_eq!(signed_in.status, 303, "{}", signed_in.text);

    let consent = browser.follow(&format!("{}/sign-in/work", house.url)).await;
    assert_eq!(consent.status, 200, "{}", consent.text);
    let names = ["_csrf", "client_id", "state", "scope", "nonce", "redirect_uri"];
    let has = |name: &str| consent.text.contains(&format!("name=\"{name}\""));
    let mut fields: Vec<(&str, String)> =
        names.into_iter().filter(|name| has(name)).map(|name| (name, consent.field(name))).collect();
    fields.push(("granted", "true".to_owned()));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let granted = browser.submit(&format!("{}/login/oauth/grant", gitea.url()), &gitea.url(), &fields).await;
    assert!(granted.to().contains("code="), "{}", granted.to());
    let landed = browser.follow(&granted.to()).await;
    assert!(landed.text.contains("You are <strong>work/alice ("), "{}", landed.text);
    let seen = browser.open(&format!("{}/api/v1/environments", house.url)).await;
    let seen: Value = serde_json::from_str(&seen.text).unwrap();
    let names: Vec<&Value> = seen["items"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, [&json!("shop")]);
}
