//! What people ask over everything: environments with what they run and wait for, and deployments with who approved
//! them.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::rollbacks::{self, Rollback};
use crate::ids::{Account, ChangeDigest, CommitId, SetDigest, TraceId};
use crate::sync::{HoldReason, Orphan};

/// One environment: where it is, and what holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentNow {
    /// Our number.
    pub id: i64,
    /// The configured forge.
    pub forge: String,
    /// `owner/name`.
    pub repository: String,
    /// Its name.
    pub name: String,
    /// Its stage.
    pub stage: Option<String>,
    /// The configured cluster.
    pub cluster: String,
    /// The namespace of objects that name none.
    pub namespace: String,
    /// `active`, `orphaned` or `forgotten`.
    pub state: String,
    /// The branch it follows.
    pub branch: String,
    /// The newest commit a sync was started for.
    pub commit: Option<String>,
    /// When.
    pub commit_at: Option<Timestamp>,
    /// The newest commit seen healthy.
    pub healthy_commit: Option<String>,
    /// Its newest deployment's number.
    pub deployment: Option<i64>,
    /// Its newest deployment's state.
    pub deployment_state: Option<String>,
    /// Its sync ended well, and it runs on until what its rules ask for has held (`verify`).
    pub is_being_verified: bool,
    /// Why it is held: one of the schema's words.
    pub held: Option<String>,
    /// What is missing and who can give it.
    pub held_detail: Option<String>,
    /// The one command that lifts it.
    pub held_lifts: Option<String>,
    /// How many objects we applied to it that are not confirmed gone.
    pub objects: i64,
    /// Whether its position is at the commit that was asked about, or went past it.
    pub passed: bool,
}

/// Which environments; an empty field is not asked about.
#[derive(Debug, Clone, Default)]
pub struct WhichEnvironments<'a> {
    /// Exactly this number.
    pub id: Option<i64>,
    /// Exactly this name.
    pub name: Option<&'a str>,
    /// `owner/name`, or `forge/owner/name`.
    pub repository: Option<&'a str>,
    /// Only smaller numbers: the cursor.
    pub before: Option<i64>,
    /// Only of these repositories (our numbers).
    pub readable: Option<&'a [i64]>,
    /// A commit to say of each whether it went past it.
    pub commit: Option<&'a CommitId>,
}

/// At most `limit` environments, newest first.
///
/// # Errors
/// The database's own.
pub async fn environments(
    conn: &mut PgConnection,
    which: &WhichEnvironments<'_>,
    limit: i64,
) -> Result<Vec<EnvironmentNow>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT e.id, r.forge, r.full_name, r.state AS repository_state, e.name, e.stage, e.cluster, e.namespace, e.state, e.branch,
                  e.position_commit, e.position_at, e.healthy_commit,
                  d.number AS "number?", d.state AS "deployment_state?", coalesce(d.verifying, false) AS "verifying!",
                  (SELECT count(*) FROM inventory i WHERE i.environment_id = e.id) AS "objects!",
                  h.reason AS "reason?", h.detail AS "detail?", h.lifts AS "lifts?",
                  EXISTS (SELECT FROM passed_commit p WHERE p.environment_id = e.id AND p.commit_sha = $7) AS "passed!"
           FROM environment e JOIN repository r ON r.id = e.repository_id
           LEFT JOIN hold h ON h.environment_id = e.id
           LEFT JOIN LATERAL (SELECT number, state, state = 'running' AND outcome IS NOT NULL AS verifying FROM deployment WHERE environment_id = e.id
                              ORDER BY number DESC LIMIT 1) d ON true
           WHERE ($1::bigint IS NULL OR e.id = $1)
             AND ($2::text IS NULL OR e.name = $2)
             AND ($3::text IS NULL OR r.full_name = $3 OR r.forge || '/' || r.full_name = $3)
             AND ($4::bigint IS NULL OR e.id < $4)
             AND ($6::bigint[] IS NULL OR r.id = ANY($6))
           ORDER BY e.id DESC LIMIT $5"#,
        which.id,
        which.name,
        which.repository,
        which.before,
        limit,
        which.readable,
        which.commit.map(CommitId::as_str)
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let held = row.reason.map(|reason| (reason, row.detail.unwrap_or_default(), row.lifts.unwrap_or_default()));
            let held = without_repository(&row.repository_state, &row.forge, &row.full_name).or(held);
            let name = format!("{}/{}:{}", row.forge, row.full_name, row.name);
            let held = unnamed(&row.state, &name, row.objects).or(held).filter(|_| row.state != "forgotten");
            let (held, held_detail, held_lifts) = match held {
                Some((reason, detail, lifts)) => (Some(reason), Some(detail), Some(lifts)),
                None => (None, None, None),
            };
            EnvironmentNow {
                id: row.id,
                forge: row.forge,
                repository: row.full_name,
                name: row.name,
                stage: row.stage,
                cluster: row.cluster,
                namespace: row.namespace,
                state: row.state,
                branch: row.branch,
                commit: row.position_commit,
                commit_at: row.position_at.map(|at| at.to_jiff()),
                healthy_commit: row.healthy_commit,
                deployment: row.number,
                deployment_state: row.deployment_state,
                is_being_verified: row.verifying,
                held,
                held_detail,
                held_lifts,
                objects: row.objects,
                passed: row.passed,
            }
        })
        .collect())
}

