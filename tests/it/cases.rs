//! Cases as data: text files of sections, one `check` for all of them.

use std::path::Path;

/// One case, taken apart.
pub(crate) struct Case {
    /// `word: value` lines of the section `settings`.
    settings: Vec<(String, String)>,
    /// Every other section but the expected one, in order.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

impl Case {
    /// The value of a setting.
    pub(crate) fn setting(&self, word: &str) -> Option<&str> {
        self.settings.iter().find(|(key, _)| key == word).map(|(_, value)| value.as_str())
    }
}

/// Compares what `run` makes of every case in `folder` with its section `expected`; all differences are reported, and
/// what came out is written beside the build's other files, to be read and, when it is right, copied.
pub(crate) fn check(folder: &Path, expected: &str, run: impl Fn(&Case) -> String) {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no cases in {}", folder.display());
    let mut wrong = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let (given, wanted) = text.split_once(&format!("-- {expected} --\n")).unwrap_or((&text, ""));
        let case = take_apart(given);
        let got = run(&case);
        if got != wanted {
            let actual = Path::new(env!("CARGO_TARGET_TMPDIR")).join(path.file_name().unwrap());
            std::fs::write(&actual, format!("{given}-- {expected} --\n{got}")).unwrap();
            wrong.push(format!("{} differs, see {}\n{got}", path.display(), actual.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn take_apart(text: &str) -> Case {
    let mut case = Case { settings: Vec::new(), files: Vec::new() };
    let mut section = None;
    for line in text.split_inclusive('\n') {
        if let Some(head) = line.strip_prefix("-- ").and_then(|rest| rest.trim_end().strip_suffix(" --")) {
            section = Some(head.to_owned());
            if head != "settings" {
                case.files.push((head.to_owned(), Vec::new()));
            }
            continue;
        }
        match section.as_deref() {
            None => {}
            Some("settings") => {
                if let Some((word, value)) = line.trim_end().split_once(": ") {
                    case.settings.push((word.to_owned(), value.to_owned()));
                }
            }
            Some(_) => case.files.last_mut().unwrap().1.extend_from_slice(line.as_bytes()),
        }
    }
    case
}
