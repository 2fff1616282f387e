//! Everything about a bundle that opening it leaves for later.

use mdetr_grounding::Query;

use crate::bundle::Bundle;
use crate::error::Error;
use crate::frame::Frame;
use crate::grounder::{Grounder, GrounderOptions};

impl Grounder {
    /// Checks what [`Bundle::open`] leaves for later: hashes every file, whatever its size, reads the
    /// tokenizer, and has the engine load every graph and ground a small frame.
    ///
    /// # Errors
    /// A file differs from what the manifest says, or the engine does not take a graph.
    pub fn check(bundle: &Bundle) -> Result<(), Error> {
        for name in bundle.manifest().files.keys() {
            bundle.read(name)?;
        }
        let options = GrounderOptions {
            score_threshold: Some(0.0),
            max_detections: 1,
            ..GrounderOptions::default()
        };
        let grounder = Grounder::from_bundle(bundle.clone(), options)?;
        grounder.set_queries(vec![Query::parse("check", "is there a red cube?")?])?;
        let (width, height) = (64, 48);
        let gray = vec![128; 3 * width as usize * height as usize];
        grounder.ground(&Frame::rgb(width, height, &gray)?)?;
        Ok(())
    }
}
