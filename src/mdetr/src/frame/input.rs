//! The network's input: its size, and frames normalised.

use super::format::{Channels, Colorimetry, YuvRange};
use super::pixels::{Frame, MAX_SIDE};
use super::resize::{Resized, resized};

/// Size of the network's input for a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputPolicy {
    /// The frame's own size.
    Native,
    /// The short side becomes `short`, unless the long one would then exceed `max_long`.
    ShortSide { short: u32, max_long: u32 },
}

impl InputPolicy {
    /// This policy with another short side; the bound on the long one grows or shrinks with it.
    pub(crate) fn with_short_side(self, short: u32) -> InputPolicy {
        let max_long = match self {
            InputPolicy::Native => MAX_SIDE,
            InputPolicy::ShortSide {
                short: old,
                max_long,
            } => {
                let scaled = u64::from(max_long) * u64::from(short) / u64::from(old);
                u32::try_from(scaled).map_or(MAX_SIDE, |long| long.min(MAX_SIDE))
            }
        };
        InputPolicy::ShortSide { short, max_long }
    }

    /// Width and height of the network's input for a frame of `width` x `height`.
    ///
    /// MDETR's rule, with its roundings: half to even where the long
    /// side decides, truncation of the other side. A frame so thin that a side would round to
    /// nothing gets one pixel there, and at most `max_long` on the other.
    pub(crate) fn target(self, width: u32, height: u32) -> (u32, u32) {
        let InputPolicy::ShortSide {
            short: target,
            max_long,
        } = self
        else {
            return (width, height);
        };
        let (short, long) = (f64::from(width.min(height)), f64::from(width.max(height)));
        let mut new_short = f64::from(target);
        if long / short * new_short > f64::from(max_long) {
            new_short = (f64::from(max_long) * short / long).round_ties_even();
        }
        if new_short == short {
            return (width, height);
        }
        let (new_short, new_long) = if new_short < 1.0 {
            (1, max_long)
        } else {
            (new_short as u32, (new_short * long / short) as u32)
        };
        if width <= height {
            (new_short, new_long)
        } else {
            (new_long, new_short)
        }
    }
}

/// Mean and deviation of each channel, for values from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Normalisation {
    mean: [f32; 3],
    std: [f32; 3],
    /// The normalised value of each code of each channel.
    table: Box<[[f32; 256]; 3]>,
}

impl Normalisation {
    pub(crate) fn new(mean: [f32; 3], std: [f32; 3]) -> Normalisation {
        let table = std::array::from_fn(|channel| {
            std::array::from_fn(|code| (code as f32 / 255.0 - mean[channel]) / std[channel])
        });
        Normalisation {
            mean,
            std,
            table: Box::new(table),
        }
    }

    /// The tensor `[3, height, width]` of `frame` resized to `width` x `height`.
    pub(crate) fn tensor(&self, frame: &Frame, width: u32, height: u32) -> Vec<f32> {
        let area = width as usize * height as usize;
        let mut tensor = vec![0.0; 3 * area];
        resized(frame, width, height, |resized| match resized {
            Resized::Packed(pixels, packing) => self.packed(pixels, packing, &mut tensor),
            Resized::Gray(pixels) => self.gray(pixels, &mut tensor),
            Resized::Yuv(planes) => self.yuv(planes, frame.colorimetry, &mut tensor),
        });
        tensor
    }

    fn packed(&self, pixels: &[u8], packing: Channels, tensor: &mut [f32]) {
        let area = tensor.len() / 3;
        for (channel, values) in tensor.chunks_exact_mut(area).enumerate() {
            let (table, offset) = (&self.table[channel], packing.rgb[channel]);
            for (value, pixel) in values.iter_mut().zip(pixels.chunks_exact(packing.bytes)) {
                *value = table[usize::from(pixel[offset])];
            }
        }
    }

    fn gray(&self, pixels: &[u8], tensor: &mut [f32]) {
        let area = tensor.len() / 3;
        for (values, table) in tensor.chunks_exact_mut(area).zip(self.table.iter()) {
            for (value, &pixel) in values.iter_mut().zip(pixels) {
                *value = table[usize::from(pixel)];
            }
        }
    }

