//! Who may use whom: the table, and the rooms of libraries that have one. An edge that is not here fails.
//!
//! Sources are read as tokens, so that words in comments and strings are none, and without what only tests compile.
//! Names are followed from the crate's root (`crate::x`, `crate::{x, y}`, enough `super::`s); what would hide a name
//! from us, such as `use crate as c` or `use crate::*`, is refused.

mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use tokens::{Token, tokens, without_tests};

const WORDS: &[&str] = &["ids", "clock"];
const THINKING: &[&str] = &["event", "policy", "manifest", "preview", "consent", "sync"];
const WORLD: &[&str] = &["queue", "db", "git", "render", "forge", "registry", "prometheus", "cluster"];

/// Module → what it may use of ours. `all` is everything; `jobs::route` is that one name of `jobs`.
///
/// Layers: words → thinking (pure: no async, no I/O, no clock) → world (never each other) → memory → work → windows and
/// hands → assembly.
const TABLE: &[(&str, &[&[&str]])] = &[
    ("ids", &[]),
    ("clock", &[]),
    ("event", &[&["ids"]]),
    ("policy", &[&["ids"]]),
    ("manifest", &[&["ids"]]),
    ("preview", &[&["ids", "manifest"]]),
    ("consent", &[&["ids", "policy"]]),
    ("sync", &[&["ids", "manifest"]]),
    ("queue", &[WORDS]),
    ("db", &[WORDS, THINKING]),
    ("git", &[WORDS, THINKING]),
    ("render", &[WORDS, THINKING]),
    ("forge", &[WORDS, THINKING]),
    ("registry", &[WORDS, THINKING]),
    ("prometheus", &[WORDS, THINKING]),
    ("cluster", &[WORDS, THINKING]),
    ("audit", &[WORDS, &["db"]]),
    ("jobs", &[WORDS, THINKING, WORLD, &["audit"]]),
    ("webhook", &[WORDS, &["event", "db", "audit", "queue", "jobs::route"]]),
    // `webhook`: a replayed delivery is read by what read it first, or it would mean something else.
    ("web", &[WORDS, &["webhook", "event", "db", "audit", "queue", "jobs::route", "preview", "manifest"]]),
    ("cli", &[&["ids", "config"]]),
    ("local", &[WORDS, THINKING, &["git", "render", "forge", "registry", "cluster"]]),
    ("config", &[&["all"]]),
    ("telemetry", &[&["all"]]),
    ("app", &[&["all"]]),
    ("main", &[&["all"]]),
];

/// Libraries that are used in some rooms only: whoever wants to know how we speak HTTP or Kubernetes looks there.
const ROOMS: &[(&str, &[&str])] = &[
    ("axum", &["webhook", "web", "app"]),
    ("kube", &["cluster"]),
    ("k8s_openapi", &["cluster"]),
    ("reqwest", &["forge", "registry", "prometheus", "cli"]),
    ("octocrab", &[]),
    ("regorus", &["policy"]),
    ("cel", &["policy"]),
];

/// Where SQL is written. Elsewhere `sqlx` is a connection to pass on and an error to translate.
const SQL: &[&str] = &["db", "queue", "audit"];

#[test]
fn nobody_uses_what_the_table_does_not_allow() {
    let violations = judge(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// Whoever writes on a forge beside the one place that keeps the log of it.
#[test]
fn what_writes_on_a_forge_is_called_in_one_place() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&src, &mut files);
    let read = |file: &PathBuf| without_tests(tokens(&fs::read_to_string(file).unwrap()), file).0;
    let calls =
        |tokens: &[Token], name: &str| tokens.windows(2).any(|two| two[0] == Token::Mark('.') && two[1].is(name));
    let mut writes = BTreeSet::new();
    for file in files.iter().filter(|file| file.starts_with(src.join("forge/gitea"))) {
        let mut method = String::new();
        for three in read(file).windows(3) {
            if three[0].is("fn") {
                method = three[1].to_string();
            }
            if three[0] == Token::Mark('.') && ["post", "patch", "put", "delete"].iter().any(|verb| three[1].is(verb)) {
                writes.insert(method.clone());
            }
        }
    }
    // What Gitea has nothing of.
    let elsewhere = ["create_check", "create_deployment", "edit_check", "redeliver", "set_deployment"];
    writes.extend(elsewhere.map(str::to_owned));
    let expected = [
        "create_check",
        "create_comment",
        "create_deployment",
        "create_issue",
        "create_pull",
        "edit_check",
        "edit_comment",
        "edit_issue",
        "put_webhook",
        "react",
        "redeliver",
        "set_deployment",
        "set_status",
    ];
    assert_eq!(writes.iter().collect::<Vec<_>>(), expected);
    // What a person has done from the command line is in no server's log.
    let by_hand = "put_webhook";
    for file in files.iter().filter(|file| !file.starts_with(src.join("forge"))) {
        let found: Vec<_> = writes.iter().filter(|name| calls(&read(file), name)).collect();
        match (file.ends_with("jobs/show/writer.rs"), file.ends_with("app/connect.rs")) {
            (true, _) => assert_eq!(found.len(), expected.len() - 1, "{found:?}"),
            (_, true) => assert_eq!(found, [by_hand]),
            _ => assert!(found.is_empty(), "{}: {found:?}", file.display()),
        }
    }
}

