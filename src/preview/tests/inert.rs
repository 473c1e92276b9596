//! Section F of what comes in: nothing from outside becomes Markdown, a control sequence, or somebody else's word.

use comrak::nodes::NodeValue;
use comrak::{Arena, Options, parse_document};

use super::*;

/// What a repository, a forge or a tool may put into any name, value or message.
pub(super) fn payloads() -> Vec<String> {
    let mut all: Vec<String> = [
        "~~~",
        "</details>",
        MARKER,
        "-->",
        "@org/team",
        "@lee",
        "#1",
        "org/repo#1",
        "GH-1",
        "[x](javascript:alert(1))",
        "javascript:alert(1)",
        "![x](https://evil.example.com/x.png)",
        "<img src=https://evil.example.com/x.png>",
        "<script>alert(1)</script>",
        "https://evil.example.com",
        "www.evil.example.com",
        "a@evil.example.com",
        "[x]: https://evil.example.com",
        "<https://evil.example.com>",
        "\u{1b}[31mred",
        "\u{202e}gnp.exe",
        "a\u{200b}b",
        "a\u{2066}b",
        "two\nlines",
        "two\r\n\r\nlines",
        "# heading",
        "\n# heading\n",
        "- [ ] task",
        "1. list",
        "> quote",
        "| a | b |",
        "a | b",
        "a \\| b",
        "a \\\\| b",
        "\\",
        "`",
        "` ` `",
        "`a`",
        " a ",
        "**bold**",
        "_em_",
        "~~strike~~",
        ":smile:",
        "$x$",
        "&amp;",
        "&#64;org",
        "0123456789abcdef0123456789abcdef01234567",
        "a\tb",
        "\u{0}",
        "</code></summary><b>",
        "$(x)",
        "/bascule approve production abcdabcd",
        "[^1]",
        "    indented",
        "---",
        "***",
        "===",
        "+++",
        "<details><summary>x",
    ]
    .map(str::to_owned)
    .to_vec();
    all.extend((2..=50).map(|n| "`".repeat(n)));
    all.extend((3..=8).map(|n| format!("x\n{}\n# out", "`".repeat(n))));
    all.push("x".repeat(5_000));
    all
}

/// The parsed document, a node on each line: what kind, and its own text passed through `own`.
pub(super) fn tree(markdown: &str, own: &dyn Fn(&str, &str) -> String) -> String {
    let arena = Arena::new();
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.autolink = true;
    options.extension.strikethrough = true;
    options.extension.tasklist = true;
    options.extension.footnotes = true;
    options.extension.alerts = true;
    let root = parse_document(&arena, markdown, &options);
    let mut out = String::new();
    for node in root.descendants() {
        let depth = node.ancestors().count();
        let value = &node.data().value;
        let in_cell = node.ancestors().any(|one| matches!(one.data().value, NodeValue::TableCell));
        let line = match value {
            NodeValue::Text(text) => format!("Text {}", own("Text", text)),
            NodeValue::Code(code) if in_cell => format!("Code {}", own("Cell", &code.literal)),
            NodeValue::Code(code) => format!("Code {}", own("Code", &code.literal)),
            NodeValue::CodeBlock(block) => format!("CodeBlock {} {}", block.info, own(&block.info, &block.literal)),
            NodeValue::HtmlBlock(block) => format!("HtmlBlock {}", own("HtmlBlock", &block.literal)),
            NodeValue::HtmlInline(text) => format!("HtmlInline {text}"),
            NodeValue::Link(link) | NodeValue::Image(link) => format!("{} {}", value.xml_node_name(), link.url),
            other => other.xml_node_name().to_owned(),
        };
        out.push_str(&format!("{depth} {line}\n"));
    }
    out
}

#[test]
fn no_name_or_value_changes_the_documents_nodes_or_says_anything_but_itself() {
    let written = |x: &str| comment(&page_of(x, "is z_z"), Some(LINK), 1_000_000).text;
    let benign = written("zzz");
    for payload in payloads() {
        // What a place shows of the payload, told apart by the node it stands in.
        let own = |place: &str, text: &str| {
            let name = clip(&payload, NAME);
            let shown = match place {
                "Cell" => visible(&name).replace('|', "¦"),
                "HtmlBlock" => html(&payload),
                "diff" => visible(&payload),
                "text" => clip(&payload, 2_000).split('\n').map(visible).collect::<Vec<_>>().join("\n"),
                _ => return text.replace("zzz", &visible(&name)).replace("zzz", &visible(&payload)),
            };
            text.replace("zzz", &shown)
        };
        let evil = tree(&written(&payload), &|_, text| text.to_owned());
        let wanted = tree(&benign, &own);
        // Names are cut at some places and whole at others; long ones are compared by shape.
        let shape = |tree: &str| tree.lines().filter_map(|line| line.split(' ').nth(1)).collect::<Vec<_>>().join("\n");
        if payload.len() > NAME {
            assert_eq!(shape(&evil), shape(&wanted));
        } else {
            assert_eq!(evil, wanted, "{payload:?}");
        }
    }
}

#[test]
fn no_sentence_becomes_more_than_words_and_code() {
    let ours = tree(&comment(&page_of("z_z", "is z_z"), Some(LINK), 1_000_000).text, &|_, _| String::new());
    let blocks = |tree: &str| -> Vec<String> {
        let inline = ["Text", "Code", "softbreak"];
        tree.lines().filter(|line| !inline.contains(&line.split(' ').nth(1).unwrap())).map(str::to_owned).collect()
    };
    for payload in payloads() {
        for sentence in
            [payload.clone(), format!("before {payload} after"), format!("before `{payload}` after {payload}")]
        {
            let text = comment(&page_of("z_z", &sentence), Some(LINK), 1_000_000).text;
            let evil = tree(&text, &|place, text| {
                let plain = |c: char| c.is_alphanumeric() || " '\",-./:;?!()…–—−→·+⚠✓✗=".contains(c);
                let named = ["www.", "GH-", "http", "0123456789abcdef"].iter().any(|shape| text.contains(shape));
                // The head of a column is ours.
                assert!(
                    place != "Text" || text == "~" || text.chars().all(plain) && !named,
                    "{text:?} of {sentence:?}"
                );
                String::new()
            });
            assert_eq!(blocks(&evil), blocks(&ours), "{sentence:?}");
        }
    }
}

#[test]
fn even_the_longest_words_stay_within_the_limit() {
    for payload in ["\u{202e}".repeat(9_000), "`".repeat(9_000), "a@b.c ".repeat(9_000), "&".repeat(9_000)] {
        let mut page = page_of(&payload, &payload);
        page.notes = vec![payload.clone(); 100];
        page.answers.extend(page.answers.clone());
        assert!(comment(&page, Some(LINK), 65_536).text.len() <= 65_536);
        page.outcome = Outcome::RulesInvalid { errors: vec![payload.clone(); 100] };
        assert!(comment(&page, Some(LINK), 65_536).text.len() <= 65_536);
        page.outcome = Outcome::Conflict { paths: vec![payload.clone(); 100] };
        assert!(comment(&page, Some(LINK), 65_536).text.len() <= 65_536);
    }
}

#[test]
fn a_marker_is_ours_only_at_the_beginning() {
    for payload in payloads() {
        let text = comment(&page_of(&payload, &payload), None, 65_536).text;
        assert!(is_marked(&text));
        assert_eq!(tree(&text, &|_, text| text.to_owned()).matches("HtmlBlock <!--").count(), 1, "{payload:?}");
    }
    assert!(!is_marked(&format!("look: {MARKER}")));
}
