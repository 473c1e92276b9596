use super::*;

const OWNER: &str = "work/17/production@server";

fn key(group: &str, kind: &str, name: &str) -> ObjectKey {
    let namespace = (kind != "Namespace" && kind != "CustomResourceDefinition").then(|| "shop".to_owned());
    ObjectKey { group: group.into(), kind: kind.into(), namespace, name: name.into() }
}

fn wanted(name: &str, content: u8) -> Desired {
    Desired { key: key("", "ConfigMap", name), api_version: "v1".into(), hash: ObjectHash([content; 32]) }
}

fn recorded(name: &str, content: u8) -> Recorded {
    Recorded {
        key: key("", "ConfigMap", name),
        api_version: "v1".into(),
        uid: Some(format!("uid-{name}")),
        hash: ObjectHash([content; 32]),
        resource_version: Some("10".into()),
        live: Some(LiveHash([7; 32])),
    }
}

fn seen(name: &str) -> Seen {
    Seen {
        uid: format!("uid-{name}"),
        resource_version: "10".into(),
        owner: Some(OWNER.into()),
        applied_by_us: true,
        ..Seen::default()
    }
}

/// One object named `a`: what the plan does with it.
fn check(wanted: Option<Desired>, record: Option<Recorded>, live: Live) -> String {
    // A neighbour that is always wanted keeps the set from being empty.
    let desired: Vec<_> = wanted.into_iter().chain([self::wanted("neighbour", 0)]).collect();
    let recorded: BTreeMap<_, _> = record.into_iter().map(|row| (row.key.clone(), row)).collect();
    let live = BTreeMap::from([(key("", "ConfigMap", "a"), live)]);
    let plan = plan(OWNER, &desired, &recorded, &live, PruneRule::WithProof);
    let mut lines: Vec<_> = plan
        .actions
        .iter()
        .filter(|(_, object, _)| object.key.name == "a")
        .map(|(_, _, action)| format!("{action:?}"))
        .collect();
    lines.extend(plan.prunes.iter().map(|(_, _, verdict)| format!("prune: {verdict:?}")));
    lines.join("\n")
}

