//! How a sync ended is said where people look: in the pull request, in `bascule status`, and in the log.

use bascule::db::reports::{self, WhichEnvironments};
use serde_json::Value;

use super::*;
use crate::fake::forge::Pr;

/// A service that the API server refuses.
const BAD: &str = "apiVersion: v1\nkind: Service\nmetadata: { name: bad }\nspec: { ports: [{ port: 70000 }] }\n";
/// A claim that nothing ever binds.
const UNBOUND: &str = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: { name: disk }\n\
    spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Gi } } }\n";

impl Town {
    /// An approved pull request that adds this object is merged.
    async fn deploys(&mut self, file: &str, object: &str) -> Pr {
        let pr = self.forge.opens_pull("dev", &self.shop, &[(file, object)]).await;
        self.run_jobs().await;
        self.forge.approves("lee", &pr).await;
        self.forge.merges("dev", &pr, Merge::Squash).await;
        self.run_jobs().await;
        pr
    }

    /// What `bascule status` says of production: deployment, state, and why it is held.
    async fn status(&self) -> String {
        let mut conn = self.database.pool.acquire().await.unwrap();
        let which = WhichEnvironments { name: Some("production"), ..WhichEnvironments::default() };
        let one = reports::environments(&mut conn, &which, 1).await.unwrap().remove(0);
        let [state, held, detail] = [one.deployment_state, one.held, one.held_detail].map(Option::unwrap_or_default);
        let text = format!("#{} {state} {held} {detail}", one.deployment.unwrap_or_default());
        text.trim_end().replace(&self.namespace, "shop")
    }

    /// What the log says of the end of the newest deployment.
    async fn ended(&self) -> String {
        let newest = "SELECT detail::text FROM audit_entry WHERE action = 'deployment.ended' ORDER BY seq DESC LIMIT 1";
        let detail: String = sqlx::query_scalar(newest).fetch_one(&self.database.owner).await.unwrap();
        let detail: Value = serde_json::from_str(&detail).unwrap();
        let word = |key: &str| detail[key].as_str().unwrap_or_default().to_owned();
        format!("#{} {} {}", detail["deployment"], word("state"), word("sentence")).replace(&self.namespace, "shop")
    }
}

#[test]
fn a_sync_that_ends_well_is_said_in_all_three_places() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.deploys(WEB, &settings("web", "2")).await;
        assert!(t.row(&pr).ends_with("| `#2` healthy |"), "{}", t.row(&pr));
        assert_eq!(t.status().await, "#2 healthy");
        assert_eq!(t.ended().await, "#2 healthy 1 updated");
    });
}

#[test]
fn a_sync_that_fails_names_the_object_and_why_in_all_three_places() {
    check(async |t| {
        t.runs(RULES, &[(WEB, &settings("web", "1"))]).await;
        let pr = t.deploys("deploy/bad.yaml", BAD).await;
        let comment = t.comment(&pr);
        assert!(t.row(&pr).ends_with("| `#2` **failed**, see below |"), "{comment}");
        assert!(comment.contains("failed at Service shop/bad"), "{comment}");
        assert!(comment.contains("lifted by /bascule sync production"), "{comment}");
        let (status, ended) = (t.status().await, t.ended().await);
        assert!(status.starts_with("#2 failed failed failed at Service shop/bad: "), "{status}");
        assert!(ended.starts_with("#2 failed failed at Service shop/bad: "), "{ended}");
        assert!(status.contains("65535") && ended.contains("65535") && comment.contains("65535"), "{comment}");
    });
}

#[test]
fn a_sync_that_does_not_become_well_names_the_object_in_all_three_places() {
    check(async |t| {
        let rules = format!("{RULES}    sync: {{ timeout: 1s }}\n");
        t.runs(&rules, &[(WEB, &settings("web", "1"))]).await;
        // What a controller says of it, which has no uid to say before there is one.
        let event = format!(
            "apiVersion: v1\nkind: Event\nmetadata: {{ name: disk.1, namespace: {0} }}\ntype: Warning\nreason: ProvisioningFailed\n\
             message: no storage class is the default\ninvolvedObject: {{ kind: PersistentVolumeClaim, name: disk, namespace: {0} }}\n",
            t.namespace
        );
        t.plane.apply(&event).await.unwrap();
        let pr = t.deploys("deploy/disk.yaml", UNBOUND).await;
        let comment = t.comment(&pr);
        assert!(comment.contains("event ProvisioningFailed: no storage class is the default"), "{comment}");
        assert!(t.row(&pr).ends_with("| `#2` **failed**, see below |"), "{comment}");
        assert!(comment.contains("not healthy: PersistentVolumeClaim shop/disk"), "{comment}");
        let (status, ended) = (t.status().await, t.ended().await);
        assert!(status.starts_with("#2 failed failed not healthy: PersistentVolumeClaim shop/disk: "), "{status}");
        assert!(ended.starts_with("#2 failed not healthy: PersistentVolumeClaim shop/disk: "), "{ended}");
    });
}
