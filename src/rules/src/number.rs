//! Numbers in answers.

const WORDS: [&str; 21] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
];

/// The first number in a text: digits, or an English word from zero to twenty.
pub(crate) fn number_in(text: &str) -> Option<f64> {
    let parts = text.split(|c: char| !(c.is_alphanumeric() || c == '.' || c == '-'));
    parts
        .map(|part| part.trim_end_matches('.'))
        .find_map(|part| {
            let word = part.to_lowercase();
            if let Some(number) = WORDS.iter().position(|known| *known == word) {
                return Some(number as f64);
            }
            let digits = part.starts_with(|c: char| c.is_ascii_digit() || c == '-');
            part.parse().ok().filter(|n: &f64| digits && n.is_finite())
        })
}

#[cfg(test)]
mod tests {
    use super::number_in;

    #[test]
    fn digits_and_words_are_numbers() {
        for (text, number) in [
            ("3", Some(3.0)),
            (" 12 cones.", Some(12.0)),
            ("Two", Some(2.0)),
            ("there are twenty.", Some(20.0)),
            ("-1.5", Some(-1.5)),
            ("3.", Some(3.0)),
            ("none", None),
            ("inf", None),
            ("", None),
        ] {
            assert_eq!(number_in(text), number, "{text:?}");
        }
    }
}
