//! Conditions on what standing queries find over time: results and times in, events out.
//!
//! There is no clock in it, no file and no video. A [`RuleSet`] says what is watched for; a [`Watch`] is given the
//! frames of one camera and gives [`Event`]s.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use mdetr_grounding::{BBox, Detection, Grounding, Query, QueryResult};
//! use mdetr_rules::{EventKind, Moment, Observation, RuleSet, Watch};
//!
//! let rules = RuleSet::parse_toml(
//!     r#"
//! [[zone]]
//! id = "yard"
//! points = [[0.1, 0.4], [0.9, 0.4], [0.9, 1.0], [0.1, 1.0]]
//!
//! [[rule]]
//! id = "no-helmet"
//! when = { is = "present", query = "helmet", zone = "yard" }
//! for = "2s"
//! every = "60s"
//! "#,
//! )?;
//! assert!(rules.check(&["helmet"]).is_empty());
//! let mut watch = Watch::new("gate", rules).expect("rules that pass their check");
//!
//! let query = Arc::new(Query::parse("helmet", "[a person] without a helmet")?);
//! let bbox = BBox { x: 300.0, y: 200.0, width: 60.0, height: 150.0 };
//! let person =
//!     Detection { bbox, score: 0.9, phrases: vec![], track: None, identity: None, hidden_ms: None, mask: None };
//! let result = QueryResult { query, detections: vec![person], answer: None };
//! let grounding = Grounding { revision: 1, width: 640, height: 480, queries: vec![result] };
//! for frame in 0..30 {
//!     let time = Duration::from_millis(100 * frame);
//!     let events = watch.observe(&Observation {
//!         moment: Moment { time, utc: jiff::Timestamp::UNIX_EPOCH + time },
//!         frame,
//!         pts_ns: None,
//!         age: Duration::ZERO,
//!         grounding: &grounding,
//!     });
//!     for event in events {
//!         assert_eq!((event.kind, event.time.as_second()), (EventKind::New, 2));
//!         println!("{}: {} in {:?}", event.id, event.text, event.zones);
//!     }
//! }
//! assert_eq!(watch.states().next().unwrap().events, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # True, false, not known
//! A condition on a query that the result does not have, or by a result that is older than two seconds, is not known;
//! neither is a condition about objects where detections have no track ids. `all`, `any` and `not` follow Kleene's
//! logic. What is not known neither confirms nor denies.
//!
//! # Time
//! Each result counts once, also if it is attached to several frames: it is the same if its instant (the frame's time
//! less the result's age) is the same within a millisecond and so is its revision. Frames that are older than the last
//! are ignored. After five seconds without a frame, what was not confirmed yet begins anew; open events stay open until
//! results deny them.
//!
//! An event begins when its condition has held `for` so long and in `frames` new results. Single results that deny it
//! are passed over: it is given up after `frames` of them in a row, or when it was not true for `clear`. An event ends
//! when its condition is false for `clear` and in `frames` new results. [`Event::start`] is when the condition began to
//! hold, [`Event::end`] when it was last true.
//!
//! # Objects
//! `enters`, `leaves`, `dwells`, `crosses`, `still` and `moves` are about tracked objects. As the whole of a rule they
//! have one event for each object. `enters`, `leaves` and `crosses` are moments: their events end where they begin,
//! and inside of `all`, `any` and `not` they hold for the second after it (in `frames` results at least). An object
//! that is first seen inside of a zone has not entered it, and one that is lost has not left it.
//!
//! A line is crossed by the way of the anchor from result to result, through the segment itself, when the object stays
//! on the other side for `frames` results, farther than 1 % of the picture's height from the line.

pub mod check;
mod condition;
pub mod document;
pub mod event;
mod evidence;
mod geometry;
mod leaf;
mod logic;
mod number;
mod object;
mod scene;
mod schedule;
mod watch;

pub use check::{Fault, ParseError};
pub use document::{Condition, Line, Rule, RuleSet, Zone};
pub use event::{EndReason, Event, EventKind};
pub use scene::{Moment, OLDEST_RESULT, Observation};
pub use watch::{GAP, RuleState, Watch};
