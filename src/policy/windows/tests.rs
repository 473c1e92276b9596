//! What is open when, against a clock that is read every minute.

use jiff::ToSpan as _;
use proptest::prelude::*;

use super::*;

fn window(sense: Sense, text: &str, zone: &str) -> Window {
    Window::new(sense, text, zone).unwrap_or_else(|wrong| panic!("{text}: {wrong}"))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// `open until …`, or `shut until …`.
fn said(all: &[Window], now: &str) -> String {
    let state = state(&[all], at(now));
    let word = if state.is_open { "open" } else { "shut" };
    format!("{word} until {}", state.until.map_or("long after".to_owned(), |until| until.to_string()))
}

#[test]
fn hours_are_read_on_the_wall() {
    use Sense::{Allow, Deny};
    let check = |hours: &[(Sense, &str)], zone: &str, cases: &[(&str, &str)]| {
        let all: Vec<Window> = hours.iter().map(|(sense, text)| window(*sense, text, zone)).collect();
        for (now, expected) in cases {
            assert_eq!(said(&all, now), *expected, "{hours:?} {now}");
        }
    };
    // 2026-11-20 is a Friday; Berlin is an hour ahead of UTC.
    check(
        &[(Allow, "Mon-Fri 09:00-17:00")],
        "Europe/Berlin",
        &[
            ("2026-11-20T07:59:59Z", "shut until 2026-11-20T08:00:00Z"),
            ("2026-11-20T08:00:00Z", "open until 2026-11-20T16:00:00Z"),
            ("2026-11-20T16:00:00Z", "shut until 2026-11-23T08:00:00Z"),
        ],
    );
    // Over midnight: what began on Friday ends on Saturday, and nothing begins on Saturday.
    check(
        &[(Allow, "Fri 22:00-06:00")],
        "UTC",
        &[
            ("2026-11-20T05:00:00Z", "shut until 2026-11-20T22:00:00Z"),
            ("2026-11-21T05:59:00Z", "open until 2026-11-21T06:00:00Z"),
            ("2026-11-21T22:00:00Z", "shut until 2026-11-27T22:00:00Z"),
        ],
    );
    // Over the week's end, as days and as one stretch.
    check(&[(Allow, "Sat-Mon")], "UTC", &[("2026-11-20T12:00:00Z", "shut until 2026-11-21T00:00:00Z")]);
    check(
        &[(Deny, "Fri 18:00-Mon 08:00")],
        "UTC",
        &[
            ("2026-11-20T17:59:00Z", "open until 2026-11-20T18:00:00Z"),
            ("2026-11-22T03:00:00Z", "shut until 2026-11-23T08:00:00Z"),
        ],
    );
    // Several; a deny wins; dates with both days.
    check(
        &[(Allow, "Mon-Fri 09:00-12:00,13:00-17:00"), (Allow, "Sun"), (Deny, "2026-12-20/2027-01-02")],
        "UTC",
        &[
            ("2026-11-20T12:30:00Z", "shut until 2026-11-20T13:00:00Z"),
            ("2026-11-22T12:30:00Z", "open until 2026-11-23T00:00:00Z"),
            // A Sunday and then a Friday of the holidays; the 3rd of January is a Sunday.
            ("2026-12-20T12:00:00Z", "shut until 2027-01-03T00:00:00Z"),
            ("2027-01-01T10:00:00Z", "shut until 2027-01-03T00:00:00Z"),
        ],
    );
    check(
        &[(Deny, "2026-12-24T12:00/2026-12-27T06:00")],
        "UTC",
        &[
            ("2026-12-01T00:00:00Z", "open until 2026-12-24T12:00:00Z"),
            ("2026-12-24T12:00:00Z", "shut until 2026-12-27T06:00:00Z"),
            ("2026-12-27T06:00:00Z", "open until long after"),
        ],
    );
    check(&[(Deny, "2026-12-24")], "UTC", &[("2026-12-24T00:00:00Z", "shut until 2026-12-25T00:00:00Z")]);
    check(&[(Allow, "2020-01-01/2020-12-31")], "UTC", &[("2026-12-01T00:00:00Z", "shut until long after")]);
    check(&[(Allow, "00:00-24:00")], "UTC", &[("2026-12-01T00:00:00Z", "open until long after")]);
    check(&[], "UTC", &[("2026-12-01T00:00:00Z", "open until long after")]);
}

#[test]
fn clocks_that_are_moved_are_read_as_they_stand() {
    // Berlin, 2027-03-28: 01:59 CET is followed by 03:00 CEST (01:00Z).
    let night = [window(Sense::Allow, "02:30-04:00", "Europe/Berlin")];
    assert_eq!(said(&night, "2027-03-28T00:30:00Z"), "shut until 2027-03-28T01:00:00Z", "it begins as the clock jumps");
    assert_eq!(said(&night, "2027-03-28T01:00:00Z"), "open until 2027-03-28T02:00:00Z");
    let skipped = [window(Sense::Allow, "02:10-02:50", "Europe/Berlin")];
    assert_eq!(said(&skipped, "2027-03-28T00:30:00Z"), "shut until 2027-03-29T00:10:00Z", "that hour is never read");
    // 2026-10-25: 02:59 CEST (00:59Z) is followed by 02:00 CET (01:00Z).
    let twice = [window(Sense::Allow, "02:15-02:45", "Europe/Berlin")];
    for (now, expected) in [
        ("2026-10-24T23:00:00Z", "shut until 2026-10-25T00:15:00Z"),
        ("2026-10-25T00:15:00Z", "open until 2026-10-25T00:45:00Z"),
        ("2026-10-25T00:45:00Z", "shut until 2026-10-25T01:15:00Z"),
        ("2026-10-25T01:15:00Z", "open until 2026-10-25T01:45:00Z"),
        ("2026-10-25T01:45:00Z", "shut until 2026-10-26T01:15:00Z"),
    ] {
        assert_eq!(said(&twice, now), expected, "{now}");
    }
    // Until within the hour that comes twice: it is shut again where the clock is set back over its end, and not before.
    let until = [window(Sense::Allow, "01:00-02:30", "Europe/Berlin")];
    assert_eq!(said(&until, "2026-10-25T00:00:00Z"), "open until 2026-10-25T00:30:00Z");
    assert_eq!(said(&until, "2026-10-25T00:30:00Z"), "shut until 2026-10-25T01:00:00Z");
    assert_eq!(said(&until, "2026-10-25T01:00:00Z"), "open until 2026-10-25T01:30:00Z");
}

#[test]
fn every_list_has_to_be_open_and_moments_are_told_in_the_first_ones_zone() {
    let own = [window(Sense::Allow, "Mon–Fri 09:00 - 17:00", "europe/berlin")];
    let floor = [window(Sense::Deny, "2026-12-20/2027-01-02", "UTC")];
    let both: [&[Window]; 2] = [&own, &floor];
    let now = at("2026-12-21T10:00:00Z");
    let state = state(&both, now);
    assert!(!state.is_open && is_open(&[&own], now));
    insta::assert_snapshot!(
        format!("{}\n{}", words(&both), moment(&both, state.until.unwrap())),
        @r"
    Mon–Fri 09:00–17:00 (Europe/Berlin), not 2026-12-20/2027-01-02 (UTC)
    Mon 2027-01-04 09:00 (Europe/Berlin)
    "
    );
}

#[test]
fn what_is_no_window_is_told() {
    let wrong = [
        "",
        "Mon-",
        "Mo 09:00-17:00",
        "9-17",
        "09:00",
        "09:00-25:00",
        "09:60-10:00",
        "09:00-09:00",
        "24:00-06:00",
        "Mon 09:00",
        "Fri 18:00-Fri 18:00",
        "Fri 18:00-08:00 Mon",
        "a b c d",
        "2026-12-20/",
        "2026-13-01/2027-01-01",
        "2027-01-02/2026-12-20",
        "2026-12-20T18:00/2026-12-20T18:00",
        "Mon-Fri 09:00-17:00 UTC",
        "Ⅿon 09:00-10:00",
    ];
    let said: Vec<String> = wrong
        .iter()
        .map(|text| match Window::new(Sense::Allow, text, "UTC") {
            Ok(window) => format!("{text}: {}", window.words()),
            Err(wrong) => format!("{text}: ✗ {wrong}"),
        })
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    : ✗ it is empty
    Mon-: ✗ `` is no day
    Mo 09:00-17:00: ✗ `Mo` is no day
    9-17: ✗ `9` is no time of day, as `09:00` is
    09:00: ✗ `09:00` has no end
    09:00-25:00: ✗ `25:00` is no time of day, as `09:00` is
    09:60-10:00: ✗ `09:60` is no time of day, as `09:00` is
    09:00-09:00: ✗ `09:00-09:00` begins where it ends; a whole day is `00:00-24:00`
    24:00-06:00: ✗ `24:00-06:00` begins at `24:00`, which is `00:00`
    Mon 09:00: ✗ `09:00` has no end
    Fri 18:00-Fri 18:00: ✗ it begins where it ends
    Fri 18:00-08:00 Mon: ✗ `08:00` is no day
    a b c d: ✗ it is neither days with times nor from one day to another
    2026-12-20/: ✗ `` is no date, as `2026-12-20` or `2026-12-20T18:00` is
    2026-13-01/2027-01-01: ✗ `2026-13-01` is no date, as `2026-12-20` or `2026-12-20T18:00` is
    2027-01-02/2026-12-20: ✗ it ends before it begins
    2026-12-20T18:00/2026-12-20T18:00: ✗ it ends before it begins
    Mon-Fri 09:00-17:00 UTC: ✗ `Mon-Fri` is no day
    Ⅿon 09:00-10:00: ✗ `Ⅿon` is no day
    ");
}

/// Hours as people may write them.
fn hours() -> impl Strategy<Value = String> {
    let time = || (0u8..24, prop::sample::select(vec![0u8, 15, 30, 45])).prop_map(|(h, m)| format!("{h:02}:{m:02}"));
    let day = || prop::sample::select(vec!["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]);
    let dates = (-3i64..6, 0i64..4).prop_map(|(from, days)| {
        let from = jiff::civil::date(2026, 10, 23) + from.days();
        format!("{from}/{}", from + days.days())
    });
    prop_oneof![
        (day(), day(), time(), time()).prop_map(|(a, b, from, to)| format!("{a}-{b} {from}-{to}")),
        (time(), time()).prop_map(|(from, to)| format!("{from}-{to}")),
        (day(), time(), day(), time()).prop_map(|(a, from, b, to)| format!("{a} {from}-{b} {to}")),
        dates,
    ]
    .prop_filter("begins where it ends", |text| read::hours(text).is_ok())
}

/// What a wall clock shows at a moment is asked of the zone alone, minute by minute.
fn brute(lists: &[&[Window]], now: Timestamp, days: i64) -> (bool, Option<Timestamp>) {
    let open = |at: Timestamp| {
        lists.iter().all(|list| {
            let reads = |one: &&Window| one.hours.read(at.to_zoned(one.tz()).datetime());
            let denied = list.iter().filter(|one| one.sense == Sense::Deny).any(|one| reads(&one));
            let mut allows = list.iter().filter(|one| one.sense == Sense::Allow).peekable();
            !denied && (allows.peek().is_none() || allows.any(|one| reads(&one)))
        })
    };
    let first = open(now);
    let mut minutes = (1..days * 24 * 60).map(|minute| now + SignedDuration::from_mins(minute));
    (first, minutes.find(|at| open(*at) != first))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn it_opens_and_closes_when_a_scan_of_every_minute_says(
        written in prop::collection::vec((any::<bool>(), hours(), 0usize..5), 1..4),
        (list, after) in (0usize..3, 0i64..4 * 24 * 60),
        spring in any::<bool>(),
    ) {
        // Two hours, a half and a whole one ahead and behind, and zones whose clocks are moved that week.
        let zones = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu"];
        let all: Vec<Window> = written
            .iter()
            .map(|(allows, text, zone)| window(if *allows { Sense::Allow } else { Sense::Deny }, text, zones[*zone]))
            .collect();
        let (first, second) = all.split_at(list.min(all.len()));
        let lists: Vec<&[Window]> = [first, second].into_iter().filter(|list| !list.is_empty()).collect();
        let begin = if spring { at("2027-03-26T00:00:00Z") } else { at("2026-10-23T00:00:00Z") };
        let now = begin + SignedDuration::from_mins(after);
        let (is_open, until) = brute(&lists, now, 9);
        let found = state(&lists, now);
        prop_assert_eq!(found.is_open, is_open);
        match until {
            Some(until) => prop_assert_eq!(found.until, Some(until)),
            None => prop_assert!(found.until.is_none_or(|found| found >= now + SignedDuration::from_hours(9 * 24 - 1))),
        }
    }
}
