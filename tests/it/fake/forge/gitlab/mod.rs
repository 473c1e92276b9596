//! GitLab's tongue, written from its published documentation of the REST API, of GraphQL and of webhooks, and from its own
//! source where that is silent; not from what our client reads. What it answers is held to the documented fields by
//! [`documented`], in every test.
//!
//! What the documentation does not say, and this fake does as the real one:
//! - issues and merge requests are numbered apart: a merge request keeps the number it has in the stories, and the first
//!   issue is 1, whatever else has that number;
//! - an approval writes a line of the system, and one that is taken back leaves it;
//! - a reaction moves `updated_at` of a comment, and only GraphQL tells it from an edit;
//! - what is said moves `updated_at` of a merge request when that is a minute old, and not before;
//! - "pending" of what is pending is refused, and so is a status of a commit that is on no branch;
//! - nobody is told that a comment was deleted.

mod answer;
mod called;
mod deployments;
mod documented;
mod graphql;
mod hook;
mod page;
mod people;
mod places;
mod projects;
mod wire;

pub(super) use self::answer::answer;
pub(super) use self::called::called;
pub(super) use self::hook::{headers, told};
pub(super) use self::wire::refusal;
