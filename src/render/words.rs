//! What a chart's text says that matters beyond helm: words that reach further files, ask about the cluster, or give something
//! else each time.
//!
//! A function is called by its name, so a text that has not the name does not call it. The one way around is a name that is
//! put together and handed to `tpl`; what such a chart gives is compared once more before a sync.

/// How files beyond templates and values are reached.
const REACH: &str = "Files";
/// How the cluster is asked about.
const CLUSTER: &str = "Capabilities";
/// The functions of helm that may give something else the next time: they draw random values, make keys and certificates,
/// salt, read the clock (`date` and its like do, of what is no time), or go through a map in any order.
const UNSTEADY: [&str; 27] = [
    "ago",
    "bcrypt",
    "date",
    "dateInZone",
    "date_in_zone",
    "encryptAES",
    "genCA",
    "genCAWithKey",
    "genPrivateKey",
    "genSelfSignedCert",
    "genSelfSignedCertWithKey",
    "genSignedCert",
    "genSignedCertWithKey",
    "htmlDate",
    "htmlDateInZone",
    "htpasswd",
    "keys",
    "now",
    "randAlpha",
    "randAlphaNum",
    "randAscii",
    "randBytes",
    "randInt",
    "randNumeric",
    "shuffle",
    "uuidv4",
    "values",
];
/// How a text is made a template.
const TEMPLATE: &str = "tpl";

/// What was said in the texts that were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// Files beyond templates and values may be read.
    pub(super) reaches: bool,
    /// What comes out may depend on the cluster.
    pub(super) asks_cluster: bool,
    /// What comes out may be something else each time.
    pub(super) is_unsteady: bool,
    /// Texts are made templates.
    makes_templates: bool,
}

impl Words {
    /// Takes in a template, or what may be made one.
    pub(super) fn read(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        // What is quoted may be made a template as well.
        for (_, code) in pieces(&text).into_iter().filter(|(piece, _)| *piece != Piece::Text) {
            for word in code.split(|c: char| !is_of_word(c)) {
                self.reaches |= word == REACH;
                self.asks_cluster |= word == CLUSTER;
                self.is_unsteady |= UNSTEADY.contains(&word);
                self.makes_templates |= word == TEMPLATE;
            }
        }
    }

    /// The same, with what was said elsewhere.
    pub(super) fn join(&mut self, other: Self) {
        self.reaches |= other.reaches;
        self.asks_cluster |= other.asks_cluster;
        self.is_unsteady |= other.is_unsteady;
        self.makes_templates |= other.makes_templates;
    }

    /// Whether texts are made templates, which may be any that it reads.
    pub(super) fn makes_templates(self) -> bool {
        self.makes_templates
    }

    /// What is said once it is known what is read: files that nobody looked into may be made templates.
    pub(super) fn settled(self) -> Self {
        Self { is_unsteady: self.is_unsteady || (self.reaches && self.makes_templates), ..self }
    }
}

pub(super) fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What a part of a template is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// Printed as it is, or a comment.
    Text,
    /// Between `{{` and `}}`.
    Code,
    /// A string in there.
    Quoted,
}

/// A template, taken apart as Go does.
pub(super) fn pieces(text: &str) -> Vec<(Piece, &str)> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        let (before, code) = rest.split_at(open + 2);
        all.push((Piece::Text, before));
        rest = code;
        let is_comment = rest.trim_start_matches('-').trim_start().starts_with("/*");
        if let Some(end) = rest.find("*/").filter(|_| is_comment) {
            let (comment, after) = rest.split_at(end);
            all.push((Piece::Text, comment));
            rest = after;
            continue;
        }
        loop {
            let next = rest.find(['"', '`', '\'', '}']).unwrap_or(rest.len());
            let (code, after) = rest.split_at(next);
            all.push((Piece::Code, code));
            rest = after;
            let Some(first) = rest.chars().next() else { break };
            if rest.starts_with("}}") {
                break;
            }
            let length = if first == '}' { 1 } else { quoted(rest, first) };
            let piece = if first == '}' { Piece::Code } else { Piece::Quoted };
            let (inside, after) = rest.split_at(length);
            all.push((piece, inside));
            rest = after;
        }
    }
    all.push((Piece::Text, rest));
    all
}