/// What is wrong with a source tree, a line each.
fn judge(src: &Path) -> Vec<String> {
    let mut files = Vec::new();
    walk(src, &mut files);
    files.sort();
    assert!(!files.is_empty(), "no sources in {}", src.display());
    let mut read = BTreeMap::new();
    let mut of_tests = BTreeSet::new();
    for file in &files {
        let (kept, excluded) = without_tests(tokens(&fs::read_to_string(file).unwrap()), file);
        of_tests.extend(excluded);
        read.insert(file, kept);
    }
    let is_test = |file: &Path| of_tests.iter().any(|out: &PathBuf| file.starts_with(out));
    let mut violations = Vec::new();
    for (file, tokens) in read.into_iter().filter(|(file, _)| !is_test(file)) {
        let within = file.strip_prefix(src).unwrap();
        for problem in problems(within, &tokens) {
            violations.push(format!("{}: {problem}", within.display()));
        }
    }
    violations.dedup();
    violations
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn problems(file: &Path, tokens: &[Token]) -> Vec<String> {
    let mut path: Vec<String> = file.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    let module = path[0].as_str();
    if module == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == module) else {
        return vec![format!("the module `{module}` is not in the table")];
    };
    let allowed: BTreeSet<&str> = allowed.iter().flat_map(|group| group.iter().copied()).collect();
    let mut problems = Vec::new();
    for used in roots(tokens, path.len()) {
        let parts = used.split_once("::").map_or((used.as_str(), ""), |(first, rest)| (first, rest));
        let is_known = TABLE.iter().any(|(name, _)| *name == parts.0);
        if !is_known {
            problems.push(format!("`{used}` at the crate's root is no module of the table"));
        } else if parts.0 != module && !allowed.contains("all") && !allowed.contains(parts.0) {
            if allowed.contains("jobs::route") && parts.0 == "jobs" {
                problems.extend(beyond_route(tokens));
            } else {
                problems.push(format!("`{module}` may not use `{}`", parts.0));
            }
        }
    }
    for (library, rooms) in ROOMS {
        if !rooms.contains(&module) && names_library(tokens, library) {
            problems.push(format!("`{library}` is not used in `{module}`, only in {rooms:?}"));
        }
    }
    if !SQL.contains(&module) && writes_sql(tokens) {
        problems.push(format!("`{module}` may not write SQL, only {SQL:?}"));
    }
    problems.dedup();
    problems
}

/// The first names after the crate's root, of a file whose module is `depth` names deep.
fn roots(tokens: &[Token], depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let mut end = at;
        if tokens[at].is("crate") {
            end = at + 1;
            if tokens.get(end).is_some_and(|token| token.is("as")) {
                found.push("crate as …".to_owned());
            }
        } else if tokens[at].is("super") {
            let mut supers = 1;
            end = at + 1;
            while is_path(tokens, end) && tokens.get(end + 2).is_some_and(|token| token.is("super")) {
                supers += 1;
                end += 3;
            }
            if supers < depth {
                at = end;
                continue;
            }
        }
        if end > at && is_path(tokens, end) {
            found.extend(first_names(&tokens[end + 2..]));
        }
        at = end.max(at + 1);
    }
    found.sort();
    found.dedup();
    found
}

