//! The command line: the program's own options, and ROS arguments as every node takes them.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mdetr_foxglove::DEFAULT_ADDRESS;
use mdetr_ros2_bus::names::{self, Remap};
use ros2_client::{NodeName, ParameterValue};

use crate::parameters::{self, Phase, Values};
use crate::yaml::{self, Node};

/// The node's name if none is given.
const NAME: &str = "mdetr";
/// The key over the parameters of a node in a file.
const PARAMETERS: &str = "ros__parameters";

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What a developer wants to know.
    Debug,
    /// What a user wants to know.
    Info,
    /// What may be a mistake.
    Warn,
    /// What went wrong.
    Error,
    /// What ends the program.
    Fatal,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// To run the node.
    Run(Box<Arguments>),
    /// To print the help.
    Help,
    /// To print the version.
    Version,
    /// To write what can be read of a recording to a new file.
    Recover {
        /// The recording.
        from: PathBuf,
        /// The new file.
        to: PathBuf,
    },
}

/// Where messages go beside DDS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    /// The file of a recording.
    pub record: Option<PathBuf>,
    /// Whether pictures are recorded too.
    pub record_images: bool,
    /// Where Foxglove may connect.
    pub foxglove: Option<SocketAddr>,
}

/// How the node is to be run.
#[derive(Debug)]
pub struct Arguments {
    pub(crate) node: NodeName,
    pub(crate) remaps: Vec<Remap>,
    /// Values in the order given; a later one takes the place of an earlier one.
    pub(crate) parameters: Vec<Setting>,
    pub(crate) log_level: LogLevel,
    pub(crate) log_to_stderr: bool,
    pub(crate) log_to_rosout: bool,
    pub(crate) beside: Beside,
}

/// A value for a parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    pub name: String,
    pub value: ParameterValue,
    /// Of a file, which may have those of other nodes too.
    pub in_file: bool,
}

impl Arguments {
    /// The values of all parameters.
    ///
    /// # Errors
    /// One has a wrong value, or one that was not in a file is not known.
    pub(crate) fn values(&self) -> Result<Values, String> {
        let settings = self.parameters.iter();
        let own =
            settings.filter(|setting| !setting.in_file || parameters::is_known(&setting.name));
        let changes: Vec<(String, ParameterValue)> = own
            .map(|setting| (setting.name.clone(), setting.value.clone()))
            .collect();
        Values::default().with(&changes, Phase::Start)
    }

    /// Says in the log which parameters of files are not known.
    pub(crate) fn warn_of_unknown(&self) {
        for setting in &self.parameters {
            if !parameters::is_known(&setting.name) {
                tracing::warn!("parameter {}: there is no such parameter", setting.name);
            }
        }
    }
}

/// A command line that cannot be followed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ArgumentError(String);

fn refuse<T>(message: String) -> Result<T, ArgumentError> {
    Err(ArgumentError(message))
}

/// Parameters that are named before it is known which of them are for this node.
enum Given {
    One {
        node: Option<String>,
        name: String,
        value: ParameterValue,
    },
    File(PathBuf),
}

/// What was read so far.
struct Reading {
    name: Option<String>,
    namespace: Option<String>,
    remaps: Vec<Remap>,
    given: Vec<Given>,
    log_level: LogLevel,
    log_to_stderr: bool,
    log_to_rosout: bool,
    beside: Beside,
}

