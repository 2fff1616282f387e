//! Pads, states and properties of the element `mdetr`.
//!
//! Lock order: `run`, then the updater's own. No other lock of this file or of `Session` is taken while
//! one is held: what they guard is cloned out. None is held across inference, pushes, queries or messages.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_video::VideoInfo;
use mdetr::Bundle;

use super::properties::{Change, SPECS};
use super::queue::Item;
use super::session::{Done, Session, Settled};
use super::settings::Settings;
use super::updater::Updater;
use super::{Mode, request, stats};
use crate::meta::FrameGrounding;
use crate::{allocation, bundle, frame, regions};

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "mdetr",
        gst::DebugColorFlags::empty(),
        Some("Text-conditioned grounding"),
    )
});

/// Shortest time between two QoS messages about skipped inferences.
const QOS_PERIOD: Duration = Duration::from_secs(1);

/// What exists from READY to READY.
struct Run {
    session: Arc<Session>,
    updater: Updater,
}

pub struct Mdetr {
    sinkpad: gst::Pad,
    srcpad: gst::Pad,
    pub(super) settings: Mutex<Settings>,
    run: Mutex<Option<Run>>,
    /// Statistics of the last run, for those who ask after it.
    last_stats: Mutex<Option<gst::Structure>>,
    last_qos: Mutex<Option<Instant>>,
}

fn video_caps() -> gst::Caps {
    let sides = 1..=mdetr::frame::MAX_SIDE as i32;
    gst_video::VideoCapsBuilder::new()
        .format_list(frame::FORMATS)
        .width_range(sides.clone())
        .height_range(sides)
        .build()
}

#[glib::object_subclass]
impl ObjectSubclass for Mdetr {
    const NAME: &'static str = "GstMdetr";
    type Type = super::Mdetr;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let flags = gst::PadFlags::PROXY_CAPS | gst::PadFlags::PROXY_ALLOCATION;
        let template = |name| {
            class
                .pad_template(name)
                .expect("both templates are installed")
        };
        let sinkpad = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.sink_chain(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_query(pad, query))
            })
            .flags(flags)
            .build();
        let srcpad = gst::Pad::builder_from_template(&template("src"))
            .activatemode_function(|_, parent, mode, active| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::loggable_error!(CAT, "panic in activation")),
                    |this| this.activate_src(mode, active),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_query(pad, query))
            })
            .flags(flags)
            .build();
        Mdetr {
            sinkpad,
            srcpad,
            settings: Mutex::default(),
            run: Mutex::default(),
            last_stats: Mutex::default(),
            last_qos: Mutex::default(),
        }
    }
}

impl ObjectImpl for Mdetr {
    fn properties() -> &'static [glib::ParamSpec] {
        &SPECS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let change = {
            let mut settings = self.settings.lock().expect("never poisoned");
            settings.set(pspec.name(), value)
        };
        match change {
            Change::NextStart => (),
            Change::Queries => self.update_queries(),
            Change::Limits => self.update_limits(),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        if pspec.name() == "stats" {
            return self.stats().to_value();
        }
        self.settings().get(pspec.name())
    }

    fn signals() -> &'static [glib::subclass::Signal] {
        &request::SIGNALS
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        let added = obj
            .add_pad(&self.sinkpad)
            .and_then(|()| obj.add_pad(&self.srcpad));
        added.expect("a new element has no pads of these names");
    }
}

impl GstObjectImpl for Mdetr {}

impl ElementImpl for Mdetr {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Text-conditioned grounding",
                "Filter/Analyzer/Video",
                "Marks in video what sentences describe: boxes with the words they answer to, as metadata",
                "The mdetr developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> =
            LazyLock::new(|| frame::pad_templates(&video_caps()));
        &TEMPLATES
    }

    fn send_event(&self, event: gst::Event) -> bool {
        match request::queries_of(&event) {
            Some(queries) => self.set_queries(queries),
            None => self.parent_send_event(event),
        }
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::ReadyToPaused => self.start().map_err(|error| {
                self.post_error_message(error);
                gst::StateChangeError
            })?,
            // Wakes threads that wait in pad functions, so that the pads can be deactivated.
            gst::StateChange::PausedToReady => self.shut(),
            _ => (),
        }
        let result = self.parent_change_state(transition);
        let back_in_ready = transition == gst::StateChange::PausedToReady
            || (transition == gst::StateChange::ReadyToPaused && result.is_err());
        if back_in_ready {
            self.stop();
        }
        result
    }
}

/// States.
impl Mdetr {
    fn settings(&self) -> Settings {
        self.settings.lock().expect("never poisoned").clone()
    }

    fn session(&self) -> Option<Arc<Session>> {
        let run = self.run.lock().expect("never poisoned");
        run.as_ref().map(|run| run.session.clone())
    }

