//! Who may do what to the database, and which databases a server refuses.

use bascule::audit::{self, NewEntry};
use bascule::db::{ConnectError, Schema, migrate};
use bascule::ids::TraceId;
use insta::assert_snapshot;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::support::database::Database;

/// What somebody tries who has taken over a server and wants the log to say something else.
pub(crate) const AGAINST_THE_LOG: &[&str] = &[
    "UPDATE audit_entry SET actor = 'nobody'",
    "DELETE FROM audit_entry",
    "TRUNCATE audit_entry",
    "TRUNCATE audit_entry CASCADE",
    "DROP TABLE audit_entry",
    "DROP TRIGGER audit_append_only ON audit_entry",
    "ALTER TABLE audit_entry DISABLE TRIGGER audit_append_only",
    "ALTER TABLE audit_entry DISABLE TRIGGER ALL",
    "ALTER TABLE audit_entry RENAME TO old_entries",
    "ALTER TABLE audit_entry OWNER TO bascule_server",
    "CREATE TRIGGER mine BEFORE INSERT ON audit_entry FOR EACH ROW EXECUTE FUNCTION audit_is_append_only()",
    "CREATE RULE mine AS ON INSERT TO audit_entry DO INSTEAD NOTHING",
    "CREATE OR REPLACE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "DROP FUNCTION audit_is_append_only CASCADE",
    "INSERT INTO audit_head (only_row, size, hash) VALUES (false, 0, '')",
    "DELETE FROM audit_head",
    "TRUNCATE audit_head",
    "SET session_replication_role = replica",
    "SET ROLE bascule_owner",
    "SET SESSION AUTHORIZATION bascule_owner",
    "CREATE TABLE audit_entry2 ()",
    "CREATE TEMPORARY TABLE audit_entry ()",
    "CREATE SCHEMA mine",
    "ALTER ROLE bascule_app SUPERUSER",
    "CREATE ROLE mine",
    "COPY audit_entry TO PROGRAM 'true'",
    "DROP SCHEMA public CASCADE",
    "UPDATE _sqlx_migrations SET success = false",
    "WITH gone AS (DELETE FROM audit_entry RETURNING 1) SELECT * FROM gone",
    "MERGE INTO audit_entry USING audit_head ON true WHEN MATCHED THEN DELETE",
    "INSERT INTO audit_entry SELECT * FROM audit_entry ON CONFLICT (seq) DO UPDATE SET actor = 'nobody'",
    "SELECT 1 FROM audit_entry FOR UPDATE",
    "DO $$ BEGIN LOCK TABLE audit_entry IN ACCESS EXCLUSIVE MODE; END $$",
    "DO $$ BEGIN UPDATE audit_entry SET actor = 'nobody'; END $$",
    "ALTER TABLE audit_entry ADD COLUMN mine text",
    "ALTER TABLE audit_entry ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY mine ON audit_entry USING (false)",
    "CREATE INDEX mine ON audit_entry (actor)",
    "ALTER TRIGGER audit_append_only ON audit_entry RENAME TO mine",
    "DROP TABLE audit_head",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "GRANT bascule_owner TO bascule_server",
    "REASSIGN OWNED BY bascule_owner TO bascule_server",
    "DROP OWNED BY bascule_owner",
    "ALTER ROLE bascule_owner PASSWORD 'mine'",
    "ALTER ROLE bascule_server SET session_replication_role = replica",
    "ALTER SYSTEM SET fsync = off",
    "CREATE EXTENSION dblink",
    "CREATE DATABASE mine",
    "SELECT pg_read_file('postgresql.conf')",
    "COPY audit_entry TO '/tmp/mine'",
];

/// The code PostgreSQL refuses a statement with.
pub(crate) async fn refusal(connection: &mut PgConnection, statement: &str) -> String {
    let error = connection.execute(AssertSqlSafe(statement.to_owned())).await.expect_err(statement);
    error.as_database_error().and_then(|said| said.code()).map(Into::into).unwrap_or_default()
}

pub(crate) const INSUFFICIENT_PRIVILEGE: &str = "42501";

