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
