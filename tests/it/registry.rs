//! The client of registries, against one on loopback that speaks both ways.

use std::fmt::Write as _;
use std::path::Path;

use bascule::policy::chart::{Bound, Chart};
use bascule::registry::{Registry, Settings};
use insta::assert_snapshot;

use crate::fake::registry::{FakeRegistry, Fault, Way, credentials, packed};

const WAYS: [Way; 2] = [Way::Index, Way::Oci];

fn chart(version: &str) -> Chart {
    let (registry, name) = ("charts".parse().unwrap(), "shop".to_owned());
    Chart { registry, name, version: version.to_owned(), digest: None, bound: None }
}

fn archive(version: &str) -> Vec<u8> {
    packed("shop", version, "kind: ConfigMap\n")
}

async fn shop() -> FakeRegistry {
    let there = FakeRegistry::new().await;
    for version in ["1.4.1", "1.4.2", "1.5.0"] {
        there.has("shop", version, archive(version));
    }
    there
}

fn reached(settings: &Settings, folder: &Path) -> Registry {
    Registry::new(settings, folder.to_owned()).unwrap()
}

#[tokio::test]
async fn a_chart_comes_from_either_kind_of_registry_and_is_asked_for_once() {
    let there = shop().await;
    for way in WAYS {
        let folder = tempfile::tempdir().unwrap();
        let registry = reached(&there.settings(way), folder.path());
        let bound = registry.resolve(&chart("1.4.x")).await.unwrap();
        assert_eq!(bound.version, "1.4.2");
        let first = there.asked();
        let fetched = registry.fetch(&chart("1.4.x"), &bound).await.unwrap();
        assert_eq!(there.asked(), [""; 0], "{way:?}: it is here");
        // What helm packs differs by its times, so it is the very archive that was packed.
        assert!(fetched.starts_with(&[0x1f, 0x8b]));

        // Another server, which has the digest alone, and the tag is another one by now.
        let elsewhere = tempfile::tempdir().unwrap();
        let other = reached(&there.settings(way), elsewhere.path());
        assert_eq!(other.fetch(&chart("1.4.x"), &bound).await.unwrap(), fetched);
        let again = there.asked();
        match way {
            Way::Index => {
                assert_eq!(first, ["/index/index.yaml", "/index/shop-1.4.2.tgz"]);
                assert_eq!(again, ["/index/index.yaml", "/index/shop-1.4.2.tgz"]);
            }
            Way::Oci => {
                assert_eq!(first.len(), 3, "tags, manifest, blob: {first:?}");
                assert_eq!(again.len(), 2, "manifest, blob: {again:?}");
            }
        }
        // A disk that rots is no chart.
        for file in std::fs::read_dir(elsewhere.path()).unwrap() {
            std::fs::write(file.unwrap().path(), b"rotten").unwrap();
        }
        assert_eq!(other.fetch(&chart("1.4.x"), &bound).await.unwrap(), fetched);
        assert_eq!(there.asked(), again);
        assert!(registry.is_there().await.is_ok());
        there.asked();
    }
}

