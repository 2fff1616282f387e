//! Looks for sentences in one picture and prints what it finds.
//!
//!     cargo run --release -p mdetr --example detect -- photo.png "all cones" "[a ball] left of a cube"
//!
//! The model is the bundled one, or the directory that MDETR_MODEL names.

use std::error::Error;

use mdetr::{Frame, Grounder, GrounderOptions, Query};

mod answers;

const HELP: &str = "Usage: detect PICTURE SENTENCE...

Prints the boxes of what the sentences describe: x, y, width, height in pixels, score, words.
Words in [brackets] are reported alone. MDETR_MODEL names another model than the bundled one.";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, sentences @ ..] = &args[..] else {
        println!("{HELP}");
        return Ok(());
    };
    if path == "--help" || sentences.is_empty() {
        println!("{HELP}");
        return Ok(());
    }

    let model = std::env::var("MDETR_MODEL").unwrap_or("models/tabletop".to_owned());
    let grounder = Grounder::load(model, GrounderOptions::default())?;
    eprintln!("{}", grounder.engine().reason);

    let numbered = (1..).zip(sentences);
    let queries = numbered.map(|(number, sentence)| Query::parse(format!("q{number}"), sentence));
    grounder.set_queries(queries.collect::<Result<_, _>>()?)?;

    let picture = image::open(path)
        .map_err(|error| format!("{path}: {error}"))?
        .to_rgb8();
    let frame = Frame::rgb(picture.width(), picture.height(), picture.as_raw())?;
    for result in grounder.ground(&frame)?.queries {
        answers::print(&result);
    }
    Ok(())
}
