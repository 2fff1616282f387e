//! Shows a box that moves, in numbered pictures: `live [PORT]`. The words are the first of the queries, which viewers may
//! change. Prints the address, and ends with its standard input.

use std::error::Error;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mdetr_foxglove::{DEFAULT_ADDRESS, LiveView, Queries};
use mdetr_grounding::{BBox, Detection, Grounding, Phrase, Query, QueryResult, Span};
use mdetr_ros2_messages::builtin_interfaces::Time;
use mdetr_ros2_messages::sensor_msgs::Image;
use mdetr_ros2_messages::std_msgs::Header;

/// Queries and their revision.
#[derive(Clone)]
struct Standing(Arc<Mutex<(u64, Vec<Query>)>>);

impl Queries for Standing {
    fn get(&self) -> Vec<String> {
        let standing = self.0.lock().expect("no thread panicked");
        let sources = standing.1.iter().map(|query| query.source().to_owned());
        sources.collect()
    }

    fn set(&self, sentences: Vec<String>) -> Result<(), String> {
        let parsed = sentences.iter().zip(1..).map(|(text, number)| {
            Query::parse(format!("q{number}"), text).map_err(|error| error.to_string())
        });
        let parsed: Vec<Query> = parsed.collect::<Result<_, _>>()?;
        let mut standing = self.0.lock().expect("no thread panicked");
        *standing = (standing.0 + 1, parsed);
        Ok(())
    }
}

fn found(number: u64, revision: u64, queries: &[Query]) -> Grounding {
    let results = queries.iter().zip(0..).map(|(query, index)| QueryResult {
        query: Arc::new(query.clone()),
        // Only the first finds something, and not in every picture.
        detections: (index == 0 && !number.is_multiple_of(5))
            .then(|| detection(number, query))
            .into_iter()
            .collect(),
        answer: None,
    });
    Grounding {
        revision,
        width: 64,
        height: 48,
        queries: results.collect(),
    }
}

fn detection(number: u64, query: &Query) -> Detection {
    let phrase = Phrase {
        text: query.text().to_owned(),
        span: Span {
            start: 0,
            end: query.text().chars().count() as u32,
        },
        score: 0.75,
    };
    Detection {
        bbox: BBox {
            x: (number % 40) as f32,
            y: 10.5,
            width: 20.0,
            height: 12.0,
        },
        score: 0.5,
        phrases: vec![phrase],
        track: Some(7),
        hidden_ms: None,
        identity: None,
        mask: None,
    }
}

fn image(number: u64, header: &Header) -> Image {
    Image {
        header: header.clone(),
        height: 48,
        width: 64,
        encoding: "mono8".to_owned(),
        is_bigendian: 0,
        step: 64,
        data: vec![number as u8; 64 * 48],
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map(|port| port.parse::<u16>());
    let port = port.transpose()?.unwrap_or(DEFAULT_ADDRESS.port());
    let first = Query::parse("q1", "[the red mug] left of the laptop")?;
    let standing = Standing(Arc::new(Mutex::new((1, vec![first]))));
    let address = SocketAddr::new(DEFAULT_ADDRESS.ip(), port);
    let view = LiveView::start(address, "mdetr", Box::new(standing.clone()))?;
    println!("{}", view.address());

    let ended = Arc::new(AtomicBool::new(false));
    let end = ended.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        end.store(true, Ordering::Relaxed);
    });
    for number in 0.. {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        let header = Header {
            stamp: Time::from_nanos(1_700_000_000_000_000_000 + number as i64 * 10_000_000),
            frame_id: "camera".to_owned(),
        };
        let (revision, queries) = standing.0.lock().expect("no thread panicked").clone();
        view.send("/camera/image", header.stamp, &image(number, &header))?;
        view.annotate(
            "/mdetr/annotations",
            &header,
            &found(number, revision, &queries),
        )?;
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
