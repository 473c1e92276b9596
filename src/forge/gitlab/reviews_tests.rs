use serde_json::{Value, json};

use super::*;

const KIM: (i64, &str) = (5, "kim");
const LEE: (i64, &str) = (6, "lee");

fn user((id, login): (i64, &str)) -> Value {
    json!({ "id": id, "username": login, "state": "active" })
}

fn at(second: u32) -> String {
    format!("2026-01-05T09:00:{second:02}.250Z")
}

fn line(id: i64, who: (i64, &str), body: &str) -> Value {
    let at = at(u32::try_from(id).unwrap());
    json!({ "id": id, "body": body, "system": true, "author": user(who), "created_at": at, "updated_at": at })
}

fn approves(id: i64, who: (i64, &str)) -> Value {
    line(id, who, "approved this merge request")
}

fn said(lines: &[Value], approvals: Value, reviewers: Value) -> Vec<Review> {
    let read_as = |value: &Value| serde_json::from_value(value.clone()).unwrap();
    let approvals = serde_json::from_value(json!({ "approved_by": approvals })).unwrap();
    let reviewers = serde_json::from_value(reviewers).unwrap();
    read(&"lab".parse().unwrap(), lines.iter().map(read_as).collect(), approvals, reviewers)
}

/// Number, verdict, and whether it was taken back.
fn told(reviews: &[Review]) -> Vec<(i64, Verdict, bool)> {
    reviews.iter().map(|one| (one.id, one.verdict, one.dismissed)).collect()
}

#[test]
fn an_approval_counts_while_its_line_is_the_last_and_gitlab_lists_it() {
    let (by_kim, by_lee) = (json!({ "user": user(KIM) }), json!({ "user": user(LEE) }));
    let none = || json!([]);
    let once = [approves(1, KIM)];
    assert_eq!(told(&said(&once, json!([by_kim]), none())), [(1, Verdict::Approved, false)]);
    assert_eq!(told(&said(&once, json!([by_lee]), none())), [(1, Verdict::Approved, true)], "reset by a push");
    assert_eq!(told(&said(&[], json!([by_kim]), none())), [], "its line is not there yet");
    let back = [approves(1, KIM), line(2, KIM, "unapproved this merge request"), approves(3, LEE)];
    assert_eq!(
        told(&said(&back, json!([by_kim, by_lee]), none())),
        [(1, Verdict::Approved, true), (3, Verdict::Approved, false)],
        "approved anew, and that line is not there yet"
    );
    let again = [approves(1, KIM), approves(2, KIM)];
    let (first, second) = ((1, Verdict::Approved, true), (2, Verdict::Approved, false));
    assert_eq!(told(&said(&again, json!([by_kim]), none())), [first, second], "one approval each");
    let mut own_words = approves(1, KIM);
    own_words["system"] = false.into();
    assert_eq!(told(&said(&[own_words], json!([by_kim]), none())), [], "anybody can write that");
    let quoted = [line(1, KIM, "changed title from **x** to **approved this merge request**")];
    assert_eq!(told(&said(&quoted, json!([by_kim]), none())), []);
}

#[test]
fn the_approvals_own_time_is_its_lines_or_a_little_earlier_and_never_later() {
    let by_kim = |second| json!([{ "user": user(KIM), "approved_at": at(second) }]);
    let lines = [approves(5, KIM)];
    let [review] = &said(&lines, by_kim(4), json!([]))[..] else { panic!("one review") };
    let time = |second| at(second).parse::<Timestamp>().unwrap();
    assert_eq!((review.given_at, review.given_until), (time(4), time(5)));
    assert_eq!((review.dismissed, &review.commit), (false, &None), "GitLab binds no approval to a commit");
    let [review] = &said(&lines, by_kim(6), json!([]))[..] else { panic!("one review") };
    assert!(review.dismissed, "the approval that is listed is a newer one");
}

#[test]
fn who_asks_for_changes_does_so_for_ever() {
    let asks = |state: &str| json!([{ "user": user(KIM), "state": state, "created_at": at(1) }]);
    let both = [approves(1, KIM), line(2, KIM, "requested changes")];
    let (approved, objects) = ((1, Verdict::Approved, true), (2, Verdict::ChangesRequested, false));
    assert_eq!(told(&said(&both, json!([]), asks("requested_changes"))), [approved, objects]);
    let later = [line(2, KIM, "requested changes"), approves(3, KIM)];
    let by_kim = json!([{ "user": user(KIM) }]);
    assert_eq!(told(&said(&later, by_kim.clone(), asks("approved"))), [objects, (3, Verdict::Approved, false)]);
    // A version that writes no line of it.
    let told_by_state = said(&[approves(1, KIM)], by_kim, asks("requested_changes"));
    assert_eq!(told(&told_by_state), [(1, Verdict::Approved, false), (-5, Verdict::ChangesRequested, false)]);
    assert_eq!(told_by_state[1].given_until, Timestamp::MAX, "after whatever they approved");
}
