use super::*;
use insta::assert_snapshot;

fn key(kind: &str, name: &str) -> ObjectKey {
    ObjectKey { group: String::new(), kind: kind.into(), namespace: Some("shop".into()), name: name.into() }
}

fn object(kind: &str, name: &str, more: Value) -> Value {
    let mut object = json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name, "namespace": "shop" } });
    for (field, value) in more.as_object().unwrap() {
        object[field] = value.clone();
    }
    object
}

/// A Deployment that grows, a Pod that comes, a Service that goes, a Secret that stays.
fn matter() -> Matter {
    let pair = |kind: &str, name: &str, old: Option<Value>, new: Option<Value>| Pair {
        key: key(kind, name),
        old: old.map(|more| object(kind, name, more)),
        new: new.map(|more| object(kind, name, more)),
    };
    let key = "-----BEGIN KEY-----\nMIICdgIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n";
    let secret = json!({ "data": { "password": "aHVudGVyMi1odW50ZXIy" }, "stringData": { "key": key } });
    Matter {
        environment: "production".into(),
        stage: "production".into(),
        cluster: "prod".into(),
        namespace: "shop".into(),
        objects: vec![
            pair("Deployment", "web", Some(json!({"spec": {"replicas": 2}})), Some(json!({"spec": {"replicas": 3}}))),
            pair("Pod", "debug", None, Some(json!({}))),
            pair("Secret", "db", Some(secret.clone()), Some(secret)),
            pair("Service", "legacy", Some(json!({})), None),
        ],
    }
}

fn question(source: Source) -> Question {
    Question { name: "p".into(), effect: Effect::Deny, message: None, source }
}

fn told(opinion: &Opinion) -> String {
    let mut lines: Vec<String> = opinion
        .found
        .iter()
        .map(|one| {
            let object = one.object.as_ref().map_or("the change".to_owned(), ToString::to_string);
            format!("{} {object}: {}", one.effect, one.message)
        })
        .collect();
    lines.extend((opinion.more > 0).then(|| format!("and {} more", opinion.more)));
    lines.extend(opinion.broken.as_ref().map(|why| format!("broken: {why}")));
    if lines.is_empty() { "nothing".to_owned() } else { lines.join("\n") }
}

fn cel(text: &str) -> String {
    told(&ask(&question(Source::Cel(text.into())), &matter()))
}

fn rego_files(files: &[(&str, &str)]) -> Rego {
    Rego { path: "policy".into(), files: files.iter().map(|(p, t)| ((*p).into(), (*t).into())).collect() }
}

fn rego(text: &str) -> String {
    told(&ask(&question(Source::Rego(rego_files(&[("policy/p.rego", text)]).into())), &matter()))
}

#[test]
fn an_expression_is_asked_about_each_object_or_about_the_change() {
    assert_snapshot!(cel("object.kind != 'Pod'"), @"deny Pod shop/debug: `object.kind != 'Pod'` is not true");
    assert_snapshot!(cel("!has(object.spec) || oldObject == null || object.spec.replicas <= oldObject.spec.replicas"), @"deny Deployment shop/web: `!has(object.spec) || oldObject == null || object.spec.replicas <= oldObject.spec.replicas` is not true");
    assert_snapshot!(cel("object.kind != 'Deployment' || object.spec.replicas + 1 == 4"), @"nothing");
    assert_snapshot!(cel("request.operation != 'DELETE' || request.kind.kind != 'Service'"), @"deny Service shop/legacy: `request.operation != 'DELETE' || request.kind.kind != 'Service'` is not true");
    assert_snapshot!(cel("change.objects.filter(o, o.operation == 'DELETE').size() == 0"), @"deny the change: `change.objects.filter(o, o.operation == 'DELETE').size() == 0` is not true");
    assert_snapshot!(cel("change.objects.all(o, o.operation != 'DELETE' || has(o.oldObject.metadata.labels))"), @"deny the change: `change.objects.all(o, o.operation != 'DELETE' || has(o.oldObject.metadata.labels))` is not true");
    assert_snapshot!(cel("change.environment == 'production' && change.stage == 'production'"), @"nothing");
}

