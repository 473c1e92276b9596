use serde_json::json;

use super::*;

fn value(data: &str) -> String {
    format!("ENC[AES256_GCM,data:{data},iv:aa==,tag:bb==,type:str]")
}

fn sealed() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"},
        "stringData": {"password": value("xyz"), "user": value("uvw")},
        "sops": {
            "age": [{"recipient": "age1ours", "enc": "-----BEGIN"}], "kms": [], "hc_vault": null,
            "lastmodified": "2026-01-01T00:00:00Z", "mac": value("mac"), "version": "3.13.3",
            "encrypted_regex": "^(data|stringData)$",
        },
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut object = sealed();
    change(&mut object);
    let is_secret = object["kind"] == "Secret";
    faults(object.as_object().unwrap(), is_secret)
}

#[test]
fn what_sops_writes_of_a_secret_is_taken() {
    assert_eq!(with(|_| {}), Vec::<String>::new());
    // sops leaves an empty value as it is.
    assert_eq!(with(|object| object["stringData"]["user"] = "".into()), Vec::<String>::new());
}

#[test]
fn whatever_else_is_sealed_is_refused_with_what_to_do() {
    let said = |change: fn(&mut Value)| with(change).join("\n");
    insta::assert_snapshot!(said(|o| o["kind"] = "ConfigMap".into()), @"is sealed with SOPS, and only a Secret's data may be: keep what is secret in a Secret, and this in clear");
    insta::assert_snapshot!(said(|o| o["metadata"]["name"] = value("n").into()), @"has a sealed `metadata`, and only data and stringData may be sealed: seal it with `encrypted_regex: ^(data|stringData)$`");
    insta::assert_snapshot!(said(|o| o["stringData"]["user"] = "ann".into()), @"has a value in clear beside sealed ones, `user` in stringData: seal all with `encrypted_regex: ^(data|stringData)$`");
    insta::assert_snapshot!(said(|o| drop(o.as_object_mut().unwrap().remove("sops"))), @"has sealed values and no `sops` block, without which nobody can open them: commit the file as sops wrote it");
    insta::assert_snapshot!(said(|o| o["sops"]["age"] = json!([])), @"is sealed to nobody: its `sops` block has no recipient of age");
    let many = |o: &mut Value| o["sops"]["age"] = vec![json!({"recipient": "age1", "enc": "x"}); 10_000].into();
    insta::assert_snapshot!(said(many), @"is sealed to more than 100 recipients");
    let number = |o: &mut Value| o["stringData"]["user"] = value("n").replace("type:str", "type:int").into();
    insta::assert_snapshot!(said(number), @"has a sealed value that is not text, `user` in stringData: quote it, and seal it anew");
    // sops opens the first that it finds in a text, as what is written there: bytes come out as base64 of themselves.
    for odd in [
        format!("{}\n,type:str]", value("n").replace("type:str", "type:bytes")),
        format!("{} {}", value("n"), value("m")),
        value("n").replace(",iv:", ", iv:"),
        value("n").replace("tag:", "tog:"),
        value("n\n"),
        "ENC[AES256_GCM,type:str]".to_owned(),
    ] {
        let said = with(|object| object["stringData"]["user"] = odd.clone().into()).join("\n");
        assert!(said.starts_with("has a value in clear beside sealed ones, `user`"), "{odd:?}: {said}");
    }
    insta::assert_snapshot!(said(|o| o["sops"] = "x".into()), @"has a `sops` that is no block of sops");
}

#[test]
fn an_address_of_a_key_service_is_refused_and_would_not_be_passed_on() {
    for (key, entry) in [
        ("hc_vault", json!([{"vault_address": "http://169.254.169.254", "engine_path": "t", "key_name": "k"}])),
        ("azure_kv", json!([{"vault_url": "http://10.0.0.1"}])),
        ("kms", json!([{"arn": "arn:aws:kms:::x", "aws_profile": "prod"}])),
        ("gcp_kms", json!([{"resource_id": "x"}])),
        ("pgp", json!([{"fp": "x"}])),
        ("key_groups", json!([{"hc_vault": [{"vault_address": "http://10.0.0.1"}]}])),
        ("something_new", json!({"url": "http://10.0.0.1"})),
    ] {
        let mut object = sealed();
        object["sops"][key] = entry;
        let said = faults(object.as_object().unwrap(), true);
        let wanted = format!("is sealed with `{key}`, and only age is opened here: seal it to recipients of age alone");
        assert_eq!(said, [wanted]);
        let given = for_opening(&object).to_string();
        assert!(!given.contains(key) && !given.contains("10.0.0.1") && !given.contains("169.254"), "{given}");
    }
}

#[test]
fn opened_values_take_the_place_of_sealed_ones_and_nothing_else_does() {
    let opened =
        json!({"stringData": {"password": "s3cret", "user": "ann"}, "metadata": {"name": "other"}, "kind": "Pod"});
    let whole = with_opened(&sealed(), &opened).unwrap();
    assert_eq!(
        whole,
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"},
            "data": {"password": "czNjcmV0", "user": "YW5u"},
        })
    );
    let still = json!({"stringData": {"password": value("x"), "user": "ann"}});
    assert_eq!(with_opened(&sealed(), &still).unwrap_err(), "what is sealed as its stringData is not values by name");
    let number = with_opened(&sealed(), &json!({"stringData": {"password": 123_456, "user": "ann"}})).unwrap_err();
    assert!(number.contains("`password`") && !number.contains("123456"), "{number}");
    let mut data = sealed();
    data["data"] = data["stringData"].take();
    let plain = with_opened(&data, &json!({"data": {"password": "hunter2!", "user": "YW5u"}})).unwrap_err();
    assert!(plain.contains("not base64") && !plain.contains("hunter2"), "{plain}");
    for others in [
        json!({"stringData": {"password": "s3cret"}}),
        json!({"stringData": {"password": "s3cret", "user": "ann", "more": "x"}}),
        json!({"data": {"password": "s3cret", "user": "ann"}}),
    ] {
        let said = with_opened(&sealed(), &others).unwrap_err();
        assert!(said.ends_with("has other names than what was opened") && !said.contains("s3cret"), "{said}");
    }
}

#[test]
fn a_stand_in_has_the_same_keys_and_no_ciphertext() {
    let stand_in = with_placeholders(&sealed());
    assert_eq!(stand_in["data"], json!({"password": "e30=", "user": "e30="}));
    assert!(!stand_in.to_string().contains("ENC["), "{stand_in}");
}

#[test]
fn display_has_recipients_and_says_when_nothing_else_changed() {
    let (_, new) = shown(None, &sealed());
    assert_eq!(new["sops"], json!({"age": ["age1ours"]}));
    let mut again = sealed();
    again["sops"]["lastmodified"] = "2026-02-02T00:00:00Z".into();
    let (old, new) = shown(Some(&sealed()), &again);
    assert_ne!(old.unwrap()["sops"], new["sops"]);
    again["stringData"]["user"] = value("other").into();
    let (old, new) = shown(Some(&sealed()), &again);
    assert_eq!(old.unwrap()["sops"], new["sops"]);
    // Under another key of its data, whatever else changed, and whoever it is said to be for.
    again["sops"]["age"][0]["enc"] = "-----BEGIN another".into();
    let (old, new) = shown(Some(&sealed()), &again);
    assert_ne!(old.unwrap()["sops"], new["sops"]);
}