/// Reads the command line, without the program's name.
///
/// # Errors
/// An argument is not known or its value is wrong, or a parameter file cannot be used: names it.
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Asked, ArgumentError> {
    let mut args = args.into_iter().peekable();
    let mut reading = Reading {
        name: None,
        namespace: None,
        remaps: Vec::new(),
        given: Vec::new(),
        log_level: LogLevel::Info,
        log_to_stderr: true,
        log_to_rosout: true,
        beside: Beside::default(),
    };
    let mut for_ros = false;
    while let Some(arg) = args.next() {
        match (arg.as_str(), for_ros) {
            ("--ros-args", _) => for_ros = true,
            ("--", true) => for_ros = false,
            ("-h" | "--help", false) => return Ok(Asked::Help),
            ("-V" | "--version", false) => return Ok(Asked::Version),
            ("--recover", false) => return recover(args),
            ("--record", false) => match args.next().filter(|path| !path.is_empty()) {
                Some(path) => reading.beside.record = Some(path.into()),
                None => return refuse("--record: expected a file after it".to_owned()),
            },
            ("--record-images", false) => reading.beside.record_images = true,
            ("--foxglove", false) => {
                let address = args.next_if(|next| !next.starts_with('-'));
                reading.beside.foxglove = Some(foxglove(address)?);
            }
            (flag, true) => reading.flag(flag, &mut args)?,
            (other, false) => {
                return refuse(format!(
                    "{other:?} is not known here; ROS arguments follow --ros-args"
                ));
            }
        }
    }
    if reading.beside.record_images && reading.beside.record.is_none() {
        return refuse("--record-images: expected --record FILE too".to_owned());
    }
    reading
        .finish()
        .map(|arguments| Asked::Run(Box::new(arguments)))
}

fn recover(args: impl Iterator<Item = String>) -> Result<Asked, ArgumentError> {
    let files: Vec<String> = args.take(3).collect();
    match files.as_slice() {
        [from, to] => Ok(Asked::Recover {
            from: from.into(),
            to: to.into(),
        }),
        _ => refuse(
            "--recover: expected a recording and a new file after it, and no more".to_owned(),
        ),
    }
}

/// Where Foxglove may connect: on this machine, unless an address says otherwise.
fn foxglove(address: Option<String>) -> Result<SocketAddr, ArgumentError> {
    let Some(address) = address else {
        return Ok(DEFAULT_ADDRESS);
    };
    address.parse().or_else(|_| {
        refuse(format!(
            "--foxglove {address}: expected an IP address and a port, such as {DEFAULT_ADDRESS}"
        ))
    })
}

impl Reading {
    fn flag(
        &mut self,
        flag: &str,
        args: &mut impl Iterator<Item = String>,
    ) -> Result<(), ArgumentError> {
        let mut value = |what: &str| {
            let value = args.next();
            value.ok_or_else(|| ArgumentError(format!("{flag}: expected {what} after it")))
        };
        match flag {
            "-r" | "--remap" => self.remap(&value("from:=to")?),
            "-p" | "--param" => self.parameter(&value("name:=value")?),
            "--params-file" => {
                self.given.push(Given::File(value("a file")?.into()));
                Ok(())
            }
            "--log-level" => self.level(&value("a level")?),
            "--enable-stdout-logs" => self.set(|reading| reading.log_to_stderr = true),
            "--disable-stdout-logs" => self.set(|reading| reading.log_to_stderr = false),
            "--enable-rosout-logs" => self.set(|reading| reading.log_to_rosout = true),
            "--disable-rosout-logs" => self.set(|reading| reading.log_to_rosout = false),
            // There is no library below this one whose log could be switched.
            "--enable-external-lib-logs" | "--disable-external-lib-logs" => Ok(()),
            "-e" | "--enclave" => refuse(format!(
                "{flag}: DDS security is not supported; leave it out"
            )),
            "--log-config-file" | "--log-file-name" => refuse(format!(
                "{flag}: the log goes to standard error and /rosout; leave it out"
            )),
            other => refuse(format!(
                "{other:?} is no ROS argument; --help lists those there are"
            )),
        }
    }

    fn set(&mut self, change: impl FnOnce(&mut Reading)) -> Result<(), ArgumentError> {
        change(self);
        Ok(())
    }

    fn remap(&mut self, rule: &str) -> Result<(), ArgumentError> {
        let Some((from, to)) = rule.split_once(":=") else {
            return refuse(format!("-r {rule}: expected from:=to"));
        };
        let (node, from) = of_node(from);
        match from {
            // A rule about the name itself cannot ask for it.
            "__node" | "__name" => self.name = Some(to.to_owned()),
            "__ns" => self.namespace = Some(to.to_owned()),
            from => {
                let topic = |name: &str| {
                    let name = name.strip_prefix("rostopic://").unwrap_or(name);
                    name.strip_prefix("rosservice://")
                        .unwrap_or(name)
                        .to_owned()
                };
                self.remaps.push(Remap {
                    node: node.map(str::to_owned),
                    from: topic(from),
                    to: topic(to),
                });
            }
        }
        Ok(())
    }