    fn yuv(&self, [luma, cb, cr]: [&[u8]; 3], colorimetry: Colorimetry, tensor: &mut [f32]) {
        let coefficients = YuvCoefficients::new(colorimetry);
        let area = tensor.len() / 3;
        let (red, rest) = tensor.split_at_mut(area);
        let (green, blue) = rest.split_at_mut(area);
        let scale = self.std.map(|std| 1.0 / std);
        let codes = luma.iter().zip(cb).zip(cr);
        let values = red.iter_mut().zip(green).zip(blue);
        for (((red, green), blue), ((&y, &cb), &cr)) in values.zip(codes) {
            let rgb = coefficients.rgb(y, cb, cr);
            *red = (rgb[0] - self.mean[0]) * scale[0];
            *green = (rgb[1] - self.mean[1]) * scale[1];
            *blue = (rgb[2] - self.mean[2]) * scale[2];
        }
    }
}

/// Y'CbCr codes to R'G'B' from 0 to 1 (ITU-R BT.601, BT.709, BT.2020: the same form, other weights).
struct YuvCoefficients {
    black: f32,
    luma: f32,
    red_cr: f32,
    green_cb: f32,
    green_cr: f32,
    blue_cb: f32,
}

impl YuvCoefficients {
    fn new(colorimetry: Colorimetry) -> YuvCoefficients {
        let (kr, kb) = colorimetry.matrix.luma_weights();
        let kg = 1.0 - kr - kb;
        let (black, luma_codes, chroma_codes) = match colorimetry.range {
            YuvRange::Limited => (16.0, 219.0, 224.0),
            YuvRange::Full => (0.0, 255.0, 255.0),
        };
        YuvCoefficients {
            black,
            luma: 1.0 / luma_codes,
            red_cr: 2.0 * (1.0 - kr) / chroma_codes,
            green_cb: -2.0 * kb * (1.0 - kb) / kg / chroma_codes,
            green_cr: -2.0 * kr * (1.0 - kr) / kg / chroma_codes,
            blue_cb: 2.0 * (1.0 - kb) / chroma_codes,
        }
    }

