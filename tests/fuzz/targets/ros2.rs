//! Messages of ROS 2: bytes as any of them, and what is made of pictures, depth images and camera infos.
#![no_main]

use mdetr_grounding::{BBox, Detection};
use mdetr_ros2_messages::depth::{DepthView, Intrinsics, box_in_space};
use mdetr_ros2_messages::image::{FileFormat, ImageView};
use mdetr_ros2_messages::prompt::{SetQueriesRequest, SetQueriesResponse, isaac};
use mdetr_ros2_messages::sensor_msgs::{CameraInfo, CompressedImage, Image};
use mdetr_ros2_messages::{
    Message, builtin_interfaces, diagnostic_msgs, from_cdr, lifecycle_msgs, std_msgs, std_srvs,
    to_cdr, vision_msgs,
};

/// What is read is written, and read again, the same.
fn read<T: Message>(bytes: &[u8]) -> Option<T> {
    let message: T = from_cdr(bytes).ok()?;
    let written = to_cdr(&message);
    let again: T = from_cdr(&written).expect("what is written can be read");
    assert_eq!(to_cdr(&again), written);
    Some(message)
}

macro_rules! read_all {
    ($bytes:ident: $($type:ty),+ $(,)?) => { $(read::<$type>($bytes);)+ };
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    read_all!(bytes:
        builtin_interfaces::Time, builtin_interfaces::Duration, std_msgs::Header, std_msgs::String,
        vision_msgs::Detection2DArray, vision_msgs::Detection3DArray, vision_msgs::LabelInfo,
        vision_msgs::VisionInfo, diagnostic_msgs::DiagnosticArray, lifecycle_msgs::TransitionEvent,
        lifecycle_msgs::ChangeStateRequest, lifecycle_msgs::ChangeStateResponse,
        lifecycle_msgs::GetStateRequest, lifecycle_msgs::GetStateResponse,
        lifecycle_msgs::GetAvailableStatesRequest, lifecycle_msgs::GetAvailableStatesResponse,
        lifecycle_msgs::GetAvailableTransitionsRequest,
        lifecycle_msgs::GetAvailableTransitionsResponse, std_srvs::SetBoolRequest,
        std_srvs::SetBoolResponse, std_srvs::TriggerRequest, std_srvs::TriggerResponse,
        isaac::SetPromptRequest, isaac::SetPromptResponse, SetQueriesRequest, SetQueriesResponse,
    );
    if let Some(image) = read::<CompressedImage>(bytes) {
        let _ = FileFormat::of(&image);
    }
    let camera = read::<CameraInfo>(bytes).map(|info| Intrinsics::new(&info, true));
    if let Some(image) = read::<Image>(bytes) {
        let _ = ImageView::new(&image);
        depth(&image, camera.and_then(Result::ok));
    }
});

/// Of a depth image the middle of a box.
fn depth(image: &Image, camera: Option<Intrinsics>) {
    let Ok(view) = DepthView::new(image) else {
        return;
    };
    let (width, height) = view.size();
    let camera = camera.unwrap_or(Intrinsics {
        width,
        height,
        fx: 500.0,
        fy: 500.0,
        cx: 10.0,
        cy: 10.0,
    });
    let detection = Detection {
        bbox: BBox::from_xyxy(1.0, 1.0, width as f32 / 2.0, height as f32),
        score: 1.0,
        phrases: Vec::new(),
        track: None,
        hidden_ms: None,
        identity: None,
        mask: None,
    };
    if let Some(placed) = box_in_space(&detection, &view, &camera) {
        assert!(placed.center.position.z > 0.0);
    }
}
