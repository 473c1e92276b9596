//! `bascule completions`.

use clap::CommandFactory;
use clap_complete::Shell;

/// Bash: `bascule completions bash > /etc/bash_completion.d/bascule`.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// Which shell.
    pub shell: Shell,
}

impl Completions {
    /// The shell's script.
    pub fn script(&self) -> String {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Arguments::command(), "bascule", &mut script);
        String::from_utf8_lossy(&script).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = Completions { shell }.script();
            for command in crate::cli::Arguments::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