/// How long a string is, with its quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        if c == quote {
            return at + 1;
        }
        if c == '\\' && quote != '`' {
            characters.next();
        }
    }
    text.len()
}

/// What stands for `now` at another time. It has no quote that YAML or JSON would write otherwise, so that it is known again
/// where it was no code, and was only passed on: see [`as_it_was`].
const THEN: &str = "(toDate `2006-01-02` `2001-09-09`)";

/// What came out of a template at another time, with what was only passed on as it was.
pub(super) fn as_it_was(text: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(text) {
        Ok(text) => text.replace(THEN, "now").into_bytes(),
        Err(other) => other.into_bytes(),
    }
}

/// What a template says with another clock: wherever it calls `now`, in what is code there. A wall clock of its own cannot
/// be given to a process without privileges.
pub(super) fn at_another_time(template: &str) -> String {
    let mut text = String::with_capacity(template.len());
    for (piece, part) in pieces(template) {
        let mut rest = part;
        while let Some(at) = rest.find("now").filter(|_| piece == Piece::Code) {
            let (before, found) = rest.split_at(at);
            let after = &found["now".len()..];
            text.push_str(before);
            let is_name = |c: char| is_of_word(c) || c == '.' || c == '$';
            let is_whole = !text.ends_with(is_name) && !after.starts_with(is_of_word);
            text.push_str(if is_whole { THEN } else { "now" });
            rest = after;
        }
        text.push_str(rest);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_whole() {
        let said = |text: &str| {
            let mut words = Words::default();
            words.read(text.as_bytes());
            let Words { reaches, asks_cluster, is_unsteady, .. } = words.settled();
            [("files", reaches), ("cluster", asks_cluster), ("unsteady", is_unsteady)]
                .into_iter()
                .filter_map(|(word, said)| said.then_some(word))
                .collect::<Vec<_>>()
                .join(" ")
        };
        for (text, expected) in [
            ("a: {{ .Values.now_and_then | quote }}", ""),
            ("a: {{ now | date \"2006\" }}", "unsteady"),
            ("a: {{ (randAlphaNum 5) }}", "unsteady"),
            ("a: {{- uuidv4 -}}", "unsteady"),
            ("a: {{ keys .Values.a | join \",\" }}", "unsteady"),
            ("a: {{ range $k, $v := .Values.a }}{{ $k }}{{ end }}", ""),
            ("a: {{ .Files.Get \"a\" }}", "files"),
            ("a: {{ tpl (.Files.Get \"a\") . }}", "files unsteady"),
            ("a: {{ tpl .Values.a . }}", ""),
            ("a: {{ .Capabilities.APIVersions.Has \"v1\" }}", "cluster"),
            ("# Default values for now\nkeys: [a]\n", ""),
            ("{{- /* now, don't */ -}} values", ""),
            ("a: {{ print \"}}\" now }}", "unsteady"),
            ("a: \"{{ now }}\"", "unsteady"),
            ("a: {{ tpl (print \"{{ now }}\") . }}", "unsteady"),
            ("a: {{ genSignedCert \"a\" nil nil 1 $ca }}", "unsteady"),
        ] {
            assert_eq!(said(text), expected, "{text}");
        }
    }

    #[test]
    fn another_time_is_told_where_the_clock_is_asked_and_nowhere_else() {
        let then = THEN;
        for (text, expected) in [
            ("now {{ now }} now", format!("now {{{{ {then} }}}} now")),
            ("{{now.Unix}}", format!("{{{{{then}.Unix}}}}")),
            (
                "{{ now | date \"now\" }}{{ .now }}{{ $now }}",
                format!("{{{{ {then} | date \"now\" }}}}{{{{ .now }}}}{{{{ $now }}}}"),
            ),
            ("{{ nowhere }}{{ unow }}{{ `now }}` }}", "{{ nowhere }}{{ unow }}{{ `now }}` }}".to_owned()),
            (r#"{{ "a\"now" }}{{ now"#, format!(r#"{{{{ "a\"now" }}}}{{{{ {then}"#)),
            ("{{ print \"é\" now }}é", format!("{{{{ print \"é\" {then} }}}}é")),
        ] {
            assert_eq!(at_another_time(text), expected);
        }
    }
}
