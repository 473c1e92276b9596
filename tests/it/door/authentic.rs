//! Is it from our forge? Everything that is not, on the wire.

use serde_json::{Value, json};

use super::wire::{Client, Delivery, recorded, sign};
use super::{Door, OTHER_SECRET, SECRET, counted};

const BODY: &str = r#"{"action":"opened","number":7,"repository":{"id":1,"full_name":"acme/shop"}}"#;

fn good(id: &str) -> Delivery {
    Delivery::gitea("pull_request", id, BODY)
}

/// Every delivery gets the same 401 on a connection that ends, and leaves nothing but a number in a counter.
async fn check(cases: Vec<(&str, Delivery, &str)>) {
    let door = Door::new().await;
    for (name, delivery, outcome) in cases {
        let forge = delivery.line.split(['/', ' ']).nth(3).unwrap().to_owned();
        let before = counted(&forge, outcome);
        let mut client = Client::connect(door.at).await;
        let answer = client.ask(delivery.bytes()).await.unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!((answer.status, answer.text.as_str()), (401, "refused\n"), "{name}");
        assert!(answer.closes(), "{name}");
        assert_eq!(client.rest().await, b"", "{name}");
        assert!(counted(&forge, outcome) > before, "{name}");
    }
    assert_eq!(door.stored().await, []);
    assert_eq!(door.jobs().await, [""; 0]);
    assert_eq!(door.send(&good("the-next-one")).await.status, 202, "the others are not affected");
}

#[tokio::test]
async fn what_is_not_signed_as_its_forge_signs_is_refused_and_stored_nowhere() {
    const HEADER: &str = "x-gitea-signature";
    let signature = sign(SECRET, BODY.as_bytes());
    let with = |value: &str| good("a").with(HEADER, value);
    let flipped = |at: usize, bit: u8| {
        let mut delivery = good("a");
        delivery.body[at] ^= 1 << bit;
        delivery
    };
    let spaced = format!("{} {}", &signature[..32], &signature[32..]);
    check(vec![
        ("no signature", good("a").without(HEADER), "no_signature"),
        ("an empty one: a Gitea without a secret", with(""), "no_signature"),
        ("blanks", with("   "), "no_signature"),
        ("the first bit flipped", flipped(0, 0), "wrong_signature"),
        ("the last bit flipped", flipped(BODY.len() - 1, 7), "wrong_signature"),
        ("in upper case", with(&signature.to_uppercase()), "malformed_signature"),
        ("a blank in it", with(&spaced), "malformed_signature"),
        ("with GitHub's prefix", with(&format!("sha256={signature}")), "malformed_signature"),
        ("too short", with(&signature[..62]), "malformed_signature"),
        ("an odd number of digits", with(&signature[..63]), "malformed_signature"),
        ("too long", with(&format!("{signature}00")), "malformed_signature"),
        ("twice in one header", with(&format!("{signature}, {signature}")), "malformed_signature"),
        ("twice, both good", good("a").also(HEADER, &signature), "doubled_signature"),
        ("twice, a good one last", with("0").also(HEADER, &signature), "doubled_signature"),
        ("no hex", with(&"g".repeat(64)), "malformed_signature"),
        ("not ASCII", with(&"é".repeat(32)), "malformed_signature"),
        ("a fullwidth digit", with(&format!("{}０", &signature[..61])), "malformed_signature"),
        ("60 KB of digits", with(&"a".repeat(60_000)), "malformed_signature"),
        ("zeros", with(&"0".repeat(64)), "wrong_signature"),
        ("under no secret", with(&sign("", BODY.as_bytes())), "wrong_signature"),
        ("under the secret with its line end", with(&sign(&format!("{SECRET}\n"), BODY.as_bytes())), "wrong_signature"),
        ("of an empty body", with(&sign(SECRET, b"")), "wrong_signature"),
        ("the body gone", Delivery { body: Vec::new(), ..good("a") }, "wrong_signature"),
    ])
    .await;
}