#[tokio::test]
async fn a_running_server_cannot_alter_the_log_however_it_tries() {
    let database = Database::new().await;
    let mut server = database.pool.acquire().await.unwrap();
    let entry = NewEntry {
        actor: "bascule".to_owned(),
        action: "server.started",
        subject: "server".to_owned(),
        detail: serde_json::json!({}),
        cause: "test".to_owned(),
        trace: TraceId(uuid::Uuid::nil()),
    };
    audit::append(&mut server, &entry).await.expect("appending is what it may do");
    // Not an error in PostgreSQL, but a warning that nothing was granted; what follows shows that nothing was.
    server.execute("GRANT UPDATE ON audit_entry TO bascule_server").await.unwrap();
    for statement in AGAINST_THE_LOG {
        assert_eq!(refusal(&mut server, statement).await, INSUFFICIENT_PRIVILEGE, "{statement}");
    }
    assert_eq!(refusal(&mut server, "SET ROLE postgres").await, INSUFFICIENT_PRIVILEGE);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_entry").fetch_one(&mut *server).await.unwrap();
    assert_eq!(left, 1);
}

#[tokio::test]
async fn what_people_did_and_saw_is_not_rewritten_by_a_server() {
    let database = Database::new().await;
    let mut server = database.pool.acquire().await.unwrap();
    for table in [
        "approval",
        "approval_void",
        "push",
        "comment_edit",
        "delivery_conflict",
        "shown_change",
        "emergency_request",
        "emergency",
        "api_token",
        "installation",
    ] {
        let delete = format!("DELETE FROM {table}");
        assert_eq!(refusal(&mut server, &delete).await, INSUFFICIENT_PRIVILEGE, "{delete}");
    }
    for update in [
        "UPDATE approval SET given_at = now()",
        "UPDATE approval_void SET at = now()",
        "UPDATE push SET pusher = null",
        "UPDATE shown_change SET change_digest = ''",
        "UPDATE emergency_request SET reason = ''",
        "UPDATE emergency SET passed = '[]'",
        "UPDATE api_token SET scopes = '[]'",
        "UPDATE installation SET id = gen_random_uuid()",
    ] {
        assert_eq!(refusal(&mut server, update).await, INSUFFICIENT_PRIVILEGE, "{update}");
    }
    for allowed in ["UPDATE shown_change SET shown_at = now()", "UPDATE api_token SET revoked_at = now()"] {
        server.execute(allowed).await.expect(allowed);
    }
}

#[tokio::test]
async fn even_the_owner_needs_to_take_the_lock_off_the_log_first() {
    let database = Database::new().await;
    let mut owner = database.owner.acquire().await.unwrap();
    for statement in
        ["UPDATE audit_entry SET actor = 'nobody'", "DELETE FROM audit_entry", "TRUNCATE audit_entry CASCADE"]
    {
        assert_eq!(refusal(&mut owner, statement).await, INSUFFICIENT_PRIVILEGE, "{statement}");
    }
}

#[tokio::test]
async fn every_table_is_granted_to_the_server_by_some_migration() {
    let database = Database::new().await;
    let forgotten: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
             AND NOT has_table_privilege('bascule_app', oid, 'SELECT')",
    )
    .fetch_all(&database.owner)
    .await
    .unwrap();
    assert!(forgotten.is_empty(), "a migration has to grant these: {forgotten:?}");
}

