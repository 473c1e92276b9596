//! That a manifest is read as `kubectl` reads it, asked of `kubectl` and `kustomize` themselves.

use std::process::Command;

use bascule::manifest::{Dialect, Limits, parse};
use serde_json::Value;

use crate::parts::program;

/// Scalars that YAML's versions and readers disagree about. Not here: what we refuse and `kubectl` guesses (integers it
/// rounds, keys written twice).
const SCALARS: &[&str] = &[
    "yes",
    "Yes",
    "YES",
    "no",
    "No",
    "on",
    "off",
    "y",
    "n",
    "Y",
    "N",
    "true",
    "True",
    "TRUE",
    "false",
    "\"no\"",
    "'yes'",
    "~",
    "null",
    "Null",
    "\"\"",
    "0777",
    "0o777",
    "0b11",
    "0x1F",
    "08",
    "1_000",
    "1:30",
    "190:20:30",
    "2024-01-01",
    "2001-12-14t21:59:43.10-05:00",
    "9007199254740991",
    "-5",
    "+5",
    "1.0",
    "1e3",
    "1.5e-3",
    "0.1",
    ".5",
    "5.",
    "1.10",
    "1.2.3",
    "!!str 1",
    "!!int \"3\"",
    "!!float 3",
    "|\n    a\n    b",
    ">\n    a\n    b",
    "\"\\u00e4\\t\"",
    "'it''s'",
    "a b",
    "a: b",
    "[a, 1, no]",
    "{a: 1}",
    "=",
    "-",
    "- a",
    "@a",
    "!x z",
    "0.0",
    "-0",
    "1E5",
    "12e03",
    "1e",
    "e1",
    "0x",
    "1k",
];

fn document(scalar: &str) -> String {
    format!(
        "apiVersion: example.com/v1\nkind: Thing\nmetadata: {{name: a, annotations: {{a: b}}}}\nspec:\n  x: {scalar}\n"
    )
}

fn ours(text: &str, dialect: Dialect) -> Result<Value, String> {
    let parsed = parse(&[("a.yaml".to_owned(), text.as_bytes().to_vec())], dialect, &Limits::default());
    let parsed = parsed.map_err(|errors| errors[0].to_string())?;
    Ok(parsed[0].json["spec"]["x"].clone())
}

/// What `kubectl` reads; `None` when it refuses.
fn kubectl(folder: &std::path::Path, text: &str) -> Option<Value> {
    let file = folder.join("a.yaml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(program("kubectl").unwrap());
    command.args(["annotate", "--local", "-o", "json", "a=b", "--overwrite", "-f"]).arg(&file);
    let out = command.env_clear().env("HOME", folder).output().unwrap();
    let object: Value = serde_json::from_slice(&out.stdout).ok()?;
    Some(object["spec"]["x"].clone())
}

fn same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().is_some_and(|a| b.as_f64() == Some(a))
}

#[test]
fn plain_text_is_read_as_kubectl_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut different, mut refused) = (Vec::new(), Vec::new());
    for scalar in SCALARS {
        let text = document(scalar);
        let (ours, theirs) = (ours(&text, Dialect::Plain), kubectl(folder.path(), &text));
        let agree = match (&ours, &theirs) {
            (Ok(ours), Some(theirs)) => same(ours, theirs),
            (Err(_), None) => {
                refused.push(*scalar);
                true
            }
            _ => false,
        };
        if !agree {
            different.push(format!("{scalar:?}: ours {ours:?}, kubectl's {theirs:?}"));
        }
    }
    assert_eq!(different, Vec::<String>::new());
    insta::assert_debug_snapshot!(refused, @r#"
        [
            "a: b",
            "-",
            "- a",
            "@a",
        ]
        "#);
}

/// kustomize reads by other rules, and writes so that `kubectl`'s rules give back what it meant: one reading serves both.
#[test]
fn what_kustomize_writes_is_read_as_it_meant_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kustomization.yaml"), "resources: [a.yaml]\n").unwrap();
    for (scalar, meant) in
        [("no", "no"), ("y", "y"), ("on", "on"), ("\"0777\"", "0777"), ("\"1e3\"", "1e3"), ("\"~\"", "~")]
    {
        std::fs::write(folder.path().join("a.yaml"), document(scalar)).unwrap();
        let mut command = Command::new(program("kustomize").unwrap());
        let out = command.arg("build").arg(folder.path()).env_clear().env("HOME", folder.path()).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).unwrap();
        assert_eq!(ours(&text, Dialect::Kustomize), Ok(Value::from(meant)), "{text}");
    }
}
