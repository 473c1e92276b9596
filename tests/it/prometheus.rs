//! The client of a Prometheus, against one on loopback that speaks its API. A real one is not among the tools.

use std::time::Duration;

use bascule::ids::PrometheusName;
use bascule::prometheus::{Answer, Fate, Prometheus, Servers, Settings, SettingsError};

use crate::fake::prometheus::{FakePrometheus, Says};

#[tokio::test]
async fn a_query_holds_while_it_gives_something() {
    let server = FakePrometheus::new().await;
    let client = server.client(Some("hunter2\n"));
    let query = r#"sum(rate(errors_total{code=~"5.."}[1m])) < 0.05 and up & x"#;
    assert_eq!(client.holds(query).await.unwrap(), Answer::Holds);
    assert_eq!(server.shown().as_deref(), Some("Bearer hunter2"));
    let asked = server.asked().pop().unwrap();
    let read: Vec<(String, String)> =
        reqwest::Url::parse(&format!("http://x/?{asked}")).unwrap().query_pairs().into_owned().collect();
    assert_eq!(read, [("query".to_owned(), query.to_owned()), ("timeout".to_owned(), "8s".to_owned())]);
    server.says(Says::Nothing);
    assert_eq!(client.holds(query).await.unwrap(), Answer::DoesNot);
    assert!(!format!("{client:?}").contains("hunter2"));
}

#[tokio::test]
async fn whatever_else_it_does_is_said_and_bounded() {
    let (server, other) = (FakePrometheus::new().await, FakePrometheus::new().await);
    let client = server.client(Some("hunter2"));
    let mut said = Vec::new();
    for says in [
        Says::Elsewhere(format!("{}/api/v1/query?query=up", other.url)),
        Says::Endless(8 << 20),
        Says::This(200, format!("{{\"status\":\"success\",\"x\":\"{}\"", "y".repeat(2 << 20))),
        Says::This(200, "<html>".to_owned()),
        Says::This(403, String::new()),
    ] {
        server.says(says);
        let error = client.holds("up").await.unwrap_err();
        said.push(format!("{:?}: {error}", error.fate));
    }
    insta::assert_snapshot!(said.join("\n"), @"
    Refused: prometheus `main`: it sends us elsewhere, and nobody is followed: `url` has to say where it is
    Never: prometheus `main`: its answer is larger than 1 MiB: ask for less, `sum(…)` or `topk`
    Never: prometheus `main`: its answer is larger than 1 MiB: ask for less, `sum(…)` or `topk`
    Refused: prometheus `main`: what it answers is no answer of a Prometheus
    Refused: prometheus `main`: it does not let us in (403): `token` of its section is what it is shown
    ");
    assert_eq!(other.asked(), [""; 0], "nobody is followed");
    drop(server);
    let error = client.holds("up").await.unwrap_err();
    assert_eq!((error.fate, error.to_string().as_str()), (Fate::Later, "prometheus `main`: it cannot be reached"));
}

#[tokio::test]
async fn one_that_is_silent_is_left() {
    let server = FakePrometheus::new().await;
    server.says(Says::Silence);
    let settings = Settings { answer_within: Duration::from_millis(20), ..server.settings(None) };
    let error = Prometheus::new(&settings).unwrap().holds("up").await.unwrap_err();
    let said = (error.fate, error.to_string());
    assert_eq!(said, (Fate::Later, "prometheus `main`: it does not answer in time".to_owned()));
}

#[tokio::test]
async fn what_cannot_be_a_server_is_refused_at_the_start() {
    let settings = |url: &str, token: Option<&str>, ca_pem: Option<&[u8]>| Settings {
        name: "main".parse().unwrap(),
        url: url.to_owned(),
        token: token.map(Into::into),
        ca_pem: ca_pem.map(<[u8]>::to_vec),
        answer_within: Duration::from_secs(1),
    };
    let error = |settings: &Settings| Prometheus::new(settings).unwrap_err();
    assert!(matches!(error(&settings("nowhere", None, None)), SettingsError::Url(_)));
    let token = error(&settings("http://x", Some("a\u{7}b"), None));
    assert!(matches!(&token, SettingsError::Token(_)) && !token.to_string().contains('\u{7}'));
    assert!(matches!(error(&settings("http://x", None, Some(b"x"))), SettingsError::Ca(_)));
    let nobody: PrometheusName = "other".parse().unwrap();
    let error = Servers::default().named(&nobody).unwrap_err();
    assert_eq!(error.to_string(), "prometheus `other`: it is not in the server's file");
}
