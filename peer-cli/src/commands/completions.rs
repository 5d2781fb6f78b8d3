//! `peer-cli completions`: a script that teaches a shell our words.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;

/// Print the completion script for a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "For bash: peer-cli completions bash > ~/.local/share/bash-completion/completions/peer-cli"
)]
pub(crate) struct Arguments {
    /// The shell to complete in
    shell: Shell,
}

/// The script.
pub(crate) fn script(arguments: &Arguments) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "peer-cli",
        &mut script,
    );
    script
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(&Arguments { shell: *shell })).unwrap();
            for word in [
                "send-file",
                "receive-file",
                "transfers",
                "discard",
                "completions",
                "bench",
                "relay-only",
            ] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
