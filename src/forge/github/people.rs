//! Accounts, rights and teams.
//!
//! Team membership is shown to whom the organisation's members are shown; otherwise the answer is an error, never "not a
//! member".

use super::{GitHub, Whom, wire};
use crate::forge::error::{Fate, Result};
use crate::forge::facts::{AccountKind, RepositoryAt, Standing, User};
use crate::forge::http::Call;
use crate::forge::name::is_segment;
use crate::ids::Account;
use crate::policy::rules::Role;

/// How many of those a search finds are looked at. An address is of one account.
const LOOKED_AT: usize = 5;

impl GitHub {
    /// `None`: no right at all, or no such account.
    pub(crate) async fn permission(&self, at: &RepositoryAt, login: &str) -> Result<Option<Role>> {
        self.need_login(login)?;
        let path = self.path(at, &["collaborators", login, "permission"]);
        let call = Call { name: "permission", path: &path, query: &[] };
        let found: wire::PermissionJson = match self.get(Whom::Repository(at), call).await {
            Err(error) if error.is_gone() => {
                // No such account, or no such repository? Only the first is an answer.
                self.repository_by_id(at.id).await?;
                return Ok(None);
            }
            found => found?,
        };
        Ok(match found.permission.as_str() {
            "admin" => Some(Role::Admin),
            "write" => Some(Role::Write),
            "read" => Some(Role::Read),
            _ => None,
        })
    }

    /// Members of the team and of those below it.
    pub(crate) async fn is_team_member(&self, team: &str, login: &str) -> Result<bool> {
        let (organisation, team) = team.split_once('/').unwrap_or((team, ""));
        self.need_login(organisation)?;
        self.need_login(team)?;
        self.need_login(login)?;
        // As its address has it.
        let slug = team.to_ascii_lowercase();
        let path = ["orgs", organisation, "teams", &slug];
        let whom = Whom::Owner(organisation);
        let membership: Result<wire::MembershipJson> = {
            let path: Vec<&str> = path.into_iter().chain(["memberships", login]).collect();
            self.get(whom, Call { name: "team_member", path: &path, query: &[] }).await
        };
        match membership {
            // Somebody invited who did not accept is pending.
            Ok(membership) => Ok(membership.state == "active"),
            Err(error) if error.is_gone() => {
                // No member, or no team (for us)? Only the first is an answer.
                let _: serde_json::Value = self.get(whom, Call { name: "team", path: &path, query: &[] }).await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn user(&self, login: &str) -> Result<User> {
        let found = self.user_json(login).await?;
        let kind = if found.kind == "User" { AccountKind::Person } else { AccountKind::NotAPerson };
        // github.com does not show who is suspended at all.
        let standing = if found.suspended_at.is_some() { Standing::Suspended } else { Standing::Active };
        // It shows an address only after it was confirmed.
        let email = found.email.clone();
        match wire::account(&self.http.forge, Some(found)) {
            Some(account) => Ok(User { account, kind, standing, email }),
            None => Err(self.http.error(Fate::Gone, None, "has a deleted account of that name".to_owned())),
        }
    }

    async fn user_json(&self, login: &str) -> Result<wire::User> {
        self.need_login(login)?;
        self.get(Whom::Anyone, Call { name: "user", path: &["users", login], query: &[] }).await
    }

    /// The account of an address that GitHub gave it, or that it shows to everybody.
    pub(crate) async fn account_by_email(&self, email: &str) -> Result<Option<Account>> {
        let Some((local, domain)) = email.rsplit_once('@') else { return Ok(None) };
        if domain.eq_ignore_ascii_case(&format!("users.noreply.{}", self.http.host())) {
            return match local.split_once('+').map(|(id, login)| (id.parse(), login)) {
                // The number is the account's, whatever it is called by now.
                Some((Ok(id), login)) => {
                    Ok(Some(Account { forge: self.http.forge.clone(), id, login: login.to_owned() }))
                }
                // Addresses from before 2017 have the login alone.
                Some((Err(_), _)) | None => self.user_if_any(local).await,
            };
        }
        let words = format!("{email} in:email");
        let query = [("q", words.as_str()), ("per_page", "100")];
        let call = Call { name: "user_search", path: &["search", "users"], query: &query };
        let found: wire::Found = self.get(Whom::Anyone, call).await?;
        // One who is found alone is taken for it: a co-author too many is the stricter.
        if let [_] = found.items.as_slice() {
            return Ok(wire::account(&self.http.forge, found.items.into_iter().next()));
        }
        for one in found.items.iter().take(LOOKED_AT) {
            let shown = self.user_json(&one.login).await?;
            if shown.email.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(email)) {
                return Ok(wire::account(&self.http.forge, Some(shown)));
            }
        }
        Ok(None)
    }

    async fn user_if_any(&self, login: &str) -> Result<Option<Account>> {
        match self.user_json(login).await {
            Ok(user) => Ok(wire::account(&self.http.forge, Some(user))),
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A login, an organisation or a team; an App's account ends in `[bot]`.
    fn need_login(&self, text: &str) -> Result<()> {
        if is_segment(text.strip_suffix("[bot]").unwrap_or(text)) {
            Ok(())
        } else {
            let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
            Err(self.http.error(Fate::Gone, None, format!("cannot have an account or organisation `{shown}`")))
        }
    }
}
