//! The program as a client: what each reading command shows people and programs, and how it ends.

use bascule::web::token::Scope;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::api::{Api, store_deployments};

/// Clears a screen, turns text around, begins a line of its own, and hides what follows.
const HOSTILE: &str = "a\u{1b}[2J\u{9b}31m\u{202e}b\r\nNOT TRUE\u{200b}\u{7f}\u{8}";

/// What a command said, and how it ended.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

/// Runs the program with these words, against this server and with this token.
async fn run(line: &str, server: &str, token: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
    command.args(line.split(' ')).env_clear().env("BASCULE_SERVER", server);
    if !token.is_empty() {
        command.env("BASCULE_TOKEN", token);
    }
    let ran = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: ran.status.code().unwrap(), out: text(ran.stdout), err: text(ran.stderr) }
}

/// A server that remembers something of everything; `word` is in every text that somebody else wrote.
async fn server_that_remembers(word: &str) -> (Api, String) {
    let api = Api::new().await;
    store_deployments(&api).await;
    let page = json!({ "subject": { "kind": "pull", "head": "a".repeat(40), "into": word },
        "outcome": { "kind": "untouched" }, "notes": [word] });
    let statements = [
        "UPDATE approval SET reason = $1 WHERE reason IS NOT NULL",
        "UPDATE approval_use SET why_not = $1 WHERE why_not IS NOT NULL",
        "UPDATE approval SET person = jsonb_set(person, '{login}', to_jsonb('lee' || $1::text))",
        "INSERT INTO hold (environment_id, reason, detail, lifts)
         SELECT id, 'uncovered', 'nobody approved ' || $1, '/bascule approve ' || $1 FROM environment",
        "INSERT INTO delivery (id, forge, delivery_id, event, body, body_hash, trace, state, reason)
         VALUES ('00000000-0000-7000-8000-00000000000d', 'work', 'd1', $1, convert_to($1, 'UTF8'), '\\x00',
                 '00000000-0000-7000-8000-00000000000d', 'quarantined', 'unreadable: ' || $1)",
        "INSERT INTO job (kind, key, lane, share, payload, trace, state, ended_at, attempt, error)
         VALUES ('attend_pull', 'work/1/1', 'default', 'work/1', '{}', '00000000-0000-7000-8000-00000000000e', 'failed',
                 now(), 12, 'gave up: ' || $1)",
    ];
    for statement in statements {
        sqlx::query(statement).bind(word).execute(&api.database.owner).await.unwrap();
    }
    sqlx::query("UPDATE preview SET page = $1").bind(page).execute(&api.database.owner).await.unwrap();
    api.append(1).await;
    let word = word.to_owned();
    let mut connection = api.database.pool.acquire().await.unwrap();
    let entry = bascule::audit::NewEntry {
        actor: format!("work/{word}"),
        action: "approval.recorded",
        subject: format!("work/acme/shop {word}"),
        detail: json!({ "said": word }),
        cause: format!("comment {word}"),
        trace: bascule::ids::TraceId(uuid::Uuid::nil()),
    };
    bascule::audit::append(&mut connection, &entry).await.unwrap();
    drop(connection);
    api.sign().await;
    let token = api.token("all", &[Scope::Read, Scope::Operate, Scope::Audit]).await;
    (api, token)
}

/// Every reading command of the contract that is built.
const READING: [&str; 15] = [
    "status",
    "status production",
    "status acme/shop:production",
    "history production",
    "preview show 1",
    "audit list",
    "audit list --limit 1 --action approval.recorded",
    "audit show 1",
    "audit verify",
    "audit report deployments",
    "audit report exceptions",
    "deliveries list",
    "deliveries show 00000000-0000-7000-8000-00000000000d",
    "jobs list",
    "jobs show 1",
];

