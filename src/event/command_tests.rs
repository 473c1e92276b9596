//! Commands as people type them, and as attackers do.

use super::*;
use crate::ids::EnvironmentName;
use insta::assert_snapshot;

fn name(text: &str) -> EnvironmentName {
    text.parse().unwrap()
}

fn one(text: &str) -> Option<Selector> {
    Some(Selector::Name(name(text)))
}

fn answer(body: &str) -> String {
    match parse(body) {
        Some(Command::Misunderstood { answer }) => answer,
        other => panic!("{body:?} gave {other:?}"),
    }
}

#[test]
fn every_command_of_the_contract_is_read() {
    let approve = |environments, digest: Option<&str>, deletions| {
        let digest = digest.map(str::to_owned);
        Some(Command::Approve { environments, digest, deletions, reason: None })
    };
    let waive = |policy: &str, environments, digest: Option<&str>, reason: &str| {
        let (policy, digest, reason) = (policy.to_owned(), digest.map(str::to_owned), reason.to_owned());
        Some(Command::Waive { policy, environments, digest, reason })
    };
    let rollback = |environments: &str, to, reason: Option<&str>| {
        let environments = Selector::parse(environments).unwrap();
        Some(Command::Rollback { environments, to, reason: reason.map(str::to_owned) })
    };
    let (stage, digits) = (Some(Selector::Stage("edge".into())), Some("9f2c1a2b"));
    let cases = [
        ("/bascule", Some(Command::Help)),
        ("/bascule help", Some(Command::Help)),
        ("/bascule explain", Some(Command::Explain { environments: None })),
        ("/bascule explain production", Some(Command::Explain { environments: one("production") })),
        ("/bascule preview", Some(Command::Preview)),
        ("/bascule approve", approve(None, None, None)),
        ("/bascule approve production", approve(one("production"), None, None)),
        ("/bascule approve production 9f2c1a2b", approve(one("production"), Some("9f2c1a2b"), None)),
        ("/bascule approve production b1:9F2C1A2B3C", approve(one("production"), Some("9f2c1a2b3c"), None)),
        ("/bascule approve production --deletions 4", approve(one("production"), None, Some(4))),
        ("/bascule approve --deletions=4 production 9f2c1a2b", approve(one("production"), Some("9f2c1a2b"), Some(4))),
        ("/bascule approve shop-*", approve(Some(Selector::Glob("shop-*".into())), None, None)),
        ("/bascule approve stage=production", approve(Some(Selector::Stage("production".into())), None, None)),
        ("/bascule revoke", Some(Command::Revoke { environments: None })),
        ("/bascule revoke production", Some(Command::Revoke { environments: one("production") })),
        ("/bascule sync staging", Some(Command::Sync { environments: Selector::Name(name("staging")) })),
        ("/bascule rollback production", rollback("production", None, None)),
        ("/bascule rollback production --to 3", rollback("production", Some(BackTo::Number(3)), None)),
        ("/bascule rollback production --to=#3", rollback("production", Some(BackTo::Number(3)), None)),
        (
            "/bascule rollback production --to abcdef0 --reason the tills",
            rollback("production", Some(BackTo::Commit("abcdef0".to_owned())), Some("the tills")),
        ),
        ("/bascule rollback stage=production", rollback("stage=production", None, None)),
        ("/bascule waive no-bare-pods --reason it burns", waive("no-bare-pods", None, None, "it burns")),
        ("/bascule waive prod/pods stage=edge --reason=Eile", waive("prod/pods", stage, None, "Eile")),
        ("/bascule waive a#2:p production d1:9F2C1A2B --reason a b", waive("a#2:p", one("production"), digits, "a b")),
        ("/bascule unfreeze production", Some(Command::Unfreeze { environments: Selector::Name(name("production")) })),
        (
            "/bascule emergency production --reason the tills",
            Some(Command::Emergency {
                environments: Selector::Name(name("production")),
                reason: "the tills".to_owned(),
            }),
        ),
        ("/bascule reviewed", Some(Command::Reviewed { reason: None })),
        (
            "/bascule reviewed --reason it was right",
            Some(Command::Reviewed { reason: Some("it was right".to_owned()) }),
        ),
        (
            "/bascule adopt production",
            Some(Command::Adopt { environments: Selector::Name(name("production")), of: None }),
        ),
        (
            "/bascule adopt stage=edge Deployment/web",
            Some(Command::Adopt {
                environments: Selector::parse("stage=edge").unwrap(),
                of: Some("Deployment/web".parse().unwrap()),
            }),
        ),
        ("/bascule resume production", Some(Command::Resume { environments: Selector::parse("production").unwrap() })),
    ];
    for (body, expected) in cases {
        assert_eq!(parse(body), expected, "{body}");
    }
}

