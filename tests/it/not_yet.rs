//! What the contract has and this version does not build is refused by name, never passed over and never taken for a
//! mistake. Keys of the files are cases in `tests/cases`.

use std::process::Command;

/// The lines of the contract's table of commands that are not built.
const COMMANDS: &str = "
agent
connect work
login https://bascule.example.com
wait production --commit 0123456
drift production
sync production --reason x
heal production
adopt production
rollback production --to 3
resume production
freeze production --reason x
unfreeze production
approve production b1:01234567
environments list
environments forget production
clusters move prod
jobs show 3
diff --live
audit report policy-changes
audit report access
audit report emergencies
audit report gaps
audit report delivery
";

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
