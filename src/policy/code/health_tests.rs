use serde_json::json;

use super::*;

fn rule() -> Rule {
    Rule {
        kind: "db.example.org/Database".to_owned(),
        healthy: "object.status.phase == 'Ready'".to_owned(),
        failed: Some("object.status.phase == 'Broken'".to_owned()),
        progressing: None,
        message: Some("has(object.status.reason) ? object.status.reason : ''".to_owned()),
    }
}

fn check(rule: &Rule, statuses: &[Json]) -> String {
    let said = |status: &Json| {
        let object = json!({"metadata": {"name": "orders"}, "status": status});
        format!("{:?}", judge(&Asked { by: "`databases`".to_owned(), rule: rule.clone(), object }))
    };
    statuses.iter().map(said).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_outcome_has_its_words() {
    insta::assert_snapshot!(check(&rule(), &[
        json!({"phase": "Ready"}),
        json!({"phase": "Creating"}),
        json!({"phase": "Creating", "reason": "3 of 5 tables"}),
        json!({"phase": "Broken", "reason": "disk is full"}),
        json!({"phase": "Broken"}),
        json!(null),
        json!({}),
        json!({"reason": "no phase"}),
        json!({"phase": 7}),
    ]), @r#"
    Healthy
    Progressing("is not well yet by health rule `databases`")
    Progressing("3 of 5 tables")
    Failed("disk is full")
    Failed("has failed by health rule `databases`")
    Unknown("`failed` of health rule `databases` cannot be asked: found no matching overload for '_._' applied to '(null_type, string)'")
    Progressing("its controller has said nothing yet")
    Unknown("`failed` of health rule `databases` cannot be asked: No such key: phase (ask first whether it is there: `has(…)`)")
    Progressing("is not well yet by health rule `databases`")
    "#);
    let mut picky = Rule { progressing: Some("object.status.phase == 'Creating'".to_owned()), ..rule() };
    insta::assert_snapshot!(check(&picky, &[json!({"phase": "Creating"}), json!({"phase": "Odd"})]), @r#"
    Progressing("is not well yet by health rule `databases`")
    Unknown("nothing of health rule `databases` is true of it")
    "#);
    picky.message = Some("object.status.nothing".to_owned());
    insta::assert_snapshot!(check(&picky, &[json!({"phase": "Creating"}), json!({"phase": "Broken"})]), @r#"
    Progressing("is not well yet by health rule `databases` (its `message` cannot be asked: No such key: nothing (ask first whether it is there: `has(…)`))")
    Failed("has failed by health rule `databases` (its `message` cannot be asked: No such key: nothing (ask first whether it is there: `has(…)`))")
    "#);
    picky.message = Some("object.status.phase.size() * 1".to_owned());
    insta::assert_snapshot!(check(&picky, &[json!({"phase": "Creating"})]), @r#"Progressing("is not well yet by health rule `databases` (its `message` gives int, and no text)")"#);
}

#[test]
fn what_has_failed_and_is_well_at_once_has_failed_and_what_errs_is_never_well() {
    let both = Rule { failed: Some("true".to_owned()), healthy: "true".to_owned(), message: None, ..rule() };
    let errs = Rule { failed: Some("object.status.count / 0 == 1".to_owned()), healthy: "true".to_owned(), ..rule() };
    let wrong = Rule { failed: None, healthy: "'yes'".to_owned(), ..rule() };
    insta::assert_snapshot!(check(&both, &[json!({"a": 1})]), @r#"Failed("has failed by health rule `databases`")"#);
    insta::assert_snapshot!(check(&errs, &[json!({"count": 1})]), @r#"Unknown("`failed` of health rule `databases` cannot be asked: Division by zero of Int(1)")"#);
    insta::assert_snapshot!(check(&wrong, &[json!({"a": 1})]), @r#"Unknown("`healthy` of health rule `databases` cannot be asked: it gives string, and not true or false")"#);
}

#[test]
fn an_expression_that_cannot_be_asked_is_told_before_it_is() {
    let faults = ["object.status.", "obj.status", "oldObject.a == 1", "object.a.frob()", "true", "((((object"];
    let told: Vec<String> = faults.iter().map(|text| fault(text).unwrap_or_else(|| "good".to_owned())).collect();
    insta::assert_snapshot!(told.join("\n"), @"
    1:15: Syntax error: no viable alternative at input '.'
    there is no `obj`
    there is no `oldObject`
    there is no function `frob`
    good
    1:11: Syntax error: mismatched input '<EOF>'
    ");
    assert!(fault(&"(".repeat(10_000)).is_some());
}
