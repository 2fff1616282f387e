//! Properties, caps, and settings that are refused before the network is joined.

use gst::prelude::*;

use crate::common::init;

fn make(name: &str) -> gst::Element {
    init();
    gst::ElementFactory::make(name)
        .build()
        .expect("the plugin is registered")
}

#[test]
fn names_are_those_of_ros_gst_bridge() {
    for (name, properties) in [
        (
            "mdetrros2src",
            &[
                "ros-name",
                "ros-namespace",
                "ros-topic",
                "ros-frame-id",
                "init-caps",
            ][..],
        ),
        (
            "mdetrros2sink",
            &[
                "ros-name",
                "ros-namespace",
                "ros-topic",
                "ros-frame-id",
                "ros-encoding",
            ],
        ),
    ] {
        let element = make(name);
        for property in properties {
            element.set_property(property, "some_thing");
            assert_eq!(
                element.property::<String>(property),
                "some_thing",
                "{property}"
            );
            element.set_property(property, None::<&str>);
            assert_eq!(element.property::<String>(property), "", "{property}");
        }
    }
    let source = make("mdetrros2src");
    let encoding: Option<String> = source.property("ros-encoding");
    assert_eq!(encoding.unwrap_or_default(), "");
    let stats: gst::Structure = source.property("stats");
    for count in ["received", "dropped", "malformed", "pushed"] {
        assert_eq!(stats.get::<u64>(count), Ok(0), "{count}");
    }
}

/// The error of an element that cannot start.
fn refused(element: &gst::Element) -> String {
    let pipeline = gst::Pipeline::new();
    pipeline.add(element).expect("it has no parent");
    let paused = pipeline.set_state(gst::State::Paused);
    assert!(paused.is_err(), "the settings are wrong");
    let bus = pipeline.bus().expect("a pipeline has a bus");
    let message = bus.pop_filtered(&[gst::MessageType::Error]);
    pipeline.set_state(gst::State::Null).expect("stops");
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => error.error().to_string(),
        _ => panic!("no error"),
    }
}

#[test]
fn wrong_settings_are_refused_by_name() {
    for (name, property, value) in [
        ("mdetrros2src", "ros-name", "two words"),
        ("mdetrros2src", "ros-name", ""),
        ("mdetrros2sink", "ros-name", "7eyes"),
        ("mdetrros2sink", "ros-namespace", "/a/"),
        (
            "mdetrros2src",
            "init-caps",
            "video/x-raw,format=RGB,width=[1,9]",
        ),
        ("mdetrros2src", "init-caps", "no caps at all"),
    ] {
        let element = make(name);
        element.set_property(property, value);
        let error = refused(&element);
        assert!(error.contains(property) && error.contains(value), "{error}");
    }
}

#[test]
fn pixels_matter_only_if_they_are_published() {
    let sink = make("mdetrros2sink");
    let pad = sink.static_pad("sink").expect("a sink has one");
    let takes = |caps: &str| {
        let caps: gst::Caps = caps.parse().expect("caps");
        pad.query_caps(Some(&caps)).is_subset(&caps) && !pad.query_caps(Some(&caps)).is_empty()
    };
    assert!(takes(
        "video/x-raw(memory:NVMM),format=I420_10LE,width=64,height=48"
    ));
    sink.set_property("ros-topic", "image");
    assert!(!takes(
        "video/x-raw(memory:NVMM),format=RGB,width=64,height=48"
    ));
    assert!(!takes("video/x-raw,format=I420,width=64,height=48"));
    for format in ["RGB", "BGR", "RGBA", "BGRA", "GRAY8", "YUY2", "NV12"] {
        assert!(
            takes(&format!("video/x-raw,format={format},width=64,height=48")),
            "{format}"
        );
    }
}
