//! The elements that give a camera's frames, by its URL.

use gst::prelude::*;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::config::{Camera, Transport};

/// Time in which packets may come late or in another order, in milliseconds.
const JITTER_MS: u32 = 200;
/// Time without data after which a connection counts as lost, in microseconds.
const TIMEOUT_US: u64 = 10_000_000;

/// What frames are when they come out of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// Coded pictures in a container, or packets of RTP: to be parsed.
    Coded,
    /// Pixels.
    Raw,
}

/// What reads a camera's frames.
#[derive(Debug)]
pub(super) struct Source {
    /// The element; it has one pad for video, maybe not from the beginning.
    pub(super) element: gst::Element,
    /// What comes out of it.
    pub(super) output: Output,
    /// Whether frames come when they are taken; else they must be held back until their time.
    pub(super) live: bool,
}

/// The source of a camera's `url`; the password is its password or that of the URL.
///
/// # Errors
/// In words, without the password.
pub(super) fn open(camera: &Camera, url: &str, password: Option<&str>) -> Result<Source, String> {
    let mut url = Url::parse(url).map_err(|error| format!("url: {error}"))?;
    let user = camera.username.clone().or_else(|| decoded(url.username()));
    let password = password
        .map(str::to_owned)
        .or_else(|| url.password().and_then(decoded));
    // Elements print their location; the password has properties of its own.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    match url.scheme() {
        "rtsp" | "rtsps" => rtsp(camera, &url, user, password),
        "http" | "https" => http(&url, user, password),
        "file" => file(&url),
        "v4l2" => v4l2(&url),
        "tabletop" => tabletop(&url),
        other => Err(format!("url: unknown scheme {other}")),
    }
}

/// The camera's password, from where the configuration says.
///
/// # Errors
/// In words.
pub(super) fn password(camera: &Camera) -> Result<Option<String>, String> {
    let password = camera.password.as_ref().map(|secret| secret.read());
    password
        .transpose()
        .map_err(|error| format!("password: {error}"))
}

fn decoded(text: &str) -> Option<String> {
    let text = percent_decoded(text);
    (!text.is_empty()).then_some(text)
}

/// Bytes that are not UTF-8 become U+FFFD.
fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn make<'a>(
    name: &'a str,
    package: &str,
) -> Result<gst::element_factory::ElementBuilder<'a>, String> {
    match gst::ElementFactory::find(name) {
        Some(_) => Ok(gst::ElementFactory::make(name)),
        None => Err(format!(
            "GStreamer's element {name} is missing: install {package}"
        )),
    }
}

fn built(builder: gst::element_factory::ElementBuilder) -> Result<gst::Element, String> {
    builder.build().map_err(|error| error.to_string())
}

fn rtsp(
    camera: &Camera,
    url: &Url,
    user: Option<String>,
    password: Option<String>,
) -> Result<Source, String> {
    let protocols = match camera.transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    };
    let element = make("rtspsrc", "gstreamer1.0-plugins-good")?
        .property("location", url.as_str())
        .property_from_str("protocols", protocols)
        .property("latency", JITTER_MS)
        .property("drop-on-latency", true)
        .property("tcp-timeout", TIMEOUT_US)
        .property("timeout", TIMEOUT_US / 2)
        .property("teardown-timeout", 100_000_000u64)
        .property_if_some("user-id", user)
        .property_if_some("user-pw", password);
    let element = built(element)?;
    // Sound and metadata are not asked for.
    element.connect("select-stream", false, |values| {
        let caps = values
            .get(2)
            .and_then(|value| value.get::<gst::Caps>().ok());
        let media = caps.and_then(|caps| caps.structure(0)?.get::<String>("media").ok());
        Some(media.is_none_or(|media| media == "video").to_value())
    });
    Ok(Source {
        element,
        output: Output::Coded,
        live: true,
    })
}

fn http(url: &Url, user: Option<String>, password: Option<String>) -> Result<Source, String> {
    let element = make("souphttpsrc", "gstreamer1.0-plugins-good")?
        .property("location", url.as_str())
        .property("is-live", true)
        .property("do-timestamp", true)
        .property("timeout", (TIMEOUT_US / 1_000_000) as u32)
        .property("retries", 0)
        .property_if_some("user-id", user)
        .property_if_some("user-pw", password);
    Ok(Source {
        element: built(element)?,
        output: Output::Coded,
        live: true,
    })
}

fn file(url: &Url) -> Result<Source, String> {
    let path = url
        .to_file_path()
        .map_err(|()| format!("url: expected file:///path, found {url}"))?;
    let element = make("filesrc", "gstreamer1.0-tools")?.property("location", path);
    Ok(Source {
        element: built(element)?,
        output: Output::Coded,
        live: false,
    })
}

fn v4l2(url: &Url) -> Result<Source, String> {
    let device = percent_decoded(url.path());
    let element = make("v4l2src", "gstreamer1.0-plugins-good")?.property("device", device);
    Ok(Source {
        element: built(element)?,
        // Many give JPEG; decodebin takes both.
        output: Output::Raw,
        live: true,
    })
}

/// `tabletop://?seed=7`: rendered as a camera would give it.
fn tabletop(url: &Url) -> Result<Source, String> {
    let element =
        built(make("tabletopsrc", "the plugin libgstmdetr.so")?.property("is-live", true))?;
    for (key, value) in url.query_pairs() {
        let known = element.find_property(&key).filter(|_| key != "name");
        let specification =
            known.ok_or_else(|| format!("url: tabletopsrc has no property {key}"))?;
        let value = gst::glib::Value::deserialize(&value, specification.value_type())
            .map_err(|_| format!("url: tabletopsrc {key}: cannot be {value:?}"))?;
        element.set_property_from_value(&key, &value);
    }
    Ok(Source {
        element,
        output: Output::Raw,
        live: true,
    })
}
