//! Files made here, whole, cut, turned and of other kinds.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, GrayImage, ImageEncoder, Rgb};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::*;

/// Written by libjpeg-turbo, whose scans also refine what earlier ones began; 72 x 54 pixels, 4:2:0.
const REFINED: &[u8] = include_bytes!("../../tests/data/progressive.jpg");

/// Corners of different colours on a pattern, so that no two of the eight turns are alike.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let right = x >= width / 2;
        let below = y >= height / 2;
        let grain = ((x * 7 + y * 13) % 32) as u8;
        match (right, below) {
            (false, false) => Rgb([220, grain, 20]),
            (true, false) => Rgb([20, 220, grain]),
            (false, true) => Rgb([grain, 20, 220]),
            (true, true) => Rgb([200, 200, grain]),
        }
    })
}

/// A JPEG of `picture`, with settings of its encoder.
fn jpeg(picture: &RgbImage, set: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 90);
    set(&mut encoder);
    let (width, height) = (picture.width() as u16, picture.height() as u16);
    encoder
        .encode(picture, width, height, ColorType::Rgb)
        .unwrap();
    file
}

/// JPEG files of all the kinds that can be read.
fn jpegs() -> Vec<(&'static str, Vec<u8>)> {
    let picture = picture(41, 27);
    let gray: GrayImage = DynamicImage::ImageRgb8(picture.clone()).into_luma8();
    let mut gray_file = Vec::new();
    Encoder::new(&mut gray_file, 90)
        .encode(&gray, 41, 27, ColorType::Luma)
        .unwrap();
    let cmyk: Vec<u8> = gray.iter().flat_map(|&v| [v, 255 - v, 0, 9]).collect();
    let mut cmyk_file = Vec::new();
    Encoder::new(&mut cmyk_file, 90)
        .encode(&cmyk, 41, 27, ColorType::Cmyk)
        .unwrap();
    let of = |set: &dyn Fn(&mut Encoder<&mut Vec<u8>>)| jpeg(&picture, set);
    vec![
        (
            "4:4:4",
            of(&|e| e.set_sampling_factor(SamplingFactor::F_1_1)),
        ),
        (
            "4:2:0",
            of(&|e| e.set_sampling_factor(SamplingFactor::F_2_2)),
        ),
        (
            "4:2:2",
            of(&|e| e.set_sampling_factor(SamplingFactor::F_2_1)),
        ),
        (
            "4:1:1",
            of(&|e| e.set_sampling_factor(SamplingFactor::F_4_1)),
        ),
        ("a scan each", of(&|e| e.set_optimized_huffman_tables(true))),
        ("restarts", of(&|e| e.set_restart_interval(2))),
        ("progressive", of(&|e| e.set_progressive(true))),
        (
            "progressive with restarts",
            of(&|e| {
                e.set_progressive(true);
                e.set_sampling_factor(SamplingFactor::F_2_2);
                e.set_restart_interval(3);
            }),
        ),
        ("refined", REFINED.to_vec()),
        ("gray", gray_file),
        ("CMYK", cmyk_file),
    ]
}

/// PNG files of several kinds.
fn pngs() -> Vec<(&'static str, Vec<u8>)> {
    let picture = DynamicImage::ImageRgb8(picture(13, 9));
    let of = |picture: DynamicImage| {
        let mut file = Cursor::new(Vec::new());
        picture.write_to(&mut file, ImageFormat::Png).unwrap();
        file.into_inner()
    };
    vec![
        ("RGB", of(picture.clone())),
        ("RGBA", of(picture.to_rgba8().into())),
        ("gray, 16 bits", of(picture.to_luma16().into())),
        ("with Exif", with_exif(&of(picture), 1, false, true)),
    ]
}

/// Where the first and the last scan's data begin.
fn scans(file: &[u8]) -> (usize, usize) {
    let mut at = file
        .windows(2)
        .enumerate()
        .filter(|(_, w)| *w == [0xff, 0xda]);
    let data = |at: usize| at + 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
    let first = data(at.next().unwrap().0);
    (first, at.next_back().map_or(first, |(at, _)| data(at)))
}

