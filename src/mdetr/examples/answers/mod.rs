use mdetr::QueryResult;

/// Prints the sentence, then a line for each thing found: x, y, width, height in pixels, score, words.
pub fn print(result: &QueryResult) {
    println!("{}", result.query.text());
    if let Some(answer) = &result.answer {
        println!("  {} ({:.2})", answer.text, answer.score);
    } else if !result.present() {
        println!("  nothing");
    }
    for found in &result.detections {
        let b = found.bbox;
        let words: Vec<&str> = found.phrases.iter().map(|p| p.text.as_str()).collect();
        println!(
            "  {:.0} {:.0} {:.0} {:.0}  {:.2}  {}",
            b.x,
            b.y,
            b.width,
            b.height,
            found.score,
            words.join(", ")
        );
    }
}