/// Why nothing is synced for an environment that the default branch's file does not name any more.
fn unnamed(state: &str, name: &str, objects: i64) -> Option<(String, String, String)> {
    let reason = HoldReason::Orphaned.as_str();
    let detail = Orphan::Unnamed.sentence(objects.unsigned_abs());
    (state == reason).then(|| (reason.to_owned(), detail, format!("bascule environments forget {name}")))
}

/// Why nothing is synced for an environment whose repository is not ours to follow: reason, detail and what lifts it.
fn without_repository(state: &str, forge: &str, name: &str) -> Option<(String, String, String)> {
    let (detail, lifts) = match state {
        "recreated" => (
            format!("{name} is the name of another repository, and this one is not accepted under it"),
            format!("bascule repositories accept {forge}/{name}"),
        ),
        "gone" => (
            format!("the forge says that {name} is not there"),
            "nothing to type: it goes on when the forge shows it again".to_owned(),
        ),
        _ => return None,
    };
    Some(("orphaned".to_owned(), detail, lifts))
}

/// One deployment with the approvals it used up.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    /// Its id; ids are ordered by time.
    pub id: Uuid,
    /// Our number of its environment.
    pub environment_id: i64,
    /// The configured forge.
    pub forge: String,
    /// `owner/name`.
    pub repository: String,
    /// The environment's name.
    pub environment: String,
    /// Its number there.
    pub number: i64,
    /// The commit it went to.
    pub commit: String,
    /// The commit it came from.
    pub from_commit: Option<String>,
    /// The set it sent.
    pub set: SetDigest,
    /// The change that was judged.
    pub change: ChangeDigest,
    /// The pull requests whose changes it carries.
    pub pulls: Vec<i64>,
    /// `running`, `healthy`, `failed`, `conflict` or `superseded`.
    pub state: String,
    /// What came of it.
    pub outcome: Option<Value>,
    /// From delivery to sync.
    pub trace: TraceId,
    /// When.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Whether the environment's newest started content is this set.
    pub current: bool,
    /// Rules for every change in the entry that judged it: that of the set it came from, or of its own at the first.
    /// `None`: the entry is not stored.
    pub rules: Option<i64>,
    /// Who approved, those whose approval did not count too.
    pub approvals: Vec<ApprovalUsed>,
    /// Of a rollback, or of one that sends what it brought once more.
    pub rollback: Option<Rollback>,
    /// Whether it brought the branch, by the rollback's own pull request, what a rollback had consented to.
    pub gives_back: bool,
}