fn fault(file: &[u8]) -> String {
    decode(file).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn whole_files_are_read_whatever_follows_them() {
    let other = jpeg(&picture(8, 8), |_| {});
    for (kind, file) in jpegs().into_iter().chain(pngs()) {
        let expected = decode(&file).map(|(picture, _)| picture);
        let expected = expected.unwrap_or_else(|error| panic!("{kind}: {error}"));
        let video = b"\0\0\0\x18ftypmp42\xff\xd8\xff\xda\0\x01 IEND \xff\xd9".repeat(9000);
        for behind in [
            &b"\0"[..],
            b"\xff",
            b"\xff\xd9",
            &[0; 100_000],
            &other,
            &video,
        ] {
            let read = decode(&[&file[..], behind].concat());
            let (picture, _) = read.unwrap_or_else(|error| panic!("{kind}: {error}"));
            assert_eq!(picture, expected, "{kind}");
        }
    }
}

#[test]
fn files_cut_anywhere_are_refused_as_cut() {
    for (kind, file) in jpegs().into_iter().chain(pngs()) {
        for end in 4..file.len() {
            // A download that was broken off, and one whose place on the disk was filled in advance.
            for zeros in [0, 64] {
                let mut part = file[..end].to_vec();
                part.resize(end + zeros, 0);
                if image::guess_format(&part).is_err() {
                    continue;
                }
                let fault = decode(&part).map(drop).map_err(|error| error.to_string());
                let fault =
                    fault.expect_err(&format!("{kind}, {end} of {}, {zeros} zeros", file.len()));
                let cut = fault.contains("cut short");
                // Zeros where a header was are not always seen for what they are.
                let header = zeros > 0 && end < scans_or_end(&file);
                assert!(cut || header, "{kind}, {end} of {}: {fault}", file.len());
            }
        }
    }
}

/// Where the last scan's data begin; the end of a PNG.
fn scans_or_end(file: &[u8]) -> usize {
    match image::guess_format(file).unwrap() {
        ImageFormat::Jpeg => scans(file).1,
        _ => file.len(),
    }
}

#[test]
fn a_preview_does_not_stand_for_the_picture() {
    let preview = jpeg(&picture(16, 16), |_| {});
    let exif = [b"II*\0\x08\0\0\0\0\0\0\0\0\0", &preview[..]].concat();
    let file = jpeg(&picture(64, 48), |e| e.add_exif_metadata(&exif).unwrap());
    assert_eq!(decode(&file).unwrap().0.dimensions(), (64, 48));
    for end in (preview.len() + 30..file.len()).step_by(7) {
        let fault = fault(&file[..end]);
        assert!(fault.contains("cut short"), "{end}: {fault}");
    }
}

/// JPEG has no checksums: most flips of a bit change pixels only. None makes it crash, none is called
/// a cut unless data are missing, and what cannot be followed is refused.
#[test]
fn flipped_bits_are_survived() {
    for (kind, file) in jpegs().into_iter().chain(pngs()) {
        let (mut read, mut refused) = (0, 0);
        for at in 2..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << (at % 8);
            match decode(&damaged) {
                Ok(_) => read += 1,
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 0, "{kind}: {read} read, {refused} refused");
        assert!(kind != "RGB" || read == 0, "a PNG's checksums tell: {read}");
    }
}

/// As the tables of Exif say which sides of the upright picture the first row and the first column of
/// the stored one are.
fn stored(upright: &RgbImage, orientation: u8) -> RgbImage {
    let (width, height) = upright.dimensions();
    let turned = orientation > 4;
    let (columns, rows) = if turned {
        (height, width)
    } else {
        (width, height)
    };
    RgbImage::from_fn(columns, rows, |column, row| {
        let (right, bottom) = (width - 1, height - 1);
        let (x, y) = match orientation {
            1 => (column, row),
            2 => (right - column, row),
            3 => (right - column, bottom - row),
            4 => (column, bottom - row),
            5 => (row, column),
            6 => (right - row, column),
            7 => (right - row, bottom - column),
            _ => (row, bottom - column),
        };
        *upright.get_pixel(x, y)
    })
}

/// Exif with an orientation and nothing else.
fn exif(orientation: u8, big_endian: bool) -> Vec<u8> {
    let value = u16::from(orientation);
    match big_endian {
        true => [
            &b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01"[..],
            &value.to_be_bytes(),
            &[0; 6],
        ]
        .concat(),
        false => [
            &b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..],
            &value.to_le_bytes(),
            &[0; 6],
        ]
        .concat(),
    }
}