    /// Says at once what is wrong with the bundle's manifest or the words of the queries; all that takes
    /// long happens in the background.
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = self.settings();
        let bundle = self.bundle(&settings)?;
        if let Err(error) = settings.standing() {
            return Err(gst::error_msg!(gst::LibraryError::Settings, ("{error}")));
        }
        if !settings.has_queries() {
            gst::element_imp_warning!(
                self,
                gst::LibraryError::Settings,
                ("no query: frames pass without detections; set query=\"...\", queries or config")
            );
        }
        let failed = |error: std::io::Error| {
            gst::error_msg!(gst::CoreError::Thread, ("cannot start a thread: {error}"))
        };
        let session = Arc::new(Session::new(&self.obj().name(), &settings));
        let version = settings.queries_version;
        let updater = Updater::start(&self.obj(), session.clone(), bundle, settings);
        let updater = updater.map_err(|error| {
            session.shut();
            session.finish();
            failed(error)
        })?;
        *self.run.lock().expect("never poisoned") = Some(Run { session, updater });
        // Properties set meanwhile.
        if self.settings().queries_version != version {
            self.update_queries();
        }
        self.update_limits();
        Ok(())
    }

    fn bundle(&self, settings: &Settings) -> Result<Bundle, gst::ErrorMessage> {
        let (dir, remedy) = match &settings.model {
            Some(dir) => (dir.clone(), None),
            None => {
                let factory = self.obj().factory();
                let plugin = factory.and_then(|factory| factory.plugin());
                let file = plugin.and_then(|plugin| plugin.filename());
                let default = bundle::default(file.as_deref());
                (default.dir, Some(default.remedy))
            }
        };
        Bundle::open(&dir).map_err(|error| match remedy {
            Some(remedy) => {
                gst::error_msg!(gst::ResourceError::NotFound, ("{error}. {remedy}"))
            }
            None => gst::error_msg!(gst::ResourceError::OpenRead, ("{error}")),
        })
    }

    fn shut(&self) {
        if let Some(session) = self.session() {
            session.shut();
        }
    }

    fn stop(&self) {
        let run = self.run.lock().expect("never poisoned").take();
        if let Some(Run { session, updater }) = run {
            session.shut();
            updater.stop();
            let left = session.finish();
            if left > 0 {
                gst::info!(CAT, imp = self, "{left} threads end what they have begun");
            }
            let stats = stats::of(&session);
            *self.last_stats.lock().expect("never poisoned") = Some(stats);
        }
    }

    fn stats(&self) -> gst::Structure {
        match self.session() {
            Some(session) => stats::of(&session),
            None => {
                let last = self.last_stats.lock().expect("never poisoned");
                last.clone().unwrap_or_else(stats::empty)
            }
        }
    }

    pub(super) fn update_queries(&self) {
        let settings = self.settings();
        if let Some(run) = self.run.lock().expect("never poisoned").as_ref() {
            run.updater.request(settings);
        }
    }

    /// What changes while the model is loading is taken up once it is loaded.
    pub(super) fn update_limits(&self) {
        let Some(session) = self.session() else {
            return;
        };
        let Some(grounder) = session.grounder() else {
            return;
        };
        let settings = self.settings();
        let by_model = grounder.manifest().thresholds;
        let or = |value: f32, default: f32| if value < 0.0 { default } else { value };
        grounder.change_settings(|changed| {
            changed.score_threshold = or(settings.score_threshold, by_model.score);
            changed.phrase_threshold = or(settings.phrase_threshold, by_model.phrase);
            changed.overlap_threshold = or(settings.overlap_threshold, by_model.overlap);
            changed.max_detections = settings.max_detections as usize;
            changed.masks = settings.masks;
        });
        session.set_pace(settings.inference_interval, settings.change_threshold);
    }
}

