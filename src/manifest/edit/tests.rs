use proptest::prelude::*;
use serde_json::json;

use super::*;

/// `.spec.containers[name=web].image` as steps.
fn path(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in text.split('.').filter(|part| !part.is_empty()) {
        let (key, keys) = part.split_once('[').unwrap_or((part, ""));
        steps.push(Step::Key(key.to_owned()));
        for keys in keys.split('[').filter(|keys| !keys.is_empty()) {
            let keys = keys.trim_end_matches(']');
            steps.push(match keys.parse() {
                Ok(at) => Step::At(at),
                Err(_) => {
                    let pair = |pair: &str| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.into()));
                    Step::Item(keys.split(',').filter_map(pair).collect())
                }
            });
        }
    }
    steps
}

fn set(at: &str, to: Value) -> Edit {
    Edit { path: path(at), to: Some(to) }
}

fn gone(at: &str) -> Edit {
    Edit { path: path(at), to: None }
}

#[track_caller]
fn check(text: &str, edits: &[Edit], wanted: &str) {
    match edit(text, 0, edits) {
        Ok(new) => assert_eq!(new, wanted),
        Err(error) => panic!("{error}: {text}"),
    }
}

const WEB: &str = "\
# The shop's face.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web   # not the till
  labels: { tier: web, team: \"a\" }
spec:
  replicas: 3  # see the runbook

  template:
    spec:
      containers:
      - name: proxy
        image: envoy:1
      # The one that matters.
      - image: 'nginx:1'  # pinned
        name: web
        args: [\"--port\", \"80\"]
        env:
          - {name: A, value: \"1\"}
          - name: B
            value: >-
              folded
              text
        ports:
        - containerPort: 80
";

#[test]
fn a_scalar_is_written_as_it_was_and_everything_else_stays() {
    check(WEB, &[set(".spec.replicas", json!(5))], &WEB.replace("replicas: 3", "replicas: 5"));
    let image = ".spec.template.spec.containers[name=web].image";
    check(WEB, &[set(image, json!("nginx:2"))], &WEB.replace("'nginx:1'", "'nginx:2'"));
    check(WEB, &[set(image, json!("it's"))], &WEB.replace("'nginx:1'", "'it''s'"));
    check(WEB, &[set(image, json!("a\u{202e}b"))], &WEB.replace("'nginx:1'", "\"a\\u202eb\""));
    let image = ".spec.template.spec.containers[name=proxy].image";
    check(WEB, &[set(image, json!("no"))], &WEB.replace("envoy:1", "\"no\""));
    check(WEB, &[set(image, json!("# x: {y}"))], &WEB.replace("envoy:1", "\"# x: {y}\""));
    check(WEB, &[set(".metadata.labels.tier", json!("api"))], &WEB.replace("tier: web", "tier: api"));
    check(WEB, &[set(".metadata.labels.team", json!("b"))], &WEB.replace("\"a\"", "\"b\""));
    let port = Edit {
        path: [
            path(".spec.template.spec.containers[name=web].ports"),
            vec![
                Step::Item(
                    [("containerPort".to_owned(), json!(80)), ("protocol".to_owned(), json!("TCP"))]
                        .into_iter()
                        .collect(),
                ),
                Step::Key("containerPort".to_owned()),
            ],
        ]
        .concat(),
        to: Some(json!(8080)),
    };
    check(WEB, &[port], &WEB.replace("containerPort: 80", "containerPort: 8080"));
    let env = ".spec.template.spec.containers[name=web].env";
    check(WEB, &[set(&format!("{env}[name=A].value"), json!("2"))], &WEB.replace("value: \"1\"", "value: \"2\""));
    check(
        WEB,
        &[set(&format!("{env}[name=B].value"), json!("one line"))],
        &WEB.replace(">-\n              folded\n              text", "\"one line\""),
    );
    let both = [set(".spec.replicas", json!(1)), set(".metadata.labels.team", json!("c"))];
    check(WEB, &both, &WEB.replace("replicas: 3", "replicas: 1").replace("\"a\"", "\"c\""));
}

#[test]
fn of_lists_and_mappings_only_what_differs_is_written() {
    let args = ".spec.template.spec.containers[name=web].args";
    check(WEB, &[set(args, json!(["--port", "81"]))], &WEB.replace("\"80\"]", "\"81\"]"));
    check(WEB, &[set(args, json!(["-v"]))], &WEB.replace("[\"--port\", \"80\"]", "[\"-v\"]"));
    check(WEB, &[set(args, json!([]))], &WEB.replace("[\"--port\", \"80\"]", "[]"));
    check(
        WEB,
        &[set(args, json!(["--port", "80", "a\nb"]))],
        &WEB.replace("[\"--port\", \"80\"]", "[\"--port\", \"80\", \"a\\nb\"]"),
    );
    let labels = set(".metadata.labels", json!({ "tier": "web", "team": "b", "new": "x" }));
    check(WEB, &[labels], &WEB.replace("team: \"a\" }", "team: \"b\", new: x }"));
    check("a:\n- x # why\n- y\n", &[set(".a", json!(["x", "z"]))], "a:\n- x # why\n- z\n");
    check("a:\n  - x\n  - y\nb: 1\n", &[set(".a", json!(["z"]))], "a:\n  - z\nb: 1\n");
    check(
        "a:\n  b: 1\n  c: 2\n",
        &[set(".a", json!({ "b": 1, "d": { "e": ["f"] } }))],
        "a:\n  b: 1\n  d:\n    e:\n    - f\n",
    );
}

#[test]
fn what_goes_takes_its_line_and_no_other() {
    check(WEB, &[gone(".spec.replicas")], &WEB.replace("  replicas: 3  # see the runbook\n", ""));
    check(WEB, &[gone(".metadata.labels.tier")], &WEB.replace("tier: web, ", ""));
    check(WEB, &[gone(".metadata.labels.team")], &WEB.replace(", team: \"a\"", ""));
    check(
        WEB,
        &[gone(".metadata.labels.tier"), gone(".metadata.labels.team")],
        &WEB.replace("{ tier: web, team: \"a\" }", "{}"),
    );
    let of_web = ".spec.template.spec.containers[name=web]";
    check(WEB, &[gone(&format!("{of_web}.args"))], &WEB.replace("        args: [\"--port\", \"80\"]\n", ""));
    check(WEB, &[gone(&format!("{of_web}.env[name=A]"))], &WEB.replace("          - {name: A, value: \"1\"}\n", ""));
    check("- a: 1\n  b: 2\n", &[Edit { path: vec![Step::At(0), Step::Key("a".to_owned())], to: None }], "- b: 2\n");
    check("a:\n  b: 1\nc: 2", &[gone(".a.b")], "a:\n  {}\nc: 2");
    check("c: 2\na:\n  b: |\n    x\n    y\n", &[gone(".a")], "c: 2\n");
    check("a: [1, 2, 3]\n", &[Edit { path: path(".a[1]"), to: None }], "a: [1, 3]\n");
    check("a: [1, 2, 3]\n", &[Edit { path: path(".a[2]"), to: None }], "a: [1, 2]\n");
}

#[test]
fn a_text_of_several_lines_stays_one() {
    let text = "data:\n  app.conf: |\n    port = 80\n\n    # a comment of theirs\n    host = a\n\n  other: x\n";
    let at = Edit { path: vec![Step::Key("data".into()), Step::Key("app.conf".into())], to: None };
    let to = |value: &str| Edit { to: Some(value.into()), ..at.clone() };
    check(
        text,
        &[to("port = 81\n\n  indented\nhost = a\n")],
        "data:\n  app.conf: |\n    port = 81\n\n      indented\n    host = a\n\n  other: x\n",
    );
    check(text, &[to("a\nb")], "data:\n  app.conf: |-\n    a\n    b\n\n  other: x\n");
    check(text, &[to("one")], "data:\n  app.conf: \"one\"\n\n  other: x\n");
    check(text, &[to(" a\nb\n")], "data:\n  app.conf: \" a\\nb\\n\"\n\n  other: x\n");
    check(text, &[to("a\r\nb\n\n\n")], "data:\n  app.conf: \"a\\r\\nb\\n\\n\\n\"\n\n  other: x\n");
    check(text, std::slice::from_ref(&at), "data:\n\n  other: x\n");
    check("a: |+\n  x\n\n\nb: 1\n", &[set(".a", json!("y\n"))], "a: |\n  y\n\n\nb: 1\n");
    check("a: \"x\n  y\"\nb: 1\n", &[set(".a", json!("z"))], "a: \"z\"\nb: 1\n");
    check("a: x\n  y\nb: 1\n", &[set(".a", json!("z"))], "a: z\nb: 1\n");
}

#[test]
fn what_is_not_there_is_added_behind_what_is() {
    check(
        "resources:\n- a.yaml\n",
        &[set(".patches", json!([{ "path": "b.yaml" }]))],
        "resources:\n- a.yaml\npatches:\n- path: b.yaml\n",
    );
    check(
        "patches:\n  - path: a.yaml\n# end\n",
        &[set(".patches[1]", json!({ "path": "b" }))],
        "patches:\n  - path: a.yaml\n  - path: b\n# end\n",
    );
    check("patches: [{path: a}]", &[set(".patches[1]", json!({ "path": "b" }))], "patches: [{path: a}, { path: b }]");
    check("patches: []\n", &[set(".patches[0]", json!({ "path": "b" }))], "patches: [{ path: b }]\n");
    check("patches:\nb: 1\n", &[set(".patches", json!([1]))], "patches: [1]\nb: 1\n");
    check(
        "spec:\n  replicas: 1\n",
        &[set(".spec.template.containers[name=web].image", json!("x"))],
        "spec:\n  replicas: 1\n  template:\n    containers:\n    - image: x\n      name: web\n",
    );
    check(
        "spec:\n  containers:\n  - name: a\n",
        &[set(".spec.containers[name=web].image", json!(null))],
        "spec:\n  containers:\n  - name: a\n  - image: null\n    name: web\n",
    );
    assert_eq!(
        text(&json!({ "a": { "b": ["x", { "c": 1, "d": "y\nz\n" }] }, "e": {} })),
        "a:\n  b:\n  - x\n  - c: 1\n    d: |\n      y\n      z\ne: {}\n"
    );
}

#[test]
fn one_of_several_documents_is_meant() {
    let text = "---\n# nothing\n---\na: 1\n---\na: 1\n--- # last\na: 1\n...\n";
    let edits = [set(".a", json!(2))];
    assert_eq!(edit(text, 1, &edits).unwrap(), "---\n# nothing\n---\na: 1\n---\na: 2\n--- # last\na: 1\n...\n");
    assert_eq!(edit(text, 2, &edits).unwrap(), "---\n# nothing\n---\na: 1\n---\na: 1\n--- # last\na: 2\n...\n");
    assert!(edit(text, 3, &edits).is_err());
    let windows = "a: 1\r\nb: 2\r\n";
    assert_eq!(edit(windows, 0, &edits).unwrap(), "a: 2\r\nb: 2\r\n");
    assert!(edit(windows, 0, &[set(".c", json!(3))]).is_err());
    let marked = "\u{feff}a: ä1\nb: 2\n";
    if let Ok(new) = edit(marked, 0, &[set(".b", json!(3))]) {
        assert_eq!(new, "\u{feff}a: ä1\nb: 3\n");
    }
}

#[test]
fn what_would_have_to_be_guessed_is_refused() {
    for (text, at) in [
        ("x: &x 1\na: *x\n", ".a"),
        ("x: &x 1\na: *x\n", ".x"),
        ("x: &x {a: 1}\ny: *x\n", ".x.a"),
        ("x: &x {a: 1}\ny:\n  <<: *x\n  b: 1\n", ".y.b"),
        ("a: !!str 1\n", ".a"),
        ("a: [1, &x 2]\nb: *x\n", ".a"),
        ("a: 1\n", ".a.b"),
        ("a: [1\n", ".a"),
        ("a: 1\na: 2\n", ".a"),
        ("a:\n- name: x\n  v: 1\n- name: x\n  v: 2\n", ".a[name=x].v"),
    ] {
        let said = edit(text, 0, &[set(at, json!("new"))]);
        assert!(said.is_err(), "{text}: {said:?}");
    }
    for (text, at) in [
        ("a:\n  b: 1\n  # of mine\n  c: 2\nd: 1\n", ".a"),
        ("a:\n  b:\n  - 1\n  # of mine\n  - 2\nd: 1\n", ".a.b"),
        ("a: [1, # of mine\n 2]\nd: 1\n", ".a"),
    ] {
        assert!(edit(text, 0, &[set(at, json!("new"))]).unwrap_err().0.contains("comments"), "{text}");
    }
    assert!(edit("a:\n  b: 1\n  # of mine\n  c: 2\nd: 1\n", 0, &[gone(".a")]).unwrap_err().0.contains("comments"));
    assert!(edit("a: 1\n", 0, &[gone(".b")]).is_err());
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        Just(Value::Null),
        "[a-z0-9:#,' \"\\\\\n\t{}\\[\\]&*!|>%@`\u{85}\u{2028}é-]{0,12}".prop_map(Value::from),
        "(yes|no|on|1e3|0x1|1_0|~|null|1:30|0777|1.2.3|500m|2024-01-01|=|<<|-|- a|a: b|\\.inf)".prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-cäN:# ]{1,3}|no|1", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever is written is read as it was meant, or nothing is written; and what stands around it stays.
    #[test]
    fn what_is_written_is_read(old in value(), new in value(), flow in any::<bool>()) {
        let old = json!({ "a": old });
        let written = if flow { format!("{}\n", written::flow(&old)) } else { text(&old) };
        let page = format!("# before\nz: 1 # one\n---\n{written}# after\n---\nz: 2\n");
        prop_assert_eq!(&documents(&page).unwrap()[1], &old, "{}", page);
        if let Ok(done) = edit(&page, 1, &[set(".a", new.clone())]) {
            prop_assert_eq!(&documents(&done).unwrap()[1], &json!({ "a": new }));
            prop_assert!(done.starts_with("# before\nz: 1 # one\n---\n") && done.ends_with("# after\n---\nz: 2\n"), "{}", done);
        }
    }
}
