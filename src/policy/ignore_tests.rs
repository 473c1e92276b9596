//! What `ignore:` hides.

use super::*;

fn key(group: &str, kind: &str) -> ObjectKey {
    let (group, kind) = (group.to_owned(), kind.to_owned());
    ObjectKey { group, kind, namespace: None, name: "x".to_owned() }
}

fn trail(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn checksums_and_ca_bundles_are_hidden_when_nothing_is_said() {
    let noise = Noise::of(None);
    let sum = trail(&["spec", "template", "metadata", "annotations", "checksum/secret"]);
    let values = Some(["a", "b"]);
    assert_eq!(noise.hides(&key("apps", "Deployment"), &sum, values).as_deref(), Some("checksums"));
    assert_eq!(noise.hides(&key("apps", "Deployment"), &sum, None).as_deref(), Some("checksums"));
    let labels = trail(&["metadata", "labels", "checksum/secret"]);
    assert_eq!(noise.hides(&key("apps", "Deployment"), &labels, values), None);
    let bundle = trail(&["webhooks", "check", "clientConfig", "caBundle"]);
    let hook = key("admissionregistration.k8s.io", "ValidatingWebhookConfiguration");
    assert_eq!(noise.hides(&hook, &bundle, values).as_deref(), Some("ca-bundles"));
    assert_eq!(noise.hides(&key("apps", "Deployment"), &bundle, values), None, "of no other kind");
}

#[test]
fn a_field_is_the_names_that_lead_to_it() {
    for (written, names) in [
        ("spec.replicas", Ok(vec!["spec", "replicas"])),
        ("a['b.c/d'].e[0]", Ok(vec!["a", "b.c/d", "e", "0"])),
        ("**.annotations['checksum/*']", Ok(vec!["**", "annotations", "checksum/*"])),
        ("['a']['b']", Ok(vec!["a", "b"])),
        ("containers[web].image", Ok(vec!["containers", "web", "image"])),
        ("", Err(())),
        ("**.*", Err(())),
        ("a..b", Err(())),
        (".a", Err(())),
        ("a.", Err(())),
        ("a['b", Err(())),
        ("a b", Err(())),
        ("$.a", Err(())),
        ("a['b']c", Err(())),
    ] {
        let read = way(written).map_err(|_| ());
        assert_eq!(read, names.map(|names| trail(&names)), "{written}");
    }
}

#[test]
fn both_values_have_to_look_as_the_rule_says_as_a_whole() {
    assert!(pattern("[0-9]+").unwrap().is_match("12") && !pattern("[0-9]+").unwrap().is_match("12 "));
    assert!(pattern("a|b").unwrap().is_match("b") && !pattern("a|b").unwrap().is_match("ab"));
    assert!(pattern(r"x)|(.*").is_none() && pattern("(").is_none() && pattern(r"\w{1000}{1000}").is_none());
    assert!(pattern(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z").is_some() && pattern(r"\w{40}").is_none());
}

#[test]
fn a_pattern_is_compiled_for_fields_that_are_the_rules_and_tried_on_what_is_short() {
    let written = |field: &str, values: &str| Ignore {
        fields: BTreeSet::from([field.to_owned()]),
        values: Some(values.to_owned()),
        ..Ignore::default()
    };
    let mut environment = crate::policy::RepositoryFile::parse(
        "f",
        "version: 1\nenvironments: { a: { path: a, cluster: c, namespace: shop } }\n",
    )
    .unwrap()
    .expand([""; 0])
    .unwrap()
    .remove(0);
    environment.ignore.insert("tags".to_owned(), written("spec.tag", "(?s:a*)"));
    let noise = Noise::of(Some(&environment));
    let is_compiled = || noise.0.iter().filter_map(|rule| rule.values.as_ref()).any(|one| one.compiled.get().is_some());
    let hides = |names: &[&str], values: [&str; 2]| noise.hides(&key("", "Thing"), &trail(names), Some(values));
    let long = "a".repeat(LONGEST_VALUE + 1);
    assert_eq!(hides(&["spec", "other"], ["a", "aa"]), None);
    assert_eq!(hides(&["spec", "tag"], ["a", &long]), None, "too long to be tried");
    assert!(!is_compiled());
    assert_eq!(hides(&["spec", "tag"], ["a", "aa"]).as_deref(), Some("tags"));
    assert!(is_compiled());
}

#[test]
fn a_pattern_is_judged_where_it_is_written_and_not_in_each_environment() {
    let file = |values: &str| {
        let folders: Vec<String> = (0..2_000).map(|number| format!("apps/a{number}")).collect();
        let text = format!(
            "version: 1\ndefaults:\n  cluster: c\n  namespace: shop\n  ignore:\n{values}\
             environments:\n  \"a-{{app}}\": {{ path: \"apps/{{app}}\" }}\n  \"b-{{app}}\": {{ path: \"apps/{{app}}\", namespace: web }}\n",
        );
        crate::policy::RepositoryFile::parse("f", &text).map(|file| file.expand(folders).map(|all| all.len()))
    };
    let rules = |count: usize, values: &dyn Fn(usize) -> String| -> String {
        (0..count).map(|number| format!("    r{number}: {{ fields: [a], values: '{}' }}\n", values(number))).collect()
    };
    let large = file(&rules(50, &|_| r"\w{40}".to_owned())).unwrap_err();
    assert_eq!(large.len(), 50, "each at its place, once: {large:?}");
    assert_eq!(file(&rules(50, &|_| r"\w+".to_owned())), Ok(Ok(4_000)));
    let long = file(&rules(50, &|number| format!("{number}{}", "x".repeat(300)))).unwrap_err();
    assert!(long[0].problem.contains("characters"), "{long:?}");
    let block = |number: usize| {
        let rules = rules(45, &|rule| format!("v{number}x{rule}")).replace("\n    ", ", ");
        let rules = rules.trim().replace('\n', "");
        format!("  e{number}: {{ path: e{number}, cluster: c, namespace: shop, ignore: {{ {rules} }} }}\n")
    };
    let many = format!("version: 1\nenvironments:\n{}", (0..3).map(block).collect::<String>());
    let many = crate::policy::RepositoryFile::parse("f", &many).unwrap_err();
    assert_eq!(many.len(), 1, "{many:?}");
    assert!(many[0].problem.contains("more than 100 different"), "{many:?}");
}

#[test]
fn what_two_do_not_agree_on_hides_nothing() {
    let rule = |field: &str| Ignore { fields: BTreeSet::from([field.to_owned()]), ..Ignore::default() };
    let rules = |all: &[(&str, Ignore)]| -> BTreeMap<String, Ignore> {
        all.iter().map(|(name, rule)| ((*name).to_owned(), rule.clone())).collect()
    };
    let one = rules(&[("same", rule("a.b")), ("altered", rule("a.**")), ("new", rule("spec.**"))]);
    let other = rules(&[("same", rule("a.b")), ("altered", rule("a.c")), ("checksums", Ignore::default())]);
    let none = Ignore::default();
    let both = rules(&[
        ("same", rule("a.b")),
        ("altered", none.clone()),
        ("new", none.clone()),
        // The known rule of this name does not come back by a file that nobody approved.
        ("checksums", none),
    ]);
    assert_eq!(Ignore::of_both(&one, &other), both);
    assert_eq!(Ignore::of_both(&other, &one), both);
}
