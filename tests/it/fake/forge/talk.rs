//! What people say on the forge, and what we said.

use std::collections::BTreeMap;

use super::FakeForge;
use super::hook::{CommentChange, Happened};
use super::state::{CheckRun, Issue, Says, Status};
use super::story::{Pr, Shop};

impl FakeForge {
    /// Somebody approves what its head is now; the review.
    pub(crate) async fn approves(&self, who: &str, pr: &Pr) -> i64 {
        let head = self.head(pr);
        self.reviews(who, pr, Says::Approves, "", &head).await
    }

    /// Somebody approves a commit whose page they had open, whatever the head is now; the review.
    pub(crate) async fn approves_commit(&self, who: &str, pr: &Pr, commit: &str) -> i64 {
        self.reviews(who, pr, Says::Approves, "", commit).await
    }

    /// Somebody asks for changes; the review.
    pub(crate) async fn requests_changes(&self, who: &str, pr: &Pr) -> i64 {
        let head = self.head(pr);
        self.reviews(who, pr, Says::AsksForChanges, "please", &head).await
    }

    /// Somebody reviews with words only; the review.
    pub(crate) async fn remarks(&self, who: &str, pr: &Pr, text: &str) -> i64 {
        let head = self.head(pr);
        self.reviews(who, pr, Says::Remarks, text, &head).await
    }

    /// Any review.
    pub(crate) async fn reviews(&self, who: &str, pr: &Pr, says: Says, text: &str, commit: &str) -> i64 {
        let id = self.world.state().write_review(who, pr.repository, pr.number, says, text, commit);
        self.world.tell_all().await;
        id
    }

    /// Somebody dismisses a review. Gitea tells nobody.
    pub(crate) async fn dismisses(&self, review: i64) {
        self.world.state().dismiss("root", review, true);
        self.world.tell_all().await;
    }

    /// Somebody dismisses the oldest review.
    pub(crate) async fn dismisses_first_review(&self, pr: &Pr) {
        self.dismisses(self.first_review(pr)).await;
    }

    /// Somebody takes that back.
    pub(crate) fn undismisses_first_review(&self, pr: &Pr) {
        self.undismisses(self.first_review(pr));
    }

    fn first_review(&self, pr: &Pr) -> i64 {
        let state = self.world.state();
        let of_pull = |review: &&super::state::Review| review.repository == pr.repository && review.number == pr.number;
        state.reviews.iter().find(of_pull).map(|review| review.id).expect("a review")
    }

    /// Somebody takes a dismissal back, where that can be. Nobody is told.
    pub(crate) fn undismisses(&self, review: i64) {
        self.world.state().dismiss("root", review, false);
    }

    /// Somebody deletes an issue, whose number is nobody's from now on; nobody is told.
    pub(crate) fn deletes_issue(&self, issue: &Pr) {
        let mut state = self.world.state();
        let at = |one: &Issue| (one.repository, one.number) == (issue.repository, issue.number);
        // Of no repository, it still has its number.
        state.issues.iter_mut().filter(|one| at(one)).for_each(|one| one.repository = -one.repository);
        state.comments.retain(|one| (one.repository, one.number) != (issue.repository, issue.number));
    }

    /// Somebody closes an issue; nobody is told.
    pub(crate) fn closes_issue(&self, issue: &Pr) {
        let mut state = self.world.state();
        let at = |one: &&mut Issue| (one.repository, one.number) == (issue.repository, issue.number);
        state.issues.iter_mut().find(at).unwrap().is_open = false;
    }

    /// Somebody deletes their review. As on the real one, nobody is told. Where there are none, their approval is gone.
    pub(crate) fn deletes_review(&self, id: i64) {
        let mut state = self.world.state();
        match state.tongue.knows_no_reviews() {
            true => {
                state.reviews.iter_mut().filter(|review| review.id == id).for_each(|review| review.dismissed = true)
            }
            false => state.reviews.retain(|review| review.id != id),
        }
    }

    /// Somebody edits the text of a review. (Gitea's list of reviews shows the old one, the delivery the new one.)
    pub(crate) async fn edits_review(&self, who: &str, review: i64, text: &str) {
        self.world.state().edit_review(who, review, text);
        self.world.tell_all().await;
    }

    /// Somebody writes on a pull request; the comment.
    pub(crate) async fn comments(&self, who: &str, pr: &Pr, text: &str) -> i64 {
        self.comments_on(who, pr.repository, pr.number, text).await
    }

    /// Somebody writes on a pull request or issue; the comment.
    pub(crate) async fn comments_on(&self, who: &str, repository: i64, number: i64, text: &str) -> i64 {
        let id = self.world.state().write_comment(who, repository, number, text);
        self.world.tell_all().await;
        id
    }