#[test]
fn what_is_unchanged_is_not_sent_and_what_others_wrote_is_none_of_our_business() {
    let moved = |live| Live::Seen(Seen { resource_version: "11".into(), live, ..seen("a") });
    let cases = [
        check(Some(wanted("a", 1)), Some(recorded("a", 1)), Live::Seen(seen("a"))),
        check(Some(wanted("a", 1)), Some(recorded("a", 1)), moved(Some(LiveHash([7; 32])))),
        check(Some(wanted("a", 1)), Some(recorded("a", 1)), moved(Some(LiveHash([8; 32])))),
        check(Some(wanted("a", 2)), Some(recorded("a", 1)), Live::Seen(seen("a"))),
    ];
    insta::assert_snapshot!(cases.join("\n"), @r#"
    Unchanged { moved: None }
    Unchanged { moved: Some("11") }
    Update { uid: "uid-a", resource_version: "11", why: Drifted }
    Update { uid: "uid-a", resource_version: "10", why: Changed }
    "#);
}

#[test]
fn what_is_not_there_is_created_and_what_is_there_is_taken_only_when_it_is_nobodys() {
    let mine = || Some(wanted("a", 1));
    let foreign =
        |owner: Option<&str>| Live::Seen(Seen { owner: owner.map(str::to_owned), applied_by_us: false, ..seen("a") });
    let unconfirmed = || Some(Recorded { uid: None, resource_version: None, live: None, ..recorded("a", 1) });
    let cases = [
        check(mine(), None, Live::Absent),
        check(mine(), Some(recorded("a", 1)), Live::Absent),
        check(mine(), None, foreign(None)),
        check(mine(), None, foreign(Some("work/17/staging@server"))),
        check(mine(), Some(Recorded { uid: Some("older".into()), ..recorded("a", 1) }), foreign(None)),
        check(mine(), unconfirmed(), Live::Seen(seen("a"))),
        check(mine(), unconfirmed(), foreign(None)),
        check(mine(), None, Live::Seen(Seen { deleting: Some("since noon".into()), ..seen("a") })),
        check(mine(), None, Live::Unknown("403".into())),
    ];
    insta::assert_snapshot!(cases.join("\n"), @r#"
    Create
    Create
    Adopt { uid: "uid-a", resource_version: "10" }
    Blocked(OwnedBy("work/17/staging@server"))
    Adopt { uid: "uid-a", resource_version: "10" }
    Update { uid: "uid-a", resource_version: "10", why: Unconfirmed }
    Adopt { uid: "uid-a", resource_version: "10" }
    Blocked(Deleting("since noon"))
    Blocked(Unknown("403"))
    "#);
}

#[test]
fn nothing_is_deleted_without_proof() {
    let unconfirmed = || Some(Recorded { uid: None, resource_version: None, live: None, ..recorded("a", 1) });
    let cases = [
        check(None, Some(recorded("a", 1)), Live::Seen(seen("a"))),
        check(None, Some(recorded("a", 1)), Live::Absent),
        check(None, Some(recorded("a", 1)), Live::Unknown("timed out".into())),
        check(None, Some(recorded("a", 1)), Live::Seen(Seen { uid: "another".into(), ..seen("a") })),
        check(None, Some(recorded("a", 1)), Live::Seen(Seen { prune_never: true, ..seen("a") })),
        check(None, Some(recorded("a", 1)), Live::Seen(Seen { owner: Some("work/9/x@y".into()), ..seen("a") })),
        check(None, unconfirmed(), Live::Seen(seen("a"))),
        check(None, unconfirmed(), Live::Seen(Seen { applied_by_us: false, ..seen("a") })),
        check(None, None, Live::Seen(seen("a"))),
    ];
    insta::assert_snapshot!(cases.join("\n"), @r#"
    prune: Delete { uid: "uid-a", resource_version: "10" }
    prune: Gone
    prune: Keep("the cluster did not say whether it is there: timed out")
    prune: Recreated
    prune: Keep("`bascule.dev/prune: never`")
    prune: Keep("its annotation says that it belongs to `work/9/x@y`")
    prune: Delete { uid: "uid-a", resource_version: "10" }
    prune: Recreated
    "#);
}

#[test]
fn an_empty_set_an_environment_without_pruning_and_a_restored_database_delete_nothing() {
    let rows = BTreeMap::from([(key("", "ConfigMap", "a"), recorded("a", 1))]);
    let live = BTreeMap::from([(key("", "ConfigMap", "a"), Live::Seen(seen("a")))]);
    let other = || vec![wanted("b", 1)];
    for (desired, rule) in [(vec![], PruneRule::WithProof), (other(), PruneRule::Off), (other(), PruneRule::Restored)] {
        let plan = plan(OWNER, &desired, &rows, &live, rule);
        assert!(matches!(plan.prunes[..], [(_, _, Prune::Keep(_))]), "{plan:?}");
    }
}

#[test]
fn namespaces_and_definitions_go_first_and_leave_last() {
    let kinds = [
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ("apps", "Deployment"),
        ("", "ConfigMap"),
        ("example.com", "Widget"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("", "Namespace"),
    ];
    let desired: Vec<_> =
        kinds.iter().map(|(group, kind)| Desired { key: key(group, kind, "x"), ..wanted("x", 1) }).collect();
    let rows: BTreeMap<_, _> = kinds
        .iter()
        .map(|(group, kind)| Recorded { key: key(group, kind, "old"), ..recorded("x", 1) })
        .map(|row| (row.key.clone(), row))
        .collect();
    let live = rows.keys().map(|key| (key.clone(), Live::Absent)).collect();
    let plan = plan(OWNER, &desired, &rows, &live, PruneRule::WithProof);
    let sent: Vec<_> = plan.actions.iter().map(|(_, object, _)| object.key.kind.as_str()).collect();
    insta::assert_snapshot!(sent.join(" "), @"Namespace CustomResourceDefinition ConfigMap Deployment Widget ValidatingWebhookConfiguration");
    let mut left: Vec<_> = plan.prunes.iter().map(|(_, row, _)| row.key.kind.as_str()).collect();
    left.reverse();
    assert_eq!(left, sent);
}

#[test]
fn what_was_sent_in_a_later_wave_goes_before_what_was_sent_in_an_earlier_one() {
    let rows = [
        ("", "Namespace", "last", 7),
        ("", "ConfigMap", "early", -1),
        ("apps", "Deployment", "early", -1),
        ("apps", "Deployment", "plain", 0),
        ("", "ConfigMap", "late", 2),
        ("", "Secret", "gone", 0),
    ];
    let rows = rows.map(|(group, kind, name, wave)| (key(group, kind, name), wave));
    let of = |key: &ObjectKey| Recorded { key: key.clone(), ..recorded(&key.name, 1) };
    let recorded = rows.iter().map(|(key, _)| (key.clone(), of(key))).collect();
    let look = |(key, wave): &(ObjectKey, i64)| match key.name.as_str() {
        "gone" => (key.clone(), Live::Absent),
        name => (key.clone(), Live::Seen(Seen { wave: *wave, ..seen(name) })),
    };
    let plan = plan(OWNER, &[wanted("other", 1)], &recorded, &rows.iter().map(look).collect(), PruneRule::WithProof);
    let told = plan.prunes.iter().map(|(round, row, _)| format!("{:?} {} {}", round.phase, round.wave, row.key));
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @r"
    Rest 2 ConfigMap shop/late
    Rest 0 Deployment shop/plain
    Rest 0 Secret shop/gone
    Rest -1 Deployment shop/early
    Rest -1 ConfigMap shop/early
    Namespaces 0 Namespace last
    ");
}

#[test]
fn only_what_moved_since_our_write_is_read_in_full() {
    let desired = ["same", "moved", "changed", "recreated", "gone"]
        .map(|name| wanted(name, if name == "changed" { 2 } else { 1 }));
    let rows = desired.iter().map(|object| (object.key.clone(), recorded(&object.key.name, 1))).collect();
    let live = desired
        .iter()
        .map(|object| {
            let seen = seen(&object.key.name);
            let live = match object.key.name.as_str() {
                "same" => Live::Seen(seen),
                "recreated" => Live::Seen(Seen { uid: "other".into(), resource_version: "11".into(), ..seen }),
                "gone" => Live::Absent,
                _ => Live::Seen(Seen { resource_version: "11".into(), ..seen }),
            };
            (object.key.clone(), live)
        })
        .collect();
    let names: Vec<_> = suspects(&desired, &rows, &live).iter().map(|object| object.key.name.clone()).collect();
    assert_eq!(names, ["moved"]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(10_000))]

    /// P13 as a property: whatever the cluster and the inventory look like, a delete names the uid that is live now, in
    /// a row of ours, for a key that is not wanted, and never contradicts what the row remembers.
    #[test]
    fn every_delete_has_its_proof(
        wants in proptest::collection::vec(proptest::bool::ANY, 6),
        rows in proptest::collection::vec(0_u8..4, 6),
        lives in proptest::collection::vec(0_u8..8, 6),
        empty in proptest::bool::ANY,
    ) {
        let name = |at: usize| format!("o{at}");
        let desired: Vec<_> = if empty { Vec::new() } else {
            wants.iter().enumerate().filter(|(_, yes)| **yes).map(|(at, _)| wanted(&name(at), 1)).collect()
        };
        let recorded: BTreeMap<_, _> = rows.iter().enumerate().filter_map(|(at, row)| {
            let row = match row {
                0 => return None,
                1 => recorded(&name(at), 1),
                2 => Recorded { uid: None, ..recorded(&name(at), 1) },
                _ => Recorded { uid: Some("another".into()), ..recorded(&name(at), 1) },
            };
            Some((row.key.clone(), row))
        }).collect();
        let live: BTreeMap<_, _> = lives.iter().enumerate().filter_map(|(at, live)| {
            let seen = seen(&name(at));
            let live = match live {
                0 => return None,
                1 => Live::Absent,
                2 => Live::Unknown("?".into()),
                3 => Live::Seen(Seen { owner: Some("other".into()), ..seen }),
                4 => Live::Seen(Seen { owner: None, applied_by_us: false, ..seen }),
                5 => Live::Seen(Seen { prune_never: true, ..seen }),
                6 => Live::Seen(Seen { deleting: Some("x".into()), ..seen }),
                _ => Live::Seen(seen),
            };
            Some((key("", "ConfigMap", &name(at)), live))
        }).collect();
        let plan = plan(OWNER, &desired, &recorded, &live, PruneRule::WithProof);
        proptest::prop_assert_eq!(plan.actions.len(), desired.len());
        for (_, row, verdict) in &plan.prunes {
            proptest::prop_assert!(desired.iter().all(|object| object.key != row.key));
            if let Prune::Delete { uid, .. } = verdict {
                let Some(Live::Seen(seen)) = live.get(&row.key) else { panic!("deleted unseen") };
                proptest::prop_assert!(!desired.is_empty() && !seen.prune_never);
                proptest::prop_assert_eq!(uid, &seen.uid);
                proptest::prop_assert!(row.uid.as_ref().is_none_or(|known| known == uid));
                proptest::prop_assert!(seen.owner.as_deref().is_none_or(|owner| owner == OWNER));
                proptest::prop_assert!(row.uid.is_some() || seen.applied_by_us);
            }
        }
    }
}
