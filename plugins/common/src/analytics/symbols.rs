//! The functions of the library that are called, found by their names.

use std::ffi::{c_char, c_float, c_int, c_uint};

use gst::ffi::{GstBuffer, GstClockTime};
use gst::glib::ffi::{GQuark, gboolean, gpointer};
use libloading::Library;

use super::ffi::{InitParams, Mtd, MtdImpl, MtdType, RelTypes, RelationMeta};

/// Declares a table of functions: those that every version has, then those that came later.
macro_rules! symbols {
    (
        always { $($name:ident = $symbol:ident ( $($arg:ty),* $(,)? ) -> $result:ty;)* }
        later {
            $($later:ident = $later_symbol:ident ( $($later_arg:ty),* $(,)? ) -> $later_result:ty;)*
        }
    ) => {
        #[derive(Clone, Copy)]
        pub struct Symbols {
            $(pub $name: unsafe extern "C" fn($($arg),*) -> $result,)*
            $(pub $later: Option<unsafe extern "C" fn($($later_arg),*) -> $later_result>,)*
        }

        impl Symbols {
            /// Finds the functions in the library, which must stay open as long as they are called.
            ///
            /// # Errors
            /// Names the function that is not there.
            pub fn find(library: &Library) -> Result<Symbols, libloading::Error> {
                // SAFETY: the types are those of the library's header.
                unsafe {
                    Ok(Symbols {
                        $($name: *library.get(concat!(stringify!($symbol), "\0").as_bytes())?,)*
                        $($later: library
                            .get(concat!(stringify!($later_symbol), "\0").as_bytes())
                            .ok()
                            .map(|symbol| *symbol),)*
                    })
                }
            }
        }
    };
}

symbols! {
    always {
        add_meta = gst_buffer_add_analytics_relation_meta_full(*mut GstBuffer, *mut InitParams) -> *mut RelationMeta;
        length = gst_analytics_relation_get_length(*const RelationMeta) -> usize;
        add_mtd = gst_analytics_relation_meta_add_mtd(*mut RelationMeta, *const MtdImpl, usize, *mut Mtd) -> gpointer;
        get_mtd = gst_analytics_relation_meta_get_mtd(*mut RelationMeta, c_uint, MtdType, *mut Mtd) -> gboolean;
        get_data = gst_analytics_relation_meta_get_mtd_data(*const RelationMeta, c_uint) -> gpointer;
        get_relation = gst_analytics_relation_meta_get_relation(*const RelationMeta, c_uint, c_uint) -> RelTypes;
        set_relation = gst_analytics_relation_meta_set_relation(*mut RelationMeta, RelTypes, c_uint, c_uint) -> gboolean;
        mtd_type = gst_analytics_mtd_get_mtd_type(*const Mtd) -> MtdType;
        mtd_size = gst_analytics_mtd_get_size(*const Mtd) -> usize;
        detection_type = gst_analytics_od_mtd_get_mtd_type() -> MtdType;
        add_detection = gst_analytics_relation_meta_add_od_mtd(
            *mut RelationMeta, GQuark, c_int, c_int, c_int, c_int, c_float, *mut Mtd,
        ) -> gboolean;
        get_location = gst_analytics_od_mtd_get_location(
            *const Mtd, *mut c_int, *mut c_int, *mut c_int, *mut c_int, *mut c_float,
        ) -> gboolean;
        get_object_type = gst_analytics_od_mtd_get_obj_type(*const Mtd) -> GQuark;
        tracking_type = gst_analytics_tracking_mtd_get_mtd_type() -> MtdType;
        add_tracking = gst_analytics_relation_meta_add_tracking_mtd(
            *mut RelationMeta, u64, GstClockTime, *mut Mtd,
        ) -> gboolean;
        update_last_seen = gst_analytics_tracking_mtd_update_last_seen(*mut Mtd, GstClockTime) -> gboolean;
        get_track = gst_analytics_tracking_mtd_get_info(
            *const Mtd, *mut u64, *mut GstClockTime, *mut GstClockTime, *mut gboolean,
        ) -> gboolean;
    }
    later {
        // 1.26.
        add_segmentation = gst_analytics_relation_meta_add_segmentation_mtd(
            *mut RelationMeta, *mut GstBuffer, c_uint, usize, *mut c_uint, c_int, c_int, c_uint, c_uint, *mut Mtd,
        ) -> gboolean;
        // 1.30.
        add_text = gst_analytics_relation_meta_add_text_mtd(
            *mut RelationMeta, *const c_char, c_float, *mut Mtd,
        ) -> gboolean;
    }
}
