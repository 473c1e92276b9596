//! Adoptions: what somebody asked to have written into the repository as it is in the cluster. Each is a pull request of ours
//! ([`our_pulls`]). Kept for ever.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff_sqlx::{Timestamp as Stored, ToSqlx as _};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{drift, our_pulls};
use crate::event::of_object::OfObject;
use crate::ids::{EnvironmentName, TraceId};

/// An adoption, as somebody asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// Its id.
    pub id: Uuid,
    /// Our number of the environment.
    pub environment: i64,
    /// The one object that is meant; `None`: everything that drifted.
    pub of: Option<OfObject>,
    /// Who, as the log names them.
    pub by: String,
    /// The place and the comment in which it was asked for.
    pub asked_in: Option<(i64, i64)>,
    /// The trace it belongs to.
    pub trace: TraceId,
    /// When.
    pub asked_at: Timestamp,
}

/// What came of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adopting {
    /// Nothing yet.
    Asked,
    /// A pull request is open, or was: its number, and as people write it.
    By(i64, String),
    /// There is none, and why.
    Not(String),
}

impl Adopting {
    fn of(number: Option<i64>, shown_as: Option<String>, why_not: Option<String>) -> Self {
        match (number.zip(shown_as), why_not) {
            (Some((number, shown_as)), _) => Self::By(number, shown_as),
            (None, Some(why)) => Self::Not(why),
            (None, None) => Self::Asked,
        }
    }

    /// What is said of it behind the environment's name.
    pub fn sentence(&self) -> String {
        match self {
            Self::Asked => "a pull request that writes what is live into the repository is being made".to_owned(),
            Self::By(_, pull) => format!("{pull} writes what is live into the repository"),
            Self::Not(why) => format!("nothing is adopted: {why}"),
        }
    }
}

/// Asks for one.
///
/// # Errors
/// The database's own.
pub async fn ask(conn: &mut PgConnection, new: &Adoption) -> Result<(), sqlx::Error> {
    our_pulls::ask(&mut *conn, new.id, new.environment, &new.by).await?;
    sqlx::query!(
        "INSERT INTO adoption (id, kind, name, place, comment_id, trace, asked_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        new.id,
        new.of.as_ref().map(|of| of.kind.as_str()),
        new.of.as_ref().map(|of| of.name.as_str()),
        new.asked_in.map(|(place, _)| place),
        new.asked_in.map(|(_, comment)| comment),
        new.trace.0,
        new.asked_at.to_sqlx() as Stored,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One, and what came of it.
///
/// # Errors
/// The database's own.
pub async fn get(conn: &mut PgConnection, id: Uuid) -> Result<Option<(Adoption, Adopting)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT o.environment_id, a.kind, a.name, o.by_whom, a.place, a.comment_id, a.trace,
                  a.asked_at AS "asked_at: Stored", o.number, o.shown_as, o.why_not
           FROM adoption a JOIN our_pull o USING (id) WHERE a.id = $1"#,
        id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| {
        let adoption = Adoption {
            id,
            environment: row.environment_id,
            of: row.kind.zip(row.name).map(|(kind, name)| OfObject { kind, name }),
            by: row.by_whom,
            asked_in: row.place.zip(row.comment_id),
            trace: TraceId(row.trace),
            asked_at: row.asked_at.to_jiff(),
        };
        (adoption, Adopting::of(row.number, row.shown_as, row.why_not))
    }))
}

/// Those of the same environment that were asked for before this one, and of which nothing came yet.
///
/// # Errors
/// The database's own.
pub async fn before(conn: &mut PgConnection, id: Uuid, environment: i64) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT id FROM adoption JOIN our_pull o USING (id)
         WHERE o.environment_id = $2 AND o.ended_at IS NULL AND o.why_not IS NULL AND id < $1 ORDER BY id",
        id,
        environment
    )
    .fetch_all(conn)
    .await
}

/// What its pull request says, before its branch is pushed: its title and its text.
///
/// # Errors
/// The database's own.
pub async fn worded(conn: &mut PgConnection, id: Uuid, (title, body): (&str, &str)) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE adoption SET title = $2, body = $3 WHERE id = $1", id, title, body).execute(conn).await?;
    Ok(())
}

/// The same, once it is known.
///
/// # Errors
/// The database's own.
pub async fn words(conn: &mut PgConnection, id: Uuid) -> Result<Option<(String, String)>, sqlx::Error> {
    let row = sqlx::query!("SELECT title, body FROM adoption WHERE id = $1", id).fetch_optional(conn).await?;
    Ok(row.and_then(|row| row.title.zip(row.body)))
}

/// What came of those that were asked for in a place of a repository, each with its environment's name, by the comment.
///
/// # Errors
/// The database's own.
pub async fn asked_in(
    conn: &mut PgConnection,
    repository: i64,
    place: i64,
) -> Result<BTreeMap<i64, Vec<(EnvironmentName, Adopting)>>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT e.name, a.comment_id, o.number, o.shown_as, o.why_not
         FROM adoption a JOIN our_pull o USING (id) JOIN environment e ON e.id = o.environment_id
         WHERE e.repository_id = $1 AND a.place = $2 ORDER BY e.name, a.asked_at",
        repository,
        place
    )
    .fetch_all(conn)
    .await?;
    let mut all: BTreeMap<i64, Vec<_>> = BTreeMap::new();
    for row in rows {
        let name = row.name.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let came = Adopting::of(row.number, row.shown_as, row.why_not);
        all.entry(row.comment_id.unwrap_or_default()).or_default().push((name, came));
    }
    Ok(all)
}

/// How many objects of an environment are known to have drifted, of those that are meant.
///
/// # Errors
/// The database's own.
pub async fn drifted(conn: &mut PgConnection, environment: i64, of: Option<&OfObject>) -> Result<usize, sqlx::Error> {
    let which = drift::Which { environment: Some(environment), ..drift::Which::default() };
    let all = drift::list(conn, &which, i64::MAX).await?;
    Ok(all.iter().filter(|one| of.is_none_or(|of| of.is(&one.key))).count())
}
