//! Records numbered messages on three topics: `numbered FILE COUNT [CHUNK_BYTES [MAX_BYTES]]`. With a count of 0 it does not
//! end, and prints how many are written. The tests kill it, and read what it recorded.

use std::error::Error;
use std::time::Duration;

use mdetr_record::{RecordOptions, Recorder};
use mdetr_ros2_messages::Message;
use mdetr_ros2_messages::builtin_interfaces::Time;
use mdetr_ros2_messages::sensor_msgs::Image;
use mdetr_ros2_messages::std_msgs::{Header, String as Text};
use mdetr_ros2_messages::vision_msgs::{
    Detection2D, Detection2DArray, ObjectHypothesis, ObjectHypothesisWithPose,
};

fn header(number: u64) -> Header {
    Header {
        stamp: Time::from_nanos(1_700_000_000_000_000_000 + number as i64 * 33_333_333),
        frame_id: "camera_optical".to_owned(),
    }
}

fn image(number: u64) -> Image {
    Image {
        header: header(number),
        height: 12,
        width: 16,
        encoding: "rgb8".to_owned(),
        is_bigendian: 0,
        step: 48,
        data: vec![number as u8; 48 * 12],
    }
}

/// Every third is empty.
fn detections(number: u64) -> Detection2DArray {
    let mut detection = Detection2D {
        header: header(number),
        id: number.to_string(),
        ..Detection2D::default()
    };
    detection.bbox.center.position.x = number as f64;
    detection.results.push(ObjectHypothesisWithPose {
        hypothesis: ObjectHypothesis {
            class_id: "the red mug".to_owned(),
            score: 0.75,
        },
        ..ObjectHypothesisWithPose::default()
    });
    Detection2DArray {
        header: header(number),
        detections: (!number.is_multiple_of(3))
            .then_some(detection)
            .into_iter()
            .collect(),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, count, sizes @ ..] = args.as_slice() else {
        return Err("numbered FILE COUNT [CHUNK_BYTES [MAX_BYTES]]".into());
    };
    let count: u64 = count.parse()?;
    let mut options = RecordOptions {
        flush_interval: Duration::from_millis(20),
        ..RecordOptions::default()
    };
    if let [chunk, rest @ ..] = sizes {
        options.chunk_bytes = chunk.parse()?;
        if let [max] = rest {
            options.max_bytes = max.parse()?;
        }
    }
    let mut recorder = Recorder::create(path, options)?;
    let pictures = recorder.topic("/camera/image_raw", Image::DEFINITION)?;
    let boxes = recorder.topic("/mdetr/detections", Detection2DArray::DEFINITION)?;
    let words = recorder.topic("/mdetr/result", Text::DEFINITION)?;
    for number in (0..).take_while(|number| count == 0 || *number < count) {
        let published = header(number).stamp;
        let received = Time::from_nanos(published.nanos() + 5_000_000);
        let data = format!("frame {number}");
        recorder.write_message(pictures, received, published, &image(number))?;
        recorder.write_message(boxes, received, published, &detections(number))?;
        recorder.write_message(words, received, published, &Text { data })?;
        if count == 0 && number % 10 == 9 {
            recorder.flush()?;
            println!("{}", number + 1);
        }
    }
    recorder.finish()?;
    Ok(())
}
