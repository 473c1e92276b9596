//! `bascule init`: writes down what a survey found, as both files, for a person to read and correct.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::report::{Report, Verdict};
use super::survey::{Found, What, clean, survey};
use crate::policy::FILE_NAME;

const PRODUCTION: [&str; 4] = ["prod", "production", "prd", "live"];
const BEFORE_PRODUCTION: [&str; 14] = [
    "staging",
    "stage",
    "stg",
    "preprod",
    "uat",
    "qa",
    "test",
    "testing",
    "dev",
    "development",
    "int",
    "integration",
    "preview",
    "sandbox",
];
/// A name has at most 63 characters; this leaves room for a number behind it.
const LONGEST_NAME: usize = 58;

/// An environment to be written.
#[derive(Debug)]
struct Planned {
    name: String,
    found: Found,
    cluster: &'static str,
    namespace: String,
    after: Option<String>,
}

/// Where the repository comes from.
struct Remote {
    kind: &'static str,
    url: String,
    repository: String,
}

/// Writes both files into the repository around a folder. What is there already stays. `server_name` is the name of
/// the server's file.
pub fn init(dir: &Path, server_name: &str) -> Report {
    let root = match dir.canonicalize() {
        Ok(dir) if dir.is_dir() => {
            dir.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(&dir).to_owned()
        }
        Ok(_) => return could_not(format!("{} is no folder", dir.display())),
        Err(error) => return could_not(format!("{}: {error}", dir.display())),
    };
    let called = root.file_name().map(|name| clean(&name.to_string_lossy())).filter(|name| !name.is_empty());
    let called = called.unwrap_or_else(|| "app".to_owned());
    let planned = plan(survey(&root, &called), &called);
    if planned.is_empty() {
        return could_not(format!(
            "{}: found no kustomization.yaml, no Chart.yaml and no folder of Kubernetes YAML; nothing is written",
            root.display()
        ));
    }
    let remote = remote(&root);
    let mut text = String::from("found\n");
    for Planned { name, found, .. } in &planned {
        text += &format!("  {} as `{name}`\n", described(found));
    }
    let files =
        [(FILE_NAME, repository_file(&planned)), (server_name, server_file(&planned, remote.as_ref(), &called))];
    let mut is_server_new = false;
    for (name, content) in files {
        match write_new(&root.join(name), &content) {
            Ok(()) => {
                text += &format!("wrote {name}\n");
                is_server_new |= name == server_name;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                text += &format!("kept {name}: it is there\n")
            }
            Err(error) => return could_not(format!("{name}: {error}")),
        }
    }
    text += "next: read both files and correct what was guessed wrong; `bascule check` reads them as the server does\n";
    if remote.is_none() && is_server_new {
        text += "the remote `origin` is on no forge this version speaks with: correct `[forge.work]` and `[grant.…]`\n";
    }
    Report::new(Verdict::Good, text)
}

/// The `.bascule.yaml` that would be written for the repository at `root`; none when there is nothing to render.
pub(super) fn proposed(root: &Path) -> Option<String> {
    let called = root.file_name().map_or_else(|| "app".to_owned(), |name| clean(&name.to_string_lossy()));
    let planned = plan(survey(root, &called), &called);
    (!planned.is_empty()).then(|| repository_file(&planned))
}

fn could_not(text: String) -> Report {
    Report::new(Verdict::CouldNot, text + "\n")
}

fn write_new(path: &Path, content: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content.as_bytes())
}

fn described(found: &Found) -> String {
    let path = if found.path.is_empty() { "the root" } else { &found.path };
    match &found.what {
        What::Kustomization => format!("{path}: a kustomization"),
        What::Chart { values: None } => format!("{path}: a chart"),
        What::Chart { values: Some(values) } => format!("{path}: a chart with {values}"),
        What::Plain => format!("{path}: Kubernetes YAML"),
    }
}

/// Names, targets and order for what was found.
fn plan(found: Vec<Found>, called: &str) -> Vec<Planned> {
    let names = names(&found);
    let mut planned: Vec<Planned> = found
        .into_iter()
        .zip(names)
        .map(|(found, name)| {
            let cluster = if is_before_production(&found) { "dev" } else { "prod" };
            let namespace = found.namespace.clone().unwrap_or_else(|| namespace(&found, called));
            Planned { name, found, cluster, namespace, after: None }
        })
        .collect();
    let firsts: Vec<(String, Vec<String>)> = planned
        .iter()
        .filter(|planned| is_before_production(&planned.found))
        .map(|planned| (planned.name.clone(), planned.found.words.clone()))
        .collect();
    for one in planned.iter_mut().filter(|planned| is_production(&planned.found)) {
        one.after = goes_after(&one.found.words, &firsts);
    }
    // In the order in which a change travels; production and what is no stage of anything come last.
    planned.sort_by_key(|planned| (std::cmp::Reverse(nearness(&planned.found.words)), planned.name.clone()));
    planned
}

