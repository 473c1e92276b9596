//! What one reads at three in the morning: every word that an environment can be held for has its heading.

use bascule::sync::HoldReason;

/// Words of the list that nothing sets yet.
const LATER: [HoldReason; 0] = [];

#[test]
fn every_reason_to_hold_has_its_heading_and_no_other_has_one() {
    let page = super::page("operations");
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let mut reasons: Vec<String> =
        HoldReason::ALL.iter().filter(|reason| !LATER.contains(reason)).map(|reason| format!("`{reason}`")).collect();
    reasons.sort_unstable();
    let mut written: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    written.sort_unstable();
    assert_eq!(written, reasons);
    // Each says what lifts it, as it is printed with the hold.
    let environment = "ENV".to_lowercase().parse().unwrap();
    for reason in HoldReason::ALL.into_iter().filter(|reason| !LATER.contains(reason)) {
        let section = page.split(&format!("### `{reason}`\n")).nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap().split("\n### ").next().unwrap();
        let line = reason.lifted_by(&environment, None, 0);
        let words = line.split(' ').nth(1).unwrap();
        let typed = match line.strip_suffix(" env") {
            Some(command) if !line.starts_with('/') => format!("{command} ENV"),
            _ => format!("/bascule {words} ENV"),
        };
        let is_by_itself = reason == HoldReason::ClusterAway;
        assert!(is_by_itself || section.contains(&typed), "{reason}: {line}\n{section}");
    }
}