/// An approval a deployment used up.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovalUsed {
    /// Its id, as in the log.
    pub id: Uuid,
    /// Who.
    pub person: Account,
    /// `review` or `command`.
    pub source: String,
    /// The pull request, or the issue of ours.
    pub pull: i64,
    /// `pull` or `held`.
    pub shown_as: String,
    /// The change they were shown.
    pub change: ChangeDigest,
    /// The set it ends in.
    pub head_set: SetDigest,
    /// The policy that it waives: then it is no consent to the change.
    pub waives: Option<String>,
    /// The reason given, where one had to be.
    pub reason: Option<String>,
    /// Why it did not count; `None`: it did.
    pub why_not: Option<String>,
    /// When, by the forge.
    pub given_at: Timestamp,
}

/// Which deployments; an empty field is not asked about.
#[derive(Debug, Clone, Default)]
pub struct WhichDeployments<'a> {
    /// Our number of the environment.
    pub environment_id: Option<i64>,
    /// The environment's name.
    pub environment: Option<&'a str>,
    /// `owner/name`, or `forge/owner/name`.
    pub repository: Option<&'a str>,
    /// Not started before.
    pub from: Option<Timestamp>,
    /// Started before.
    pub to: Option<Timestamp>,
    /// Only smaller ids: the cursor.
    pub before: Option<Uuid>,
    /// Which of them.
    pub only: Only,
    /// Only of these repositories (our numbers).
    pub readable: Option<&'a [i64]>,
}

/// Which of the deployments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Only {
    /// All.
    #[default]
    All,
    /// The newest of each environment.
    Newest,
    /// Those somebody should look at: without an approval where the rules ask everybody for one, with an approval
    /// given for a held change, or with a policy waived.
    Exceptions,
}

impl Only {
    fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Newest => "newest",
            Self::Exceptions => "exceptions",
        }
    }
}