/// The environment production waits for: of the same application, the nearest to production.
fn goes_after(words: &[String], firsts: &[(String, Vec<String>)]) -> Option<String> {
    let application = |words: &[String]| -> BTreeSet<String> {
        words.iter().filter(|word| !PRODUCTION.contains(&word.as_str()) && !before(word)).cloned().collect()
    };
    let own = application(words);
    let of_same = firsts.iter().filter(|(_, words)| application(words) == own);
    of_same.min_by_key(|(_, words)| nearness(words)).map(|(name, _)| name.clone())
}

/// How far before production the words are, from 1; `None` when they are not.
fn nearness(words: &[String]) -> Option<usize> {
    BEFORE_PRODUCTION.iter().position(|known| words.iter().any(|word| word == known)).map(|position| position + 1)
}

fn before(word: &str) -> bool {
    BEFORE_PRODUCTION.contains(&word)
}

fn is_before_production(found: &Found) -> bool {
    found.words.iter().any(|word| before(word))
}

fn is_production(found: &Found) -> bool {
    found.words.iter().any(|word| PRODUCTION.contains(&word.as_str()))
}

/// As few words as tell each from the others, the last ones first.
fn names(found: &[Found]) -> Vec<String> {
    let last = |found: &Found, count: usize| -> String {
        let from = found.words.len().saturating_sub(count);
        let name = found.words[from..].join("-");
        name.chars().take(LONGEST_NAME).collect::<String>().trim_matches('-').to_owned()
    };
    let most = found.iter().map(|found| found.words.len()).max().unwrap_or(1);
    let mut names: Vec<String> = found.iter().map(|found| last(found, 1)).collect();
    for count in 2..=most {
        let mut seen: BTreeMap<&String, usize> = BTreeMap::new();
        names.iter().for_each(|name| *seen.entry(name).or_default() += 1);
        let twice: Vec<bool> = names.iter().map(|name| seen[name] > 1).collect();
        for ((name, found), _) in names.iter_mut().zip(found).zip(twice).filter(|(_, twice)| *twice) {
            *name = last(found, count);
        }
    }
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for name in &mut names {
        let wanted = if name.is_empty() { "app".to_owned() } else { name.clone() };
        let free = (1..).map(|n| if n == 1 { wanted.clone() } else { format!("{wanted}-{n}") });
        *name = free.into_iter().find(|free| !taken.contains(free)).unwrap_or_default();
        taken.insert(name.clone());
    }
    names
}

/// The application's name, with the environment's unless it is production.
fn namespace(found: &Found, called: &str) -> String {
    let known = |word: &String| PRODUCTION.contains(&word.as_str()) || before(word);
    let application = found.words.iter().rev().find(|word| !known(word)).cloned().unwrap_or_else(|| called.to_owned());
    match found.words.iter().rev().find(|word| before(word)) {
        Some(environment) => format!("{application}-{environment}"),
        None => application,
    }
}

fn repository_file(planned: &[Planned]) -> String {
    let mut text = String::from(
        "# What Bascule deploys from this repository, and who consents. Written by `bascule init`; read on the default\n\
         # branch. `bascule check` says what is wrong with it, `bascule diff` what a branch would change.\n\
         version: 1\n\
         environments:\n",
    );
    for Planned { name, found, cluster, namespace, after } in planned {
        text += &format!(
            "  {}:\n    path: {}\n",
            written(name),
            written(if found.path.is_empty() { "." } else { &found.path })
        );
        if let What::Chart { values: Some(values) } = &found.what {
            text += &format!("    helm: {{ values: [{}] }}\n", written(values));
        }
        text += &format!("    cluster: {cluster}\n    namespace: {}\n", written(namespace));
        if let Some(after) = after {
            text += &format!("    after: [{}]  # at the same commit, and healthy\n", written(after));
        }
        text += if is_before_production(found) {
            "    consent: none\n"
        } else {
            "    consent:\n      approvals:\n        - { count: 1, roles: [write] }  # one person who did not contribute\n"
        };
    }
    text
}

/// Plain where YAML reads it as the same text, quoted otherwise.
fn written(text: &str) -> String {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    if plain || text == "." { text.to_owned() } else { format!("{text:?}") }
}

