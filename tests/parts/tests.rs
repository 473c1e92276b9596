//! What can be told of the parts without a minute of starting them.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::account::find;
use super::folder::{Folder, sweep};
use super::kubeconfig::{kubeconfig, signing_key};
use super::launch::Launch;
use super::ports::{PortTaken, again_if_taken, free_port};
use super::process::Process;

fn shell(folder: &Folder, script: &str) -> Process {
    let launch = Launch::of("shell", PathBuf::from("/bin/sh"), folder.path()).arguments(["-c", script]);
    Process::start(&launch).unwrap()
}

fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "it does not happen");
        thread::yield_now();
    }
}

fn line_of(folder: &Folder, name: &str) -> Option<String> {
    let text = fs::read_to_string(folder.path().join(name)).ok()?;
    text.strip_suffix('\n').map(str::to_owned)
}

/// An orphan that was killed stays visible until whoever adopted it has looked.
fn is_gone(process: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    state.is_empty() || state.contains(") Z ") || state.contains(") X ")
}

#[test]
fn a_process_outlives_the_thread_that_asked_for_it() {
    let folder = Folder::new("test").unwrap();
    let script = "echo begun > begun; until test -e go; do :; done; echo done > done; exec sleep 600";
    let process = thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let process = shell(&folder, script);
            until(|| line_of(&folder, "begun"));
            process
        });
        asked.join().unwrap()
    });
    fs::write(folder.path().join("go"), "").unwrap();
    until(|| line_of(&folder, "done"));
    drop(process);
}

#[test]
fn a_process_ends_with_its_value_and_so_does_what_it_started() {
    let folder = Folder::new("test").unwrap();
    let process = shell(&folder, "sleep 600 & echo $! > child; wait");
    let id = process.id().to_string();
    let child = until(|| line_of(&folder, "child"));
    drop(process);
    assert!(is_gone(&id));
    until(|| is_gone(&child).then_some(()));
}

#[tokio::test]
async fn a_process_that_ends_too_soon_is_an_error_with_its_last_words() {
    let folder = Folder::new("test").unwrap();
    let mut process = shell(&folder, "echo no such file >&2; exit 3");
    let error = process.until_ready(async || anyhow::bail!("nobody answers")).await.unwrap_err();
    assert_eq!(format!("{error:#}"), "shell ended with exit status: 3; its log ends:\nno such file");
}

#[tokio::test]
async fn a_part_whose_port_was_taken_is_started_again() {
    let folder = Folder::new("test").unwrap();
    let mut starts = 0;
    let outcome = again_if_taken(async || {
        starts += 1;
        let script =
            if starts < 3 { "echo bind: address already in use; sleep 600" } else { "echo listens; sleep 600" };
        let mut process = shell(&folder, script);
        let log = folder.path().join("shell.log");
        let ask = async || match fs::read_to_string(&log)?.ends_with("listens\n") {
            true => Ok(()),
            false => Err(anyhow::anyhow!("not yet")),
        };
        process.until_ready(ask).await
    })
    .await;
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(starts, 3);

    let always = again_if_taken(async || anyhow::Result::<()>::Err(PortTaken.into())).await;
    assert!(always.unwrap_err().is::<PortTaken>());
}

#[tokio::test]
async fn a_failed_program_says_what_it_said() {
    let folder = Folder::new("test").unwrap();
    let launch = |script| Launch::of("shell", PathBuf::from("/bin/sh"), folder.path()).arguments(["-c", script]);
    assert_eq!(launch("echo $0 $HOME").run().await.unwrap(), format!("/bin/sh {}", folder.path().display()));
    let error = launch("echo this; echo that >&2; exit 2").run().await.unwrap_err();
    assert_eq!(error.to_string(), "shell ended with exit status: 2:\nthat\nthis");
}

#[test]
fn nobody_elses_folder_is_swept() {
    let place = tempfile::tempdir().unwrap();
    let new = |name: &str| {
        let folder = place.path().join(name);
        fs::create_dir_all(folder.join("data")).unwrap();
        folder
    };
    let abandoned = new("bascule-part-abandoned");
    fs::write(abandoned.join("owner.lock"), "").unwrap();
    let owned = new("bascule-part-owned");
    let lock = fs::File::create(owned.join("owner.lock")).unwrap();
    lock.lock().unwrap();
    let (just_made, other) = (new("bascule-part-just-made"), new("other"));

    sweep(place.path());
    assert_eq!([abandoned, owned, just_made, other].map(|folder| folder.exists()), [false, true, true, true]);
}

#[test]
fn ports_are_given_once() {
    let ports: std::collections::BTreeSet<_> = (0..50).map(|_| free_port().unwrap()).collect();
    assert_eq!(ports.len(), 50);
}

#[test]
fn accounts_are_found_by_their_whole_name() {
    let people = "root:x:0:0:root:/root:/bin/sh\n\npostgres-old:x:5:6::/:\npostgres:x:101:104:,,,:/var:/bin/sh\n";
    assert_eq!(find(people, "postgres").unwrap().setpriv_arguments()[..2], ["--reuid=101", "--regid=104"]);
    assert!(find(people, "nobody").is_none());
}

#[test]
fn a_kubeconfig_quotes_its_user() {
    let text = kubeconfig("https://127.0.0.1:1", "CA", "system:serviceaccount:a:b", "secret");
    assert!(text.contains("- name: \"system:serviceaccount:a:b\"\n  user:\n    token: secret\n"), "{text}");
    assert!(signing_key().starts_with("-----BEGIN EC PRIVATE KEY-----\nMDECAQEEI"));
}
