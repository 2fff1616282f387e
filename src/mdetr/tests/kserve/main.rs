//! The engine KServe against a server in this process that runs the bundle's graphs on tract, and fails as it is told.
//!
//! `tools/test-split` runs the engine's own tests, parity and grounder, against MLServer.

#[path = "../common/mod.rs"]
mod common;
mod server;

use std::path::Path;
use std::time::{Duration, Instant};

use mdetr::engine::{Fallback, KServeOptions, model_version};
use mdetr::{EngineKind, Frame, Grounder, GrounderOptions, RawOutputs};
use server::{Fault, Manner, Running, sha256};
use tonic::Code;

/// Of servers that do not hang: what else the machine does must not fail a test.
const PATIENCE: Duration = Duration::from_secs(30);

fn options(servers: &[&Running]) -> GrounderOptions {
    GrounderOptions {
        engine: EngineKind::KServe.into(),
        kserve: KServeOptions {
            endpoints: servers.iter().map(|server| server.endpoint()).collect(),
            deadline: PATIENCE,
            fallback: Fallback::None,
            ..KServeOptions::default()
        },
        ..GrounderOptions::default()
    }
}

fn with_fallback(servers: &[&Running]) -> GrounderOptions {
    let mut options = options(servers);
    options.kserve.fallback = Fallback::Tract;
    options
}

fn start() -> Running {
    Running::start(&common::bundle(), Manner::default())
}

fn load(options: GrounderOptions) -> Grounder {
    let grounder = Grounder::load(common::bundle(), options).unwrap();
    let queries = common::queries(&["how many cubes are there?", "how many balls are there?"]);
    grounder.set_queries(queries).unwrap();
    grounder
}

fn ask(grounder: &Grounder) -> Result<Vec<RawOutputs>, String> {
    let pixels = common::picture(128, 96);
    let frame = Frame::rgb(128, 96, &pixels).unwrap();
    common::outputs(grounder, &frame).map_err(|error| error.to_string())
}

/// What tract gives here.
fn reference() -> Vec<RawOutputs> {
    let options = GrounderOptions {
        engine: EngineKind::Tract.into(),
        ..GrounderOptions::default()
    };
    ask(&load(options)).unwrap()
}

fn apart(a: &[RawOutputs], b: &[RawOutputs]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b);
    let pairs = pairs.flat_map(|(a, b)| a.boxes.iter().flatten().zip(b.boxes.iter().flatten()));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_server_gives_what_the_same_engine_gives_here() {
    let server = start();
    let grounder = load(options(&[&server]));
    let found = ask(&grounder).unwrap();
    let reference = reference();
    assert!(apart(&found, &reference) < 1e-6);
    for (found, reference) in found.iter().zip(&reference) {
        assert_eq!(
            found.answers.keys().collect::<Vec<_>>(),
            reference.answers.keys().collect::<Vec<_>>()
        );
    }
    let frame = common::picture(128, 96);
    grounder
        .ground(&Frame::rgb(128, 96, &frame).unwrap())
        .unwrap();
    let (info, stats) = (grounder.engine(), grounder.stats());
    assert_eq!(info.name, "kserve");
    assert!(info.reason.contains(&server.endpoint()), "{}", info.reason);
    assert_eq!(stats.remote_runs, server.runs() as u64);
    assert_eq!((stats.remote_failures, stats.fallback_runs), (0, 0));
}

#[test]
fn graphs_are_split_between_here_and_there() {
    let server = start();
    let grounder = load(GrounderOptions {
        engine: "text:tract,vision:tract,fusion:kserve,mask:tract"
            .parse()
            .unwrap(),
        ..options(&[&server])
    });
    assert!(apart(&ask(&grounder).unwrap(), &reference()) < 1e-6);
    assert_eq!(server.runs(), 1, "two queries are one run of one graph");
    assert_eq!(
        grounder.engine().name,
        "text:tract,vision:tract,fusion:kserve,mask:tract"
    );
}

