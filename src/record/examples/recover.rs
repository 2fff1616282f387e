//! Writes the messages of a recording that was not finished to a new file: `recover FROM TO`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = args.as_slice() else {
        return Err("recover FROM TO".into());
    };
    let found = mdetr_record::recover(from, to)?;
    println!("{} messages", found.messages);
    if let Some(damage) = found.damage {
        println!("then: {damage}");
    }
    Ok(())
}