    /// Somebody edits a comment, their own or another's.
    pub(crate) async fn edits_comment(&self, who: &str, comment: i64, text: &str) {
        self.world.state().edit_comment(who, comment, text);
        self.world.tell_all().await;
    }

    /// Somebody edits a comment within the second it was written in: its times stay equal, as on the real one.
    pub(crate) async fn edits_comment_at_once(&self, who: &str, comment: i64, text: &str) {
        {
            let mut state = self.world.state();
            let created = state.comment(comment).created;
            state.edit_comment(who, comment, text);
            let edited = state.comments.iter_mut().find(|edited| edited.id == comment);
            edited.expect("a comment of this forge").updated = created;
        }
        self.world.tell_all().await;
    }

    /// Somebody deletes a comment.
    pub(crate) async fn deletes_comment(&self, who: &str, comment: i64) {
        {
            let mut state = self.world.state();
            let found = state.comment(comment).clone();
            state.comments.retain(|kept| kept.id != comment);
            state.tell_comment(CommentChange::Deleted, who, &found);
        }
        self.world.tell_all().await;
    }

    /// A status as a CI sets it.
    pub(crate) async fn sets_status(&self, who: &str, on: (i64, &str), context: &str, state_word: &str) {
        let (repository, commit) = on;
        {
            let mut state = self.world.state();
            state.user(who);
            let (id, at) = (state.id(), state.tick());
            let status = Status {
                id,
                repository,
                commit: commit.to_owned(),
                context: context.to_owned(),
                state: state_word.to_owned(),
                description: String::new(),
                target_url: format!("https://ci.example.com/{context}"),
                creator: who.to_owned(),
                at,
            };
            state.tell(&Happened::Status { by: who, status: &status });
            state.statuses.push(status);
        }
        self.world.tell_all().await;
    }

    /// A check as an app reports it on GitHub; a conclusion it has come to, or none yet.
    pub(crate) async fn runs_check(&self, app: &str, on: (i64, &str), name: &str, conclusion: Option<&str>) {
        let (repository, commit) = on;
        {
            let mut state = self.world.state();
            state.user(app);
            let (id, at) = (state.id(), state.tick());
            let run = CheckRun {
                id,
                repository,
                commit: commit.to_owned(),
                app: app.to_owned(),
                name: name.to_owned(),
                external_id: String::new(),
                title: String::new(),
                summary: String::new(),
                marks: Vec::new(),
                conclusion: conclusion.map(str::to_owned),
                at,
            };
            state.tell(&Happened::Check { by: app, run: &run });
            state.check_runs.push(run);
        }
        self.world.tell_all().await;
    }

    /// Somebody has the newest check of ours on the head run again.
    pub(crate) async fn reruns_our_check(&self, who: &str, pr: &Pr) {
        let run = self.our_checks(pr).pop().expect("a check of ours");
        {
            let mut state = self.world.state();
            state.tick();
            state.tell(&Happened::CheckAgain { by: who, run: &run });
        }
        self.world.tell_all().await;
    }

    // ── what we said ───────────────────────────────────────────────────────────────────────────────────────────────

    /// Our one comment on a pull request; two are a failure, none is empty.
    pub(crate) fn comment(&self, pr: &Pr) -> String {
        let ours = self.our_comments(pr.repository, pr.number);
        assert!(ours.len() <= 1, "we wrote {} comments on one pull request: {ours:#?}", ours.len());
        ours.into_iter().next().unwrap_or_default()
    }

    /// All comments of ours on a pull request or issue.
    pub(crate) fn our_comments(&self, repository: i64, number: i64) -> Vec<String> {
        let state = self.world.state();
        let ours = state.comments.iter().filter(|comment| comment.repository == repository && comment.number == number);
        ours.filter(|comment| super::is_us(&comment.author)).map(|comment| comment.body.clone()).collect()
    }

    /// Whether an issue is open.
    pub(crate) fn is_open(&self, issue: &Pr) -> bool {
        let state = self.world.state();
        let is_it = |one: &&super::state::Issue| (one.repository, one.number) == (issue.repository, issue.number);
        state.issues.iter().find(is_it).is_some_and(|issue| issue.is_open)
    }

    /// The number of our first comment on a pull request or issue.
    pub(crate) fn our_comment(&self, pr: &Pr) -> Option<i64> {
        let state = self.world.state();
        let here =
            |comment: &&super::state::Comment| (comment.repository, comment.number) == (pr.repository, pr.number);
        state.comments.iter().filter(here).find(|comment| super::is_us(&comment.author)).map(|comment| comment.id)
    }