#[test]
fn an_expression_that_cannot_be_asked_is_broken() {
    assert_snapshot!(cel("object.kind =="), @"broken: 1:15: Syntax error: mismatched input '<EOF>'");
    assert_snapshot!(cel("true"), @"broken: it asks about neither `object` nor `change`");
    assert_snapshot!(cel("object.kind == change.environment"), @"broken: it asks about `change` and about one `object`: make two policies of it");
    assert_snapshot!(cel("object.kind"), @"broken: at Deployment shop/web: it gives string, and not true or false");
    assert_snapshot!(cel("object.metadata.labels.app == 'x'"), @"broken: at Deployment shop/web: No such key: labels (ask first whether it is there: `has(…)`)");
    assert_snapshot!(cel("object.kind == nothing"), @"broken: there is no `nothing`");
    assert_snapshot!(cel(&format!("object.kind == {}'a'{}", "(".repeat(5_000), ")".repeat(5_000))), @"broken: its brackets are deeper than is read");
    assert_snapshot!(cel("object.kind == getenv('HOME')"), @"broken: there is no function `getenv`");
    // Also where it would not come to them.
    assert_snapshot!(cel("object.kind != 'x' || now() > 1"), @"broken: there is no function `now`");
    assert_snapshot!(cel("object.kind != 'x' || timestamp('2026-01-01T00:00:00Z') == object.at"), @"broken: there is no function `timestamp`");
    assert_snapshot!(cel("object.kind != 'x' || object.items.all(i, i > 0 && j > 0)"), @"broken: there is no `j`");
    assert_snapshot!(cel("object.items.all(i, i > 0) && i == 0"), @"broken: there is no `i`");
    for good in [
        "object.kind.matches('^[A-Z]') && object.kind.startsWith('') && !object.kind.endsWith('?') && object.kind.contains('')",
        "type(object.kind) == string && int('7') == 7 && double(1) == 1.0 && size(object.kind) > 0 && 'kind' in object",
        "[1, 2].exists_one(n, n == 1) && [[1]].all(l, l.map(n, n + 1).filter(n, n > 1).exists(n, n == 2)) && object.kind != ''",
        "dyn({'a': object.kind}).a != '' && has(object.kind) && (object.kind == 'x' ? false : true) && object['kind'] != ''",
        "optional.of(object.kind).hasValue() && object.?spec.orValue({}) != null",
    ] {
        assert_eq!(cel(good), "nothing", "{good}");
    }
}

#[test]
fn rules_are_asked_as_conftest_asks_them() {
    assert_snapshot!(rego("package main\n\ndeny contains msg if {\n\tinput.kind == \"Pod\"\n\tmsg := sprintf(\"%s is a bare Pod\", [input.metadata.name])\n}\n"), @"deny Pod shop/debug: debug is a bare Pod");
    assert_snapshot!(rego("package main\n\ndeny[msg] {\n\tinput.kind == \"Pod\"\n\tmsg = \"before 1.0\"\n}\n"), @"deny Pod shop/debug: before 1.0");
    assert_snapshot!(rego("package kubernetes[\"a-b\"]\n\nimport rego.v1\n\nviolation_pods contains {\"msg\": \"an object\", \"details\": {}} if input.kind == \"Pod\"\n\nwarn contains \"only so\" if input.kind == \"Deployment\"\n"), @"
    warn Deployment shop/web: only so
    deny Pod shop/debug: an object
    ");
    assert_snapshot!(rego("package bascule.change\n\ndeny contains msg if {\n\tsome one in input.objects\n\tone.operation == \"DELETE\"\n\tnot one.oldObject.metadata.labels.removable\n\tmsg := sprintf(\"%s goes\", [one.name])\n}\n"), @"deny the change: legacy goes");
    let library = rego_files(&[
        ("policy/lib/kinds.rego", "package lib.kinds\n\nis_pod(object) if object.kind == \"Pod\"\n"),
        (
            "policy/main.rego",
            "package main\n\nimport data.lib.kinds\n\ndeny contains \"no pods\" if kinds.is_pod(input)\n",
        ),
    ]);
    assert_snapshot!(told(&ask(&question(Source::Rego(library.into())), &matter())), @"deny Pod shop/debug: no pods");
}

#[test]
fn rules_that_cannot_be_asked_are_broken() {
    let body = |body: &str| rego(&format!("package main\n\ndeny contains msg if {{\n\t{body}\n\tmsg := \"x\"\n}}\n"));
    assert_snapshot!(rego("package main\n\ndeny contains msg if {\n"), @"broken: policy/p.rego:4:1: expecting expression");
    assert_snapshot!(rego("package main\n\nallow := true\n"), @"broken: it has no rule called `deny`, `violation` or `warn`");
    assert_snapshot!(rego("package main\n\ndeny contains 7 if input.kind == \"Pod\"\n"), @"broken: a rule gives what is neither text nor an object with `msg` (at Pod shop/debug)");
    for call in [
        "http.send({\"method\": \"get\", \"url\": \"http://127.0.0.1/\"})",
        "time.now_ns() > 0",
        "opa.runtime().env.HOME",
        "uuid.rfc4122(\"x\")",
        "rand.intn(\"x\", 7) > 3",
        "net.lookup_ip_addr(\"localhost\")",
    ] {
        let said = body(call);
        assert!(said.starts_with("broken: policy/p.rego:4"), "{call}: {said}");
    }
    assert_snapshot!(body("not data.main.deny"), @"broken: policy/p.rego:3:1: recursion detected when evaluating rule: (at Deployment shop/web)");
    assert_snapshot!(body("f(1)"), @"broken: policy/p.rego:4:6: could not find function f (at Deployment shop/web)");
    assert_snapshot!(body(&format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000))), @"broken: policy/p.rego:4:38: expression nesting too deep (>32)");
}

