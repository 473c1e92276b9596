//! What is suspect, what is drift, and whose hand it was.

use super::*;
use crate::sync::OWNER_ANNOTATION;
use crate::sync::fields::LiveHash;

const OWNER: &str = "work/17/production@server";

fn key() -> HashKey {
    HashKey::new([3; 32])
}

/// A deployment with two fields of ours, as the server answers.
fn live() -> Value {
    json!({
        "metadata": {
            "name": "web", "uid": "u1", "resourceVersion": "7", "generation": 1,
            "labels": { "app": "web", "theirs": "x" }, "annotations": { OWNER_ANNOTATION: OWNER },
            "managedFields": [
                { "manager": "bascule", "operation": "Apply", "apiVersion": "apps/v1", "time": "2026-01-05T09:00:00Z",
                  "fieldsV1": { "f:metadata": { "f:labels": { "f:app": {} }, "f:annotations": { "f:bascule.dev/environment": {} } },
                                "f:spec": { "f:replicas": {}, "f:paused": {} } } },
                { "manager": "kube-controller-manager", "operation": "Update", "subresource": "status", "fieldsV1": {
                  "f:status": { "f:replicas": {} } } },
            ],
        },
        "spec": { "replicas": 2, "progressDeadlineSeconds": 600 }, "status": { "replicas": 2 },
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = live();
    change(&mut object);
    object
}

#[test]
fn a_mark_moves_with_what_can_be_ours_and_with_nothing_else() {
    let mark = |object: &Value| Mark::of(&key(), object);
    let still: [(&str, Value); 4] = [
        ("its metadata alone", json!({ "metadata": live()["metadata"] })),
        ("another version", with(|it| it["metadata"]["resourceVersion"] = "8".into())),
        ("a status", with(|it| it["status"]["replicas"] = 1.into())),
        (
            "the same moment, written otherwise",
            with(|it| it["metadata"]["managedFields"][0]["time"] = "2026-01-05T09:00:00.000000Z".into()),
        ),
    ];
    for (what, object) in still {
        assert_eq!(mark(&object), mark(&live()), "{what}");
    }
    let moved: [(&str, Value); 9] = [
        ("a spec", with(|it| it["metadata"]["generation"] = 2.into())),
        // It may have been ours before they took it.
        ("a label of others", with(|it| it["metadata"]["labels"]["theirs"] = "y".into())),
        ("a label of ours", with(|it| it["metadata"]["labels"]["app"] = "other".into())),
        ("a label of ours that is gone", with(|it| it["metadata"]["labels"] = json!({}))),
        (
            "a field that is not ours any more",
            with(|it| it["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"] = json!({ "f:paused": {} })),
        ),
        (
            "an apply under our name",
            with(|it| it["metadata"]["managedFields"][0]["time"] = "2026-01-05T09:00:01Z".into()),
        ),
        ("nothing of ours", with(|it| it["metadata"]["managedFields"] = json!([]))),
        ("its end", with(|it| it["metadata"]["deletionTimestamp"] = "2026-01-05T09:00:01Z".into())),
        ("another owner", with(|it| it["metadata"]["annotations"][OWNER_ANNOTATION] = "x".into())),
    ];
    for (what, object) in moved {
        assert_ne!(mark(&object), mark(&live()), "{what}");
    }
    // A kind without a generation tells by its version alone.
    let versioned = |version: &str| {
        mark(&with(|it| {
            it["metadata"]["generation"] = Value::Null;
            it["metadata"]["resourceVersion"] = version.into();
        }))
    };
    assert_ne!(versioned("7"), versioned("8"));
}

#[test]
fn what_is_as_it_was_looked_at_last_is_not_looked_at_again() {
    let (settled, other) = (Mark([1; 32]), Mark([2; 32]));
    let object =
        ObjectKey { group: String::new(), kind: "ConfigMap".into(), namespace: Some("shop".into()), name: "a".into() };
    let known = |uid: Option<&str>, drifted| Known {
        key: object.clone(),
        environment: 1,
        uid: uid.map(str::to_owned),
        mark: Some(settled),
        drifted,
        is_suspect: false,
        is_syncing: false,
    };
    let seen = |uid: &str, mark| Sighting { uid: uid.into(), resource_version: "9".into(), mark, is_ours: true };
    let ours = known(Some("u1"), None);
    assert!(!ours.has_moved(Some(&seen("u1", settled))));
    assert!(ours.has_moved(Some(&seen("u1", other))), "a field");
    assert!(ours.has_moved(Some(&seen("u2", settled))), "another one");
    assert!(ours.has_moved(None), "gone");
    assert!(Known { mark: None, ..ours.clone() }.has_moved(Some(&seen("u1", settled))), "never looked at");
    let drifting = known(Some("u1"), Some(Some(other)));
    assert!(!drifting.has_moved(Some(&seen("u1", other))), "known");
    assert!(drifting.has_moved(Some(&seen("u1", settled))), "put back");
    let gone = known(Some("u1"), Some(None));
    assert!(!gone.has_moved(None), "still gone");
    assert!(gone.has_moved(Some(&seen("u2", settled))), "back");
    assert!(!known(None, None).has_moved(None), "never confirmed: only a sync can tell");
}

#[test]
fn a_glance_tells_what_is_settled_from_what_is_drift_and_what_only_the_server_knows() {
    let hash = LiveHash([5; 32]);
    let recorded = Recorded {
        key: ObjectKey {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: Some("shop".into()),
            name: "a".into(),
        },
        api_version: "v1".into(),
        uid: Some("u1".into()),
        hash: crate::ids::ObjectHash([4; 32]),
        resource_version: Some("7".into()),
        live: Some(hash),
    };
    let seen = || Seen {
        uid: "u1".into(),
        resource_version: "9".into(),
        owner: Some(OWNER.into()),
        live: Some(hash),
        ..Seen::default()
    };
    let said = |seen: Option<Seen>| match glance(OWNER, &recorded, seen.as_ref()) {
        Glance::Settled => "settled".to_owned(),
        Glance::Ask => "ask".to_owned(),
        Glance::Drifted(drift) => format!("{}: {}", drift.what.as_str(), drift.detail.unwrap_or_default()),
    };
    assert_eq!(said(Some(seen())), "settled");
    assert_eq!(said(Some(Seen { live: Some(LiveHash([6; 32])), ..seen() })), "ask");
    assert_eq!(said(Some(Seen { owner: None, live: Some(LiveHash([6; 32])), ..seen() })), "ask");
    assert_eq!(said(None), "gone: ");
    assert_eq!(said(Some(Seen { uid: "u2".into(), ..seen() })), "replaced: ");
    assert_eq!(said(Some(Seen { owner: Some("work/18/x@s".into()), ..seen() })), "owned: it belongs to `work/18/x@s`");
    assert_eq!(
        said(Some(Seen { deleting: Some("since 9:00, held up by x".into()), ..seen() })),
        "leaving: it is being deleted since 9:00, held up by x"
    );
}

#[test]
fn whoever_holds_what_would_change_is_named_and_nobody_else() {
    let entry = |manager: &str, operation: &str, subresource: &str, fields: Value| json!({ "manager": manager, "operation": operation, "subresource": subresource, "fieldsV1": fields });
    let edited = with(|it| {
        it["spec"]["replicas"] = 5.into();
        let all = it["metadata"]["managedFields"].as_array_mut().unwrap();
        all.push(entry("kubectl-edit", "Update", "", json!({ "f:spec": { "f:replicas": {} } })));
        all.push(entry("hpa", "Update", "scale", json!({ "f:spec": { "f:replicas": {} } })));
        all.push(entry("labels", "Update", "", json!({ "f:metadata": { "f:labels": { "f:theirs": {} } } })));
    });
    let names = |hands: Vec<Hand>| hands.into_iter().map(|hand| hand.name).collect::<Vec<_>>();
    assert_eq!(names(hands(&edited, &live())), ["hpa with subresource scale", "kubectl-edit"]);
    assert_eq!(in_the_way(&hands(&edited, &live())), None);
    // What was taken away is held by nobody.
    assert_eq!(names(hands(&with(|it| it["spec"]["replicas"] = Value::Null), &live())), [""; 0]);
    let applied = with(|it| {
        it["spec"]["replicas"] = 5.into();
        let all = it["metadata"]["managedFields"].as_array_mut().unwrap();
        all.push(entry("flux", "Apply", "", json!({ "f:spec": { "f:replicas": {} } })));
    });
    assert!(super::applies(&applied, "flux") && !super::applies(&applied, "kubectl-edit"));
    let hands = hands(&applied, &live());
    assert_eq!(in_the_way(&hands).map(|hand| hand.name.as_str()), Some("flux"));
}

#[test]
fn what_an_autoscaler_counts_is_its_own_and_what_a_person_scales_is_not() {
    let sent = json!({ "metadata": { "name": "web" }, "spec": { "replicas": 2, "paused": false } });
    let scaled = |manager: &str, subresource: &str| {
        with(|it| {
            let fields = json!({ "f:spec": { "f:replicas": {} } });
            let entry =
                json!({ "manager": manager, "operation": "Update", "subresource": subresource, "fieldsV1": fields });
            it["metadata"]["managedFields"].as_array_mut().unwrap().push(entry);
        })
    };
    let left = but_for_scalers(&sent, &scaled("kube-controller-manager", "scale"));
    assert_eq!(left, json!({ "metadata": { "name": "web" }, "spec": { "paused": false } }));
    for (manager, subresource) in
        [("kubectl", "scale"), ("kube-controller-manager", ""), ("kube-controller-manager", "status")]
    {
        assert_eq!(but_for_scalers(&sent, &scaled(manager, subresource)), sent, "{manager} {subresource}");
    }
}

#[test]
fn who_fights_back_is_left_alone_for_longer_each_time() {
    let seconds: Vec<u64> = (0..9).map(|times| pause(times).as_secs()).collect();
    assert_eq!(seconds, [0, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
    assert!(pause(u32::MAX) < CALM);
}
