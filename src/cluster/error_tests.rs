use serde_json::json;

use super::*;

/// Answers as a 1.36 server gave them, and what a person reads of each.
fn check(cases: &[(u16, Value)]) -> String {
    let read = |(status, body): &(u16, Value)| {
        let error = refusal(*status, body.to_string().as_bytes(), None, None);
        format!("{:?}: {error}", error.fate())
    };
    cases.iter().map(read).collect::<Vec<_>>().join("\n")
}

fn status(reason: &str, message: &str, causes: &Value) -> Value {
    let mut body = json!({"kind": "Status", "message": message, "details": {"causes": causes}});
    if !reason.is_empty() {
        body["reason"] = reason.into();
    }
    body
}

#[test]
fn conflicts_are_told_from_stale_writes_and_name_manager_and_path() {
    let conflict = status(
        "Conflict",
        "Apply failed with 2 conflicts: …",
        &json!([
            {"reason": "FieldManagerConflict", "message": "conflict with \"hpa-x\" with subresource \"scale\" using apps/v1", "field": ".spec.replicas"},
            {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-edit\" using apps/v1", "field": ".spec.template.spec.containers[name=\"c\"].image"},
        ]),
    );
    insta::assert_snapshot!(check(&[
        (409, conflict),
        (409, status("Conflict", "Operation cannot be fulfilled on configmaps \"x\": the object has been modified", &json!([]))),
        (409, status("Conflict", "uid mismatch: the provided object specified uid a, and no existing object was found", &json!([]))),
        (422, status("Invalid", "…", &json!([{"reason": "FieldValueInvalid", "field": "metadata.uid", "message": "Invalid value: \"a\": field is immutable"}]))),
        (409, status("AlreadyExists", "configmaps \"x\" already exists", &json!([]))),
    ]), @r#"
    Held: `hpa-x with subresource scale` holds `.spec.replicas`, `kubectl-edit` holds `.spec.template.spec.containers[name="c"].image`
    Look: it changed since it was looked at: Operation cannot be fulfilled on configmaps "x": the object has been modified
    Look: it changed since it was looked at: uid mismatch: the provided object specified uid a, and no existing object was found
    Look: it changed since it was looked at: metadata.uid: field is immutable
    Look: it changed since it was looked at: configmaps "x" already exists
    "#);
}

#[test]
fn mistakes_of_the_object_are_never_retried_and_troubles_of_the_server_are() {
    insta::assert_snapshot!(check(&[
        (500, status("", "failed to create typed patch object (ns/n; apps/v1, Kind=Deployment): errors:\n  .spec.bogus: field not declared in schema", &json!([]))),
        (500, status("", "failed to convert new object (ns/n) to proper version: x", &json!([]))),
        (500, status("InternalError", "failed calling webhook \"a.b.c\": connection refused", &json!([]))),
        (503, status("ServiceUnavailable", "etcd leader changed", &json!([]))),
        (429, json!({"kind": "Status", "reason": "TooManyRequests", "message": "slow down", "details": {"retryAfterSeconds": 3}})),
        (403, status("Forbidden", "deployments.apps \"web\" is forbidden: User \"x\" cannot patch", &json!([]))),
        (401, status("Unauthorized", "Unauthorized", &json!([]))),
        (404, status("NotFound", "namespaces \"nope\" not found", &json!([]))),
        (404, json!("404 page not found")),
        (502, json!("<html>")),
    ]), @r#"
    Never: failed to create typed patch object (ns/n; apps/v1, Kind=Deployment): errors: .spec.bogus: field not declared in schema (500)
    Never: failed to convert new object (ns/n) to proper version: x (500)
    Retry { after: None }: failed calling webhook "a.b.c": connection refused (500)
    Retry { after: None }: etcd leader changed (503)
    Retry { after: Some(3s) }: slow down (429)
    Never: deployments.apps "web" is forbidden: User "x" cannot patch (403)
    Away: the cluster does not accept our credentials (401)
    Never: namespaces "nope" not found
    Never: the cluster serves no such path
    Retry { after: None }: it answers with an error page (502)
    "#);
}

#[test]
fn no_value_of_an_object_is_repeated() {
    let said = check(&[
        (
            422,
            status(
                "Invalid",
                "Secret \"x\" is invalid: type: Invalid value: \"s3cret\": field is immutable",
                &json!([{"reason": "FieldValueInvalid", "field": "type", "message": "Invalid value: \"s3cret\": field is immutable"}]),
            ),
        ),
        (
            422,
            status(
                "Invalid",
                "…",
                &json!([{"reason": "FieldValueForbidden", "field": "spec",
            "message": "Forbidden: spec is immutable after creation\n@@ -1 +1 @@\n-s3cret"}]),
            ),
        ),
        (
            500,
            status(
                "",
                "failed to create typed patch object (ns/n; /v1, Kind=Secret): .data.a: expected string, got &value.valueUnstructured{Value:\"s3cret\"}",
                &json!([]),
            ),
        ),
    ]);
    assert!(!said.contains("s3cret"), "{said}");
    insta::assert_snapshot!(said, @r"
    Never: type: field is immutable (422)
    Never: spec: Forbidden: spec is immutable after creation (422)
    Never: failed to create typed patch object (ns/n; /v1, Kind=Secret): .data.a: expected string (500)
    ");
}

#[test]
fn a_secret_that_is_longer_than_what_is_kept_is_hidden_whole() {
    let value = "s3cret\n".repeat(WORDS);
    let about = json!({"kind": "Secret", "stringData": {"token": value}});
    let quoted = serde_json::to_string(&value).unwrap();
    for message in [format!("{value} is long"), format!("{quoted} is long")] {
        let said = status("Forbidden", &message, &json!([]));
        let error = refusal(403, said.to_string().as_bytes(), None, Some(&about)).to_string();
        assert!(!error.contains("s3cret") && error.contains("(redacted)"), "{error}");
    }
}
