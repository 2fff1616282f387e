//! Words of texts, by which events are found.

use std::collections::BTreeSet;

use mdetr_rules::Event;

/// Runs of letters and digits in lower case. The same for texts that are kept and for words that are looked for, so
/// that no database's own idea of a word comes between them.
pub(super) fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Words of an event's query and phrases.
pub(crate) fn words_of(event: &Event) -> BTreeSet<String> {
    let phrases = event.phrases.iter().map(|phrase| phrase.text.as_str());
    let texts = phrases.chain([event.text.as_str()]);
    texts.flat_map(words).collect()
}
