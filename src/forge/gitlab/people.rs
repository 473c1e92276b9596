//! Accounts, rights and groups.

use serde_json::Value;

use super::{GitLab, parts, project, wire};
use crate::forge::error::{Fate, Result};
use crate::forge::facts::{AccountKind, RepositoryAt, Standing, User};
use crate::forge::http::Call;
use crate::forge::name::is_segment;
use crate::ids::Account;
use crate::policy::rules::Role;

// docs.gitlab.com/api/members/#roles
const GUEST: i64 = 10;
const REPORTER: i64 = 20;
const DEVELOPER: i64 = 30;
const MAINTAINER: i64 = 40;

impl GitLab {
    /// `None`: no right at all, or no such account. A right may come from the project, from a group around it, or from a
    /// group it is shared with (docs.gitlab.com/api/members, "including inherited and invited members").
    pub(crate) async fn permission(&self, at: &RepositoryAt, login: &str) -> Result<Option<Role>> {
        let Some(user) = self.named(login).await? else { return Ok(None) };
        let id = user.id.to_string();
        let path = project(at, &["members", "all", &id]);
        let call = Call { name: "permission", path: &parts(&path), query: &[] };
        let level = match self.http.get::<wire::Member>(call).await {
            Ok(member) if member.is_active() => member.access_level,
            Ok(_) => 0,
            Err(error) if error.is_gone() => 0,
            Err(error) => return Err(error),
        };
        if level >= REPORTER {
            return Ok(Some(match level {
                MAINTAINER.. => Role::Admin,
                DEVELOPER.. => Role::Write,
                _ => Role::Read,
            }));
        }
        // No member, or no such project (for us)? Only the first is an answer. And what is public everybody may read.
        let seen = self.project_json(at.id).await?;
        Ok(seen.is_for_everybody().then_some(Role::Read))
    }

    /// A group is a team, by its whole path. As in GitLab's own approval rules, who is in a group around it is not one of
    /// its members (docs.gitlab.com/user/project/merge_requests/approvals/rules, "group approvers").
    pub(crate) async fn is_team_member(&self, team: &str, login: &str) -> Result<bool> {
        if !team.split('/').all(is_segment) {
            return Err(self.nobody(team));
        }
        let Some(user) = self.named(login).await? else { return Ok(false) };
        let id = user.id.to_string();
        let call = Call { name: "team_member", path: &["v4", "groups", team, "members", &id], query: &[] };
        match self.http.get::<wire::Member>(call).await {
            Ok(member) => Ok(member.is_active() && member.access_level >= GUEST),
            Err(error) if error.is_gone() => {
                // No member, or no group (for us)? Only the first is an answer.
                let query = [("with_projects", "false")];
                let call = Call { name: "team", path: &["v4", "groups", team], query: &query };
                let _: Value = self.http.get(call).await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn user(&self, login: &str) -> Result<User> {
        let found = match self.named(login).await? {
            Some(found) => self.user_by_id(found.id).await?,
            None => return Err(self.nobody(login)),
        };
        // Tokens of projects and groups have accounts of their own, which are bots, too (`HasUserType::BOT_USER_TYPES`).
        let kind = if found.bot { AccountKind::NotAPerson } else { AccountKind::Person };
        // Blocked, deactivated, banned, or waiting to be let in.
        let standing = if found.state == "active" { Standing::Active } else { Standing::Suspended };
        match wire::account(&self.http.forge, Some(found)) {
            Some(account) => Ok(User { account, kind, standing, email: None }),
            None => Err(self.nobody(login)),
        }
    }

    async fn user_by_id(&self, id: i64) -> Result<wire::User> {
        let id = id.to_string();
        self.http.get(Call { name: "user", path: &["v4", "users", &id], query: &[] }).await
    }

    /// The list says less of an account than the account does, and its number is all we take from it.
    async fn named(&self, login: &str) -> Result<Option<wire::User>> {
        if !is_segment(login) {
            return Err(self.nobody(login));
        }
        let call = Call { name: "user_search", path: &["v4", "users"], query: &[("username", login)] };
        let found: Vec<wire::User> = self.http.get(call).await?;
        Ok(found.into_iter().find(|user| user.username.eq_ignore_ascii_case(login)))
    }

    /// The account of an address that GitLab gave it, or that it shows to us: to administrators all, to others the public
    /// ones (docs.gitlab.com/api/users, `search`).
    pub(crate) async fn account_by_email(&self, email: &str) -> Result<Option<Account>> {
        let Some((local, domain)) = email.rsplit_once('@') else { return Ok(None) };
        if domain.eq_ignore_ascii_case(&format!("users.noreply.{}", self.http.host()))
            && let Some((Ok(id), login)) = local.split_once('-').map(|(id, login)| (id.parse(), login))
        {
            // The number is the account's, whatever it is called by now (`Gitlab::PrivateCommitEmail`).
            return Ok(Some(Account { forge: self.http.forge.clone(), id, login: login.to_owned() }));
        }
        let call = Call { name: "user_search", path: &["v4", "users"], query: &[("search", email)] };
        let mut found: Vec<wire::User> = self.http.get(call).await?;
        // One who is found alone is taken for it: a co-author too many is the stricter.
        if found.len() != 1 {
            found.retain(|user| user.public_email.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(email)));
        }
        Ok(wire::account(&self.http.forge, found.into_iter().next()))
    }

    fn nobody(&self, name: &str) -> crate::forge::ForgeError {
        let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
        self.http.error(Fate::Gone, None, format!("has no account or group `{shown}`"))
    }
}
