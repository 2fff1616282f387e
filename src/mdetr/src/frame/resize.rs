//! Frames resized to the network's input.
//!
//! | format | way |
//! |---|---|
//! | packed RGB | resized as it lies (3 or 4 channels), channels picked when normalising |
//! | Gray8 | one channel resized, used three times |
//! | NV12, I420, YUY2 | luma and chroma resized each from its own grid, then converted at the size of the network's input |
//!
//! The resize is antialiased bilinear on 8 bit, as Pillow's, so RGB agrees with what the network
//! was trained on. Resizing planes before the conversion is several times cheaper than converting a
//! whole frame; the two orders commute but for rounding, as both are linear.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::slice;

use fast_image_resize::images::TypedImage;
use fast_image_resize::pixels::{InnerPixel, U8, U8x2, U8x3, U8x4};
use fast_image_resize::{
    FilterType, ImageView, PixelTrait, PixelType, ResizeAlg, ResizeOptions, Resizer,
};

use super::format::{Channels, PixelFormat};
use super::pixels::{Frame, Plane};

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Buffers kept by a thread between frames are let go above this size.
const KEPT_BYTES: usize = 16 << 20;

/// A frame resized, before normalisation.
pub(super) enum Resized<'a> {
    Packed(&'a [u8], Channels),
    Gray(&'a [u8]),
    Yuv([&'a [u8]; 3]),
}

/// Gives `then` the frame at `width` x `height`.
pub(super) fn resized(frame: &Frame, width: u32, height: u32, then: impl FnOnce(Resized)) {
    SCRATCH.with_borrow_mut(|scratch| scratch.fill(frame, width, height, then));
}

/// What a thread keeps between frames: the resizer's buffers and ours.
#[derive(Default)]
struct Scratch {
    resizer: Resizer,
    resized: [Vec<u8>; 3],
    split: [Vec<u8>; 3],
}

impl Scratch {
    fn fill(&mut self, frame: &Frame, width: u32, height: u32, then: impl FnOnce(Resized)) {
        let Scratch {
            resizer,
            resized,
            split,
        } = self;
        let target = (width, height);
        let whole = (frame.width, frame.height);
        let luma = Grid::luma(whole);
        let [first, second, third] = resized;
        match (frame.format, frame.planes.as_slice()) {
            (PixelFormat::Nv12, [y, chroma]) => {
                let grid = Grid::chroma(whole, true);
                let y = resize(resizer, y, luma, PixelType::U8, target, first);
                let pairs = resize(resizer, chroma, grid, PixelType::U8x2, target, second);
                let [cb, cr, _] = split;
                pick(pairs, 2, 0, cb);
                pick(pairs, 2, 1, cr);
                then(Resized::Yuv([y, cb, cr]));
            }
            (PixelFormat::I420, [y, cb, cr]) => {
                let grid = Grid::chroma(whole, true);
                let y = resize(resizer, y, luma, PixelType::U8, target, first);
                let cb = resize(resizer, cb, grid, PixelType::U8, target, second);
                let cr = resize(resizer, cr, grid, PixelType::U8, target, third);
                then(Resized::Yuv([y, cb, cr]));
            }
            (PixelFormat::Yuy2, [packed]) => {
                // Pairs of luma and chroma, and groups of Y0, Cb, Y1, Cr.
                let grid = Grid::chroma(whole, false);
                let pairs = resize(resizer, packed, luma, PixelType::U8x2, target, first);
                let groups = resize(resizer, packed, grid, PixelType::U8x4, target, second);
                let [y, cb, cr] = split;
                pick(pairs, 2, 0, y);
                pick(groups, 4, 1, cb);
                pick(groups, 4, 3, cr);
                then(Resized::Yuv([y, cb, cr]));
            }
            (format, [plane, ..]) => match format.packing() {
                Some(packing) => {
                    let pixel = if packing.bytes == 3 {
                        PixelType::U8x3
                    } else {
                        PixelType::U8x4
                    };
                    let pixels = resize(resizer, plane, luma, pixel, target, first);
                    then(Resized::Packed(pixels, packing));
                }
                None => {
                    let pixels = resize(resizer, plane, luma, PixelType::U8, target, first);
                    then(Resized::Gray(pixels));
                }
            },
            (_, []) => unreachable!("Frame::new takes as many planes as the format has"),
        }
        self.let_go();
    }

    /// Frees what only an unusually large frame needs.
    fn let_go(&mut self) {
        for buffer in self.resized.iter_mut().chain(&mut self.split) {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
        if self.resizer.size_of_internal_buffers() > KEPT_BYTES {
            self.resizer.reset_internal_buffers();
        }
    }
}

/// The samples of a plane and the part of them that the picture covers.
#[derive(Debug, Clone, Copy)]
struct Grid {
    columns: u32,
    rows: u32,
    /// Columns under the picture: a half less than `columns` for chroma of an odd width.
    covered_columns: f64,
    covered_rows: f64,
}

impl Grid {
    fn luma((width, height): (u32, u32)) -> Grid {
        Grid {
            columns: width,
            rows: height,
            covered_columns: width.into(),
            covered_rows: height.into(),
        }
    }

    /// Whether the picture covers all samples.
    fn is_whole(self) -> bool {
        let covered = (self.covered_columns, self.covered_rows);
        covered == (self.columns.into(), self.rows.into())
    }

    /// Half the columns, and half the rows too if `vertical`.
    fn chroma((width, height): (u32, u32), vertical: bool) -> Grid {
        Grid {
            columns: width.div_ceil(2),
            rows: if vertical { height.div_ceil(2) } else { height },
            covered_columns: f64::from(width) / 2.0,
            covered_rows: if vertical {
                f64::from(height) / 2.0
            } else {
                height.into()
            },
        }
    }
}

/// One plane at the target's size, packed: its own bytes where they are just that, else resized into
/// `out`.
///
/// The pixel types are spelled out, as the resizer's own dispatch compiles its kernels for all of
/// the dozen it knows, most of this crate's build time.
fn resize<'a>(
    resizer: &mut Resizer,
    plane: &Plane<'a>,
    grid: Grid,
    pixel: PixelType,
    target: (u32, u32),
    out: &'a mut Vec<u8>,
) -> &'a [u8] {
    let row = grid.columns as usize * pixel.size();
    if target == (grid.columns, grid.rows) && grid.is_whole() && plane.stride == row {
        return &plane.data[..row * grid.rows as usize];
    }
    match pixel {
        PixelType::U8 => resize_typed::<U8>(resizer, plane, grid, target, out),
        PixelType::U8x2 => resize_typed::<U8x2>(resizer, plane, grid, target, out),
        PixelType::U8x3 => resize_typed::<U8x3>(resizer, plane, grid, target, out),
        PixelType::U8x4 => resize_typed::<U8x4>(resizer, plane, grid, target, out),
        other => unreachable!("no frame has pixels of type {other:?}"),
    }
    out
}

fn resize_typed<P: PixelTrait + InnerPixel<Component = u8>>(
    resizer: &mut Resizer,
    plane: &Plane,
    grid: Grid,
    (width, height): (u32, u32),
    out: &mut Vec<u8>,
) {
    out.resize(width as usize * height as usize * P::size(), 0);
    let source = Rows::<P> {
        plane,
        grid,
        pixel: PhantomData,
    };
    let mut target = TypedImage::<P>::from_buffer(width, height, out)
        .expect("the buffer was sized for it, and bytes need no alignment");
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .use_alpha(false)
        .crop(0.0, 0.0, grid.covered_columns, grid.covered_rows);
    resizer
        .resize_typed(&source, &mut target, &options)
        .expect("the covered part lies in the source");
}

/// The rows of a plane where they lie, whatever its stride.
struct Rows<'a, P> {
    plane: &'a Plane<'a>,
    grid: Grid,
    pixel: PhantomData<P>,
}

// SAFETY: rows have as many pixels as the view says that it is wide.
unsafe impl<P: InnerPixel<Component = u8>> ImageView for Rows<'_, P> {
    type Pixel = P;

    fn width(&self) -> u32 {
        self.grid.columns
    }

    fn height(&self) -> u32 {
        self.grid.rows
    }

    fn iter_rows(&self, start_row: u32) -> impl Iterator<Item = &[P]> {
        const { assert!(align_of::<P>() == 1, "a pixel is its bytes") };
        let columns = self.grid.columns as usize;
        let rows = self.plane.data.chunks(self.plane.stride);
        let rows = rows.take(self.grid.rows as usize).skip(start_row as usize);
        rows.map(move |row| {
            let row = &row[..columns * size_of::<P>()];
            // SAFETY: the row has these bytes; a pixel is made of bytes, needs no alignment, and may have any value.
            unsafe { slice::from_raw_parts(row.as_ptr().cast::<P>(), columns) }
        })
    }
}

/// One channel of pixels of `bytes` bytes.
fn pick(pixels: &[u8], bytes: usize, channel: usize, out: &mut Vec<u8>) {
    out.clear();
    out.extend(pixels.chunks_exact(bytes).map(|pixel| pixel[channel]));
}