#[tokio::test]
async fn a_signature_under_another_name_or_of_another_forge_is_none() {
    const GITEA: &str = "x-gitea-signature";
    let signature = sign(SECRET, BODY.as_bytes());
    let bare = || good("a").without(GITEA);
    let at_berg = |delivery: Delivery| delivery.to("POST /webhooks/berg HTTP/1.1");
    let forgejo = || Delivery::forgejo("pull_request", "a", BODY);
    let other = sign(OTHER_SECRET, BODY.as_bytes());
    check(vec![
        ("SHA-1 only", bare().with("x-hub-signature", "sha1=449914bf50c7b96719ac25f45b39be24b5f77479"), "no_signature"),
        ("GitHub's", bare().with("x-hub-signature-256", &format!("sha256={signature}")), "no_signature"),
        ("Gogs'", bare().with("x-gogs-signature", &signature), "no_signature"),
        ("GitLab's token", bare().with("x-gitlab-token", SECRET), "no_signature"),
        ("basic authentication", bare().with("authorization", "Basic d29yazp3b3Jr"), "no_signature"),
        ("Forgejo's at a Gitea", bare().with("x-forgejo-signature", &signature), "no_signature"),
        ("work's delivery at berg", at_berg(good("a")), "wrong_signature"),
        ("berg's delivery at work", forgejo().to("POST /webhooks/work HTTP/1.1"), "wrong_signature"),
        (
            "a bad one of Forgejo's beside a good one of Gitea's",
            forgejo().with("x-forgejo-signature", &signature),
            "wrong_signature",
        ),
        (
            "an empty one of Forgejo's beside a good one of Gitea's",
            forgejo().with("x-forgejo-signature", ""),
            "no_signature",
        ),
        ("two of Forgejo's", forgejo().also("x-forgejo-signature", &other), "doubled_signature"),
    ])
    .await;
}

#[tokio::test]
async fn where_a_call_says_it_comes_from_does_not_count() {
    let from = |delivery: Delivery| {
        delivery.with("x-forwarded-for", "127.0.0.1").with("x-real-ip", "::1").with("forwarded", "for=127.0.0.1")
    };
    check(vec![
        ("unsigned", from(good("a").without("x-gitea-signature")), "no_signature"),
        ("signed for another", from(good("a").with("x-gitea-signature", &"0".repeat(64))), "wrong_signature"),
    ])
    .await;
}

#[tokio::test]
async fn a_megabyte_of_signature_is_not_even_read() {
    let door = Door::new().await;
    let mut client = Client::connect(door.at).await;
    let huge = good("a").with("x-gitea-signature", &"a".repeat(1 << 20));
    if let Some(answer) = client.ask(huge.bytes()).await {
        assert_eq!(answer.status, 431);
    }
    client.rest().await;
    assert_eq!(door.stored().await, []);
    assert_eq!(door.send(&good("b")).await.status, 202);
}

#[tokio::test]
async fn what_a_real_gitea_sent_is_taken_and_the_same_written_anew_is_not() {
    let door = Door::new().await;
    *door.secrets.lock().unwrap() = vec![door.secret("fixture", "fixture-secret")];
    let mut sent = 0;
    for name in
        ["pull-opened", "pull-merged", "push", "push-tag", "review-approved", "comment-created", "webhook-tried"]
    {
        let (_, mut headers, body) = recorded(name);
        headers.push(("host".to_owned(), "bascule".to_owned()));
        let delivery = Delivery { line: "POST /webhooks/work HTTP/1.1".to_owned(), headers, body };
        let mut anew = delivery.clone();
        anew.body = serde_json::to_vec(&serde_json::from_slice::<Value>(&delivery.body).unwrap()).unwrap();
        assert_ne!(anew.body, delivery.body);
        assert_eq!(door.send(&anew).await.status, 401, "{name}");
        let mut padded = delivery.clone();
        padded.body.push(b'\n');
        assert_eq!(door.send(&padded).await.status, 401, "{name}");
        assert_eq!(door.send(&delivery).await.status, 202, "{name}");
        sent += 1;
    }
    assert_eq!(door.stored().await.len(), sent);
}

