//! The one place that writes to the terminal.

use std::io::{self, Write};

/// Writes to standard output, and ends the line. A reader that went away (`| head`) is no failure.
pub fn say(text: &str) {
    write_line(io::stdout().lock(), text);
}

/// Writes to standard error, and ends the line.
pub fn complain(text: &str) {
    write_line(io::stderr().lock(), text);
}

/// Nobody is left to be told when writing fails: the reader closed the pipe, or the terminal is gone.
fn write_line(mut to: impl Write, text: &str) {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    drop(to.write_all(text.as_bytes()).and_then(|()| to.write_all(end.as_bytes())).and_then(|()| to.flush()));
}
