//! What the contract has and this version does not build is refused by name, never passed over and never taken for a
//! mistake. Keys of the files are cases in `tests/cases`.

use std::process::Command;

/// The lines of the contract's table of commands that are not built.
const COMMANDS: &str = "
approve production b1:01234567
clusters move prod
diff --live
audit report policy-changes
audit report access
audit report gaps
audit report delivery
";

/// The lines of the contract's table of commands that are built; those that read a server's or its host's memory first.
const BUILT: (&str, &str) = (
    "
status
wait
drift
heal
adopt
sync
freeze
unfreeze
emergency
rollback
resume
history
environments list
environments forget
environments destroy
clusters list
preview show
audit list
audit show
audit verify
audit report
deliveries list
deliveries show
jobs list
jobs show
token list
repositories list
restored show
",
    "
init
check
diff
connect
login
logout
serve
agent
migrate
audit export
deliveries replay
jobs retry
token create
token revoke
repositories accept
restored declare
restored confirm
schema
completions
",
);

#[test]
fn every_command_of_the_contract_is_built_or_refused_and_what_reads_speaks_json() {
    for (lines, reads) in [(BUILT.0, true), (BUILT.1, false)] {
        for line in lines.lines().filter(|line| !line.is_empty()) {
            let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
            let ran = command.args(line.split(' ')).arg("--help").output().unwrap();
            let said = String::from_utf8_lossy(&ran.stdout);
            assert_eq!(ran.status.code(), Some(0), "{line}: {said}");
            assert!(!reads || said.contains("--output"), "{line}: {said}");
        }
    }
    // Nothing is typed that is in neither list.
    let ran = Command::new(env!("CARGO_BIN_EXE_bascule")).arg("--help").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let (_, commands) = said.split_once("Commands:\n").unwrap();
    let typed = commands.lines().take_while(|line| !line.is_empty());
    let typed = typed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|word| !word.is_empty());
    let known = format!("{}{}help\n", BUILT.0, BUILT.1);
    let unknown: Vec<&str> =
        typed.filter(|word| !known.lines().any(|line| line.split(' ').next() == Some(*word))).collect();
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn commands_of_a_later_version_are_refused_by_name() {
    for line in COMMANDS.lines().filter(|line| !line.is_empty()) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
        let ran = command.args(line.split(' ')).env("BASCULE_TOKEN", "bsc_x").output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{line}: {said}");
        assert!(said.contains("is not in this version"), "{line}: {said}");
    }
}
