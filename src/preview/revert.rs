//! The pull request that reverts what a rollback took away, in words.

use super::markdown::{code, prose};
use crate::ids::{CommitId, EnvironmentName};

/// More pull requests than this are counted in a title.
const NAMED: usize = 3;

/// What there is to say of it.
#[derive(Debug, Clone)]
pub struct Revert<'a> {
    /// What was rolled back.
    pub environment: &'a EnvironmentName,
    /// The branch it follows.
    pub branch: &'a str,
    /// The deployment that took away, the one it took away, and the one it put back.
    pub numbers: [i64; 3],
    /// The commit of the last.
    pub commit: &'a CommitId,
    /// The pull requests that are reverted, as people write them, oldest first.
    pub pulls: &'a [String],
    /// Who asked for the rollback; `None`: a sync failed.
    pub by: Option<&'a str>,
    /// A person's words, or the failure.
    pub reason: Option<&'a str>,
}

impl Revert<'_> {
    /// `Revert #12: production was rolled back`.
    pub fn title(&self) -> String {
        format!("Revert {}: {} was rolled back", self.named(), self.environment)
    }

    /// What it says, in which everything from outside is inert.
    pub fn body(&self) -> String {
        let [number, taken, back] = self.numbers;
        let environment = code(self.environment.as_str());
        let reason = self.reason.map(|reason| format!(": {}", prose(reason))).unwrap_or_default();
        let why = match self.by {
            Some(by) => format!("{} asked for it{reason}", code(by)),
            None => format!("`on_failure: rollback` did it by itself{reason}"),
        };
        let pulls = self.pulls.join(", ");
        format!(
            "{environment} was rolled back: deployment `#{number}` took `#{taken}` away and put back what `#{back}` ({}) had.\n\n\
             - why: {why}\n\
             - taken away, and reverted here: {pulls}\n\n\
             {environment} is pinned there. The pin ends when {} has nothing of what was taken away any more, as after this is \
             merged, or when somebody types `/bascule resume {}`. The rollback has consented to what this changes in \
             {environment}, while the pin stands; floors, and the rules of other environments, are asked as ever.\n\n\
             To go forward again instead, close this and type `/bascule resume {}`.\n",
            code(self.commit.short()),
            code(self.branch),
            self.environment,
            self.environment,
        )
    }

    /// The message of its commit.
    pub fn message(&self) -> String {
        let [number, taken, back] = self.numbers;
        format!(
            "{}\n\nDeployment {number} of {} took {taken} away and put back what {back} had ({}).",
            self.title(),
            self.environment,
            self.commit
        )
    }

    fn named(&self) -> String {
        match self.pulls {
            [] => "what was deployed".to_owned(),
            [one] => one.clone(),
            [some @ .., last] if self.pulls.len() <= NAMED => format!("{} and {last}", some.join(", ")),
            all => format!("{} pull requests", all.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revert_says_what_was_taken_away_why_and_how_the_pin_ends() {
        let (environment, commit) = ("production".parse().unwrap(), "a".repeat(40).parse().unwrap());
        let pulls = ["#12".to_owned(), "#14".to_owned()];
        let revert = Revert {
            environment: &environment,
            branch: "main",
            numbers: [4, 3, 1],
            commit: &commit,
            pulls: &pulls,
            by: Some("work/kim"),
            reason: Some("the *tills* [hang](https://example.org) @everybody"),
        };
        insta::assert_snapshot!(format!("{}\n\n{}", revert.title(), revert.body()), @"
        Revert #12 and #14: production was rolled back

        `production` was rolled back: deployment `#4` took `#3` away and put back what `#1` (`aaaaaaa`) had.

        - why: `work/kim` asked for it: the `*tills* [hang](https://example.org`) `@everybody`
        - taken away, and reverted here: #12, #14

        `production` is pinned there. The pin ends when `main` has nothing of what was taken away any more, as after this is merged, or when somebody types `/bascule resume production`. The rollback has consented to what this changes in `production`, while the pin stands; floors, and the rules of other environments, are asked as ever.

        To go forward again instead, close this and type `/bascule resume production`.
        ");
        let alone = Revert { by: None, reason: Some("it is not well"), pulls: &pulls[..1], ..revert };
        let message = format!(
            "Revert #12: production was rolled back\n\nDeployment 4 of production took 3 away and put back what 1 had ({commit})."
        );
        assert_eq!(alone.message(), message);
        assert!(
            alone.body().contains("- why: `on_failure: rollback` did it by itself: it is not well\n"),
            "{}",
            alone.body()
        );
    }
}
