use super::super::cast::{rules, set};
use super::*;
use crate::consent::HashedSet;

/// The number that approvals of a change have to carry, from a set of so many objects that loses so many.
fn number(own: &Environment, stands: usize, removed: usize) -> (Option<u64>, usize) {
    let names: Vec<String> = (0..stands).map(|at| format!("o{at}")).collect();
    let all: Vec<(&str, u8)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let (before, after): (HashedSet, HashedSet) = (set(1, &all), set(1, &all[removed..]));
    let change = Change::between(Some(&before), &after);
    let files = BTreeSet::new();
    let subject = Subject {
        change: &change,
        files: &files,
        size: Size::default(),
        stands: before.objects(),
        said: None,
        becomes: Becomes::New,
    };
    let asked = required(subject, Law { rules: InForce::OfSet(own), floors: &[], grant_owners: None });
    (asked.deletions, asked.rules.len())
}

#[test]
fn more_than_three_deletions_and_more_than_a_tenth_need_their_number_where_nothing_is_said() {
    let nobody = rules(Vec::new());
    assert_eq!(nobody.deletions_confirm_above, None);
    assert_eq!(number(&nobody, 5, 3), (None, 0), "three pass");
    assert_eq!(number(&nobody, 5, 4), (Some(4), 1), "four do not, and somebody is asked where nobody was");
    assert_eq!(number(&nobody, 5, 5), (Some(5), 1), "everything");
    assert_eq!(number(&nobody, 40, 4), (None, 0), "a tenth passes");
    assert_eq!(number(&nobody, 40, 5), (Some(5), 1), "more does not");
    assert_eq!(number(&nobody, 39, 4), (Some(4), 1));
    assert_eq!(number(&nobody, 1_000, 100), (None, 0));
    assert_eq!(number(&nobody, 1_000, 300), (Some(300), 1), "an overlay that drops thirty of a hundred");
    let named = Environment { deletions_confirm_above: Some(0), ..rules(Vec::new()) };
    assert_eq!(number(&named, 1_000, 1), (Some(1), 1), "what is said is what counts");
    let wide = Environment { deletions_confirm_above: Some(500), ..rules(Vec::new()) };
    assert_eq!(number(&wide, 600, 500), (None, 0));
}