#[tokio::test]
async fn what_a_registry_does_instead_is_told_apart() {
    let there = shop().await;
    let mut told = String::new();
    for way in WAYS {
        writeln!(told, "# {way:?}").unwrap();
        let faults = [401, 403, 404, 418, 429, 503].map(Fault::Status).into_iter();
        let more = [Fault::Page, Fault::Half, Fault::Other, Fault::SendsTo("http://169.254.169.254".to_owned())];
        for fault in faults.chain(more) {
            let folder = tempfile::tempdir().unwrap();
            let registry = reached(&there.settings(way), folder.path());
            there.fails(Some(fault.clone()));
            let error = registry.resolve(&chart("1.4.2")).await.unwrap_err();
            writeln!(told, "{fault:?}: {:?}: {error}", error.fate).unwrap();
        }
        there.fails(None);
        let folder = tempfile::tempdir().unwrap();
        let registry = reached(&there.settings(way), folder.path());
        let nothing = Chart { name: "nothing".to_owned(), ..chart("1.4.2") };
        for chart in [chart("1.4.9"), chart("2.x"), nothing] {
            let error = registry.resolve(&chart).await.unwrap_err();
            writeln!(told, "{chart}: {:?}: {error}", error.fate).unwrap();
        }
        let another = Bound { version: "1.4.2".to_owned(), digest: format!("sha256:{}", "0".repeat(64)) };
        let error = registry.fetch(&chart("1.4.2"), &another).await.unwrap_err().to_string();
        writeln!(told, "another digest: {}", error.split(" is sha256:").next().unwrap()).unwrap();
        let gone = Settings { url: there.settings(way).url.replace(&there.host, "127.0.0.1:1"), ..there.settings(way) };
        let error = reached(&gone, folder.path()).resolve(&chart("1.4.1")).await.unwrap_err();
        writeln!(told, "away: {:?}: {error}", error.fate).unwrap();
    }
    let told = regex::Regex::new("[0-9a-f]{64}").unwrap().replace_all(&told, "<digest>").into_owned();
    assert_snapshot!(told, @r#"
    # Index
    Status(401): Refused: registry `charts`: it does not let us have index.yaml (401): `[registry.charts]` has no `username` and `password`
    Status(403): Refused: registry `charts`: it does not let us have index.yaml (403): `[registry.charts]` has no `username` and `password`
    Status(404): Never: registry `charts`: it has no index.yaml (404)
    Status(418): Refused: registry `charts`: it answers 418 to whom asks for index.yaml
    Status(429): Later: registry `charts`: it was asked too often, and asks for a pause (429)
    Status(503): Later: registry `charts`: it is not well (503)
    Page: Refused: registry `charts`: it answers with a page for people, not with an index
    Half: Later: registry `charts`: it stopped in the middle of index.yaml
    Other: Never: registry `charts`: chart `shop` 1.4.2 is sha256:<digest>, and has to be sha256:<digest>
    SendsTo("http://169.254.169.254"): Refused: registry `charts`: it sends us to `http://169.254.169.254`, and `hosts` of `[registry.charts]` does not let us go there
    charts/shop 1.4.9: Never: registry `charts`: it has no version 1.4.9 of chart `shop`
    charts/shop 2.x: Never: registry `charts`: it has no version 2.x of chart `shop`
    charts/nothing 1.4.2: Never: registry `charts`: it has no chart `nothing`
    another digest: registry `charts`: chart `shop` 1.4.2
    away: Later: registry `charts`: it cannot be reached
    # Oci
    Status(401): Refused: registry `charts`: it does not let us have version 1.4.2 of chart `shop` (401): `[registry.charts]` has no `username` and `password`
    Status(403): Refused: registry `charts`: it does not let us have version 1.4.2 of chart `shop` (403): `[registry.charts]` has no `username` and `password`
    Status(404): Never: registry `charts`: it has no version 1.4.2 of chart `shop` (404)
    Status(418): Refused: registry `charts`: it answers 418 to whom asks for version 1.4.2 of chart `shop`
    Status(429): Later: registry `charts`: it was asked too often, and asks for a pause (429)
    Status(503): Later: registry `charts`: it is not well (503)
    Page: Never: registry `charts`: what it has there is no chart: its manifest cannot be read
    Half: Later: registry `charts`: it stopped in the middle of version 1.4.2 of chart `shop`
    Other: Never: registry `charts`: the chart's archive is sha256:<digest>, and its manifest says sha256:<digest>
    SendsTo("http://169.254.169.254"): Refused: registry `charts`: it sends us to `http://169.254.169.254`, and `hosts` of `[registry.charts]` does not let us go there
    charts/shop 1.4.9: Never: registry `charts`: it has no version 1.4.9 of chart `shop` (404)
    charts/shop 2.x: Never: registry `charts`: it has no version 2.x of chart `shop`
    charts/nothing 1.4.2: Never: registry `charts`: it has no version 1.4.2 of chart `nothing` (404)
    another digest: registry `charts`: it has no chart `shop` of digest sha256:<digest> (404)
    away: Later: registry `charts`: it cannot be reached
    "#);
}

#[tokio::test]
async fn credentials_are_shown_at_home_and_nowhere_else() {
    let (there, elsewhere) = (shop().await, shop().await);
    there.wants("secret");
    for way in WAYS {
        let folder = tempfile::tempdir().unwrap();
        let error = reached(&there.settings(way), folder.path()).resolve(&chart("1.4.2")).await.unwrap_err();
        assert!(error.to_string().contains("401"), "{error}");
        let settings = Settings { credentials: credentials("secret"), ..there.settings(way) };
        assert!(!format!("{settings:?}").contains("secret\""), "{settings:?}");
        let registry = reached(&settings, folder.path());
        assert!(!format!("{registry:?}").contains("secret"));
        registry.resolve(&chart("1.4.2")).await.unwrap();
        there.asked();

        // Sent to a place that the file does not name, and to one that it does, which is shown nothing.
        there.fails(Some(Fault::SendsTo(format!("http://{}", elsewhere.host))));
        let error = registry.resolve(&chart("1.4.1")).await.unwrap_err();
        assert!(error.to_string().contains("`hosts` of `[registry.charts]`"), "{error}");
        assert_eq!(elsewhere.asked(), [""; 0]);
        let settings = Settings { hosts: ["127.0.0.1".to_owned()].into(), ..settings };
        reached(&settings, folder.path()).resolve(&chart("1.4.1")).await.unwrap();
        assert!(elsewhere.shown().iter().all(|shown| shown == "nothing"));
        assert!(!elsewhere.asked().is_empty());
        there.fails(None);
    }
}
