//! Frames in surfaces of NVIDIA's libraries (`memory:NVMM`): scaled by the hardware to what the network takes, so that
//! only that is copied. Where the hardware does not scale them, the CPU reads whole frames.

mod library;

use std::cell::RefCell;
use std::ptr::read;
use std::slice;
use std::sync::OnceLock;

use gst_video::VideoInfo;
use mdetr::{Frame, PixelFormat, Plane};

use self::library::{Library, PITCH, PLANES, Surface};
use super::FrameError;

/// The hardware scales a side by no more than 16.
const MOST: u32 = 16;

/// Why a surface cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "a frame of memory:NVMM cannot be read: {0}; put \"nvvidconv ! video/x-raw\" before this element"
)]
pub(crate) struct NvmmError(String);

thread_local! {
    /// Where this thread's frames are scaled to.
    static SCALED: RefCell<Option<Scaled>> = const { RefCell::new(None) };
}

/// Calls `f` with the frame of a surface: at about the size `target`, or, where it cannot be scaled, as it is.
///
/// # Errors
/// The buffer has no surface that can be read.
pub(super) fn with_frame<R>(
    buffer: &gst::BufferRef,
    info: &VideoInfo,
    format: PixelFormat,
    target: (u32, u32),
    f: impl FnOnce(&Frame) -> R,
) -> Result<R, FrameError> {
    let library = Library::get().map_err(|error| NvmmError(error.to_owned()))?;
    let map = buffer.map_readable();
    let map = map.map_err(|_| NvmmError("its buffer cannot be mapped".to_owned()))?;
    let surface = surface_of(&map, info)?;
    if read_whole().is_none() {
        let target = reachable((info.width(), info.height()), target);
        let mut slot = SCALED.take();
        // SAFETY: the surface lives as long as the buffer's mapping.
        match unsafe { scale(&mut slot, library, surface, target) } {
            Ok(frame) => {
                let found = f(&frame.scaled_from(info.width(), info.height())?);
                SCALED.set(slot);
                return Ok(found);
            }
            // Another thread's frame may have failed before.
            Err(error) => drop(READ_WHOLE.set(error)),
        }
    }
    // SAFETY: as above.
    unsafe { with_whole(library, surface, info, format, f) }
}

/// Why frames are not scaled any more.
static READ_WHOLE: OnceLock<String> = OnceLock::new();

/// Why frames are read whole from now on: the hardware failed to scale one.
pub(crate) fn read_whole() -> Option<&'static str> {
    READ_WHOLE.get().map(String::as_str)
}

/// The one surface that a buffer holds instead of pixels.
fn surface_of(map: &[u8], info: &VideoInfo) -> Result<*mut Surface, NvmmError> {
    let surface = map.as_ptr().cast::<Surface>();
    if map.len() < size_of::<Surface>() || !surface.is_aligned() {
        return Err(NvmmError(format!(
            "its buffer has {} bytes, and no surface",
            map.len()
        )));
    }
    // SAFETY: it is as large, and aligned; any bytes are integers and pointers, and `contiguous` is not looked at.
    let (batch, list) = unsafe {
        (
            read(&raw const (*surface).batch_size),
            read(&raw const (*surface).list),
        )
    };
    if batch != 1 || list.is_null() {
        return Err(NvmmError(format!(
            "its buffer has a batch of {batch} surfaces, expected one; put nvstreamdemux before nvvidconv"
        )));
    }
    // SAFETY: the batch has a surface.
    let found = unsafe {
        (
            read(&raw const (*list).width),
            read(&raw const (*list).height),
        )
    };
    if found != (info.width(), info.height()) {
        return Err(NvmmError(format!(
            "its surface is {}x{}, its caps say {}x{}",
            found.0,
            found.1,
            info.width(),
            info.height()
        )));
    }
    Ok(surface.cast_mut())
}

/// The size nearest to the target that the hardware can scale to.
fn reachable(from: (u32, u32), target: (u32, u32)) -> (u32, u32) {
    let side = |from: u32, target: u32| target.clamp(from.div_ceil(MOST), from * MOST);
    (side(from.0, target.0), side(from.1, target.1))
}

/// A surface of this process that frames are scaled to, mapped for the CPU.
struct Scaled {
    library: &'static Library,
    surface: *mut Surface,
    gpu: u32,
    size: (u32, u32),
}

