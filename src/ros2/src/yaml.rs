//! Parameter values and parameter files, read by the rules of rcl's parser.
//!
//! A scalar without quotes is a boolean (`true`, `yes`, `on` and their opposites), a number or a string; one
//! with quotes is a string. A list has elements of one kind; whole numbers among others become doubles.
//! Anchors, aliases and several documents are refused, as rcl refuses them.

use ros2_client::ParameterValue;
use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

/// Most bytes of a parameter file.
pub(crate) const MAX_BYTES: u64 = 1 << 20;
/// Most levels of a document.
const MAX_DEPTH: usize = 32;

/// Part of a document, and the line it begins on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// One value.
    Scalar(Scalar),
    /// A list of values.
    List(Vec<Scalar>, usize),
    /// Keys with what is under them, in the order of the document.
    Map(Vec<(String, Node)>, usize),
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    text: String,
    /// Without quotes.
    plain: bool,
    line: usize,
}

/// Reads a document; one with nothing in it is an empty map.
///
/// # Errors
/// It is no YAML, or has what parameters cannot have: says the line.
pub(crate) fn parse(text: &str) -> Result<Node, String> {
    let mut events = Events(Parser::new_from_str(text));
    let node = loop {
        match events.next()? {
            (Event::StreamStart | Event::DocumentStart(_), _) => (),
            (Event::StreamEnd, _) => return Ok(Node::Map(Vec::new(), 1)),
            (event, span) => break events.node(event, span, 0)?,
        }
    };
    loop {
        match events.next()? {
            (Event::DocumentEnd, _) => (),
            (Event::StreamEnd, _) => return Ok(node),
            (_, span) => return Err(at(span, "a second document; use one document a file")),
        }
    }
}

/// The value of `name:=value` on the command line.
///
/// # Errors
/// It is no value that a parameter can have.
pub(crate) fn value(text: &str) -> Result<ParameterValue, String> {
    match parse(text)? {
        Node::Map(entries, _) if entries.is_empty() => Ok(ParameterValue::String(String::new())),
        node => node.value(),
    }
}

struct Events<'a>(Parser<'a, StrInput<'a>>);

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), String> {
        match self.0.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("the document ends too early".to_owned()),
        }
    }

    fn node(&mut self, event: Event, span: Span, depth: usize) -> Result<Node, String> {
        if depth > MAX_DEPTH {
            return Err(at(span, &format!("more than {MAX_DEPTH} levels")));
        }
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, anchor, _) => {
                refuse_anchor(anchor, span)?;
                Ok(Node::Scalar(Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                    line,
                }))
            }
            Event::SequenceStart(anchor, _) => {
                refuse_anchor(anchor, span)?;
                let mut list = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => return Ok(Node::List(list, line)),
                        (event, span) => match self.node(event, span, depth + 1)? {
                            Node::Scalar(scalar) => list.push(scalar),
                            _ => return Err(at(span, "a list in a list has values only")),
                        },
                    }
                }
            }
            Event::MappingStart(anchor, _) => {
                refuse_anchor(anchor, span)?;
                self.map(line, depth)
            }
            Event::Alias(_) => Err(at(span, "an alias; write the value out")),
            _ => Err(at(span, "expected a value")),
        }
    }

    fn map(&mut self, line: usize, depth: usize) -> Result<Node, String> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(Node::Map(entries, line)),
                Event::Scalar(key, ..) => key.into_owned(),
                _ => return Err(at(span, "a key that is not a string")),
            };
            if entries.iter().any(|(other, _)| *other == key) {
                return Err(at(span, &format!("{key} for the second time")));
            }
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            entries.push((key, node));
        }
    }
}

fn refuse_anchor(anchor: usize, span: Span) -> Result<(), String> {
    match anchor {
        0 => Ok(()),
        _ => Err(at(span, "an anchor; write the value out where it is used")),
    }
}

fn at(span: Span, what: &str) -> String {
    format!("line {}: {what}", span.start.line())
}

impl Node {
    /// The value of a parameter.
    ///
    /// # Errors
    /// It is a map, or a list whose elements are of several kinds: says the line.
    pub(crate) fn value(&self) -> Result<ParameterValue, String> {
        match self {
            Node::Scalar(scalar) => Ok(scalar.value()),
            Node::List(list, line) => {
                list_value(list).ok_or_else(|| format!("line {line}: a list of several kinds"))
            }
            Node::Map(_, line) => Err(format!("line {line}: expected a value, found keys")),
        }
    }
}

impl Scalar {
    fn value(&self) -> ParameterValue {
        let text = self.text.as_str();
        if !self.plain {
            return ParameterValue::String(text.to_owned());
        }
        match text {
            "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
                return ParameterValue::Boolean(true);
            }
            "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off"
            | "OFF" => return ParameterValue::Boolean(false),
            ".nan" | ".NaN" | ".NAN" => return ParameterValue::Double(f64::NAN),
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
                return ParameterValue::Double(f64::INFINITY);
            }
            "-.inf" | "-.Inf" | "-.INF" => return ParameterValue::Double(f64::NEG_INFINITY),
            _ => (),
        }
        if let Some(integer) = integer(text) {
            return ParameterValue::Integer(integer);
        }
        // Rust reads the words inf and nan too, which are strings here.
        let numeric = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
            && text.contains(|c: char| c.is_ascii_digit());
        match text.parse() {
            Ok(double) if numeric => ParameterValue::Double(double),
            _ => ParameterValue::String(text.to_owned()),
        }
    }
}

