//! Documents that somebody's editor, cat or disk has spoilt: refused or taken, never a panic.

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{check, parse_json, parse_toml, redacted, restored};

/// `MDETR_MUTATIONS=1000000 cargo test --release -p mdetr-monitor mutated` tries that many.
fn count() -> usize {
    let wanted = std::env::var("MDETR_MUTATIONS").ok();
    wanted.and_then(|count| count.parse().ok()).unwrap_or(3000)
}

/// What spoils a document most: its own words in other places, and numbers that nobody expects.
fn words(seeds: &[String]) -> Vec<String> {
    let odd = [
        "\"",
        "'",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "=",
        ".",
        ",",
        "\n",
        "\0",
        "\u{feff}",
        "é",
        "🙂",
        "-1",
        "0",
        "1e400",
        "nan",
        "inf",
        "18446744073709551616",
        "-9223372036854775808",
        "\"9999999999h\"",
        "\"-5s\"",
        "\"Mars/Olympus\"",
        "true",
        "\"all\"",
        "\"not\"",
        "of",
        "is",
        "#",
        "\\u0000",
        "file:///dev/zero",
        "rtsp://a:b@[::1",
        "tabletop://?seed=x",
    ];
    let own = seeds.iter().flat_map(|seed| seed.split([' ', '\n']));
    odd.into_iter().chain(own).map(str::to_owned).collect()
}

fn mutate(random: &mut Pcg64Mcg, text: &str, words: &[String]) -> String {
    let mut text = text.to_owned();
    for _ in 0..random.random_range(1..8) {
        let mut place = |text: &str| {
            let mut place = random.random_range(0..=text.len());
            while !text.is_char_boundary(place) {
                place -= 1;
            }
            place
        };
        let (a, b) = (place(&text), place(&text));
        let (a, b) = (a.min(b), a.max(b));
        let b = match text.get(a..(a + 40).min(text.len())) {
            Some(_) => b.min(a + 40),
            None => a,
        };
        let word = words.choose(random).expect("there are words");
        match random.random_range(0..4) {
            0 => text.insert_str(a, word),
            1 => text.replace_range(a..b, ""),
            2 => text.replace_range(a..b, word),
            _ => {
                let part = text[a..b].to_owned();
                text.insert_str(a, &part);
            }
        }
    }
    text
}

#[test]
fn spoilt_documents_are_refused_or_taken() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |name: &str| std::fs::read_to_string(root.join("configs").join(name)).unwrap();
    let toml = vec![read("monitor.toml"), read("monitor-demo.toml")];
    let json: Vec<String> = toml
        .iter()
        .map(|text| serde_json::to_string(&parse_toml(text).unwrap()).unwrap())
        .collect();
    let words = words(&toml);
    let mut random = Pcg64Mcg::seed_from_u64(1);
    let known = parse_toml(&toml[0]).unwrap();
    let mut taken = 0;
    for index in 0..count() {
        let from_json = index % 2 == 0;
        let seeds = if from_json { &json } else { &toml };
        let seed = seeds.choose(&mut random).expect("there are seeds");
        let text = mutate(&mut random, seed, &words);
        let document = match from_json {
            true => parse_json(text.as_bytes()),
            false => parse_toml(&text),
        };
        let Ok(document) = document else {
            continue;
        };
        let faults = check(&document);
        assert!(
            faults
                .iter()
                .all(|fault| !fault.place.is_empty() && !fault.message.is_empty())
        );
        let shown = redacted(&document);
        let _ = restored(&shown, &known);
        if faults.is_empty() {
            taken += 1;
            for camera in &document.cameras {
                assert!(
                    mdetr_rules::Watch::new(&camera.name, camera.rule_set()).is_ok(),
                    "{text}"
                );
            }
            let again = parse_json(&serde_json::to_vec(&document).unwrap()).unwrap();
            assert_eq!(again, document, "{text}");
        }
    }
    assert!(
        taken > count() / 100,
        "{taken} of {} were taken: nothing was tried",
        count()
    );
}
