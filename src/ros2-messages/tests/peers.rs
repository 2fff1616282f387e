//! Definitions and bytes against what rosbags and CycloneDDS make of them: see peers.py.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use mdetr_ros2_messages::prompt::{SetQueriesRequest, SetQueriesResponse, isaac};
use mdetr_ros2_messages::{
    ALL, Message, builtin_interfaces, diagnostic_msgs, from_cdr, geometry_msgs, lifecycle_msgs,
    rcl_interfaces, sensor_msgs, std_msgs, std_srvs, to_cdr, vision_msgs,
};
use serde::Deserialize;
use serde_json::Value;

/// A message as the peers write it.
#[derive(Deserialize)]
struct Fixture {
    values: Value,
    little: String,
    big: String,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn fixtures() -> BTreeMap<String, Fixture> {
    let text = std::fs::read_to_string(fixture("messages.json")).expect("it is there");
    serde_json::from_str(&text).expect("it is JSON")
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
    digits.map(byte).collect()
}

/// The definitions that peers.py compares are those of the crate. `MDETR_WRITE=1` writes them.
#[test]
fn the_compared_definitions_are_these() {
    let lines = ALL.iter().map(|definition| {
        let [name, text] = [definition.name, definition.text].map(Value::from);
        format!("{name}: {text}")
    });
    let lines = format!("{{\n{}\n}}\n", lines.collect::<Vec<_>>().join(",\n"));
    let path = fixture("definitions.json");
    if std::env::var_os("MDETR_WRITE").is_some() {
        std::fs::write(&path, &lines).expect("it can be written");
    }
    let compared = std::fs::read_to_string(path).expect("it is there");
    assert!(
        compared == lines,
        "run this test with MDETR_WRITE=1, then peers.py and test_peers.py"
    );
}

#[test]
fn every_definition_knows_its_parts() {
    for definition in ALL {
        let mut named = HashSet::new();
        for line in definition.text.lines() {
            let kind = line.split([' ', '[']).next().expect("a word");
            if let Some((package, name)) = kind.split_once('/') {
                named.insert(format!("{package}/msg/{name}"));
            }
        }
        let parts = definition.parts.iter().map(|part| part.name.to_owned());
        let parts: HashSet<String> = parts.collect();
        assert_eq!(named, parts, "{}", definition.name);
        assert!(definition.parts.iter().all(|part| ALL.contains(part)));
    }
}

/// The values as the structs have them: the covariance is a matrix.
fn as_structs(values: &mut Value) {
    match values {
        Value::Object(fields) => {
            if let Some(Value::Array(flat)) = fields.get_mut("covariance") {
                *flat = flat.chunks(6).map(|row| row.to_vec().into()).collect();
            }
            fields.values_mut().for_each(as_structs);
        }
        Value::Array(values) => values.iter_mut().for_each(as_structs),
        _ => {}
    }
}

fn check<T: Message>(fixtures: &mut BTreeMap<String, Fixture>) {
    let name = T::DEFINITION.name;
    let mut fixture = fixtures.remove(name).unwrap_or_else(|| panic!("{name}"));
    as_structs(&mut fixture.values);
    for written in [&fixture.little, &fixture.big].map(|hex| bytes(hex)) {
        let read: T = from_cdr(&written).unwrap_or_else(|error| panic!("{error}"));
        let values = serde_json::to_value(&read).expect("it is JSON");
        assert_eq!(values, fixture.values, "{name}");
        assert_eq!(to_cdr(&read), bytes(&fixture.little), "{name}");
        // Whatever is cut off is missed.
        for end in 0..written.len() {
            assert!(from_cdr::<T>(&written[..end]).is_err(), "{name} to {end}");
        }
        // Padding is not.
        from_cdr::<T>(&[&written[..], &[0; 3]].concat()).expect("padding is ignored");
    }
}

macro_rules! check_all {
    ($fixtures:ident: $($type:ty),+ $(,)?) => { $(check::<$type>($fixtures);)+ };
}

#[test]
fn bytes_are_those_of_the_peers() {
    let fixtures = &mut fixtures();
    check_all!(fixtures:
        builtin_interfaces::Time, builtin_interfaces::Duration, std_msgs::Header, std_msgs::String,
        geometry_msgs::Point, geometry_msgs::Vector3, geometry_msgs::Quaternion,
        geometry_msgs::Pose, geometry_msgs::PoseWithCovariance, sensor_msgs::Image,
        sensor_msgs::CompressedImage, sensor_msgs::RegionOfInterest, sensor_msgs::CameraInfo,
        vision_msgs::Point2D, vision_msgs::Pose2D, vision_msgs::BoundingBox2D,
        vision_msgs::BoundingBox3D, vision_msgs::ObjectHypothesis,
        vision_msgs::ObjectHypothesisWithPose, vision_msgs::Detection2D,
        vision_msgs::Detection2DArray, vision_msgs::Detection3D, vision_msgs::Detection3DArray,
        vision_msgs::VisionClass, vision_msgs::LabelInfo, vision_msgs::VisionInfo,
        diagnostic_msgs::KeyValue, diagnostic_msgs::DiagnosticStatus,
        diagnostic_msgs::DiagnosticArray, rcl_interfaces::Log, rcl_interfaces::ParameterValue,
        rcl_interfaces::Parameter, rcl_interfaces::ParameterEvent, lifecycle_msgs::State, lifecycle_msgs::Transition,
        lifecycle_msgs::TransitionDescription, lifecycle_msgs::TransitionEvent,
        lifecycle_msgs::ChangeStateRequest, lifecycle_msgs::ChangeStateResponse,
        lifecycle_msgs::GetStateRequest, lifecycle_msgs::GetStateResponse,
        lifecycle_msgs::GetAvailableStatesRequest, lifecycle_msgs::GetAvailableStatesResponse,
        lifecycle_msgs::GetAvailableTransitionsRequest,
        lifecycle_msgs::GetAvailableTransitionsResponse, std_srvs::SetBoolRequest,
        std_srvs::SetBoolResponse, std_srvs::TriggerRequest, std_srvs::TriggerResponse,
        isaac::SetPromptRequest, isaac::SetPromptResponse, SetQueriesRequest, SetQueriesResponse,
    );
    let rest: Vec<&String> = fixtures.keys().collect();
    assert!(rest.is_empty(), "{rest:?} are not read");
}

#[test]
fn names_and_schemas_are_those_of_dds_and_mcap() {
    let definition = vision_msgs::LabelInfo::DEFINITION;
    assert_eq!(definition.dds_name(), "vision_msgs::msg::dds_::LabelInfo_");
    let request = std_srvs::SetBoolRequest::DEFINITION;
    assert_eq!(request.dds_name(), "std_srvs::srv::dds_::SetBool_Request_");
    let rule = "=".repeat(80);
    let expected = format!(
        "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n\
         {rule}\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n\
         {rule}\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n\
         {rule}\nMSG: vision_msgs/VisionClass\nuint16 class_id\nstring class_name\n"
    );
    assert_eq!(definition.schema(), expected);
}
