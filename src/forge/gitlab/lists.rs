//! GitLab's lists, page by page. Whether there is another page is read from `X-Next-Page`, which every list has by
//! offset; it may not say how long it is (docs.gitlab.com/api/rest/#pagination). A page that is unchanged comes with the header it
//! had when it was last sent, so that a full one is followed whatever the header says.

use reqwest::Method;
use serde::de::DeserializeOwned;

use super::{GitLab, parts};
use crate::forge::error::{Fate, Result};
use crate::forge::http::{As, Call};

/// The most that GitLab gives.
const PAGE: &str = "100";
const FULL: usize = 100;

/// A list to ask for: its name for the metrics, where it is, and what of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct List<'a> {
    pub(super) name: &'static str,
    pub(super) path: &'a [String],
    pub(super) query: &'a [(&'a str, &'a str)],
    /// One of more entries is an error, because a list that is cut would be read as if the rest were not there.
    pub(super) most: usize,
}

impl GitLab {
    /// One page of a list, counted from 1, and whether there are more.
    pub(super) async fn page<T: DeserializeOwned>(&self, list: List<'_>, page: usize) -> Result<(Vec<T>, bool)> {
        let page = page.to_string();
        let mut query = list.query.to_vec();
        query.extend([("per_page", PAGE), ("page", page.as_str())]);
        let path = parts(list.path);
        let call = Call { name: list.name, path: &path, query: &query };
        let (headers, body) = self.http.send::<()>(Method::GET, &call, None, As::Ourselves).await?;
        let found: Vec<T> = self.http.json(&call, &body)?;
        let goes_on = headers.get("x-next-page").is_some_and(|next| !next.is_empty()) || found.len() >= FULL;
        Ok((found, goes_on))
    }

    /// Every entry of a list. What goes while a page is turned lets another slip through.
    pub(super) async fn all<T: DeserializeOwned>(&self, list: List<'_>) -> Result<Vec<T>> {
        Ok(self.pages(list).await?.0)
    }

    /// The same, of a list from which nothing may slip through: one of several pages is read until it reads the same twice.
    pub(super) async fn whole<T: DeserializeOwned>(&self, list: List<'_>, id: fn(&T) -> i64) -> Result<Vec<T>> {
        let (found, pages) = self.pages(list).await?;
        if pages > 1 {
            let (again, _) = self.pages(list).await?;
            if !found.iter().map(id).eq(again.iter().map(id)) {
                let what = format!("/{} changed while it was read", list.path.join("/"));
                return Err(self.http.error(Fate::Retry { after: None }, None, what));
            }
        }
        Ok(found)
    }

    async fn pages<T: DeserializeOwned>(&self, list: List<'_>) -> Result<(Vec<T>, usize)> {
        let (mut all, mut page) = (Vec::new(), 0);
        loop {
            page += 1;
            let (found, goes_on) = self.page::<T>(list, page).await?;
            all.extend(found);
            if all.len() > list.most {
                let what = format!("/{} has more than the {} entries we read", list.path.join("/"), list.most);
                return Err(self.unusable(what));
            }
            if !goes_on {
                return Ok((all, page));
            }
        }
    }
}
