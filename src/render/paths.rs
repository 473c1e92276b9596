//! Paths as repositories write them, made into paths from the root or refused. Pure text: no file system is asked.

/// Bytes of a name, as file systems take them.
pub(super) const LONGEST_NAME: usize = 255;
/// Bytes of a path: half of what the kernel takes, since it is written below folders of ours.
pub(super) const LONGEST_PATH: usize = 2_000;

/// Joins a reference to the folder of the file that makes it. `None` when it is absolute or leaves the repository.
pub(super) fn join(folder: &str, reference: &str) -> Option<String> {
    if reference.starts_with('/') || reference.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in reference.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The folder a file is in.
pub(super) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A name within a folder.
pub(super) fn within(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Whether a renderer could take this for something on another machine. Wider than any of them: host-like words,
/// `git@…`, anything with a scheme.
pub(super) fn is_remote(reference: &str) -> bool {
    let lower = reference.to_ascii_lowercase();
    let hosts = ["github.com", "gitlab.com", "bitbucket.org", "gh", "git"];
    let hosted = hosts.iter().any(|host| {
        lower
            .strip_prefix(host)
            .is_some_and(|rest| rest.starts_with(':') || (host.contains('.') && rest.starts_with('/')))
    });
    let user = lower.split('/').next().is_some_and(|first| first.contains('@') && first.contains(':'));
    hosted
        || user
        || lower.contains("://")
        || lower.contains("::")
        || lower.contains("?ref=")
        || lower.contains("_git/")
}

/// Whether a file is YAML or JSON by its name.
pub(super) fn is_manifest(name: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_stay_inside_the_repository() {
        assert_eq!(join("a/b", "../c/./d.yaml").as_deref(), Some("a/c/d.yaml"));
        assert_eq!(join("", "x//y/").as_deref(), Some("x/y"));
        assert_eq!(join("a", "..").as_deref(), Some(""));
        assert_eq!(join("a", "../.."), None);
        assert_eq!(join("a", "b/../../../etc/passwd"), None);
        assert_eq!(join("a", "/etc/passwd"), None);
        assert_eq!(join("a", "x\0"), None);
    }

    #[test]
    fn whatever_may_be_fetched_is_remote() {
        for remote in [
            "https://example.com/x.yaml",
            "HTTP://169.254.169.254/",
            "github.com/org/repo/base?ref=v1",
            "GitHub.com/org/repo",
            "git@github.com:org/repo",
            "git::https://host/x",
            "gh:org/repo",
            "ssh://git@host/x",
            "user@host:path",
            "file:///etc/passwd",
            "host/_git/repo",
            "oci://host/chart",
            "s3::bucket",
        ] {
            assert!(is_remote(remote), "{remote}");
        }
        for local in ["../base", "deployment.yaml", "github.company/x.yaml", "git/base", "a@b/x.yaml", "./x:y.yaml"] {
            assert!(!is_remote(local), "{local}");
        }
    }
}