#[test]
fn white_space_case_and_line_ends_do_not_matter() {
    let expected = Some(Command::Sync { environments: Selector::Name(name("staging")) });
    for body in [
        "/bascule sync staging",
        "\n\n/bascule sync staging\r\n\r\nbecause we said so",
        "  /bascule\t sync   staging  \nthanks",
        "/bascule SYNC staging",
    ] {
        assert_eq!(parse(body), expected, "{body:?}");
    }
}

#[test]
fn only_the_first_spoken_line_is_a_command() {
    for body in [
        "",
        "LGTM\n/bascule approve",
        "please type /bascule approve",
        "> /bascule approve",
        "> what they said\n/bascule approve",
        "```\n/bascule approve\n```",
        "~~~~\n~~~\n/bascule approve\n~~~~",
        "```\n/bascule approve",
        "    /bascule approve",
        "\t/bascule approve",
        "`/bascule approve`",
        "<!-- \n/bascule approve -->",
        "/bascule-bot approve",
        "/basculeapprove",
        "/bascule/approve",
        "/bаscule approve",
        "\u{200b}/bascule approve",
        "\u{feff}/bascule approve",
        "- /bascule approve",
    ] {
        assert_eq!(parse(body), None, "{body:?}");
    }
    let preview = Some(Command::Preview);
    assert_eq!(parse("> what they said\n> and more\n\n/bascule preview"), preview, "below a quote");
    assert_eq!(parse("```\n/bascule approve\n```\n/bascule preview"), preview, "below code");
    assert_eq!(parse("/bascule preview\n```\n/bascule approve\n```\n> /bascule approve"), preview, "above both");
}

#[test]
fn what_is_not_understood_is_answered_and_nothing_is_done() {
    assert_snapshot!(answer("/bascule aprove production"), @"There is no command `aprove`; nothing was done. Did you mean `/bascule approve`?");
    assert_snapshot!(answer("/bascule deploy"), @"There is no command `deploy`; nothing was done. `/bascule help` lists the commands.");
    assert_snapshot!(answer("/bascule approve prod `rm -rf` x"), @"`?rm` is not a change's digest: 8 to 64 hexadecimal digits; nothing was done.");
    assert_snapshot!(answer("/bascule approve * 9f2c1a2b"), @"A digest names one change of one environment: `/bascule approve ENV DIGEST`, with the environment's own name; nothing was done.");
    assert_snapshot!(answer("/bascule approve production 9f2c1a2"), @"`9f2c1a2` is not a change's digest: 8 to 64 hexadecimal digits; nothing was done.");
    assert_snapshot!(answer("/bascule approve --force"), @"`approve` has no option `--force`; nothing was done.");
    assert_snapshot!(answer("/bascule approve production --deletions -1"), @"`--deletions` takes one number, once: `--deletions 4`; nothing was done.");
    assert_snapshot!(answer("/bascule sync"), @"`sync` needs the environment: `/bascule sync ENV`; nothing was done.");
    assert_snapshot!(answer("/bascule sync staging production"), @"`sync` takes no `production` there; nothing was done. `/bascule help` lists the commands.");
    assert_snapshot!(answer("/bascule help me"), @"`help` takes no `me` there; nothing was done. `/bascule help` lists the commands.");
    assert_snapshot!(answer("/bascule sync staging --reason x"), @"`sync` takes no `--reason`; nothing was done.");
    assert_snapshot!(answer("/bascule аpprove production"), @"The command contains the character U+0430, which is not one a command is made of, though it may look like one; nothing was done. Type it again by hand.");
    assert_snapshot!(answer("/bascule\u{a0}approve production"), @"The command contains the character U+00A0, which is not one a command is made of, though it may look like one; nothing was done. Type it again by hand.");
    assert_snapshot!(answer("/bascule approve prod\u{202e}uction"), @"The command contains the character U+202E, which is not one a command is made of, though it may look like one; nothing was done. Type it again by hand.");
    assert_snapshot!(answer("/bascule approve\n/bascule sync staging"), @"One comment carries one command, on its first line; nothing was done. Write one comment for each.");
}

#[test]
fn a_reason_takes_the_rest_of_the_line_in_any_script() {
    let Some(Command::Approve { reason, digest, .. }) =
        parse("/bascule approve prod 9f2c1a2b --reason \"größer, jetzt\"")
    else {
        panic!()
    };
    assert_eq!((reason.as_deref(), digest.as_deref()), (Some("größer, jetzt"), Some("9f2c1a2b")));
    assert!(answer("/bascule approve prod --reason").contains("--reason"));
}

