//! Whichever way a test ends, the parts it started end with it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::parts::{Postgres, Progress};
use crate::support::child::{TestChild, say};

/// Starts a part, says where it keeps its files, and ends as it was told.
pub(crate) fn child(arguments: &[String]) {
    let [way] = arguments else { panic!("{arguments:?}") };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let part = Postgres::start(&Progress::silent()).await.unwrap();
        say(&part.query("postgres", "SHOW data_directory").await.unwrap());
        match way.as_str() {
            "by a panic" => panic!("as it was told"),
            "with the part in a static" => std::mem::forget(part),
            _ => std::future::pending::<()>().await,
        }
    });
}

/// The process of the server that has this folder.
fn process_of(data: &str) -> String {
    let file = fs::read_to_string(Path::new(data).join("postmaster.pid")).unwrap();
    file.lines().next().unwrap().to_owned()
}

fn is_there(process: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // An orphan that ended stays visible until whoever adopted it has looked.
    !state.is_empty() && !state.contains(") Z ") && !state.contains(") X ")
}

#[test]
fn a_part_ends_with_the_test_that_started_it_whichever_way_that_ends() {
    let ways = [
        ("by Ctrl-C", Some(Signal::INT)),
        ("by being killed", Some(Signal::KILL)),
        ("by a panic", None),
        ("with the part in a static", None),
    ];
    for (way, signal) in ways {
        // Whatever runs without a terminal, behind an `&`, has been told to ignore Ctrl-C.
        let heeds = ["env", "--default-signal=INT"].map(str::to_owned);
        let mut child = TestChild::start_under(&heeds, "part", &[way]);
        let process = process_of(&child.hear());
        if let Some(signal) = signal {
            assert!(is_there(&process), "{way}: it runs while the test does");
            child.signal(signal);
        }
        assert_eq!(child.all_it_says(), [""; 0], "{way}");
        let deadline = Instant::now() + Duration::from_secs(20);
        while is_there(&process) {
            assert!(Instant::now() < deadline, "{way}: {process} is still there");
            std::thread::yield_now();
        }
    }
}
