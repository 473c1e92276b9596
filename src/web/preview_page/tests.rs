//! What is on a page, and that all of it is ours.

use super::*;
use crate::ids::{ObjectKey, Target};
use crate::manifest::{Hunk, ObjectDiff};
use crate::preview::{
    Admission, Answered, Consent, Deployment, Drift, Drifted, Effect, MergeRule, Outcome, PolicyRemark, RowChange,
    Ruling, Standing, Subject,
};

/// What an author would put wherever a word of theirs is shown.
const HOSTILE: &str = "</pre><script>alert(1)</script><img src=x onerror='a()'>\" & \u{202e}evil\u{200b}";

#[test]
fn a_page_of_hostile_words_has_no_markup_but_ours() {
    let page = |x: &str| Page {
        subject: Subject::Local { base: x.to_owned(), head: x.to_owned() },
        outcome: Outcome::RulesInvalid { errors: vec![x.to_owned()] },
        environments: vec![EnvironmentRow {
            name: "production".parse().unwrap(),
            stage: Some(x.to_owned()),
            target: crate::ids::Target { cluster: "prod".parse().unwrap(), namespace: x.to_owned() },
            change: RowChange::Change {
                digest: None,
                rules: vec![Hunk { path: x.to_owned(), lines: vec![format!("+{x}")] }],
                objects: vec![ObjectChange {
                    diff: crate::manifest::ObjectDiff {
                        key: crate::ids::ObjectKey {
                            group: String::new(),
                            kind: x.to_owned(),
                            namespace: None,
                            name: x.to_owned(),
                        },
                        verb: Verb::Changed,
                        file: Some(x.to_owned()),
                        plus: 1,
                        minus: 0,
                        notable: vec![Notable::Image {
                            container: x.to_owned(),
                            old: Some(x.to_owned()),
                            new: Some(x.to_owned()),
                        }],
                        body: Body::TooLarge(vec![x.to_owned()]),
                        hidden: [(x.to_owned(), 1)].into(),
                    },
                    live: Some(Live::Conflict { held: [(x.to_owned(), vec![x.to_owned()])].into() }),
                    admission: Some(Admission::Conflict { held: [(x.to_owned(), vec![x.to_owned()])].into() }),
                    effect: Some(Effect::Stays { why: x.to_owned() }),
                }],
            },
            consent: Consent::Closed { why: x.to_owned() },
            deployment: Deployment::Held { reason: x.to_owned(), detail: x.to_owned(), lifts: x.to_owned() },
            rendering: None,
            left_out: Vec::new(),
            unasked: Some(x.to_owned()),
            standing: Some(Standing {
                unknown: None,
                drift: vec![Drift {
                    key: ObjectKey { group: String::new(), kind: x.to_owned(), namespace: None, name: x.to_owned() },
                    how: Drifted::Fields { paths: vec![x.to_owned()], held: [(x.to_owned(), Vec::new())].into() },
                    is_touched: false,
                }],
                more: 0,
            }),
            admission_is_required: true,
            policies: vec![PolicyRemark {
                ruling: Ruling::Denies,
                policy: x.to_owned(),
                object: None,
                message: x.to_owned(),
                more: 1,
            }],
            waivers: Vec::new(),
        }],
        notes: vec![x.to_owned()],
        marks: Vec::new(),
        merge_rules: vec![MergeRule { name: x.to_owned(), wanted: 1, given: vec![x.to_owned()], is_met: true }],
        answers: vec![crate::preview::Answer {
            to: x.to_owned(),
            asked: 0,
            answered: Answered::Said { sentence: x.to_owned() },
        }],
    };
    let written = |x: &str, layout| {
        let view = View { layout, ..View::default() };
        write(1, &page(x), &view).unwrap()
    };
    for layout in [Layout::Unified, Layout::Split] {
        let (hostile, plain) = (written(HOSTILE, layout), written("word", layout));
        let marks = |html: &str| html.matches(['<', '>', '"', '\'']).count();
        assert_eq!(marks(&hostile), marks(&plain), "every mark is one of ours");
        assert!(!hostile.contains("<script") && !hostile.contains("<img"));
        assert!(!hostile.contains('\u{202e}') && !hostile.contains('\u{200b}'));
        assert!(hostile.contains("&lt;script&gt;"), "shown as what it is");
    }
}

fn object(kind: &str, name: &str, lines: Vec<String>) -> ObjectChange {
    let key = ObjectKey {
        group: String::new(),
        kind: kind.to_owned(),
        namespace: Some("shop".to_owned()),
        name: name.to_owned(),
    };
    let plus = lines.len();
    let body = Body::Hunks(vec![Hunk { path: "data".to_owned(), lines }]);
    let diff = ObjectDiff {
        key,
        verb: Verb::Changed,
        file: Some("deploy/a.yaml".to_owned()),
        plus,
        minus: 0,
        notable: Vec::new(),
        body,
        hidden: std::collections::BTreeMap::new(),
    };
    ObjectChange { diff, live: None, admission: None, effect: None }
}

