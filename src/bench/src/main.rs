//! Measures the library and the elements for `make bench`.
//!
//! Each command prints JSON, raw numbers for tools/bench to sum up. Times are in milliseconds.

mod element;
mod fleet;
mod frames;
mod model;
mod past;
mod pipeline;
mod serve;
mod streams;
mod usage;

use std::process::ExitCode;

use clap::Parser;

/// Measures the library and the elements.
#[derive(Debug, Parser)]
#[command(name = "mdetr-bench", version, arg_required_else_help = true)]
enum Command {
    /// Render frames of the tabletop world into a file of packed RGB.
    Frames(frames::FramesArgs),
    /// Ground frames as told by lines of JSON on standard input.
    Serve(serve::ServeArgs),
    /// CPU time of the element, with a model that does next to nothing.
    Element(element::ElementArgs),
    /// A day of a camera, kept and asked.
    Past(past::PastArgs),
    /// Live streams in one process.
    Streams(streams::StreamsArgs),
    /// Devices that tell hubs of events, while hub and broker die.
    Fleet(fleet::FleetArgs),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Frames(args) => args.run(),
        Command::Serve(args) => args.run(),
        Command::Element(args) => args.run(),
        Command::Past(args) => args.run(),
        Command::Streams(args) => args.run(),
        Command::Fleet(args) => args.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mdetr-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
