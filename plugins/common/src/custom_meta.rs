//! Metadata of our own: what they have in common.
//!
//! A metadata holds its content as a boxed value of the library that attached it. Another library in the process, which
//! may have been built apart from it, cannot know how that lies in memory: it asks GLib to transform the value to
//! `GBytes`, and gets the content as JSON. So no frame pays for it whose metadata nobody else reads.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use gst::glib;
use gst::glib::gobject_ffi;
use gst::glib::prelude::*;
use gst::glib::subclass::boxed::BoxedType;
use gst::glib::translate::{IntoGlib, IntoGlibPtr};
use gst::meta::CustomMeta;

/// Tags of what their content depends on: elements ask before they copy one.
const TAGS: [&str; 3] = ["video", "size", "orientation"];

/// Whether metadata stays on a frame that is transformed in this way: it is copied or scaled, not cropped or rotated.
fn stays(kind: glib::Quark) -> bool {
    matches!(kind.as_str().as_str(), "gst-copy" | "gst-video-scale")
}

/// Makes metadata known to GStreamer, whose content is a boxed `T`; called once. `content` reads it, and `add` attaches
/// it to the copy of a frame.
pub fn register<T: Shared, C: 'static>(
    name: &str,
    content: fn(&CustomMeta) -> Option<C>,
    add: fn(&mut gst::BufferRef, C) -> bool,
) {
    share::<T>();
    // Another library of the process may have.
    if !CustomMeta::is_registered(name) {
        CustomMeta::register_with_transform(name, &TAGS, move |target, meta, _, kind| {
            stays(kind) && content(meta).is_some_and(|found| add(target, found))
        });
    }
}

/// The contents of all metadata of this name on a buffer, in their order.
pub fn read<T>(
    buffer: &gst::BufferRef,
    name: &str,
    content: impl Fn(&CustomMeta) -> Option<T>,
) -> Vec<T> {
    buffer
        .iter_meta::<gst::Meta>()
        .filter_map(|meta| {
            let custom = meta.try_as_custom_meta()?;
            custom.has_name(name).then(|| content(custom)).flatten()
        })
        .collect()
}

/// Takes all metadata of this name off a buffer.
pub fn remove(buffer: &mut gst::BufferRef, name: &str) {
    buffer.foreach_meta_mut(|meta| {
        let ours = meta.try_as_custom_meta().is_some_and(|m| m.has_name(name));
        match ours {
            true => ControlFlow::Continue(gst::buffer::BufferMetaForeachAction::Remove),
            false => ControlFlow::Continue(gst::buffer::BufferMetaForeachAction::Keep),
        }
    });
}

/// A boxed type whose values other libraries of the process read as JSON.
pub trait Shared: BoxedType {
    /// As JSON; `None` if it cannot be written.
    fn to_json(&self) -> Option<Vec<u8>>;
    /// From JSON; `None` if it is of another form.
    fn from_json(json: &[u8]) -> Option<Self>;
}

/// Makes values of `T` readable for other libraries.
fn share<T: Shared>() {
    // SAFETY: the types are registered, and the function takes values of them.
    unsafe {
        gobject_ffi::g_value_register_transform_func(
            T::static_type().into_glib(),
            glib::Bytes::static_type().into_glib(),
            Some(transform::<T>),
        );
    }
}

/// What GLib calls with a value of `T` and one of `GBytes`, which is empty.
unsafe extern "C" fn transform<T: Shared>(
    from: *const gobject_ffi::GValue,
    to: *mut gobject_ffi::GValue,
) {
    // SAFETY: a value of a boxed type holds nothing or a pointer to what it boxes.
    let content = unsafe { gobject_ffi::g_value_get_boxed(from).cast::<T>().as_ref() };
    let json = content.map(|content| catch_unwind(AssertUnwindSafe(|| content.to_json())));
    if let Some(Ok(Some(json))) = json {
        let bytes: *mut glib::ffi::GBytes = glib::Bytes::from_owned(json).into_glib_ptr();
        // SAFETY: the value is one of `GBytes`, which takes the reference.
        unsafe { gobject_ffi::g_value_take_boxed(to, bytes.cast()) };
    }
}

/// The content of a value of this library, or of another one. `registered` says whether this library has registered
/// `T`: reading what others attach is no reason to.
pub fn content<T>(value: &glib::Value, registered: bool) -> Option<T>
where
    T: Shared + for<'a> glib::value::FromValue<'a>,
{
    if registered && value.is::<T>() {
        return value.get().ok();
    }
    let bytes = value.transform::<glib::Bytes>().ok()?;
    let bytes: Option<glib::Bytes> = bytes.get().ok()?;
    T::from_json(&bytes?)
}
