//! Who is on the forge, and what they may do.

use super::state::{ApprovalRule, Right, Team};
use super::{FakeForge, Pr, Shop};

impl FakeForge {
    /// Gives somebody a right on a repository; without it they may write.
    pub(crate) fn lets(&self, login: &str, shop: &Shop, right: Right) {
        let mut state = self.world.state();
        state.user(login);
        state.repository_mut(shop.id).rights.insert(login.to_owned(), right);
    }

    /// Makes a team of an organisation, whose members may do this with the code of all its repositories.
    pub(crate) fn team(&self, organisation: &str, name: &str, code: Right, members: &[&str]) {
        let mut state = self.world.state();
        members.iter().for_each(|member| drop(state.user(member).login.clone()));
        let id = state.id();
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        state.teams.push(Team { id, organisation: organisation.to_owned(), name: name.to_owned(), code, members });
    }

    /// Takes somebody out of every team of that name.
    pub(crate) fn leaves_team(&self, login: &str, name: &str) {
        let mut state = self.world.state();
        state.teams.iter_mut().filter(|team| team.name == name).for_each(|team| team.members.retain(|m| m != login));
    }

    /// A rule of GitLab's paid editions: so many of these approve before it merges.
    pub(crate) fn asks_before_merging(&self, pr: &Pr, name: &str, wanted: usize, eligible: &[&str]) {
        let mut state = self.world.state();
        let eligible = eligible.iter().map(|login| state.user(login).login.clone()).collect();
        let Pr { repository, number } = *pr;
        state.approval_rules.push(ApprovalRule { repository, number, name: name.to_owned(), wanted, eligible });
    }

    /// An account that is no person.
    pub(crate) fn bot(&self, login: &str) {
        self.world.state().user(login).is_bot = true;
    }

    /// May not sign in any more.
    pub(crate) fn suspends(&self, login: &str) {
        self.world.state().user(login).is_suspended = true;
    }

    /// Keeps what they do to themselves: a setting of every account.
    pub(crate) fn hides_activity(&self, login: &str) {
        self.world.state().user(login).hides_activity = true;
    }

    /// Our account sees what site administrators see.
    pub(crate) fn makes_us_site_admin(&self) {
        self.world.state().user("bascule").is_site_admin = true;
    }

    /// An administrator lowers how many entries a page has.
    pub(crate) fn shortens_pages(&self, entries: usize) {
        self.world.state().largest_page = entries;
    }
}
