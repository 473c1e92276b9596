use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::policy::chart::Bound;
use crate::render::files::memory::Memory;

/// An archive of plain files.
fn packed(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, body) in files {
        let mut header = vec![0_u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", body.len()).as_bytes());
        header[156] = b'0';
        tar.extend(header);
        tar.extend(body.as_bytes());
        tar.resize(tar.len().div_ceil(512) * 512, 0);
    }
    tar.extend([0; 1024]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&tar).unwrap();
    encoder.finish().unwrap()
}

fn chart() -> Chart {
    let bound = Some(Bound { version: "1.4.2".to_owned(), digest: format!("sha256:{}", "a".repeat(64)) });
    let (registry, name) = ("charts".parse().unwrap(), "shop".to_owned());
    Chart { registry, name, version: "1.4.x".to_owned(), digest: None, bound }
}

const ABOUT: &str = "apiVersion: v2\nname: shop\nversion: v1.4.2\n";

#[tokio::test]
async fn a_chart_lies_beside_the_repository_and_hides_nothing_else_of_it() {
    let packed = packed(&[("shop/Chart.yaml", ABOUT), ("shop/templates/a.yaml", "a: 1"), ("shop/values.yaml", "")]);
    let chart = Some(Arc::new(Remote::unpack(&chart(), &packed, &Limits::default()).unwrap()));
    let files = Memory::new(&[
        ("values/a.yaml", "own"),
        (".bascule/charts/shop/templates/a.yaml", "hidden"),
        (".bascule/charts/shop/templates/b.yaml", "hidden"),
        (".bascule/charts/shopping/a.yaml", "hidden"),
    ]);
    let both = WithChart { files, chart };
    let read = async |path: &str| match both.entry(path).await.unwrap() {
        Some(entry) if entry.kind == EntryKind::File => {
            String::from_utf8(both.read(&entry.id, 100).await.unwrap()).unwrap()
        }
        Some(_) => {
            let names = both.folder(path).await.unwrap().unwrap().into_iter().map(|entry| entry.name);
            names.collect::<Vec<_>>().join(" ")
        }
        None => "-".to_owned(),
    };
    assert_eq!(read("values/a.yaml").await, "own");
    assert_eq!(read(".bascule/charts/shop").await, "Chart.yaml templates values.yaml");
    assert_eq!(read(".bascule/charts/shop/templates").await, "a.yaml");
    assert_eq!(read(".bascule/charts/shop/templates/a.yaml").await, "a: 1");
    assert_eq!(read(".bascule/charts/shop/templates/b.yaml").await, "-");
    // What lies where charts do is never taken for one.
    assert_eq!(read(".bascule/charts/shopping/a.yaml").await, "-");
    assert_eq!(read(".bascule/charts/shopping").await, "-");
    assert!(both.folder(".bascule/charts/shopping").await.unwrap().is_none());
    assert_eq!(shown(".bascule/charts/shop"), "chart shop");
    assert_eq!(shown("charts/shop"), "charts/shop");
}

#[test]
fn an_archive_that_is_not_the_chart_is_refused_by_name() {
    let mut told = String::new();
    for files in [
        &[("shop/templates/a.yaml", "")][..],
        &[("Chart.yaml", ABOUT)],
        &[("shop/Chart.yaml", ABOUT), ("other/a.yaml", "")],
        &[("shop/Chart.yaml", "name: other\nversion: 1.4.2\n")],
        &[("shop/Chart.yaml", "name: shop\nversion: 1.4.3\n")],
        &[("shop/Chart.yaml", ABOUT), ("shop/../../x", "")],
    ] {
        told += &Remote::unpack(&chart(), &packed(files), &Limits::default()).unwrap_err().to_string();
        told.push('\n');
    }
    told += &Remote::unpack(&chart(), b"<html>", &Limits::default()).unwrap_err().to_string();
    insta::assert_snapshot!(told, @"
    charts/shop 1.4.x → 1.4.2, sha256:aaaaaaaaaaaa: the archive holds no Chart.yaml
    charts/shop 1.4.x → 1.4.2, sha256:aaaaaaaaaaaa: the archive holds a file beside the chart's folder
    charts/shop 1.4.x → 1.4.2, sha256:aaaaaaaaaaaa: the archive holds more than one folder
    charts/shop 1.4.x → 1.4.2, sha256:aaaaaaaaaaaa: what has this digest is the chart `other 1.4.2`
    charts/shop 1.4.x → 1.4.2, sha256:aaaaaaaaaaaa: what has this digest is the chart `shop 1.4.3`
    charts/shop 1.4.x → 1.4.2, sha256:aaaaaaaaaaaa: the archive's entry `shop/../../x` is absolute or leaves its folder
    charts/shop 1.4.x → 1.4.2, sha256:aaaaaaaaaaaa: it is not a gzip archive, or damaged
    ");
}
