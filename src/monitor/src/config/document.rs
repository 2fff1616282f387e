//! What a configuration may say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::SignedDuration;
use mdetr_grounding::query::QueryEntry;
use mdetr_rules::document::{Line, Rule, Zone};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Secret, schema};

/// The whole configuration, as `configs/monitor.toml` has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Name of a model or directory of its bundle; the bundled model, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub model: Option<PathBuf>,
    /// What runs it: `auto`, `tract`, `onnxruntime`, `tensorrt` or `kserve`; or for each graph, as
    /// `vision:tract,fusion:kserve`, of `text`, `vision`, `fusion` and `mask`.
    #[serde(default = "auto")]
    pub engine: String,
    /// Servers for the engine `kserve`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kserve: Option<KServe>,
    /// Directory of the database and of pictures and clips.
    #[schema(value_type = String)]
    pub data: PathBuf,
    /// The page and the interface for programs.
    #[serde(default)]
    pub http: Http,
    /// A broker that is told of everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<Broker>,
    /// The fleet that this program is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<Fleet>,
    /// Where a hub keeps events of many sites; it has no cameras of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<Central>,
    /// Addresses that are told of events.
    #[serde(default, rename = "webhook", skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<Webhook>,
    /// Mail that is sent of events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// What is kept, and how long.
    #[serde(default)]
    pub store: Store,
    /// What cameras saw, kept to be asked later; nothing is, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<PastSettings>,
    /// Cameras.
    #[serde(default, rename = "camera", skip_serializing_if = "Vec::is_empty")]
    pub cameras: Vec<Camera>,
}

fn auto() -> String {
    "auto".to_owned()
}

/// Servers that run graphs of the model, by the Open Inference Protocol over gRPC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KServe {
    /// Where they are: `grpc://HOST:PORT`, or `grpcs://HOST:PORT` with TLS. They take turns, and one answers for another.
    pub endpoints: Vec<String>,
    /// File with the token that they ask for; what is in `MDETR_KSERVE_TOKEN`, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub token_file: Option<PathBuf>,
    /// Certificates, in PEM, of the authorities that they are known by; those of the system, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ca: Option<PathBuf>,
    /// Milliseconds that a graph may take on them, all attempts together.
    #[serde(default = "default_deadline")]
    #[schema(minimum = 1, maximum = 600_000)]
    pub deadline_ms: u32,
    /// What answers when none of them does: `auto`, `onnxruntime`, `tract` or `none`.
    #[serde(default = "auto")]
    pub fallback: String,
}

fn default_deadline() -> u32 {
    2000
}

/// A source of frames, with what is watched for in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// Its name, unique: letters, digits, `-` and `_`.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub name: String,
    /// Where its frames come from: `rtsp://`, `rtsps://`, `http://` and `https://` (MJPEG), `file:///path` or
    /// `file:path` beside the configuration, `v4l2:///dev/video0`, or `tabletop://?seed=7` (the tabletop world).
    pub url: String,
    /// Name of the user it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Password of that user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Secret>)]
    pub password: Option<Secret>,
    /// How RTSP sends pictures.
    #[serde(default)]
    pub transport: Transport,
    /// A second, larger stream of the same camera, for clips.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_url: Option<String>,
    /// Most frames a second that are looked at.
    #[serde(default = "default_fps")]
    #[schema(minimum = 1, maximum = 240)]
    pub fps: u32,
    /// Whether a file begins anew at its end.
    #[serde(default, rename = "loop")]
    pub repeat: bool,
    /// Whether it is watched.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Clips of events.
    #[serde(default)]
    pub record: Recording,
    /// Pictures for the page.
    #[serde(default)]
    pub page: Quality,
    /// Standing queries.
    #[serde(default, rename = "query", skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<schema::QueryEntry>)]
    pub queries: Vec<QueryEntry>,
    /// Zones.
    #[serde(default, rename = "zone", skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<schema::Zone>)]
    pub zones: Vec<Zone>,
    /// Lines.
    #[serde(default, rename = "line", skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<schema::Line>)]
    pub lines: Vec<Line>,
    /// Rules.
    #[serde(default, rename = "rule", skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<schema::Rule>)]
    pub rules: Vec<Rule>,
}

