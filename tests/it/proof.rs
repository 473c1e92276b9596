//! Whether the log is whole: what is found by signed heads that are somewhere else, and by their absence.

use bascule::app;
use bascule::audit;
use bascule::audit::checkpoint::{Checkpoints, ENTRIES, SECONDS, Signer};
use bascule::audit::signing::{Looked, Refusal, Signing};
use bascule::web::token::Scope;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::api::{Api, append};

/// The newest entry of the log.
async fn newest(api: &Api) -> audit::row::Row {
    let mut connection = api.database.pool.acquire().await.unwrap();
    audit::read::list(&mut connection, &audit::read::Filter::default(), 1).await.unwrap().remove(0)
}

#[tokio::test]
async fn the_owner_of_the_database_cannot_rewrite_what_was_signed_unseen() {
    for (what, statements) in [
        ("changed", &["UPDATE audit_entry SET actor = 'nobody' WHERE seq = 3"][..]),
        ("missing", &["DELETE FROM audit_entry WHERE seq = 3"]),
        (
            "cut",
            &[
                "DELETE FROM audit_entry WHERE seq > 3",
                "UPDATE audit_head SET size = 3, hash = (SELECT hash FROM audit_entry WHERE seq = 3)",
            ],
        ),
    ] {
        let api = Api::new().await;
        let auditor = api.token("auditor", &[Scope::Audit]).await;
        api.append(5).await;
        api.sign().await;
        let good = api.get("/api/v1/audit/verify", &auditor).await.json();
        assert_eq!((&good["whole"], &good["vouched"]), (&json!(true), &json!(6)), "{good}");
        let newest = newest(&api).await;
        assert_eq!(
            (newest.actor.as_str(), newest.action.as_str(), newest.subject.as_str()),
            ("token auditor", "audit.verified", "audit"),
            "that it was read is in it, too"
        );
        let found: Value = serde_json::from_str(&newest.detail).unwrap();
        assert_eq!(found, json!({ "entries": 6, "vouched": 6, "findings": [] }));
        api.tamper(statements).await;
        let found = api.get("/api/v1/audit/verify", &auditor).await.json();
        assert_eq!(found["whole"], json!(false), "{what}: {found}");
        let kinds = found["findings"].to_string();
        assert!(kinds.contains(what) || what == "cut", "{what}: {kinds}");
    }
}

#[tokio::test]
async fn a_chain_written_anew_is_not_the_one_that_was_signed() {
    let api = Api::new().await;
    let auditor = api.token("auditor", &[Scope::Audit]).await;
    api.append(5).await;
    api.sign().await;
    // The product's own writer makes a chain without a fault, of other entries.
    api.tamper(&["DELETE FROM audit_entry", "UPDATE audit_head SET size = 0, hash = decode(repeat('00', 32), 'hex')"])
        .await;
    api.append(9).await;
    let found = api.get("/api/v1/audit/verify", &auditor).await.json();
    assert_eq!(found["findings"], json!([{ "finding": "rewritten", "signed": 6 }]), "{found}");
    std::fs::remove_dir_all(&api.folder).unwrap();
    assert_eq!(api.get("/api/v1/audit/verify", &auditor).await.status, 503, "never whole for want of signed heads");
}

#[tokio::test]
async fn an_export_is_verified_without_a_server() {
    let api = Api::new().await;
    let auditor = api.token("auditor", &[Scope::Audit]).await;
    api.append(3).await;
    api.sign().await;
    let export = api.get("/api/v1/audit/export", &auditor).await.text;
    let (checkpoints, key) = Checkpoints::read(&api.folder).unwrap();
    let verify = |export: &str| audit::offline::verify(export.as_bytes(), &checkpoints, &key);
    let report = verify(&export).unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.entries, report.vouched), (5, 4));
    assert!(!verify(&export.replace("sync.started", "sync.stopped")).unwrap().is_whole());
    let without_third: String =
        export.lines().enumerate().filter(|(at, _)| *at != 2).map(|(_, l)| format!("{l}\n")).collect();
    assert!(!verify(&without_third).unwrap().is_whole());
    let error = verify("{}\n").unwrap_err();
    assert_eq!(error.to_string(), "line 1 of the export is no entry of the log");
}