#[test]
fn a_freeze_has_a_reason_and_may_have_an_end_on_either_side_of_it() {
    let frozen = |line: &str| match parse(line) {
        Some(Command::Freeze { reason, until, .. }) => (reason, until.map(|until| format!("{until:?}"))),
        other => panic!("{line}: {other:?}"),
    };
    let hours = Some("For(Span(7200))".to_owned());
    assert_eq!(frozen("/bascule freeze prod --reason the till --until 2h"), ("the till".to_owned(), hours.clone()));
    assert_eq!(frozen("/bascule freeze prod --until 2h --reason the till"), ("the till".to_owned(), hours.clone()));
    assert_eq!(frozen("/bascule freeze prod --until=2h --reason=\"größer\""), ("größer".to_owned(), hours));
    assert_eq!(frozen("/bascule freeze * --reason the till"), ("the till".to_owned(), None));
    assert_snapshot!(answer("/bascule freeze"), @"`freeze` needs a reason: `/bascule freeze ENV --reason … [--until 2h]`; nothing was done.");
    assert_snapshot!(answer("/bascule freeze --reason x"), @"`freeze` needs the environment: `/bascule freeze ENV --reason … [--until 2h]`; nothing was done.");
    assert_snapshot!(answer("/bascule freeze prod --reason --until 2h"), @"`freeze` needs a reason: `/bascule freeze ENV --reason … [--until 2h]`; nothing was done.");
    assert_snapshot!(answer("/bascule freeze prod --reason x --until friday"), @"`friday` is no end: write how long (`90m`, `2h`, `3d`) or a moment with its offset from UTC (`2027-01-02T08:00:00Z`, `2027-01-02T08:00:00+01:00`); nothing was done.");
    assert_snapshot!(answer("/bascule freeze prod --until 1h --reason x --until 2h"), @"`--until` is said twice; nothing was done.");
    assert_snapshot!(answer("/bascule freeze prod --force --reason x"), @"`freeze` takes no `--force` there; nothing was done. `/bascule help` lists the commands.");
}

#[test]
fn a_way_back_names_one_deployment_of_one_environment_or_none() {
    for typed in [
        "/bascule rollback",
        "/bascule rollback prod --to main",
        "/bascule rollback prod 39",
        "/bascule rollback * --to 39",
        "/bascule resume",
    ] {
        assert!(answer(typed).contains("nothing was done"), "{typed}");
    }
    assert_snapshot!(answer("/bascule rollback prod --to main"), @"`--to` takes a deployment's number (39), or seven digits of a commit at least, not `main`; nothing was done.");
}

#[test]
fn a_megabyte_is_read_in_one_pass_and_answered_shortly() {
    let lines = "> quoted\n".repeat(120_000);
    assert_eq!(parse(&lines), None);
    assert!(answer(&format!("/bascule approve {}", "a".repeat(1_000_000))).len() < 200);
    assert!(answer(&format!("/bascule {}", "b ".repeat(200))).len() < 200);
}

#[test]
fn selectors_choose_by_name_glob_or_stage() {
    let chosen = |selector: &str, environment: &str, stage| {
        Selector::parse(selector).unwrap().matches(&name(environment), stage)
    };
    assert!(chosen("production", "production", None) && !chosen("production", "production-2", None));
    assert!(chosen("shop-*-eu", "shop-a-b-eu", None) && !chosen("shop-*-eu", "shop-eu", None));
    assert!(chosen("*", "anything", None) && chosen("a*a*a", "aaa", None) && !chosen("a*a*a", "aa", None));
    assert!(chosen("stage=live", "x", Some("live")) && !chosen("stage=live", "live", None));
    for bad in ["stage=", "-x", "a/b", "*/x", "a`b"] {
        assert!(Selector::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_waiver_names_its_policy_and_says_why() {
    assert_snapshot!(answer("/bascule waive"), @"`waive` needs the policy and a reason: `/bascule waive POLICY --reason …`; nothing was done.");
    assert_snapshot!(answer("/bascule waive pods"), @"`waive` needs the policy and a reason: `/bascule waive POLICY --reason …`; nothing was done.");
    assert_snapshot!(answer("/bascule waive pods production 9f2c1a2b --reason …"), @"A waiver says why, in words: write your reason behind `--reason`; nothing was done.");
    assert_snapshot!(answer("/bascule waive `pods` --reason x"), @"`?pods?` is not a policy's name; nothing was done.");
    assert_snapshot!(answer("/bascule waive pods * 9f2c1a2b --reason x"), @"A digest names what is denied in one environment: `/bascule waive POLICY ENV DIGEST --reason …`, with the environment's own name; nothing was done.");
    assert_snapshot!(answer("/bascule waive pods production 9f2c1a2b now --reason x"), @"`waive` takes no `now` there; nothing was done. `/bascule help` lists the commands.");
}
