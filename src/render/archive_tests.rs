use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// One tar entry: a type, a name and a content.
fn entry(kind: u8, name: &str, body: &[u8]) -> Vec<u8> {
    let mut header = vec![0_u8; BLOCK];
    header[..name.len()].copy_from_slice(name.as_bytes());
    let size = format!("{:011o}", body.len());
    header[124..135].copy_from_slice(size.as_bytes());
    header[156] = kind;
    header[257..262].copy_from_slice(b"ustar");
    header.extend(body);
    header.resize(header.len().div_ceil(BLOCK) * BLOCK, 0);
    header
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn tgz(entries: &[(u8, &str, &[u8])]) -> Vec<u8> {
    let mut tar: Vec<u8> = entries.iter().flat_map(|(kind, name, body)| entry(*kind, name, body)).collect();
    tar.extend([0; 2 * BLOCK]);
    gzip(&tar)
}

fn said(packed: &[u8]) -> String {
    inspect("charts/x.tgz", packed, &Limits::default())
        .map_or_else(|error| error.to_string(), |(words, _)| words.reaches.to_string())
}

#[test]
fn an_ordinary_chart_is_let_through_and_looked_at() {
    assert_eq!(said(&tgz(&[(b'0', "x/Chart.yaml", b"name: x"), (b'5', "x/templates/", b"")])), "false");
    assert_eq!(said(&tgz(&[(b'0', "x/templates/a.yaml", b"{{ .Files.Get \"a\" }}")])), "true");
    let pax = "19 path=x/a.yaml12\n";
    assert_eq!(said(&tgz(&[(b'x', "pax", pax.as_bytes()), (b'0', "short", b"x")])), "false");
    let nested = tgz(&[(b'0', "y/templates/a.yaml", b"{{ .Files }}")]);
    assert_eq!(said(&tgz(&[(b'0', "x/charts/y.tgz", &nested)])), "true");
}

#[test]
fn hostile_archives_are_refused_by_name() {
    let bomb = gzip(&vec![0_u8; 30 << 20]);
    let mut nested = tgz(&[(b'0', "a", b"")]);
    for _ in 0..6 {
        nested = tgz(&[(b'0', "x.tgz", &nested)]);
    }
    let pax_escape = "19 path=../../a.ya\n";
    let cases: Vec<Vec<u8>> = vec![
        tgz(&[(b'0', "../../etc/cron.d/x", b"x")]),
        tgz(&[(b'0', "/etc/passwd", b"x")]),
        tgz(&[(b'0', "x\\..\\y", b"x")]),
        tgz(&[(b'2', "x/link", b"")]),
        tgz(&[(b'1', "x/hard", b"")]),
        tgz(&[(b'3', "x/device", b"")]),
        tgz(&[(b'0', "x/a", b"1"), (b'0', "x/./a", b"2")]),
        tgz(&[(b'x', "pax", pax_escape.as_bytes()), (b'0', "fine", b"x")]),
        tgz(&[(b'0', "x/values.schema.json", br#"{"properties":{"a":{"$ref":"file:///etc/passwd"}}}"#)]),
        bomb,
        nested,
        b"not gzip".to_vec(),
        tgz(&[(b'0', "x/a", b"1")])[..20].to_vec(),
    ];
    let said: Vec<String> = cases.iter().map(|case| said(case)).collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
        charts/x.tgz: the archive's entry `../../etc/cron.d/x` is absolute or leaves its folder
        charts/x.tgz: the archive's entry `/etc/passwd` is absolute or leaves its folder
        charts/x.tgz: the archive's entry `x\\..\\y` is absolute or leaves its folder
        charts/x.tgz: the archive holds a link, a device or something else that is no file
        charts/x.tgz: the archive holds a link, a device or something else that is no file
        charts/x.tgz: the archive holds a link, a device or something else that is no file
        charts/x.tgz: the archive holds `x/./a` twice
        charts/x.tgz: the archive's entry `../../a.ya` is absolute or leaves its folder
        charts/x.tgz: x/values.schema.json: `$ref: file:///etc/passwd` names something outside the schema: nothing is fetched while rendering
        charts/x.tgz: unpacked it is more than 64 MiB, or more than 50 times its size
        charts/x.tgz: archives are nested more than 4 deep
        charts/x.tgz: it is not a gzip archive, or damaged
        charts/x.tgz: it is not a gzip archive, or damaged
    "#);
}

#[test]
fn what_no_disk_can_hold_is_the_archives_fault_and_not_the_machines() {
    let pax = |path: &str| {
        let record = format!(" path={path}\n");
        let length = (record.len()..).find(|length| length.to_string().len() + record.len() == *length).unwrap();
        tgz(&[(b'x', "pax", format!("{length}{record}").as_bytes()), (b'0', "short", b"x")])
    };
    assert_eq!(said(&pax(&format!("x/{}", "a".repeat(255)))), "false");
    let cases = [
        tgz(&[(b'0', "x/templates", b""), (b'0', "x/templates/a.yaml", b"a: 1")]),
        tgz(&[(b'0', "x/templates/a/b.yaml", b"a: 1"), (b'0', "x/templates", b"")]),
        pax(&format!("x/{}", "a".repeat(256))),
        pax(&"a/".repeat(3_000)),
    ];
    let said: Vec<String> =
        cases.iter().map(|case| said(case).replace(&"a".repeat(100), "").replace("a/", "")).collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
        charts/x.tgz: the archive holds `x/templates/a.yaml` as a file and as a folder
        charts/x.tgz: the archive holds `x/templates` as a file and as a folder
        charts/x.tgz: the archive's entry `x/aaaaaaaaaaaaaaaaaa` has a longer name than a file can have
        charts/x.tgz: the archive's entry `` has a longer name than a file can have
    "#);
    // A name that goes on is no folder.
    assert_eq!(said_of(&[(b'0', "x/a", b""), (b'0', "x/a.yaml", b""), (b'0', "x/a-b/c", b"")]), "false");
}

fn said_of(entries: &[(u8, &str, &[u8])]) -> String {
    said(&tgz(entries))
}

#[test]
fn a_schema_names_nothing_outside_itself() {
    let good = br##"{"$schema":"http://json-schema.org/draft-07/schema#","$ref":"#/definitions/a"}"##;
    assert!(check_schema("s", good).is_ok());
    for bad in [
        r#"{"$ref":"http://169.254.169.254/"}"#,
        r#"{"a":[{"$ref":"../../../../dev/zero"}]}"#,
        r#"{"$schema":"https://evil.example/x"}"#,
        r#"{"$dynamicRef":"file:///dev/stdin"}"#,
    ] {
        assert!(check_schema("s", bad.as_bytes()).is_err(), "{bad}");
    }
}
