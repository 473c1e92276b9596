//! Where a chart looks for objects in the cluster. Rendering asks no cluster, since what somebody consents to must not depend
//! on what was there at that moment; `helm template` would give it nothing, and the chart would quietly do what it does at
//! its very first installation: make a new password, say. So that is refused, and the line is named.
//!
//! Libraries bring many definitions of which a chart uses few, and one that nobody uses looks for nothing. A definition is
//! used when its name stands, in quotes, in what is used. The one way around is a name that is put together; such a chart gets
//! nothing from its search, as with `helm template`.

use std::collections::{BTreeMap, BTreeSet};

use super::words::{Piece, is_of_word, pieces};

const LOOKUP: &str = "lookup";
/// What opens a block that `end` closes.
const BLOCKS: [&str; 5] = ["if", "range", "with", "block", DEFINE];
const DEFINE: &str = "define";
/// It is shown to people and is no part of what comes out.
const NOTES: &str = "NOTES.txt";

/// Where a line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) line: usize,
}

/// What was found in the texts of a chart and of those within it.
#[derive(Debug, Clone, Default)]
pub(super) struct Lookups {
    /// Outside of any definition.
    top: Body,
    /// Names are shared by a chart and all within it.
    defined: BTreeMap<String, Body>,
}

#[derive(Debug, Clone, Default)]
struct Body {
    /// The first one in it.
    lookup: Option<Place>,
    /// What stands in quotes in it.
    names: BTreeSet<String>,
}

impl Body {
    fn join(&mut self, other: Self) {
        self.lookup = self.lookup.take().or(other.lookup);
        self.names.extend(other.names);
    }
}

impl Lookups {
    /// Takes in a template, or what may be made one.
    pub(super) fn read(&mut self, file: &str, text: &[u8]) {
        if file.rsplit('/').next() == Some(NOTES) {
            return;
        }
        let text = String::from_utf8_lossy(text);
        let mut line = 1;
        // Open blocks, each with the name of what it defines.
        let mut open: Vec<Option<String>> = Vec::new();
        let mut is_first = false;
        let mut opens_definition = false;
        for (piece, part) in pieces(&text) {
            match piece {
                Piece::Text => (is_first, opens_definition) = (true, false),
                Piece::Code => {
                    if std::mem::take(&mut is_first) {
                        let word = part.trim_start_matches('-').trim_start();
                        let word = word.split(|c: char| !is_of_word(c)).next().unwrap_or_default();
                        opens_definition = word == DEFINE;
                        if BLOCKS.contains(&word) {
                            open.push(None);
                        } else if word == "end" {
                            open.pop();
                        }
                    }
                    if let Some(at) = called(part) {
                        let line = line + newlines(part.get(..at).unwrap_or_default());
                        self.body(&open).lookup.get_or_insert_with(|| Place { file: file.to_owned(), line });
                    }
                }
                Piece::Quoted => {
                    is_first = false;
                    let name = part.trim_matches(['"', '`']).to_owned();
                    if std::mem::take(&mut opens_definition) {
                        if let Some(last) = open.last_mut() {
                            *last = Some(name);
                        }
                    } else {
                        // A text within a text, for `tpl`.
                        if part.contains("{{") && called(part).is_some() {
                            self.body(&open).lookup.get_or_insert_with(|| Place { file: file.to_owned(), line });
                        }
                        self.body(&open).names.insert(name);
                    }
                }
            }
            line += newlines(part);
        }
    }

    /// The same, with what was found elsewhere.
    pub(super) fn join(&mut self, other: Self) {
        self.top.join(other.top);
        for (name, body) in other.defined {
            self.defined.entry(name).or_default().join(body);
        }
    }

    /// The first that is used.
    pub(super) fn used(&self) -> Option<&Place> {
        let mut seen = BTreeSet::new();
        let mut open = vec![&self.top];
        while let Some(body) = open.pop() {
            if let Some(place) = &body.lookup {
                return Some(place);
            }
            let names = body.names.iter().filter(|name| seen.insert(name.as_str()));
            open.extend(names.filter_map(|name| self.defined.get(name)));
        }
        None
    }

