//! Goes through a directory of pictures as through a video, and changes the queries half way.
//!
//!     cargo run --release -p mdetr --example standing_queries -- frames "all cones" "a red ball"
//!
//! Texts are encoded when queries are set, not for each frame. While another thread sets others, frames are
//! answered with the old ones; each result says with which revision of the queries it was made.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use mdetr::{Frame, Grounder, GrounderOptions, Query};

const HELP: &str = "Usage: standing_queries DIRECTORY FIRST SECOND

Asks FIRST of the pictures (PNG, JPEG) of DIRECTORY in the order of their names, and SECOND from the middle
on. MDETR_MODEL names another model than the bundled one.";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [directory, first, second] = &args[..] else {
        println!("{HELP}");
        return Ok(());
    };
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)
        .map_err(|error| format!("{directory}: {error}"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "png" || e == "jpg"));
    paths.sort();

    let model = std::env::var("MDETR_MODEL").unwrap_or("models/tabletop".to_owned());
    let grounder = Arc::new(Grounder::load(model, GrounderOptions::default())?);
    grounder.set_queries(vec![Query::parse("standing", first)?])?;

    let mut change = Some(Query::parse("standing", second)?);
    for (number, path) in paths.iter().enumerate() {
        if number == paths.len() / 2
            && let Some(query) = change.take()
        {
            let grounder = grounder.clone();
            // A program with a video to show would not wait for it.
            thread::spawn(move || grounder.set_queries(vec![query]))
                .join()
                .map_err(|_| "the thread that sets queries panicked")??;
        }
        let picture = image::open(path)?.to_rgb8();
        let frame = Frame::rgb(picture.width(), picture.height(), picture.as_raw())?;
        let grounding = grounder.ground(&frame)?;
        for result in &grounding.queries {
            let boxes: Vec<_> = result.detections.iter().map(|found| found.bbox).collect();
            println!(
                "{}: revision {}: {}: {boxes:?}",
                path.display(),
                grounding.revision,
                result.query.text()
            );
        }
    }
    let stats = grounder.stats();
    println!(
        "{} frames, {} texts encoded",
        stats.frames, stats.text_encoder_runs
    );
    Ok(())
}
