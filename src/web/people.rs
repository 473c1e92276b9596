//! What the forges say of people. Windows do not speak with forges: [`crate::app`] answers these few questions.

use futures::future::BoxFuture;
use jiff::SignedDuration;

use crate::db::environments::Whom;
use crate::ids::{Account, ForgeName, RepositoryKey};

/// How old an answer about somebody's rights may be before they are shown what it lets them see.
pub(super) const SHOWN_FOR: SignedDuration = SignedDuration::from_mins(5);

/// What somebody may do with a repository, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Read it.
    Read,
    /// Write to it, or more.
    Write,
}

/// One attempt to sign in, as the forge is told of it.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Where the forge sends the person back to.
    pub redirect: String,
    /// What they bring back.
    pub state: String,
    /// The key that proves that who comes back is who went.
    pub verifier: String,
}

/// Why nobody signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSignedIn {
    /// The forge does not know what was brought back.
    Refused,
    /// The forge does not answer now.
    Away,
}

/// A forge that does not say what somebody may: nothing is shown to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away;

/// The forges, as far as people are concerned.
pub trait Forges: std::fmt::Debug + Send + Sync {
    /// Those through which people sign in.
    fn doors(&self) -> Vec<ForgeName>;

    /// The forge's page that asks a person who they are; `challenge` is the digest of the attempt's key.
    fn address(&self, forge: &ForgeName, attempt: &Attempt, challenge: &str) -> Option<String>;

    /// Who brought this code back.
    fn account<'a>(
        &'a self,
        forge: &'a ForgeName,
        code: &'a str,
        attempt: &'a Attempt,
    ) -> BoxFuture<'a, Result<Account, NotSignedIn>>;

    /// What somebody may do with each of these repositories of their forge, by answers that are not older than `age`. Those
    /// they may not read are not among them.
    fn rights<'a>(
        &'a self,
        person: &'a Account,
        repositories: Vec<RepositoryKey>,
        age: SignedDuration,
    ) -> BoxFuture<'a, Result<Vec<(RepositoryKey, Right)>, Away>>;

    /// Whether somebody who may read a repository is one of these there, asked now.
    fn is_one_of<'a>(
        &'a self,
        person: &'a Account,
        repository: &'a RepositoryKey,
        whom: &'a Whom,
    ) -> BoxFuture<'a, Result<bool, Away>>;
}
