//! What an element promises in its answer to an allocation query.

use gst::glib;
use gst_video::prelude::*;
use gst_video::{VideoMeta, VideoOverlayCompositionMeta, VideoRegionOfInterestMeta};

/// Takes out of downstream's answer every metadata that changes what a frame's pixels mean and that
/// an element of this plugin does not read: cropping and transformations above all.
///
/// An element upstream attaches what it finds in the answer instead of changing the pixels. The
/// layout of planes ([`VideoMeta`]) and regions of interest stay; overlay compositions stay if
/// `compositions` is set, for an element that leaves them on the frame and does not draw into it.
pub(crate) fn keep_understood(query: &mut gst::query::Allocation, compositions: bool) {
    let metas: Vec<glib::Type> = query.allocation_metas().map(|(api, _)| api).collect();
    let understood = |api: glib::Type| {
        api == VideoMeta::meta_api()
            || api == VideoRegionOfInterestMeta::meta_api()
            || (compositions && api == VideoOverlayCompositionMeta::meta_api())
    };
    // From the end, so that an index is good until it is used.
    for (index, api) in metas.into_iter().enumerate().rev() {
        if !understood(api) {
            // SAFETY: the query is writable, of this kind, and has more metas than `index`.
            unsafe {
                gst::ffi::gst_query_remove_nth_allocation_meta(query.as_mut_ptr(), index as u32);
            }
        }
    }
}

/// Asks the pools in downstream's answer for `frames` more: as many are held at once.
pub(crate) fn add_frames(query: &mut gst::query::Allocation, frames: u32) {
    let pools: Vec<_> = query.allocation_pools().collect();
    for (index, (pool, size, min, max)) in pools.into_iter().enumerate() {
        let wanted = min.saturating_add(frames);
        let min = if max == 0 { wanted } else { wanted.min(max) };
        query.set_nth_allocation_pool(index as u32, pool.as_ref(), size, min, max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gst_video::{VideoAffineTransformationMeta, VideoCropMeta};

    #[test]
    fn only_what_is_understood_stays() {
        gst::init().expect("GStreamer is installed");
        for compositions in [false, true] {
            let mut query = gst::query::Allocation::new(None, false);
            let size = gst::Structure::builder("GstVideoOverlayComposition")
                .field("width", 64u32)
                .build();
            query.add_allocation_meta::<VideoCropMeta>(None);
            query.add_allocation_meta::<VideoMeta>(None);
            query.add_allocation_meta::<VideoAffineTransformationMeta>(None);
            query.add_allocation_meta::<VideoOverlayCompositionMeta>(Some(&size));
            query.add_allocation_meta::<VideoRegionOfInterestMeta>(None);
            query.add_allocation_meta::<VideoCropMeta>(None);
            keep_understood(&mut query, compositions);
            let kept: Vec<_> = query.allocation_metas().collect();
            let kept: Vec<_> = kept
                .iter()
                .map(|(api, parameters)| (*api, parameters.map(|p| p.get::<u32>("width"))))
                .collect();
            let mut expected = vec![(VideoMeta::meta_api(), None)];
            if compositions {
                expected.push((VideoOverlayCompositionMeta::meta_api(), Some(Ok(64))));
            }
            expected.push((VideoRegionOfInterestMeta::meta_api(), None));
            assert_eq!(kept, expected, "{compositions}");
        }
    }
}