/// The names right after a `::`: one, `*`, or each of a group.
fn first_names(rest: &[Token]) -> Vec<String> {
    match rest.first() {
        Some(Token::Word(word)) => vec![word.clone()],
        Some(Token::Mark('{')) => {
            let (mut depth, mut names) = (0, Vec::new());
            for pair in rest.windows(2) {
                match &pair[0] {
                    Token::Mark('{') => depth += 1,
                    Token::Mark('}') => depth -= 1,
                    Token::Mark(_) | Token::Word(_) | Token::Text(_) => {}
                }
                if depth == 0 {
                    break;
                }
                let begins = matches!(pair[0], Token::Mark('{' | ','));
                if depth == 1 && begins && !matches!(pair[1], Token::Mark('}')) {
                    names.push(pair[1].to_string());
                }
            }
            names
        }
        Some(other) => vec![other.to_string()],
        None => Vec::new(),
    }
}

/// Uses of `jobs` in a window other than `jobs::route`.
fn beyond_route(tokens: &[Token]) -> Vec<String> {
    let mut problems = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if !token.is("jobs") {
            continue;
        }
        if tokens.get(at + 1).is_some_and(|next| next.is("as")) {
            problems.push("a window may not give `jobs` another name".to_owned());
        }
        if is_path(tokens, at + 1) {
            let names = first_names(&tokens[at + 3..]);
            problems.extend(
                names
                    .iter()
                    .filter(|name| *name != "route")
                    .map(|name| format!("a window may use `jobs::route`, not `jobs::{name}`")),
            );
        }
    }
    problems
}

fn is_path(tokens: &[Token], at: usize) -> bool {
    matches!(tokens.get(at..at + 2), Some([Token::Mark(':'), Token::Mark(':')]))
}

/// Whether a library is named: at the beginning of a path, or brought in whole.
fn names_library(tokens: &[Token], library: &str) -> bool {
    tokens.iter().enumerate().any(|(at, token)| {
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        let is_within = at >= 3 && is_path(tokens, at - 2) && matches!(tokens[at - 3], Token::Word(_));
        let is_brought_in = before.is_some_and(|token| token.is("use") || token.is("crate"));
        token.is(library) && !is_within && (is_path(tokens, at + 1) || is_brought_in)
    })
}

/// Whether SQL is written: a `query…!` macro, or a name of `sqlx` that takes SQL as text.
fn writes_sql(tokens: &[Token]) -> bool {
    let takes_sql = |word: &str| {
        word.starts_with("query") || ["raw_sql", "QueryBuilder", "Executor", "AssertSqlSafe", "*"].contains(&word)
    };
    tokens.iter().enumerate().any(|(at, token)| {
        let Token::Word(word) = token else { return false };
        if word.starts_with("query") && matches!(tokens.get(at + 1), Some(Token::Mark('!'))) {
            // `query != x` is a comparison.
            return !matches!(tokens.get(at + 2), Some(Token::Mark('=')));
        }
        word == "sqlx" && is_path(tokens, at + 1) && first_names(&tokens[at + 3..]).iter().any(|name| takes_sql(name))
    })
}

