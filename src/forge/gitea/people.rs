//! Accounts, rights and teams.
//!
//! Two answers of Gitea cannot be taken as they are. An account's JSON does not say whether it is a bot: the account
//! search lists people only, so one that exists and is not found there is not a person. And the permission endpoint
//! looks at collaborators and at administrators' teams only: someone who may push because a team of the organisation
//! has `write` on its code is reported as `read`, so the repository's teams are asked too.
//!
//! Team membership is shown to organisation owners, members of that team and site administrators. Our account has to
//! be one of these; otherwise the answer is an error, never "not a member".

use super::{Gitea, wire};
use crate::forge::error::{Fate, Result};
use crate::forge::facts::{AccountKind, RepositoryAt, Standing, User};
use crate::forge::http::Call;
use crate::forge::name::is_segment;
use crate::ids::Account;
use crate::policy::rules::Role;

/// Teams of one organisation.
const MOST_TEAMS: usize = 1_000;

impl Gitea {
    /// `None`: no right at all, or no such account.
    pub(crate) async fn permission(&self, at: &RepositoryAt, login: &str) -> Result<Option<Role>> {
        self.need_segment(login)?;
        let path = self.path(at, &["collaborators", login, "permission"]);
        let found: wire::PermissionJson =
            match self.http.get(Call { name: "permission", path: &path, query: &[] }).await {
                Err(error) if error.is_gone() => {
                    // No such account, or no such repository? Only the first is an answer.
                    self.repository_by_id(at.id).await?;
                    return Ok(None);
                }
                found => found?,
            };
        let told = role(&found.permission);
        if told >= Some(Role::Write) {
            return Ok(told);
        }
        Ok(if self.is_in_writing_team(at, login).await? { Some(Role::Write) } else { told })
    }

    async fn is_in_writing_team(&self, at: &RepositoryAt, login: &str) -> Result<bool> {
        let path = self.path(at, &["teams"]);
        // One answer with everything: this list has no pages.
        let teams: Option<Vec<wire::TeamJson>> =
            match self.http.get(Call { name: "repository_teams", path: &path, query: &[] }).await {
                // The repository belongs to a person: there are no teams.
                Err(error) if error.status == Some(405) => return Ok(false),
                teams => teams?,
            };
        for team in teams.into_iter().flatten() {
            let code = team.units_map.get("repo.code").unwrap_or(&team.permission);
            if role(code) >= Some(Role::Write) && self.is_member(team.id, login).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) async fn is_team_member(&self, team: &str, login: &str) -> Result<bool> {
        let (organisation, team) = team.split_once('/').unwrap_or((team, ""));
        self.need_segment(organisation)?;
        self.need_segment(login)?;
        let call = Call { name: "teams", path: &["orgs", organisation, "teams"], query: &[] };
        let teams: Vec<wire::TeamJson> = self.http.get_all(call, MOST_TEAMS).await?;
        match teams.iter().find(|found| found.name.eq_ignore_ascii_case(team)) {
            Some(found) => self.is_member(found.id, login).await,
            None => Err(self.http.error(Fate::Gone, None, format!("has no team {organisation}/{team}"))),
        }
    }

    async fn is_member(&self, team: i64, login: &str) -> Result<bool> {
        let team = team.to_string();
        let call = Call { name: "team_member", path: &["teams", &team, "members", login], query: &[] };
        match self.http.get::<wire::User>(call).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_gone() => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn user(&self, login: &str) -> Result<User> {
        self.need_segment(login)?;
        let found: wire::User = self.http.get(Call { name: "user", path: &["users", login], query: &[] }).await?;
        let id = found.id.to_string();
        let call = Call { name: "user_search", path: &["users", "search"], query: &[("uid", &id)] };
        let people: wire::Found = self.http.get(call).await?;
        let is_person = found.id > 0 && people.data.iter().any(|person| person.id == found.id);
        let standing = match (self.who_we_are().await?.is_site_admin, found.active, found.prohibit_login) {
            (true, true, false) => Standing::Active,
            (true, _, _) => Standing::Suspended,
            (false, _, _) => Standing::NotShown,
        };
        let account = Account { forge: self.http.forge.clone(), id: found.id, login: found.login };
        let kind = if is_person { AccountKind::Person } else { AccountKind::NotAPerson };
        Ok(User { account, kind, standing, email: None })
    }

    /// The account that shows this address, when there is exactly one.
    pub(crate) async fn account_by_email(&self, email: &str) -> Result<Option<Account>> {
        let call = Call { name: "user_search", path: &["users", "search"], query: &[("q", email), ("limit", "50")] };
        let found: wire::Found = self.http.get(call).await?;
        let same = found.data.into_iter().find(|user| !email.is_empty() && user.email.eq_ignore_ascii_case(email));
        Ok(wire::account(&self.http.forge, same))
    }

    fn need_segment(&self, text: &str) -> Result<()> {
        if is_segment(text) {
            Ok(())
        } else {
            let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
            Err(self.http.error(Fate::Gone, None, format!("cannot have an account or organisation `{shown}`")))
        }
    }
}

fn role(permission: &str) -> Option<Role> {
    match permission {
        "owner" | "admin" => Some(Role::Admin),
        "write" => Some(Role::Write),
        "read" => Some(Role::Read),
        _ => None,
    }
}
