//! Warnings, on standard error.

/// Prints a warning to standard error.
pub fn print(text: &str) {
    eprintln!("mdetr: warning: {text}");
}

/// Warns of a last line that was cut short, if there is one.
pub fn of_cut(path: &std::path::Path, cut: Option<usize>) {
    if let Some(line) = cut {
        let path = path.display();
        print(&format!(
            "{path}: line {line}, the last, was cut short and is left out"
        ));
    }
}
