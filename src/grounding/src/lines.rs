//! Files of JSON lines as they are found: with a byte order mark or blank lines, with line ends of
//! either kind, and with a last line that was cut short.

use std::fmt;
use std::io::{self, BufRead, Read};

use serde::de::DeserializeOwned;

/// What some editors begin a file with.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads JSON lines one by one.
///
/// What is whole is taken. A last line without a line feed whose JSON has no end is left out, and
/// [`cut`](Self::cut) names it; so is the block of zeros that a loss of power leaves at the end of a
/// file. Every other line that is no JSON, or not of the type asked for, is a [`Damage`], behind which
/// reading may go on.
#[derive(Debug)]
pub struct JsonLines<R> {
    reader: R,
    max_line: u64,
    buffer: Vec<u8>,
    line: usize,
    read: u64,
    whole: u64,
    closed: bool,
    cut: Option<usize>,
}

/// A line that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Its number, from 1.
    pub line: usize,
    /// Where in it: the column from 1 and the field, if they are known.
    pub place: Option<(usize, String)>,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at(), self.message)
    }
}

impl Damage {
    /// The place as text: `line 3, column 17: boxes[0]`.
    pub fn at(&self) -> String {
        match &self.place {
            Some((column, field)) => format!("line {}, column {column}: {field}", self.line),
            None => format!("line {}", self.line),
        }
    }
}

impl<R: BufRead> JsonLines<R> {
    /// Of a reader at its beginning. Lines of more than `max_line` bytes are damaged.
    pub fn new(reader: R, max_line: u64) -> JsonLines<R> {
        JsonLines {
            reader,
            max_line,
            buffer: Vec::new(),
            line: 0,
            read: 0,
            whole: 0,
            closed: true,
            cut: None,
        }
    }

    /// The next line that is not blank; `None` behind the last.
    ///
    /// # Errors
    /// The reader's.
    pub fn next_line<T: DeserializeOwned>(&mut self) -> io::Result<Option<Result<T, Damage>>> {
        loop {
            let begin = self.read;
            if !self.fill()? {
                return Ok(None);
            }
            if self.buffer.len() as u64 > self.max_line {
                self.skip_line()?;
                let message = format!("longer than {} bytes", self.max_line);
                return Ok(Some(Err(self.damage(None, message))));
            }
            let closed = self.buffer.ends_with(b"\n");
            let line = match self.buffer.strip_prefix(BYTE_ORDER_MARK) {
                Some(line) if self.line == 1 => line,
                _ => &self.buffer[..],
            };
            if self.line == 1 && (line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff")) {
                let message = "the file is UTF-16, expected UTF-8: convert it".to_owned();
                return Ok(Some(Err(self.damage(None, message))));
            }
            let Some(json) = content(line) else {
                if closed || !line.contains(&0) {
                    (self.whole, self.closed) = (self.read, closed);
                    continue;
                }
                self.cut = Some(self.line);
                return Ok(None);
            };
            match parse(json) {
                Ok(value) => {
                    let before = line.len() - content_end(line);
                    let end = if closed {
                        self.read
                    } else {
                        self.read - before as u64
                    };
                    debug_assert!(begin < end);
                    (self.whole, self.closed) = (end, closed);
                    return Ok(Some(Ok(value)));
                }
                Err((_, _, error)) if !closed && error.is_eof() => {
                    self.cut = Some(self.line);
                    return Ok(None);
                }
                Err((column, field, error)) => {
                    let text = error.to_string();
                    let cause = text.split(" at line ").next().unwrap_or_default();
                    return Ok(Some(Err(
                        self.damage(Some((column, field)), cause.to_owned())
                    )));
                }
            }
        }
    }

    /// Number of the line that was read last, from 1; 0 before the first.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Number of the last line if it was cut short; known behind the last line.
    pub fn cut(&self) -> Option<usize> {
        self.cut
    }

    /// Bytes that were read.
    pub fn bytes(&self) -> u64 {
        self.read
    }

    /// Bytes up to the end of the last line that is whole or blank, and whether it has a line feed.
    pub fn whole(&self) -> (u64, bool) {
        (self.whole, self.closed)
    }

    /// Reads a line, one byte more than is allowed at most; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        let reader = Read::by_ref(&mut self.reader);
        let read = reader
            .take(self.max_line + 1)
            .read_until(b'\n', &mut self.buffer)?;
        self.read += read as u64;
        self.line += usize::from(read > 0);
        Ok(read > 0)
    }

    /// Leaves out the rest of a line.
    fn skip_line(&mut self) -> io::Result<()> {
        if self.buffer.ends_with(b"\n") {
            return Ok(());
        }
        loop {
            let bytes = self.reader.fill_buf()?;
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let length = end.map_or(bytes.len(), |end| end + 1);
            self.reader.consume(length);
            self.read += length as u64;
            if end.is_some() || length == 0 {
                return Ok(());
            }
        }
    }

    fn damage(&self, place: Option<(usize, String)>, message: String) -> Damage {
        Damage {
            line: self.line,
            place,
            message,
        }
    }
}

