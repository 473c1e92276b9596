//! What the API says of itself.

use bascule::web::token::Scope;

use super::Api;

#[tokio::test]
async fn the_description_names_every_route_and_needs_a_token_for_each() {
    let api = Api::new().await;
    let reader = api.token("reader", &[Scope::Read]).await;
    let document = api.get("/api/v1/openapi.json", &reader).await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 37, "{:?}", paths.keys());
    for (path, methods) in paths {
        let path = path.replace("{id}", "1").replace("{seq}", "1");
        for method in methods.as_object().unwrap().keys() {
            let answered = if method == "post" { api.post(&path, "").await } else { api.get(&path, "").await };
            assert_eq!(answered.status, 401, "{method} {path}");
        }
    }
}
