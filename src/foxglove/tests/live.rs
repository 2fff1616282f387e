//! What a view refuses, and that it ends. What viewers see is in test_live.py.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use mdetr_foxglove::{LiveView, LiveViewError, Queries};
use mdetr_grounding::Grounding;
use mdetr_ros2_messages::Message;
use mdetr_ros2_messages::builtin_interfaces::Time;
use mdetr_ros2_messages::std_msgs::{Header, String as Text};

struct NoQueries;

impl Queries for NoQueries {
    fn get(&self) -> Vec<String> {
        Vec::new()
    }

    fn set(&self, _: Vec<String>) -> Result<(), String> {
        Err("there are none".to_owned())
    }
}

fn start(address: SocketAddr) -> Result<LiveView, LiveViewError> {
    LiveView::start(address, "test", Box::new(NoQueries))
}

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

fn nothing() -> Grounding {
    Grounding {
        revision: 1,
        width: 8,
        height: 8,
        queries: Vec::new(),
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind(any()).expect("there is a free port");
    let address = taken.local_addr().expect("it has an address");
    let error = start(address).err().expect("it is taken");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn a_topic_has_one_type() {
    let view = start(any()).expect("it starts");
    let (stamp, header) = (Time::default(), Header::default());
    view.send("/a", stamp, &Text::default()).expect("it is new");
    view.send("/a", stamp, &Text::default())
        .expect("the same type");
    view.annotate("/b", &header, &nothing()).expect("it is new");
    view.annotate("/b", &header, &nothing())
        .expect("the same type");
    let errors = [
        view.send("/a", stamp, &header),
        view.annotate("/a", &header, &nothing()),
        view.send("/b", stamp, &header),
    ];
    for error in errors {
        let error = error.expect_err("another type").to_string();
        assert!(error.contains("so it cannot have"), "{error}");
    }
}

#[test]
fn nobody_looks_at_first() {
    let view = start(any()).expect("it starts");
    assert!(view.is_wanted("/a"), "it is not offered yet");
    view.send("/a", Time::default(), &Text::default())
        .expect("it is new");
    assert!(!view.is_wanted("/a"));
}

#[test]
fn what_is_offered_before_is_wanted_by_nobody() {
    let view = start(any()).expect("it starts");
    view.offer("/a", Text::DEFINITION).expect("it is new");
    view.offer_annotations("/b").expect("it is new");
    assert!(!view.is_wanted("/a") && !view.is_wanted("/b"));
    view.send_cdr("/a", Text::DEFINITION, Time::default(), &[0, 1, 0, 0])
        .expect("the same type");
    for topic in ["/a", "/b"] {
        let error = view
            .offer(topic, Header::DEFINITION)
            .expect_err("another type");
        assert!(error.to_string().contains("so it cannot have"), "{error}");
        view.withdraw(topic);
        view.offer(topic, Header::DEFINITION)
            .expect("it is free again");
    }
    view.withdraw("/c");
}

#[test]
fn a_view_that_is_dropped_listens_no_more() {
    let view = start(any()).expect("it starts");
    let address = view.address();
    TcpStream::connect(address).expect("it listens");
    drop(view);
    let end = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < end, "it still listens");
        std::thread::sleep(Duration::from_millis(10));
    }
}
