//! Machine tokens: who is answered, and what a token is.

use bascule::web::token::{self, Scope};
use jiff::SignedDuration;

use super::Api;

#[tokio::test]
async fn nobody_is_answered_without_a_good_token_that_has_the_scope() {
    let api = Api::new().await;
    let reader = api.token("reader", &[Scope::Read]).await;
    let ended = api.token("ended", &[Scope::Read, Scope::Operate, Scope::Audit]).await;
    token::revoke(&api.database.pool, &api.clock, "ended").await.unwrap();
    let nobody = format!("bsc_{}", "A".repeat(43));
    for path in ["/api/v1/environments", "/api/v1/audit", "/api/v1/openapi.json", "/api/v1/reports/exceptions"] {
        for bad in ["", "x", "bsc_", &nobody, &ended, reader.trim_start_matches("bsc_"), &format!("{reader}x")] {
            let answered = api.get(path, bad).await;
            assert_eq!((answered.status, answered.kind.as_str()), (401, "application/problem+json"), "{path} {bad}");
            assert!(answered.headers.contains_key("www-authenticate"));
        }
    }
    assert_eq!(api.get("/api/v1/environments", &reader).await.status, 200);
    for path in [
        "/api/v1/audit",
        "/api/v1/audit/1",
        "/api/v1/audit/verify",
        "/api/v1/audit/export",
        "/api/v1/reports/deployments",
    ] {
        let answered = api.get(path, &reader).await;
        assert_eq!((answered.status, answered.kind.as_str()), (403, "application/problem+json"), "{path}");
    }
    for path in ["/api/v1/jobs/1/retry", "/api/v1/deliveries/0190f4ab-0000-7000-8000-000000000000/replay"] {
        assert_eq!(api.post(path, &reader).await.status, 403, "{path}");
    }
    let basic = api.client.get(format!("http://{}/api/v1/environments", api.at)).basic_auth("me", Some(&reader));
    assert_eq!(basic.send().await.unwrap().status(), 401, "a browser would send it along with other sites' requests");
    api.clock.advance(SignedDuration::from_hours(2));
    assert_eq!(api.get("/api/v1/environments", &reader).await.status, 401, "expired");
    let stored: Vec<u8> = sqlx::query_scalar("SELECT hash FROM api_token WHERE name = 'reader'")
        .fetch_one(&api.database.owner)
        .await
        .unwrap();
    assert_eq!(stored.len(), 32);
    assert_eq!(api.actions().await, ["token.created", "token.created", "token.revoked"]);
}

#[tokio::test]
async fn a_token_has_a_name_for_ever_scopes_and_an_end() {
    let api = Api::new().await;
    let make = |name: &'static str, scopes: &'static [Scope], hours: i64| {
        token::create(&api.database.pool, &api.clock, name, scopes, SignedDuration::from_hours(hours))
    };
    make("ci", &[Scope::Read], 1).await.unwrap();
    token::revoke(&api.database.pool, &api.clock, "ci").await.unwrap();
    let mut told = Vec::new();
    for (name, scopes, hours) in [
        ("ci", &[Scope::Read][..], 1),
        ("a b", &[Scope::Read], 1),
        ("x", &[], 1),
        ("x", &[Scope::Read], 0),
        ("x", &[Scope::Read], 9_000),
    ] {
        told.push(make(name, scopes, hours).await.unwrap_err().to_string());
    }
    told.push(token::revoke(&api.database.pool, &api.clock, "ci").await.unwrap_err().to_string());
    insta::assert_snapshot!(told.join("\n"), @r"
    there is, or was, a token `ci`: choose another name, so that the log always names one
    a token's name is 1 to 63 letters, digits, `-`, `_` or `.`
    a token has at least one scope: read, operate, audit, or agent:CLUSTER
    a token lives for at least a minute and at most 366 days
    a token lives for at least a minute and at most 366 days
    there is no token `ci` that is not revoked already
    ");
}
