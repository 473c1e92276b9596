//! The pull request that writes into the repository what is in the cluster, in words.

use super::markdown::{code, prose};
use crate::ids::EnvironmentName;

/// Objects and fields that are named; the others are counted.
const NAMED: usize = 20;

/// What there is to say of it: names and paths, never a value.
#[derive(Debug, Clone)]
pub struct Adoption<'a> {
    /// Whose cluster it is.
    pub environment: &'a EnvironmentName,
    /// The branch it follows.
    pub branch: &'a str,
    /// Who asked.
    pub by: &'a str,
    /// The objects, each with its fields.
    pub objects: Vec<(String, Vec<String>)>,
    /// The files that are written.
    pub files: Vec<String>,
    /// Objects that drifted and are not in it, and why.
    pub left_out: Vec<(String, String)>,
}

impl<'a> Adoption<'a> {
    /// One of nothing yet.
    pub fn of(environment: &'a EnvironmentName, branch: &'a str, by: &'a str) -> Self {
        Self { environment, branch, by, objects: Vec::new(), files: Vec::new(), left_out: Vec::new() }
    }

    /// `Adopt Deployment shop/web as it is in production`.
    pub fn title(&self) -> String {
        // Titles have no way to make a name inert.
        let is_plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || " ./:_-".contains(c));
        let what = match &self.objects[..] {
            [(one, _)] if is_plain(one) => one.clone(),
            [_] => "an object".to_owned(),
            all => format!("{} objects", all.len()),
        };
        format!("Adopt {what} as it is in {}", self.environment)
    }

    /// What it says, in which everything from outside is inert.
    pub fn body(&self) -> String {
        let environment = code(self.environment.as_str());
        let mut lines: Vec<String> =
            self.objects.iter().take(NAMED).map(|(object, fields)| line(object, fields)).collect();
        if let Some(more) = self.objects.len().checked_sub(NAMED).filter(|more| *more > 0) {
            lines.push(format!("- and {more} more"));
        }
        let files: Vec<String> = self.files.iter().take(NAMED).map(|file| code(file)).collect();
        let mut text = format!(
            "In {environment}, these fields are not as {} has them. This writes them into the repository as they are in the cluster:\n\n\
             {}\n\n\
             Written: {}. It was rendered: exactly these fields become what is live, and no other object of any environment changes.\n\n\
             {} asked for it, and is its author: somebody else approves it, where {environment} asks for that. When it is merged, nothing \
             is to be done in the cluster. To put the cluster back instead, close this and type `/bascule heal {}`.\n",
            code(self.branch),
            lines.join("\n"),
            files.join(", "),
            code(self.by),
            self.environment,
        );
        if !self.left_out.is_empty() {
            let left_out =
                self.left_out.iter().take(NAMED).map(|(object, why)| format!("- {}: {}", code(object), prose(why)));
            text += &format!("\nNot adopted:\n\n{}\n", left_out.collect::<Vec<_>>().join("\n"));
        }
        text
    }

    /// Why there is nothing to adopt.
    pub fn none(&self) -> String {
        let named = self.left_out.iter().take(NAMED).map(|(object, why)| format!("{object}: {why}"));
        let mut said: Vec<String> = named.collect();
        if let Some(more) = self.left_out.len().checked_sub(NAMED).filter(|more| *more > 0) {
            said.push(format!("and {more} more"));
        }
        said.join("; ")
    }

    /// The message of its commit.
    pub fn message(&self) -> String {
        let objects: Vec<String> =
            self.objects.iter().take(NAMED).map(|(object, fields)| format!("{object}: {}", some(fields))).collect();
        format!(
            "{}\n\n{}\n\nWritten as they are in the cluster; {} asked for it.",
            self.title(),
            objects.join("\n"),
            self.by
        )
    }
}

fn line(object: &str, fields: &[String]) -> String {
    let named: Vec<String> = fields.iter().take(NAMED).map(|field| code(field)).collect();
    let more = fields.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("- {}: {}{more}", code(object), named.join(", "))
}

fn some(fields: &[String]) -> String {
    let named: Vec<&str> = fields.iter().take(NAMED).map(String::as_str).collect();
    let more = fields.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    named.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adoption_names_what_it_writes_who_asked_and_what_it_leaves() {
        let environment = "production".parse().unwrap();
        let mut adoption = Adoption::of(&environment, "main", "work/kim");
        adoption.objects =
            vec![("Deployment shop/web".to_owned(), vec![".spec.replicas".to_owned(), ".spec.x`y`".to_owned()])];
        adoption.files = vec!["deploy/web.yaml".to_owned()];
        adoption.left_out = vec![("Secret shop/key".to_owned(), "it is a *Secret* @everybody".to_owned())];
        insta::assert_snapshot!(format!("{}\n\n{}", adoption.title(), adoption.body()), @"
        Adopt Deployment shop/web as it is in production

        In `production`, these fields are not as `main` has them. This writes them into the repository as they are in the cluster:

        - `Deployment shop/web`: `.spec.replicas`, `` .spec.x`y` ``

        Written: `deploy/web.yaml`. It was rendered: exactly these fields become what is live, and no other object of any environment changes.

        `work/kim` asked for it, and is its author: somebody else approves it, where `production` asks for that. When it is merged, nothing is to be done in the cluster. To put the cluster back instead, close this and type `/bascule heal production`.

        Not adopted:

        - `Secret shop/key`: it is a `*Secret* @everybody`
        ");
        insta::assert_snapshot!(adoption.message(), @"
        Adopt Deployment shop/web as it is in production

        Deployment shop/web: .spec.replicas, .spec.x`y`

        Written as they are in the cluster; work/kim asked for it.
        ");
        adoption.objects[0].0 = "ClusterRole @everybody".to_owned();
        assert_eq!(adoption.title(), "Adopt an object as it is in production");
        assert_eq!(adoption.none(), "Secret shop/key: it is a *Secret* @everybody");
    }
}
