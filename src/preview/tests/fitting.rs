//! The forge's limit.

use super::inert::tree;
use super::*;
use crate::preview::Admission;

#[test]
fn over_the_limit_whole_objects_leave_and_are_named() {
    let text = comment(&crowd(2, 6, 200), Some(LINK), 30_000).text;
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("+a line")).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    <!-- bascule:preview -->
    **Bascule** · `a1b2c3d` into `main` · 2 environments, 12 objects

    | environment | + | ~ | − | consent | deployment |
    |---|--:|--:|--:|---|---|
    | `edge-0` | 0 | 4 | 2 | 0 of 1 | never: preview and consent only |
    | `edge-1` | 0 | 4 | 2 | 0 of 1 | never: preview and consent only |

    ⚠ `edge-0` removes **Deployment `shop/web-0-2`**, **Deployment `shop/web-0-5`**

    ⚠ `edge-1` removes **Deployment `shop/web-1-2`**, **Deployment `shop/web-1-5`**

    e needs 1 more of: group sre

    e needs 1 more of: group sre

    To consent to exactly this:

    - `/bascule approve edge-0 9f9f9f9f9f9f` (2 objects removed)
    - `/bascule approve edge-1 9f9f9f9f9f9f` (2 objects removed)

    <details><summary><b>edge-0</b>: <code>Deployment shop/web-0-0, Deployment shop/web-0-1, Deployment shop/web-0-2, Deployment shop/web-0-3, …</code></summary>

    **Deployment `shop/web-0-0`** changed, +2 −1 · `x`

    ```diff
    @@ x @@
    ```

    **Deployment `shop/web-0-1`** changed, +2 −1 · `x`

    ```diff
    @@ x @@
    ```

    **Deployment `shop/web-0-3`** changed, +2 −1 · `x`

    ```diff
    @@ x @@
    ```

    </details>


    Not shown here for want of room: 5 objects.

    - `edge-0`: Deployment `shop/web-0-4` (changed, +2 −1)
    - `edge-1`: Deployment `shop/web-1-0` (changed, +2 −1), Deployment `shop/web-1-1` (changed, +2 −1), Deployment `shop/web-1-3` (changed, +2 −1), Deployment `shop/web-1-4` (changed, +2 −1)

    [**everything**](<https://bascule.example.com/previews/17>)
    ");
}

#[test]
fn no_limit_is_passed_and_nothing_is_cut_in_the_middle() {
    for (environments, objects, lines) in
        [(1, 1, 0), (3, 4, 40), (1, 2_000, 3), (40, 30, 5), (1_000, 1, 2), (2_000, 2, 1)]
    {
        let page = crowd(environments, objects, lines);
        for limit in [5_000, 20_000, 65_536] {
            let Comment { text, shows } = comment(&page, Some(LINK), limit);
            assert!(text.len() <= limit, "{environments} {objects} {lines}: {} > {limit}", text.len());
            let nodes = tree(&text, &|_, text| text.to_owned());
            let count = |what: &str| nodes.matches(what).count();
            assert_eq!(count("HtmlBlock <details>"), count("HtmlBlock </details>"), "sections are closed");
            assert!(!nodes.contains("HtmlInline") && text.ends_with(")\n"), "the end is there");
            for name in &shows {
                assert!(text.contains(&format!("approve {name} 9f9f9f9f9f9f")), "{name} is said to be shown");
            }
            let all =
                page.environments.iter().filter(|row| text.contains(&format!("approve {} 9f9f9f9f9f9f", row.name)));
            assert_eq!(all.count(), shows.len(), "what is in the text is said to be");
        }
    }
    let thousand = comment(&crowd(1_000, 1, 2), Some(LINK), 65_536);
    assert_eq!(thousand.shows.len(), 1_000, "a thousand environments can be consented to in one comment");
}

/// An object with one changed line in the middle of so many others.
fn long(name: &str, around: usize) -> ObjectChange {
    let mut one = object(name, Verb::Changed, "x", None);
    let same = |n| format!(" an unchanged line of about forty bytes {n}");
    let lines =
        (0..around).map(same).chain(["-old".to_owned(), "+new".to_owned()]).chain((around..2 * around).map(same));
    one.diff.body = Body::Hunks(vec![Hunk { path: "spec".to_owned(), lines: lines.collect() }]);
    one
}

#[test]
fn unchanged_lines_leave_before_any_object_does() {
    let objects = |around| (0..9).map(|n| long(&format!("web-{n}"), around)).collect();
    let page = |around| page(vec![row("a", change(objects(around)), Consent::NotNeeded, Deployment::Never)]);
    let text = comment(&page(40), Some(LINK), 8_000).text;
    assert!(text.len() <= 8_000 && !text.contains("Not shown here"), "{text}");
    assert_eq!((text.matches("\n-old\n+new\n").count(), text.matches("unchanged line of").count()), (9, 18), "{text}");
    assert!(text.contains("Unchanged lines around the changes are left out here") && text.contains("[**everything**]"));

    let less = text.len() - 400;
    let tight = comment(&page(40), Some(LINK), less).text;
    assert!(tight.len() <= less, "{tight}");
    assert_eq!(
        (tight.matches("\n-old\n+new\n").count(), tight.matches("unchanged line of").count()),
        (9, 0),
        "{tight}"
    );
    let roomy = comment(&page(3), Some(LINK), 8_000).text;
    assert!(!roomy.contains("left out") && roomy.contains("[whole diff]"), "{roomy}");
}

