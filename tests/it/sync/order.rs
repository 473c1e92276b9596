//! In which order a sync sends: what needs something after it, a wave when the one before it is well, the rest at once.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Place, settings};
use crate::plane::{on_plane, on_rolling_plane};

/// What a deployment of these needs, in a set that lists it the wrong way round.
fn web(name: &str, wave: Option<i64>, selector: Value) -> String {
    let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}},
        "spec": {"nodeSelector": selector, "containers": [{"name": "web", "image": "nginx:1", "envFrom": [
            {"configMapRef": {"name": "words"}}]}]}}}});
    if let Some(wave) = wave {
        object["metadata"]["annotations"] = json!({"bascule.dev/wave": wave.to_string()});
    }
    format!("---\n{object}\n")
}

#[test]
fn what_needs_an_object_that_is_refused_is_not_sent_and_the_rest_is() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-edges").await;
        let wrong = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: words}, dta: {}}\n";
        let (outcome, writes) = place.syncs(&(web("web", None, json!({})) + wrong + &settings("other", "1"))).await;
        assert_eq!((outcome.created, writes), (1, 2), "the one that is refused, and the one that needs nothing");
        assert_snapshot!(outcome.sentence(), @"failed at ConfigMap sync-edges/words: failed to create typed patch object (sync-edges/words; /v1, Kind=ConfigMap): .dta: field not declared in schema (500); Deployment sync-edges/web was not sent: it needs ConfigMap sync-edges/words, which could not be sent");
        assert_eq!(place.inventory().await, ["ConfigMap sync-edges/other"]);
    });
}

#[test]
fn two_that_need_each_other_are_both_sent() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-circle").await;
        let scaler = |name: &str, target: &str| {
            let (api, kind) = ("autoscaling/v2", "HorizontalPodAutoscaler");
            let target = json!({"apiVersion": api, "kind": kind, "name": target});
            let spec = json!({"maxReplicas": 2, "scaleTargetRef": target});
            format!("---\n{}\n", json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec}))
        };
        let (outcome, _) = place.syncs(&(scaler("one", "other") + &scaler("other", "one"))).await;
        assert_eq!((outcome.sentence().as_str(), place.inventory().await.len()), ("2 created", 2));
    });
}

#[test]
fn a_wave_begins_when_the_one_before_it_is_well() {
    on_rolling_plane(async |plane| {
        let place = Place::new(plane, "sync-waves").await;
        let late = settings("late", "1")
            .replace(r#""name":"late""#, r#""annotations":{"bascule.dev/wave":"2"},"name":"late""#);
        let argo = settings("early", "1")
            .replace(r#""name":"early""#, r#""annotations":{"argocd.argoproj.io/sync-wave":"-1"},"name":"early""#);
        let set = late + &web("web", Some(1), json!({})) + &argo + &settings("words", "1");
        let (outcome, _) = place.syncs(&set).await;
        assert_eq!((outcome.sentence().as_str(), place.state().await.0.as_str()), ("4 created", "healthy"));
        // When the last one was made, the wave before it was well.
        let made = "jsonpath={.metadata.creationTimestamp}";
        let made = place.kubectl(&["get", "configmap/late", "-o", made]).await;
        let well = "jsonpath={.status.conditions[?(@.type=='Available')].lastTransitionTime}";
        let well = place.kubectl(&["get", "deployment/web", "-o", well]).await;
        assert!(!well.is_empty() && well <= made, "{well} {made}");
    });
}

#[test]
fn what_was_sent_last_is_deleted_first_and_what_was_sent_before_it_when_that_is_gone() {
    on_plane(async |plane| {
        let mut place = Place::new(plane, "sync-backwards").await;
        place.block.sync.timeout_seconds = 1;
        let of_wave = |name: &str, wave: &str| {
            let marked = format!(r#""annotations":{{"bascule.dev/wave":"{wave}"}},"name":"{name}""#);
            settings(name, "1").replace(&format!(r#""name":"{name}""#), &marked)
        };
        let held =
            of_wave("held", "1").replace(r#""name":"held""#, r#""finalizers":["example.com/held"],"name":"held""#);
        let set =
            of_wave("first", "-1") + &settings("stays", "1") + &settings("second", "1") + &held + &of_wave("last", "2");
        place.syncs(&set).await;
        let (outcome, _) = place.syncs(&settings("stays", "1")).await;
        assert_eq!(
            place.settings().await,
            ["first", "held", "second", "stays"],
            "the last is gone, and nothing before what is held"
        );
        let told = outcome.kept.iter().map(|one| format!("{}: {}", one.object, one.why));
        assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @r"
        ConfigMap sync-backwards/second: what goes before it is not gone yet
        ConfigMap sync-backwards/first: what goes before it is not gone yet
        ");
        assert_eq!(outcome.unhealthy.iter().map(|one| one.object.name.as_str()).collect::<Vec<_>>(), ["held"]);
        place.kubectl(&["patch", "configmap", "held", "--type=merge", "-p", r#"{"metadata":{"finalizers":[]}}"#]).await;
        let (outcome, _) = place.syncs(&settings("stays", "1")).await;
        assert_eq!((outcome.deleted, place.settings().await), (2, vec!["stays".to_owned()]));
        assert_eq!(place.inventory().await, ["ConfigMap sync-backwards/stays"]);
    });
}

#[test]
fn a_wave_that_does_not_become_well_keeps_the_next_from_being_sent() {
    on_rolling_plane(async |plane| {
        let mut place = Place::new(plane, "sync-stuck").await;
        place.block.sync.timeout_seconds = 2;
        let late = settings("late", "1")
            .replace(r#""name":"late""#, r#""annotations":{"bascule.dev/wave":"2"},"name":"late""#);
        let old = settings("old", "1");
        place.syncs(&(settings("words", "1") + &old)).await;
        let stuck = web("web", None, json!({"kubernetes.io/hostname": "nowhere"}));
        let (outcome, _) = place.syncs(&(stuck + &settings("words", "1") + &late)).await;
        assert_snapshot!(outcome.sentence(), @"not healthy: Deployment sync-stuck/web: 0 of 1 replicas are available (waited 2 s); ConfigMap sync-stuck/late was not sent: wave 0, which goes before it, is not well");
        assert!(!place.settings().await.contains(&"late".to_owned()));
        assert!(place.settings().await.contains(&"old".to_owned()), "nothing is deleted while something was not sent");
        assert!(
            !place.inventory().await.contains(&"ConfigMap sync-stuck/late".to_owned()),
            "what was not sent is not ours"
        );
    });
}
