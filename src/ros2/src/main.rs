//! `mdetr-ros2`: the ROS 2 node.
//!
//! Exit codes: 0 it was told to stop; 1 it failed; 2 the arguments are wrong.

use std::process::ExitCode;

use mdetr_ros2::args::{self, Asked};
use mdetr_ros2::{BusError, NodeError};

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    let failed = |error: &dyn std::fmt::Display, code: u8| {
        eprintln!("mdetr-ros2: {error}");
        ExitCode::from(code)
    };
    match args::parse(arguments) {
        Err(error) => failed(&error, 2),
        Ok(Asked::Help) => {
            print!("{}", mdetr_ros2::help());
            ExitCode::SUCCESS
        }
        Ok(Asked::Version) => {
            println!("mdetr-ros2 {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Ok(Asked::Recover { from, to }) => match mdetr_ros2::recover(&from, &to) {
            Ok(found) => {
                println!("{found}");
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error, 1),
        },
        Ok(Asked::Run(arguments)) => match mdetr_ros2::run(&arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(
                error @ (NodeError::Parameter(_)
                | NodeError::Tap(_)
                | NodeError::Bus(BusError::Name(_) | BusError::Environment { .. })),
            ) => failed(&error, 2),
            Err(error) => failed(&error, 1),
        },
    }
}
