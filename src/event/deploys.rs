//! The trailer `Deploys: group/app@COMMIT` of a commit in a configuration repository: whose commit it brings to an
//! environment, so that the application's people see beside it what became of it.
//!
//! Whoever may commit may write anything here. What is read is a name that can be a repository's and a whole commit id; what
//! the server does with it is decided by the grants.

use crate::ids::CommitId;

/// Trailers of one sync that are told; more are counted.
pub const MOST: usize = 10;
/// Of a trailer that cannot be read, so much is repeated.
const REPEATED: usize = 100;
/// The longest name any forge has, groups within groups included.
const LONGEST_NAME: usize = 300;

/// A trailer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deploys {
    /// This commit of this repository, whose name the forge has still to take for one.
    Commit {
        /// `group/app`.
        repository: String,
        /// The commit.
        commit: CommitId,
    },
    /// It cannot be read.
    Unreadable {
        /// What is written, cut.
        written: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// The trailers of a message, in the order written. Its first line is no trailer. Git reads those of the last paragraph
/// alone; a squash moves them up, so that every line counts here.
pub fn deploys(message: &str) -> impl Iterator<Item = Deploys> {
    let lines = message.lines().skip(1).filter_map(|line| line.trim().split_once(':'));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case("deploys")).map(|(_, value)| read(value.trim()))
}

/// Those of all commits of one sync, each once, at most [`MOST`] of them.
pub fn of_sync(all: impl IntoIterator<Item = Deploys>) -> Vec<Deploys> {
    let (mut kept, mut more) = (Vec::new(), 0_usize);
    for one in all {
        match kept.contains(&one) {
            true => {}
            false if kept.len() < MOST => kept.push(one),
            false => more += 1,
        }
    }
    if more > 0 {
        let why = "more than ten of one deployment are not told";
        kept.push(Deploys::Unreadable { written: format!("{more} more"), why });
    }
    kept
}

fn read(written: &str) -> Deploys {
    let unreadable = |why| Deploys::Unreadable { written: written.chars().take(REPEATED).collect(), why };
    let Some((repository, commit)) = written.rsplit_once('@') else {
        return unreadable("write it as `group/app@COMMIT`");
    };
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
    if repository.len() > LONGEST_NAME || !repository.contains('/') || !repository.bytes().all(letter) {
        return unreadable("it names no repository");
    }
    match commit.parse() {
        Ok(commit) => Deploys::Commit { repository: repository.to_owned(), commit },
        Err(_) => unreadable("its commit has to be a whole id, in small letters"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(one: &Deploys) -> String {
        match one {
            Deploys::Commit { repository, commit } => format!("{repository} {}", commit.short()),
            Deploys::Unreadable { written, why } => format!("{written:?}: {why}"),
        }
    }

    #[test]
    fn a_trailer_is_a_repository_and_a_whole_commit() {
        let sha = "a".repeat(40);
        let message = format!(
            "Deploys: acme/subject@{sha}\n\nUpdate the app\n\nDeploys: acme/app@{sha}\n deploys:acme/platform/tools/app@{sha}  \n\
             Deploys: acme/app\nDeploys: acme/app@main\nDeploys: app@{sha}\nDeploys: ../..%2Fx/y@{sha}\nDeploys: a b/c@{sha}\n\
             Deploys: acme/app@{}\nDeploys:\nNot-Deploys: acme/app@{sha}\nDeploys: `@everyone` <script>/x@{sha}\n",
            "A".repeat(40)
        );
        insta::assert_snapshot!(deploys(&message).map(|one| told(&one)).collect::<Vec<_>>().join("\n"), @r#"
        acme/app aaaaaaa
        acme/platform/tools/app aaaaaaa
        "acme/app": write it as `group/app@COMMIT`
        "acme/app@main": its commit has to be a whole id, in small letters
        "app@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": it names no repository
        "../..%2Fx/y@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": it names no repository
        "a b/c@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": it names no repository
        "acme/app@AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA": its commit has to be a whole id, in small letters
        "": write it as `group/app@COMMIT`
        "`@everyone` <script>/x@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": it names no repository
        "#);
        assert_eq!(deploys("").count(), 0);
        let long = format!("x\n\nDeploys: {}", "x".repeat(10_000));
        assert!(told(&deploys(&long).next().unwrap()).len() < 200);
    }

    #[test]
    fn each_is_told_once_and_ten_of_a_sync() {
        let one =
            |n: usize| Deploys::Commit { repository: format!("acme/{n}"), commit: "b".repeat(40).parse().unwrap() };
        assert_eq!(of_sync([one(1), one(2), one(1)]), [one(1), one(2)]);
        let many = of_sync((0..25).map(one));
        assert_eq!(
            (many.len(), told(&many[10])),
            (11, "\"15 more\": more than ten of one deployment are not told".to_owned())
        );
    }
}
