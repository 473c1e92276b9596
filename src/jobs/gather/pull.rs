//! What is stored of a pull request, and what a forge tells of one: one made of the other.

use crate::db::pulls::{PullFacts, PullState};
use crate::forge;

/// What we store of a pull request.
pub(in crate::jobs) fn facts_of(pull: &forge::Pull) -> PullFacts {
    let (state, merge_commit, merged_by) = match &pull.state {
        forge::PullState::Open => (PullState::Open, None, None),
        forge::PullState::Closed => (PullState::Closed, None, None),
        forge::PullState::Merged { commit, by, .. } => (PullState::Merged, commit.clone(), by.clone()),
    };
    PullFacts {
        number: pull.number,
        title: pull.title.clone(),
        author: pull.author.clone(),
        state,
        base_branch: pull.base_branch.clone(),
        base_sha: pull.base.clone(),
        head_sha: pull.head.clone(),
        head_branch: pull.head_branch.clone(),
        head_owner: pull.head_owner.clone(),
        from_fork: pull.from_fork,
        merge_base: pull.merge_base.clone(),
        touched_at: pull.updated_at,
        merge_commit,
        merged_by,
    }
}

/// What is stored of a pull request, as the forge told it.
pub(in crate::jobs) fn pull_of(facts: &PullFacts) -> forge::Pull {
    forge::Pull {
        number: facts.number,
        title: facts.title.clone(),
        author: facts.author.clone(),
        state: match facts.state {
            PullState::Open => forge::PullState::Open,
            PullState::Closed => forge::PullState::Closed,
            PullState::Merged => {
                forge::PullState::Merged { commit: facts.merge_commit.clone(), by: facts.merged_by.clone(), at: None }
            }
        },
        base_branch: facts.base_branch.clone(),
        base: facts.base_sha.clone(),
        head_branch: facts.head_branch.clone(),
        head: facts.head_sha.clone(),
        merge_base: facts.merge_base.clone(),
        head_repository: None,
        head_owner: facts.head_owner.clone(),
        from_fork: facts.from_fork,
        updated_at: facts.touched_at,
        // Nobody asks for them once it is merged.
        comments: 0,
    }
}
