//! What an environment keeps sealed, opened: by which keys, within which time, and what is said of it where it stays shut.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};
use serde_json::Value;
use tokio::time::Instant;

use crate::ids::{ObjectKey, Target};
use crate::manifest::{Object, is_sealed};
use crate::policy::rules::Platform;
use crate::render::Unsealer;

/// Programs at once that open something for one environment.
const WIDTH: usize = 4;
/// For all that an environment keeps sealed. A thousand Secrets take some 15 s; whoever waits for more holds a turn of the cluster's.
const LIMIT: Duration = Duration::from_secs(60);

/// In the place of words of others, where a Secret stays shut that may be quoted in them.
pub(in crate::jobs) const WITHHELD: &str =
    "(not shown: a sealed Secret of this environment could not be opened, and these words may tell what is in it)";

/// The name of the environment's keys: as the grants say that reach its target, whatever objects it has, so that no repository has
/// a word in it.
///
/// # Errors
/// Why it has none, with what to do.
pub(in crate::jobs) fn keys_of(platform: &Platform, repository: &str, target: &Target) -> Result<String, String> {
    let reaching = platform.grants_reaching(repository, target);
    let Some(first) = reaching.first() else { return Err("no grant of the server reaches it".to_owned()) };
    let named: BTreeMap<&str, &str> =
        reaching.iter().filter_map(|granted| Some((granted.grant.secrets.as_deref()?, granted.name))).collect();
    let mut all = named.iter();
    match (all.next(), all.next()) {
        (None, _) => Err(format!(
            "it is sealed, and grant `{}` names no keys: name some with its key `secrets`, and where they are in `[secrets.NAME]`",
            first.name
        )),
        (Some((keys, _)), None) => Ok((*keys).to_owned()),
        (Some((keys, grant)), Some((others, other))) => Err(format!(
            "it is sealed, and grant `{grant}` opens it with the keys `{keys}`, grant `{other}` with `{others}`: let one of the two reach {}",
            target.namespace
        )),
    }
}

/// What came of it, by object.
#[derive(Debug, Default)]
pub(in crate::jobs) struct Opened {
    /// As they are sent.
    pub(in crate::jobs) clear: BTreeMap<ObjectKey, Value>,
    /// Why they stay sealed.
    pub(in crate::jobs) shut: BTreeMap<ObjectKey, String>,
}

impl Opened {
    /// Puts what is in clear in the place of what is sealed.
    pub(in crate::jobs) fn put_into(self, objects: &mut BTreeMap<ObjectKey, Object>) -> BTreeMap<ObjectKey, String> {
        for (key, clear) in self.clear {
            if let Some(object) = objects.get_mut(&key) {
                object.json = clear;
            }
        }
        self.shut
    }
}

/// Opens what is sealed of these objects.
pub(in crate::jobs) async fn open(
    unsealer: &Unsealer,
    keys: &Result<String, String>,
    objects: impl Iterator<Item = &Object>,
) -> Opened {
    let sealed: Vec<&Object> = objects.filter(|object| is_sealed(&object.json)).collect();
    let late = || format!("what the environment keeps sealed was not all opened within {} s", LIMIT.as_secs());
    let mut opened = Opened::default();
    opened.shut.extend(sealed.iter().map(|object| (object.key.clone(), keys.clone().err().unwrap_or_else(late))));
    let Ok(keys) = keys else { return opened };
    let each = |object: &&Object| {
        let (key, json) = (object.key.clone(), object.json.clone());
        async move { (key, unsealer.open(&json, keys).await) }.boxed()
    };
    let mut each = stream::iter(sealed.iter().map(each).collect::<Vec<_>>()).buffer_unordered(WIDTH);
    let end = Instant::now() + LIMIT;
    while let Ok(Some((key, came))) = tokio::time::timeout_at(end, each.next()).await {
        match came {
            Ok(clear) => {
                opened.shut.remove(&key);
                opened.clear.insert(key, clear);
            }
            Err(why) => drop(opened.shut.insert(key, why)),
        }
    }
    opened
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::rules::Grant;

    fn granted(grants: &[(&str, &str, Option<&str>)]) -> Result<String, String> {
        let grant = |(name, namespace, secrets): &(&str, &str, Option<&str>)| {
            let grant = Grant {
                repositories: vec!["work/acme/*".to_owned()],
                clusters: ["prod".parse().unwrap()].into(),
                namespaces: vec![(*namespace).to_owned()],
                cluster_scoped: Vec::new(),
                deny: Vec::new(),
                prometheus: Default::default(),
                impersonate: None,
                secrets: secrets.map(str::to_owned),
                owners: None,
            };
            ((*name).to_owned(), grant)
        };
        let platform = Platform { grants: grants.iter().map(grant).collect(), ..Platform::default() };
        let target = Target { cluster: "prod".parse().unwrap(), namespace: "shop".to_owned() };
        keys_of(&platform, "work/acme/shop", &target)
    }

    #[test]
    fn the_grants_that_reach_a_target_say_which_keys_open_it_and_have_to_agree() {
        assert_eq!(
            granted(&[("a", "shop", Some("prod")), ("b", "*", None), ("c", "other", Some("x"))]).unwrap(),
            "prod"
        );
        assert_eq!(granted(&[("a", "shop", Some("prod")), ("b", "*", Some("prod"))]).unwrap(), "prod");
        let says = [
            granted(&[]).unwrap_err(),
            granted(&[("a", "shop", None), ("c", "other", Some("x"))]).unwrap_err(),
            granted(&[("a", "shop", Some("dev")), ("b", "*", Some("prod"))]).unwrap_err(),
        ];
        insta::assert_snapshot!(says.join("\n"), @"
        no grant of the server reaches it
        it is sealed, and grant `a` names no keys: name some with its key `secrets`, and where they are in `[secrets.NAME]`
        it is sealed, and grant `a` opens it with the keys `dev`, grant `b` with `prod`: let one of the two reach shop
        ");
    }
}
