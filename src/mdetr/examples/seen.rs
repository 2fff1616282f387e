//! Sees a picture once, keeps what was seen in a file, and asks it later.
//!
//!     cargo run --release -p mdetr --example seen -- keep photo.png photo.seen
//!     cargo run --release -p mdetr --example seen -- ask photo.seen "all cones" "[a ball] left of a cube"
//!
//! The model is the bundled one, or the directory that MDETR_MODEL names; it has to be the same both times.

use std::error::Error;
use std::fs;

use mdetr::seen::TokenPrecision;
use mdetr::{Frame, Grounder, GrounderOptions, Query};

mod answers;

const HELP: &str = "Usage: seen keep PICTURE FILE
       seen ask FILE SENTENCE...

Keeps what the model sees of a picture in FILE, or asks such a file. MDETR_MODEL names another model than
the bundled one.";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let model = std::env::var("MDETR_MODEL").unwrap_or("models/tabletop".to_owned());
    let load = || Grounder::load(&model, GrounderOptions::default());
    match args[..] {
        ["keep", picture, file] => {
            let image = image::open(picture).map_err(|error| format!("{picture}: {error}"))?;
            let image = image.to_rgb8();
            let frame = Frame::rgb(image.width(), image.height(), image.as_raw())?;
            let bytes = load()?.see(&frame)?.to_bytes(TokenPrecision::Fp16)?;
            fs::write(file, bytes).map_err(|error| format!("{file}: {error}"))?;
        }
        ["ask", file, first, ref others @ ..] => {
            let bytes = fs::read(file).map_err(|error| format!("{file}: {error}"))?;
            let grounder = load()?;
            let seen = grounder.restore(&bytes)?;
            let texts = [&[first], others].concat();
            let queries = (1..).zip(texts);
            let queries = queries.map(|(number, text)| Query::parse(format!("q{number}"), text));
            let asked = grounder.encode(queries.collect::<Result<_, _>>()?)?;
            for (result, _) in grounder.ask(&seen, &asked)? {
                answers::print(&result);
            }
        }
        _ => println!("{HELP}"),
    }
    Ok(())
}
