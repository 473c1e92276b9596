//! What says the same in other places: statuses, the check, the terminal, and the page as it is stored.

use super::inert::payloads;
use super::*;

#[test]
fn statuses_say_in_one_line_what_is_missing() {
    let mut pages = vec![("two environments", two_environments())];
    let mut given = two_environments();
    given.environments[1].consent = Consent::Asked {
        wanted: 2,
        given: 2,
        counted: Vec::new(),
        not_counted: Vec::new(),
        missing: String::new(),
        deletions: None,
    };
    pages.push(("given", given));
    let mut none = two_environments();
    none.environments.truncate(1);
    pages.push(("none needed", none));
    pages.push(("same", page(vec![row("a", RowChange::Same, Consent::NotNeeded, Deployment::Nothing)])));
    pages.push(("failed", page_of("x", "x")));
    let whole = |outcome| Page { outcome, ..page(Vec::new()) };
    pages.push(("untouched", whole(Outcome::Untouched)));
    pages.push(("conflict", whole(Outcome::Conflict { paths: Vec::new() })));
    let errors = vec![format!(".bascule.yaml:4:3: {}\u{202e}\n", "x".repeat(200))];
    pages.push(("rules", whole(Outcome::RulesInvalid { errors })));
    pages.push(("crowd", crowd(100, 1, 1)));
    let shown = pages.iter().map(|(name, page)| {
        let lines = [preview_status(page), consent_status(page)];
        assert!(lines.iter().all(|line| line.description.chars().count() <= 140));
        lines.map(|line| format!("{name}: {} {:?}: {}", line.context, line.state, line.description)).join("\n")
    });
    insta::assert_snapshot!(shown.collect::<Vec<_>>().join("\n"), @r"
        two environments: bascule/preview Success: 3 objects in 2 environments would change
        two environments: bascule/consent Failure: missing: production 1 of 2
        given: bascule/preview Success: 3 objects in 2 environments would change
        given: bascule/consent Success: given for 1 environment
        none needed: bascule/preview Success: 1 object in 1 environment would change
        none needed: bascule/consent Success: none needed
        same: bascule/preview Success: nothing changes
        same: bascule/consent Success: none needed
        failed: bascule/preview Failure: does not render: broken
        failed: bascule/consent Failure: what does not render cannot be consented to
        untouched: bascule/preview Success: nothing of ours is touched
        untouched: bascule/consent Success: nothing of ours is touched
        conflict: bascule/preview Failure: cannot be merged as it is
        conflict: bascule/consent Failure: there is nothing to consent to yet
        rules: bascule/preview Failure: .bascule.yaml cannot be read: .bascule.yaml:4:3: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
        rules: bascule/consent Failure: there are no rules to judge by
        crowd: bascule/preview Success: 100 objects in 100 environments would change
        crowd: bascule/consent Failure: missing: edge-0 0 of 1, edge-1 0 of 1, edge-2 0 of 1, edge-3 0 of 1, edge-4 0 of 1, edge-5 0 of 1, edge-6 0 of 1, edge-7 0 of 1, edge-8 0 o…
        ");
}

#[test]
fn a_terminal_shows_the_same_and_no_control_sequence_of_anybody_else() {
    let mut local = two_environments();
    local.subject = Subject::Local { base: "main".to_owned(), head: "the working tree".to_owned() };
    insta::assert_snapshot!(terminal(&local, Look::Plain), @"
    Bascule · main → the working tree · 2 environments, 3 objects

    staging prod/shop: +0 ~1 −0 · helm 4.3.1
    ~ Deployment shop-staging/web  deploy/web.yaml
      · image shop/web:1.26 → shop/web:1.27 (container web)
      @@ spec.template.spec.containers[web] @@
             - name: web
      -        image: shop/web:1.26
      +        image: shop/web:1.27

    production prod/shop: +0 ~1 −1 · helm 4.3.1
      ⚠ removes Service shop/legacy
    ~ Deployment shop/web  deploy/web.yaml
      · image shop/web:1.26 → shop/web:1.27 (container web)
      @@ spec.template.spec.containers[web] @@
             - name: web
      -        image: shop/web:1.26
      +        image: shop/web:1.27
    − Service shop/legacy  deploy/legacy.yaml
    ");
    let coloured = terminal(&local, Look::Colour);
    assert!(coloured.contains("\u{1b}[32m+        image: shop/web:1.27\u{1b}[0m"));
    for payload in payloads() {
        let plain = terminal(&page_of(&payload, &payload), Look::Plain);
        assert!(plain.chars().all(|c| c == '\n' || visible(&c.to_string()) == c.to_string()), "{payload:?}");
        let coloured = terminal(&page_of(&payload, &payload), Look::Colour);
        let ours = ["[1m", "[2m", "[31m", "[32m", "[33m", "[36m", "[0m"];
        assert!(coloured.split('\u{1b}').skip(1).all(|rest| ours.iter().any(|code| rest.starts_with(code))));
    }
}

#[test]
fn a_page_is_stored_and_read_back() {
    for page in [two_environments(), page_of("x", "y"), crowd(2, 3, 1)] {
        let stored = serde_json::to_string(&page).unwrap();
        assert_eq!(serde_json::from_str::<Page>(&stored).unwrap(), page);
    }
}

#[test]
fn a_check_says_what_is_wrong_where_and_prints_nothing_to_consent_to() {
    let errors: Vec<String> =
        (1..=60).map(|line| format!("deploy/web.yaml:{line}: Deployment web: has no kind")).collect();
    let strange = ["deploy/web.yaml: is empty", "shop/templates/web.yaml:3: has no kind", "deploy/web.yaml:x: y"];
    let all: Vec<String> = errors.iter().cloned().chain(strange.map(str::to_owned)).collect();
    let mut failed = two_environments();
    failed.environments[0].change = RowChange::Failed { errors: all.clone(), objects: Vec::new() };
    failed.marks = Mark::all(&all, ["README.md", "deploy/web.yaml"]);
    assert_eq!(failed.marks.len(), 60);
    let located = Mark::of(".bascule.yaml:4:3: unknown key `paht`; did you mean `path`?", [".bascule.yaml"]).unwrap();
    assert_eq!((located.line, located.message.as_str()), (4, "unknown key `paht`; did you mean `path`?"));

    let said = check(&failed, Some(LINK), 65_535);
    assert_eq!((said.marks.len(), said.marks[49].line), (50, 50), "as many as GitHub takes");
    assert!(said.summary.contains("10 remarks more are not marked in their files."), "{}", said.summary);
    assert!(said.summary.starts_with("**Bascule** · `a1b2c3d` into `main`"), "{}", said.summary);
    assert!(!said.summary.contains("/bascule approve") && !said.summary.contains("b1:"), "{}", said.summary);
    assert!(said.summary.ends_with("[whole preview](<https://bascule.example.com/previews/17>)\n"));
    let short = check(&crowd(400, 3, 3), Some(LINK), 2_000);
    assert!(short.summary.len() <= 2_000, "{}", short.summary.len());
}