fn server_file(planned: &[Planned], remote: Option<&Remote>, called: &str) -> String {
    let kind = remote.map_or("gitea", |remote| remote.kind);
    let gap = " ".repeat(31 - kind.len());
    let url = remote.map_or("https://git.example.com", |remote| remote.url.as_str());
    let repository = remote.map_or_else(|| format!("owner/{called}"), |remote| remote.repository.clone());
    let unique = |of: fn(&Planned) -> &str| -> String {
        let all: BTreeSet<&str> = planned.iter().map(of).collect();
        all.into_iter().map(|one| format!("{one:?}")).collect::<Vec<_>>().join(", ")
    };
    let clusters: BTreeSet<&str> = planned.iter().map(|planned| planned.cluster).collect();
    let mut text = format!(
        "# The server's file, to be read with the reference beside it. Written by `bascule init`.\n\
         version = 1\n\n\
         [forge.work]                            # its webhooks arrive at /webhooks/work\n\
         kind = {kind:?}{gap}# gitea | forgejo | github | gitlab\n\
         url = {url:?}\n\
         webhook_secrets = [{{ env = \"WORK_WEBHOOK_SECRET\" }}]\n\
         token = {{ env = \"WORK_TOKEN\" }}\n"
    );
    for cluster in clusters {
        text += &format!("\n[cluster.{cluster}]\nkubeconfig = {{ file = \"/etc/bascule/{cluster}.kubeconfig\" }}\n");
    }
    text += &format!(
        "\n[grant.{called}]                            # what the repository may reach\n\
         repositories = [{:?}]\n\
         clusters = [{}]\n\
         namespaces = [{}]\n",
        format!("work/{repository}"),
        unique(|planned| planned.cluster),
        unique(|planned| &planned.namespace),
    );
    if planned.iter().any(|planned| planned.cluster == "prod") {
        text += "\n[floor.production]                       # what no repository's file can go below\n\
                 clusters = [\"prod\"]\n\
                 approvals = [{ count = 1, roles = [\"write\"] }]\n";
    }
    text
}

/// What the forge of the remote `origin` is, as far as its name tells.
pub(super) fn origin_kind(root: &Path) -> Option<&'static str> {
    remote(root).map(|remote| remote.kind)
}

/// The forge and name of the remote `origin`; none when there is no such remote, or on a forge we do not speak with.
fn remote(root: &Path) -> Option<Remote> {
    let config = fs::read_to_string(git_folder(root)?.join("config")).ok()?;
    let mut lines = config.lines().map(str::trim);
    lines.find(|line| *line == "[remote \"origin\"]")?;
    let own = lines.take_while(|line| !line.starts_with('['));
    let url = own.filter_map(|line| line.split_once('=')).find(|(key, _)| key.trim() == "url")?.1.trim().to_owned();
    read_remote(&url)
}

/// The folder of the repository's configuration, from a clone or a linked working tree.
fn git_folder(root: &Path) -> Option<PathBuf> {
    let git = root.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let linked = fs::read_to_string(&git).ok()?;
    let linked = root.join(linked.trim().strip_prefix("gitdir: ")?);
    let common = fs::read_to_string(linked.join("commondir")).ok()?;
    Some(linked.join(common.trim()))
}

fn read_remote(url: &str) -> Option<Remote> {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (scheme, rest.to_owned()),
        // `git@host:owner/name`
        None => ("ssh", url.replacen(':', "/", 1)),
    };
    let (host, path) = rest.split_once('/')?;
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    // The port of SSH says nothing about the port of the pages.
    let host = if scheme == "ssh" { host.split(':').next()? } else { host };
    let repository = path.trim_matches('/').trim_end_matches(".git");
    let good =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:".contains(&b));
    let segments = repository.split('/').count();
    // Only GitLab has groups within groups; what else a forge is, its name may say.
    let kind = match host {
        "github.com" => "github",
        _ if host.starts_with("gitlab.") || segments > 2 => "gitlab",
        _ => "gitea",
    };
    if host == "bitbucket.org" || !good(host) || !good(repository) || segments < 2 {
        return None;
    }
    let scheme = if scheme == "http" { "http" } else { "https" };
    Some(Remote { kind, url: format!("{scheme}://{host}"), repository: repository.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_are_read_as_git_writes_them() {
        let read = |url: &str| read_remote(url).map(|remote| format!("{} {}", remote.url, remote.repository));
        for url in [
            "https://git.example.com/acme/shop.git",
            "https://me:token@git.example.com/acme/shop",
            "git@git.example.com:acme/shop.git",
            "ssh://git@git.example.com:2222/acme/shop.git",
        ] {
            assert_eq!(read(url).as_deref(), Some("https://git.example.com acme/shop"), "{url}");
        }
        assert_eq!(read("http://127.0.0.1:3000/a/b").as_deref(), Some("http://127.0.0.1:3000 a/b"));
        let kind = |url: &str| read_remote(url).map(|remote| format!("{} {}", remote.kind, remote.repository));
        for (url, read) in [
            ("https://github.com/acme/shop", "github acme/shop"),
            ("git@gitlab.com:acme/platform/shop.git", "gitlab acme/platform/shop"),
            ("https://gitlab.example.com/acme/shop", "gitlab acme/shop"),
            ("https://git.example.com/acme/platform/shop", "gitlab acme/platform/shop"),
            ("https://git.example.com/acme/shop", "gitea acme/shop"),
        ] {
            assert_eq!(kind(url).as_deref(), Some(read), "{url}");
        }
        for other in ["https://bitbucket.org/acme/shop", "/srv/git/shop.git", "../shop", "https://x/shop", "git@h:\"/x"]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