fn of(environments: Vec<(&str, Vec<ObjectChange>)>) -> Page {
    let row = |(name, objects): (&str, Vec<ObjectChange>)| EnvironmentRow {
        name: name.parse().unwrap(),
        stage: None,
        target: Target { cluster: "prod".parse().unwrap(), namespace: "shop".to_owned() },
        change: RowChange::Change { digest: None, rules: Vec::new(), objects },
        consent: Consent::NotNeeded,
        deployment: Deployment::Local,
        rendering: None,
        left_out: Vec::new(),
        unasked: None,
        standing: None,
        admission_is_required: false,
        policies: Vec::new(),
        waivers: Vec::new(),
    };
    Page {
        subject: Subject::Local { base: "main".to_owned(), head: "the working tree".to_owned() },
        outcome: Outcome::Compared,
        environments: environments.into_iter().map(row).collect(),
        notes: Vec::new(),
        answers: Vec::new(),
        marks: Vec::new(),
        merge_rules: Vec::new(),
    }
}

/// All pages, each below the size a browser likes.
fn all(page: &Page, find: &str, layout: Layout) -> Vec<String> {
    let view = View { page: None, find: Some(find.to_owned()), layout };
    let writing = Writing::new(1, page, &view);
    let pages: Vec<String> = (0..).map_while(|at| writing.page(at)).collect();
    for page in &pages {
        assert!(page.len() < 2_000_000, "{}", page.len());
    }
    pages
}

#[test]
fn fifty_thousand_objects_are_all_there_in_order_each_once() {
    let lines = || vec!["+image: shop:1.1".to_owned(), "-image: shop:1.0".to_owned()];
    let many = |from: usize| (from..from + 25_000).map(|at| object("ConfigMap", &format!("c{at}-"), lines())).collect();
    let page = of(vec![("staging", many(0)), ("production", many(25_000))]);
    for layout in [Layout::Unified, Layout::Split] {
        let pages = all(&page, "", layout);
        let text = pages.concat();
        let named: Vec<usize> = text
            .split("ConfigMap shop/c")
            .skip(1)
            .map(|rest| rest.split('-').next().unwrap().parse().unwrap())
            .collect();
        assert!(named.iter().copied().eq(0..50_000), "{}", named.len());
        let more = if layout == Layout::Split { "&amp;layout=split" } else { "" };
        let address = |at: usize| format!("?page={at}{more}#e1");
        let begins = (1..=pages.len()).find(|at| pages[0].contains(&address(*at))).expect("the table leads to it");
        assert!(pages[begins - 1].contains("<h2 id=\"e1\">production</h2>"));
    }
    let found = all(&page, "production configmap c49999-", Layout::Unified);
    assert_eq!((found.len(), found[0].matches("<h3>").count()), (1, 1));
    assert!(found[0].contains("1 object is found by <q>production configmap c49999-</q>"));
    assert!(all(&page, "no-such-name", Layout::Unified)[0].contains("No object is found by"));
}

#[test]
fn an_object_larger_than_a_page_goes_on_on_the_next() {
    let lines: Vec<String> = (0..25_000).map(|at| format!("+  key{at}-: \"<{}>\"", "&".repeat(60))).collect();
    let page = of(vec![(
        "production",
        vec![object("ConfigMap", "before", vec!["+a".to_owned()]), object("ConfigMap", "large", lines)],
    )]);
    for layout in [Layout::Unified, Layout::Split] {
        let pages = all(&page, "", layout);
        assert!(pages.len() > 2);
        let text = pages.concat();
        let shown: Vec<usize> =
            text.split("key").skip(1).filter_map(|rest| rest.split('-').next()?.parse().ok()).collect();
        assert!(shown.iter().copied().eq(0..25_000), "{}", shown.len());
        assert_eq!(text.matches("ConfigMap shop/large</code>, continued").count(), pages.len() - 1);
    }
}

#[test]
fn many_environments_and_many_errors_are_paged_too() {
    let names: Vec<String> = (0..3_000).map(|at| format!("edge-{at}")).collect();
    let mut page =
        of(names.iter().map(|name| (name.as_str(), vec![object("Pod", "web", vec!["+a".to_owned()])])).collect());
    page.environments[7].change = RowChange::Failed {
        errors: (0..40_000).map(|at| format!("web.yaml:{at}: has no kind")).collect(),
        objects: Vec::new(),
    };
    let pages = all(&page, "", Layout::Unified);
    let text = pages.concat();
    assert_eq!(text.matches(": has no kind</li>").count(), 40_000);
    assert_eq!(text.matches("<th scope=\"row\">").count(), 3_000);
    assert!(write(1, &page, &View { page: Some(pages.len() + 1), ..View::default() }).is_none());
    assert!(write(1, &page, &View { page: Some(0), ..View::default() }).is_none());
}

#[test]
fn lines_side_by_side_are_beside_what_comes_in_their_place() {
    let lines = [" a: 1", "-b: 2", "-c: 3", "+b: 4", " d"].map(str::to_owned).to_vec();
    let page = of(vec![("production", vec![object("Pod", "web", lines)])]);
    let view = View { layout: Layout::Split, ..View::default() };
    let html = write(1, &page, &view).unwrap();
    let rows: Vec<&str> =
        html.split("<tbody>").nth(2).unwrap().split("</tbody>").next().unwrap().split("</tr>").collect();
    assert_eq!(rows[1], "<tr><td><del><b>-b:</b> 2\n</del></td><td><ins><b>+b:</b> 4\n</ins></td>");
    assert_eq!(rows[2], "<tr><td><del><b>-c:</b> 3\n</del></td><td></td>");
    assert_eq!(rows[3], "<tr><td><span> d\n</span></td><td><span> d\n</span></td>");
}