#[tokio::test]
async fn forgejo_is_taken_under_its_own_name_and_under_giteas() {
    let door = Door::new().await;
    assert_eq!(door.send(&Delivery::forgejo("pull_request", "both", BODY)).await.status, 202);
    let own = Delivery::forgejo("pull_request", "own", BODY);
    let own = ["signature", "delivery", "event"].iter().fold(own, |own, name| own.without(&format!("x-gitea-{name}")));
    assert_eq!(door.send(&own).await.status, 202);
    let gitea = Delivery::forgejo("pull_request", "gitea", BODY);
    let gitea =
        ["signature", "delivery", "event"].iter().fold(gitea, |one, name| one.without(&format!("x-forgejo-{name}")));
    assert_eq!(door.send(&gitea).await.status, 202, "an old Forgejo");
    // With the fields and headers of the example in its documentation (forgejo.org/docs/latest/user/webhooks).
    let person = json!({
        "id": 1, "login": "dev", "full_name": "Dev", "email": "dev@example.com", "avatar_url": "", "username": "dev",
    });
    let push = json!({
        "ref": "refs/heads/develop", "before": "1".repeat(40), "after": "2".repeat(40), "compare_url": "",
        "commits": [{ "id": "2".repeat(40), "message": "Webhooks", "url": "", "author": person, "committer": person }],
        "repository": {
            "id": 140, "owner": person, "name": "shop", "full_name": "acme/shop", "description": "", "private": false,
            "fork": false, "html_url": "", "ssh_url": "", "clone_url": "", "website": "", "stars_count": 0,
            "forks_count": 1, "watchers_count": 1, "open_issues_count": 7, "default_branch": "master",
            "created_at": "2017-02-26T04:29:06-05:00", "updated_at": "2017-03-13T13:51:58-04:00",
        },
        "pusher": person, "sender": person,
    });
    let documented = Delivery::forgejo("push", "documented", push.to_string());
    let documented = ["github", "gogs"].iter().fold(documented, |one, name| {
        one.with(&format!("x-{name}-delivery"), "documented").with(&format!("x-{name}-event"), "push")
    });
    assert_eq!(door.send(&documented).await.status, 202);
    assert_eq!(door.jobs().await, ["attend_pull berg/1#7", "follow_branch berg/140@develop"]);
}

#[tokio::test]
async fn during_a_rotation_both_secrets_count_and_afterwards_only_the_new_one() {
    let door = Door::new().await;
    let resigned = |id: &str, secret: &str| good(id).with("x-gitea-signature", &sign(secret, BODY.as_bytes()));
    let (old, new) = (door.secret("old", "old"), door.secret("new", "new"));
    let mut answers = Vec::new();
    for (step, files) in [vec![old.clone()], vec![old, new.clone()], vec![new]].into_iter().enumerate() {
        *door.secrets.lock().unwrap() = files;
        for secret in ["old", "new", "work"] {
            answers.push(door.send(&resigned(&format!("{step} {secret}").replace(' ', "-"), secret)).await.status);
        }
    }
    assert_eq!(answers, [202, 401, 401, 202, 202, 401, 401, 202, 401]);
    // A secret that is exchanged in its file counts from the next delivery on.
    door.secret("new", "newer");
    assert_eq!(door.send(&resigned("a", "new")).await.status, 401);
    assert_eq!(door.send(&resigned("b", "newer")).await.status, 202);
}

#[tokio::test]
async fn without_a_secret_at_run_time_nothing_is_taken_and_nothing_is_refused_for_good() {
    let door = Door::new().await;
    let under = |secret: &str| good("a").with("x-gitea-signature", &sign(secret, BODY.as_bytes()));
    let whole = door.secret("whole", SECRET);
    let gone = door.secret("gone", "x");
    std::fs::remove_file(&gone).unwrap();
    for (name, files) in [
        ("an empty file", vec![door.secret("empty", "")]),
        ("blanks", vec![door.secret("blank", "  \t")]),
        ("a file that is gone", vec![gone.clone()]),
        ("a folder", vec![door.folder.path().to_owned()]),
        ("one of two is gone", vec![whole.clone(), gone]),
        ("one of two is empty", vec![door.secret("empty", ""), whole.clone()]),
        ("none is listed", Vec::new()),
    ] {
        *door.secrets.lock().unwrap() = files;
        for secret in ["", SECRET, "x", "  \t"] {
            let answer = door.send(&under(secret)).await;
            assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (503, "5"), "{name}: {secret}");
        }
    }
    assert_eq!(door.stored().await, []);
    *door.secrets.lock().unwrap() = vec![whole];
    assert_eq!(door.send(&under(SECRET)).await.status, 202);
}