/// What a person reads of a verification, the hour of writing aside.
fn said(report: &Value) -> (bool, String) {
    let mut report = report.clone();
    for finding in report["findings"].as_array_mut().unwrap() {
        if finding["since"].is_string() {
            finding["since"] = json!("YESTERDAY");
        }
    }
    let said = bascule::cli::audit::verified(bascule::cli::table::Output::Table, &report);
    (said.is_good, said.text)
}

#[tokio::test]
async fn without_its_signed_heads_no_log_is_whole() {
    let api = Api::new().await;
    api.append_long_ago(3).await;
    let auditor = api.token("auditor", &[Scope::Audit]).await;
    api.sign().await;
    let verify = async || api.get("/api/v1/audit/verify", &auditor).await.json();
    assert!(said(&verify().await).0, "signed");

    // A server of role `web` has a folder of its own, in which nobody signs; so has one whose heads were taken away.
    let heads = api.folder.join("checkpoints.jsonl");
    for gone in ["removed", "emptied"] {
        match gone {
            "removed" => std::fs::remove_file(&heads).unwrap(),
            _ => std::fs::write(&heads, "").unwrap(),
        }
        let (is_good, text) = said(&verify().await);
        assert!(!is_good, "{gone}: {text}");
        assert!(text.starts_with("NOT whole: ") && text.contains("no signed head vouches for it"), "{gone}: {text}");
    }
}

#[tokio::test]
async fn heads_without_their_tail_do_not_vouch_for_a_log_without_its_own() {
    let api = Api::new().await;
    let auditor = api.token("auditor", &[Scope::Audit]).await;
    api.append(2).await;
    api.sign().await;
    let heads = std::fs::read(api.folder.join("checkpoints.jsonl")).unwrap();
    api.append_long_ago(4).await;
    api.sign().await;
    // The newest head goes, and not the entries it was for: they are older than a head may be late.
    std::fs::write(api.folder.join("checkpoints.jsonl"), heads).unwrap();
    let found = api.get("/api/v1/audit/verify", &auditor).await.json();
    assert_eq!((&found["whole"], &found["vouched"]), (&json!(false), &json!(3)), "{found}");
    let (_, text) = said(&found);
    assert!(text.contains("no signed head vouches for what comes after entry 3: 4 entries since YESTERDAY"), "{text}");
}

#[tokio::test]
async fn a_head_that_was_being_written_when_the_machine_stopped_is_passed_over() {
    use std::io::Write as _;
    let api = Api::new().await;
    let auditor = api.token("auditor", &[Scope::Audit]).await;
    api.append(1).await;
    api.sign().await;
    let path = api.folder.join("checkpoints.jsonl");
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"size\":2,\"ha").unwrap();
    api.append(1).await;
    api.sign().await;
    let found = api.get("/api/v1/audit/verify", &auditor).await.json();
    assert_eq!(
        (&found["whole"], &found["vouched"], &found["checkpoints"]),
        (&json!(true), &json!(3), &json!(2)),
        "{found}"
    );
}