fn is_blank(byte: u8) -> bool {
    byte == 0 || byte.is_ascii_whitespace()
}

/// Where white space and zeros at the end begin.
fn content_end(line: &[u8]) -> usize {
    line.iter()
        .rposition(|&byte| !is_blank(byte))
        .map_or(0, |last| last + 1)
}

/// A line without white space and zeros around it; `None` if nothing is left.
fn content(line: &[u8]) -> Option<&[u8]> {
    let begin = line.iter().position(|&byte| !is_blank(byte))?;
    Some(&line[begin..content_end(line)])
}

/// The value, or the column, the field and what is wrong there.
fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, (usize, String, serde_json::Error)> {
    let mut json = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = field(error.path());
        let error = error.into_inner();
        (error.column(), field, error)
    })?;
    match json.end() {
        Ok(()) => Ok(value),
        Err(error) => Err((error.column(), "after the object".to_owned(), error)),
    }
}

/// How an error names a field of a JSON value.
pub fn field(path: &serde_path_to_error::Path) -> String {
    match path.to_string().as_str() {
        "." | "?" => "top level".to_owned(),
        path => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The values, the numbers of damaged lines, and that of a cut one.
    fn read(text: &[u8]) -> (Vec<Value>, Vec<usize>, Option<usize>) {
        let mut lines = JsonLines::new(text, 64);
        let (mut values, mut damaged) = (Vec::new(), Vec::new());
        while let Some(line) = lines.next_line().unwrap() {
            match line {
                Ok(value) => values.push(value),
                Err(damage) => damaged.push(damage.line),
            }
        }
        assert_eq!(lines.bytes(), text.len() as u64);
        (values, damaged, lines.cut())
    }

    #[test]
    fn what_is_whole_is_taken() {
        let values: Vec<Value> = vec![1.into(), "ä".into()];
        for text in [
            "1\n\"ä\"\n",
            "1\n\"ä\"",
            "1\r\n\"ä\"\r\n",
            "\u{feff}1\n\"ä\"\n",
            "\u{feff}\r\n\n 1 \n\n\t\n\"ä\"\n\n",
            "1\n\"ä\"\n\r\n  ",
            "1\n\0\0\0\"ä\"\n",
            "1\n\"ä\"\0\0",
        ] {
            let expected = (values.clone(), vec![], None);
            assert_eq!(read(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(read(b""), (vec![], vec![], None));
    }

    #[test]
    fn only_a_last_line_without_its_end_is_cut() {
        let line = "{\"a\":[1,-2.5e1,true,null,\"\\u00e4ß\"]}";
        for end in 1..line.len() {
            for zeros in [0, 3] {
                let mut text = b"1\n\n".to_vec();
                text.extend(&line.as_bytes()[..end]);
                text.resize(text.len() + zeros, 0);
                let expected = (vec![1.into()], vec![], Some(3));
                assert_eq!(read(&text), expected, "{:?}", &line.as_bytes()[..end]);
            }
        }
        assert_eq!(read(b"1\n\0\0\0\0").2, Some(2));
        // A line feed says that the line was written to its end.
        assert_eq!(read(b"1\n{\"a\":\n"), (vec![1.into()], vec![2], None));
    }

    #[test]
    fn damaged_lines_are_named_and_the_others_read() {
        let long = format!(
            "1\n\"{}\"\n2\n{{\"a\"{{\n3 4\n\"\u{fffd}\n5\n",
            "x".repeat(100)
        );
        let (values, damaged, cut) = read(long.as_bytes());
        assert_eq!(values, [1, 2, 5].map(Value::from));
        assert_eq!((damaged, cut), (vec![2, 4, 5, 6], None));
        assert_eq!(read(b"\"\xe9\"\n6\n"), (vec![6.into()], vec![1], None));

        let mut lines = JsonLines::new(&b"\n{\"a\": [1, \"b\"]}\n"[..], 64);
        let line = lines.next_line::<std::collections::BTreeMap<String, Vec<u8>>>();
        let damage = line.unwrap().unwrap().unwrap_err();
        assert_eq!(
            damage.to_string(),
            "line 2, column 13: a[1]: invalid type: string \"b\", expected u8"
        );
        let utf_16 = b"\xff\xfe1\0\n\0";
        let damage = JsonLines::new(&utf_16[..], 64).next_line::<Value>();
        let message = damage.unwrap().unwrap().unwrap_err().message;
        assert!(message.contains("UTF-16"), "{message}");
    }
}
