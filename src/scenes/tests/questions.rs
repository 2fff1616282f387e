//! Questions and their answers against an independent reading of their words.

mod reading;

use std::collections::HashMap;

use mdetr_scenes::{Answer, CaptionKind, Mix, Object, caption, rng};
use reading::{Reader, World, world};

/// The objects that each phrase of a sentence denotes, in the order of the text.
fn denoted(world: &World, text: &str) -> Vec<Vec<usize>> {
    let readings = Reader::read(world, text);
    readings.into_iter().map(|r| r.objects).collect()
}

fn value(object: &Object, asked: &str) -> &'static str {
    match asked {
        "size" => object.size.word(),
        "color" | "colour" => object.colour.word(),
        "material" => object.material.word(),
        "shape" => object.shape.word(),
        other => panic!("'{other}' is no attribute"),
    }
}

/// The answer, and the objects of each phrase.
fn read(world: &World, question: &str) -> (Answer, Vec<Vec<usize>>) {
    let text = question.strip_suffix('?').expect("a question mark");
    let text = text.to_lowercase();
    let only = |objects: &[usize]| match objects {
        [one] => &world.scene.objects[*one],
        _ => panic!("'{question}' is about {objects:?}"),
    };
    for start in ["is there ", "are there any "] {
        if let Some(rest) = text.strip_prefix(start) {
            let phrases = denoted(world, rest);
            return (Answer::Truth(!phrases[0].is_empty()), phrases);
        }
    }
    if let Some(rest) = text.strip_prefix("how many ") {
        let rest = match rest.strip_suffix(" are there") {
            Some(plain) => plain.to_owned(),
            None => rest.replacen(" are ", " ", 1),
        };
        let phrases = denoted(world, &rest);
        return (Answer::Count(phrases[0].len()), phrases);
    }
    type Compare = fn(usize, usize) -> bool;
    let forms: [(&str, &str, Compare); 3] = [
        ("are there more ", " than ", |a, b| a > b),
        ("are there fewer ", " than ", |a, b| a < b),
        ("are there as many ", " as ", |a, b| a == b),
    ];
    for (start, between, holds) in forms {
        if let Some(rest) = text.strip_prefix(start) {
            let (a, b) = rest.split_once(between).expect("two things");
            let phrases = [denoted(world, a), denoted(world, b)].concat();
            let truth = holds(phrases[0].len(), phrases[1].len());
            return (Answer::Truth(truth), phrases);
        }
    }
    if let Some(rest) = text.strip_prefix("what ") {
        let (asked, rest) = match rest.strip_suffix(" made of") {
            Some(rest) => ("material", rest.strip_prefix("is ").expect("is")),
            None => rest.split_once(" is ").expect("is"),
        };
        let phrases = denoted(world, rest);
        let object = only(&phrases[0]);
        return (Answer::Attribute(value(object, asked)), phrases);
    }
    let (first, second, asked) = if let Some(rest) = text.strip_prefix("do ") {
        let (both, asked) = rest.split_once(" have the same ").expect("have");
        let (a, b) = both.split_once(" and ").expect("and");
        (a, b, asked)
    } else {
        let rest = text.strip_prefix("is ").expect("is");
        let rest = rest.replacen(" made of the same ", " the same ", 1);
        let (a, rest) = rest.split_once(" the same ").expect("the same");
        let (asked, b) = rest.split_once(" as ").expect("as");
        return compare(world, a, b, asked);
    };
    compare(world, first, second, asked)
}

fn compare(world: &World, a: &str, b: &str, asked: &str) -> (Answer, Vec<Vec<usize>>) {
    let phrases = [denoted(world, a), denoted(world, b)].concat();
    let value_of = |objects: &[usize]| match objects {
        [one] => value(&world.scene.objects[*one], asked),
        _ => panic!("'{a}' or '{b}' denotes {objects:?}"),
    };
    let same = value_of(&phrases[0]) == value_of(&phrases[1]);
    (Answer::Truth(same), phrases)
}

#[test]
fn answers_are_right_and_varied() {
    let mut counts: HashMap<(CaptionKind, String), usize> = HashMap::new();
    for seed in 0..150 {
        let world = world(seed);
        let mut rng = rng(seed, 1);
        for &kind in CaptionKind::QUESTIONS {
            for _ in 0..3 {
                let Some(question) = caption(&mut rng, &world.scene, &world.truth, kind) else {
                    continue;
                };
                let text = &question.text;
                let (answer, phrases) = read(&world, text);
                assert_eq!(question.answer, Some(answer), "'{text}'");
                let claimed: Vec<Vec<usize>> =
                    question.phrases.iter().map(|p| p.objects.clone()).collect();
                assert_eq!(claimed, phrases, "'{text}'");
                for phrase in &question.phrases {
                    let (start, end) = phrase.spans[0];
                    let words: String = text
                        .chars()
                        .skip(start as usize)
                        .take((end - start) as usize)
                        .collect();
                    let first = words.chars().next().unwrap();
                    assert!(first.is_alphabetic() && !words.ends_with(' '), "'{words}'");
                }
                *counts.entry((kind, answer.to_string())).or_default() += 1;
            }
        }
    }
    let of = |kind: CaptionKind, answer: &str| {
        counts.get(&(kind, answer.to_owned())).copied().unwrap_or(0)
    };
    for kind in [
        CaptionKind::Exist,
        CaptionKind::CompareNumber,
        CaptionKind::CompareAttribute,
    ] {
        let (yes, no) = (of(kind, "yes"), of(kind, "no"));
        assert!(yes > 90 && no > 90, "{}: {yes} {no}", kind.name());
    }
    for count in ["0", "1", "2", "3", "4"] {
        assert!(of(CaptionKind::Count, count) > 10, "{count}");
    }
    for word in ["small", "red", "brown", "cone", "cube", "matte", "shiny"] {
        assert!(of(CaptionKind::QueryAttribute, word) > 5, "{word}");
    }
}

#[test]
fn only_questions_have_answers() {
    let world = world(3);
    let mut rng = rng(3, 1);
    for &kind in CaptionKind::ALL {
        if let Some(caption) = caption(&mut rng, &world.scene, &world.truth, kind) {
            assert_eq!(caption.answer.is_some(), kind.is_question());
            assert_eq!(caption.text.ends_with('?'), kind.is_question());
        }
    }
}

#[test]
fn every_second_caption_of_the_mix_is_a_question() {
    let mut rng = rng(1, 2);
    let mix = Mix::with_questions();
    let questions = (0..20_000).filter(|_| mix.sample(&mut rng).is_question());
    let part = questions.count() as f64 / 20_000.0;
    assert!((0.48..0.52).contains(&part), "{part}");
}
