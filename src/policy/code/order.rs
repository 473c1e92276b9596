//! What is asked of the process that judges, and what it answers: an order is read from a file in its box, the answer is
//! all it prints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Matter, Opinion, Question, Source, Tested, ask, faults, test};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Ask these policies about this.
    Ask(Vec<Question>, Box<Matter>),
    /// Say what is wrong with these.
    Read(BTreeMap<String, Source>),
    /// Run the tests of these files, by the path that named them.
    Test(BTreeMap<String, BTreeMap<String, String>>),
}

/// What came of one of the things that were asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// What a policy says.
    Says(Opinion),
    /// What is wrong with it.
    Faults(Vec<String>),
    /// How its tests went, or what is wrong with their text.
    Tests(Result<Vec<Tested>, Vec<String>>),
}

impl Order {
    /// What it asks, by name, one after the other.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Ask(questions, _) => questions.iter().map(|question| question.name.clone()).collect(),
            Self::Read(sources) => sources.keys().cloned().collect(),
            Self::Test(files) => files.keys().cloned().collect(),
        }
    }

    /// Does one of them. Takes as long and as much as whoever wrote the policy wants.
    pub fn carry_out(&self, name: &str) -> Answer {
        match self {
            Self::Ask(questions, matter) => {
                let mut of_name = questions.iter().filter(|question| question.name == name);
                Answer::Says(match (of_name.next(), of_name.next()) {
                    (Some(question), None) => ask(question, matter),
                    (None, _) => Opinion::broken("nobody asked this"),
                    // One answer cannot be both of theirs.
                    (Some(_), Some(_)) => Opinion::broken("another policy is asked under the same name"),
                })
            }
            Self::Read(sources) => Answer::Faults(sources.get(name).map(faults).unwrap_or_default()),
            Self::Test(files) => Answer::Tests(files.get(name).map_or(Ok(Vec::new()), test)),
        }
    }

    /// The answer of what could not be carried out.
    pub fn failed(&self, why: &str) -> Answer {
        match self {
            Self::Ask(..) => Answer::Says(Opinion::broken(why)),
            Self::Read(_) => Answer::Faults(vec![why.to_owned()]),
            Self::Test(_) => Answer::Tests(Err(vec![why.to_owned()])),
        }
    }
}
