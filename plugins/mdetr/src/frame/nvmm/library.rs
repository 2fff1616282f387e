//! What is used of NVIDIA's libnvbufsurface and libnvbufsurftransform: opened when the first surface comes, and never
//! linked. Types are laid out as in the headers of JetPack 5 to 7, of whose members those that are read stand first.

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;

use libloading::{Library as Opened, Symbol};

pub(super) const PLANES: usize = 4;
const RESERVED: usize = 4;

/// `NVBUF_COLOR_FORMAT_RGBA`.
const RGBA: u32 = 19;
/// `NVBUF_LAYOUT_PITCH`: rows of pixels one after the other.
pub(super) const PITCH: u32 = 0;
/// `NVBUF_MEM_DEFAULT`.
const MEMORY_DEFAULT: u32 = 0;
/// `NVBUF_MAP_READ`.
const READ: u32 = 0;
/// `NVBUFSURF_TRANSFORM_FILTER`.
const FILTER: u32 = 1 << 2;
/// `NvBufSurfTransformInter_Algo4`: the VIC's nicest.
const NICEST: u32 = 5;
/// `NvBufSurfTransformCompute_Default`: the VIC on Jetsons, the GPU elsewhere.
const COMPUTE_DEFAULT: u32 = 0;

/// `NvBufSurface`.
#[repr(C)]
pub(super) struct Surface {
    pub gpu: u32,
    pub batch_size: u32,
    pub filled: u32,
    pub contiguous: bool,
    pub memory: u32,
    pub list: *mut Parameters,
    reserved: [*mut c_void; RESERVED],
}

/// `NvBufSurfaceParams`.
#[repr(C)]
pub(super) struct Parameters {
    pub width: u32,
    pub height: u32,
    pub pitch: u32,
    pub colour_format: u32,
    pub layout: u32,
    pub descriptor: u64,
    pub bytes: u32,
    pub data: *mut c_void,
    pub planes: PlaneParameters,
    pub mapped: Mapped,
    reserved: [*mut c_void; RESERVED],
}

/// `NvBufSurfacePlaneParams`.
#[repr(C)]
pub(super) struct PlaneParameters {
    pub count: u32,
    pub width: [u32; PLANES],
    pub height: [u32; PLANES],
    pub pitch: [u32; PLANES],
    pub offset: [u32; PLANES],
    pub bytes: [u32; PLANES],
    pub pixel_bytes: [u32; PLANES],
    reserved: [*mut c_void; RESERVED * PLANES],
}

/// `NvBufSurfaceMappedAddr`.
#[repr(C)]
pub(super) struct Mapped {
    pub address: [*mut c_void; PLANES],
    egl_image: *mut c_void,
    reserved: [*mut c_void; RESERVED],
}

/// `NvBufSurfaceCreateParams`.
#[repr(C)]
struct CreateParameters {
    gpu: u32,
    width: u32,
    height: u32,
    size: u32,
    contiguous: bool,
    colour_format: u32,
    layout: u32,
    memory: u32,
}

/// `NvBufSurfTransformParams`.
#[repr(C)]
struct TransformParameters {
    flags: u32,
    flip: u32,
    filter: u32,
    from: *mut c_void,
    to: *mut c_void,
}

/// `NvBufSurfTransformConfigParams`.
#[repr(C)]
struct SessionParameters {
    compute: u32,
    gpu: i32,
    stream: *mut c_void,
}

type Create = unsafe extern "C" fn(*mut *mut Surface, u32, *mut CreateParameters) -> c_int;
type Destroy = unsafe extern "C" fn(*mut Surface) -> c_int;
type Map = unsafe extern "C" fn(*mut Surface, c_int, c_int, u32) -> c_int;
type OfPlane = unsafe extern "C" fn(*mut Surface, c_int, c_int) -> c_int;
type Transform =
    unsafe extern "C" fn(*mut Surface, *mut Surface, *mut TransformParameters) -> c_int;
type SetSession = unsafe extern "C" fn(*mut SessionParameters) -> c_int;

/// Surfaces.
pub(super) struct Library {
    create: Create,
    destroy: Destroy,
    map: Map,
    unmap: OfPlane,
    sync_for_cpu: OfPlane,
    scaling: Result<Scaling, String>,
}

/// The hardware that scales them.
struct Scaling {
    transform: Transform,
    set_session: SetSession,
}

impl Library {
    /// That of this process.
    ///
    /// # Errors
    /// It is not there.
    pub fn get() -> Result<&'static Library, &'static str> {
        static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
        let library = LIBRARY.get_or_init(Library::open);
        library.as_ref().map_err(String::as_str)
    }

    fn open() -> Result<Library, String> {
        let surfaces = opened("libnvbufsurface.so")?;
        // SAFETY: these are the functions of NVIDIA's header of the same names.
        unsafe {
            Ok(Library {
                create: symbol(surfaces, "NvBufSurfaceCreate")?,
                destroy: symbol(surfaces, "NvBufSurfaceDestroy")?,
                map: symbol(surfaces, "NvBufSurfaceMap")?,
                unmap: symbol(surfaces, "NvBufSurfaceUnMap")?,
                sync_for_cpu: symbol(surfaces, "NvBufSurfaceSyncForCpu")?,
                scaling: Scaling::open(),
            })
        }
    }

