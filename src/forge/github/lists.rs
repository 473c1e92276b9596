//! GitHub's lists, page by page. That there is another page is read from the `Link` header, and its address never is. A page that
//! is unchanged comes with the header it had when it was last sent, so that a full one is followed whatever the header says.

use reqwest::Method;
use reqwest::header::{HeaderMap, LINK};
use serde::de::DeserializeOwned;

use super::{GitHub, Whom};
use crate::forge::error::{Fate, Result};
use crate::forge::http::Call;

/// The most that GitHub gives.
pub(super) const PAGE: &str = "100";
pub(super) const FULL: usize = 100;

impl GitHub {
    /// One page of a list, counted from 1, and whether there are more.
    pub(super) async fn page<T: DeserializeOwned>(
        &self,
        whom: Whom<'_>,
        call: Call<'_>,
        page: usize,
    ) -> Result<(Vec<T>, bool)> {
        let page = page.to_string();
        let mut query = call.query.to_vec();
        query.extend([("per_page", PAGE), ("page", page.as_str())]);
        let call = Call { query: &query, ..call };
        let (headers, body) = self.send::<()>(Method::GET, whom, call, None).await?;
        let found: Vec<T> = self.http.json(&call, &body)?;
        let goes_on = goes_on(&headers, found.len());
        Ok((found, goes_on))
    }

    /// Every entry of a list. One of more than `most` is an error, because a list that is cut would be read as if the rest
    /// were not there. GitHub does not count its lists: what goes while a page is turned lets another slip through.
    pub(super) async fn all<T: DeserializeOwned>(&self, whom: Whom<'_>, call: Call<'_>, most: usize) -> Result<Vec<T>> {
        Ok(self.pages(whom, call, most).await?.0)
    }

    /// The same, of a list from which nothing may slip through: one of several pages is read until it reads the same twice.
    pub(super) async fn whole<T: DeserializeOwned>(
        &self,
        whom: Whom<'_>,
        call: Call<'_>,
        most: usize,
        id: fn(&T) -> i64,
    ) -> Result<Vec<T>> {
        let (found, pages) = self.pages(whom, call, most).await?;
        if pages > 1 {
            let (again, _) = self.pages(whom, call, most).await?;
            if !found.iter().map(id).eq(again.iter().map(id)) {
                let what = format!("/{} changed while it was read", call.path.join("/"));
                return Err(self.http.error(Fate::Retry { after: None }, None, what));
            }
        }
        Ok(found)
    }

    async fn pages<T: DeserializeOwned>(&self, whom: Whom<'_>, call: Call<'_>, most: usize) -> Result<(Vec<T>, usize)> {
        let (mut all, mut page) = (Vec::new(), 0);
        loop {
            page += 1;
            let (found, goes_on) = self.page::<T>(whom, call, page).await?;
            all.extend(found);
            if all.len() > most {
                let what = format!("/{} has more than the {most} entries we read", call.path.join("/"));
                return Err(self.http.error(Fate::Invalid, None, what));
            }
            if !goes_on {
                return Ok((all, page));
            }
        }
    }
}

/// Whether there is a page after one of so many entries.
pub(super) fn goes_on(headers: &HeaderMap, found: usize) -> bool {
    next(headers).is_some() || found >= FULL
}

/// What the `Link` header says of the next page: its query.
pub(super) fn next(headers: &HeaderMap) -> Option<Vec<(String, String)>> {
    let links = headers.get(LINK)?.to_str().ok()?;
    let next = links.split(',').find(|link| link.split(';').skip(1).any(|part| part.trim() == "rel=\"next\""))?;
    let address = next.trim().strip_prefix('<')?.split('>').next()?;
    let url = reqwest::Url::parse(address).ok()?;
    Some(url.query_pairs().into_owned().collect())
}