impl Scaled {
    fn new(library: &'static Library, gpu: u32, size: (u32, u32)) -> Result<Scaled, String> {
        let surface = library.create(gpu, size)?;
        // SAFETY: it was made just now, with the one plane of RGBA.
        if let Err(error) = unsafe { library.map(surface, 0) } {
            // SAFETY: nobody else knows it.
            unsafe { library.destroy(surface) };
            return Err(error);
        }
        Ok(Scaled {
            library,
            surface,
            gpu,
            size,
        })
    }

    /// What the CPU reads.
    fn frame(&self) -> Result<Frame<'_>, String> {
        // SAFETY: the surface exists, and its plane is mapped, as long as `self`.
        let plane = unsafe { plane(self.surface, 0) }?;
        let (width, height) = self.size;
        let frame = Frame::new(PixelFormat::Rgba, width, height, &[plane]);
        frame.map_err(|error| error.to_string())
    }
}

impl Drop for Scaled {
    fn drop(&mut self) {
        // SAFETY: it was made and mapped in `new`; nothing borrows it any more.
        unsafe {
            self.library.unmap(self.surface, 0);
            self.library.destroy(self.surface);
        }
    }
}

/// A surface scaled into the slot's, which is made anew if it is another size.
///
/// # Safety
/// `surface` exists, with one frame in it.
unsafe fn scale<'a>(
    slot: &'a mut Option<Scaled>,
    library: &'static Library,
    surface: *mut Surface,
    size: (u32, u32),
) -> Result<Frame<'a>, String> {
    // SAFETY: as the caller promises.
    let gpu = unsafe { read(&raw const (*surface).gpu) };
    let kept = slot
        .take()
        .filter(|kept| (kept.gpu, kept.size) == (gpu, size));
    let scaled = match kept {
        Some(kept) => kept,
        None => Scaled::new(library, gpu, size)?,
    };
    // SAFETY: both exist, and this thread alone has the second.
    unsafe {
        library.scale(surface, scaled.surface)?;
        library.sync(scaled.surface, 0)?;
    }
    slot.insert(scaled).frame()
}

/// Calls `f` with a surface's own pixels.
///
/// # Safety
/// `surface` exists, with one frame in it of these caps.
unsafe fn with_whole<R>(
    library: &'static Library,
    surface: *mut Surface,
    info: &VideoInfo,
    format: PixelFormat,
    f: impl FnOnce(&Frame) -> R,
) -> Result<R, FrameError> {
    // SAFETY: as the caller promises.
    let layout = unsafe { read(&raw const (*(*surface).list).layout) };
    if layout != PITCH {
        return Err(NvmmError("its pixels lie in blocks, not in rows".to_owned()).into());
    }
    let count = (info.n_planes() as usize).min(PLANES);
    let mut mapped = MappedPlanes {
        library,
        surface,
        count: 0,
    };
    for plane in 0..count {
        // SAFETY: as the caller promises.
        unsafe { library.map(surface, plane) }.map_err(NvmmError)?;
        mapped.count = plane + 1;
        // SAFETY: it is mapped.
        unsafe { library.sync(surface, plane) }.map_err(NvmmError)?;
    }
    // SAFETY: they are mapped until `mapped` is dropped, after `f`.
    let planes = (0..count).map(|at| unsafe { plane(surface, at) });
    let planes: Vec<Plane> = planes.collect::<Result<_, _>>().map_err(NvmmError)?;
    let frame = Frame::new(format, info.width(), info.height(), &planes)?
        .with_colorimetry(super::colorimetry(info));
    Ok(f(&frame))
}

/// Takes planes back from the CPU.
struct MappedPlanes {
    library: &'static Library,
    surface: *mut Surface,
    count: usize,
}

impl Drop for MappedPlanes {
    fn drop(&mut self) {
        for plane in 0..self.count {
            // SAFETY: they are mapped; nothing reads them any more.
            unsafe { self.library.unmap(self.surface, plane) };
        }
    }
}

/// # Safety
/// The plane of `surface` is mapped as long as the result lives.
unsafe fn plane<'a>(surface: *mut Surface, at: usize) -> Result<Plane<'a>, String> {
    // SAFETY: as the caller promises.
    let (address, stride, bytes) = unsafe {
        let parameters = &*(*surface).list;
        let planes = &parameters.planes;
        (
            parameters.mapped.address[at],
            planes.pitch[at],
            planes.bytes[at],
        )
    };
    if address.is_null() {
        return Err(format!("NvBufSurfaceMap gave no address for plane {at}"));
    }
    // SAFETY: the library says that so many bytes are there.
    let data = unsafe { slice::from_raw_parts(address.cast::<u8>(), bytes as usize) };
    Ok(Plane {
        data,
        stride: stride as usize,
    })
}