/// At most `limit` deployments with their approvals, newest first.
///
/// # Errors
/// The database's own.
pub async fn deployments(
    conn: &mut PgConnection,
    which: &WhichDeployments<'_>,
    limit: i64,
) -> Result<Vec<Proof>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT d.id, d.environment_id, r.forge, r.full_name, e.name, d.number, d.commit_sha, d.from_commit,
                  d.set_digest, d.change_digest, d.pulls AS "pulls: Json<Vec<i64>>", d.state, d.outcome, d.trace,
                  d.started_at, d.finished_at,
                  (e.position_set IS NOT DISTINCT FROM d.set_digest
                      OR EXISTS (SELECT FROM rollback b WHERE b.deployment_id = coalesce(d.again_of, d.id)))
                      AND d.number = (SELECT max(number) FROM deployment WHERE environment_id = e.id) AS "current!",
                  asked.rules AS "rules?",
                  EXISTS (SELECT FROM our_pull o JOIN revert v ON v.rollback_id = o.id
                          WHERE o.environment_id = d.environment_id AND v.change = d.change_digest
                            AND d.pulls @> to_jsonb(o.number)) AS "gives_back!"
           FROM deployment d
           JOIN environment e ON e.id = d.environment_id
           JOIN repository r ON r.id = e.repository_id
           LEFT JOIN LATERAL (
               SELECT (SELECT count(*) FROM jsonb_array_elements(n.block #> '{consent,approvals}') AS rule
                       WHERE coalesce(rule -> 'when', 'null') = 'null') AS rules
               FROM rendered_set s, jsonb_array_elements(s.hashes) AS pair,
                    environment_entry n
               WHERE s.digest = coalesce(d.from_set, d.set_digest) AND pair -> 0 = '"entry"'
                 AND n.hash = decode(pair ->> 1, 'hex') LIMIT 1) asked ON true
           WHERE ($1::bigint IS NULL OR d.environment_id = $1)
             AND ($2::text IS NULL OR e.name = $2)
             AND ($3::text IS NULL OR r.full_name = $3 OR r.forge || '/' || r.full_name = $3)
             AND ($4::timestamptz IS NULL OR d.started_at >= $4)
             AND ($5::timestamptz IS NULL OR d.started_at < $5)
             AND ($6::uuid IS NULL OR d.id < $6)
             AND ($7::text = 'all'
                  OR $7 = 'newest' AND d.number = (SELECT max(number) FROM deployment WHERE environment_id = e.id)
                  OR $7 = 'exceptions' AND (
                      EXISTS (SELECT FROM approval_use u JOIN approval a ON a.id = u.approval_id
                              WHERE u.deployment_id = coalesce(d.again_of, d.id) AND u.why_not IS NULL
                                AND (a.shown_as = 'held' OR a.waives IS NOT NULL))
                      OR asked.rules > 0
                         AND NOT EXISTS (SELECT FROM approval_use u JOIN approval a ON a.id = u.approval_id
                                         WHERE u.deployment_id = coalesce(d.again_of, d.id) AND u.why_not IS NULL
                                           AND a.waives IS NULL)))
             AND ($9::bigint[] IS NULL OR r.id = ANY($9))
           ORDER BY d.id DESC LIMIT $8"#,
        which.environment_id,
        which.environment,
        which.repository,
        which.from.map(|at| at.to_sqlx()) as _,
        which.to.map(|at| at.to_sqlx()) as _,
        which.before,
        which.only.word(),
        limit,
        which.readable
    )
    .fetch_all(&mut *conn)
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut approvals = approvals(&mut *conn, &ids).await?;
    let mut ways_back = rollbacks::of(conn, &ids).await?;
    rows.into_iter()
        .map(|row| {
            let (own, others) = approvals.drain(..).partition(|(deployment, _)| *deployment == row.id);
            approvals = others;
            let own: Vec<(Uuid, ApprovalUsed)> = own;
            Ok(Proof {
                id: row.id,
                environment_id: row.environment_id,
                forge: row.forge,
                repository: row.full_name,
                environment: row.name,
                number: row.number,
                commit: row.commit_sha,
                from_commit: row.from_commit,
                set: SetDigest::from_bytes(&row.set_digest).ok_or_else(no_digest)?,
                change: ChangeDigest::from_bytes(&row.change_digest).ok_or_else(no_digest)?,
                pulls: row.pulls.0,
                state: row.state,
                outcome: row.outcome,
                trace: TraceId(row.trace),
                started_at: row.started_at.to_jiff(),
                finished_at: row.finished_at.map(|at| at.to_jiff()),
                current: row.current,
                rules: row.rules,
                approvals: own.into_iter().map(|(_, approval)| approval).collect(),
                rollback: ways_back.remove(&row.id),
                gives_back: row.gives_back,
            })
        })
        .collect()
}

/// The approvals of deployments; of one that sends a content once more, those of the first.
async fn approvals(conn: &mut PgConnection, deployments: &[Uuid]) -> Result<Vec<(Uuid, ApprovalUsed)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT d.id AS deployment_id, a.id, a.person AS "person: Json<Account>", a.source, a.pull_number, a.shown_as,
                  a.change_digest, a.head_set, a.waives, a.reason, u.why_not, a.given_at
           FROM deployment d JOIN approval_use u ON u.deployment_id = coalesce(d.again_of, d.id)
               JOIN approval a ON a.id = u.approval_id
           WHERE d.id = ANY($1) ORDER BY a.given_at, a.id"#,
        deployments
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let approval = ApprovalUsed {
                id: row.id,
                person: row.person.0,
                source: row.source,
                pull: row.pull_number,
                shown_as: row.shown_as,
                change: ChangeDigest::from_bytes(&row.change_digest).ok_or_else(no_digest)?,
                head_set: SetDigest::from_bytes(&row.head_set).ok_or_else(no_digest)?,
                waives: row.waives,
                reason: row.reason,
                why_not: row.why_not,
                given_at: row.given_at.to_jiff(),
            };
            Ok((row.deployment_id, approval))
        })
        .collect()
}

fn no_digest() -> sqlx::Error {
    sqlx::Error::Decode("a stored digest is not 32 bytes".into())
}