#[test]
fn what_is_of_interest_stays_wherever_it_stands_and_the_others_are_named_with_their_counts() {
    let with = |name: &str, verb, alter: fn(&mut ObjectChange)| {
        let mut one = object(name, verb, "x", None);
        if let Body::Hunks(hunks) = &mut one.diff.body {
            hunks[0].lines = vec!["+a line of forty characters, to fill a page".to_owned(); 30];
        }
        (one.diff.plus, one.diff.minus) = (30, 0);
        alter(&mut one);
        one
    };
    let image = |one: &mut ObjectChange| {
        let container = "web".to_owned();
        one.diff.notable = vec![Notable::Image { container, old: Some("a:1".to_owned()), new: Some("a:2".to_owned()) }];
    };
    let rights = |one: &mut ObjectChange| {
        one.diff.notable = vec![Notable::Access { given: true, what: "get secrets".to_owned() }];
    };
    let refused = |one: &mut ObjectChange| one.admission = Some(Admission::Refused { why: "no".to_owned() });
    let objects = vec![
        with("new", Verb::Added, |_| {}),
        with("plain", Verb::Changed, |_| {}),
        with("image", Verb::Changed, image),
        with("rights", Verb::Added, rights),
        with("refused", Verb::Added, refused),
    ];
    let page = page(vec![row("a", change(objects), Consent::NotNeeded, Deployment::Never)]);
    // Room for one less each time.
    let kept = |limit: usize| {
        let text = comment(&page, Some(LINK), limit).text;
        assert!(text.len() <= limit, "{limit}: {text}");
        let shown = |name: &&str| text.contains(&format!("**Deployment `shop/{name}`**"));
        let names: Vec<&str> = ["new", "plain", "image", "rights", "refused"].into_iter().filter(shown).collect();
        let gone = text.lines().find(|line| line.starts_with("- `a`: ")).unwrap_or_default().to_owned();
        format!("{}; {gone}", names.join(" "))
    };
    insta::assert_snapshot!([9_000, 7_000, 5_700, 4_300, 2_900].map(kept).join("\n"), @"
    new plain image rights refused; 
    plain image rights refused; - `a`: Deployment `shop/new` (added, +30 −0)
    image rights refused; - `a`: Deployment `shop/new` (added, +30 −0), Deployment `shop/plain` (changed, +30 −0)
    rights refused; - `a`: Deployment `shop/new` (added, +30 −0), Deployment `shop/plain` (changed, +30 −0), Deployment `shop/image` (changed, +30 −0)
    rights; - `a`: Deployment `shop/new` (added, +30 −0), Deployment `shop/plain` (changed, +30 −0), Deployment `shop/image` (changed, +30 −0), Deployment `shop/refused` (added, +30 −0)
    ");
}

#[test]
fn what_a_rule_hides_is_counted_at_its_object_and_at_the_end() {
    let mut only = object("web", Verb::Changed, "x", None);
    only.diff.body = Body::Hunks(Vec::new());
    only.diff.hidden = [("checksums".to_owned(), 1)].into();
    (only.diff.plus, only.diff.minus) = (0, 0);
    let mut some = object("api", Verb::Changed, "x", None);
    some.diff.hidden = [("checksums".to_owned(), 1), ("replicas".to_owned(), 1)].into();
    let page = page(vec![row("a", change(vec![only, some]), Consent::NotNeeded, Deployment::Never)]);
    insta::assert_snapshot!(comment(&page, Some(LINK), 60_000).text, @"
    <!-- bascule:preview -->
    **Bascule** · `a1b2c3d` into `main` · 1 environment, 2 objects

    | environment | + | ~ | − | consent | deployment |
    |---|--:|--:|--:|---|---|
    | `a` | 0 | 2 | 0 | none needed | never: preview and consent only |

    No consent is needed for `a` `b1:9f9f9f9f9f9f`

    <details><summary><b>a</b>: <code>Deployment shop/web, Deployment shop/api</code></summary>

    **Deployment `shop/web`** changed, +0 −0 · `x` · 1 field hidden by rule


    **Deployment `shop/api`** changed, +2 −1 · `x` · 2 fields hidden by rule

    ```diff
    @@ x @@
     x
    -x
    +x
    +x
    ```

    </details>

    3 fields hidden by rule (`checksums` 2, `replicas` 1) · [whole diff](<https://bascule.example.com/previews/17>)
    ");
    insta::assert_snapshot!(terminal(&page, Look::Plain), @"
    Bascule · a1b2c3d into main · 1 environment, 2 objects

    a prod/shop: +0 ~2 −0
    ~ Deployment shop/web  x
      1 field hidden by rule
    ~ Deployment shop/api  x
      2 fields hidden by rule
      @@ x @@
       x
      -x
      +x
      +x

    3 fields hidden by rule (checksums 2, replicas 1)
    ");
}
