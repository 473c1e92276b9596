//! What is asked of the process that judges, and what it answers: an order is read from a file in its box, the answer is
//! all it prints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::health::{self, Asked, Said};
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
    /// Say what is wrong with these expressions over an object.
    Expressions(BTreeMap<String, String>),
    /// Say how these objects are.
    Health(BTreeMap<String, Asked>),
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
    /// How an object is.
    Health(Said),
}

impl Answer {
    /// What is wrong with what was asked, by its name; of what is good nothing.
    pub fn faults(answers: BTreeMap<String, Self>) -> BTreeMap<String, Vec<String>> {
        let faults = answers.into_iter().filter_map(|(name, answer)| match answer {
            Self::Faults(faults) if !faults.is_empty() => Some((name, faults)),
            Self::Faults(_) | Self::Says(_) | Self::Tests(_) | Self::Health(_) => None,
        });
        faults.collect()
    }
}

impl Order {
    /// What it asks, by name, one after the other.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Ask(questions, _) => questions.iter().map(|question| question.name.clone()).collect(),
            Self::Read(sources) => sources.keys().cloned().collect(),
            Self::Test(files) => files.keys().cloned().collect(),
            Self::Expressions(texts) => texts.keys().cloned().collect(),
            Self::Health(objects) => objects.keys().cloned().collect(),
        }
    }

    /// The same order with only one of them.
    pub fn only(&self, name: &str) -> Self {
        fn one<V: Clone>(all: &BTreeMap<String, V>, name: &str) -> BTreeMap<String, V> {
            all.get_key_value(name).map(|(name, value)| (name.clone(), value.clone())).into_iter().collect()
        }
        match self {
            // All of its name: of two there, neither is answered.
            Self::Ask(questions, matter) => {
                Self::Ask(questions.iter().filter(|one| one.name == name).cloned().collect(), matter.clone())
            }
            Self::Read(sources) => Self::Read(one(sources, name)),
            Self::Test(files) => Self::Test(one(files, name)),
            Self::Expressions(texts) => Self::Expressions(one(texts, name)),
            Self::Health(objects) => Self::Health(one(objects, name)),
        }
    }

    /// Whether all of it is of one mind: where it breaks at one, it would at the others, and they are not asked by themselves.
    pub fn stands_together(&self) -> bool {
        matches!(self, Self::Health(_))
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
            Self::Expressions(texts) => {
                Answer::Faults(texts.get(name).and_then(|text| health::fault(text)).into_iter().collect())
            }
            Self::Health(objects) => Answer::Health(
                objects.get(name).map_or_else(|| Said::Unanswered("nobody asked this".to_owned()), health::judge),
            ),
        }
    }

    /// The answer of what could not be carried out.
    pub fn failed(&self, why: &str) -> Answer {
        match self {
            Self::Ask(..) => Answer::Says(Opinion::broken(why)),
            Self::Read(_) | Self::Expressions(_) => Answer::Faults(vec![why.to_owned()]),
            Self::Health(_) => Answer::Health(Said::Unanswered(why.to_owned())),
            Self::Test(_) => Answer::Tests(Err(vec![why.to_owned()])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Effect;
    use super::*;

    #[test]
    fn two_policies_of_one_name_are_both_broken() {
        let asks = |name: &str, cel: &str| Question {
            name: name.to_owned(),
            effect: Effect::Deny,
            message: None,
            source: Source::Cel(cel.to_owned()),
        };
        let questions = vec![
            asks("a:p", "change.stage == ''"),
            asks("a:p", "change.stage == 'x'"),
            asks("q", "change.stage == ''"),
        ];
        let order = Order::Ask(questions, Box::default());
        let broken = Answer::Says(Opinion::broken("another policy is asked under the same name"));
        assert_eq!(order.carry_out("a:p"), broken);
        assert_eq!(order.only("a:p").carry_out("a:p"), broken);
        assert_eq!(order.carry_out("q"), Answer::Says(Opinion::default()));
        assert_eq!(order.only("q").names(), ["q"]);
    }
}
