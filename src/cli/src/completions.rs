//! `mdetr completions`: what a shell needs to complete commands.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Command};
use clap_complete::Shell;

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell that is to complete commands.
    shell: Shell,
}

impl CompletionsArgs {
    /// Writes the script for `command` and its subcommands.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn run(&self, mut command: Command) -> Result<ExitCode> {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        match io::stdout().write_all(&script) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(error).context("cannot write standard output")
            }
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}
