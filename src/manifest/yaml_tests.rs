use super::*;

fn read(text: &str) -> Result<Vec<Value>, String> {
    read_as(text, Dialect::Plain, &Limits::default())
}

fn read_as(text: &str, dialect: Dialect, limits: &Limits) -> Result<Vec<Value>, String> {
    match parse(&[("a.yaml".to_owned(), text.as_bytes().to_vec())], dialect, limits) {
        Ok(parsed) => Ok(parsed.into_iter().map(|one| Value::Object(one.json)).collect()),
        Err(errors) => Err(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

/// One scalar, as JSON text; `!` begins an error.
fn scalar(text: &str) -> String {
    match read(&format!("x: {text}\n")) {
        Ok(values) => serde_json::to_string(&values[0]["x"]).unwrap(),
        Err(error) => format!("! {error}"),
    }
}

#[test]
fn scalars_are_read_as_kubectl_reads_them() {
    let cases = [
        "yes",
        "No",
        "on",
        "off",
        "y",
        "n",
        "true",
        "\"no\"",
        "~",
        "null",
        "",
        "0777",
        "0o777",
        "0b11",
        "0x1F",
        "1_000",
        "1:30",
        "2024-01-01",
        "12345678901234567890",
        "18446744073709551615",
        "-9223372036854775808",
        "1.0",
        "1e3",
        "0.1",
        "-0.0",
        "08",
        "1.10",
        "18446744073709551616",
        "-9223372036854775809",
        "1e400",
        ".inf",
        ".nan",
        "1e23",
        "!!str 1",
        "!custom z",
        "|\n  a\n  b",
        "'it''s'",
        "\"\\u00e4\"",
    ];
    let read: Vec<String> = cases.iter().map(|case| format!("{case:?} → {}", scalar(case))).collect();
    insta::assert_snapshot!(read.join("\n"), @r#"
        "yes" → true
        "No" → false
        "on" → true
        "off" → false
        "y" → true
        "n" → false
        "true" → true
        "\"no\"" → "no"
        "~" → null
        "null" → null
        "" → null
        "0777" → 511
        "0o777" → 511
        "0b11" → 3
        "0x1F" → 31
        "1_000" → 1000
        "1:30" → "1:30"
        "2024-01-01" → "2024-01-01"
        "12345678901234567890" → 12345678901234567890
        "18446744073709551615" → 18446744073709551615
        "-9223372036854775808" → -9223372036854775808
        "1.0" → 1
        "1e3" → 1000
        "0.1" → 0.1
        "-0.0" → 0
        "08" → 8
        "1.10" → 1.1
        "18446744073709551616" → ! a.yaml:1: cannot be read as YAML: a number is too large to be kept exactly: quote it if it is meant as text
        "-9223372036854775809" → ! a.yaml:1: cannot be read as YAML: a number is too large to be kept exactly: quote it if it is meant as text
        "1e400" → ! a.yaml:1: cannot be read as YAML: a number is not finite: quote it if it is meant as text
        ".inf" → ! a.yaml:1: cannot be read as YAML: a number is not finite: quote it if it is meant as text
        ".nan" → ! a.yaml:1: cannot be read as YAML: a number is not finite: quote it if it is meant as text
        "1e23" → ! a.yaml:1: cannot be read as YAML: a number is too large to be kept exactly: quote it if it is meant as text
        "!!str 1" → "1"
        "!custom z" → "z"
        "|\n  a\n  b" → "a\nb\n"
        "'it''s'" → "it's"
        "\"\\u00e4\"" → "ä"
        "#);
}

#[test]
fn keys_are_text_and_written_once() {
    let cases = [
        "a: 1\na: 2",
        "on: 1\nyes: 2",
        "on: 1",
        "1: a\n2.0: b",
        "\"1\": a\n1: b",
        "~: a",
        "? [a]\n: b",
        "<<: {a: 1}\na: 2",
        "x: &x {a: 1}\ny: {<<: *x, b: 2}",
    ];
    let show = |text: &&str| match read(text) {
        Ok(values) => format!("{text:?} → {}", values[0]),
        Err(error) => format!("{text:?} → ! {error}"),
    };
    insta::assert_snapshot!(cases.iter().map(show).collect::<Vec<_>>().join("\n"), @r#"
        "a: 1\na: 2" → ! a.yaml:2: cannot be read as YAML: the key `a` is written twice
        "on: 1\nyes: 2" → ! a.yaml: cannot be read as YAML: the key `true` is written twice
        "on: 1" → {"true":1}
        "1: a\n2.0: b" → {"1":"a","2":"b"}
        "\"1\": a\n1: b" → ! a.yaml: cannot be read as YAML: the key `1` is written twice
        "~: a" → ! a.yaml:1: cannot be read as YAML: invalid type: unit value, expected a key that is text, a number or a boolean
        "? [a]\n: b" → ! a.yaml:1: cannot be read as YAML: invalid type: sequence, expected a key that is text, a number or a boolean
        "<<: {a: 1}\na: 2" → {"a":2}
        "x: &x {a: 1}\ny: {<<: *x, b: 2}" → {"true":{"a":1,"b":2},"x":{"a":1}}
        "#);
}

#[test]
fn hostile_text_ends_in_an_error_that_names_the_place_and_shows_nothing() {
    let bomb = {
        let level = |n: usize| format!("l{n}: &l{n} [{}]\n", vec![format!("*l{}", n - 1); 10].join(", "));
        format!("l0: &l0 [x]\n{}", (1..12).map(level).collect::<String>())
    };
    let cases = [
        ("alias bomb", bomb),
        ("many aliases", format!("a: &a x\nb: [{}]", "*a, ".repeat(2_000))),
        ("self reference", "a: &a [*a]".to_owned()),
        ("merge cycle", "a: &a {<<: *a}".to_owned()),
        ("unknown alias", "a: *nobody".to_owned()),
        ("flow depth", format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))),
        ("block depth", (0..200).map(|n| format!("{}a:\n", " ".repeat(n))).collect()),
        ("documents", "a: 1\n---\n".repeat(30_000)),
        ("python tag", "a: !!python/object/apply:os.system [id]".to_owned()),
        ("tab", "a:\n\tb: 1".to_owned()),
        ("unclosed", "password: \"hunter2\nx: [".to_owned()),
        ("nul", "a: \"\u{0}\"".to_owned()),
        ("scalar document", "hunter2".to_owned()),
    ];
    let show = |(name, text): &(&str, String)| match read(text) {
        Ok(values) => format!("{name} → {}", serde_json::to_string(&values).unwrap()),
        Err(error) => format!("{name} → ! {error}"),
    };
    let shown = cases.iter().map(show).collect::<Vec<_>>().join("\n");
    assert!(!shown.contains("hunter2"), "an error shows no value");
    insta::assert_snapshot!(shown, @r#"
        alias bomb → ! a.yaml:6: cannot be read as YAML: it is too large, or its anchors hold too much
        many aliases → ! a.yaml:2: cannot be read as YAML: it has too many anchors or aliases
        self reference → ! a.yaml:1: cannot be read as YAML: an anchor refers to itself
        merge cycle → ! a.yaml:1: cannot be read as YAML: an anchor refers to itself
        unknown alias → ! a.yaml:1: cannot be read as YAML: alias references unknown anchor
        flow depth → ! a.yaml:1: cannot be read as YAML: recursion limit exceeded
        block depth → ! a.yaml:65: cannot be read as YAML: it is nested too deeply
        documents → ! a.yaml:40000: cannot be read as YAML: it has too many documents
        python tag → [{"a":["id"]}]
        tab → ! a.yaml:2: cannot be read as YAML: tabs disallowed within this context (block indentation)
        unclosed → ! a.yaml:2: cannot be read as YAML: invalid indentation in multiline quoted scalar
        nul → ! a.yaml:1: cannot be read as YAML: unexpected character: `\u{0}'
        scalar document → ! a.yaml:1: is not a Kubernetes object: a mapping with apiVersion, kind and metadata was expected
        "#);
}

#[test]
fn a_byte_order_mark_windows_line_ends_and_empty_documents_are_nothing() {
    let text =
        "\u{feff}---\r\n# only a comment\r\n---\r\na: x\r\nb: |\r\n  y\r\n---\r\n...\r\n---\r\nnull\r\n---\r\n{}\r\n";
    assert_eq!(read(text).unwrap(), [serde_json::json!({"a": "x", "b": "y\n"})]);
}

#[test]
fn limits_are_of_the_whole_render() {
    let files: Vec<_> = (0..3).map(|n| (format!("{n}.yaml"), b"a: [1, 2, 3]\n".to_vec())).collect();
    let with = |limits: Limits| match parse(&files, Dialect::Plain, &limits) {
        Ok(parsed) => parsed.len().to_string(),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    };
    let whole = Limits::default();
    assert_eq!(with(whole), "3");
    insta::assert_snapshot!([
        with(Limits { bytes: 38, ..whole }),
        with(Limits { objects: 2, ..whole }),
        with(Limits { nodes: 15, ..whole }),
    ].join("\n"), @r"
        the rendered manifests have more than 38 bytes: split the environment
        the rendered manifests hold more than 2 objects: split the environment
        2.yaml:1: cannot be read as YAML: it is too large
        ");
}

#[test]
fn five_thousand_objects_of_thirty_megabytes_are_within_the_limits() {
    let one = |n: usize| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{n}}}\ndata:\n  a: \"{}\"\n",
            "x".repeat(5_900)
        )
    };
    let text: String = (0..5_000).map(one).collect();
    assert!(text.len() > 29_000_000);
    assert_eq!(read(&text).unwrap().len(), 5_000);
}

#[test]
fn a_document_is_placed_where_it_begins_and_a_chart_names_its_template() {
    let text = "---\n# Source: shop/templates/web.yaml\nkind: A\n---\n# Source: shop/templates/db.yaml\n\nkind: B\n";
    let places = |dialect| {
        let parsed = parse(&[("out".to_owned(), text.as_bytes().to_vec())], dialect, &Limits::default()).unwrap();
        parsed.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>()
    };
    assert_eq!(places(Dialect::Helm), ["Parsed(shop/templates/web.yaml:3)", "Parsed(shop/templates/db.yaml:7)"]);
    assert_eq!(places(Dialect::Kustomize), ["Parsed(out:3)", "Parsed(out:7)"]);
}

#[test]
fn json_is_yaml_too() {
    let text = "{\n\t\"kind\": \"A\",\n\t\"list\": [\n\t\t1,\n\t\t\"no\"\n\t],\n\t\"text\": \"\\u00e4\\/\\n\"\n}\n";
    assert_eq!(read(text).unwrap(), [serde_json::json!({"kind": "A", "list": [1, "no"], "text": "ä/\n"})]);
}