fn is_quiet(text: &str) -> bool {
    !text
        .chars()
        .any(|c| c != '\n' && (c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')))
}

#[tokio::test]
async fn what_anybody_wrote_moves_no_cursor_and_json_says_it_exactly() {
    let (api, token) = server_that_remembers(HOSTILE).await;
    for line in READING {
        for output in ["table", "json"] {
            let ran = run(&format!("{line} --output {output}"), &api.url(), &token).await;
            assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{line} {output}: {}", ran.out);
            assert!(is_quiet(&ran.out), "{line} {output}: {:?}", ran.out);
            assert!(!ran.out.lines().any(|line| line.trim_start().starts_with("NOT TRUE")), "{line}: {}", ran.out);
            if output == "json" {
                ran.json();
            }
        }
    }
    let jobs = run("jobs list --output json", &api.url(), &token).await.json();
    assert_eq!(jobs[0]["error"], json!(format!("gave up: {HOSTILE}")), "in JSON it is what it is");
    assert_eq!(run("jobs show 1 --output json", &api.url(), &token).await.json(), jobs[0], "the same of one");
    let export = run("audit export", &api.url(), &token).await;
    assert!(export.code == 0 && is_quiet(&export.out), "{:?}", export.out);
    assert!(export.out.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{}", export.out);
}

#[tokio::test]
async fn what_waits_for_a_forge_or_an_operator_is_said_and_until_when() {
    let api = Api::new().await;
    let token = api.token("all", &[Scope::Read]).await;
    let rows = r#"INSERT INTO forge_budget (forge, account, ledger) VALUES ('hub', 'acme',
            '{"until": "2999-01-01T00:00:00Z", "untimed": 1, "minute": {}, "hour": {},
              "left": {"left": 420, "of": 5000, "until": "2999-01-01T00:00:00Z"}}');
        INSERT INTO job (kind, key, lane, share, payload, trace, run_at, waits_for, error)
        SELECT 'attend_pull', 'hub/3#' || n, 'default', 'hub/3', '{}', gen_random_uuid(), now() + interval '1 hour', 'hub',
               'forge hub: asked for a pause that is not over (nothing is begun)' FROM generate_series(1, 2) AS n;
        INSERT INTO restore (entries, signed) VALUES (3, 5)"#;
    sqlx::raw_sql(rows).execute(&api.database.owner).await.unwrap();
    let ran = run("status", &api.url(), &token).await;
    insta::assert_snapshot!(timeless(&ran.out), @r"
    none
    the database was put back from a backup (found TIME): no sync deletes anything until an operator has looked
      lifted by bascule restored confirm, on the server's host
    hub/acme asked for a pause until TIME
    hub/acme: 0 points and 0 comments in the last minute, 0 comments in the last hour, 420 calls left of the hour
    2 jobs wait for hub, the first until TIME: forge hub: asked for a pause that is not over (nothing is begun)
    ");
    let told = api.get("/api/v1/forges", &token).await.json();
    assert_eq!((&told["items"][0]["waiting"], &told["items"][0]["accounts"][0]["left"]), (&json!(2), &json!(420)));
}

/// Times of this run, which every run has others of.
fn timeless(text: &str) -> String {
    let time = regex::Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z").unwrap();
    let hash = regex::Regex::new(r"hash( +)[0-9a-f]{64}").unwrap();
    hash.replace_all(&time.replace_all(text, "TIME"), "hash${1}HASH").into_owned()
}

#[tokio::test]
async fn what_people_read() {
    let (api, token) = server_that_remembers("because").await;
    let mut said = String::new();
    for line in READING {
        let ran = run(line, &api.url(), &token).await;
        said += &format!("$ bascule {line}\n{}\n", timeless(&ran.out));
    }
    insta::assert_snapshot!(said, @r#"
    $ bascule status
    ┌────────────────────────────────────────────────────────────────────────────┐
    │ ENVIRONMENT                 CLUSTER   RUNS   STATE     COMMIT    HELD      │
    ╞════════════════════════════════════════════════════════════════════════════╡
    │ work/acme/shop:production   prod      #3     healthy   ccccccc   uncovered │
    └────────────────────────────────────────────────────────────────────────────┘
    work/acme/shop:production is held (uncovered): nobody approved because
      lifted by /bascule approve because

    $ bascule status production
    ┌────────────────────────────────────────────────────────────────────────────┐
    │ ENVIRONMENT                 CLUSTER   RUNS   STATE     COMMIT    HELD      │
    ╞════════════════════════════════════════════════════════════════════════════╡
    │ work/acme/shop:production   prod      #3     healthy   ccccccc   uncovered │
    └────────────────────────────────────────────────────────────────────────────┘
    work/acme/shop:production is held (uncovered): nobody approved because
      lifted by /bascule approve because

    $ bascule status acme/shop:production
    ┌────────────────────────────────────────────────────────────────────────────┐
    │ ENVIRONMENT                 CLUSTER   RUNS   STATE     COMMIT    HELD      │
    ╞════════════════════════════════════════════════════════════════════════════╡
    │ work/acme/shop:production   prod      #3     healthy   ccccccc   uncovered │
    └────────────────────────────────────────────────────────────────────────────┘
    work/acme/shop:production is held (uncovered): nobody approved because
      lifted by /bascule approve because

    $ bascule history production
    ┌───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┐
    │ NUMBER   STATE     COMMIT    SET            PULLS   APPROVED BY                     ANSWER       STARTED              │
    ╞═══════════════════════════════════════════════════════════════════════════════════════════════════════════════════════╡
    │ 3        healthy   ccccccc   030303030303   #1                                      unapproved   TIME │
    │ 2        healthy   ccccccc   020202020202   #1      work/leebecause (3) by review   held         TIME │
    │ 1        healthy   ccccccc   010101010101   #1      work/leebecause (3) by review   exact        TIME │
    └───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘

    $ bascule preview show 1
    Bascule · aaaaaaa into because · nothing of ours is touched
    because

    $ bascule audit list
    ┌───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┐
    │ SEQ   AT                     WHO            DID                 ON                          CAUSE                                 │
    ╞═══════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════╡
    │ 3     TIME   operator       token.created       token all                   the command line on the server's host │
    │ 2     TIME   work/because   approval.recorded   work/acme/shop because      comment because                       │
    │ 1     TIME   bascule        sync.started        work/acme/shop production   test                                  │
    └───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘

    $ bascule audit list --limit 1 --action approval.recorded
    ┌──────────────────────────────────────────────────────────────────────────────────────────────────────────┐
    │ SEQ   AT                     WHO            DID                 ON                       CAUSE           │
    ╞══════════════════════════════════════════════════════════════════════════════════════════════════════════╡
    │ 2     TIME   work/because   approval.recorded   work/acme/shop because   comment because │
    └──────────────────────────────────────────────────────────────────────────────────────────────────────────┘

    $ bascule audit show 1
    action   sync.started
    actor    bascule
    at       TIME
    cause    test
    detail   {"n":0}
    hash     HASH
    intent   
    opens    false
    seq      1
    subject  work/acme/shop production
    trace    00000000000000000000000000000000

    $ bascule audit verify
    whole: 6 entries held against 1 signed head, the first of TIME
    vouched for: every entry up to 2, as it was when its head was signed at TIME; the 4 after it are as safe as the database, no safer

    $ bascule audit report deployments
    ┌───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┐
    │ ENVIRONMENT                 NUMBER   STATE     COMMIT    PULLS   APPROVED BY                     APPROVED CHANGE        ANSWER       STARTED              │
    ╞═══════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════╡
    │ work/acme/shop:production   3        healthy   ccccccc   1                                                              unapproved   TIME │
    │ work/acme/shop:production   2        healthy   ccccccc   1       work/leebecause (3) by review   a2a2a2a2a2a2 exactly   held         TIME │
    │ work/acme/shop:production   1        healthy   ccccccc   1       work/leebecause (3) by review   a1a1a1a1a1a1 exactly   exact        TIME │
    └───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘

    $ bascule audit report exceptions
    ┌───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┐
    │ ENVIRONMENT                 NUMBER   STATE     COMMIT    PULLS   APPROVED BY                     APPROVED CHANGE        ANSWER       STARTED              │
    ╞═══════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════════╡
    │ work/acme/shop:production   3        healthy   ccccccc   1                                                              unapproved   TIME │
    │ work/acme/shop:production   2        healthy   ccccccc   1       work/leebecause (3) by review   a2a2a2a2a2a2 exactly   held         TIME │
    └───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘

    $ bascule deliveries list
    ┌───────────────────────────────────────────────────────────────────────────────────────────────────────────────────┐
    │ ID                                     AT                     FORGE   EVENT     STATE         BECAUSE             │
    ╞═══════════════════════════════════════════════════════════════════════════════════════════════════════════════════╡
    │ 00000000-0000-7000-8000-00000000000d   TIME   work    because   quarantined   unreadable: because │
    └───────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘

    $ bascule deliveries show 00000000-0000-7000-8000-00000000000d
    body         because
    delivery_id  d1
    event        because
    forge        work
    id           00000000-0000-7000-8000-00000000000d
    reason       unreadable: because
    received_at  TIME
    state        quarantined
    trace        0000000000007000800000000000000d

    $ bascule jobs list
    ┌──────────────────────────────────────────────────────────────────────────────────────────────────┐
    │ ID   KIND          KEY        LANE      STATE    TRIES   DUE                    ERROR            │
    ╞══════════════════════════════════════════════════════════════════════════════════════════════════╡
    │ 1    attend_pull   work/1/1   default   failed   12      TIME   gave up: because │
    └──────────────────────────────────────────────────────────────────────────────────────────────────┘

    $ bascule jobs show 1
    attempt     12
    created_at  TIME
    error       gave up: because
    holder      
    id          1
    key         work/1/1
    kind        attend_pull
    lane        default
    payload     {}
    run_at      TIME
    state       failed
    trace       0000000000007000800000000000000e
    "#);
}

#[tokio::test]
async fn a_pipeline_learns_what_became_of_its_commit() {
    let (api, token) = server_that_remembers("x").await;
    let server = api.url();
    let owner = &api.database.owner;
    let wait = async |commit: &str, more: &str| {
        run(&format!("wait production --commit {}{more}", commit.repeat(40)), &server, &token).await
    };
    let there = wait("c", "").await;
    assert_eq!((there.code, there.out.as_str()), (0, "production is healthy at ccccccc or newer\n"), "{}", there.err);
    let held = wait("b", "").await;
    assert_eq!(held.code, 4, "{}", held.err);
    assert_eq!(held.out, "production: it is held (uncovered): nobody approved x\n  lifted by /bascule approve x\n");
    let json = wait("b", " --output json").await.json();
    assert_eq!((json["result"].as_str(), json["lifts"].as_str()), (Some("held"), Some("/bascule approve x")));
    // A check that failed is told at once; one that runs is waited for.
    let waits = "UPDATE hold SET reason = 'waiting', lifts = $1";
    sqlx::query(waits).bind(bascule::consent::BY_A_RE_RUN).execute(owner).await.unwrap();
    assert_eq!(wait("b", "").await.code, 4);
    sqlx::query(waits).bind(bascule::consent::BY_ITSELF).execute(owner).await.unwrap();
    let late = wait("b", " --timeout 1s").await;
    assert_eq!((late.code, late.err.lines().count()), (3, 1), "{}", late.err);
    assert!(late.out.starts_with("production is not there yet: it is held (waiting)"), "{}", late.out);
    // A newer one took it along.
    let passed = "INSERT INTO passed_commit (environment_id, commit_sha) SELECT id, repeat('b', 40) FROM environment";
    sqlx::query(passed).execute(owner).await.unwrap();
    assert_eq!(wait("b", "").await.code, 0);
    sqlx::query("UPDATE deployment SET state = 'failed' WHERE number = 3").execute(owner).await.unwrap();
    assert_eq!(wait("b", "").await.code, 1);
    assert_eq!(run("wait production --commit abc", &server, &token).await.code, 2, "not a whole id");
    assert_eq!(run(&format!("wait nosuch --commit {}", "b".repeat(40)), &server, &token).await.code, 2);
}

#[tokio::test]
async fn what_was_set_aside_is_tried_again_once() {
    let (api, token) = server_that_remembers("because").await;
    let job = run("jobs list --state failed --output json", &api.url(), &token).await.json()[0]["id"].clone();
    let first = run(&format!("jobs retry {job}"), &api.url(), &token).await;
    assert_eq!((first.code, first.err.as_str()), (0, ""), "{}", first.out);
    assert_eq!(run("jobs list --state failed", &api.url(), &token).await.out, "none\n");
    let replayed = run("deliveries replay 00000000-0000-7000-8000-00000000000d", &api.url(), &token).await;
    assert_eq!((replayed.code, replayed.err.as_str()), (0, ""), "{}", replayed.out);
}

/// Answers everything with these bytes.
async fn somebody_else(answer: &'static str) -> (String, tokio::task::JoinSet<()>) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, serving)
}

#[tokio::test]
async fn a_command_that_gets_no_answer_says_why_and_ends_with_2() {
    let (api, token) = server_that_remembers("because").await;
    let reader = api.token("reader", &[Scope::Read]).await;
    let (page, _page) =
        somebody_else("HTTP/1.1 200 OK\r\ncontent-length: 20\r\nconnection: close\r\n\r\n<html>\u{1b}[2J</html>").await;
    let (cut, _cut) =
        somebody_else("HTTP/1.1 200 OK\r\ncontent-length: 2000\r\nconnection: close\r\n\r\n{\"items\":").await;
    let (shape, _shape) = somebody_else("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n42").await;
    let nobody = format!("bsc_{}", "A".repeat(43));
    let here = api.url();
    let mut said = Vec::new();
    for (line, server, token) in [
        ("status", here.as_str(), ""),
        ("status", here.as_str(), "a\u{1b}b"),
        ("status", here.as_str(), nobody.as_str()),
        ("audit list", here.as_str(), reader.as_str()),
        ("jobs retry 1", here.as_str(), reader.as_str()),
        ("jobs retry 999", here.as_str(), token.as_str()),
        ("jobs show 999", here.as_str(), token.as_str()),
        ("status nowhere", here.as_str(), token.as_str()),
        ("history nowhere", here.as_str(), token.as_str()),
        ("preview show 999", here.as_str(), token.as_str()),
        ("audit show 999", here.as_str(), token.as_str()),
        ("audit report unheard", here.as_str(), token.as_str()),
        ("jobs list --state strange", here.as_str(), token.as_str()),
        ("audit list --from yesterday", here.as_str(), token.as_str()),
        ("status --output xml", here.as_str(), token.as_str()),
        ("statsu", here.as_str(), token.as_str()),
        ("status", "http://127.0.0.1:1", token.as_str()),
        ("status", "ftp://x", token.as_str()),
        ("status", page.as_str(), token.as_str()),
        ("audit verify", cut.as_str(), token.as_str()),
        ("audit verify", shape.as_str(), token.as_str()),
        ("audit export", page.as_str(), token.as_str()),
        ("history production", shape.as_str(), token.as_str()),
        ("preview show 1", shape.as_str(), token.as_str()),
    ] {
        let ran = run(line, server, token).await;
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{line}: {}", ran.err);
        assert!(is_quiet(&ran.err), "{:?}", ran.err);
        assert!(!ran.err.contains(&nobody), "{}", ran.err);
        said.push(format!("$ bascule {line}\n{}", ran.err));
    }
    let mut said = said.join("");
    for (from, to) in [(&here, "HERE"), (&page, "PAGE"), (&cut, "CUT"), (&shape, "SHAPE")] {
        said = said.replace(from, to);
    }
    insta::assert_snapshot!(said, @r"
    $ bascule status
    bascule: no token for HERE: sign in with `bascule login`, or set BASCULE_TOKEN to one that `bascule token create` made on the server's host
    $ bascule status
    bascule: BASCULE_TOKEN holds no token: it has characters that none has
    $ bascule status
    bascule: 401 Unauthorized: the token is unknown, expired or revoked
    $ bascule audit list
    bascule: 403 Forbidden: the token does not have the scope `audit`
    $ bascule jobs retry 1
    bascule: 403 Forbidden: the token does not have the scope `operate`
    $ bascule jobs retry 999
    bascule: 404 Not Found: there is no such job
    $ bascule jobs show 999
    bascule: 404 Not Found: there is no such job
    $ bascule status nowhere
    bascule: there is no environment `nowhere`; `bascule status` lists them
    $ bascule history nowhere
    bascule: there is no environment `nowhere`; `bascule status` lists them
    $ bascule preview show 999
    bascule: 404 Not Found: there is no such preview
    $ bascule audit show 999
    bascule: 404 Not Found: there is no such entry
    $ bascule audit report unheard
    bascule: there are the reports deployments, exceptions and emergencies
    $ bascule jobs list --state strange
    bascule: 400 Bad Request: `state` is pending, running, refused or failed
    $ bascule audit list --from yesterday
    bascule: 400 Bad Request: `from` is no time: write 2026-11-21 or 2026-11-21T09:00:00Z
    $ bascule status --output xml
    error: invalid value 'xml' for '--output <OUTPUT>'
      [possible values: table, json]

    For more information, try '--help'.
    $ bascule statsu
    error: unrecognized subcommand 'statsu'

      tip: a similar subcommand exists: 'status'

    Usage: bascule <COMMAND>

    For more information, try '--help'.
    $ bascule status
    bascule: http://127.0.0.1:1 cannot be reached; is BASCULE_SERVER right?: error sending request: client error (Connect): tcp connect error: Connection refused (os error 111)
    $ bascule status
    bascule: BASCULE_SERVER is no address: write one like https://bascule.example.com
    $ bascule status
    bascule: PAGE cannot be reached; is BASCULE_SERVER right?: error decoding response body: request or response body error: error reading a body from connection: end of file before message length reached
    $ bascule audit verify
    bascule: CUT cannot be reached; is BASCULE_SERVER right?: error decoding response body: request or response body error: error reading a body from connection: end of file before message length reached
    $ bascule audit verify
    bascule: SHAPE answers, but not as a bascule server does; is BASCULE_SERVER right?
    $ bascule audit export
    bascule: PAGE cannot be reached; is BASCULE_SERVER right?: error decoding response body: error reading a body from connection: end of file before message length reached
    $ bascule history production
    bascule: SHAPE answers, but not as a bascule server does; is BASCULE_SERVER right?
    $ bascule preview show 1
    bascule: SHAPE answers, but not as a bascule server does; is BASCULE_SERVER right?
    ");
}

#[tokio::test]
async fn a_log_that_is_not_whole_ends_with_1() {
    let (api, token) = server_that_remembers("because").await;
    api.tamper(&["UPDATE audit_entry SET detail = '{}' WHERE seq = 1"]).await;
    for output in ["table", "json"] {
        let ran = run(&format!("audit verify --output {output}"), &api.url(), &token).await;
        assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{}", ran.out);
        assert!(ran.out.contains(if output == "json" { "\"changed\"" } else { "entry 1 is not what was written" }));
    }
}