#[test]
fn a_server_that_takes_half_precision_is_sent_half_the_bytes() {
    let whole = start();
    let manner = Manner {
        half: true,
        ..Manner::default()
    };
    let half = Running::start(&common::bundle(), manner);
    let fusion = |server: &Running| GrounderOptions {
        engine: "text:tract,vision:tract,fusion:kserve,mask:tract"
            .parse()
            .unwrap(),
        ..options(&[server])
    };
    ask(&load(fusion(&whole))).unwrap();
    let found = ask(&load(fusion(&half))).unwrap();
    let difference = apart(&found, &reference());
    assert!(difference < 5e-3, "{difference}");
    let bytes = |server: &Running| {
        server
            .served
            .bytes
            .load(std::sync::atomic::Ordering::SeqCst)
    };
    // The mask of the texts stays in integers.
    assert!(
        bytes(&half) * 100 < bytes(&whole) * 52,
        "{} of {}",
        bytes(&half),
        bytes(&whole)
    );
}

#[test]
fn what_is_wrong_with_an_answer_is_named() {
    let server = start();
    let grounder = load(options(&[&server]));
    for (fault, expected) in [
        (
            Fault::Fails(Code::ResourceExhausted),
            "ResourceExhausted: out of memory",
        ),
        (
            Fault::WrongShapes,
            "output tokens: expected shape [1, any, 128], found [1, 192, 129]",
        ),
        (
            Fault::WrongRanks,
            "output tokens: expected shape [1, any, 128], found [1, 1, 192, 128]",
        ),
        (
            Fault::TooFew,
            "tensor tokens: expected 24576 values of FP32 in 4 bytes each, found 4 bytes",
        ),
        (
            Fault::WrongTypes,
            "tensor tokens: expected 24576 values of INT64",
        ),
        (
            Fault::NotNumbers,
            "output tokens: expected finite numbers, found NaN",
        ),
        (Fault::Lacks, "the answer lacks output pyramid_4"),
        (Fault::TooLarge, "message length too large"),
    ] {
        recover(&grounder, &server);
        server.set(fault.clone());
        let message = ask(&grounder).unwrap_err();
        assert!(message.contains(expected), "{fault:?}: {message}");
        assert!(message.starts_with("kserve failed in "), "{message}");
        assert!(message.contains("vision.onnx"), "{message}");
        assert!(message.contains(&server.endpoint()), "{message}");
    }
}

/// A server whose graphs are ready for what `ask` asks: making that takes longer than some deadlines.
fn ready() -> Running {
    let server = start();
    ask(&load(options(&[&server]))).unwrap();
    server
}

