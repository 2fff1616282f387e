//! The `mdetr` command.
//!
//! Exit codes: 0 all is well; 1 some of the work failed; 2 nothing could be done (arguments, model,
//! queries, data set).
//!
//! Paths may be of any bytes, in every option; where they are printed or written as JSON, what is not
//! UTF-8 becomes U+FFFD. No file is replaced that the same part of the command did not write.

mod bundle;
mod completions;
mod detect;
#[cfg(feature = "eval")]
mod disturb;
#[cfg(feature = "eval")]
mod eval;
#[cfg(feature = "eval")]
mod evaluator;
mod import;
#[cfg(any(
    test,
    not(all(
        feature = "eval",
        feature = "kserve",
        feature = "past",
        feature = "pull"
    ))
))]
mod left_out;
mod man;
mod model;
#[cfg(feature = "pull")]
mod models;
mod output;
#[cfg(feature = "past")]
mod past;
mod picture;
mod plan;
#[cfg(feature = "eval")]
mod predict;
mod progress;
#[cfg(feature = "pull")]
mod pull;
#[cfg(feature = "eval")]
mod scenes;
#[cfg(feature = "eval")]
mod score;
#[cfg(feature = "kserve")]
mod serve;
mod sheet;
mod size;
#[cfg(feature = "eval")]
mod stories;
mod summary;
mod triton;
mod warning;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Find what a sentence describes, in pictures and video.
#[derive(Debug, Parser)]
#[command(name = "mdetr", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look for what sentences describe, in pictures.
    Detect(detect::DetectArgs),
    /// Check models, and make them ready for servers.
    #[command(subcommand)]
    Bundle(bundle::BundleCommand),
    Import(import::ImportArgs),
    #[cfg(feature = "pull")]
    Pull(pull::PullArgs),
    #[cfg(not(feature = "pull"))]
    #[command(hide = true)]
    Pull(left_out::LeftOut),
    #[cfg(feature = "pull")]
    Models(models::ModelsArgs),
    #[cfg(not(feature = "pull"))]
    #[command(hide = true)]
    Models(left_out::LeftOut),
    /// Measure how well a model grounds a data set, or score a file of predictions.
    #[cfg(feature = "eval")]
    Eval(eval::EvalArgs),
    #[cfg(not(feature = "eval"))]
    #[command(hide = true)]
    Eval(left_out::LeftOut),
    /// Draw scenes of the tabletop world, with captions and ground truth.
    #[cfg(feature = "eval")]
    #[command(subcommand)]
    Scenes(scenes::ScenesCommand),
    #[cfg(not(feature = "eval"))]
    #[command(hide = true)]
    Scenes(left_out::LeftOut),
    #[cfg(feature = "past")]
    See(past::SeeArgs),
    #[cfg(not(feature = "past"))]
    #[command(hide = true)]
    See(left_out::LeftOut),
    #[cfg(feature = "past")]
    Past(past::PastArgs),
    #[cfg(not(feature = "past"))]
    #[command(hide = true)]
    Past(left_out::LeftOut),
    #[cfg(feature = "kserve")]
    Serve(serve::ServeArgs),
    #[cfg(not(feature = "kserve"))]
    #[command(hide = true)]
    Serve(left_out::LeftOut),
    /// Build, list and remove TensorRT's plans.
    #[command(subcommand)]
    Plan(plan::PlanCommand),
    /// Sum up a file of mdetr/1 lines, query by query.
    Summary(summary::SummaryArgs),
    /// Put several pictures on one.
    Sheet(sheet::SheetArgs),
    /// Write what a shell needs to complete commands to standard output.
    Completions(completions::CompletionsArgs),
    /// Write manual pages, one for each command, to a directory.
    Man(man::ManArgs),
}

/// Exit code for work that was not begun.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let code_of_errors = match command {
        #[cfg(feature = "eval")]
        Command::Scenes(_) => ExitCode::FAILURE,
        _ => ExitCode::from(USAGE),
    };
    let result = match command {
        Command::Detect(args) => args.run(),
        Command::Bundle(command) => command.run(),
        Command::Import(args) => args.run(),
        Command::Pull(args) => args.run(),
        Command::Models(args) => args.run(),
        Command::Eval(args) => args.run(),
        Command::Scenes(command) => command.run(),
        Command::See(args) => args.run(),
        Command::Past(args) => args.run(),
        Command::Serve(args) => args.run(),
        Command::Plan(command) => command.run(),
        Command::Summary(args) => args.run(),
        Command::Sheet(args) => args.run(),
        Command::Completions(args) => args.run(Cli::command()),
        Command::Man(args) => args.run(Cli::command()),
    };
    result.unwrap_or_else(|error| {
        eprintln!("mdetr: {error:#}");
        code_of_errors
    })
}
