//! Prompts: what topics, services and parameters ask for, as queries.

use mdetr::Query;
use mdetr::query::QueryEntry;
use serde::Deserialize;

/// Most bytes of a prompt; thousands of queries fit.
const MAX_BYTES: usize = 1 << 20;
/// Most queries at once.
const MAX_QUERIES: usize = 1000;

/// The queries of the parameter `queries`: of an entry that is a sentence the id is q1, q2 and so on, by its
/// place; one that begins with a brace is a JSON object with `id` and `text` and maybe thresholds.
///
/// # Errors
/// An entry is no query, or two have the same id: names it.
pub(crate) fn parse_entries(entries: &[String]) -> Result<Vec<Query>, String> {
    if entries.len() > MAX_QUERIES {
        let found = entries.len();
        return Err(format!(
            "expected at most {MAX_QUERIES} queries, found {found}"
        ));
    }
    let mut queries: Vec<Query> = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let query = parse_entry(at, entry)?;
        if queries.iter().any(|other| other.id() == query.id()) {
            return Err(format!("two queries have the id {:?}", query.id()));
        }
        queries.push(query);
    }
    Ok(queries)
}

fn parse_entry(at: usize, entry: &str) -> Result<Query, String> {
    if !entry.trim_start().starts_with('{') {
        return Query::parse(format!("q{}", at + 1), entry).map_err(|error| error.to_string());
    }
    let entry: QueryEntry = serde_json::from_str(entry)
        .map_err(|error| format!("entry {at} is no JSON object of a query: {error}"))?;
    Query::from_entry(&entry).map_err(|error| error.to_string())
}

/// What a prompt in JSON may have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    queries: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Sentence(String),
    Entry(QueryEntry),
}

/// The entries, for the parameter `queries`, of a prompt: a sentence, or `{"queries": [...]}` with sentences or
/// objects as in [`parse_entries`].
///
/// # Errors
/// It is too long, or JSON but not that.
pub(crate) fn entries(prompt: &str) -> Result<Vec<String>, String> {
    if prompt.len() > MAX_BYTES {
        let found = prompt.len();
        return Err(format!(
            "expected a prompt of at most {MAX_BYTES} bytes, found {found}"
        ));
    }
    if !prompt.trim_start().starts_with('{') {
        return Ok(vec![prompt.to_owned()]);
    }
    let document: Document = serde_json::from_str(prompt)
        .map_err(|error| format!("expected a sentence or {{\"queries\": [...]}}: {error}"))?;
    let items = document.queries.into_iter().map(|item| match item {
        Item::Sentence(sentence) => Ok(sentence),
        Item::Entry(entry) => serde_json::to_string(&entry).map_err(|error| error.to_string()),
    });
    items.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_one_query() {
        let found = entries("[the red ball] left of the cube").expect("a sentence");
        let queries = parse_entries(&found).expect("a query");
        assert_eq!(queries[0].id(), "q1");
        assert_eq!(queries[0].text(), "the red ball left of the cube");
    }

    #[test]
    fn json_has_several_with_ids_and_thresholds() {
        let prompt = r#"{"queries": ["a cone", {"id": "ball", "text": "[a ball]", "score_threshold": 0.25}]}"#;
        let queries = parse_entries(&entries(prompt).expect("JSON")).expect("queries");
        assert_eq!(queries[0].id(), "q1");
        assert_eq!(queries[1].id(), "ball");
        assert_eq!(queries[1].score_threshold(), Some(0.25));
        assert!(entries(r#"{"queries": []}"#).expect("none").is_empty());
    }

    #[test]
    fn what_is_no_prompt_is_refused() {
        for prompt in ["{", "{}", r#"{"queries": [7]}"#, r#"{"querys": []}"#] {
            assert!(entries(prompt).is_err(), "{prompt}");
        }
        assert!(entries(&"a".repeat(MAX_BYTES + 1)).is_err());
        for sentences in [&["[a"][..], &[""], &[r#"{"id": "q2", "text": "a"}"#, "b"]] {
            let sentences: Vec<String> = sentences.iter().map(|s| (*s).to_owned()).collect();
            assert!(parse_entries(&sentences).is_err(), "{sentences:?}");
        }
        let many = vec!["a".to_owned(); MAX_QUERIES + 1];
        assert!(parse_entries(&many).is_err());
    }
}
