use proptest::prelude::*;

use super::*;

const BY: Identity = Identity {
    vision: [7; 32],
    bundle: [9; 32],
};

fn encoded(values: &[f32], cells: (usize, usize), precision: TokenPrecision) -> Vec<u8> {
    encode((640, 480), (64, 48), cells, precision, BY, values).unwrap()
}

#[test]
fn the_header_says_what_was_seen() {
    for precision in [TokenPrecision::Fp16, TokenPrecision::Int8] {
        let bytes = encoded(&[0.5; 24], (2, 3), precision);
        let header = SeenHeader::read(&bytes).unwrap();
        assert_eq!(header.frame_size(), (640, 480));
        assert_eq!((header.rows, header.columns, header.d), (2, 3, 4));
        assert_eq!(header.precision(), precision);
        assert_eq!(header.vision_graph(), "07".repeat(32));
        assert_eq!(header.bundle(), "09".repeat(32));
        assert_eq!(precision.to_string().parse(), Ok(precision));
    }
    assert_eq!(digest(&"0f".repeat(32)), [15; 32]);
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let sound = encoded(&[0.5, -1.0, 3.25, 0.0], (2, 1), TokenPrecision::Fp16);
    assert!(decode(&sound).is_ok());
    for bit in 0..8 * sound.len() {
        let mut bytes = sound.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&bytes).is_err(), "bit {bit}");
    }
    for length in 0..sound.len() {
        assert!(decode(&sound[..length]).is_err(), "{length} bytes");
    }
    let more = [&sound[..], b"more"].concat();
    let error = decode(&more).unwrap_err().to_string();
    assert!(error.contains("bytes of tokens: expected"), "{error}");
}

#[test]
fn tokens_are_those_that_the_header_says() {
    let sound = encoded(&[0.5; 24], (2, 3), TokenPrecision::Int8);
    // Rows, columns, d, sides of frame and input, with a checksum that fits.
    for at in [12, 16, 20, 24, 28, 32, 36] {
        for value in [0, 1 << 14, u32::MAX] {
            let mut bytes = sound.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            let found = decode(&sealed(&bytes));
            let allowed = at < 28 && value == 1 << 14;
            assert_eq!(found.is_ok(), allowed, "{value} at {at}: {found:?}");
        }
    }
    let mut bytes = sound.clone();
    bytes[8] = 2;
    let error = decode(&sealed(&bytes)).unwrap_err().to_string();
    assert!(
        error.contains("expected version 1 of the format, found 2"),
        "{error}"
    );
    bytes[8] = 1;
    bytes[10] = 2;
    assert!(decode(&sealed(&bytes)).is_err());
}

#[test]
fn what_expands_to_more_than_the_header_says_is_not_expanded() {
    let small = encoded(&[0.5; 24], (2, 3), TokenPrecision::Fp16);
    let bomb = zstd::bulk::compress(&vec![0; 32 << 20], 1).unwrap();
    let bytes = sealed(&[&small[..HEADER], &bomb].concat());
    let error = decode(&bytes).unwrap_err();
    assert!(matches!(error, SeenError::Compression(_)), "{error}");
}

#[test]
fn values_that_the_precision_cannot_hold_are_named() {
    let encode = |value: f32, precision| {
        let values = [0.0, 0.0, value, 0.0];
        encode((8, 8), (8, 8), (2, 1), precision, BY, &values).map_err(|e| e.to_string())
    };
    let error = encode(1e6, TokenPrecision::Fp16).unwrap_err();
    assert!(error.contains("token 1 has the value 1000000"), "{error}");
    assert!(error.contains("int8"), "{error}");
    assert!(encode(1e6, TokenPrecision::Int8).is_ok());
    for value in [f32::NAN, f32::INFINITY] {
        assert!(encode(value, TokenPrecision::Fp16).is_err());
        assert!(encode(value, TokenPrecision::Int8).is_err());
    }
}

#[test]
fn tokens_of_another_vision_graph_are_refused_by_name() {
    let other = Identity {
        vision: [1; 32],
        bundle: [2; 32],
    };
    let error = BY.check(&other).unwrap_err().to_string();
    for byte in ["01", "02", "07", "09"] {
        assert!(error.contains(&byte.repeat(32)), "{byte}: {error}");
    }
    let with_another_fusion_graph = Identity {
        bundle: [2; 32],
        ..BY
    };
    assert!(BY.check(&with_another_fusion_graph).is_ok());
}

proptest! {
    #[test]
    fn tokens_come_back(
        rows in 1usize..6,
        columns in 1usize..6,
        d in 1usize..9,
        size in -6i32..6,
        seed in any::<u64>(),
    ) {
        let mut state = seed | 1;
        let values: Vec<f32> = (0..rows * columns * d)
            .map(|_| {
                // xorshift64, Marsaglia 2003.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state % 2001) as f32 / 1000.0 - 1.0
            })
            .map(|value| value * 4f32.powi(size))
            .collect();
        for precision in [TokenPrecision::Fp16, TokenPrecision::Int8] {
            let (header, found) = decode(&encoded(&values, (rows, columns), precision)).unwrap();
            prop_assert_eq!(header.precision(), precision);
            prop_assert_eq!(found.len(), values.len());
            for (token, found) in values.chunks_exact(d).zip(found.chunks_exact(d)) {
                let most = token.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
                for (value, found) in token.iter().zip(found) {
                    let step = match precision {
                        // 11 bits, and the least subnormal number.
                        TokenPrecision::Fp16 => value.abs() / 2048.0 + 6e-8,
                        TokenPrecision::Int8 => most / 127.0 / 2.0 * 1.001,
                    };
                    prop_assert!((value - found).abs() <= step, "{} {}", value, found);
                }
            }
        }
    }

    #[test]
    fn bytes_that_are_none_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(decode(&bytes).is_err());
        let bytes = [&MAGIC[..], &1u16.to_le_bytes(), &bytes].concat();
        let _ = decode(&sealed(&bytes));
    }
}
