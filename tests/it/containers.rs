//! `Dockerfile` and `docker-compose.yml`, read as what runs them reads them.

use std::collections::BTreeMap;
use std::path::Path;

use bascule::config::{self, DatabaseUrl, Environ, Secret};
use bascule::local::init;
use bascule::local::report::Verdict;
use serde_json::Value;

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The instructions of the stage that runs: a word, and the rest of what may be several lines.
fn running_stage() -> Vec<(String, String)> {
    let text = file("Dockerfile").replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let all: Vec<_> = lines.filter_map(|line| line.split_once(' ')).collect();
    let last = all.iter().rposition(|(word, _)| *word == "FROM").unwrap();
    all[last..].iter().map(|(word, rest)| ((*word).to_owned(), rest.trim().to_owned())).collect()
}

/// `NAME=value` pairs of an `ENV`, with what is in quotes.
fn pairs(text: &str) -> BTreeMap<String, String> {
    let pair = regex::Regex::new(r#"(\w+)=("(?:[^"\\]|\\.)*"|\S+)"#).unwrap();
    let unquoted = |value: &str| value.trim_matches('"').replace("\\\"", "\"");
    pair.captures_iter(text).map(|found| (found[1].to_owned(), unquoted(&found[2]))).collect()
}

fn services() -> BTreeMap<String, Value> {
    let compose: Value = serde_saphyr::from_str(&file("docker-compose.yml")).unwrap();
    serde_json::from_value(compose["services"].clone()).unwrap()
}

#[test]
fn nothing_in_a_container_runs_as_root_or_writes_to_its_root() {
    let user: Vec<String> =
        running_stage().into_iter().filter_map(|(word, rest)| (word == "USER").then_some(rest)).collect();
    assert_eq!(user, ["65532:65532"]);
    let services = services();
    assert_eq!(services.keys().collect::<Vec<_>>(), ["database", "migrate", "server"]);
    for (name, service) in services {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
        assert_eq!(service["security_opt"][0], "no-new-privileges:true", "{name}");
        // Ours says it in its Dockerfile.
        assert!(service.get("build").is_some() || service["user"] == "postgres", "{name}");
        assert!(service["ports"].as_array().is_none_or(|ports| ports.len() == 1), "metrics stay inside: {name}");
    }
}

#[test]
fn a_container_s_server_is_what_init_wrote_with_what_the_container_says() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("web.yaml"), "apiVersion: v1\nkind: Service\nmetadata: { name: web }\n").unwrap();
    assert_eq!(init::init(folder.path(), config::FILE_NAME).verdict, Verdict::Good);
    let ours: BTreeMap<String, String> =
        running_stage().iter().filter(|(word, _)| word == "ENV").flat_map(|(_, rest)| pairs(rest)).collect();
    assert!(ours.len() > 5, "{ours:?}");
    for name in ["migrate", "server"] {
        let said: BTreeMap<String, String> = serde_json::from_value(services()[name]["environment"].clone()).unwrap();
        let environ: Environ = ours.clone().into_iter().chain(said).collect();
        let loaded = config::load(Some(&folder.path().join(config::FILE_NAME)), &environ)
            .unwrap_or_else(|complaints| panic!("{name}: {complaints:?}"));
        assert_eq!(loaded.server.http.listen.to_string(), "0.0.0.0:8080");
        // What it writes lies on the volumes.
        assert_eq!(loaded.server.http.key, Secret::File("/data/server.key".into()));
        assert_eq!(loaded.server.audit.key, Secret::File("/data/audit.key".into()));
        assert_eq!(loaded.server.audit.checkpoints, Path::new("/checkpoints"));
        assert_eq!(loaded.server.database.data_dir, Path::new("/data"));
        assert!(matches!(loaded.server.database.url, DatabaseUrl::At(_)), "a container starts no PostgreSQL");
        assert_eq!(loaded.server.database.migrate_url.is_some(), name == "migrate");
    }
    let server = services()["server"].clone();
    for secret in ["WORK_TOKEN", "WORK_WEBHOOK_SECRET", "DATABASE_URL"] {
        assert!(server["environment"].get(secret).is_some(), "{secret}: what init asks for is handed on");
    }
    assert!(server["environment"].get("BASCULE_MIGRATE_URL").is_none(), "the owner's password is not the server's");
}
