//! `mdetr-monitor`: watches cameras for what sentences describe.
//!
//! Exit codes: 0 it was told to stop; 1 it failed; 2 the arguments or the configuration are wrong.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use mdetr_monitor::config::Role;
use mdetr_monitor::{config, http, program};
use tracing_subscriber::EnvFilter;

/// Watches cameras for what sentences describe.
///
/// The page is at http://127.0.0.1:8710 unless the configuration says otherwise.
#[derive(Debug, Parser)]
#[command(
    name = "mdetr-monitor",
    version,
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    watch: Option<Watch>,
}

#[derive(Debug, Args)]
struct Watch {
    /// The configuration, a TOML file such as configs/monitor.toml
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what is wrong with a configuration, and watch nothing
    Check {
        /// The configuration
        config: PathBuf,
    },
    /// Make a token for somebody who may use the page from elsewhere
    Token {
        /// Whose it is
        name: String,
        /// What it allows: `viewer`, to look; `admin`, to change
        #[arg(long, default_value = "viewer", value_parser = role)]
        role: Role,
    },
}

fn role(text: &str) -> Result<Role, String> {
    match text {
        "viewer" => Ok(Role::Viewer),
        "admin" => Ok(Role::Admin),
        other => Err(format!("expected viewer or admin, found {other:?}")),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match (cli.command, cli.watch) {
        (Some(Command::Check { config }), _) => check(&config),
        (Some(Command::Token { name, role }), _) => token(&name, role),
        (None, Some(watch)) => run(&watch.config),
        // clap prints the help instead.
        (None, None) => ExitCode::from(2),
    }
}

fn check(path: &std::path::Path) -> ExitCode {
    let file = match config::read(path) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("mdetr-monitor: {error}");
            return ExitCode::from(2);
        }
    };
    let faults = config::check(&file.document);
    for fault in &faults {
        eprintln!("mdetr-monitor: {}: {fault}", path.display());
    }
    if !faults.is_empty() {
        return ExitCode::from(2);
    }
    let cameras = &file.document.cameras;
    let count = |of: fn(&config::Camera) -> usize| cameras.iter().map(of).sum::<usize>();
    println!(
        "{}: {} cameras, {} queries, {} rules: nothing wrong",
        path.display(),
        cameras.len(),
        count(|camera| camera.queries.len()),
        count(|camera| camera.rules.len()),
    );
    ExitCode::SUCCESS
}

fn token(name: &str, role: Role) -> ExitCode {
    let (token, sha256) = http::token::generate();
    let role = match role {
        Role::Viewer => "viewer",
        Role::Admin => "admin",
    };
    eprintln!("The token of {name}; it is shown only now:");
    println!("{token}");
    eprintln!("\nFor the configuration:\n");
    eprintln!("[[http.token]]\nname = {name:?}\nrole = \"{role}\"\nsha256 = \"{sha256}\"");
    ExitCode::SUCCESS
}

fn run(path: &std::path::Path) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // The journal has times of its own.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().init();
    } else {
        log.init();
    }
    let file = match config::read(path) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("mdetr-monitor: {error}");
            return ExitCode::from(2);
        }
    };
    match program::run(path, file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(program::RunError::Refused(error)) => {
            eprintln!("mdetr-monitor: {}: {error}", path.display());
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("mdetr-monitor: {error}");
            ExitCode::FAILURE
        }
    }
}
