//! Messages about plans that take long to make, and the log of engines.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Once};

use gst::prelude::*;
use mdetr::Grounder;
use mdetr::engine::{EngineMessage, LogLevel, PlanEvent, set_engine_log};
use mdetr_gst::element::debug_category;

use super::messages::{post_progress, post_structure};

static ENGINES: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| debug_category("mdetrengine", "What the libraries of engines log"));

/// Name of the element message.
const MESSAGE: &str = "mdetr-plan";

/// Posts an element message `mdetr-plan` for each per cent of a phase, with a message of progress if
/// `posts_progress`, and gives up the plan once `cancelled` is set.
pub(super) fn watch(
    grounder: &Grounder,
    element: &gst::Element,
    posts_progress: bool,
    cancelled: Arc<AtomicBool>,
) {
    log_engines();
    let last = AtomicU32::new(u32::MAX);
    let element = element.downgrade();
    grounder.watch_plans(Arc::new(move |event| {
        if let Some(element) = element.upgrade() {
            post(&element, event, &last, posts_progress);
        }
        !cancelled.load(Ordering::Relaxed)
    }));
}

/// Lets engines log into a debug category, once for the process.
fn log_engines() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| set_engine_log(Some(Arc::new(log))));
}

fn log(message: &EngineMessage) {
    let graph = message
        .graph
        .map_or_else(String::new, |graph| format!("{graph}: "));
    let text = message.text;
    match message.level {
        LogLevel::Error => gst::error!(ENGINES, "{graph}{text}"),
        LogLevel::Warning => gst::warning!(ENGINES, "{graph}{text}"),
        LogLevel::Info => gst::info!(ENGINES, "{graph}{text}"),
        _ => gst::debug!(ENGINES, "{graph}{text}"),
    }
}

fn post(element: &gst::Element, event: &PlanEvent, last: &AtomicU32, posts_progress: bool) {
    let message = gst::Structure::builder(MESSAGE);
    let structure = match event {
        PlanEvent::Building {
            graph,
            phase,
            step,
            steps,
        } => {
            let percent = (100 * u64::from(*step)).checked_div(u64::from(*steps));
            let percent = u32::try_from(percent.unwrap_or(0)).unwrap_or(100).min(100);
            if last.swap(percent, Ordering::Relaxed) == percent {
                return;
            }
            if posts_progress {
                let text = format!("building the plan of {graph}: {phase}, {percent} %");
                post_progress(element, gst::ProgressType::Continue, &text);
            }
            message
                .field("graph", graph)
                .field("state", "building")
                .field("phase", phase)
                .field("percent", percent)
        }
        PlanEvent::Waiting { graph } => message
            .field("graph", graph)
            .field("state", "waiting for another process"),
        PlanEvent::Ready {
            graph,
            built,
            bytes,
        } => message
            .field("graph", graph)
            .field("state", if *built { "built" } else { "found" })
            .field("bytes", bytes),
        PlanEvent::NotKept { graph, message } => {
            gst::element_warning!(
                element,
                gst::ResourceError::Write,
                ("the plan of {graph} is not kept, and will be built again next time: {message}")
            );
            return;
        }
        _ => return,
    };
    post_structure(element, structure.build());
}
