//! The process's environment, read once. Everything else is handed what it needs of it.

use std::collections::BTreeMap;

/// What overrides a key of the file begins with this: `BASCULE__FORGE__WORK__URL` is `forge.work.url`.
pub const PREFIX: &str = "BASCULE__";

/// Environment variables by name. `Debug` shows names only: values may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environ(BTreeMap<String, String>);

impl Environ {
    /// Those of this process whose name and value are text.
    pub fn of_process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
        let all = std::env::vars_os();
        Self(all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect())
    }

    /// The value of a variable; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The variables that override keys: the path of the key in lower case, the variable's name and its value.
    pub fn overrides(&self) -> impl Iterator<Item = (Vec<String>, &str, &str)> {
        self.0.range(PREFIX.to_owned()..).map_while(|(name, value)| {
            let path = name.strip_prefix(PREFIX)?.split("__").map(str::to_ascii_lowercase).collect();
            Some((path, name.as_str(), value.as_str()))
        })
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environ {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl std::fmt::Debug for Environ {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_set().entries(self.0.keys()).finish()
    }
}