impl Camera {
    /// One with the defaults that watches for nothing.
    pub fn new(name: String, url: String) -> Camera {
        Camera {
            name,
            url,
            username: None,
            password: None,
            transport: Transport::default(),
            record_url: None,
            fps: default_fps(),
            repeat: false,
            enabled: yes(),
            record: Recording::default(),
            page: Quality::default(),
            queries: Vec::new(),
            zones: Vec::new(),
            lines: Vec::new(),
            rules: Vec::new(),
        }
    }
}

fn default_fps() -> u32 {
    15
}

fn yes() -> bool {
    true
}

/// How RTSP sends pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Over the connection itself: nothing is lost on the way.
    #[default]
    Tcp,
    /// In packets of their own.
    Udp,
}

/// Clips of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Recording {
    /// Whether clips are made.
    pub clips: bool,
    /// How much before an event is kept.
    #[schema(value_type = String)]
    pub before: SignedDuration,
    /// How much behind it.
    #[schema(value_type = String)]
    pub after: SignedDuration,
    /// Longest clip; what goes on for longer is cut there.
    #[schema(value_type = String)]
    pub longest: SignedDuration,
}

impl Default for Recording {
    fn default() -> Recording {
        Recording {
            clips: true,
            before: SignedDuration::from_secs(5),
            after: SignedDuration::from_secs(5),
            longest: SignedDuration::from_mins(5),
        }
    }
}

/// Pictures for the page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quality {
    /// Widest picture in pixels; larger ones are scaled down.
    #[schema(minimum = 64, maximum = 7680)]
    pub width: u32,
    /// Quality of JPEG, 1 to 100.
    #[schema(minimum = 1, maximum = 100)]
    pub quality: u8,
}

impl Default for Quality {
    fn default() -> Quality {
        Quality {
            width: 960,
            quality: 75,
        }
    }
}

/// The page and the interface for programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port. All but loopback addresses need tokens.
    #[schema(value_type = String)]
    pub listen: SocketAddr,
    /// Certificate and key; plain HTTP without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Who may use it.
    #[serde(rename = "token", skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<Token>,
    /// Origins of other pages that may use it, such as `https://home.example`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
}

impl Default for Http {
    fn default() -> Http {
        Http {
            listen: SocketAddr::from(([127, 0, 0, 1], 8710)),
            tls: None,
            tokens: Vec::new(),
            origins: Vec::new(),
        }
    }
}

/// A certificate with its key, both in PEM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Path of the certificate chain.
    #[schema(value_type = String)]
    pub certificate: PathBuf,
    /// Path of the private key.
    #[schema(value_type = String)]
    pub key: PathBuf,
}

/// Who may use the page. `mdetr-monitor token` makes one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whose it is.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// SHA-256 of the token in hexadecimal digits.
    pub sha256: String,
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// To look.
    Viewer,
    /// To change.
    Admin,
}

/// An MQTT broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    /// `mqtt://host:1883` or `mqtts://host:8883`.
    pub url: String,
    /// Name of the client; must be unique at the broker.
    #[serde(default = "default_client")]
    pub client_id: String,
    /// Name of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Password of that user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Secret>)]
    pub password: Option<Secret>,
    /// Certificates to trust, in PEM; the system's, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ca: Option<PathBuf>,
    /// What topics begin with.
    #[serde(default = "default_prefix")]
    pub topic_prefix: String,
    /// Prefix of Home Assistant's discovery; none without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_assistant: Option<String>,
    /// Whether events are wrapped in CloudEvents 1.0.
    #[serde(default)]
    pub cloudevents: bool,
    /// ONVIF's topics beside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onvif: Option<Onvif>,
}

fn default_client() -> String {
    "mdetr-monitor".to_owned()
}

fn default_prefix() -> String {
    "mdetr".to_owned()
}

/// Topics of ONVIF (`onvif-ej`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Onvif {
    /// What its topics begin with.
    pub topic_prefix: String,
}

/// A fleet: programs that take what they watch for from one document at their broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// Name of this program in the fleet, unique: letters, digits, `-` and `_`.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub device: String,
    /// The group whose document it takes; it takes none without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub group: Option<String>,
    /// What topics of the fleet begin with.
    #[serde(default = "default_fleet")]
    pub topic_prefix: String,
    /// Whether hubs take the events: each stays here until one of them has it, whatever becomes of the broker.
    #[serde(default)]
    pub hub: bool,
}

/// What topics of a fleet begin with, if nothing else is said.
pub fn default_fleet() -> String {
    "mdetr-fleet".to_owned()
}