    fn rgb(&self, y: u8, cb: u8, cr: u8) -> [f32; 3] {
        let y = (f32::from(y) - self.black) * self.luma;
        let (cb, cr) = (f32::from(cb) - 128.0, f32::from(cr) - 128.0);
        [
            (y + self.red_cr * cr).clamp(0.0, 1.0),
            (y + self.green_cb * cb + self.green_cr * cr).clamp(0.0, 1.0),
            (y + self.blue_cb * cb).clamp(0.0, 1.0),
        ]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::{PixelFormat, Plane, YuvMatrix};

    const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
    const STD: [f32; 3] = [0.229, 0.224, 0.225];

    fn codes(tensor: &[f32]) -> Vec<[f32; 3]> {
        let area = tensor.len() / 3;
        (0..area)
            .map(|i| std::array::from_fn(|c| (tensor[c * area + i] * STD[c] + MEAN[c]) * 255.0))
            .collect()
    }

    /// A smooth coloured picture: RGB of each pixel, inside what every format can say.
    fn picture(width: u32, height: u32) -> Vec<[u8; 3]> {
        let wave = |t: f32| (60.0 * t.sin() + 128.0) as u8;
        (0..width * height)
            .map(|i| {
                let (x, y) = ((i % width) as f32 / 9.0, (i / width) as f32 / 7.0);
                [wave(x + 0.3 * y), wave(y + 1.0), wave(x - y + 2.0)]
            })
            .collect()
    }

    /// Full-range BT.601 from the standard's own form: luma, then scaled colour differences.
    fn to_yuv([r, g, b]: [u8; 3]) -> [u8; 3] {
        let [r, g, b] = [r, g, b].map(f32::from);
        let y = 0.299 * r + 0.587 * g + 0.114 * b;
        [y, 128.0 + (b - y) / 1.772, 128.0 + (r - y) / 1.402].map(|v| v.round() as u8)
    }

    fn mean_chroma(yuv: &[[u8; 3]], width: u32, height: u32, rows: u32) -> Vec<[u8; 2]> {
        let mut chroma = Vec::new();
        for cy in 0..height.div_ceil(rows) {
            for cx in 0..width.div_ceil(2) {
                let block = (cy * rows..(cy * rows + rows).min(height)).flat_map(|y| {
                    (2 * cx..(2 * cx + 2).min(width)).map(move |x| (y * width + x) as usize)
                });
                let block: Vec<[u8; 3]> = block.map(|i| yuv[i]).collect();
                let mean = |channel: usize| {
                    let sum: u32 = block.iter().map(|p| u32::from(p[channel])).sum();
                    (sum as f32 / block.len() as f32).round() as u8
                };
                chroma.push([mean(1), mean(2)]);
            }
        }
        chroma
    }

    /// The planes of `format` (with `padding` bytes of 0xAA after each row) and their strides.
    fn encode(
        format: PixelFormat,
        rgb: &[[u8; 3]],
        width: u32,
        height: u32,
        padding: usize,
    ) -> Vec<(Vec<u8>, usize)> {
        let yuv: Vec<[u8; 3]> = rgb.iter().map(|&p| to_yuv(p)).collect();
        let luma: Vec<u8> = yuv.iter().map(|p| p[0]).collect();
        let tight: Vec<Vec<u8>> = match format {
            PixelFormat::Gray8 => vec![luma],
            PixelFormat::Nv12 => {
                vec![luma, mean_chroma(&yuv, width, height, 2).concat()]
            }
            PixelFormat::I420 => {
                let chroma = mean_chroma(&yuv, width, height, 2);
                let plane = |i: usize| chroma.iter().map(|c| c[i]).collect();
                vec![luma, plane(0), plane(1)]
            }
            PixelFormat::Yuy2 => {
                let chroma = mean_chroma(&yuv, width, height, 1);
                let mut bytes = Vec::new();
                for (i, [cb, cr]) in chroma.into_iter().enumerate() {
                    let columns = width.div_ceil(2) as usize;
                    let first = i / columns * width as usize + i % columns * 2;
                    let second = (first + 1).min(i / columns * width as usize + width as usize - 1);
                    bytes.extend([luma[first], cb, luma[second], cr]);
                }
                vec![bytes]
            }
            packed => {
                let packing = packed.packing().unwrap();
                let mut bytes = vec![0x55; rgb.len() * packing.bytes];
                for (pixel, rgb) in bytes.chunks_exact_mut(packing.bytes).zip(rgb) {
                    for channel in 0..3 {
                        pixel[packing.rgb[channel]] = rgb[channel];
                    }
                }
                vec![bytes]
            }
        };
        tight
            .iter()
            .zip(format.plane_sizes(width, height))
            .map(|(plane, (row, _))| {
                let rows = plane.chunks_exact(row);
                let padded: Vec<Vec<u8>> = rows
                    .map(|line| [line, &vec![0xAA; padding]].concat())
                    .collect();
                (padded.concat(), row + padding)
            })
            .collect()
    }

    fn tensor_of(
        planes: &[(Vec<u8>, usize)],
        format: PixelFormat,
        size: (u32, u32),
        target: (u32, u32),
    ) -> Vec<f32> {
        let planes: Vec<Plane> = planes
            .iter()
            .map(|(data, stride)| Plane {
                data,
                stride: *stride,
            })
            .collect();
        let frame = Frame::new(format, size.0, size.1, &planes)
            .unwrap()
            .with_colorimetry(Colorimetry {
                matrix: YuvMatrix::Bt601,
                range: YuvRange::Full,
            });
        Normalisation::new(MEAN, STD).tensor(&frame, target.0, target.1)
    }

    #[test]
    fn targets_of_mdetr() {
        let policy = InputPolicy::ShortSide {
            short: 800,
            max_long: 1333,
        };
        let cases = [
            ((640, 480), (1066, 800)),
            ((500, 333), (1201, 800)),
            ((1000, 500), (1332, 666)),
            ((1024, 576), (1333, 750)),
            ((480, 320), (1200, 800)),
            ((3000, 900), (1333, 400)),
            ((480, 640), (800, 1066)),
            ((800, 800), (800, 800)),
            ((1200, 800), (1200, 800)),
        ];
        for ((width, height), target) in cases {
            assert_eq!(policy.target(width, height), target, "{width}x{height}");
        }
    }

    #[test]
    fn targets_of_the_bundled_model() {
        let policy = InputPolicy::ShortSide {
            short: 192,
            max_long: 341,
        };
        assert_eq!(policy.target(640, 480), (256, 192));
        assert_eq!(policy.target(1920, 1080), (341, 192));
        assert_eq!(policy.target(1, 1), (192, 192));
        assert_eq!(policy.target(4000, 2), (341, 1));
        assert_eq!(policy.target(2, 4000), (1, 341));
        assert_eq!(policy.target(16384, 1), (341, 1));
        assert_eq!(InputPolicy::Native.target(4000, 2), (4000, 2));
    }

    #[test]
    fn another_short_side_keeps_the_proportions() {
        let policy = InputPolicy::ShortSide {
            short: 800,
            max_long: 1333,
        };
        let smaller = policy.with_short_side(480);
        assert_eq!(smaller.target(1920, 1080), (798, 449));
        assert_eq!(smaller.target(640, 480), (640, 480));
        let native = InputPolicy::Native.with_short_side(240);
        assert_eq!(native.target(640, 480), (320, 240));
        let huge = policy.with_short_side(MAX_SIDE);
        let max_long = MAX_SIDE;
        let short = MAX_SIDE;
        assert_eq!(huge, InputPolicy::ShortSide { short, max_long });
    }

    /// The pictures were made by `tests/data/resize/make.py`.
    #[test]
    fn resizing_is_that_of_pillow() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/resize");
        let read = |name: &str| image::open(folder.join(name)).unwrap().into_rgb8();
        let source = read("source.png");
        let size = source.dimensions();
        let planes = [(source.as_raw().clone(), 3 * size.0 as usize)];
        for target in [(133, 84), (48, 30), (200, 20), (97, 30), (13, 9)] {
            let expected = read(&format!("{}x{}.png", target.0, target.1));
            let tensor = tensor_of(&planes, PixelFormat::Rgb, size, target);
            let most = codes(&tensor)
                .as_flattened()
                .iter()
                .zip(expected.as_raw())
                .map(|(found, expected)| (found - f32::from(*expected)).abs())
                .fold(0.0, f32::max);
            assert!(most < 1.01, "{target:?}: {most} levels");
        }
    }

