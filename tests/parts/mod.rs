//! The real parts that the demo and the outer tests run on: PostgreSQL, a Kubernetes control plane and Gitea.
//!
//! Each `start` gives a part of one's own, on free loopback ports and in a temporary folder, and returns when the
//! part answers. It ends with its value, and, because a test may be killed, also when this process dies in whatever
//! way (see [`launch`]). The programs are those of `tools/build`.
//!
//!     let progress = Progress::silent();
//!     let (postgres, gitea) = tokio::try_join!(Postgres::start(&progress), Gitea::start(&progress))?;
//!     let cluster = ControlPlane::start(&progress, Rollouts::Simulated).await?;
//!
//! The tree: a part (`postgres`, `control_plane`, `gitea`) starts one or more `process`es in a `folder` on `ports`;
//! `gitea_api` and `kubeconfig` are what one does with a part that runs. Nothing here knows anything of Bascule.
#![allow(dead_code, unused_imports, reason = "the demo and the tests include this module, and each uses a part of it")]

mod account;
mod control_plane;
mod folder;
mod gitea;
mod gitea_api;
mod gitea_settings;
mod http;
mod kubeconfig;
mod launch;
mod people;
mod ports;
mod postgres;
mod process;
mod progress;
mod rollouts;
#[cfg(test)]
mod tests;
mod tools;
mod validator;

pub(crate) use control_plane::{ControlPlane, Rollouts};
pub(crate) use folder::Folder;
pub(crate) use gitea::{Gitea, User};
pub(crate) use gitea_api::{GiteaApi, Permission, Verdict};
pub(crate) use postgres::Postgres;
pub(crate) use progress::{Progress, Step};
pub(crate) use tools::{program, shared};
pub(crate) use validator::Validator;
