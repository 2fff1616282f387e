//! Types of `gst/analytics/analytics.h`, as C sees them.

use std::ffi::{c_char, c_uint, c_void};

use gst::ffi::GstBuffer;
use gst::glib::ffi::{GQuark, gboolean, gpointer};

/// Content behind functions.
#[repr(C)]
pub struct RelationMeta {
    _opaque: [u8; 0],
}

/// Address of an [`MtdImpl`], or 0 for any.
pub type MtdType = usize;

/// Any type of content.
pub const ANY: MtdType = 0;

/// One content of a [`RelationMeta`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Mtd {
    pub id: c_uint,
    pub meta: *mut RelationMeta,
}

impl Mtd {
    pub const EMPTY: Mtd = Mtd {
        id: 0,
        meta: std::ptr::null_mut(),
    };
}

/// What a type of content is made of; the library has one for each type.
#[repr(C)]
pub struct MtdImpl {
    pub name: *const c_char,
    pub transform: Option<
        unsafe extern "C" fn(
            *mut GstBuffer,
            *mut Mtd,
            *mut GstBuffer,
            GQuark,
            gpointer,
        ) -> gboolean,
    >,
    _rest: [*mut c_void; 20],
}

/// How much room to begin with.
#[repr(C)]
pub struct InitParams {
    /// Number of contents.
    pub relation_order: usize,
    /// Bytes of all contents.
    pub buf_size: usize,
}

/// Kinds of relations.
pub type RelTypes = c_uint;

pub const REL_IS_PART_OF: RelTypes = 1 << 1;
pub const REL_CONTAIN: RelTypes = 1 << 2;
pub const REL_RELATE_TO: RelTypes = 1 << 3;

/// Each region of a mask is one object.
pub const SEGMENTATION_TYPE_INSTANCE: c_uint = 1;