#[tokio::test]
async fn an_export_misses_the_heads_and_the_entries_that_were_taken_out_of_it() {
    let api = Api::new().await;
    let auditor = api.token("auditor", &[Scope::Audit]).await;
    api.append(3).await;
    api.sign().await;
    let export = api.get("/api/v1/audit/export", &auditor).await.text;
    let lines: Vec<&str> = export.lines().collect();
    let check = |lines: &[&str]| {
        let report = audit::offline::verify(lines.join("\n").as_bytes(), &[], &api.public_key).unwrap();
        said(&serde_json::to_value(&report).unwrap())
            .1
            .lines()
            .skip(1)
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join("\n")
    };
    insta::assert_snapshot!(check(&lines), @"vouched for: every entry up to 4, as it was when its head was signed at 2026-11-21T09:00:00Z; the 1 after it is as safe as the database, no safer");
    insta::assert_snapshot!(check(&lines[1..]), @r"
    no signed head vouches for any entry: all are as safe as the database, no safer
    the export says that a head of 4 entries was signed when it was made, and that head is not here: signed heads were taken away
    ");
    insta::assert_snapshot!(check(&lines[1..4]), @r"
    no signed head vouches for any entry: all are as safe as the database, no safer
    the export ends at entry 3, which is not the entry of its own making: its end was cut off
    ");
    insta::assert_snapshot!(check(&lines[..4]), @r"
    no signed head vouches for any entry: all are as safe as the database, no safer
    the export ends at entry 3, which is not the entry of its own making: its end was cut off
    the log ends at 3, and 4 entries were signed: its end was cut off
    ");
    insta::assert_snapshot!(check(&[]), @r"
    no signed head vouches for any entry: all are as safe as the database, no safer
    the export ends at entry 0, which is not the entry of its own making: its end was cut off
    ");
    // Another key's heads are nobody's.
    let other = Signer::generate().unwrap().public_key();
    assert!(!audit::offline::verify(export.as_bytes(), &[], &other).unwrap().is_whole());
}

#[tokio::test]
async fn the_head_is_signed_every_minute_or_thousand_entries_and_not_while_nothing_is_written() {
    let api = Api::new().await;
    let mut signing = api.signing.lock().await;
    let mut look = async |seconds: u64| {
        api.clock.advance(SignedDuration::from_secs(i64::try_from(seconds).unwrap()));
        match signing.look(api.clock.now()).await.unwrap() {
            Looked::Signed(head) => format!("signed {}", head.size),
            other => format!("{other:?}"),
        }
    };
    api.append(2).await;
    assert_eq!(look(0).await, "signed 2", "the first at once");
    api.append(1).await;
    assert_eq!(look(SECONDS - 1).await, "NotDue");
    assert_eq!(look(1).await, "signed 3", "a minute later");
    assert_eq!(look(SECONDS).await, "Quiet");
    assert_eq!(look(1).await, "NotDue");
    api.append(usize::try_from(ENTRIES).unwrap() - 1).await;
    assert_eq!(look(1).await, "NotDue");
    api.append(1).await;
    assert_eq!(look(0).await, "signed 1003", "a thousand entries later");
    let (heads, key) = Checkpoints::read(&api.folder).unwrap();
    assert!(heads.iter().all(|head| head.is_signed_by(&key)));
    assert_eq!(heads.iter().map(|head| head.size).collect::<Vec<_>>(), [2, 3, 1_003]);
}

#[tokio::test]
async fn a_server_that_runs_signs_by_itself_every_minute_or_thousand_entries() {
    let api = Api::new().await;
    let folder = api.folder.join("running");
    let signer = Signer::generate().unwrap();
    let checkpoints = Checkpoints::open(&folder, &signer).unwrap();
    let signing = Signing::open(api.database.pool.clone(), signer, checkpoints).unwrap();
    let stop = CancellationToken::new();
    let mut running = tokio::task::JoinSet::new();
    running.spawn(app::checkpoints(signing, api.database.pool.clone(), api.clock.clone(), stop.clone()));
    let signed = async |sizes: &[i64]| {
        let heads = || Checkpoints::read(&folder).unwrap().0.iter().map(|head| head.size).collect::<Vec<_>>();
        while heads() != sizes {
            assert!(sizes.starts_with(&heads()), "{:?}", heads());
            tokio::task::yield_now().await;
        }
    };
    api.append(1).await;
    api.clock.advance(SignedDuration::from_secs(SECONDS.cast_signed()));
    signed(&[1]).await;
    api.append(1).await;
    api.clock.advance(SignedDuration::from_secs(SECONDS.cast_signed()));
    signed(&[1, 2]).await;
    let thousand = usize::try_from(ENTRIES).unwrap();
    let mut all = api.database.pool.begin().await.unwrap();
    append(&mut all, thousand).await;
    all.commit().await.unwrap();
    signed(&[1, 2, 2 + ENTRIES]).await;
    stop.cancel();
    while running.join_next().await.is_some() {}
}

#[tokio::test]
async fn a_server_that_ends_signs_once_more() {
    let api = Api::new().await;
    let mut signing = Signing::open(api.database.pool.clone(), Signer::generate().unwrap(), {
        Checkpoints::open(&api.folder.join("other"), &Signer::generate().unwrap()).unwrap()
    })
    .unwrap();
    signing.look(api.clock.now()).await.unwrap();
    api.append(1).await;
    let stop = CancellationToken::new();
    stop.cancel();
    app::checkpoints(signing, api.database.pool.clone(), api.clock.clone(), stop).await;
    let (heads, _) = Checkpoints::read(&api.folder.join("other")).unwrap();
    assert_eq!(heads.iter().map(|head| head.size).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_log_that_is_not_the_one_signed_before_is_not_signed_and_said_so() {
    let recorded = bascule::telemetry::record().unwrap();
    let refused = || {
        let text = recorded.render();
        let line = text.lines().find(|line| line.starts_with("bascule_audit_heads_total{outcome=\"refused\"}"));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
    };
    let cut = [
        "DELETE FROM audit_entry WHERE seq > 3",
        "UPDATE audit_head SET size = 3, hash = (SELECT hash FROM audit_entry WHERE seq = 3)",
    ];
    let api = Api::new().await;
    api.append(5).await;
    api.sign().await;
    api.tamper(&cut).await;
    let before = refused();
    let shrunk = Looked::Refused(Refusal::Shrunk { size: 3, signed: 5 });
    assert_eq!(api.signing.lock().await.sign(api.clock.now()).await.unwrap(), shrunk);
    assert!(refused() > before);
    // Grown again it is still not the log that was signed; nor is it looked at every second now, but every minute.
    api.append(usize::try_from(ENTRIES).unwrap() + 2).await;
    let mut signing = api.signing.lock().await;
    assert_eq!(signing.look(api.clock.now()).await.unwrap(), Looked::NotDue);
    api.clock.advance(SignedDuration::from_mins(1));
    let Looked::Refused(refusal) = signing.look(api.clock.now()).await.unwrap() else { panic!("it was signed") };
    insta::assert_snapshot!(refusal, @"the log does not go on from the head of 5 entries that was signed last: Unchained { seq: 6 }");
    assert_eq!(Checkpoints::read(&api.folder).unwrap().0.len(), 1, "nothing was added to the heads");
}

#[tokio::test]
async fn a_server_that_starts_again_goes_on_from_the_heads_it_finds() {
    let api = Api::new().await;
    let folder = api.folder.join("kept");
    let key = api.folder.join("audit.key");
    let open = || {
        let signer = Signer::open(&key).unwrap();
        let checkpoints = Checkpoints::open(&folder, &signer).unwrap();
        Signing::open(api.database.pool.clone(), signer, checkpoints).unwrap()
    };
    api.append(5).await;
    assert!(matches!(open().sign(api.clock.now()).await.unwrap(), Looked::Signed(_)));
    assert_eq!(open().sign(api.clock.now()).await.unwrap(), Looked::Quiet);
    api.tamper(&["DELETE FROM audit_entry", "UPDATE audit_head SET size = 0, hash = decode(repeat('00', 32), 'hex')"])
        .await;
    let mut connection = api.database.pool.acquire().await.unwrap();
    append(&mut connection, 2).await;
    let shrunk = Looked::Refused(Refusal::Shrunk { size: 2, signed: 5 });
    assert_eq!(open().sign(api.clock.now()).await.unwrap(), shrunk);
    append(&mut connection, 7).await;
    assert!(matches!(open().sign(api.clock.now()).await.unwrap(), Looked::Refused(Refusal::Broken { signed: 5, .. })));
}
