//! What the cluster says beside a change: the words.

use super::super::standing::{Admission, Drift, Drifted, Effect, Standing};
use super::*;
use crate::ids::EnvironmentName;

fn held(manager: &str, field: &str) -> std::collections::BTreeMap<String, Vec<String>> {
    [(manager.to_owned(), vec![field.to_owned()])].into()
}

fn one(name: &str, verb: Verb, admission: Option<Admission>, effect: Option<Effect>) -> ObjectChange {
    let mut one = object(name, verb, "x", None);
    (one.admission, one.effect, one.diff.body) = (admission, effect, Body::Name);
    one
}

fn drift(name: &str, how: Drifted) -> Drift {
    Drift { key: key(name), how, is_touched: false }
}

/// An environment of which everything can be said, with these names and sentences of others.
pub(super) fn everything(x: &str, prose: &str) -> EnvironmentRow {
    let why = || prose.to_owned();
    let taken =
        |warnings: &[&str]| Admission::Taken { warnings: warnings.iter().map(|one| (*one).to_owned()).collect() };
    let objects = vec![
        one("a", Verb::Changed, Some(taken(&[])), None),
        one("b", Verb::Added, Some(taken(&[prose])), Some(Effect::Adopted)),
        one("c", Verb::Changed, Some(Admission::Refused { why: why() }), None),
        one("d", Verb::Changed, Some(Admission::Conflict { held: held(x, x) }), None),
        one("e", Verb::Added, Some(Admission::Unasked { why: why() }), None),
        one("f", Verb::Changed, Some(taken(&[])), Some(Effect::Already)),
        one("g", Verb::Changed, Some(taken(&[])), Some(Effect::CreatedAgain)),
        one("h", Verb::Removed, None, Some(Effect::AlreadyGone)),
        one("i", Verb::Removed, None, Some(Effect::Stays { why: why() })),
        one("j", Verb::Changed, None, Some(Effect::Stops { why: why() })),
    ];
    let drift = vec![
        drift("k", Drifted::Fields { paths: vec![x.to_owned()], held: [].into() }),
        drift("l", Drifted::Fields { paths: Vec::new(), held: held(x, x) }),
        drift("m", Drifted::Gone),
        drift("n", Drifted::Replaced),
        drift("o", Drifted::Undeployed),
        drift("p", Drifted::LeftOver),
        Drift { is_touched: true, ..drift("a", Drifted::Gone) },
        drift("q", Drifted::Blocked { why: why() }),
        drift("r", Drifted::Unknown { why: why() }),
    ];
    let after = Deployment::AfterMerge {
        after: Vec::new(),
        soaks: std::collections::BTreeMap::new(),
        checks: Vec::new(),
        windows: Vec::new(),
    };
    let mut row = row("production", change(objects), Consent::NotNeeded, after);
    row.standing = Some(Standing { unknown: None, drift, more: 0 });
    row
}

fn quiet(name: &str) -> EnvironmentRow {
    let taken = Admission::Taken { warnings: Vec::new() };
    let mut row = EnvironmentRow {
        change: change(vec![one("web", Verb::Changed, Some(taken), None)]),
        name: name.parse::<EnvironmentName>().unwrap(),
        ..everything("", "")
    };
    row.standing = Some(Standing { unknown: None, drift: Vec::new(), more: 0 });
    row
}

