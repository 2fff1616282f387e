//! `mdetr-monitor`: watches cameras for what sentences describe.
//!
//! Exit codes: 0 it was told to stop; 1 it failed; 2 the arguments or the configuration are wrong.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use mdetr_monitor::config::Role;
use mdetr_monitor::fleet::{Change, FleetTopics, read_watch};
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

/// What is done with a group's document.
#[derive(Debug, Subcommand)]
enum Action {
    /// Say what the document is, and which programs have taken it or refused it
    Status,
    /// Let the group watch for what a file says: all of it, or first a share that tries it
    Publish {
        /// A TOML file with tables `[[watch]]`, such as configs/fleet.toml
        file: PathBuf,
        /// Share of the group that tries it, 0 to 1; all of it without
        #[arg(long)]
        share: Option<f64>,
    },
    /// Let another share of the group try the candidate
    Share {
        /// 0 to 1
        share: f64,
    },
    /// Let all of the group watch for what the candidate says
    Promote,
    /// Give the candidate up, or, if there is none, go back to what was watched for before
    Rollback,
}

#[derive(Debug, Args)]
struct Watch {
    /// The configuration, a TOML file such as configs/monitor.toml
    config: PathBuf,
    /// Watch no cameras: keep and show what many sites find, as [hub] in the configuration says
    #[arg(long)]
    hub: bool,
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
    /// Change what a group of programs watches for, by a document at their broker
    Fleet {
        /// A configuration: `[mqtt]` says where the broker is, `[fleet]` the topics
        #[arg(long)]
        config: PathBuf,
        /// The group; that of the configuration without
        #[arg(long)]
        group: Option<String>,
        #[command(subcommand)]
        action: Action,
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
        (
            Some(Command::Fleet {
                config,
                group,
                action,
            }),
            _,
        ) => fleet(&config, group.as_deref(), action),
        (None, Some(watch)) => run(&watch.config, watch.hub),
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

fn fleet(path: &std::path::Path, group: Option<&str>, action: Action) -> ExitCode {
    let change = match action {
        Action::Status => Ok(None),
        Action::Publish { file, share } => {
            read_watch(&file).map(|watch| Some(Change::Publish { watch, share }))
        }
        Action::Share { share } => Ok(Some(Change::Share(share))),
        Action::Promote => Ok(Some(Change::Promote)),
        Action::Rollback => Ok(Some(Change::RollBack)),
    };
    let document = config::read(path).map_err(|error| error.to_string());
    let asked = document.and_then(|file| {
        let document = file.document;
        let group = group.map(str::to_owned);
        let fleet = document.fleet;
        let own = fleet.as_ref().and_then(|fleet| fleet.group.clone());
        let group = group
            .or(own)
            .ok_or("--group: expected the name of a group")?;
        if !config::is_name(&group) {
            return Err(format!(
                "--group: expected letters, digits, - and _, found {group:?}"
            ));
        }
        let place = path.display();
        let broker = document
            .mqtt
            .ok_or(format!("{place}: there is no [mqtt]"))?;
        let prefix = fleet.map_or_else(config::default_fleet, |fleet| fleet.topic_prefix);
        Ok((broker, FleetTopics::new(&prefix, &group), change?))
    });
    let (broker, topics, change) = match asked {
        Ok(asked) => asked,
        Err(error) => {
            eprintln!("mdetr-monitor: {error}");
            return ExitCode::from(2);
        }
    };
    match program::operate(&broker, topics, change) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("mdetr-monitor: {error}");
            ExitCode::FAILURE
        }
    }
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

fn run(path: &std::path::Path, hub: bool) -> ExitCode {
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
    if hub != file.document.hub.is_some() {
        let remedy = match hub {
            true => "there is no [hub]: add it, as configs/hub.toml has it",
            false => "it has [hub]: start it with --hub",
        };
        eprintln!("mdetr-monitor: {}: {remedy}", path.display());
        return ExitCode::from(2);
    }
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
