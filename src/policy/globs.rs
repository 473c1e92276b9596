//! The small matchers of both files: paths, names and kinds. Each is anchored at both ends and linear in what it reads
//! times what it matches, whatever a repository writes.

/// Whether a file of the repository is matched by a glob of `when: { paths: … }`.
///
/// Both are from the repository's root. `*` and `?` stay within a segment, `**` is any number of whole segments, and a
/// glob that ends in `/` is everything below. `deploy` alone is the file `deploy`, not the folder.
pub fn path_matches(glob: &str, path: &str) -> bool {
    let glob = glob.trim_start_matches('/');
    let mut wanted: Vec<&str> = glob.split('/').collect();
    if let Some(last) = wanted.last_mut()
        && last.is_empty()
    {
        *last = "**";
    }
    segments_match(&wanted, &path.split('/').collect::<Vec<_>>())
}

/// Whether a repository, written `forge/owner/name`, is matched by a glob of a grant's `repositories`. Forges do not
/// tell `Shop` from `shop`, so neither does this; the forge's own name is ours and is compared exactly.
pub fn repository_matches(glob: &str, repository: &str) -> bool {
    let (glob, repository) = (after_forge_lower(glob), after_forge_lower(repository));
    segments_match(&glob.split('/').collect::<Vec<_>>(), &repository.split('/').collect::<Vec<_>>())
}

fn after_forge_lower(text: &str) -> String {
    match text.split_once('/') {
        Some((forge, rest)) => format!("{forge}/{}", rest.to_ascii_lowercase()),
        None => text.to_owned(),
    }
}

/// Whether a name (a namespace, a forge) is matched: `*` is any run of characters, `?` one.
pub fn name_matches(glob: &str, name: &str) -> bool {
    if !glob.contains(['*', '?']) {
        return glob == name;
    }
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    matches_with(&glob, &name, |g| *g == '*', |g, c| *g == '?' || g == c)
}

/// Whether an object's kind is matched: `Kind` of any group, `group/Kind`, `group/*`, `*`. The core group is `core`.
pub fn kind_matches(pattern: &str, group: &str, kind: &str) -> bool {
    match pattern.rsplit_once('/') {
        None => pattern == "*" || pattern == kind,
        Some((wanted, name)) => {
            let group = if group.is_empty() { "core" } else { group };
            (wanted == "*" || wanted.eq_ignore_ascii_case(group)) && (name == "*" || name == kind)
        }
    }
}

/// Why a kind pattern could never match as it is written, and what to write; `None` when it is good.
pub fn kind_pattern_fault(pattern: &str) -> Option<&'static str> {
    let (group, kind) = pattern.rsplit_once('/').unwrap_or(("*", pattern));
    let is_group = |text: &str| {
        text == "*"
            || (!text.is_empty()
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b)))
    };
    let is_kind = |text: &str| {
        text == "*"
            || (text.starts_with(|c: char| c.is_ascii_uppercase()) && text.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    match (is_group(group), is_kind(kind)) {
        (true, true) => None,
        (_, false) => Some("write the kind as in a manifest: `Deployment`, `apps/Deployment` or `apps/*`"),
        (false, _) => Some("write the API group without its version: `apps/Deployment`; the core group is `core`"),
    }
}

pub(super) fn segments_match(globs: &[&str], segments: &[&str]) -> bool {
    matches_with(globs, segments, |glob| *glob == "**", |glob, segment| name_matches(glob, segment))
}

/// Greedy matching with one remembered star: the last star is the only one that ever has to give way, so the work is
/// bounded by the product of both lengths.
fn matches_with<G, S>(globs: &[G], subject: &[S], is_star: impl Fn(&G) -> bool, one: impl Fn(&G, &S) -> bool) -> bool {
    let (mut g, mut s) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while s < subject.len() {
        if g < globs.len() && is_star(&globs[g]) {
            star = Some((g, s));
            g += 1;
        } else if g < globs.len() && one(&globs[g], &subject[s]) {
            g += 1;
            s += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            g = at + 1;
            s = from + 1;
        } else {
            return false;
        }
    }
    globs[g..].iter().all(is_star)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (glob, path, expected) in [
            ("deploy/*.yaml", "deploy/a.yaml", true),
            ("deploy/*.yaml", "deploy/x/a.yaml", false),
            ("deploy/**/*.yaml", "deploy/a.yaml", true),
            ("deploy/**/*.yaml", "deploy/x/y/a.yaml", true),
            ("deploy/**", "deploy/x/y", true),
            ("deploy/", "deploy/x/y", true),
            ("/deploy/", "deploy/x", true),
            ("deploy", "deploy/x", false),
            ("**", "a/b/c", true),
            ("**/secret.yaml", "secret.yaml", true),
            ("**/secret.yaml", "a/secret.yaml.txt", false),
            ("a/**/b/**/c", "a/x/b/y/b/c", true),
            ("a?/b", "ax/b", true),
            ("*", ".bascule.yaml", true),
        ] {
            assert_eq!(path_matches(glob, path), expected, "{glob} against {path}");
        }
    }

    #[test]
    fn repositories() {
        for (glob, repository, expected) in [
            ("work/acme/shop", "work/acme/shop", true),
            ("work/Acme/Shop", "work/acme/shop", true),
            ("work/acme/*", "work/acme/shop", true),
            ("work/acme/*", "work/acme/team/shop", false),
            ("work/**", "work/acme/team/shop", true),
            ("**", "work/acme/shop", true),
            ("*/acme/shop", "gh/acme/shop", true),
            ("work/acme/shop", "gh/acme/shop", false),
            ("work/acme/shop", "work/acme/shop2", false),
        ] {
            assert_eq!(repository_matches(glob, repository), expected, "{glob} against {repository}");
        }
    }

    #[test]
    fn kinds() {
        for (pattern, group, kind, expected) in [
            ("NetworkPolicy", "networking.k8s.io", "NetworkPolicy", true),
            ("apps/Deployment", "apps", "Deployment", true),
            ("apps/Deployment", "", "Deployment", false),
            ("rbac.authorization.k8s.io/*", "rbac.authorization.k8s.io", "Role", true),
            ("core/Secret", "", "Secret", true),
            ("core/*", "apps", "Deployment", false),
            ("*", "x", "Y", true),
        ] {
            assert_eq!(kind_matches(pattern, group, kind), expected, "{pattern} against {group}/{kind}");
        }
        for bad in ["deployment", "apps/v1/Deployment", "", "/Deployment", "apps/", "Apps/Deployment"] {
            assert!(kind_pattern_fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn many_stars_stay_cheap() {
        assert!(!name_matches(&"*a".repeat(2_000), &"a".repeat(1_999)));
        assert!(!path_matches(&"**/a/".repeat(500), &"a/".repeat(499)));
    }
}
