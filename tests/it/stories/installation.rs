//! A GitHub App that is suspended, or removed, in the middle of its work: the job stops and says what a person has to do,
//! and nothing that is deployed goes.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::app::PERMISSIONS;
use super::*;
use crate::fake::forge::App;

impl Town {
    /// From now on the server comes as an App that is installed in the organisation.
    fn comes_as_an_app(&mut self) -> App {
        let app = self.forge.has_app("acme", PERMISSIONS);
        let key = self.file().with_file_name("app.pem");
        std::fs::write(&key, &app.private_key).unwrap();
        let by_app = format!("app = {{ id = {}, private_key = {{ file = \"{}\" }} }}", app.id, key.display());
        let text = std::fs::read_to_string(self.file()).unwrap().replace("token = { env = \"TOKEN\" }", &by_app);
        std::fs::write(self.file(), text).unwrap();
        let environ = town::environ(&self.database.server_url(), self.forge.tongue(), crate::fake::forge::TOKEN);
        let loaded = bascule::config::load(Some(&self.file()), &environ).unwrap();
        let context = Arc::get_mut(&mut self.context).expect("no job runs");
        let shared = bascule::app::SharedBudget::new(context.pool.clone(), context.clock.clone());
        context.forges = bascule::app::forges(&loaded.server, &context.clock, &shared).unwrap();
        app
    }

    /// What is asked of it meanwhile runs until it stops.
    async fn works_on(&mut self, kind: &str) -> String {
        self.hears().await;
        while let Some(job) = self.claim().await {
            let verdict = self.run(&job, &CancellationToken::new()).await;
            if job.kind == kind {
                return format!("{verdict:?}");
            }
        }
        "no such job".to_owned()
    }
}

#[test]
fn an_app_that_is_suspended_or_removed_in_the_middle_stops_and_nothing_that_is_deployed_goes() {
    on_plane(async |plane| {
        let t = &mut Town::on(Database::new().await, plane, "installation", Tongue::GitHub, Told::ByDeliveries).await;
        let app = t.comes_as_an_app();
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.forge.opens_pull("dev", &t.shop, &[(WEB, &settings("web", "2"))]).await;
        t.run_jobs().await;
        t.forge.approves("lee", &pr).await;
        t.run_jobs().await;
        t.forge.merges("dev", &pr, Merge::Squash).await;
        t.forge.suspends_app(&app, true);
        let stopped = t.works_on("follow_branch").await;
        assert!(stopped.starts_with("Refused") && stopped.contains("suspended"), "{stopped}");
        assert_eq!(t.objects().await, ["web=1"]);
        assert!(t.refused().await.iter().any(|said| said.contains("suspended")), "a person reads what to do");
        // It goes on where it stopped.
        t.forge.suspends_app(&app, false);
        // Which installations there are is believed for a minute.
        t.context.clock.advance(jiff::SignedDuration::from_mins(2));
        t.run_jobs().await;
        assert_eq!(t.objects().await, ["web=2"]);

        t.forge.pushes_to("dev", &t.shop, "main", &[(WEB, "")]).await;
        t.forge.removes_app(&app);
        let stopped = t.works_on("follow_branch").await;
        assert!(stopped.starts_with("Refused"), "{stopped}");
        t.works().await;
        assert_eq!(t.objects().await, ["web=2"], "what is out of sight is not gone");
    });
}