    #[test]
    fn without_resize_rgb_is_only_normalised() {
        let rgb = picture(7, 5);
        let tensor = tensor_of(&[(rgb.concat(), 21)], PixelFormat::Rgb, (7, 5), (7, 5));
        for (i, pixel) in rgb.iter().enumerate() {
            for c in 0..3 {
                let expected = (f32::from(pixel[c]) / 255.0 - MEAN[c]) / STD[c];
                assert_eq!(tensor[c * 35 + i], expected);
            }
        }
    }

    /// Without padding planes are taken as they lie, with it they go through the resizer.
    #[test]
    fn a_frame_of_the_networks_size_is_the_same_either_way() {
        let size = (12, 10);
        let rgb = picture(size.0, size.1);
        for format in PixelFormat::ALL {
            let [as_it_lies, copied] = [0, 4].map(|padding| {
                let planes = encode(format, &rgb, size.0, size.1, padding);
                tensor_of(&planes, format, size, size)
            });
            assert_eq!(as_it_lies, copied, "{format:?}");
        }
    }

    #[test]
    fn limited_range_black_white_and_red() {
        let colorimetry = |matrix| Colorimetry {
            matrix,
            range: YuvRange::Limited,
        };
        for matrix in [YuvMatrix::Bt601, YuvMatrix::Bt709, YuvMatrix::Bt2020] {
            let coefficients = YuvCoefficients::new(colorimetry(matrix));
            assert_eq!(coefficients.rgb(16, 128, 128), [0.0; 3]);
            assert!(
                coefficients
                    .rgb(235, 128, 128)
                    .iter()
                    .all(|v| *v > 0.999_999)
            );
        }
        // Codes of pure red, as tables of the standards give them.
        for (matrix, [y, cb, cr]) in [
            (YuvMatrix::Bt601, [81, 90, 240]),
            (YuvMatrix::Bt709, [63, 102, 240]),
        ] {
            let [r, g, b] = YuvCoefficients::new(colorimetry(matrix)).rgb(y, cb, cr);
            assert!(r > 0.99 && g < 0.01 && b < 0.01, "{matrix:?}: {r} {g} {b}");
        }
    }

