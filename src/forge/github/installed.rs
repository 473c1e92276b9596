//! Which repositories our App was given: page by page, wherever it is installed.

use reqwest::Method;
use serde::Deserialize;

use super::{GitHub, Way, Whom, lists, wire};
use crate::forge::error::{Fate, Result};
use crate::forge::facts::Repository;
use crate::forge::http::Call;

/// More of one installation are granted by name.
const MOST: usize = 10_000;

#[derive(Deserialize)]
struct Given {
    repositories: Vec<wire::RepositoryJson>,
}

impl GitHub {
    pub(crate) async fn installed(&self) -> Result<Vec<Repository>> {
        let Way::App(app) = &self.way else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for owner in app.owners(&self.http).await? {
            match self.given_at(&owner).await {
                Ok(given) => all.extend(given),
                // Suspended or removed at this moment; the others are there.
                Err(error) if matches!(error.fate, Fate::Refused | Fate::Gone) => {
                    tracing::info!(owner, %error, "what our App was given there is not shown");
                }
                // More than we read; the others are there all the same.
                Err(error) if error.fate == Fate::Invalid => {
                    tracing::warn!(owner, %error, "what our App was given there is not looked at");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    async fn given_at(&self, owner: &str) -> Result<Vec<Repository>> {
        let (mut all, mut page) = (Vec::new(), 0);
        loop {
            page += 1;
            let number = page.to_string();
            let query = [("per_page", lists::PAGE), ("page", number.as_str())];
            let call = Call { name: "installed", path: &["installation", "repositories"], query: &query };
            let (headers, body) = self.send::<()>(Method::GET, Whom::Owner(owner), call, None).await?;
            let Given { repositories } = self.http.json(&call, &body)?;
            let goes_on = lists::goes_on(&headers, repositories.len());
            all.extend(repositories.into_iter().filter_map(|json| json.into_fact(&self.http.forge)));
            if all.len() > MOST {
                let what = format!("gave our App more than the {MOST} repositories of `{owner}` that we read");
                return Err(self.http.error(Fate::Invalid, None, what));
            }
            // An empty page is the end, whatever the header says.
            if !goes_on || page * lists::FULL > MOST {
                return Ok(all);
            }
        }
    }
}
