//! A program that a test writes.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes a shell script that can be run at once.
///
/// A child writes it: where this process had it open for writing, another test that starts a program in the same moment
/// would hand the open file on to it, and nobody could run the script until that program has begun ("text file busy").
pub(crate) fn write(path: &Path, script: &str) {
    let mut command = Command::new("sh");
    command.args(["-c", "cat >\"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    write!(child.stdin.take().unwrap(), "#!/bin/sh\n{script}\n").unwrap();
    assert!(child.wait().unwrap().success(), "{} cannot be written", path.display());
}