fn png_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let encoder = ::png::Encoder::new(&mut file, 1, 1);
    let mut writer = encoder.write_header().unwrap();
    let kind = ::png::chunk::ChunkType(*kind);
    writer.write_chunk(kind, data).unwrap();
    drop(writer);
    // Behind the signature and IHDR; IEND follows.
    file[8 + 25..file.len() - 12].to_vec()
}

/// A PNG with a chunk eXIf before or behind its pixels.
fn with_exif(png: &[u8], orientation: u8, behind: bool, big_endian: bool) -> Vec<u8> {
    let at = if behind { png.len() - 12 } else { 8 + 25 };
    let chunk = png_chunk(b"eXIf", &exif(orientation, big_endian));
    [&png[..at], &chunk, &png[at..]].concat()
}

fn png_of(picture: &RgbImage) -> Vec<u8> {
    let mut file = Vec::new();
    let (width, height) = picture.dimensions();
    PngEncoder::new(&mut file)
        .write_image(picture, width, height, ExtendedColorType::Rgb8)
        .unwrap();
    file
}

#[test]
fn all_eight_orientations_are_made_upright() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("photo");
    let upright = picture(48, 32);
    for orientation in 1..=8 {
        let stored = stored(&upright, orientation);
        for big_endian in [false, true] {
            for behind in [false, true] {
                let png = with_exif(&png_of(&stored), orientation, behind, big_endian);
                fs::write(&path, png).unwrap();
                assert_eq!(read_upright(&path).unwrap(), upright, "{orientation}");
                assert_eq!(read_stored(&path).unwrap(), stored, "{orientation}");
            }
            for progressive in [false, true] {
                let exif = exif(orientation, big_endian);
                let file = jpeg(&stored, |encoder| {
                    encoder.set_progressive(progressive);
                    encoder.add_exif_metadata(&exif).unwrap();
                });
                fs::write(&path, file).unwrap();
                let found = read_upright(&path).unwrap();
                assert_eq!(found.dimensions(), upright.dimensions(), "{orientation}");
                for (x, y) in [(5, 5), (42, 5), (5, 26), (42, 26)] {
                    let (found, expected) = (found.get_pixel(x, y), upright.get_pixel(x, y));
                    let far = found
                        .0
                        .iter()
                        .zip(expected.0)
                        .any(|(a, b)| a.abs_diff(b) > 60);
                    assert!(!far, "{orientation}: {found:?} is not {expected:?}");
                }
                assert_eq!(
                    read_stored(&path).unwrap().dimensions(),
                    stored.dimensions()
                );
            }
        }
    }
    // Values that mean nothing, and Exif that is none, turn nothing.
    for exif in [
        exif(0, false),
        exif(9, true),
        b"MM\0*".to_vec(),
        vec![0xff; 40],
    ] {
        let png = png_of(&upright);
        let chunk = png_chunk(b"eXIf", &exif);
        fs::write(&path, [&png[..33], &chunk, &png[33..]].concat()).unwrap();
        assert_eq!(read_upright(&path).unwrap(), upright);
        fs::write(
            &path,
            jpeg(&upright, |e| e.add_exif_metadata(&exif).unwrap()),
        )
        .unwrap();
        assert_eq!(read_upright(&path).unwrap().dimensions(), (48, 32));
    }
    let headed = [&b"Exif\0\0"[..], &exif(3, false)].concat();
    assert_eq!(super::orientation(&headed), Some(Orientation::Rotate180));
}