    #[test]
    fn a_downscale_by_two_is_the_triangle_filter() {
        let row: Vec<u8> = vec![0, 0, 0, 80, 0, 0, 0, 0];
        let tensor = tensor_of(&[(row, 8)], PixelFormat::Gray8, (8, 1), (4, 1));
        let values: Vec<f32> = codes(&tensor).iter().map(|p| p[0].round()).collect();
        // Weights of a triangle of radius 2 at distances 0.5 and 1.5, normalised: 3/8 and 1/8.
        assert_eq!(values, [0.0, 30.0, 10.0, 0.0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_format_gives_the_same_picture(
            format in prop::sample::select(PixelFormat::ALL.to_vec()),
            width in 20u32..70,
            height in 20u32..70,
            padding in 0usize..7,
            target in (5u32..60, 5u32..60),
        ) {
            let rgb = picture(width, height);
            let planes = encode(format, &rgb, width, height, padding);
            let found = tensor_of(&planes, format, (width, height), target);
            let reference = if format == PixelFormat::Gray8 {
                rgb.iter().flat_map(|&p| [to_yuv(p)[0]; 3]).collect()
            } else {
                rgb.concat()
            };
            let reference =
                [(reference, 3 * width as usize)];
            let expected = tensor_of(&reference, PixelFormat::Rgb, (width, height), target);
            let subsampled =
                matches!(format, PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::Yuy2);
            let (found, expected) = (codes(&found), codes(&expected));
            let mut sum = 0.0;
            for (a, b) in found.iter().zip(&expected) {
                for c in 0..3 {
                    let difference = (a[c] - b[c]).abs();
                    sum += difference;
                    // The picture's chroma turns by up to 1/7 rad a pixel.
                    let most = if subsampled { 16.0 } else { 0.01 };
                    prop_assert!(difference <= most, "{:?} {:?} {:?}", format, a, b);
                }
            }
            let mean = sum / (3 * found.len()) as f32;
            prop_assert!(mean <= if subsampled { 2.0 } else { 0.01 }, "{:?}: mean {}", format, mean);
        }

        #[test]
        fn padding_is_never_seen(
            format in prop::sample::select(PixelFormat::ALL.to_vec()),
            width in 1u32..24,
            height in 1u32..24,
            padding in 1usize..7,
            target in (1u32..30, 1u32..30),
        ) {
            let rgb = picture(width, height);
            let tight = encode(format, &rgb, width, height, 0);
            let mut padded = encode(format, &rgb, width, height, padding);
            let size = (width, height);
            let expected = tensor_of(&tight, format, size, target);
            prop_assert_eq!(&tensor_of(&padded, format, size, target), &expected);
            for (data, _) in &mut padded {
                data.truncate(data.len() - padding);
            }
            prop_assert_eq!(&tensor_of(&padded, format, size, target), &expected);
        }

        #[test]
        fn targets_keep_the_rule(
            width in 1u32..=16384,
            height in 1u32..=16384,
            short in 32u32..900,
            extra in 0u32..900,
        ) {
            let max_long = short + extra;
            let (w, h) = InputPolicy::ShortSide { short, max_long }.target(width, height);
            prop_assert!(w >= 1 && h >= 1);
            prop_assert!(w.min(h) <= short);
            // The short side is rounded first, so a thin frame's long side may exceed the bound.
            prop_assert!(f64::from(w.max(h)) <= f64::from(max_long) * 2.0);
            prop_assert!(w == h || (width < height) == (w < h));
            prop_assert!(w == h || width != height);
        }
    }
}
