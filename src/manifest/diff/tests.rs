use super::*;
use crate::ids::ObjectHash;
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
    diff(Some(&config_map(old)), Some(&config_map(new)), &mut Room::default()).unwrap()
}

/// Deterministic and without order: a linear congruential generator's low bits would repeat.
fn shuffled(count: u64, seed: u64) -> String {
    let line = |n: u64| format!("line {}\n", (n * 2_654_435_761 + seed * 40_503) % count);
    (0..count).map(line).collect()
}

#[test]
fn what_is_too_large_to_show_is_summed_up_by_its_paths() {
    let huge = "x\n".repeat(2_000_000);
    insta::assert_debug_snapshot!(diff(None, Some(&config_map(&huge)), &mut Room::default()).unwrap().body, @r#"
        TooLarge(
            [
                "apiVersion (nothing → 2 bytes)",
                "data.text (nothing → 4000000 bytes)",
                "kind (nothing → 9 bytes)",
            ],
        )
        "#);
    let summary = shown(&shuffled(30_000, 1), &shuffled(30_000, 2));
    assert_eq!((summary.plus, summary.minus), (30_000, 30_000));
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
    let first = diff(None, Some(&config_map("a")), &mut room).unwrap();
    assert!(matches!(first.body, Body::Hunks(_)));
    let second = diff(None, Some(&config_map(&"a\n".repeat(50))), &mut room).unwrap();
    assert!(matches!(second.body, Body::TooLarge(_)), "{second:?}");
    let third = diff(None, Some(&config_map("b")), &mut room);
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
        let (a, b) = (lines(None, &json!({"t": text(&old)})), lines(None, &json!({"t": text(&new)})));
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