/// Sink pad.
impl Mdetr {
    fn sink_chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let session = self.session().ok_or(gst::FlowError::Flushing)?;
        if let Some(failure) = session.take_failure() {
            return Err(self.fail(&failure));
        }
        let flow = match session.mode {
            Mode::EveryFrame => session.enqueue(buffer),
            Mode::Live => self.pass_live(&session, buffer),
        };
        if flow == Err(gst::FlowError::NotNegotiated) && session.info().is_none() {
            gst::element_imp_error!(
                self,
                gst::CoreError::Negotiation,
                ("a frame came before its caps; put videoconvert before this element")
            );
        }
        flow
    }

    fn fail(&self, failure: &str) -> gst::FlowError {
        gst::element_imp_error!(
            self,
            gst::LibraryError::Failed,
            ("inference failed: {failure}")
        );
        gst::FlowError::Error
    }

    fn pass_live(
        &self,
        session: &Session,
        mut buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let offer = session.offer(&buffer)?;
        if offer.skipped {
            self.post_qos(session, &buffer);
        }
        if offer.taken && offer.found.is_some() {
            // The worker reads the original; this is a second header on the same memory, and the
            // original must not go back to its pool before that memory is free.
            let original = buffer.clone();
            gst::meta::ParentBufferMeta::add(buffer.make_mut(), &original);
        }
        attach(&mut buffer, &offer.info, offer.found);
        self.srcpad.push(buffer)
    }

    fn post_qos(&self, session: &Session, buffer: &gst::BufferRef) {
        {
            let mut last = self.last_qos.lock().expect("never poisoned");
            if last.is_some_and(|last| last.elapsed() < QOS_PERIOD) {
                return;
            }
            *last = Some(Instant::now());
        }
        let segment = self.sinkpad.sticky_event::<gst::event::Segment>(0);
        let segment = segment.and_then(|e| e.segment().clone().downcast::<gst::ClockTime>().ok());
        let time = |f: fn(&gst::FormattedSegment<gst::ClockTime>, gst::ClockTime) -> _| {
            segment
                .as_ref()
                .zip(buffer.pts())
                .and_then(|(s, pts)| f(s, pts))
        };
        let counters = session.counters();
        let message = gst::message::Qos::builder(true)
            .running_time(time(|s, pts| s.to_running_time(pts)))
            .stream_time(time(|s, pts| s.to_stream_time(pts)))
            .timestamp(buffer.pts())
            .duration(buffer.duration())
            .stats(
                gst::format::Buffers::from_u64(counters.inferred_frames()),
                gst::format::Buffers::from_u64(counters.skipped),
            )
            .src(&*self.obj())
            .build();
        // Without a bus nobody wants to know.
        let _ = self.obj().post_message(message);
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        let Some(session) = self.session() else {
            return gst::Pad::event_default(pad, Some(&*self.obj()), event);
        };
        match event.view() {
            gst::EventView::FlushStart(_) => {
                let dropped = session.flush_start();
                let pushed = self.srcpad.push_event(event);
                session.wait_for_push();
                self.keep_sticky(dropped);
                return pushed;
            }
            gst::EventView::FlushStop(_) => {
                let pushed = self.srcpad.push_event(event);
                session.flush_stop();
                return pushed;
            }
            _ => (),
        }
        if let gst::EventView::Caps(caps) = event.view()
            && !self.take_caps(&session, caps.caps())
        {
            return false;
        }
        if let gst::EventView::Segment(segment) = event.view() {
            session.set_segment(segment.segment());
        }
        if session.mode == Mode::Live && event.type_() == gst::EventType::Eos {
            self.post_stats(&session);
        }
        if session.mode == Mode::EveryFrame && event.is_serialized() {
            return session.enqueue_event(event);
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    /// A flush drops frames, not what is known of the stream: caps and tags that were still queued.
    fn keep_sticky(&self, events: Vec<gst::Event>) {
        for event in events {
            let outlives = event.is_sticky()
                && !matches!(event.type_(), gst::EventType::Segment | gst::EventType::Eos);
            if outlives && let Err(error) = self.srcpad.store_sticky_event(&event) {
                gst::debug!(CAT, imp = self, "{event:?} not kept: {error}");
            }
        }
    }

    fn take_caps(&self, session: &Session, caps: &gst::CapsRef) -> bool {
        match VideoInfo::from_caps(caps) {
            Ok(info) => {
                gst::debug!(CAT, imp = self, "caps {caps}");
                session.set_info(info);
                if session.mode == Mode::EveryFrame {
                    self.post_latency();
                }
                true
            }
            Err(error) => {
                gst::error!(CAT, imp = self, "caps {caps}: not raw video: {error}");
                false
            }
        }
    }

    /// The statistics of the stream that ends, for those who only see messages.
    fn post_stats(&self, session: &Session) {
        let message = gst::message::Element::builder(stats::of(session))
            .src(&*self.obj())
            .build();
        // Without a bus nobody wants to know.
        let _ = self.obj().post_message(message);
    }

    fn post_latency(&self) {
        let message = gst::message::Latency::builder().src(&*self.obj()).build();
        // Without a bus nobody wants to know.
        let _ = self.obj().post_message(message);
    }

    fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        if query.is_serialized()
            && let Some(session) = self.session()
        {
            if session.mode == Mode::EveryFrame && !session.drain() {
                return false;
            }
            if let gst::QueryViewMut::Allocation(allocation) = query.view_mut() {
                return self.answer_allocation(&session, allocation);
            }
        }
        gst::Pad::query_default(pad, Some(&*self.obj()), query)
    }

    /// What downstream answers and this element understands, with room for the frames held here.
    fn answer_allocation(
        &self,
        session: &Session,
        allocation: &mut gst::query::Allocation,
    ) -> bool {
        if !self.srcpad.peer_query(allocation.query_mut()) {
            return false;
        }
        allocation::keep_understood(allocation, true);
        let held = session.held() as u32;
        let pools: Vec<_> = allocation.allocation_pools().collect();
        for (index, (pool, size, min, max)) in pools.into_iter().enumerate() {
            let wanted = min.saturating_add(held);
            let min = if max == 0 { wanted } else { wanted.min(max) };
            allocation.set_nth_allocation_pool(index as u32, pool.as_ref(), size, min, max);
        }
        true
    }
}

