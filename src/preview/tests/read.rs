//! The comment's texts themselves.

use super::*;

#[test]
fn a_pull_request_of_two_environments() {
    let shown = comment(&two_environments(), Some(LINK), 65_536);
    assert_eq!(shown.shows.len(), 2);
    insta::assert_snapshot!(shown.text, @"
    <!-- bascule:preview -->
    **Bascule** · `a1b2c3d` into `main` · 2 environments, 3 objects

    | environment | + | ~ | − | consent | deployment |
    |---|--:|--:|--:|---|---|
    | `staging` | 0 | 1 | 0 | none needed | after merge |
    | `production` | 0 | 1 | 1 | 1 of 2: `lee` (not counted: `kim`) | after merge, after `staging` (healthy for `10m`), after `ci/test` is green, `Mon–Fri 09:00–17:00 (Europe/Berlin)` |

    ⚠ `production` removes **Service `shop/legacy`**

    - image `shop/web:1.26` → `shop/web:1.27`: `staging` Deployment `shop-staging/web`, `production` Deployment `shop/web`

    production needs 1 more of: `@ann`, `@bob` (group sre) beside `@lee`; `@kim`'s does not count: contributor: opened the pull request

    To consent to exactly this:

    - `/bascule approve production 9f9f9f9f9f9f` (1 object removed)

    No consent is needed for `staging` `b1:9f9f9f9f9f9f`

    <details><summary><b>staging</b>: <code>Deployment shop-staging/web</code></summary>

    **Deployment `shop-staging/web`** changed, +1 −1 · `deploy/web.yaml`

    ```diff
    @@ spec.template.spec.containers[web] @@
           - name: web
    -        image: shop/web:1.26
    +        image: shop/web:1.27
    ```

    </details>

    <details><summary><b>production</b>: <code>Deployment shop/web, Service shop/legacy</code></summary>

    **Deployment `shop/web`** changed, +1 −1 · `deploy/web.yaml`

    ```diff
    @@ spec.template.spec.containers[web] @@
           - name: web
    -        image: shop/web:1.26
    +        image: shop/web:1.27
    ```

    </details>

    rendered by helm 4.3.1 in 0.4 s · [whole diff](<https://bascule.example.com/previews/17>)
    ");
}

#[test]
fn what_became_of_it_is_in_the_same_comment() {
    let mut page = two_environments();
    page.environments[0].deployment = Deployment::Healthy { number: 41, kept: String::new() };
    page.environments[1].deployment = Deployment::Failed {
        number: 12,
        object: Some(key("web")),
        why: "2 of 3 pods are not ready: ImagePullBackOff registry.example.com/shop/web:1.27".to_owned(),
        runbook: Some("https://wiki.example.com/shop?x=1".to_owned()),
    };
    page.environments[1].consent = Consent::Asked {
        wanted: 2,
        given: 2,
        counted: vec!["lee".to_owned(), "ann".to_owned()],
        not_counted: Vec::new(),
        missing: String::new(),
        deletions: None,
    };
    page.answers = vec![
        Answer { to: "kim".to_owned(), asked: 0, answered: Answered::Help },
        Answer {
            to: "ann".to_owned(),
            asked: 0,
            answered: Answered::Approved {
                environments: vec!["production".parse().unwrap()],
                refused: vec!["staging asks for nothing".to_owned()],
            },
        },
    ];
    let text = comment(&page, Some(LINK), 65_536).text;
    let (table, rest) = text.split_once("<details>").unwrap();
    let (_, answers) = rest.rsplit_once("</details>\n").unwrap();
    insta::assert_snapshot!(format!("{table}…{answers}"), @"
    <!-- bascule:preview -->
    **Bascule** · `a1b2c3d` into `main` · 2 environments, 3 objects

    | environment | + | ~ | − | consent | deployment |
    |---|--:|--:|--:|---|---|
    | `staging` | 0 | 1 | 0 | none needed | `#41` healthy |
    | `production` | 0 | 1 | 1 | given: `lee`, `ann` | `#12` **failed**, see below |

    ⚠ `production` removes **Service `shop/legacy`**

    - image `shop/web:1.26` → `shop/web:1.27`: `staging` Deployment `shop-staging/web`, `production` Deployment `shop/web`

    `production`: deployment `#12` failed at Deployment `shop/web`: 2 of 3 pods are not ready: ImagePullBackOff `registry.example.com/shop/web:1.27`; [runbook](<https://wiki.example.com/shop?x=1>)

    …
    > `kim`: the first line of a comment may say (ENV is a name, a glob or `stage=NAME`)
    > 
    > - `/bascule approve [ENV [DIGEST]] [--deletions N]`: consent to exactly the change shown (whom a rule names)
    > - `/bascule waive POLICY [ENV [DIGEST]] --reason …`: let what a policy denies pass, for this change only (whom that policy names)
    > - `/bascule revoke [ENV]`: take your approvals and waivers back, for ever
    > - `/bascule explain [ENV]`: what is missing and who can give it
    > - `/bascule preview`: render again, and move a held change on
    > - `/bascule sync ENV`: start a sync of what is covered (write access, or whom `may` names)
    > - `/bascule freeze ENV --reason … [--until 2h]`: sync nothing new for a while (write access, or whom `may` names)
    > - `/bascule unfreeze ENV`: end that
    > - `/bascule heal ENV`: apply again what drifted from the last deployment
    > - `/bascule adopt ENV [KIND/NAME]`: a pull request that writes what drifted into the repository, as it is in the cluster
    > - `/bascule emergency ENV --reason …`: let what waits there pass, as one of two (whom `may.emergency` names)
    > - `/bascule rollback ENV [--to N|COMMIT] [--reason …]`: go back to what was healthy before, and stay there (write access, or whom `may` names)
    > - `/bascule resume ENV`: end that, or try again after a failure
    > - `/bascule help`: this list

    > `ann` approved `production`. staging asks for nothing

    rendered by helm 4.3.1 in 0.4 s · [whole diff](<https://bascule.example.com/previews/17>)
    ");
}

#[test]
fn errors_conflicts_proposals_and_holds_are_previews_too() {
    let mut failed = page(vec![row(
        "production",
        RowChange::Failed {
            errors: vec![
                "deploy/web.yaml:3: Deployment web: has no apiVersion".to_owned(),
                "helm: exit 1\n  nil pointer".to_owned(),
            ],
            objects: Vec::new(),
        },
        Consent::NotNeeded,
        Deployment::Nothing,
    )]);
    failed.notes = vec!["the base does not render either, so this is shown against `a1b2c3d`".to_owned()];
    let mut conflict = page(Vec::new());
    conflict.outcome = Outcome::Conflict { paths: vec!["deploy/web.yaml".to_owned()] };
    let mut invalid = page(Vec::new());
    invalid.outcome = Outcome::RulesInvalid {
        errors: vec![".bascule.yaml:4:3: unknown key `environment`, did you mean `environments`?".to_owned()],
    };
    let mut untouched = page(Vec::new());
    untouched.outcome = Outcome::Untouched;
    let mut proposal = page(vec![row(
        "production",
        change(vec![
            object("web", Verb::Added, "deploy/web.yaml", Some(Live::Same)),
            object(
                "db",
                Verb::Added,
                "deploy/db.yaml",
                Some(Live::Conflict {
                    held: [("kubectl-client-side-apply".to_owned(), vec![".spec.replicas".to_owned()])].into(),
                }),
            ),
        ]),
        Consent::NotNeeded,
        Deployment::AfterMerge { after: Vec::new(), soaks: BTreeMap::new(), checks: Vec::new(), windows: Vec::new() },
    )]);
    proposal.subject = Subject::Proposal { head: "a".repeat(40).parse().unwrap(), into: "main".to_owned() };
    let mut held = page(vec![row(
        "production",
        change(vec![object("web", Verb::Removed, "deploy/web.yaml", None)]),
        Consent::Asked {
            wanted: 1,
            given: 0,
            counted: Vec::new(),
            not_counted: Vec::new(),
            missing: "production needs 1 more of: group sre".to_owned(),
            deletions: None,
        },
        Deployment::Held {
            reason: "uncovered".to_owned(),
            detail: "its newest commit is not covered".to_owned(),
            lifts: "/bascule approve production 9f9f9f9f9f9f".to_owned(),
        },
    )]);
    held.subject = Subject::Held { commit: "b".repeat(40).parse().unwrap(), branch: "main".to_owned() };
    let all = [failed, conflict, invalid, untouched, proposal, held].map(|page| comment(&page, None, 65_536).text);
    insta::assert_snapshot!(all.join("\n════════\n"), @r"
        <!-- bascule:preview -->
        **Bascule** · `a1b2c3d` into `main` · 1 environment

        the base does not render either, so this is shown against `a1b2c3d`

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `production` | — | — | — | — | **does not render** |

        `production` does not render:

        ```text
        deploy/web.yaml:3: Deployment web: has no apiVersion
        helm: exit 1
          nil pointer
        ```


        ════════
        <!-- bascule:preview -->
        **Bascule** · `a1b2c3d` into `main` · cannot be merged as it is

        Merging conflicts in `deploy/web.yaml`. Nothing is computed before that is resolved.


        ════════
        <!-- bascule:preview -->
        **Bascule** · `a1b2c3d` into `main` · `.bascule.yaml` cannot be read

        Nothing is synced by rules that cannot be read; what is deployed stays as it is.

        ```text
        .bascule.yaml:4:3: unknown key `environment`, did you mean `environments`?
        ```


        ════════
        <!-- bascule:preview -->
        **Bascule** · `a1b2c3d` into `main` · nothing of ours is touched


        ════════
        <!-- bascule:preview -->
        **Bascule** · **proposal** · `aaaaaaa` into `main` · 1 environment, 2 objects

        This adds the first `.bascule.yaml`. Nothing is enforced before it is merged; then this would be ours:

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `production` | 2 | 0 | 0 | none needed | after merge |

        `production` in the cluster: 1 adopt unchanged, 1 conflict

        No consent is needed for `production` `b1:9f9f9f9f9f9f`

        <details><summary><b>production</b>: <code>Deployment shop/web, Deployment shop/db</code></summary>

        - Deployment `shop/web`: adopt unchanged
        - Deployment `shop/db`: ⚠ conflict with `kubectl-client-side-apply` at `.spec.replicas`

        **Deployment `shop/web`** added, +2 −1 · `deploy/web.yaml`

        ```diff
        @@ deploy/web.yaml @@
         deploy/web.yaml
        -deploy/web.yaml
        +deploy/web.yaml
        +x
        ```

        **Deployment `shop/db`** added, +2 −1 · `deploy/db.yaml`

        ```diff
        @@ deploy/db.yaml @@
         deploy/db.yaml
        -deploy/db.yaml
        +deploy/db.yaml
        +x
        ```

        </details>


        ════════
        <!-- bascule:preview -->
        **Bascule** · **held** · `bbbbbbb` of `main` waits for consent · 1 environment, 1 object

        | environment | + | ~ | − | consent | deployment |
        |---|--:|--:|--:|---|---|
        | `production` | 0 | 0 | 1 | 0 of 1 | **held**: `uncovered` |

        ⚠ `production` removes **Deployment `shop/web`**

        production needs 1 more of: group sre

        `production` is held: its newest commit is not covered. It is lifted by `/bascule approve production 9f9f9f9f9f9f`

        To consent to exactly this:

        - `/bascule approve production 9f9f9f9f9f9f` (1 object removed)
        ");
}

#[test]
fn what_takes_more_along_is_removed_on_a_line_of_its_own_and_the_number_is_in_the_line_to_type() {
    let kinds = [
        ("", "Service"),
        ("apps", "StatefulSet"),
        ("", "PersistentVolumeClaim"),
        ("", "Namespace"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("example.com", "Namespace"),
    ];
    let gone = |(group, kind): (&str, &str)| {
        let mut gone = object("db", Verb::Removed, "x", None);
        (gone.diff.key.group, gone.diff.key.kind) = (group.to_owned(), kind.to_owned());
        gone
    };
    let asked = Consent::Asked {
        wanted: 1,
        given: 0,
        counted: Vec::new(),
        not_counted: Vec::new(),
        missing: String::new(),
        deletions: Some(6),
    };
    let row = row("production", change(kinds.map(gone).to_vec()), asked, Deployment::Never);
    let shown = comment(&page(vec![row]), None, 65_536).text;
    let told = shown.lines().filter(|line| line.starts_with('⚠') || line.contains("/bascule approve"));
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @"
    ⚠ `production` removes **StatefulSet `shop/db`**, with its pods; the claims of its volumes stay
    ⚠ `production` removes **PersistentVolumeClaim `shop/db`**, and what it holds, unless its volume is retained
    ⚠ `production` removes **Namespace `shop/db`**, with everything in it
    ⚠ `production` removes **CustomResourceDefinition `shop/db`**, with every object of its kind
    ⚠ `production` removes **Service `shop/db`**, **Namespace `shop/db`**
    - `/bascule approve production 9f9f9f9f9f9f --deletions 6` (6 objects removed)
    ");
}

#[test]
fn what_the_forge_asks_for_before_it_merges_stands_beside_consent() {
    let rule = |name: &str, wanted, given: &[&str], is_met| MergeRule {
        name: name.to_owned(),
        wanted,
        given: given.iter().map(|login| (*login).to_owned()).collect(),
        is_met,
    };
    let merge_rules = vec![rule("security | *all*", 2, &["kim"], false), rule("All Members", 1, &["lee"], true)];
    let page = Page { merge_rules, ..two_environments() };
    let shown = comment(&page, None, 65_536).text;
    let told = shown.lines().find(|line| line.starts_with("Before it merges")).unwrap_or_default();
    insta::assert_snapshot!(told, @"Before it merges, the forge asks for approvals by rules of its own, which are no part of consent: `security | *all*` 1 of 2 (`kim`), `All Members` met (`lee`)");
}
