//! Paths and branches as the files write them, checked as text: nothing here looks at a disk.

/// A folder of the repository without leading, trailing or doubled slashes; empty is the root. The error is advice.
pub fn repository_folder(written: &str) -> Result<String, &'static str> {
    if written.starts_with('/') {
        return Err("write it from the repository's root, without a leading `/`");
    }
    if written.split('/').any(|segment| segment == "..") {
        return Err("write it from the repository's root, without `..`");
    }
    if let Some(advice) = strange(written) {
        return Err(advice);
    }
    Ok(kept_segments(written).collect::<Vec<_>>().join("/"))
}

/// A file named from a folder of the repository: `../base.yaml` from `charts/shop` is `charts/base.yaml`, a leading `/`
/// is the repository's root. The error is advice: the name leaves the repository, or is of another kind.
pub fn from_folder(folder: &str, written: &str) -> Result<String, &'static str> {
    if let Some(advice) = strange(written) {
        return Err(advice);
    }
    let mut segments: Vec<&str> = if written.starts_with('/') { Vec::new() } else { kept_segments(folder).collect() };
    for segment in kept_segments(written) {
        if segment != ".." {
            segments.push(segment);
        } else if segments.pop().is_none() {
            return Err("name a file of this repository: this leaves it");
        }
    }
    if segments.is_empty() { Err("name a file, not the repository's root") } else { Ok(segments.join("/")) }
}

fn kept_segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty() && *segment != ".")
}

fn strange(path: &str) -> Option<&'static str> {
    if path.contains("://") {
        return Some("name a path of this repository: nothing is fetched");
    }
    if path.contains('\\') {
        return Some("write `/` between folders");
    }
    if path.len() > 1_024 {
        return Some("shorten it: paths end at 1,024 bytes");
    }
    path.contains(char::is_control).then_some("remove the control characters")
}

/// Why a text is no branch name by Git's own rules (`git check-ref-format --branch`); the answer is advice.
pub fn branch_fault(branch: &str) -> Option<&'static str> {
    if branch.starts_with("refs/") {
        return Some("write the branch alone: `main`, not `refs/heads/main`");
    }
    let bad_character = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    let bad_segment = |s: &str| s.is_empty() || s.starts_with('.') || s.ends_with('.') || s.ends_with(".lock");
    let bad = branch.is_empty()
        || branch.len() > 250
        || branch.starts_with('-')
        || branch == "@"
        || branch.contains("..")
        || branch.contains("@{")
        || branch.contains(bad_character)
        || branch.split('/').any(bad_segment);
    bad.then_some("write a branch name that Git accepts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders() {
        for (written, expected) in [
            ("deploy/staging", Some("deploy/staging")),
            ("./deploy//staging/", Some("deploy/staging")),
            (".", Some("")),
            ("/etc", None),
            ("../x", None),
            ("a/../b", None),
            ("a\\b", None),
            ("a\nb", None),
        ] {
            assert_eq!(repository_folder(written).ok().as_deref(), expected, "{written:?}");
        }
    }

    #[test]
    fn values_files_stay_in_the_repository() {
        for (written, expected) in [
            ("values.yaml", Some("charts/shop/values.yaml")),
            ("/deploy/p.yaml", Some("deploy/p.yaml")),
            ("../../top.yaml", Some("top.yaml")),
            ("../../../etc/passwd", None),
            ("/../x", None),
            ("https://example.com/x.yaml", None),
            (".", Some("charts/shop")),
            ("/", None),
        ] {
            assert_eq!(from_folder("charts/shop", written).ok().as_deref(), expected, "{written:?}");
        }
    }

    #[test]
    fn branches() {
        for good in ["main", "release/1.2", "a-b_c", "Ünïcode"] {
            assert_eq!(branch_fault(good), None, "{good}");
        }
        for bad in
            ["", "-x", "a..b", "a b", "x.lock", "a/.b", "@{u}", "@", "a//b", "/a", "a/", "refs/heads/main", "a\n"]
        {
            assert!(branch_fault(bad).is_some(), "{bad:?}");
        }
    }
}
