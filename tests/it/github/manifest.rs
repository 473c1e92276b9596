//! An App that a person makes in a browser: three clicks, and what somebody else's browser may try meanwhile.

use std::future::pending;
use std::os::unix::fs::PermissionsExt as _;

use bascule::app::create_app::{Creation, create};
use bascule::config::{self, Environ};
use bascule::local::report::Verdict;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::sync::oneshot;

use super::wire::{Wire, says};

const CONVERSION: &str = "POST /app-manifests/c0de/conversions";

fn creation(wire: &Wire, directory: &std::path::Path) -> Creation {
    Creation {
        forge: "gh".to_owned(),
        url: Some(wire.url().to_owned()),
        organization: Some("acme".to_owned()),
        directory: directory.to_owned(),
        port: 0,
    }
}

/// What a browser is answered; an error is that nobody listens.
async fn asked(address: &str) -> reqwest::Result<(u16, String)> {
    #[expect(clippy::disallowed_methods, reason = "a browser of the test")]
    let answer = reqwest::get(address).await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// The value of a form's field, or its address.
fn field<'p>(page: &'p str, begin: &str) -> &'p str {
    page.split_once(begin).unwrap().1.split_once('"').unwrap().0
}

#[tokio::test]
async fn an_app_is_made_by_whoever_sees_the_terminal_once() {
    let wire = Wire::start().await;
    let mut made = wire.example("POST", "/app-manifests/c0de/conversions");
    made["html_url"] = format!("{}/apps/bascule", wire.url()).into();
    made["webhook_secret"] = "whisper".into();
    let secrets = [made["pem"].clone(), "whisper".into(), made["client_secret"].clone()];
    wire.says(CONVERSION, [says(201, made)]);
    let file = "version = 1\n[server]\npublic_url = \"https://bascule.example.com\"\n";
    let loaded = config::parse("bascule.toml", file, &Environ::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let creation = creation(&wire, &folder.path().join("secrets"));

    let (tell, told) = oneshot::channel();
    let making = create(&loaded, &creation, |address| tell.send(address.to_owned()).unwrap(), pending());
    let browser = async {
        let address: String = told.await.unwrap();
        let (here, word) = address.split_once("?word=").unwrap();
        // Somebody else's browser, or page, knows no word.
        for other in
            [here.to_owned(), format!("{here}?word="), format!("{here}?word=x{word}"), format!("{here}/created")]
        {
            assert_eq!(asked(&other).await.unwrap().0, 404, "{other}");
        }
        let (status, page) = asked(&address).await.unwrap();
        assert_eq!(status, 200);
        let action = field(&page, "action=\"").replace("&amp;", "&");
        let (place, state) = action.split_once("?state=").unwrap();
        assert_eq!(place, format!("{}/organizations/acme/settings/apps/new", wire.url()));
        let manifest = field(&page, "value=\"").replace("&quot;", "\"").replace("&amp;", "&");
        // It is what a browser would have posted that counts, and what came back without it does not.
        for other in ["code=c0de", "code=c0de&state=", &format!("code=c0de&state={state}x"), &format!("state={state}")]
        {
            assert_eq!(asked(&format!("{here}/created?{other}")).await.unwrap().0, 404, "{other}");
        }
        assert_eq!(wire.operations(), [""; 0], "nothing was exchanged");
        let back = format!("{here}/created?code=c0de&state={state}");
        let (status, page) = asked(&back).await.unwrap();
        assert!(status == 200 && page.starts_with("The App is made"), "{page}");
        assert!(asked(&back).await.is_err(), "nobody listens any more");
        manifest
    };
    let (report, manifest) = tokio::join!(making, browser);
    assert_eq!(report.verdict, Verdict::Good, "{}", report.text);
    wire.check();

    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let public = "https://bascule.example.com";
    assert_eq!(
        manifest["hook_attributes"],
        serde_json::json!({ "url": format!("{public}/webhooks/gh"), "active": true })
    );
    assert_eq!(manifest["callback_urls"][0], format!("{public}/sign-in/gh/callback"));
    assert!(manifest["redirect_url"].as_str().unwrap().ends_with("/setup/github/created"), "{manifest}");
    // What docs/github.md asks for is held to the same tables.
    assert_eq!((&manifest["public"], &manifest["default_permissions"]["statuses"]), (&false.into(), &"write".into()));
    assert!(manifest["default_events"].as_array().unwrap().contains(&"pull_request_review".into()), "{manifest}");
    assert!(manifest["default_events"].as_array().unwrap().contains(&"merge_group".into()), "{manifest}");
    let mut files =
        std::fs::read_dir(&creation.directory).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
    files.sort();
    let kept: Vec<String> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    assert_eq!(kept, [secrets[2].as_str().unwrap(), secrets[0].as_str().unwrap(), secrets[1].as_str().unwrap()]);
    for file in &files {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    for secret in &secrets {
        assert!(!report.text.contains(secret.as_str().unwrap()), "{}", report.text);
    }
    // What is to be pasted is a section that is read.
    let section = report.text.split_once("[forge.gh]").unwrap().1.split_once("\n\nThen ").unwrap().0;
    let whole = format!("{file}[forge.gh]{section}\n");
    let read = config::parse("bascule.toml", &whole, &Environ::default()).unwrap().server;
    let forge = read.forges.values().next().unwrap();
    assert_eq!(forge.url, wire.url());
    assert_eq!(forge.webhook_secrets[0].read().unwrap().expose_secret(), "whisper");
    assert!(report.text.contains(&format!("{}/apps/bascule/installations/new", wire.url())), "{}", report.text);
    // A second run does not write over them.
    let again = create(&loaded, &creation, |_| panic!("nobody is asked"), pending()).await;
    assert!(again.verdict == Verdict::Bad && again.text.contains("exists"), "{}", again.text);
}

#[tokio::test]
async fn a_code_that_github_does_not_take_makes_nothing_and_is_repeated_nowhere() {
    let wire = Wire::start().await;
    wire.says(CONVERSION, [says(404, serde_json::json!({ "message": "Not Found" }))]);
    let file = "version = 1\n[server]\npublic_url = \"https://bascule.example.com\"\n";
    let loaded = config::parse("bascule.toml", file, &Environ::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let creation = creation(&wire, folder.path());
    let (tell, told) = oneshot::channel();
    let making = create(&loaded, &creation, |address| tell.send(address.to_owned()).unwrap(), pending());
    let browser = async {
        let address: String = told.await.unwrap();
        let here = address.split_once("?word=").unwrap().0;
        let page = asked(&address).await.unwrap().1;
        let state = field(&page, "?state=").to_owned();
        asked(&format!("{here}/created?code=c0de&state={state}")).await.unwrap()
    };
    let (report, _) = tokio::join!(making, browser);
    assert!(report.verdict == Verdict::CouldNot && !report.text.contains("c0de"), "{}", report.text);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn stopped_while_it_waits_it_leaves_no_file_in_the_way_of_the_next() {
    let wire = Wire::start().await;
    let file = "version = 1\n[server]\npublic_url = \"https://bascule.example.com\"\n";
    let loaded = config::parse("bascule.toml", file, &Environ::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (tell, told) = oneshot::channel();
    let stopped = async { told.await.unwrap() };
    let report = create(&loaded, &creation(&wire, folder.path()), |_| tell.send(()).unwrap(), stopped).await;
    assert!(report.verdict == Verdict::CouldNot && report.text.contains("stopped"), "{}", report.text);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
