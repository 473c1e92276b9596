//! Long text, a screen at a time.

use std::ffi::OsStr;
use std::io::{IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

use super::print;

/// Whether somebody looks at what is printed.
pub fn is_watched() -> bool {
    std::io::stdout().is_terminal()
}

/// Shows text through the person's pager (`PAGER`, else `less`), or prints it where nobody watches or there is none.
/// Text of one screen is printed.
pub fn show(text: &str, pager: Option<&str>) {
    if !is_watched() || !through(text, pager.unwrap_or("less")) {
        print::say(text);
    }
}

/// `false` when the pager could not be started. What it does with the text afterwards is between it and the person.
fn through(text: &str, pager: &str) -> bool {
    // `PAGER` holds a command line, as for git.
    let mut command = Command::new("sh");
    command.args([OsStr::new("-c"), OsStr::new(pager)]).stdin(Stdio::piped());
    // Quit on one screen, keep colours, leave the text on the screen: as git asks for.
    command.env("LESS", "FRX").env("LV", "-c");
    if pager.trim().is_empty() || pager.trim() == "cat" {
        return false;
    }
    let Ok(mut child) = command.spawn() else { return false };
    if let Some(mut stdin) = child.stdin.take() {
        // A pager that is left early closes the pipe.
        let _ = stdin.write_all(text.as_bytes());
    }
    // 127 is the shell's "there is no such program".
    child.wait().is_ok_and(|status| status.code() != Some(127))
}
