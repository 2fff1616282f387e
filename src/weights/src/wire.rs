//! Fields of protocol buffers' messages, kept as they are.

use prost::DecodeError;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    pub number: u32,
    /// With its key.
    pub whole: &'a [u8],
    /// Of a message, a text or bytes.
    pub content: Option<&'a [u8]>,
}

/// The fields of a message in their order.
pub fn fields(mut rest: &[u8]) -> impl Iterator<Item = Result<Field<'_>, DecodeError>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = next(&mut rest);
        if field.is_err() {
            rest = &[];
        }
        Some(field)
    })
}

fn next<'a>(rest: &mut &'a [u8]) -> Result<Field<'a>, DecodeError> {
    let start = *rest;
    let (number, kind) = decode_key(rest)?;
    let length = match kind {
        WireType::Varint => {
            decode_varint(rest)?;
            0
        }
        WireType::LengthDelimited => usize::try_from(decode_varint(rest)?).unwrap_or(usize::MAX),
        WireType::ThirtyTwoBit => 4,
        WireType::SixtyFourBit => 8,
        _ => return Err(cut()),
    };
    let (content, after) = rest.split_at_checked(length).ok_or_else(cut)?;
    *rest = after;
    Ok(Field {
        number,
        whole: &start[..start.len() - after.len()],
        content: (kind == WireType::LengthDelimited).then_some(content),
    })
}

/// That a message ends in a field.
#[allow(deprecated)]
fn cut() -> DecodeError {
    DecodeError::new("a field does not end where it should")
}

/// Adds a field that holds a message.
pub fn put(message: &mut Vec<u8>, number: u32, content: &[u8]) {
    encode_key(number, WireType::LengthDelimited, message);
    encode_varint(content.len() as u64, message);
    message.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_told_apart() {
        let mut message = vec![0x08, 0x96, 0x01];
        put(&mut message, 7, b"abc");
        message.extend([0x15, 1, 2, 3, 4]);
        let found: Vec<_> = fields(&message).collect::<Result<_, _>>().unwrap();
        let numbers: Vec<_> = found.iter().map(|field| field.number).collect();
        assert_eq!(numbers, [1, 7, 2]);
        assert_eq!(found[1].content, Some(b"abc".as_slice()));
        assert_eq!(found[2].whole.len(), 5);
    }

    proptest! {
        #[test]
        fn any_bytes_are_fields_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let found: Vec<_> = fields(&bytes).collect();
            prop_assert!(found.len() <= bytes.len());
            if found.iter().all(Result::is_ok) {
                let whole: Vec<u8> = found.into_iter().flat_map(|field| field.unwrap().whole).copied().collect();
                prop_assert_eq!(whole, bytes);
            }
        }
    }
}
