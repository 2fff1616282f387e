//! Progress on standard error.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar whose length and message change with what is done; hidden if standard error is not a terminal.
pub fn steps() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {wide_msg}")
        .expect("the template is valid");
    ProgressBar::new(1).with_style(style)
}

/// A bar over `length` of these things; hidden if standard error is not a terminal.
pub fn bar(length: usize, things: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = format!("{{bar:30}} {{pos}}/{{len}} {things}, {{per_sec}}, {{eta}} left");
    let style = ProgressStyle::with_template(&template).expect("the template is valid");
    ProgressBar::new(length as u64).with_style(style)
}

/// A bar over bytes, whose length is set later; hidden if standard error is not a terminal.
pub fn bytes() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left")
            .expect("the template is valid");
    ProgressBar::new(1).with_style(style)
}
