//! Pads, states and properties of the element `mdetr`.
//!
//! No lock of this file or of `Session` is taken while another is held: what they guard is cloned out. None
//! is held across inference, pushes, queries or messages.

use std::sync::{Arc, LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use mdetr_gst::analytics::Writer;
use mdetr_gst::element::{self, TYPE_CHECKED};
use mdetr_gst::regions;

use super::enums::Mode;
use super::messages::{self, CAT, QosLimit};
use super::properties::{Change, SPECS};
use super::request::queries_of;
use super::session::Session;
use super::settings::Settings;
use super::source::Source;
use super::stats::{self, Counters};
use super::updater::Updater;
use crate::frame::{self, Layout};
use crate::{allocation, bundle};

/// The action signal that changes the queries.
const SET_QUERIES: &str = "set-queries";

/// What exists from READY to READY.
struct Run {
    session: Arc<Session>,
    updater: Updater,
}

pub struct Mdetr {
    sinkpad: gst::Pad,
    srcpad: gst::Pad,
    settings: Arc<Mutex<Settings>>,
    run: Mutex<Option<Run>>,
    /// Statistics of the last run, for those who ask after it.
    last_stats: Mutex<Option<gst::Structure>>,
    qos: QosLimit,
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
            settings: Arc::default(),
            run: Mutex::default(),
            last_stats: Mutex::default(),
            qos: QosLimit::default(),
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
        static SIGNALS: LazyLock<Vec<glib::subclass::Signal>> = LazyLock::new(|| {
            vec![
                glib::subclass::Signal::builder(SET_QUERIES)
                    .param_types([gst::Array::static_type()])
                    .return_type::<bool>()
                    .action()
                    .class_handler(|args| {
                        let element: super::Mdetr = args[0].get().expect("the element");
                        let queries = args[1].get().expect(TYPE_CHECKED);
                        Some(element.imp().set_queries(Ok(queries)).to_value())
                    })
                    .build(),
            ]
        });
        &SIGNALS
    }

    fn constructed(&self) {
        self.parent_constructed();
        element::add_pads(self.obj().upcast_ref(), [&self.sinkpad, &self.srcpad]);
    }
}

impl GstObjectImpl for Mdetr {}

impl ElementImpl for Mdetr {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            element::metadata(
                "Text-conditioned grounding",
                "Filter/Analyzer/Video",
                "Marks in video what sentences describe: boxes with the words they answer to, as metadata",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = frame::caps();
            element::pad_templates(&caps, &caps)
        });
        &TEMPLATES
    }

    fn send_event(&self, event: gst::Event) -> bool {
        match queries_of(&event) {
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
            gst::StateChange::PausedToReady => self.shut_down(),
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
        let plugin = self.obj().factory().and_then(|factory| factory.plugin());
        let file = plugin.and_then(|plugin| plugin.filename());
        let bundle = bundle::open(settings.model.as_deref(), file.as_deref())?;
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
        let analytics = settings.analytics.open(*CAT, self.obj().upcast_ref())?;
        let session = Arc::new(Session::new(&self.obj().name(), &settings, analytics));
        let updater = Updater::start(
            self.obj().upcast_ref(),
            session.clone(),
            bundle,
            settings,
            self.settings.clone(),
        );
        let updater = updater.map_err(|error| {
            session.shut_down();
            session.join_threads();
            gst::error_msg!(gst::CoreError::Thread, ("cannot start a thread: {error}"))
        })?;
        *self.run.lock().expect("never poisoned") = Some(Run { session, updater });
        // Properties set meanwhile.
        self.update_queries();
        self.update_limits();
        Ok(())
    }

    fn shut_down(&self) {
        if let Some(session) = self.session() {
            session.shut_down();
        }
    }

    fn stop(&self) {
        let run = self.run.lock().expect("never poisoned").take();
        if let Some(Run { session, updater }) = run {
            session.shut_down();
            drop(updater);
            let left = session.join_threads();
            if left > 0 {
                gst::info!(CAT, imp = self, "{left} threads end what they have begun");
            }
            *self.last_stats.lock().expect("never poisoned") = Some(session.stats());
        }
    }

    fn stats(&self) -> gst::Structure {
        if let Some(session) = self.session() {
            return session.stats();
        }
        let last = self.last_stats.lock().expect("never poisoned").clone();
        last.unwrap_or_else(|| stats::of(&Counters::default(), None))
    }

    fn update_queries(&self) {
        if let Some(run) = self.run.lock().expect("never poisoned").as_ref() {
            run.updater.notify();
        }
    }

    /// What changes while the model is loading is taken up once it is loaded.
    fn update_limits(&self) {
        if let Some(session) = self.session() {
            session.set_limits(&self.settings());
        }
    }

    /// Makes these the only queries, encoded in the background; whether they can be read.
    fn set_queries(&self, queries: Result<gst::Array, String>) -> bool {
        let set = queries.and_then(|queries| {
            let mut settings = self.settings.lock().expect("never poisoned");
            let set = settings.set_queries(queries);
            set.map_err(|error| error.to_string())
        });
        if let Err(error) = set {
            messages::warn_queries(self.obj().upcast_ref(), &error);
            return false;
        }
        for property in ["query", "queries", "config"] {
            self.obj().notify(property);
        }
        self.update_queries();
        true
    }
}

/// Sink pad.
impl Mdetr {
    fn sink_chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let session = self.session().ok_or(gst::FlowError::Flushing)?;
        if let Some(failure) = session.take_failure() {
            return Err(messages::post_failure(self.obj().upcast_ref(), &failure));
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
        if let Some(found) = offer.found {
            let (width, height) = (offer.info.width(), offer.info.height());
            let writer = session.analytics.map(Writer::new);
            regions::attach(buffer.make_mut(), found, width, height, writer);
        }
        self.srcpad.push(buffer)
    }

    fn post_qos(&self, session: &Session, buffer: &gst::BufferRef) {
        if !self.qos.allows() {
            return;
        }
        let segment = self.sinkpad.sticky_event::<gst::event::Segment>(0);
        let segment = segment.and_then(|event| event.segment().clone().downcast().ok());
        messages::post_qos(
            self.obj().upcast_ref(),
            segment.as_ref(),
            buffer,
            &session.counters(),
        );
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
            messages::post_structure(self.obj().upcast_ref(), session.stats());
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
        match Layout::from_caps(caps) {
            Ok(info) => {
                gst::debug!(CAT, imp = self, "caps {caps}");
                session.set_info(info);
                if session.mode == Mode::EveryFrame {
                    messages::post_latency(self.obj().upcast_ref());
                }
                true
            }
            Err(error) => {
                gst::error!(CAT, imp = self, "caps {caps}: not raw video: {error}");
                false
            }
        }
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
        allocation::add_frames(allocation, session.held() as u32);
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
            let obj = self.obj();
            let source = Source::new(obj.upcast_ref(), &self.srcpad, session);
            self.srcpad.start_task(move || source.push_next())
        } else {
            session.shut_down();
            self.srcpad.stop_task()
        };
        result.map_err(|error| gst::loggable_error!(CAT, "source task: {error}"))
    }

    fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        if event.type_() == gst::EventType::Reconfigure
            && let Some(session) = self.session()
        {
            session.clear_flow(gst::FlowError::NotLinked);
        }
        if let Some(queries) = queries_of(&event) {
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