    fn body(&mut self, open: &[Option<String>]) -> &mut Body {
        match open.iter().rev().flatten().next() {
            Some(name) => self.defined.entry(name.clone()).or_default(),
            None => &mut self.top,
        }
    }
}

/// Where the function is called in code, and not a field or a variable of that name.
fn called(code: &str) -> Option<usize> {
    code.match_indices(LOOKUP).map(|(at, _)| at).find(|at| {
        let (before, after) = (code.get(..*at).unwrap_or_default(), code.get(at + LOOKUP.len()..).unwrap_or_default());
        !before.ends_with(|c: char| is_of_word(c) || c == '.' || c == '$') && !after.starts_with(is_of_word)
    })
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(files: &[(&str, &str)]) -> String {
        let mut all = Lookups::default();
        for (file, text) in files {
            let mut one = Lookups::default();
            one.read(file, text.as_bytes());
            all.join(one);
        }
        all.used().map(|place| format!("{}:{}", place.file, place.line)).unwrap_or_default()
    }

    #[test]
    fn the_line_that_looks_into_the_cluster_is_found_and_nothing_that_only_sounds_like_it() {
        for (text, expected) in [
            ("a: 1\nb: {{ lookup \"v1\" \"Secret\" \"a\" \"b\" }}\n", "t:2"),
            ("{{- $old := (lookup \"v1\" \"Secret\" \"a\" \"b\").data }}", "t:1"),
            ("{{ if\n  lookup \"v1\" \"Secret\" \"a\" \"b\" }}{{ end }}", "t:2"),
            ("{{/* lookup\n\n*/}}\n{{ tpl `\n{{ lookup }}` . }}", "t:4"),
            ("lookup {{ .Values.lookup }} {{ $lookup }} {{ lookups }} {{ fail \"no lookup\" }}", ""),
            ("{{/* lookup */}}", ""),
            // Nobody includes it.
            ("{{ define \"a\" }}{{ if 1 }}{{ else }}{{ end }}{{ lookup }}{{ end }}x", ""),
            ("{{ define \"a\" }}{{ if 1 }}{{ end }}{{ end }}\n{{ lookup }}", "t:2"),
            ("{{ define \"a\" }}\n{{ lookup }}{{ end }}{{ include \"a\" . }}", "t:2"),
            ("{{ define \"a\" }}\n{{ lookup }}{{ end }}{{ define \"b\" }}{{ template `a` . }}{{ end }}", ""),
            (
                "{{ define \"a\" }}\n{{ lookup }}{{ end }}{{ define \"b\" }}{{ template `a` . }}{{ end }}{{ include \"b\" . }}",
                "t:2",
            ),
            // Each names the other.
            (
                "{{ define \"a\" }}{{ include \"b\" }}{{ end }}{{ define \"b\" }}{{ include \"a\" }}{{ end }}{{ include \"b\" }}",
                "",
            ),
            ("{{ end }}{{ end }}{{ define }}{{ \"", ""),
        ] {
            assert_eq!(used(&[("t", text)]), expected, "{text}");
        }
    }

    #[test]
    fn definitions_are_shared_by_all_files_and_notes_are_no_part_of_what_comes_out() {
        let library = ("library/_secrets.tpl", "{{ define \"lib.password\" }}\n\n{{ lookup }}{{ end }}");
        assert_eq!(used(&[library, ("a.yaml", "a: {{ include \"lib.name\" . }}")]), "");
        assert_eq!(used(&[("a.yaml", "a: {{ include \"lib.password\" . }}"), library]), "library/_secrets.tpl:3");
        assert_eq!(used(&[("shop/templates/NOTES.txt", "{{ lookup }}")]), "");
    }
}
