//! Who may do what: the owner migrates, `bascule_app` (migrations/0002_roles.sql) is what a running server is.
//!
//! The server refuses to run as a role that could change the audit log, because a promise that only we keep is none.

use sqlx::PgConnection;
use sqlx::postgres::PgQueryResult;

/// The role every server's login role is a member of.
pub const APP_ROLE: &str = "bascule_app";

/// The role is too strong or too weak for a running server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// It could alter the log.
    #[error(
        "the database role `{role}` could change the audit log ({because}): a server runs as a login role that is only a \
         member of `bascule_app`. As the owner: CREATE ROLE bascule_server LOGIN PASSWORD '…' IN ROLE bascule_app; \
         then put that role into `database.url`"
    )]
    TooStrong {
        /// The role we came in as.
        role: String,
        /// What makes it too strong.
        because: &'static str,
    },
    /// It cannot do its work.
    #[error(
        "the database role `{role}` is not a member of `bascule_app`: as the owner, GRANT bascule_app TO \"{role}\""
    )]
    TooWeak {
        /// The role we came in as.
        role: String,
    },
}

/// What the role of a connection could do to the log.
struct Powers {
    role: String,
    superuser: bool,
    owner: bool,
    writes_log: bool,
    bypasses: bool,
    app: bool,
}

/// Checks that the role of `connection` can do a server's work and cannot change the log.
///
/// # Errors
/// The outer error when the question itself fails; the inner one is the answer.
pub async fn check(connection: &mut PgConnection) -> Result<Result<(), RoleError>, sqlx::Error> {
    let powers = sqlx::query_as!(
        Powers,
        r#"SELECT session_user::text AS "role!",
                  r.rolsuper AS "superuser!",
                  pg_has_role(session_user, c.relowner, 'MEMBER')
                      OR pg_has_role(session_user, d.datdba, 'MEMBER') AS "owner!",
                  has_table_privilege(session_user, c.oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER')
                      OR has_any_column_privilege(session_user, c.oid, 'UPDATE') AS "writes_log!",
                  r.rolcreaterole OR r.rolreplication OR r.rolbypassrls AS "bypasses!",
                  pg_has_role(session_user, 'bascule_app', 'USAGE') AS "app!"
           FROM pg_roles r, pg_class c, pg_database d
           WHERE r.rolname = session_user AND c.oid = 'public.audit_entry'::regclass
             AND d.datname = current_database()"#
    )
    .fetch_one(connection)
    .await?;
    let because = match powers {
        Powers { superuser: true, .. } => "it is a superuser",
        Powers { owner: true, .. } => "it is or can become the owner",
        Powers { writes_log: true, .. } => "it holds more than INSERT and SELECT on audit_entry",
        Powers { bypasses: true, .. } => "it can create roles or replicate",
        Powers { app: false, .. } => return Ok(Err(RoleError::TooWeak { role: powers.role })),
        Powers { .. } => return Ok(Ok(())),
    };
    Ok(Err(RoleError::TooStrong { role: powers.role, because }))
}

/// Lets the server see which migrations ran; the table is the migrator's own, so no migration can grant it.
pub(super) async fn let_app_read_version(owner: &mut PgConnection) -> Result<PgQueryResult, sqlx::Error> {
    sqlx::raw_sql("REVOKE ALL ON _sqlx_migrations FROM bascule_app; GRANT SELECT ON _sqlx_migrations TO bascule_app")
        .execute(owner)
        .await
}