#[test]
fn what_is_found_is_bounded_and_never_a_secret() {
    let many = rego(
        "package main\n\ndeny contains msg if {\n\tsome n in numbers.range(1, 60)\n\tmsg := sprintf(\"%d\", [n])\n}\n",
    );
    assert!(many.ends_with("and 80 more"), "{many}");
    let long = rego(
        "package main\n\ndeny contains concat(\"\", [\"x\" | some n in numbers.range(1, 5000)]) if input.kind == \"Pod\"\n",
    );
    assert!(long.len() < 4_100, "{}", long.len());
    assert_snapshot!(rego("package main\n\ndeny contains msg if {\n\tinput.kind == \"Secret\"\n\tmsg := sprintf(\"%s is %s\", [input.data.password, base64.decode(input.data.password)])\n}\n"), @"deny Secret shop/db: ‹secret› is ‹secret›");
}

#[test]
fn tests_of_policies_are_run() {
    let files = rego_files(&[
        ("policy/p.rego", "package main\n\ndeny contains \"no pods\" if input.kind == \"Pod\"\n"),
        (
            "policy/p_test.rego",
            "package main\n\ntest_pods if count(deny) == 1 with input as {\"kind\": \"Pod\"}\n\ntest_wrong if count(deny) == 1 with input as {\"kind\": \"Service\"}\n",
        ),
    ]);
    let told: Vec<String> = test(&files.files)
        .unwrap()
        .into_iter()
        .map(|one| format!("{}: {}", one.name, one.failed.unwrap_or("good".into())))
        .collect();
    assert_snapshot!(told.join("\n"), @"
    main.test_pods: good
    main.test_wrong: it is not true
    ");
}

#[test]
fn what_fails_at_one_object_still_denies_another() {
    assert_snapshot!(cel("object.kind == 'Pod' ? false : object.spec.replicas > 0"), @"
    deny Pod shop/debug: `object.kind == 'Pod' ? false : object.spec.replicas > 0` is not true
    broken: at Secret shop/db: No such key: spec (ask first whether it is there: `has(…)`)
    ");
    assert_snapshot!(rego("package main\n\ndeny contains 7 if input.kind == \"Deployment\"\n\ndeny_pods contains \"no pods\" if input.kind == \"Pod\"\n"), @"
    deny Pod shop/debug: no pods
    broken: a rule gives what is neither text nor an object with `msg` (at Deployment shop/web)
    ");
}

#[test]
fn no_word_of_a_policy_is_one_that_cannot_be_stored() {
    assert_snapshot!(rego("package main\n\n\0deny contains \"x\" if input.kind == \"Pod\"\n"), @"broken: policy/p.rego:3: it has a character of number zero");
    assert_snapshot!(cel("object.kind != 'P\0d'"), @"broken: it has a character of number zero");
    assert_snapshot!(rego("package main\n\ndeny contains \"a\\u0000b\" if input.kind == \"Pod\"\n"), @"deny Pod shop/debug: a�b");
}

#[test]
fn a_secret_of_several_lines_is_taken_out_however_it_is_written() {
    let secret = |how: &str| {
        rego(&format!("package main\n\ndeny contains msg if {{\n\tinput.kind == \"Secret\"\n\tmsg := {how}\n}}\n"))
    };
    assert_snapshot!(secret("json.marshal(input.stringData)"), @r#"deny Secret shop/db: {"key":"‹secret›"}"#);
    assert_snapshot!(secret("split(input.stringData.key, \"\\n\")[1]"), @"deny Secret shop/db: ‹secret›");
    // It begins before the place where the message is cut, and ends behind it.
    let cut = secret(
        "concat(\"\", array.concat([\"x\" | some n in numbers.range(1, 1985)], [base64.decode(input.data.password)]))",
    );
    assert!(!cut.contains("hunter2"), "{cut}");
}
