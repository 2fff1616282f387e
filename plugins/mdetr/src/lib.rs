//! GStreamer elements that ground sentences in video.
//!
//! | element | does |
//! |---|---|
//! | `mdetr` | grounds the standing queries; attaches detections; pixels untouched |
//! | `mdetrtrack` | gives detections an identity over time |
//! | `mdetrrules` | states and events of rules: present for two seconds, crossed a line, more than three |
//! | `mdetroverlay` | draws what was found |
//! | `mdetr2json` | one JSON line per frame |
//! | `tabletopsrc` | the tabletop world as a source, with its ground truth attached |
//!
//! Detections travel as [`VideoRegionOfInterestMeta`](gst_video::VideoRegionOfInterestMeta), which
//! any element can read (see [`regions`]), as GstAnalyticsRelationMeta where GStreamer has it (see [`analytics`];
//! property `analytics` of `mdetr` and `mdetrtrack`), and whole as a metadata of their own that also states
//! what was not found (see [`meta`]).
//!
//! # mdetr
//!
//! ```sh
//! gst-launch-1.0 tabletopsrc num-buffers=10 ! mdetr query="[a red cube] left of a ball" ! mdetr2json ! filesink location=found.jsonl
//! gst-launch-1.0 tabletopsrc num-buffers=10 ! mdetr queries='<"a\ red\ cube",[query,id=balls,text="all\ balls",score-threshold=0.5]>' ! fakesink
//! gst-launch-1.0 tabletopsrc is-live=true num-buffers=10 ! mdetr mode=live query="a purple cone" ! mdetroverlay show-absent=true ! fakesink sync=true
//! ```
//!
//! Frames are grounded as they come: the tag image-orientation, which tells how a phone or camera was
//! held, is downstream's matter. `videoflip video-direction=auto` before `mdetr` makes frames upright.
//!
//! In mode `every-frame` each frame waits for its own result. Up to `max-in-flight` frames are held,
//! `workers` of them are inferred at once, and frames, events and queries keep their order. Upstream
//! waits when all places are taken. The latency told to the pipeline is the time in which
//! `max-in-flight` frames arrive, or, if that is more, the time they need at the pace of the slowest of the
//! last 64 inferences. A message `latency` is posted when it rises, and when it falls by more than a quarter.
//!
//! Going to PAUSED checks the bundle's manifest and the words of the queries; the model is loaded and the
//! queries are encoded in the background. In mode `every-frame` the first frame waits for that, which messages
//! of progress tell (code `mdetr-start`); in mode `live` frames pass without detections meanwhile. What goes
//! wrong is an error message. Going to READY does not wait for it either: it takes half a second at most.
//!
//! In mode `live` no frame waits. Each carries the newest finished result and its age; a frame that
//! finds all workers busy is not inferred, which a QoS message tells at most once a second, where
//! "dropped" counts skipped inferences. No mode drops a frame.
//!
//! A frame that still waits for a worker gives way to a newer one.
//!
//! The age of a result is in running time. Where timestamps are missing, or fall in the middle of a segment, it
//! is the time between the arrivals of the two frames.
//!
//! At EOS both modes post their statistics as an element message, as in the property `stats`.
//!
//! Several `mdetr` elements may follow one another. Each attaches a result of its own with the element's name
//! (`element` in regions and lines; two of the same name, in different bins, get a number). Query ids need be
//! unique within an element only.
//!
//! Elements before this one crop pixels, not metadata, and boxes are those of the cropped frame.
//!
//! Elements of one process with the same `model`, `engine` with what it needs, and `text-cache-dir` share one loaded model;
//! the last one out frees it (`model-users` in `stats`). They take turns: as many frames are inferred at
//! once as there are processors (or as the element with the most `workers` asks for), and under overload
//! the next frame is that of the element whose last turn is longest ago. Each frame is a run of its own:
//! frames of several streams are not put into one run of a graph.
//!
//! With `engine=tensorrt` plans are made for a frame size before its first inference, unless
//! `plan-cache-dir` has them. Meanwhile the element posts messages `mdetr-plan` with the `graph` and its
//! `state`: "building" with a `phase` and `percent`, "waiting for another process", and "built" or "found"
//! with the plan's `bytes`. In mode `live` frames go on without detections; in mode `every-frame` they wait.
//! With `answer-while-building=true` tract encodes the queries, and answers in both modes until all plans
//! that were asked for are there. Going to READY gives the plan up.
//!
//! With the engine `kserve` servers run the model's graphs, those that `endpoints` names, and with
//! `vision:tract,fusion:kserve` some of them. A run that no server answers within `remote-deadline` is run here, by
//! `fallback`, and so are the next until one answers again: `remote-failures` and `fallback-runs` in `stats` count them,
//! and the debug category `mdetrengine` says why. With `fallback=none` it is an error instead. In mode `live` no frame
//! waits for a server.
//!
//! With `pack-queries=simple` or `all`, standing queries share captions ("a forklift. a ladder. a dog."):
//! they are fused with the frame once for all, and detections go to the queries whose words they answer
//! to. [`Packing`](::mdetr::Packing) says which queries, and what their scores are. It costs accuracy:
//! the book (docs/src/queries.md) has what was measured.
//!
//! Of two boxes of a query that overlap by more than `overlap-threshold`, as intersection over union, the
//! one with the smaller score is dropped if it answers to no other words. Bundles say from where on;
//! released models keep all.
//!
//! With `change-threshold` over 0, a frame is not inferred if it shows what the last inferred frame
//! showed: if in a grid of 32 x 24 cells ([`LumaGrid`](::mdetr::frame::LumaGrid)) no mean brightness
//! differs by more than this, as a part of full scale. Its result is repeated, with its age, and `unchanged` in `stats`
//! counts it. A slow drift adds up, since it is the last inferred frame that counts. New queries,
//! thresholds and caps are answered at once. What moves without changing any brightness is not seen. A model that
//! remembers must see that what moved has stopped: of a still scene it infers a frame whenever it would remember one.
//!
//! Queries and thresholds may change while playing. New sentences are encoded in the background and
//! swapped in as a whole; then the element posts a message `mdetr-queries` with the `revision` and the
//! `ids` of the queries that stand. If they cannot be used, it posts a warning and the old ones stay.
//! There are three ways:
//!
//! - the properties `query`, `queries` and `config`;
//! - the action signal `set-queries`, with an array as in the property `queries`. It replaces what all
//!   three properties say, and returns whether the queries could be read; if not, nothing changes;
//! - a custom upstream event `mdetr-set-queries` with such an array in its field `queries`, from any
//!   element downstream, or by `gst_element_send_event` on the element or the pipeline. The nearest
//!   `mdetr` takes it. Sending it tells whether it was taken.
//!
//! # mdetrtrack
//!
//! ```sh
//! gst-launch-1.0 tabletopsrc num-buffers=20 ! mdetr inference-interval=5 query="all balls" ! mdetrtrack ! mdetr2json ! filesink location=tracks.jsonl
//! gst-launch-1.0 tabletopsrc is-live=true num-buffers=20 ! mdetr mode=live query="a cube" ! mdetrtrack min-hits=1 ! mdetroverlay ! fakesink sync=true
//! ```
//!
//! Each query has its own objects ([`mdetr_track`]). An object has an id (`track`) once
//! `min-hits` results in a row showed it. On frames that were not inferred, boxes are where the objects
//! should be by then; the result's age still says how old it is. An object with an id that a result does
//! not show is reported for `coast` nanoseconds more, so that a presence does not flicker, and keeps its
//! id for `max-age`. Scores are smoothed over time. Masks and answers stay those of the last result. A
//! flush or a new stream begins anew, and so does what a changed query finds; ids are not used twice.
//!
//! On frames that no `mdetr` has answered, other elements' detections in GstAnalyticsRelationMeta are followed. Those
//! without a track get one; their boxes stay as they are.
//!
//! # mdetrrules
//!
//! ```sh
//! gst-launch-1.0 tabletopsrc num-buffers=20 ! mdetr config=configs/tabletop.toml ! mdetrtrack ! mdetrrules rules=configs/rules.toml camera=table ! mdetroverlay ! mdetr2json ! filesink location=events.jsonl
//! gst-launch-1.0 -m tabletopsrc num-buffers=20 ! mdetr config=configs/tabletop.toml ! mdetrtrack ! mdetrrules rules=configs/rules.toml ! fakesink
//! ```
//!
//! Looks at the results on each frame by the rules of a TOML file ([`mdetr_rules`], docs/src/rules.md). Conditions about
//! objects (enters, leaves, dwells, crosses, still, moves) need `mdetrtrack` before it. Each frame carries the states of
//! the rules and the steps of events that came with it, as a metadata ([`rules`]), and each step is a message
//! `mdetr-event` with the fields `kind`, `id`, `camera`, `rule` and `json`.
//!
//! Several `mdetr` elements may be before it: of queries with the same id the first counts, and the age of the
//! results is that of the oldest.
//!
//! A file that is refused is an error when the element goes to PAUSED. Setting `rules` while it plays reads the file
//! again; if it is refused, a warning says so, and the rules before stay in force. A program gives rules with
//! [`rules::set`]. Rules that stay the same go on with their open events.
//!
//! The time of a frame is that of its reference timestamp, or of its capture by a live source. Of other streams it is
//! what it would be had the stream been played from its first frame on. A flush, a new stream, a segment at another
//! place and EOS end open events with the reason `stream-restarted`, and going to READY with `stopped`. Steps that no
//! frame comes for any more are messages only.
//!
//! # mdetroverlay
//!
//! ```sh
//! gst-launch-1.0 tabletopsrc num-buffers=5 ! mdetr query="all balls" ! mdetroverlay font="Sans 20" ! videoconvert ! pngenc ! multifilesink location=ball-%d.png
//! gst-launch-1.0 tabletopsrc num-buffers=5 ! mdetroverlay ! fakesink
//! ```
//!
//! Attaches an overlay composition where downstream takes one and blends it into the frame otherwise, in every
//! raw format that the installed GStreamer can blend into: all but those with a palette, and UYVP, MT2110R and
//! MT2110T of an odd width. Where it blends, elements before it crop frames and draw on them themselves, even if a sink offers
//! to do that for them. Frames that no `mdetr` has answered show what other elements found
//! instead. Without any font, a warning says so once and words are left out. Zones and lines of `mdetrrules` are
//! drawn, too, brighter while something happens there; a line's arrow points forward.
//!
//! # mdetr2json
//!
//! ```sh
//! gst-launch-1.0 -q tabletopsrc is-live=true num-buffers=10 ! mdetr mode=live query="a cube" ! mdetr2json ! fdsink
//! ```
//!
//! `fdsink` prints each line at once; `filesink` collects 64 KiB unless it has `buffer-mode=unbuffered`.
//!
//! Writes lines of [`mdetr::report`](::mdetr::report). A frame has a `utc` time if it carries a reference timestamp
//! (`timestamp/x-unix`, `timestamp/x-ntp`) or comes from a live source. What other elements found,
//! as regions of interest or in GstAnalyticsRelationMeta, becomes queries named by their label, on frames that no `mdetr`
//! has answered.
//!
//! # tabletopsrc
//!
//! Each frame is a function of `seed`, its time and the shape of the picture. Objects that can be seen
//! are regions of interest; their type is the object's words, such as `small red matte cube`, their
//! parameters are `detection`, as above, and `tabletop` (`object`, `size`, `colour`, `material`, `shape`).

pub mod rules;
pub mod text_file;

mod allocation;
mod analytics_property;
mod bundle;
mod frame;
mod mdetr;
mod mdetr2json;
mod mdetroverlay;
mod mdetrrules;
mod mdetrtrack;
mod tabletopsrc;

use gst::glib;
use mdetr_gst::events;
pub use mdetr_gst::{analytics, meta, regions, time};

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    meta::register();
    events::register();
    analytics_property::register();
    mdetr::register(plugin)?;
    mdetrtrack::register(plugin)?;
    mdetrrules::register(plugin)?;
    mdetroverlay::register(plugin)?;
    mdetr2json::register(plugin)?;
    tabletopsrc::register(plugin)
}

pub use descriptor::plugin_register_static;

#[allow(missing_docs, reason = "the macro documents nothing of what it makes")]
mod descriptor {
    use super::plugin_init;

    gst::plugin_define!(
        mdetr,
        env!("CARGO_PKG_DESCRIPTION"),
        plugin_init,
        concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
        // The spelling GStreamer knows.
        "Apache 2.0",
        env!("CARGO_PKG_NAME"),
        "mdetr",
        "Unknown package origin",
        env!("BUILD_REL_DATE")
    );
}