#[tokio::test]
async fn a_server_connects_as_a_member_of_bascule_app_and_as_nobody_stronger() {
    let database = Database::new().await;
    bascule::db::connect(&database.server_url()).await.expect("the role of an installation");

    let refused = bascule::db::connect(&database.owner_url()).await.unwrap_err();
    assert_snapshot!(refused, @"the database role `bascule_owner` could change the audit log (it is or can become the owner): a server runs as a login role that is only a member of `bascule_app`. As the owner: CREATE ROLE bascule_server LOGIN PASSWORD '…' IN ROLE bascule_app; then put that role into `database.url`");
    let refused = bascule::db::connect(&database.administrator_url()).await.unwrap_err();
    assert_snapshot!(refused, @"the database role `postgres` could change the audit log (it is a superuser): a server runs as a login role that is only a member of `bascule_app`. As the owner: CREATE ROLE bascule_server LOGIN PASSWORD '…' IN ROLE bascule_app; then put that role into `database.url`");

    let stranger = format!("stranger_{}", database.name);
    let mut administrator = PgConnection::connect(&database.administrator_url()).await.unwrap();
    for statement in [
        format!("CREATE ROLE {stranger} LOGIN PASSWORD 'x'"),
        format!("GRANT SELECT ON _sqlx_migrations TO {stranger}"),
    ] {
        administrator.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    let url = database.server_url().replace("bascule_server:a-test-password", &format!("{stranger}:x"));
    let refused = bascule::db::connect(&url).await.unwrap_err();
    assert_snapshot!(refused.to_string().replace(&stranger, "stranger"), @r#"the database role `stranger` is not a member of `bascule_app`: as the owner, GRANT bascule_app TO "stranger""#);
    administrator.execute(AssertSqlSafe(format!("DROP OWNED BY {stranger}; DROP ROLE {stranger}"))).await.unwrap();
}

/// What a server says to a database that `change` was made to.
async fn said_of(change: &'static str) -> String {
    let database = Database::new().await;
    database.owner.execute(change).await.unwrap();
    let error = bascule::db::connect(&database.server_url()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Schema(_)), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_database_of_another_version_is_refused_with_what_it_is_and_what_to_do() {
    assert_snapshot!(said_of("DELETE FROM _sqlx_migrations WHERE version > 1").await, @"the database is older than this bascule (it is at version 1, this bascule needs 2): run `bascule migrate` of this bascule, then start again");
    assert_snapshot!(said_of("INSERT INTO _sqlx_migrations VALUES (9000, 'of tomorrow', now(), true, '', 0)").await, @"the database is newer than this bascule (it is at version 9000, this bascule knows 2): start the newer bascule that migrated it, or restore a backup made before; there is no way down");
    assert_snapshot!(said_of("UPDATE _sqlx_migrations SET success = false WHERE version = 2").await, @"the database is half-migrated: migration 2 began and did not end. Restore the backup made before it, or repair what it left, delete its row from `_sqlx_migrations`, and run `bascule migrate` again");
    assert_snapshot!(said_of("UPDATE _sqlx_migrations SET checksum = '' WHERE version = 1").await, @"migration 1 of the database is not this bascule's: it was migrated by another build. Start that build, or restore a backup made by a released one");
}

#[tokio::test]
async fn an_empty_and_a_foreign_database_are_told_apart() {
    let database = Database::unmigrated().await;
    let error = bascule::db::connect(&database.server_url()).await.unwrap_err();
    assert_snapshot!(error, @"the database is empty: run `bascule migrate` with the owner's role (`database.migrate_url`), then start again");
    database.owner.execute("CREATE TABLE customers ()").await.unwrap();
    let error = bascule::db::connect(&database.server_url()).await.unwrap_err();
    assert_snapshot!(error, @"the database holds tables that are not bascule's: give bascule a database of its own");
    let error = migrate::run_at(&database.owner_url()).await.unwrap_err();
    assert_snapshot!(error, @"the database holds tables that are not bascule's: give bascule a database of its own");
}

#[tokio::test]
async fn migrating_is_safe_twice_and_by_two_at_once_and_after_being_cut_off() {
    let database = Database::unmigrated().await;
    let url = database.owner_url();
    let (one, other) = tokio::join!(migrate::run_at(&url), migrate::run_at(&url));
    one.unwrap();
    other.unwrap();
    assert_eq!(migrate::run_at(&url).await.unwrap(), Vec::<i64>::new());

    // Killed between two migrations: the first is there as a whole, and the rest follows.
    let database = Database::new().await;
    let mut owner = database.owner.acquire().await.unwrap();
    owner
        .execute("DELETE FROM _sqlx_migrations WHERE version > 1; REVOKE ALL ON ALL TABLES IN SCHEMA public FROM bascule_app")
        .await
        .unwrap();
    assert_eq!(Schema::look(&mut owner).await.unwrap(), Schema::Older { has: 1, needs: 2 });
    assert_eq!(migrate::run(&mut owner).await.unwrap(), [2]);
    assert_eq!(Schema::look(&mut owner).await.unwrap(), Schema::Current);
    bascule::db::connect(&database.server_url()).await.expect("granted again");
}

#[tokio::test]
async fn a_migration_that_fails_leaves_the_database_as_it_was() {
    let database = Database::unmigrated().await;
    // In the way of the second migration: the owner may not grant what is not its own.
    let mut owner = PgConnection::connect(&database.owner_url()).await.unwrap();
    owner
        .execute("CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'")
        .await
        .unwrap();
    let error = migrate::run(&mut owner).await.unwrap_err();
    assert_snapshot!(error, @"migration 1 failed and was rolled back; the database is as it was before it");
    assert_eq!(Schema::look(&mut owner).await.unwrap(), Schema::Empty);
    owner.execute("DROP FUNCTION audit_is_append_only").await.unwrap();
    assert_eq!(migrate::run(&mut owner).await.unwrap(), [1, 2], "the same connection, so no lock was kept");
}
