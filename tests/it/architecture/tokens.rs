//! As much of Rust's lexer as it takes to tell names from text.

use std::fmt;
use std::path::{Path, PathBuf};

/// A word (or number), a mark, or the text of a string. Comments, characters and lifetimes are dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Mark(char),
    Text(String),
}

impl Token {
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own == word)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) | Self::Text(word) => out.write_str(word),
            Self::Mark(mark) => write!(out, "{mark}"),
        }
    }
}

pub(super) fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = at(i);
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && at(i) != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            while i < chars.len() {
                match (at(i), at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
                if depth == 0 {
                    break;
                }
            }
        } else if c == '"' {
            let begin = i + 1;
            i = begin;
            while i < chars.len() && at(i) != '"' {
                i += if at(i) == '\\' { 2 } else { 1 };
            }
            tokens.push(Token::Text(chars[begin..i.min(chars.len())].iter().collect()));
            i += 1;
        } else if c == '\'' {
            if at(i + 1) == '\\' {
                i += 3;
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            } else if at(i + 2) == '\'' {
                i += 3;
            } else {
                i += 1;
                while is_word(at(i)) {
                    i += 1;
                }
            }
        } else if is_word(c) {
            let begin = i;
            while is_word(at(i)) {
                i += 1;
            }
            let word: String = chars[begin..i].iter().collect();
            let hashes = (0..).take_while(|n| at(i + n) == '#').count();
            if ["r", "br", "cr"].contains(&word.as_str()) && at(i + hashes) == '"' {
                let begin = i + hashes + 1;
                i = begin;
                while i < chars.len() && !(at(i) == '"' && (1..=hashes).all(|n| at(i + n) == '#')) {
                    i += 1;
                }
                tokens.push(Token::Text(chars[begin..i.min(chars.len())].iter().collect()));
                i += 1 + hashes;
            } else if word == "r" && hashes == 1 {
                // A raw name: `r#type` is the word `type`.
                i += 1;
            } else if !(["b", "c"].contains(&word.as_str()) && ['"', '\''].contains(&at(i))) {
                tokens.push(Token::Word(word));
            }
        } else {
            if !c.is_whitespace() {
                tokens.push(Token::Mark(c));
            }
            i += 1;
        }
    }
    tokens
}

/// Leaves out the items under `#[cfg(test)]`, and names the files (or folders) that such items are in. Where an item
/// ends is guessed early rather than late: too much is judged, never too little.
pub(super) fn without_tests(tokens: Vec<Token>, file: &Path) -> (Vec<Token>, Vec<PathBuf>) {
    let gate: Vec<Token> = self::tokens("#[cfg(test)]");
    let (mut kept, mut excluded) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].starts_with(&gate) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += gate.len();
        let mut named_file = None;
        while matches!(tokens.get(at..at + 2), Some([Token::Mark('#'), Token::Mark('[')])) {
            if let Some([Token::Word(word), Token::Mark('='), Token::Text(path)]) = tokens.get(at + 2..at + 5)
                && word == "path"
            {
                named_file = Some(path.clone());
            }
            at = after_balanced(&tokens, at + 1);
        }
        if let Some([Token::Word(word), Token::Word(name), Token::Mark(';')]) = tokens.get(at..at + 3)
            && word == "mod"
        {
            excluded.extend(files_of(file, name, named_file.as_deref()));
        }
        at = after_item(&tokens, at);
    }
    (kept, excluded)
}

fn files_of(file: &Path, name: &str, named_file: Option<&str>) -> Vec<PathBuf> {
    let folder = file.parent().unwrap();
    if let Some(named) = named_file {
        return vec![folder.join(named)];
    }
    let of_children = if file.ends_with("mod.rs") || file.ends_with("lib.rs") || file.ends_with("main.rs") {
        folder.to_owned()
    } else {
        file.with_extension("")
    };
    vec![of_children.join(format!("{name}.rs")), of_children.join(name)]
}

fn after_item(tokens: &[Token], mut at: usize) -> usize {
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Mark('{') => return after_balanced(tokens, at),
            Token::Mark('(' | '[') => at = after_balanced(tokens, at),
            Token::Mark(';' | ',') => return at + 1,
            Token::Mark('}' | ')' | ']') => return at,
            Token::Mark(_) | Token::Word(_) | Token::Text(_) => at += 1,
        }
    }
    at
}

fn after_balanced(tokens: &[Token], mut at: usize) -> usize {
    let mut depth = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            Token::Mark('{' | '(' | '[') => depth += 1,
            Token::Mark('}' | ')' | ']') => depth -= 1,
            Token::Mark(_) | Token::Word(_) | Token::Text(_) => {}
        }
        if depth == 0 {
            break;
        }
    }
    at
}