    fn parameter(&mut self, given: &str) -> Result<(), ArgumentError> {
        let Some((name, value)) = given.split_once(":=") else {
            return refuse(format!("-p {given}: expected name:=value"));
        };
        let (node, name) = of_node(name);
        let value = yaml::value(value)
            .map_err(|error| ArgumentError(format!("-p {given}: {name}: {error}")))?;
        self.given.push(Given::One {
            node: node.map(str::to_owned),
            name: name.to_owned(),
            value,
        });
        Ok(())
    }

    /// `LEVEL` or `logger:=LEVEL`; there is one logger.
    fn level(&mut self, given: &str) -> Result<(), ArgumentError> {
        let level = given.rsplit_once(":=").map_or(given, |(_, level)| level);
        self.log_level = match level.to_ascii_lowercase().as_str() {
            "debug" => LogLevel::Debug,
            "info" => LogLevel::Info,
            "warn" => LogLevel::Warn,
            "error" => LogLevel::Error,
            "fatal" => LogLevel::Fatal,
            _ => {
                return refuse(format!(
                    "--log-level {given}: expected debug, info, warn, error or fatal"
                ));
            }
        };
        Ok(())
    }

    fn finish(self) -> Result<Arguments, ArgumentError> {
        let name = self.name.as_deref().unwrap_or(NAME);
        let namespace = self.namespace.as_deref().unwrap_or_default();
        let node = names::node(namespace, name)
            .map_err(|error| ArgumentError(format!("__ns:={namespace} __node:={name}: {error}")))?;
        for rule in &self.remaps {
            for name in [&rule.from, &rule.to] {
                names::expand(name, &node).map_err(|error| {
                    ArgumentError(format!("-r {}:={}: {error}", rule.from, rule.to))
                })?;
            }
        }
        let mut parameters = Vec::new();
        for given in self.given {
            match given {
                Given::One { node: Some(of), .. } if of != node.base_name() => (),
                Given::One { name, value, .. } => parameters.push(Setting {
                    name,
                    value,
                    in_file: false,
                }),
                Given::File(path) => {
                    let read = read(&path, &node).map_err(|error| {
                        ArgumentError(format!("--params-file {}: {error}", path.display()))
                    })?;
                    parameters.extend(read.into_iter().map(|(name, value)| Setting {
                        name,
                        value,
                        in_file: true,
                    }));
                }
            }
        }
        Ok(Arguments {
            node,
            remaps: self.remaps,
            parameters,
            log_level: self.log_level,
            log_to_stderr: self.log_to_stderr,
            log_to_rosout: self.log_to_rosout,
            beside: self.beside,
        })
    }
}

/// `node:rest`, where what stands before the colon is the name of a node.
fn of_node(text: &str) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some((node, rest)) if !rest.starts_with("//") => (Some(node), rest),
        _ => (None, text),
    }
}