/// A small tree in which everything is allowed, and what each addition is answered.
#[test]
fn every_kind_of_addition_is_found() {
    let answer = |file: &str, addition: &str| {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let before = fs::read_to_string(&path).unwrap_or_default();
            fs::write(path, before + text).unwrap();
        };
        write("lib.rs", "pub mod ids; pub mod consent; pub mod jobs; pub mod webhook; pub mod db;\n");
        write("ids.rs", "pub struct Id; // crate::db\n");
        write("consent/mod.rs", "mod judge; use crate::{ids::Id, policy}; /* crate::db /* nested */ kube:: */\n");
        write(
            "consent/judge.rs",
            "use super::super::ids::Id; const A: &str = r#\"\"crate::db\"#; const B: char = '\"';\n",
        );
        write("consent/judge.rs", "fn f<'a>(x: &'a str) { x.axum(); }\n#[cfg(test)]\nmod tests { use crate::db; }\n");
        write("consent/judge.rs", "#[cfg(test)]\n#[path = \"judge_cases.rs\"]\nmod cases;\n");
        write("consent/judge_cases.rs", "use crate::db;\n");
        write("policy.rs", "");
        write("jobs/mod.rs", "use crate::db; use crate::audit; fn f(_: sqlx::Error, pool: sqlx::PgPool) {}\n");
        write("db.rs", "fn f() { sqlx::query!(\"SELECT 1\"); }\n");
        write("audit.rs", "use crate::db;\n");
        write("webhook/mod.rs", "use crate::jobs; use axum::Router; fn f() { jobs::route(); }\n");
        write(file, addition);
        judge(folder.path())
    };
    assert_eq!(answer("policy.rs", ""), [""; 0]);

    let mut answers = String::new();
    for (file, addition) in [
        ("consent/judge.rs", "use crate::db::open;"),
        ("consent/judge.rs", "fn g() { super::super::clock::now() }"),
        ("consent/mod.rs", "use super::forge;"),
        ("consent/mod.rs", "use crate::{policy::{self, db}, ids, git as g};"),
        ("consent/mod.rs", "use crate as bascule;"),
        ("consent/mod.rs", "use crate::*;"),
        ("consent/mod.rs", "#[cfg(not(test))] use crate::render;"),
        ("consent/mod.rs", "#[cfg(test)] const A: u8 = 1; use crate::render;"),
        ("ids.rs", "use crate::clock;"),
        ("db.rs", "use crate::queue;"),
        ("jobs/mod.rs", "use crate::webhook;"),
        ("jobs/mod.rs", "fn g() { sqlx::query_scalar!(\"SELECT 1\"); }"),
        ("jobs/mod.rs", "use sqlx::{PgPool, Executor};"),
        ("jobs/mod.rs", "fn g() { kube::Client::new() }"),
        ("jobs/mod.rs", "use reqwest;"),
        ("webhook/mod.rs", "fn g() { jobs::run() }"),
        ("webhook/mod.rs", "use crate::jobs::{route, run};"),
        ("webhook/mod.rs", "use crate::jobs as j;"),
        ("webhook/mod.rs", "use crate::cluster;"),
        ("service.rs", ""),
    ] {
        answers += &format!("{addition}\n    {}\n", answer(file, addition).join("\n    "));
    }
    insta::assert_snapshot!(answers, @r##"
    use crate::db::open;
        consent/judge.rs: `consent` may not use `db`
    fn g() { super::super::clock::now() }
        consent/judge.rs: `consent` may not use `clock`
    use super::forge;
        consent/mod.rs: `consent` may not use `forge`
    use crate::{policy::{self, db}, ids, git as g};
        consent/mod.rs: `consent` may not use `git`
    use crate as bascule;
        consent/mod.rs: `crate as …` at the crate's root is no module of the table
    use crate::*;
        consent/mod.rs: `*` at the crate's root is no module of the table
    #[cfg(not(test))] use crate::render;
        consent/mod.rs: `consent` may not use `render`
    #[cfg(test)] const A: u8 = 1; use crate::render;
        consent/mod.rs: `consent` may not use `render`
    use crate::clock;
        ids.rs: `ids` may not use `clock`
    use crate::queue;
        db.rs: `db` may not use `queue`
    use crate::webhook;
        jobs/mod.rs: `jobs` may not use `webhook`
    fn g() { sqlx::query_scalar!("SELECT 1"); }
        jobs/mod.rs: `jobs` may not write SQL, only ["db", "queue", "audit"]
    use sqlx::{PgPool, Executor};
        jobs/mod.rs: `jobs` may not write SQL, only ["db", "queue", "audit"]
    fn g() { kube::Client::new() }
        jobs/mod.rs: `kube` is not used in `jobs`, only in ["cluster"]
    use reqwest;
        jobs/mod.rs: `reqwest` is not used in `jobs`, only in ["forge", "registry", "prometheus", "cli"]
    fn g() { jobs::run() }
        webhook/mod.rs: a window may use `jobs::route`, not `jobs::run`
    use crate::jobs::{route, run};
        webhook/mod.rs: a window may use `jobs::route`, not `jobs::run`
    use crate::jobs as j;
        webhook/mod.rs: a window may not give `jobs` another name
    use crate::cluster;
        webhook/mod.rs: `webhook` may not use `cluster`

        service.rs: the module `service` is not in the table
    "##);
}
