//! What every list of a server's has in common: how much of it, in which form.

use serde_json::Value;

use super::client::{Client, ClientError, Query};
use super::table::{self, Column, Output, Said};

/// How much of a list, and how.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Listed {
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// How to show them.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

impl Listed {
    /// Asks for it, page by page, and shows it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ask(
        &self,
        client: &Client,
        path: &str,
        query: Query<'_>,
        columns: &[Column],
    ) -> Result<Said, ClientError> {
        let items: Vec<Value> = client.pages(path, query, self.limit).await?;
        Ok(table::show(self.output, columns, &items))
    }
}
