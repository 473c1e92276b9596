//! The address of metrics, health and readiness.

use std::net::SocketAddr;

use bascule::web;

use crate::support::database::Database;

#[tokio::test]
async fn a_scrape_tells_the_queue_and_readiness_asks_the_database() {
    let database = Database::new().await;
    let unmigrated = Database::unmigrated().await;
    let recorded = bascule::telemetry::record().unwrap();
    crate::queue::put(&database.pool, &[crate::queue::job("a"), crate::queue::job("b")]).await;
    let mut serving = tokio::task::JoinSet::new();
    let mut addresses = Vec::new();
    for pool in [database.pool.clone(), unmigrated.owner.clone()] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap());
        let routes = web::admin_router(pool, recorded.clone());
        serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
    }
    let get = async |at: &SocketAddr, path: &str| {
        #[expect(clippy::disallowed_methods, reason = "whoever looks after the server, on loopback")]
        let answered = reqwest::get(format!("http://{at}{path}")).await.unwrap();
        (answered.status().as_u16(), answered.text().await.unwrap())
    };
    let (status, text) = get(&addresses[0], "/metrics").await;
    assert_eq!(status, 200);
    assert!(text.contains(r#"bascule_queue_jobs{lane="default",state="due"} 2"#), "{text}");
    assert!(text.contains(r#"bascule_environments_held{reason="uncovered"} 0"#), "{text}");
    assert!(text.contains("bascule_database_up 1") && text.contains("# HELP bascule_queue_jobs"), "{text}");
    for at in &addresses {
        assert_eq!(get(at, "/healthz").await, (200, "alive\n".to_owned()));
    }
    assert_eq!(get(&addresses[0], "/readyz").await, (200, "ready\n".to_owned()));
    let (status, why) = get(&addresses[1], "/readyz").await;
    assert!(status == 503 && why.contains("bascule migrate"), "{status} {why}");
    let (status, text) = get(&addresses[1], "/metrics").await;
    assert!(status == 200 && text.contains("bascule_database_up 0"), "{text}");
}
