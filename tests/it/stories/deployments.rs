//! Deployments on the forge's own page of them.

use super::*;
use crate::fake::forge::Fault;

/// Tells a story on the forges that have such a page: on one with deliveries, on the other with sweeps alone.
fn check_there<S: AsyncFn(&mut Town)>(story: S) {
    let name = table::name_of::<S>();
    on_plane(async |plane| {
        for (tongue, told) in [(Tongue::GitHub, Told::ByDeliveries), (Tongue::GitLab, Told::BySweeps)] {
            let namespace = format!("page-{}-{}", name.len(), tongue.kind());
            let mut t = Box::pin(Town::on(Database::new().await, plane, &namespace, tongue, told)).await;
            Box::pin(story(&mut t)).await;
            t.run_jobs().await;
            assert!(t.troubles.is_empty(), "{tongue:?}: {:#?}", t.troubles);
        }
    });
}

impl Town {
    /// Each deployment there, and everything that was said of it: on GitLab in GitHub's words.
    fn deployed(&self) -> Vec<String> {
        let words = [("running", "in_progress"), ("failed", "failure"), ("canceled", "inactive")];
        let word = |said: &String| {
            words.iter().find(|(own, _)| own == said).map_or(said.as_str(), |(_, word)| word).to_owned()
        };
        let all = self.forge.deployments(&self.shop).into_iter();
        all.map(|(environment, said)| {
            format!("{environment}: {}", said.iter().map(word).collect::<Vec<_>>().join(", "))
        })
        .collect()
    }
}

#[test]
fn what_is_deployed_is_shown_under_its_stage_with_how_it_stands() {
    check_there(async |t| {
        let staged = RULES.replace("    path:", "    stage: live\n    path:");
        t.runs(&staged, &[(WEB, &settings("web", "1"))]).await;
        // It is over before anybody can say that it runs; GitLab takes none that does not.
        let begun = if t.forge.tongue() == Tongue::GitLab { "in_progress, " } else { "" };
        assert_eq!(t.deployed(), [format!("live: {begun}success")]);
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.run_jobs().await;
        // GitLab knows by itself which one is the last.
        let replaced = if t.forge.tongue() == Tongue::GitHub { ", inactive" } else { "" };
        assert_eq!(t.deployed(), [format!("live: {begun}success{replaced}"), format!("live: {begun}success")]);
        // Nothing is told twice.
        let _ = t.forge.take_calls();
        t.sweeps().await;
        assert!(t.forge.take_calls().iter().all(|call| !call.contains("deployments")));
    });
}

#[test]
fn a_deployment_whose_making_or_state_was_not_answered_is_found_and_told_once() {
    check_there(async |t| {
        t.begins(RULES, &[(WEB, &settings("web", "1"))]).await;
        t.forge.loses_the_answer("POST /repos/acme/shop/deployments", Fault::BreaksOff);
        for held in t.held_issues().await {
            t.forge.comments("lee", &held, "/bascule approve").await;
            t.forge.comments("olga", &held, "/bascule approve").await;
        }
        t.run_jobs().await;
        assert!(t.forge.has_lost_the_answer());
        assert!(t.deployed()[0].ends_with("success") && t.deployed().len() == 1, "{:?}", t.deployed());
        t.troubles.clear();
    });
}