    /// How often our comment was edited is not kept by a forge; how often it was written is in the calls. When it was
    /// last written, by the forge's clock.
    pub(crate) fn comment_written_at(&self, pr: &Pr) -> Option<jiff::Timestamp> {
        let state = self.world.state();
        let ours = |comment: &&super::state::Comment| {
            comment.repository == pr.repository && comment.number == pr.number && super::is_us(&comment.author)
        };
        state.comments.iter().find(ours).map(|comment| comment.updated)
    }

    /// Our check runs on the head, oldest first.
    pub(crate) fn our_checks(&self, pr: &Pr) -> Vec<CheckRun> {
        let head = self.head(pr);
        let state = self.world.state();
        let ours = |run: &&CheckRun| run.repository == pr.repository && run.commit == head && run.app == "bascule";
        state.check_runs.iter().filter(ours).cloned().collect()
    }

    /// Our deployments, oldest first: the environment of each, and every state that was said of it.
    pub(crate) fn deployments(&self, shop: &Shop) -> Vec<(String, Vec<String>)> {
        let state = self.world.state();
        let mine = state.deployments.iter().filter(|one| one.repository == shop.id && super::is_us(&one.creator));
        mine.map(|one| (one.environment.clone(), one.words.iter().map(|word| word.state.clone()).collect())).collect()
    }

    /// The newest status of each context on the head: context → (state, description).
    pub(crate) fn statuses(&self, pr: &Pr) -> BTreeMap<String, (String, String)> {
        let head = self.head(pr);
        self.statuses_of(pr.repository, &head)
    }

    /// The same of a pull request; an issue has none.
    pub(crate) fn statuses_if_pull(&self, pr: &Pr) -> BTreeMap<String, (String, String)> {
        let is_pull = self.world.state().pull(pr.repository, pr.number).is_some();
        if is_pull { self.statuses(pr) } else { BTreeMap::new() }
    }

    /// Whether an issue may have the number of a pull request.
    pub(crate) fn numbers_issues_apart(&self) -> bool {
        self.world.state().tongue.numbers_issues_apart()
    }

    /// The pull request or issue that the server knows by this number.
    pub(crate) fn place_of(&self, repository: i64, ours: i64) -> Pr {
        let state = self.world.state();
        let number = match ours < 0 && state.tongue.numbers_issues_apart() {
            true => state.issue_number(repository, &ours.abs().to_string()).unwrap_or(ours),
            false => ours,
        };
        Pr { repository, number }
    }

    /// How the server knows a pull request or issue, and how people write it.
    pub(crate) fn known_as(&self, place: &Pr) -> (i64, String) {
        let state = self.world.state();
        let is_it = |issue: &&Issue| (issue.repository, issue.number) == (place.repository, place.number);
        match (state.tongue.numbers_issues_apart(), state.issues.iter().find(is_it)) {
            (true, Some(issue)) => {
                let iid = i64::try_from(state.issue_iid(issue)).unwrap();
                (-iid, format!("#{iid}"))
            }
            (true, None) => (place.number, format!("!{}", place.number)),
            (false, _) => (place.number, format!("#{}", place.number)),
        }
    }

    /// The number the next pull request or issue will have.
    pub(crate) fn numbers(&self, shop: &Shop) -> i64 {
        self.world.state().next_number(shop.id)
    }

    /// The same for any commit.
    pub(crate) fn statuses_of(&self, repository: i64, commit: &str) -> BTreeMap<String, (String, String)> {
        let state = self.world.state();
        let of_commit =
            state.statuses.iter().filter(|status| status.repository == repository && status.commit == commit);
        let mut all: BTreeMap<String, (String, String)> =
            of_commit.map(|s| (s.context.clone(), (s.state.clone(), s.description.clone()))).collect();
        let ours = state
            .check_runs
            .iter()
            .filter(|run| (run.repository, run.commit.as_str(), run.app.as_str()) == (repository, commit, "bascule"));
        for run in ours {
            let said = (run.conclusion.clone().unwrap_or_else(|| "pending".to_owned()), run.title.clone());
            let twice = all
                .insert(run.name.clone(), said)
                .is_some_and(|_| state.statuses.iter().any(|s| s.commit == commit && s.context == run.name));
            assert!(!twice, "{} is both a status and a check run of one commit", run.name);
        }
        all
    }

    /// Reactions of ours to a comment.
    pub(crate) fn reactions(&self, comment: i64) -> Vec<String> {
        let state = self.world.state();
        state.reactions.iter().filter(|(on, _, _)| *on == comment).map(|(_, _, what)| what.clone()).collect()
    }

    /// The open issue of ours whose title has these words: number, title and text.
    pub(crate) fn our_issue(&self, shop: &Shop, words: &str) -> Option<(i64, String, String)> {
        let state = self.world.state();
        let issue = state.issue_of(shop.id, words).filter(|issue| issue.is_open && super::is_us(&issue.author))?;
        Some((issue.number, issue.title.clone(), issue.body.clone()))
    }
}
