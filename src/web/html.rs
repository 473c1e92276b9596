//! A page, written so that nothing of a repository can be markup in it: our own text is `&'static str`, everything else
//! passes through [`Html::text`], and the policy that goes with every answer forbids scripts, frames and requests.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::manifest::visible;

/// The one style sheet, within the page: dark where the reader's system is, lines broken where they do not fit.
const STYLE: &str = include_str!("style.css");

/// The style's digest, by which a browser knows it.
static STYLE_HASH: LazyLock<String> = LazyLock::new(|| STANDARD.encode(Sha256::digest(STYLE)));

/// What a browser may do with an answer of ours: apply our style, send its forms to `forms`, nothing else.
pub(super) fn policy(forms: &str) -> String {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action {forms}; frame-ancestors 'none'",
        *STYLE_HASH
    )
}

/// A page being written.
pub(super) struct Html(String);

impl Html {
    /// Begins a page.
    pub(super) fn begin(title: &str) -> Self {
        let mut page = Self(String::new());
        page.ours("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">")
            .ours("<meta name=\"viewport\" content=\"width=device-width\"><title>")
            .text(title)
            .ours("</title><style>")
            .ours(STYLE)
            .ours("</style></head><body>");
        page
    }

    /// Markup of ours.
    pub(super) fn ours(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Anything: escaped, and without invisible characters.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for c in visible(text).chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        self
    }

    /// Anything, between two pieces of ours.
    pub(super) fn within(&mut self, before: &'static str, text: &str, after: &'static str) -> &mut Self {
        self.ours(before).text(text).ours(after)
    }

    /// Ends the page.
    pub(super) fn end(mut self) -> String {
        self.ours("</body></html>\n");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The colours of each scheme, by the names the rules use: the first is light, the second dark.
    fn schemes() -> [Vec<(&'static str, [f64; 3])>; 2] {
        let block = |from: &str| {
            let (_, rest) = STYLE.split_once(from).unwrap();
            let (inside, _) = rest.split_once('}').unwrap();
            let named = inside.split(';').filter_map(|one| one.trim().strip_prefix("--")?.split_once(':'));
            named.map(|(name, value)| (name, colour(value))).collect::<Vec<_>>()
        };
        [block(":root{"), block("(prefers-color-scheme:dark){:root{")]
    }

    fn colour(text: &str) -> [f64; 3] {
        let digits =
            text.strip_prefix('#').unwrap_or_else(|| panic!("{text}: a colour of a scheme is written #rrggbb"));
        let each = if digits.len() == 3 { 1 } else { 2 };
        [0, 1, 2].map(|at| {
            let digits = &digits[at * each..][..each];
            f64::from(u8::from_str_radix(&digits.repeat(2 / each), 16).unwrap()) / 255.0
        })
    }

    /// How much two colours differ in brightness, as WCAG 2.2 has it: from 1 to 21.
    fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
        let bright = |colour: [f64; 3]| {
            let [red, green, blue] =
                colour.map(|part| if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) });
            0.2126 * red + 0.7152 * green + 0.0722 * blue
        };
        let (one, other) = (bright(one), bright(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// The names that are used for a property.
    fn used(property: &str) -> Vec<&'static str> {
        let mut names: Vec<_> = STYLE
            .match_indices(property)
            .filter(|(at, _)| STYLE[..*at].ends_with(['{', ';']))
            .map(|(at, _)| {
                let value = &STYLE[at + property.len()..];
                let value = &value[..value.find([';', '}']).unwrap()];
                if value == "inherit" {
                    return "ink";
                }
                let name = value.strip_prefix("var(--").and_then(|rest| rest.strip_suffix(')'));
                name.unwrap_or_else(|| panic!("{property}{value}: no colour of a scheme"))
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    #[test]
    fn text_of_every_colour_can_be_read_on_every_ground_light_and_dark() {
        assert_eq!(contrast(colour("#000"), colour("#ffffff")).round() as u8, 21);
        let (texts, grounds) = (used("color:"), used("background:"));
        assert!(texts.len() >= 4 && grounds.len() >= 4, "{texts:?} {grounds:?}");
        for scheme in schemes() {
            let of = |name: &str| scheme.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name}")).1;
            for text in &texts {
                for ground in &grounds {
                    let found = contrast(of(text), of(ground));
                    assert!(found >= 4.5, "{text} on {ground}: {found:.2}");
                }
            }
            // What is to be seen without being read: the edge of what can be typed into.
            assert!(contrast(of("quiet"), of("paper")) >= 3.0);
        }
    }
}