#[test]
fn other_kinds_are_named() {
    let cases: [(&[u8], &str); 14] = [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "AVIF"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "WebP"),
        (b"GIF89a\x01\0\x01\0", "GIF"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "BMP"),
        (b"\xff\x0a\xfa\x7f\x01", "JPEG XL"),
        (
            b"\0\0\0\x0cJXL \x0d\x0a\x87\x0a\0\0\0\x14ftypjxl ",
            "JPEG XL",
        ),
        (b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2", "video (MP4)"),
        (b"%PDF-1.7\n", "no picture but PDF"),
        (b"\x7fELF\x02\x01\x01", "no picture"),
        (b"some words", "this is no picture; expected PNG or JPEG"),
    ];
    let dir = tempfile::tempdir().unwrap();
    // Whatever the name says.
    let path = dir.path().join("photo.jpg");
    for (head, expected) in cases {
        let padded = [head, &[0; 64]].concat();
        fs::write(&path, padded).unwrap();
        let error = format!("{:#}", read_upright(&path).unwrap_err());
        assert!(error.contains(expected), "{}: {error}", head.escape_ascii());
        assert!(error.contains("photo.jpg: this is"), "{error}");
        assert!(error.contains("expected PNG or JPEG"), "{error}");
    }
    fs::write(&path, "").unwrap();
    let error = format!("{:#}", read_upright(&path).unwrap_err());
    assert!(error.contains("photo.jpg: it is empty"), "{error}");
    let error = format!("{:#}", read_upright(dir.path()).unwrap_err());
    assert!(error.contains("this is a directory"), "{error}");
    let name = dir.path().join(OsStr::from_bytes(b"\xff.png"));
    fs::write(&name, png_of(&picture(4, 4))).unwrap();
    assert_eq!(read_upright(&name).unwrap().dimensions(), (4, 4));
}

#[test]
fn processes_that_no_decoder_here_knows_are_named() {
    let file = jpeg(&picture(8, 8), |_| {});
    let frame = file.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    for process in [0xc5, 0xc9, 0xca] {
        let mut other = file.clone();
        other[frame + 1] = process;
        let fault = fault(&other);
        assert!(fault.contains("save it anew"), "{process:x}: {fault}");
    }
}

#[test]
fn what_is_too_large_is_called_too_large() {
    let wide = RgbImage::new(MAX_SIDE + 16, 3);
    for file in [png_of(&wide), jpeg(&wide, |_| {})] {
        let fault = fault(&file);
        assert!(fault.contains("too large: 16400x3 pixels"), "{fault}");
        assert!(
            fault.contains("at most 16384 a side; scale it down"),
            "{fault}"
        );
        assert!(!fault.contains("damaged"), "{fault}");
    }
    // 16384 x 16384 pixels of 64 bits, as the header says.
    let mut header = png_chunk(b"IHDR", b"\0\0\x40\0\0\0\x40\0\x10\x06\0\0\0");
    header.splice(0..0, *b"\x89PNG\r\n\x1a\n");
    header.extend(png_chunk(b"IDAT", b"\x78\x9c"));
    header.extend(png_chunk(b"IEND", b""));
    let fault = fault(&header);
    assert!(
        fault.contains("too large: 16384x16384 pixels take 2048 MiB, expected at most 1024"),
        "{fault}"
    );
    let endless = [&header[..16], b"\xff\xff\xff\xff\0\0\0\x01", &header[24..]].concat();
    let fault = self::fault(&endless);
    assert!(fault.contains("too large: 4294967295x1 pixels"), "{fault}");
    // A source without an end.
    let endless = b"\x89PNG\r\n\x1a\n"
        .iter()
        .copied()
        .chain(std::iter::repeat(0));
    let error = load(Endless(endless), None, 3 << 20)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("too large: a file of more than 3 MiB"),
        "{error}"
    );
}

/// Bytes of an iterator.
struct Endless<I>(I);

impl<I: Iterator<Item = u8>> Read for Endless<I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer
            .iter_mut()
            .zip(&mut self.0)
            .for_each(|(to, byte)| *to = byte);
        Ok(buffer.len())
    }
}