/// The parameters that a file has for `node`.
fn read(path: &Path, node: &NodeName) -> Result<Vec<(String, ParameterValue)>, String> {
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut text = String::new();
    file.take(yaml::MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > yaml::MAX_BYTES {
        let most = yaml::MAX_BYTES;
        return Err(format!("more than {most} bytes; this is no parameter file"));
    }
    let mut found = Vec::new();
    nodes(
        &yaml::parse(&text)?,
        "",
        &node.fully_qualified_name(),
        &mut found,
    )?;
    Ok(found)
}

/// Collects the parameters under the names of nodes that `own` matches; `above` is the way to `node`.
fn nodes(
    node: &Node,
    above: &str,
    own: &str,
    found: &mut Vec<(String, ParameterValue)>,
) -> Result<(), String> {
    let Node::Map(entries, line) = node else {
        return Err(format!(
            "{above:?}: expected names of nodes, then {PARAMETERS}"
        ));
    };
    for (key, below) in entries {
        if key != PARAMETERS {
            let way = format!("{above}/{}", key.trim_matches('/'));
            nodes(below, &way, own, found)?;
        } else if above.is_empty() {
            return Err(format!(
                "line {line}: {PARAMETERS} without the name of a node over it"
            ));
        } else if matches(above, own) {
            values(below, "", found)?;
        }
    }
    Ok(())
}

/// Collects the parameters of one node; those below a key have its name and a dot before theirs.
fn values(
    node: &Node,
    above: &str,
    found: &mut Vec<(String, ParameterValue)>,
) -> Result<(), String> {
    match node {
        Node::Map(entries, _) => entries.iter().try_for_each(|(key, below)| {
            let name = match above {
                "" => key.clone(),
                above => format!("{above}.{key}"),
            };
            values(below, &name, found)
        }),
        _ if above.is_empty() => Err(format!("{PARAMETERS}: expected names and values")),
        value => {
            let value = value.value().map_err(|error| format!("{above}: {error}"))?;
            found.push((above.to_owned(), value));
            Ok(())
        }
    }
}

/// Whether the whole name `own` is one of those that `pattern` stands for: `*` is one part, `**` any number.
fn matches(pattern: &str, own: &str) -> bool {
    fn parts(text: &str) -> Vec<&str> {
        text.split('/').filter(|part| !part.is_empty()).collect()
    }
    fn from(pattern: &[&str], own: &[&str]) -> bool {
        match (pattern, own) {
            ([], []) => true,
            (["**", rest @ ..], _) => (0..=own.len()).any(|skip| from(rest, &own[skip..])),
            (["*", rest @ ..], [_, own @ ..]) => from(rest, own),
            ([first, rest @ ..], [own_first, own @ ..]) => first == own_first && from(rest, own),
            _ => false,
        }
    }
    // Each `**` may try every length; a few are enough for anybody.
    let pattern = parts(pattern);
    pattern.iter().filter(|part| **part == "**").count() <= 4 && from(&pattern, &parts(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Result<Arguments, String> {
        let args = args.iter().map(|arg| (*arg).to_owned());
        match parse(args).map_err(|error| error.to_string())? {
            Asked::Run(arguments) => Ok(*arguments),
            other => Err(format!("{other:?}")),
        }
    }

    fn with_file(text: &str, args: &[&str]) -> Result<Arguments, String> {
        let dir = tempfile::tempdir().expect("a writable temporary directory");
        let path = dir.path().join("p.yaml");
        std::fs::write(&path, text).expect("a writable temporary directory");
        let path = path.to_str().expect("a name in UTF-8");
        let file = ["--ros-args", "--params-file", path];
        run(&[&file[..], args].concat())
    }

    #[test]
    fn what_launch_passes_is_understood() {
        let arguments = run(&[
            "--ros-args",
            "-r",
            "__node:=eyes",
            "-r",
            "__ns:=/robot",
            "--remap",
            "image:=/camera/image_raw",
            "-p",
            "queries:=[\"[the red ball] left of the cube\"]",
            "--param",
            "eyes:score_threshold:=0.5",
            "-p",
            "other:score_threshold:=0.9",
            "--log-level",
            "eyes:=DEBUG",
            "--disable-rosout-logs",
            "--",
        ])
        .expect("valid arguments");
        assert_eq!(arguments.node.fully_qualified_name(), "/robot/eyes");
        assert_eq!(arguments.remaps[0].from, "image");
        assert_eq!(arguments.log_level, LogLevel::Debug);
        assert!(arguments.log_to_stderr && !arguments.log_to_rosout);
        let queries = vec!["[the red ball] left of the cube".to_owned()];
        let values = arguments.values().expect("known parameters");
        assert_eq!(values.strings("queries"), queries);
        assert_eq!(values.threshold("score_threshold"), Some(0.5));
    }

    #[test]
    fn options_of_the_program_stand_before_those_of_ros() {
        let beside = |args: &[&str]| run(args).map(|arguments| arguments.beside);
        assert_eq!(beside(&[]), Ok(Beside::default()));
        let all = beside(&[
            "--record",
            "run.mcap",
            "--record-images",
            "--foxglove",
            "--ros-args",
            "-p",
            "depth:=true",
        ]);
        let expected = Beside {
            record: Some("run.mcap".into()),
            record_images: true,
            foxglove: Some(DEFAULT_ADDRESS),
        };
        assert_eq!(all, Ok(expected));
        let address = beside(&["--ros-args", "--", "--foxglove", "[::1]:0"]);
        let address = address.expect("an address").foxglove;
        assert_eq!(address, "[::1]:0".parse().ok());
        let args = ["--recover", "a.mcap", "b.mcap"].map(str::to_owned);
        let asked = parse(args).expect("two files");
        assert!(matches!(asked, Asked::Recover { from, to } if from != to));
    }

    #[test]
    fn files_have_parameters_of_several_nodes() {
        let text = "/**:\n  ros__parameters:\n    engine: tract\n    a: {b: 1}\n\
                    mdetr:\n  ros__parameters: {max_rate: 5.0}\n\
                    /robot/mdetr:\n  ros__parameters: {max_rate: 7.0}\n\
                    robot:\n  other:\n    ros__parameters: {max_rate: 9.0}\n\
                    /robot/*:\n  ros__parameters: {masks: false}\n";
        let names = |arguments: Arguments| -> Vec<String> {
            let settings = arguments.parameters.into_iter();
            settings
                .map(|set| format!("{}={:?}", set.name, set.value))
                .collect()
        };
        let own = with_file(text, &[]).expect("a valid file");
        let expected = [
            "engine=String(\"tract\")",
            "a.b=Integer(1)",
            "max_rate=Double(5.0)",
        ];
        assert_eq!(names(own), expected);
        let robot = with_file(text, &["-r", "__ns:=/robot"]).expect("a valid file");
        let last = ["max_rate=Double(7.0)", "masks=Boolean(false)"];
        assert_eq!(names(robot), [&expected[..2], &last[..]].concat());
    }

    #[test]
    fn wrong_arguments_are_refused_by_name() {
        for (args, expected) in [
            (&["image"][..], "\"image\""),
            (&["--ros-args", "--frobnicate"], "--frobnicate"),
            (&["--ros-args", "-r"], "-r: expected from:=to"),
            (
                &["--ros-args", "-r", "image"],
                "-r image: expected from:=to",
            ),
            (&["--ros-args", "-r", "a b:=c"], "\"a b\""),
            (&["--ros-args", "-r", "__node:=1x"], "__node:=1x"),
            (&["--ros-args", "-p", "queries"], "-p queries"),
            (&["--ros-args", "-p", "queries:=[1, a]"], "several kinds"),
            (&["--ros-args", "--log-level", "loud"], "--log-level loud"),
            (&["--ros-args", "-e", "/x"], "security"),
            (&["--record"], "--record: expected a file"),
            (&["--record", ""], "--record: expected a file"),
            (&["--record-images"], "expected --record FILE"),
            (&["--foxglove", "8765"], "--foxglove 8765: expected an IP"),
            (&["--foxglove", "host:1"], "--foxglove host:1: expected"),
            (&["--ros-args", "--record", "a"], "--record"),
            (&["--recover", "a"], "--recover: expected a recording and"),
            (&["--recover", "a", "b", "c"], "--recover: expected"),
            (
                &["--ros-args", "--params-file", "/no/such.yaml"],
                "/no/such.yaml",
            ),
        ] {
            let error = run(args).expect_err(expected);
            assert!(error.contains(expected), "{args:?}: {error}");
        }
        for (text, expected) in [
            ("ros__parameters: {a: 1}", "without the name of a node"),
            ("mdetr: 7", "expected names of nodes"),
            ("mdetr: {ros__parameters: 7}", "expected names and values"),
            ("mdetr: {ros__parameters: {a: [1, b]}}", "a: line 1"),
        ] {
            let error = with_file(text, &[]).expect_err(expected);
            assert!(error.contains(expected), "{text}: {error}");
            assert!(error.contains("p.yaml"), "{error}");
        }
    }
}