/// Waits until the server is asked again.
fn recover(grounder: &Grounder, server: &Running) {
    server.set(Fault::None);
    let begun = Instant::now();
    while let Err(message) = ask(grounder) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{message}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_server_that_hangs_is_given_up_at_the_deadline_and_left_alone() {
    const DEADLINE: Duration = Duration::from_secs(4);
    let server = ready();
    let mut options = options(&[&server]);
    options.kserve.deadline = DEADLINE;
    let grounder = load(options);
    ask(&grounder).unwrap();
    server.set(Fault::Hangs);
    let begun = Instant::now();
    let message = ask(&grounder).unwrap_err();
    let took = begun.elapsed();
    assert!(message.contains("no answer within"), "{message}");
    assert!(took >= DEADLINE / 2 && took < DEADLINE * 2, "{took:?}");
}

#[test]
fn another_server_answers_for_one_that_does_not() {
    const DEADLINE: Duration = Duration::from_secs(8);
    let (first, second) = (ready(), ready());
    let before = [first.runs(), second.runs()];
    let mut options = options(&[&first, &second]);
    options.kserve.deadline = DEADLINE;
    let grounder = load(options);
    let reference = reference();
    for _ in 0..4 {
        assert!(apart(&ask(&grounder).unwrap(), &reference) < 1e-6);
    }
    assert!(
        first.runs() > before[0] && second.runs() > before[1],
        "they take turns"
    );
    second.set(Fault::Hangs);
    for _ in 0..2 {
        let begun = Instant::now();
        assert!(apart(&ask(&grounder).unwrap(), &reference) < 1e-6);
        // Two graphs, each within its deadline.
        assert!(begun.elapsed() < DEADLINE * 2, "{:?}", begun.elapsed());
    }
    drop(second);
    assert!(apart(&ask(&grounder).unwrap(), &reference) < 1e-6);
    assert!(grounder.stats().remote_failures > 0);
}

#[test]
fn a_restarted_server_is_used_at_once() {
    let server = start();
    let address = server.address;
    let grounder = load(options(&[&server]));
    ask(&grounder).unwrap();
    drop(server);
    let server = Running::start_at(&common::bundle(), Manner::default(), address);
    assert!(apart(&ask(&grounder).unwrap(), &reference()) < 1e-6);
    assert!(server.runs() > 0);
}

#[test]
fn the_local_engine_answers_while_no_server_does() {
    let server = start();
    let address = server.address;
    let grounder = load(with_fallback(&[&server]));
    let reference = reference();
    ask(&grounder).unwrap();
    assert_eq!(grounder.stats().fallback_runs, 0);
    assert!(
        grounder
            .engine()
            .reason
            .contains("tract answers when none does")
    );
    drop(server);
    for _ in 0..3 {
        assert!(apart(&ask(&grounder).unwrap(), &reference) < 1e-6);
    }
    assert_eq!(grounder.stats().fallback_runs, 6);
    let server = Running::start_at(&common::bundle(), Manner::default(), address);
    let begun = Instant::now();
    while server.runs() < 2 {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "it is not asked again"
        );
        assert!(apart(&ask(&grounder).unwrap(), &reference) < 1e-6);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_local_engine_answers_from_the_start_and_wrong_answers_too() {
    let server = start();
    server.set(Fault::Hangs);
    let mut options = with_fallback(&[&server]);
    options.kserve.deadline = Duration::from_secs(1);
    let grounder = load(options);
    let reference = reference();
    assert!(apart(&ask(&grounder).unwrap(), &reference) < 1e-6);
    for fault in [
        Fault::WrongShapes,
        Fault::NotNumbers,
        Fault::Fails(Code::Internal),
    ] {
        server.set(fault);
        assert!(apart(&ask(&grounder).unwrap(), &reference) < 1e-6);
    }
}

#[test]
fn another_graph_is_refused_by_its_hash() {
    let bundle = common::bundle();
    let hash = sha256(&bundle.join("vision.onnx"));
    let version = model_version(&hash).to_string();
    let other = "0".repeat(64);
    let vision = |manner: Manner| {
        let server = Running::start(&bundle, manner);
        let grounder = load(GrounderOptions {
            engine: "text:tract,vision:kserve,fusion:tract,mask:tract"
                .parse()
                .unwrap(),
            ..options(&[&server])
        });
        ask(&grounder)
    };
    let versions = |versions: &[&str]| versions.iter().map(|v| (*v).to_owned()).collect();
    for (manner, is_right) in [
        (
            Manner {
                versions: versions(&["1"]),
                ..Manner::default()
            },
            true,
        ),
        (
            Manner {
                versions: versions(&["3000000000", &version]),
                ..Manner::default()
            },
            true,
        ),
        (
            Manner {
                versions: versions(&["3000000000"]),
                ..Manner::default()
            },
            false,
        ),
        (
            Manner {
                hash: Some((hash.clone(), false)),
                ..Manner::default()
            },
            true,
        ),
        (
            Manner {
                hash: Some((hash.clone(), true)),
                ..Manner::default()
            },
            true,
        ),
        (
            Manner {
                hash: Some((other.clone(), true)),
                ..Manner::default()
            },
            false,
        ),
        (
            Manner {
                parameter: Some(hash.clone()),
                silent: true,
                ..Manner::default()
            },
            true,
        ),
        (
            Manner {
                parameter: Some(other.clone()),
                ..Manner::default()
            },
            false,
        ),
    ] {
        let said = format!("{manner:?}");
        match (vision(manner), is_right) {
            (Ok(_), true) => {}
            (Err(message), false) => {
                assert!(
                    message.contains("model tabletop-vision: expected"),
                    "{message}"
                );
                assert!(message.contains("mdetr bundle triton"), "{message}");
            }
            (found, _) => panic!(
                "{said}: {}",
                found.map_or_else(|e| e, |_| "taken".to_owned())
            ),
        }
    }
}

#[test]
fn an_answer_of_another_version_is_refused() {
    let bundle = common::bundle();
    let version = model_version(&sha256(&bundle.join("vision.onnx")));
    let manner = Manner {
        versions: vec![version.to_string()],
        ..Manner::default()
    };
    let server = Running::start(&bundle, manner);
    let grounder = load(GrounderOptions {
        engine: "text:tract,vision:kserve,fusion:tract,mask:tract"
            .parse()
            .unwrap(),
        ..options(&[&server])
    });
    ask(&grounder).unwrap();
    server.set(Fault::OtherVersion);
    let message = ask(&grounder).unwrap_err();
    assert!(
        message.contains(&format!("asked for version {version}, version {version}1")),
        "{message}"
    );
}

#[test]
fn a_server_that_takes_other_types_is_named() {
    let manner = Manner {
        told: Some("FP64"),
        ..Manner::default()
    };
    let server = Running::start(&common::bundle(), manner);
    let message = ask(&load(options(&[&server]))).unwrap_err();
    let expected = "input image: expected type FP32, the server takes FP64";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn servers_that_are_not_there_are_named_with_their_reasons() {
    let grounder = Grounder::load(
        common::bundle(),
        GrounderOptions {
            engine: EngineKind::KServe.into(),
            kserve: KServeOptions {
                endpoints: KServeOptions::endpoints_in("grpc://127.0.0.1:9, grpc://localhost:9"),
                fallback: Fallback::None,
                ..KServeOptions::default()
            },
            ..GrounderOptions::default()
        },
    )
    .unwrap();
    let message = grounder
        .set_queries(common::queries(&["a cube"]))
        .unwrap_err()
        .to_string();
    for expected in [
        "kserve failed in ",
        "text.onnx",
        "grpc://127.0.0.1:9: Unavailable",
        "grpc://localhost:9: Unavailable",
        "refused",
    ] {
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn options_that_cannot_be_are_refused_when_the_model_is_loaded() {
    let with = |change: &dyn Fn(&mut KServeOptions)| {
        let mut kserve = KServeOptions {
            endpoints: vec!["grpc://127.0.0.1:9".to_owned()],
            ..KServeOptions::default()
        };
        change(&mut kserve);
        let options = GrounderOptions {
            engine: EngineKind::KServe.into(),
            kserve,
            ..GrounderOptions::default()
        };
        Grounder::load(common::bundle(), options)
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "secret").unwrap();
    let missing = Path::new("/nowhere/ca.pem");
    for (message, expected) in [
        (
            with(&|kserve| kserve.endpoints.clear()),
            "no server is named",
        ),
        (
            with(&|kserve| kserve.endpoints = vec!["http://x:1".to_owned()]),
            "expected grpc://HOST:PORT",
        ),
        (
            with(&|kserve| kserve.deadline = Duration::ZERO),
            "deadline: expected 1 ms to 600 s",
        ),
        (
            with(&|kserve| kserve.ca_file = Some(missing.to_owned())),
            "certificates /nowhere/ca.pem",
        ),
        (
            with(&|kserve| kserve.token_file = Some(missing.to_owned())),
            "token /nowhere/ca.pem",
        ),
        (
            with(&|kserve| {
                kserve.endpoints = vec!["grpc://gpu.example:8001".to_owned()];
                kserve.token_file = Some(token.path().to_owned());
            }),
            "grpc://gpu.example:8001: a token would be sent there in the clear",
        ),
    ] {
        assert!(
            message.starts_with("kserve is not available: "),
            "{message}"
        );
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn a_token_is_sent_over_tls_to_a_server_that_is_known() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let manner = Manner {
        token: Some("a-secret"),
        identity: Some((certificate.clone(), key)),
        ..Manner::default()
    };
    let server = Running::start(&common::bundle(), manner);
    let folder = tempfile::tempdir().unwrap();
    let (ca, token) = (folder.path().join("ca.pem"), folder.path().join("token"));
    std::fs::write(&ca, certificate).unwrap();
    std::fs::write(&token, "a-secret\n").unwrap();
    let mut options = options(&[&server]);
    options.kserve.ca_file = Some(ca);
    options.kserve.token_file = Some(token.clone());
    let grounder = load(options.clone());
    ask(&grounder).unwrap();
    // It is read anew.
    std::fs::write(&token, "another").unwrap();
    let message = ask(&grounder).unwrap_err();
    assert!(
        message.contains("Unauthenticated: who are you?"),
        "{message}"
    );
    assert!(
        !message.contains("another;") && !message.contains("a-secret"),
        "{message}"
    );
    // The system's authorities do not know it.
    options.kserve.ca_file = None;
    let stranger = Grounder::load(common::bundle(), options).unwrap();
    let message = stranger
        .set_queries(common::queries(&["a cube"]))
        .unwrap_err()
        .to_string();
    assert!(message.contains("certificate"), "{message}");
}
