//! What a failed statement means for the work it met: asked of a real PostgreSQL.

use std::time::Duration;

use bascule::db::{DbError, Fate, retrying};
use bascule::queue::worker::Settings;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, Executor, PgConnection};

use crate::support::database::Database;

async fn fate_of(connection: &mut PgConnection, statement: &'static str) -> (Fate, Option<String>) {
    let error = DbError::from(connection.execute(statement).await.expect_err(statement));
    (error.fate(), error.constraint().map(str::to_owned))
}

#[tokio::test]
async fn a_statement_that_fails_says_whether_to_try_again_now_later_or_never() {
    let database = Database::new().await;
    let mut server = PgConnection::connect(&database.server_url()).await.unwrap();
    let never = |constraint: &str| (Fate::Never, Some(constraint.to_owned()));

    let job = "INSERT INTO job (kind, key, lane, share, payload, trace)
               VALUES ('preview', 'k', 'sync', 's', '{}', gen_random_uuid())";
    server.execute(job).await.unwrap();
    assert_eq!(fate_of(&mut server, job).await, never("job_one_pending"));
    assert_eq!(fate_of(&mut server, "UPDATE job SET lane = 'fast'").await, never("job_lane"));
    assert_eq!(fate_of(&mut server, "DELETE FROM audit_entry").await, (Fate::Never, None));
    assert_eq!(fate_of(&mut server, "SELECT nonsense").await, (Fate::Never, None));

    let mut other = database.pool.begin().await.unwrap();
    other.execute("SELECT * FROM job FOR UPDATE").await.unwrap();
    server.execute("SET lock_timeout = '10ms'").await.unwrap();
    assert_eq!(fate_of(&mut server, "DELETE FROM job").await, (Fate::Retry, None));
    other.rollback().await.unwrap();

    server.execute("SET statement_timeout = '10ms'").await.unwrap();
    assert_eq!(fate_of(&mut server, "SELECT pg_sleep(10)").await, (Fate::Later, None));
    server.execute("SET default_transaction_read_only = on").await.unwrap();
    assert_eq!(fate_of(&mut server, "DELETE FROM job").await, (Fate::Later, None), "after a failover");
    assert_eq!(fate_of(&mut server, "SELECT pg_terminate_backend(pg_backend_pid())").await, (Fate::Later, None));
    assert_eq!(fate_of(&mut server, "SELECT 1").await, (Fate::Later, None), "its connection is gone");
}

#[tokio::test]
async fn a_database_that_is_away_or_full_is_for_later() {
    let nobody = PgConnection::connect("postgres://bascule@127.0.0.1:1/bascule").await.unwrap_err();
    assert_eq!(DbError::from(nobody).fate(), Fate::Later);

    let database = Database::new().await;
    let full = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_millis(10))
        .connect_lazy(&database.server_url())
        .unwrap();
    // On a busy machine the first may be the one that is refused: a connection takes longer than that to make.
    let asked = [full.acquire().await, full.acquire().await];
    let refused: Vec<_> = asked.into_iter().filter_map(Result::err).map(DbError::from).collect();
    assert!(!refused.is_empty(), "two from a pool of one");
    assert!(refused.iter().all(|error| error.fate() == Fate::Later), "{refused:?}");
}

#[tokio::test]
async fn who_stands_still_in_a_transaction_holds_its_job_no_longer_than_a_lease() {
    let database = Database::new().await;
    let pool = bascule::db::connect(&database.server_url()).await.unwrap();
    let limit = "SELECT setting::bigint FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'";
    let limit: i64 = sqlx::query_scalar(limit).fetch_one(&pool).await.unwrap();
    let limit = Duration::from_millis(u64::try_from(limit).unwrap());
    assert!(Duration::ZERO < limit && limit < Settings::default().term, "{limit:?}");

    let mut still = pool.begin().await.unwrap();
    still.execute("SET LOCAL idle_in_transaction_session_timeout = '1ms'").await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *still).await.unwrap();
    let is_there = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)";
    while sqlx::query_scalar(is_there).bind(pid).fetch_one(&database.owner).await.unwrap() {}
    // Whoever it is, another has the job by then: nothing was wrong with what was asked.
    assert_eq!(fate_of(&mut still, "SELECT 1").await, (Fate::Later, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_in_each_other_s_way_are_run_again_and_count_once() {
    const EACH: usize = 250;
    let database = Database::new().await;
    database.owner.execute("CREATE TABLE counter (n bigint); INSERT INTO counter VALUES (0)").await.unwrap();
    database.owner.execute("GRANT SELECT, UPDATE ON counter TO bascule_app").await.unwrap();
    let pool = &database.pool;
    let count = async || -> Result<(), DbError> {
        let mut transaction = pool.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE").await?;
        let n: i64 = sqlx::query_scalar("SELECT n FROM counter").fetch_one(&mut *transaction).await?;
        sqlx::query("UPDATE counter SET n = $1").bind(n + 1).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    };
    let workers = (0..4).map(|_| async {
        let mut counted: i64 = 0;
        for _ in 0..EACH {
            counted += i64::from(retrying(count).await.is_ok());
        }
        counted
    });
    let counted: i64 = futures::future::join_all(workers).await.into_iter().sum();
    let n: i64 = sqlx::query_scalar("SELECT n FROM counter").fetch_one(&database.owner).await.unwrap();
    assert_eq!(n, counted, "what said it counted did, once");
    assert!(counted > 900, "{counted} of 1000 within their tries");
}
