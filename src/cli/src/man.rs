//! `mdetr man`: manual pages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Command};
use clap_mangen::Man;

use crate::output;

/// The first line of a page, a comment, by which pages of an earlier run are known.
const MARK: &str = r#".\" Written by mdetr man"#;

#[derive(Debug, Args)]
pub struct ManArgs {
    /// Directory to write to, such as ~/.local/share/man/man1; it is made if need be. Pages of an
    /// earlier run are replaced, and no other file.
    dir: PathBuf,
}

impl ManArgs {
    /// Writes a page for `command` and for each of its subcommands.
    ///
    /// # Errors
    /// The directory cannot be made, or a page cannot be written.
    pub fn run(&self, command: Command) -> Result<ExitCode> {
        fs::create_dir_all(&self.dir)
            .with_context(|| format!("{}: the directory cannot be created", self.dir.display()))?;
        let mut command = command;
        command.build();
        write_pages(&self.dir, &command)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn write_pages(dir: &Path, command: &Command) -> Result<()> {
    // `mdetr help COMMAND` shows what the command's own page says.
    let documented = |child: &&Command| !child.is_hide_set() && child.get_name() != "help";
    for child in command.get_subcommands().filter(documented) {
        write_pages(dir, child)?;
    }
    let page = Man::new(command.clone());
    let mut text = format!("{MARK}\n").into_bytes();
    page.render(&mut text)?;
    let is_ours = |file| output::first_line(file) == MARK.as_bytes();
    output::write(&dir.join(page.get_filename()), &text, is_ours)
}
