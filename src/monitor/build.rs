//! Files of the page are compiled in: a new one compiles the program anew.

fn main() {
    println!("cargo::rerun-if-changed=page");
}