/// A whole number, decimal or after 0x.
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(hex) if hex.starts_with(|c: char| c.is_ascii_hexdigit()) => {
            i64::from_str_radix(&format!("{sign}{hex}"), 16).ok()
        }
        _ => text.parse().ok(),
    }
}

/// `None` if the elements are of several kinds.
fn list_value(list: &[Scalar]) -> Option<ParameterValue> {
    let values: Vec<ParameterValue> = list.iter().map(Scalar::value).collect();
    let all = |is: fn(&ParameterValue) -> bool| values.iter().all(is);
    // rcl cannot tell the kind of an empty list either; the parameters here that are lists are lists of strings.
    if all(|value| matches!(value, ParameterValue::String(_))) {
        return Some(ParameterValue::StringArray(
            list.iter().map(|scalar| scalar.text.clone()).collect(),
        ));
    }
    if all(|value| matches!(value, ParameterValue::Boolean(_))) {
        let booleans = values.iter().filter_map(|value| match value {
            ParameterValue::Boolean(value) => Some(*value),
            _ => None,
        });
        return Some(ParameterValue::BooleanArray(booleans.collect()));
    }
    if all(|value| matches!(value, ParameterValue::Integer(_))) {
        let integers = values.iter().filter_map(|value| match value {
            ParameterValue::Integer(value) => Some(*value),
            _ => None,
        });
        return Some(ParameterValue::IntegerArray(integers.collect()));
    }
    let double = |value: &ParameterValue| match value {
        ParameterValue::Integer(value) => Some(*value as f64),
        ParameterValue::Double(value) => Some(*value),
        _ => None,
    };
    let doubles: Option<Vec<f64>> = values.iter().map(double).collect();
    doubles.map(ParameterValue::DoubleArray)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_have_the_kinds_that_rcl_gives_them() {
        use ParameterValue::{Boolean, Double, Integer, String};
        let cases = [
            ("true", Boolean(true)),
            ("off", Boolean(false)),
            ("'true'", String("true".into())),
            ("-7", Integer(-7)),
            ("0x10", Integer(16)),
            ("-0x10", Integer(-16)),
            ("0.25", Double(0.25)),
            ("1e3", Double(1000.0)),
            (".inf", Double(f64::INFINITY)),
            ("\"0.25\"", String("0.25".into())),
            ("inf", String("inf".into())),
            ("nan", String("nan".into())),
            ("a red ball", String("a red ball".into())),
            ("''", String("".into())),
            ("", String("".into())),
            ("99999999999999999999", Double(1e20)),
        ];
        for (text, expected) in cases {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn lists_have_one_kind() {
        use ParameterValue::{BooleanArray, DoubleArray, IntegerArray, StringArray};
        let queries = "['[the red ball] left of the cube', \"a cone\"]";
        let strings = vec!["[the red ball] left of the cube".into(), "a cone".into()];
        assert_eq!(value(queries), Ok(StringArray(strings)));
        assert_eq!(value("[]"), Ok(StringArray(vec![])));
        assert_eq!(value("[1, 2]"), Ok(IntegerArray(vec![1, 2])));
        assert_eq!(value("[1, 2.5]"), Ok(DoubleArray(vec![1.0, 2.5])));
        assert_eq!(value("[yes, no]"), Ok(BooleanArray(vec![true, false])));
        let error = value("[yes, 1]").expect_err("two kinds");
        assert!(error.contains("line 1: a list of several kinds"), "{error}");
    }

    #[test]
    fn what_parameters_cannot_have_is_refused_with_its_line() {
        for (text, expected) in [
            ("a: &x 1\nb: *x\n", "line 1: an anchor"),
            ("a: 1\na: 2\n", "line 2: a for the second time"),
            ("a: 1\n---\nb: 2\n", "a second document"),
            ("a: [[1]]\n", "a list in a list"),
            ("? [1]\n: 2\n", "a key that is not a string"),
            ("a: 'b\n", "quote"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse(&deep).is_err());
    }

    #[test]
    fn no_text_makes_it_panic() {
        let parts: Vec<&str> =
            "a: b\n 1 - [ ] { } , ' \" # | > & * ! % @ ` ? : \t .inf 0x ~ --- ... é \\ \r\n"
                .split(' ')
                .collect();
        let mut state: u64 = 7;
        let mut next = |below: usize| {
            // Knuth's constants for a linear congruential generator.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut read = 0;
        for _ in 0..50_000 {
            let count = next(12);
            let text: Vec<&str> = (0..count).map(|_| parts[next(parts.len())]).collect();
            let joined = text.join([" ", "", "\n"][next(3)]);
            read += usize::from(value(&joined).is_ok());
        }
        assert!(read > 1000, "{read} values");
    }
}