fn beside(rows: Vec<EnvironmentRow>) -> String {
    let text = comment(&page(rows), None, 65_536).text;
    let table = text.lines().skip_while(|line| !line.contains("live → base"));
    table.take_while(|line| !line.starts_with("No consent")).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

#[test]
fn each_baseline_stands_under_its_own_name_and_what_is_as_expected_is_not_said_twice() {
    let mut away = quiet("away");
    away.standing.as_mut().unwrap().unknown = Some("no answer within 5 s".to_owned());
    if let RowChange::Change { objects, .. } = &mut away.change {
        objects[0].admission = Some(Admission::Unasked { why: "no answer within 5 s".to_owned() });
    }
    insta::assert_snapshot!(beside(vec![everything(".data.x", "said"), quiet("quiet"), away]), @r"
    | environment | change: base → merged | effect now: live → merged | drift already: live → base | API server |
    |---|---|---|---|---|
    | `production` | 2 added, 6 changed, 2 removed | the change, but 1 adopted, 1 already so, 1 created again, 1 already gone, 1 stays, 1 stops it; also puts drift right in 3 objects, brings what is not deployed yet in 1 object, removes what is left over: 1 object, stops at drift in 2 objects | 2 changed, 2 gone, 1 made anew, 1 not deployed yet, 1 left over, 1 blocked, 1 not known | ✗ 1 refused, ✗ 1 in conflict, – 2 not asked, ✓ 4 taken |
    | `quiet` | 1 changed | the change | none | ✓ takes it |
    | `away` | 1 changed | not known | not known | – 1 not asked |

    `away`: effect and drift are not known: no answer within 5 s

    - `production` Deployment `shop/c` (`x`): ✗ the API server refuses it: said
    - `production` Deployment `shop/d` (`x`): ✗ a sync would stop at a conflict: `.data.x` held by `.data.x`
    - `production` effect: Deployment `shop/j`: the sync would stop there: said
    - `production` drift: Deployment `shop/k`: `.data.x`; applying now puts it right
    - `production` drift: Deployment `shop/l`: `.data.x` held by `.data.x`; applying now stops there: nothing is taken from others
    - `production` drift: Deployment `shop/m`: it is gone; applying now creates it again
    - `production` drift: Deployment `shop/n`: somebody made another one; applying now adopts it
    - `production` drift: Deployment `shop/p`: still there, though the base has it no more; applying now removes it
    - `production` drift: Deployment `shop/a`: it is gone
    - `production` drift: Deployment `shop/q`: said; applying now stops there
    - `production` drift: Deployment `shop/r`: not known: said
    - `production` effect: Deployment `shop/b`: it is in the cluster already, and would be adopted
    - `production` effect: Deployment `shop/f`: nothing: the cluster has it so already
    - `production` effect: Deployment `shop/g`: it is gone in the cluster, and would be created
    - `production` effect: Deployment `shop/h`: nothing: it is gone already
    - `production` effect: Deployment `shop/i`: it would stay: said
    - `production` Deployment `shop/b` (`x`): ✓ the API server takes it, and warns: said
    - `production` Deployment `shop/e` (`x`): not asked of the API server: said
    - `away` Deployment `shop/web` (`x`): not asked of the API server: no answer within 5 s
    ");
}

#[test]
fn once_a_sync_has_begun_nothing_is_claimed_of_what_applying_now_would_do() {
    let mut row = everything(".data.x", "said");
    for begun in [Deployment::Queued, Deployment::Running { number: 4 }] {
        row.deployment = begun;
        assert_eq!(beside(vec![row.clone()]), "");
    }
    row.deployment = Deployment::Never;
    assert_ne!(beside(vec![row.clone()]), "");
    row.standing = None;
    assert_eq!(beside(vec![row]), "", "nor of what was never compared");
}

#[test]
fn a_tick_stands_for_an_answer_that_is_of_today() {
    let mut row = quiet("web");
    let RowChange::Change { objects, .. } = &mut row.change else { unreachable!("it changes") };
    objects[0].diff.body = Body::Hunks(Vec::new());
    let has_tick = |row: &EnvironmentRow| {
        let page = page(vec![row.clone()]);
        [comment(&page, None, 65_536).text, terminal(&page, Look::Plain)].map(|text| text.contains("✓ API server"))
    };
    assert_eq!(has_tick(&row), [true; 2]);
    row.deployment = Deployment::Queued;
    assert_eq!(has_tick(&row), [false; 2], "its sync has begun");
    row.deployment = Deployment::Never;
    row.standing = None;
    assert_eq!(has_tick(&row), [false; 2], "as it was shown before");
}

#[test]
fn the_terminal_has_the_same_three() {
    let text = terminal(&page(vec![everything(".data.x", "said")]), Look::Plain);
    let lines = text.lines().take_while(|line| !line.starts_with('~') && !line.starts_with("  \u{26a0} reached"));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
    Bascule · a1b2c3d into main · 1 environment, 10 objects

    production prod/shop: +2 ~6 −2
      ⚠ removes Deployment shop/h, Deployment shop/i
      change: base → merged       2 added, 6 changed, 2 removed
      effect now: live → merged   the change, but 1 adopted, 1 already so, 1 created again, 1 already gone, 1 stays, 1 stops it; also puts drift right in 3 objects, brings what is not deployed yet in 1 object, removes what is left over: 1 object, stops at drift in 2 objects
      drift already: live → base  2 changed, 2 gone, 1 made anew, 1 not deployed yet, 1 left over, 1 blocked, 1 not known
      API server                  ✗ 1 refused, ✗ 1 in conflict, – 2 not asked, ✓ 4 taken
      Deployment shop/c (x): ✗ the API server refuses it: said
      Deployment shop/d (x): ✗ a sync would stop at a conflict: .data.x held by .data.x
      effect: Deployment shop/j: the sync would stop there: said
      drift: Deployment shop/k: .data.x; applying now puts it right
      drift: Deployment shop/l: .data.x held by .data.x; applying now stops there: nothing is taken from others
      drift: Deployment shop/m: it is gone; applying now creates it again
      drift: Deployment shop/n: somebody made another one; applying now adopts it
      drift: Deployment shop/p: still there, though the base has it no more; applying now removes it
      drift: Deployment shop/a: it is gone
      drift: Deployment shop/q: said; applying now stops there
      drift: Deployment shop/r: not known: said
      effect: Deployment shop/b: it is in the cluster already, and would be adopted
      effect: Deployment shop/f: nothing: the cluster has it so already
      effect: Deployment shop/g: it is gone in the cluster, and would be created
      effect: Deployment shop/h: nothing: it is gone already
      effect: Deployment shop/i: it would stay: said
      Deployment shop/b (x): ✓ the API server takes it, and warns: said
      Deployment shop/e (x): not asked of the API server: said
    ");
}

#[test]
fn a_refusal_is_red_and_silence_is_where_an_answer_is_required() {
    let said = |row: EnvironmentRow| {
        let status = preview_status(&page(vec![row]));
        format!("{:?}: {}", status.state, status.description)
    };
    let mut lines = vec![said(everything(".data.x", "said")), said(quiet("quiet"))];
    let mut unasked = quiet("away");
    if let RowChange::Change { objects, .. } = &mut unasked.change {
        objects[0].admission = Some(Admission::Unasked { why: "its namespace is new".to_owned() });
    }
    lines.push(said(unasked.clone()));
    unasked.admission_is_required = true;
    lines.push(said(unasked));
    insta::assert_snapshot!(lines.join("\n"), @r"
    Failure: the API server would not take 2 objects: production
    Success: 1 object in 1 environment would change
    Success: 1 object in 1 environment would change
    Failure: the API server was not asked about 1 object, and has to be (admission): away
    ");
}
