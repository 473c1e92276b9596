//! What is hidden of a name and of a line, and what is not.

use super::*;

#[test]
fn a_name_says_whether_its_value_is_a_secret() {
    for name in [
        "password",
        "DB_PASSWORD",
        "dbPassword",
        "db.password",
        "API_KEY",
        "apiKey",
        "APIKEY",
        "token",
        "GITHUB_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "client-secret",
        "SECRET_KEY_BASE",
        "checksum/secret",
        ".dockerconfigjson",
        "DB_PASS",
        "privateKey",
        "tls.privateKey",
        "password.txt",
        "encryption_keys",
        "SECRET2",
    ] {
        assert!(is_secret_name(name), "{name}");
    }
    for name in [
        "secretName",
        "SECRET_FILE",
        "passwordKey",
        "tokenExpirationSeconds",
        "existingSecret",
        "host",
        "keyboard",
        "bypass",
        "compass",
        "PASSWORD_MIN_LENGTH",
        "AWS_ACCESS_KEY_ID",
        "key",
        "publicKey",
        "secretRef",
        "",
    ] {
        assert!(!is_secret_name(name), "{name}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4_000))]
    #[test]
    fn what_is_looked_for_at_once_leaves_nothing_out(
        parts in proptest::collection::vec(0..PARTS.len(), 1..8), words in proptest::collection::vec(0..ALL, 0..3),
    ) {
        let word = |at: &usize| SECRET.iter().chain(KEY_OF).chain(ABOUT).chain(REFERS).nth(*at).copied().unwrap_or_default();
        let words: Vec<&str> = words.iter().map(word).collect();
        let parts: Vec<&str> = parts.iter().map(|at| PARTS[*at]).collect();
        for line in [format!("{}{}", words.concat(), parts.concat()), format!("{}{}", parts.concat(), words.join("_"))] {
            for line in [line.to_uppercase(), line] {
                let shown = hide_each(&line, Mark::Bare).filter(|_| line.len() >= 16 || line.contains(['=', ':', '@']));
                proptest::prop_assert_eq!(hide(&line, Mark::Bare), shown, "{}", line);
            }
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4_000))]
    #[test]
    fn a_text_hides_what_each_of_its_lines_hides(
        lines in proptest::collection::vec((0..3_usize, proptest::collection::vec(0..PARTS.len() + SECRET.len(), 0..4)), 1..12),
    ) {
        let part = |at: &usize| PARTS.iter().chain(SECRET).nth(*at).copied().unwrap_or_default();
        let line = |(indent, parts): &(usize, Vec<usize>)| {
            let text: String = parts.iter().map(part).collect();
            // Some open what is hidden below them.
            let opens = if text.len().is_multiple_of(3) { ": |" } else { "" };
            format!("{:indent$}{text}{opens}", "", indent = indent * 2)
        };
        let text: Vec<String> = lines.iter().map(line).collect();
        let text = text.join("\n");
        let (mut each, mut below, mut suspects, mut at) = (Below::default(), Below::default(), Suspects::of(&text), 0);
        for line in text.split('\n') {
            let is_suspect = suspects.are_in(at..at + line.len());
            at += line.len() + 1;
            let hidden = if is_suspect || below.is_open() { below.hide(line, Mark::Bare) } else { None };
            proptest::prop_assert_eq!(hidden, each.hide(line, Mark::Bare), "{} of\n{}", line, text);
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4_000))]
    #[test]
    fn a_name_is_told_at_once_as_word_by_word(
        words in proptest::collection::vec((0..ALL, 0..3_usize), 0..4), joints in proptest::collection::vec(0..5_usize, 4),
    ) {
        let word = |at: &usize| SECRET.iter().chain(KEY_OF).chain(ABOUT).chain(REFERS).nth(*at).copied().unwrap_or_default();
        let written = |(at, how): &(usize, usize)| match how {
            0 => word(at).to_owned(),
            1 => word(at).to_uppercase(),
            _ => word(at)[..1].to_uppercase() + &word(at)[1..] + "Key2",
        };
        let joint = |at: usize| ["", "-", "_", "7", "\u{212a}ey"][joints[at]];
        let name: String = words.iter().enumerate().map(|(at, word)| written(word) + joint(at)).collect();
        proptest::prop_assert_eq!(is_secret_name(&name), is_secret_by_words(&name), "{}", name);
    }
}

/// Words that mean something here.
const ALL: usize = SECRET.len() + KEY_OF.len() + ABOUT.len() + REFERS.len();
const PARTS: [&str; 24] = [
    "=",
    ": ",
    ":=",
    "://",
    "@",
    "Key",
    "keys",
    "s3cr3t-value",
    " ",
    "\"",
    "-",
    ".",
    "$(X)",
    "eyJhbGciOi.eyJzdWIiOi.x",
    "AKIAABCDEFGHIJKLMNOP",
    "ghp_0123456789a",
    "github_pat_0123456789a",
    "glpat-0123456789a",
    "xoxb-0123456789a",
    "sk_live_0123456789a",
    "npm_0123456789a",
    "hvs.0123456789a",
    "Bearer ",
    "\u{212a}ey",
];

#[test]
fn a_line_shows_everything_but_its_secrets() {
    let lines = [
        "postgres://app:hunter2@db:5432/shop?sslmode=require",
        "https://hunter2@git.example.com/x.git and amqp://u:hunter2@mq",
        "--password=hunter2",
        "curl -H 'token: hunter2' --data api_key=hunter2&x=1",
        "spring.datasource.password = hunter2",
        "{\"clientSecret\": \"hunter2\", \"user\": \"lee\"}",
        "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.hunter2",
        "AKIAABCDEFGHIJKLMNOP",
        "password=$(DB_PASSWORD)",
        "image: registry.example.com/shop/web:1.27@sha256:abc",
        "secretName: web-tls",
        "password: hunter2 hunter2",
        "export TOKEN='hunter2'",
        "tokenTTL: 5m",
    ];
    let shown: Vec<_> =
        lines.iter().map(|line| hide(line, Mark::Bare).unwrap_or_else(|| format!("= {line}"))).collect();
    assert!(!shown.concat().contains("hunter2"), "{shown:#?}");
    insta::assert_snapshot!(shown.join("\n"), @r#"
            postgres://(redacted)@db:5432/shop?sslmode=require
            https://(redacted)@git.example.com/x.git and amqp://(redacted)@mq
            --password=(redacted)
            curl -H 'token: (redacted) --data api_key=(redacted)&x=1
            spring.datasource.password = (redacted)
            {"clientSecret": (redacted), "user": "lee"}
            Bearer (redacted)
            (redacted)
            = password=$(DB_PASSWORD)
            = image: registry.example.com/shop/web:1.27@sha256:abc
            = secretName: web-tls
            password: (redacted)
            export TOKEN=(redacted)
            = tokenTTL: 5m
            "#);
}
