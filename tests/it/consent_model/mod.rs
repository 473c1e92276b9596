//! The model of consent: a small world in which everything happens that can happen around a pull request, explored to a
//! depth and at random, with an oracle of what each person really saw and said.
//!
//! Safety: every deployed set is the position's set plus changes that enough entitled people, who are no contributors,
//! consented to under the rules in force, or that the rules asked nobody about. Liveness: from every sampled state,
//! people who cooperate bring every environment to the tip. Teeth: the same model with one thing left out must object.
//!
//! Not in it: policies of neighbours, and policies that fail; a revocation that is deleted before anybody reads it, a dismissal that is undone within its second, and limits
//! of lines and objects, which are counted where files are.

mod acts;
mod bascule;
mod beginnings;
mod cast;
mod content;
mod explore;
mod facts;
mod gather;
mod law;
mod listen;
mod memory;
mod mutant;
mod oracle;
mod possible;
mod voices;
mod world;

use beginnings::{Beginning, beginnings};
use explore::{Explorer, Failure, shortest};
use mutant::{MUTANTS, Mutant};
use possible::Bounds;

use crate::support::random::Random;

/// Where random stories begin; `CONSENT_MODEL_SEED=… cargo test` compiles another one in.
const SEED: &str = match option_env!("CONSENT_MODEL_SEED") {
    Some(seed) => seed,
    None => "20260",
};
/// Acts of a random story.
const LENGTH: usize = 60;
const BOUNDS: Bounds = Bounds { pulls: 2, commits: 12, said: 6 };

/// Explores with one thing left out, or nothing: everything near each beginning, then random stories.
fn explore(mutant: Mutant, near: (usize, usize), states: usize, liveness_every: u64) -> Result<Explorer, String> {
    let mut explorer = Explorer::new(mutant, liveness_every);
    let told = |failure: Failure, beginning: &Beginning| {
        let short = shortest(beginning, failure, BOUNDS, mutant);
        let story: Vec<String> = short.story.iter().map(|act| format!("  {act:?}")).collect();
        format!("seed {SEED}, from “{}”: {}\n{}", beginning.0, short.what, story.join("\n"))
    };
    let mut begun = vec![];
    for beginning in beginnings() {
        let world = explorer.begin(&beginning).map_err(|failure| told(failure, &beginning))?;
        explorer.exhaust(&world, &beginning.2, BOUNDS, near).map_err(|failure| told(failure, &beginning))?;
        begun.push((world, beginning));
    }
    println!("{mutant:?}: {} states by breadth", explorer.states.len());
    let mut random = Random(SEED.parse().expect("CONSENT_MODEL_SEED is a number"));
    while explorer.states.len() < states {
        let (world, beginning) = &begun[random.below(begun.len())];
        explorer
            .wander(world, &beginning.2, BOUNDS, LENGTH, &mut random)
            .map_err(|failure| told(failure, beginning))?;
    }
    Ok(explorer)
}

#[test]
fn nothing_is_deployed_that_nobody_entitled_consented_to() {
    println!("seed {SEED}");
    let explorer = explore(Mutant::Nothing, (3, 16_000), 1_100_000, 300).unwrap_or_else(|story| panic!("{story}"));
    println!("{} states: {:#?}", explorer.states.len(), explorer.counts);
    assert!(explorer.states.len() >= 1_000_000);
    for seldom in [
        "approvals refused",
        "approvals voided",
        "holds kept",
        "judgements overtaken",
        "judgements started later",
        "pushes that altered a change",
        "states from which people cooperated",
        "syncs by the owners' exception",
        "syncs of an approved held change",
        "syncs of an approved pull request",
        "syncs that asked nobody",
        "syncs that wait for staging",
        "walks compared through a sync in between",
    ] {
        assert!(explorer.counts.get(seldom).is_some_and(|times| *times > 50), "hardly any {seldom}: explores nothing");
    }
}

/// Each leaves one thing out, and the model has to object. One that it lets pass would be a rule nobody checks.
#[test]
fn the_model_objects_to_whatever_is_left_out() {
    let mut survivors = vec![];
    for mutant in MUTANTS.iter().copied() {
        match explore(mutant, (2, usize::MAX / 2), 100_000, 0) {
            Ok(_) => survivors.push(mutant),
            Err(story) => println!("{mutant:?}: {story}\n"),
        }
    }
    assert_eq!(survivors, []);
}