/// Source pad.
impl Mdetr {
    fn activate_src(&self, mode: gst::PadMode, active: bool) -> Result<(), gst::LoggableError> {
        if mode != gst::PadMode::Push {
            return Err(gst::loggable_error!(CAT, "only push mode"));
        }
        let Some(session) = self.session() else {
            return Ok(());
        };
        if session.mode == Mode::Live {
            return Ok(());
        }
        let result = if active {
            let this = self.downgrade();
            self.srcpad.start_task(move || {
                if let Some(this) = this.upgrade() {
                    this.push_next();
                }
            })
        } else {
            session.shut();
            self.srcpad.stop_task()
        };
        result.map_err(|error| gst::loggable_error!(CAT, "source task: {error}"))
    }

    /// One step of the source task.
    fn push_next(&self) {
        let next = self.session().and_then(|session| {
            let next = session.next();
            next.map(|next| (session, next))
        });
        let Some((session, (item, epoch))) = next else {
            // The pad is being deactivated: the task ends, or did.
            let _ = self.srcpad.pause_task();
            return;
        };
        let ended = EndOfPush {
            session: &session,
            epoch,
            flow: Err(gst::FlowError::Error),
        };
        match item {
            Item::Event(event) => {
                self.push_event(&session, event);
                ended.with(Ok(()));
            }
            Item::Frame(done) => ended.with(self.push_frame(&session, done)),
        }
    }

    fn push_event(&self, session: &Session, event: gst::Event) {
        match event.view() {
            gst::EventView::Caps(_) => session.forget_newest(),
            // What follows is new to a downstream that had enough.
            gst::EventView::StreamStart(_) | gst::EventView::Segment(_) => {
                session.forgive(gst::FlowError::Eos);
            }
            gst::EventView::Eos(_) => {
                self.report_flow(session);
                self.post_stats(session);
            }
            _ => (),
        }
        self.srcpad.push_event(event);
    }

    /// After EOS no frame comes that could tell upstream of a failure: it is said here.
    fn report_flow(&self, session: &Session) {
        let Err(error) = session.flow() else { return };
        if !matches!(error, gst::FlowError::Eos | gst::FlowError::Flushing) {
            gst::element_imp_error!(
                self,
                gst::StreamError::Failed,
                ("frames could not be pushed downstream: {error}")
            );
        }
    }

    fn push_frame(&self, session: &Session, done: Done) -> Result<(), gst::FlowError> {
        let Settled {
            mut buffer,
            info,
            found,
        } = session.settle(done);
        // Frames behind a refused one are dropped, as upstream is told with its next frame.
        session.flow()?;
        let found = found.map_err(|failure| self.fail(&failure))?;
        attach(&mut buffer, &info, found);
        if session.latency_changed() {
            self.post_latency();
        }
        self.srcpad.push(buffer).map(|_| ())
    }

    fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::Reconfigure
            && let Some(session) = self.session()
        {
            session.forgive(gst::FlowError::NotLinked);
        }
        if let Some(queries) = request::queries_of(&event) {
            return self.set_queries(queries);
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        let answered = gst::Pad::query_default(pad, Some(&*self.obj()), query);
        if let gst::QueryViewMut::Latency(latency) = query.view_mut()
            && answered
            && let Some(session) = self.session()
        {
            let (live, min, max) = latency.result();
            let ours = session.latency();
            gst::debug!(CAT, imp = self, "latency {ours} on top of {min}");
            latency.set(live, min + ours, max.map(|max| max + ours));
        }
        answered
    }
}

/// Attaches what was found to a frame of these caps.
fn attach(buffer: &mut gst::Buffer, info: &VideoInfo, found: Option<FrameGrounding>) {
    if let Some(found) = found {
        regions::attach(buffer.make_mut(), found, info.width(), info.height());
    }
}

/// Says that a push has ended, also if it panicked.
struct EndOfPush<'a> {
    session: &'a Session,
    epoch: u64,
    flow: Result<(), gst::FlowError>,
}

impl EndOfPush<'_> {
    fn with(mut self, flow: Result<(), gst::FlowError>) {
        self.flow = flow;
    }
}

impl Drop for EndOfPush<'_> {
    fn drop(&mut self) {
        self.session.pushed(self.epoch, self.flow);
    }
}
