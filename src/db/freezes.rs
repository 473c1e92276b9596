//! Freezes: while one stands, nothing new is synced. Each is kept for ever, with who began and who ended it.

use jiff::Timestamp;
use jiff_sqlx::{Timestamp as Stored, ToSqlx as _};
use sqlx::PgConnection;
use uuid::Uuid;

use super::holds;
use crate::ids::RepositoryKey;

/// A freeze, as somebody began it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Its id.
    pub id: Uuid,
    /// Our number of the environment; `None`: everything this server deploys.
    pub environment: Option<i64>,
    /// Who, as the log names them.
    pub by: String,
    /// Why: a person's words, at most 300 bytes.
    pub reason: String,
    /// When it ends by itself; `None`: when somebody says so.
    pub until: Option<Timestamp>,
    /// When it began.
    pub began_at: Timestamp,
}

impl Freeze {
    /// What it is, in a sentence's end: `frozen until … by …: reason`. Plain text, of which the reason is a person's.
    pub fn sentence(&self) -> String {
        // The account's number is for the log, which tells accounts of one name apart.
        let by = self.by.split(" (").next().unwrap_or_default();
        format!("frozen {} by {by}: {}", self.end(), self.reason)
    }

    /// `until …`.
    pub fn end(&self) -> String {
        match self.until {
            Some(until) => format!("until {}", until.strftime("%Y-%m-%d %H:%MZ")),
            None => "until somebody ends it".to_owned(),
        }
    }
}

/// Begins one. One that stands of the same environment, or of everything, ends with it.
///
/// # Errors
/// The database's own.
pub async fn begin(conn: &mut PgConnection, new: &Freeze) -> Result<(), sqlx::Error> {
    end(&mut *conn, new.environment, &new.by, new.began_at).await?;
    sqlx::query!(
        "INSERT INTO frozen (id, environment_id, by_whom, reason, until, began_at) VALUES ($1, $2, $3, $4, $5, $6)",
        new.id,
        new.environment,
        new.by,
        new.reason,
        new.until.map(|until| until.to_sqlx()) as Option<Stored>,
        new.began_at.to_sqlx() as Stored,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends the one that stands of this environment, or of everything. `false`: none did.
///
/// # Errors
/// The database's own.
pub async fn end(
    conn: &mut PgConnection,
    environment: Option<i64>,
    by: &str,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE frozen SET ended_at = $3, ended_by = $2
         WHERE ended_at IS NULL AND ($1::bigint IS NULL AND environment_id IS NULL
               OR environment_id IN (SELECT one.id FROM environment one JOIN environment mine USING (repository_id, name)
                                     WHERE mine.id = $1))",
        environment,
        by,
        now.to_sqlx() as Stored,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// What keeps an environment from being synced at this moment: the one that stands longest. With `None`, the one of
/// everything alone.
///
/// # Errors
/// The database's own.
pub async fn standing(
    conn: &mut PgConnection,
    environment: Option<i64>,
    now: Timestamp,
) -> Result<Option<Freeze>, sqlx::Error> {
    let all = all(conn, now).await?;
    Ok(longest(&all, environment).cloned())
}

/// Of those that stand, the one that keeps this environment longest.
pub fn longest(all: &[Freeze], environment: Option<i64>) -> Option<&Freeze> {
    let of_it = all.iter().filter(|one| one.environment.is_none() || one.environment == environment);
    of_it.max_by_key(|one| (one.until.unwrap_or(Timestamp::MAX), std::cmp::Reverse(one.began_at)))
}

/// All that stand at this moment. One of an environment is of all that ever had its name: with another cluster or namespace it
/// has another number, and is frozen as before.
///
/// # Errors
/// The database's own.
pub async fn all(conn: &mut PgConnection, now: Timestamp) -> Result<Vec<Freeze>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT f.id, e.id AS "environment?", f.by_whom, f.reason, f.until AS "until: Stored", f.began_at AS "began_at: Stored"
           FROM frozen f LEFT JOIN environment mine ON mine.id = f.environment_id
           LEFT JOIN environment e ON e.repository_id = mine.repository_id AND e.name = mine.name
           WHERE f.ended_at IS NULL AND (f.until IS NULL OR f.until > $1) ORDER BY f.began_at, f.id, e.id"#,
        now.to_sqlx() as Stored,
    )
    .fetch_all(conn)
    .await?;
    let freeze = rows.into_iter().map(|row| Freeze {
        id: row.id,
        environment: row.environment,
        by: row.by_whom,
        reason: row.reason,
        until: row.until.map(|until| until.to_jiff()),
        began_at: row.began_at.to_jiff(),
    });
    Ok(freeze.collect())
}

/// The environments (our numbers, each with its repository) where something covered waited for a freeze, and none stands any
/// more. Each is given once: whoever judges it next says whether it waits still.
///
/// # Errors
/// The database's own.
pub async fn over(conn: &mut PgConnection, now: Timestamp) -> Result<Vec<(RepositoryKey, i64)>, sqlx::Error> {
    let standing = all(&mut *conn, now).await?;
    if standing.iter().any(|one| one.environment.is_none()) {
        return Ok(Vec::new());
    }
    let frozen: Vec<i64> = standing.iter().filter_map(|one| one.environment).collect();
    holds::thaw(conn, &frozen).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freeze(environment: Option<i64>, until: Option<&str>) -> Freeze {
        Freeze {
            id: Uuid::nil(),
            environment,
            by: "work/lee (5)".to_owned(),
            reason: "the till".to_owned(),
            until: until.map(|until| until.parse().unwrap()),
            began_at: "2027-01-01T08:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn the_freeze_that_is_told_is_the_one_that_stands_longest() {
        let (own, all) = (freeze(Some(7), Some("2027-01-01T10:00:00Z")), freeze(None, Some("2027-01-01T09:00:00Z")));
        let (other, endless) = (freeze(Some(8), None), freeze(None, None));
        assert_eq!(own.sentence(), "frozen until 2027-01-01 10:00Z by work/lee: the till");
        assert_eq!(endless.sentence(), "frozen until somebody ends it by work/lee: the till");
        let standing = [own.clone(), all.clone(), other];
        assert_eq!(longest(&standing, Some(7)), Some(&own));
        assert_eq!(longest(&standing, Some(9)), Some(&all));
        assert_eq!(longest(&standing, None), Some(&all));
        assert_eq!(longest(&[own.clone(), endless.clone()], Some(7)), Some(&endless));
        assert_eq!(longest(&[own], Some(9)), None);
    }
}
