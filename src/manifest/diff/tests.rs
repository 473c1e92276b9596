use super::*;
use crate::ids::ObjectHash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

fn config_map(data: &str) -> Object {
    let key = ObjectKey {
        group: String::new(),
        kind: "ConfigMap".to_owned(),
        namespace: Some("shop".to_owned()),
        name: "big".to_owned(),
    };
    let json = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"text": data}});
    let hash = super::super::HashKey::new([0; 32]).hash(&json);
    let ObjectHash(_) = hash;
    Object { key, api_version: "v1".to_owned(), json, file: None, line: None, hash }
}

fn shown(old: &str, new: &str) -> ObjectDiff {
    diff(Some(&config_map(old)), Some(&config_map(new)), Manner::PLAIN, &mut Room::default()).unwrap()
}

fn plain(json: &Value) -> Vec<Line> {
    lines(None, json, Mark::Bare, &Hidden::new())
}

/// Deterministic and without order: a linear congruential generator's low bits would repeat.
fn shuffled(count: u64, seed: u64) -> String {
    let line = |n: u64| format!("line {}\n", (n * 2_654_435_761 + seed * 40_503) % count);
    (0..count).map(line).collect()
}

#[test]
fn what_is_too_large_to_show_is_summed_up_by_its_paths() {
    let huge = "x\n".repeat(2_000_000);
    insta::assert_debug_snapshot!(diff(None, Some(&config_map(&huge)), Manner::PLAIN, &mut Room::default()).unwrap().body, @r#"
        TooLarge(
            [
                "apiVersion (nothing → 2 bytes)",
                "data.text (nothing → 4000000 bytes)",
                "kind (nothing → 9 bytes)",
            ],
        )
        "#);
    let summary = shown(&shuffled(30_000, 1), &shuffled(30_000, 2));
    assert!(summary.plus == summary.minus && summary.plus > 25_000, "{} lines", summary.plus);
    insta::assert_debug_snapshot!(summary.body, @r#"
        TooLarge(
            [
                "data.text (318890 bytes → 318890 bytes)",
            ],
        )
        "#);
}

#[test]
fn a_line_that_is_too_long_is_shown_by_its_beginning() {
    let long = "x".repeat(200_000);
    let change = shown(&long, &format!("{long}postgres://app:hunter2@db"));
    let Body::Hunks(hunks) = change.body else { panic!("{:?}", change.body) };
    let lines: Vec<_> = hunks[0].lines.iter().map(|line| line.replace(&"x".repeat(1_000), "[x 1,000 times]")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
         apiVersion: v1
         kind: ConfigMap
         data:
        -  text: "[x 1,000 times] … (199000 more characters)"
        +  text: "[x 1,000 times] … (199025 more characters)"
        "#);
}

#[test]
fn a_small_change_of_a_large_text_is_shown() {
    let lines: Vec<String> = (0..40_000).map(|n| format!("line {n}")).collect();
    let mut other = lines.clone();
    other[5] = "first".to_owned();
    other.remove(39_990);
    let change = shown(&lines.join("\n"), &other.join("\n"));
    assert_eq!((change.plus, change.minus), (1, 2));
    let Body::Hunks(hunks) = change.body else { panic!("{:?}", change.body) };
    assert_eq!(hunks.len(), 2);
    assert_eq!(hunks[0].path, "data.text");
}

#[test]
fn rules_are_compared_like_objects() {
    let old = json!({"consent": {"approvals": [{"count": 2}]}, "path": "deploy"});
    let new = json!({"consent": {"approvals": [{"count": 1}]}, "path": "deploy"});
    insta::assert_debug_snapshot!(diff_rules(Some(&old), &new), @r#"
        [
            Hunk {
                path: "consent.approvals[0]",
                lines: [
                    " consent:",
                    "   approvals:",
                    "-  - count: 2",
                    "+  - count: 1",
                    " path: deploy",
                ],
            },
        ]
        "#);
    assert_eq!(diff_rules(Some(&old), &old), []);
}

#[test]
fn when_the_room_is_used_up_later_objects_are_summed_up() {
    let mut room = Room(60);
    let first = diff(None, Some(&config_map("a")), Manner::PLAIN, &mut room).unwrap();
    assert!(matches!(first.body, Body::Hunks(_)));
    let second = diff(None, Some(&config_map(&"a\n".repeat(50))), Manner::PLAIN, &mut room).unwrap();
    assert!(matches!(second.body, Body::TooLarge(_)), "{second:?}");
    let third = diff(None, Some(&config_map("b")), Manner::PLAIN, &mut room);
    assert!(matches!(third.unwrap().body, Body::TooLarge(_)), "what is left is too little for it");
}

proptest::proptest! {
    /// Whatever the two texts are, what is shown turns the one into the other.
    #[test]
    fn the_lines_shown_turn_the_old_text_into_the_new(
        old in proptest::collection::vec(0u8..4, 0..40),
        new in proptest::collection::vec(0u8..4, 0..40),
    ) {
        let text = |words: &[u8]| words.iter().map(|word| format!("w{word}\n")).collect::<String>();
        let (a, b) = (plain(&json!({"t": text(&old)})), plain(&json!({"t": text(&new)})));
        let mut made = Vec::new();
        let mut at = 0;
        for run in align(&a, &b) {
            made.extend(a[at..run.old.start].iter().map(|line| line.compared.clone()));
            made.extend(b[run.new.clone()].iter().map(|line| line.compared.clone()));
            at = run.old.end;
        }
        made.extend(a[at..].iter().map(|line| line.compared.clone()));
        let wanted: Vec<_> = b.iter().map(|line| line.compared.clone()).collect();
        proptest::prop_assert_eq!(made, wanted);
    }
}

fn object(kind: &str, json: Value) -> Object {
    let key = ObjectKey { kind: kind.to_owned(), ..config_map("").key };
    let hash = super::super::HashKey::new([0; 32]).hash(&json);
    Object { key, api_version: "v1".to_owned(), json, file: None, line: None, hash }
}

fn marked(fingerprints: &Fingerprints, kind: &str, old: Value, new: Value) -> String {
    let manner = Manner { fingerprints: Some(fingerprints), ..Manner::PLAIN };
    let (old, new) = (object(kind, old), object(kind, new));
    let Body::Hunks(hunks) = diff(Some(&old), Some(&new), manner, &mut Room::default()).unwrap().body else { panic!() };
    hunks.into_iter().flat_map(|hunk| hunk.lines).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_hidden_value_has_a_fingerprint_by_which_it_is_the_same_wherever_it_stands() {
    let key = Fingerprints::once([3; 32]);
    let secret = |value: &str| json!({"data": {"password": STANDARD.encode(value)}});
    let shown = marked(&key, "Secret", secret("hunter1"), secret("hunter2"));
    let (old, new) = (key.letters(b"hunter1"), key.letters(b"hunter2"));
    assert_eq!(shown, format!(" data:\n-  password: (redacted {old})\n+  password: (redacted {new}, changed)"));

    let plain = |value: &str| {
        json!({"data": {"DB_PASSWORD": value, "URL": format!("postgres://app:{value}@db/shop"),
            "text": format!("a: b\npassword: \"{value}\"\n")},
            "env": [{"name": "API_TOKEN", "value": value}]})
    };
    let shown = marked(&key, "ConfigMap", plain("hunter1"), plain("hunter2"));
    assert!(!shown.contains("hunter"), "{shown}");
    assert_eq!(shown.matches(&old).count(), 3, "in a ConfigMap, within text and in an environment: {shown}");
    assert_eq!(shown.matches(&format!("(redacted {new}, changed)")).count(), 2, "{shown}");
    let user = key.letters(b"app:hunter2");
    assert!(shown.contains(&format!("postgres://(redacted {user})@db/shop")), "{shown}");

    let other = marked(&Fingerprints::once([4; 32]), "Secret", secret("hunter1"), secret("hunter2"));
    assert!(!other.contains(&old) && !other.contains(&new), "of another key nothing can be compared: {other}");
}

/// Two states of an object with a rule that hides every annotation, and everything called `loud`.
fn thinned(kind: &str, old: Value, new: Value) -> ObjectDiff {
    let quiet = |_: &ObjectKey, trail: &[String], values: Option<[&str; 2]>| {
        let is_known = trail.contains(&"checksum/secret".to_owned());
        let is_theirs = values.is_some() && trail.contains(&"loud".to_owned());
        if is_known { Some("checksums".to_owned()) } else { is_theirs.then(|| "theirs".to_owned()) }
    };
    let manner = Manner { fingerprints: None, quiet: &quiet };
    diff(Some(&object(kind, old)), Some(&object(kind, new)), manner, &mut Room::default()).unwrap()
}

#[test]
fn a_field_that_a_rule_hides_is_counted_and_its_object_stays() {
    let with = |sum: &str, loud: &str, other: u8| json!({"metadata": {"annotations": {"checksum/secret": sum}}, "spec": {"loud": loud, "other": other}});
    let all = thinned("Deployment", with("a", "x", 1), with("b", "y\nz", 1));
    assert_eq!((all.verb, all.plus, all.minus, &all.body), (Verb::Changed, 0, 0, &Body::Hunks(Vec::new())));
    assert_eq!(all.hidden, BTreeMap::from([("checksums".to_owned(), 1), ("theirs".to_owned(), 1)]));

    let some = thinned("Deployment", with("a", "x", 1), with("b", "y", 2));
    let Body::Hunks(hunks) = &some.body else { panic!() };
    insta::assert_snapshot!(hunks[0].lines.join("\n"), @"
         checksum/secret: (hidden by rule)
     spec:
       loud: (hidden by rule)
    -  other: 1
    +  other: 2
    ");
    let same = thinned("Deployment", with("a", "x", 1), with("a", "x", 2));
    assert!(same.hidden.is_empty(), "what did not change is shown as it is: {same:?}");
}

#[test]
fn a_rule_hides_no_secret_and_nothing_that_comes_or_goes() {
    let shown = |kind: &str, old: Value, new: Value| {
        let one = thinned(kind, old, new);
        assert!(one.hidden.is_empty() && one.plus + one.minus > 0, "{one:?}");
    };
    shown("Secret", json!({"data": {"loud": "YQ=="}}), json!({"data": {"loud": "Yg=="}}));
    shown("ConfigMap", json!({"loud": {"password": "a"}}), json!({"loud": {"password": "b"}}));
    shown("ConfigMap", json!({"loud": "http://a:b@c"}), json!({"loud": "http://a:d@c"}));
    let env = |value: &str| json!({"loud": [{"name": "TOKEN", "value": value}]});
    shown("ConfigMap", env("a"), env("b"));
    let args = |value: &str| json!({"loud": ["--password", value]});
    shown("ConfigMap", args("a"), args("b"));
    let twice = |value: &str| json!({"loud": [{"name": "a", "x": value}, {"name": "a", "x": "0"}]});
    shown("ConfigMap", twice("1"), twice("2"));
    shown("ConfigMap", json!({"a": 1}), json!({"a": 1, "loud": "x"}));
    shown("ConfigMap", json!({"loud": ["x"]}), json!({"loud": "x"}));
    let added = diff(None, Some(&object("ConfigMap", json!({"loud": "x"}))), Manner::PLAIN, &mut Room::default());
    assert!(added.unwrap().hidden.is_empty());
}