    /// A surface of RGBA for the CPU to read.
    ///
    /// # Errors
    /// The library refuses.
    pub fn create(&self, gpu: u32, (width, height): (u32, u32)) -> Result<*mut Surface, String> {
        let mut parameters = CreateParameters {
            gpu,
            width,
            height,
            size: 0,
            contiguous: false,
            colour_format: RGBA,
            layout: PITCH,
            memory: MEMORY_DEFAULT,
        };
        let mut surface = std::ptr::null_mut();
        // SAFETY: both pointers are to values of the types that the function takes.
        let code = unsafe { (self.create)(&raw mut surface, 1, &raw mut parameters) };
        succeeded("NvBufSurfaceCreate", code)?;
        if surface.is_null() {
            return Err("NvBufSurfaceCreate made nothing".to_owned());
        }
        Ok(surface)
    }

    /// # Safety
    /// `surface` is one of [`create`](Self::create) that is not used any more.
    pub unsafe fn destroy(&self, surface: *mut Surface) {
        // SAFETY: as the caller promises.
        unsafe { (self.destroy)(surface) };
    }

    /// Gives the CPU a plane to read.
    ///
    /// # Errors
    /// The library refuses.
    ///
    /// # Safety
    /// `surface` exists and has the plane.
    pub unsafe fn map(&self, surface: *mut Surface, plane: usize) -> Result<(), String> {
        // SAFETY: as the caller promises.
        let code = unsafe { (self.map)(surface, 0, plane as c_int, READ) };
        succeeded("NvBufSurfaceMap", code)
    }

    /// Takes it back.
    ///
    /// # Safety
    /// The plane of `surface` is mapped and not read any more.
    pub unsafe fn unmap(&self, surface: *mut Surface, plane: usize) {
        // SAFETY: as the caller promises.
        unsafe { (self.unmap)(surface, 0, plane as c_int) };
    }

    /// Lets the CPU see what devices wrote to a plane.
    ///
    /// # Errors
    /// The library refuses.
    ///
    /// # Safety
    /// The plane of `surface` is mapped.
    pub unsafe fn sync(&self, surface: *mut Surface, plane: usize) -> Result<(), String> {
        // SAFETY: as the caller promises.
        let code = unsafe { (self.sync_for_cpu)(surface, 0, plane as c_int) };
        succeeded("NvBufSurfaceSyncForCpu", code)
    }

    /// Scales all of a surface to all of another, by hardware, and waits for it.
    ///
    /// # Errors
    /// The library that scales is not there, or refuses.
    ///
    /// # Safety
    /// Both exist, and only `from` is read by others meanwhile.
    pub unsafe fn scale(&self, from: *mut Surface, to: *mut Surface) -> Result<(), String> {
        let scaling = self.scaling.as_ref().map_err(Clone::clone)?;
        // SAFETY: as the caller promises.
        let gpu = unsafe { (*from).gpu };
        let mut session = SessionParameters {
            compute: COMPUTE_DEFAULT,
            gpu: gpu as i32,
            stream: std::ptr::null_mut(),
        };
        let mut parameters = TransformParameters {
            flags: FILTER,
            flip: 0,
            filter: NICEST,
            from: std::ptr::null_mut(),
            to: std::ptr::null_mut(),
        };
        // A session is the calling thread's.
        // SAFETY: the pointer is to a value of the type that the function takes.
        let code = unsafe { (scaling.set_session)(&raw mut session) };
        succeeded("NvBufSurfTransformSetSessionParams", code)?;
        // SAFETY: as the caller promises; no rectangles are named.
        let code = unsafe { (scaling.transform)(from, to, &raw mut parameters) };
        succeeded("NvBufSurfTransform", code)
    }
}

impl Scaling {
    fn open() -> Result<Scaling, String> {
        let library = opened("libnvbufsurftransform.so")?;
        // SAFETY: these are the functions of NVIDIA's header of the same names.
        unsafe {
            Ok(Scaling {
                transform: symbol(library, "NvBufSurfTransform")?,
                set_session: symbol(library, "NvBufSurfTransformSetSessionParams")?,
            })
        }
    }
}

/// A library that stays open as long as the process runs.
fn opened(name: &str) -> Result<&'static Opened, String> {
    // SAFETY: NVIDIA's libraries may be opened at any time.
    let opened = unsafe { Opened::new(name) };
    let opened = opened.map_err(|error| format!("{name} cannot be opened: {error}"))?;
    Ok(Box::leak(Box::new(opened)))
}

/// # Safety
/// The function has the type `T`.
unsafe fn symbol<T: Copy>(library: &'static Opened, name: &str) -> Result<T, String> {
    // SAFETY: as the caller promises.
    let symbol: Result<Symbol<'_, T>, _> = unsafe { library.get(name) };
    symbol
        .map(|symbol| *symbol)
        .map_err(|error| format!("{name} is missing: {error}"))
}

fn succeeded(function: &str, code: c_int) -> Result<(), String> {
    match code {
        0 => Ok(()),
        code => Err(format!("{function} failed with {code}")),
    }
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    /// By the headers of L4T R35 to R38, for 64 bits.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn types_are_laid_out_as_in_the_headers() {
        assert_eq!(offset_of!(Surface, memory), 16);
        assert_eq!(offset_of!(Surface, list), 24);
        assert_eq!(offset_of!(Parameters, descriptor), 24);
        assert_eq!(offset_of!(Parameters, data), 40);
        assert_eq!(offset_of!(Parameters, planes), 48);
        assert_eq!(size_of::<PlaneParameters>(), 232);
        assert_eq!(offset_of!(Parameters, mapped), 280);
        assert_eq!(size_of::<Mapped>(), 72);
        assert_eq!(size_of::<Parameters>(), 384);
        assert_eq!(size_of::<CreateParameters>(), 32);
        assert_eq!(size_of::<TransformParameters>(), 32);
        assert_eq!(size_of::<SessionParameters>(), 16);
    }
}
