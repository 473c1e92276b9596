//! What ends an environment, and when: what is deployed and followed by nobody is never touched by itself.

use crate::ids::ClusterName;

/// Why an environment is followed no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Orphan {
    /// The default branch's file does not name it, or names another target.
    Unnamed,
    /// The name in the server's file leads to another cluster now.
    Elsewhere {
        /// That name.
        cluster: ClusterName,
        /// How many objects are in the cluster it led to.
        objects: u64,
    },
}

impl Orphan {
    /// What is said of it.
    pub fn sentence(&self, objects: u64) -> String {
        let stay = match objects {
            0 => "nothing of it is deployed".to_owned(),
            1 => "its one object stays as it is".to_owned(),
            count => format!("its {count} objects stay as they are"),
        };
        match self {
            Self::Unnamed => {
                format!("the default branch's file does not name it, or names another target for it: {stay}")
            }
            Self::Elsewhere { cluster, objects } => format!(
                "`{cluster}` is another cluster now (by the uid of its namespace kube-system), and {objects} objects of this \
                 environment are in the one it was: nothing is sent to this one, and nothing is deleted. Lead the name back, or \
                 forget those objects"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_names_what_stays() {
        let elsewhere = Orphan::Elsewhere { cluster: "prod".parse().unwrap(), objects: 3 };
        insta::assert_snapshot!(
            [Orphan::Unnamed.sentence(0), Orphan::Unnamed.sentence(1), Orphan::Unnamed.sentence(7), elsewhere.sentence(3)].join("\n"),
            @r"
        the default branch's file does not name it, or names another target for it: nothing of it is deployed
        the default branch's file does not name it, or names another target for it: its one object stays as it is
        the default branch's file does not name it, or names another target for it: its 7 objects stay as they are
        `prod` is another cluster now (by the uid of its namespace kube-system), and 3 objects of this environment are in the one it was: nothing is sent to this one, and nothing is deleted. Lead the name back, or forget those objects
        "
        );
    }
}