/// Where a hub has events of many sites from, and where it keeps them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Central {
    /// `postgres://user@host/database`. Hubs may share one.
    pub database: String,
    /// Password of that user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Secret>)]
    pub password: Option<Secret>,
    /// Prefixes of the sites' topics, with `+` in the place of their names.
    #[serde(default = "default_sites")]
    pub sites: String,
    /// What hubs that share the work are called at the broker.
    #[serde(default = "default_share")]
    pub share: String,
}

fn default_sites() -> String {
    "mdetr/+".to_owned()
}

fn default_share() -> String {
    "mdetr-hubs".to_owned()
}

/// An address that is told of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Its name, unique.
    pub id: String,
    /// Where events are posted.
    pub url: String,
    /// Key of the signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Secret>)]
    pub secret: Option<Secret>,
    /// Rules whose events are sent; all, if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Steps that are sent; `new` and `end`, if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<schema::EventKind>)]
    pub kinds: Vec<mdetr_rules::EventKind>,
    /// Body as a template (Jinja's language) with the fields of the event; its JSON without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Content type of the body.
    #[serde(default = "json")]
    pub content_type: String,
    /// Further headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

fn json() -> String {
    "application/json".to_owned()
}

/// Mail that is sent of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// The server.
    pub smtp: Smtp,
    /// Sender.
    pub from: String,
    /// Receivers.
    pub to: Vec<String>,
    /// Rules whose events are sent; all, if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Whether the picture is attached.
    #[serde(default = "yes")]
    pub picture: bool,
    /// Least time between two messages of the same rule of a camera; the next says how many were left out.
    #[serde(default = "minute")]
    #[schema(value_type = String)]
    pub every: SignedDuration,
}

fn minute() -> SignedDuration {
    SignedDuration::from_mins(1)
}

/// A mail server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// `smtps://host`, `smtp://host?tls=required`, or `smtp://127.0.0.1:25`.
    pub url: String,
    /// Name of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Password of that user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Secret>)]
    pub password: Option<Secret>,
}

/// What is kept, and how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// Days for which events, pictures and clips are kept.
    pub days: u32,
    /// Most bytes of pictures and clips.
    pub bytes: u64,
    /// Bytes that are left free on the disk.
    pub free_bytes: u64,
    /// Whether pictures and clips of events are kept and sent at all.
    pub pictures: bool,
    /// Other times for events of some rules.
    #[serde(rename = "keep", skip_serializing_if = "Vec::is_empty")]
    pub keeps: Vec<Keep>,
}

impl Default for Store {
    fn default() -> Store {
        Store {
            days: 14,
            bytes: 10 << 30,
            free_bytes: 1 << 30,
            pictures: true,
            keeps: Vec::new(),
        }
    }
}

/// What cameras saw, kept to be asked later: tokens, of which no picture is part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PastSettings {
    /// Time from one frame of a camera to the next that is kept.
    #[schema(value_type = String)]
    pub every: SignedDuration,
    /// A frame is kept if the brightness of some cell of a 32 x 24 grid differs by more than this from the last that was kept;
    /// 0: all are.
    #[schema(minimum = 0, maximum = 1)]
    pub change_threshold: f32,
    /// What values are kept in.
    pub precision: Tokens,
    /// Whether a small picture is kept beside each frame.
    pub pictures: bool,
    /// Days for which frames are kept.
    pub days: u32,
    /// Most bytes of all frames.
    pub bytes: u64,
    /// File with the key that frames are encrypted with, 32 bytes that its owner alone may read; not encrypted, if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub key: Option<PathBuf>,
}

impl Default for PastSettings {
    fn default() -> PastSettings {
        PastSettings {
            every: SignedDuration::from_secs(1),
            change_threshold: 0.05,
            precision: Tokens::Fp16,
            pictures: false,
            days: 7,
            bytes: 50 << 30,
            key: None,
        }
    }
}

/// What values of tokens are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tokens {
    /// Two bytes: answers as those of the live frame.
    Fp16,
    /// One byte: half as much, a little less accurate.
    Int8,
}

/// How long events of a rule are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// The rule; `*` for all.
    pub rule: String,
    /// The camera; all, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<String>,
    /// Days for which its events, pictures and clips are kept.
    pub days: u32,
    /// Most bytes of its pictures and clips.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}
