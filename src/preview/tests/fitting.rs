//! The forge's limit.

use super::inert::tree;
use super::*;

#[test]
fn over_the_limit_whole_objects_leave_and_are_named() {
    let text = comment(&crowd(2, 6, 200), Some(LINK), 30_000).text;
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("+a line")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
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


        Not shown here for want of room: 5 objects: `edge-0` Deployment `shop/web-0-4`, `edge-1` Deployment `shop/web-1-0`, `edge-1` Deployment `shop/web-1-1`, `edge-1` Deployment `shop/web-1-3`, `edge-1` Deployment `shop/web-1-4`.
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
