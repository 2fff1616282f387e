//! Commands that a build leaves out.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

/// What is typed behind a command that is left out.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct LeftOut {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl LeftOut {
    /// # Errors
    /// Always; the error names the remedy.
    pub fn run(self) -> Result<ExitCode> {
        bail!(
            "mdetr was built without this command: build it with `cargo build --release -p mdetr-cli`"
        )
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    enum Command {
        Eval(LeftOut),
    }

    #[test]
    fn any_arguments_give_the_remedy() {
        for line in ["eval", "eval set --json", "eval --help", "eval rec -- -x"] {
            let parsed = Command::try_parse_from(["mdetr"].into_iter().chain(line.split(' ')));
            let Command::Eval(left_out) = parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
            let error = left_out.run().unwrap_err().to_string();
            assert!(
                error.contains("cargo build --release -p mdetr-cli"),
                "{error}"
            );
        }
    }
}
