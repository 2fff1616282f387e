//! An engine whose plans take long, and one that answers until they are there.

use std::convert::Infallible;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::error::EngineError;
use crate::events::PlanWatcher;
use crate::graph::{
    Engine, EngineInfo, Graph, GraphCounts, GraphSource, InputShape, Plan, describe,
};
use crate::guard::guard;
use crate::sync::locked;
use crate::tensor::{Tensor, View};

/// Runs graphs on `primary` once all its plans that were asked for are made, on `substitute` until
/// then.
#[derive(Debug)]
pub(crate) struct Standby {
    /// Of the primary engine.
    name: &'static str,
    primary: Box<dyn Engine>,
    substitute: Box<dyn Engine>,
    building: Arc<Building>,
}

/// What all plans of the primary engine share.
#[derive(Debug, Default)]
struct Building {
    /// Plans that are being made.
    count: AtomicUsize,
    /// Held while one is made: together they would take longer, and more memory.
    turn: Mutex<()>,
}

impl Standby {
    pub(crate) fn new(
        name: &'static str,
        primary: Box<dyn Engine>,
        substitute: Box<dyn Engine>,
    ) -> Standby {
        Standby {
            name,
            primary,
            substitute,
            building: Arc::default(),
        }
    }
}

impl Engine for Standby {
    fn info(&self) -> EngineInfo {
        let info = self.primary.info();
        let substitute = self.substitute.info().name;
        EngineInfo {
            reason: format!("{}; {substitute} answers while it makes plans", info.reason),
            ..info
        }
    }

    fn graph_counts(&self) -> GraphCounts {
        self.primary.graph_counts()
    }

    fn watch(&self, watcher: PlanWatcher) {
        self.primary.watch(watcher);
    }

    fn texts_at_once(&self) -> usize {
        self.primary.texts_at_once()
    }

    fn load(&self, source: GraphSource) -> Result<Box<dyn Graph>, EngineError> {
        Ok(Box::new(StandbyGraph {
            name: self.name,
            path: source.path.clone(),
            substitute: self.substitute.load(source.clone())?.into(),
            primary: self.primary.load(source)?.into(),
            building: self.building.clone(),
        }))
    }

    /// Making a plan would take longer than the substitute's few runs.
    fn load_briefly(&self, source: GraphSource) -> Result<Box<dyn Graph>, EngineError> {
        self.substitute.load(source)
    }
}

#[derive(Debug)]
struct StandbyGraph {
    /// Of the primary engine.
    name: &'static str,
    path: String,
    primary: Arc<dyn Graph>,
    substitute: Arc<dyn Graph>,
    building: Arc<Building>,
}

impl Graph for StandbyGraph {
    fn plan(&self, shapes: &[InputShape]) -> Result<Arc<dyn Plan>, EngineError> {
        let plan = StandbyPlan {
            making: Arc::new(Making {
                name: self.name,
                path: self.path.clone(),
                shapes: shapes.to_vec(),
                graph: self.primary.clone(),
                building: self.building.clone(),
                state: Mutex::new(State::Idle),
                made: Condvar::new(),
            }),
            substitute_graph: self.substitute.clone(),
            substitute: Mutex::default(),
            thread: Mutex::default(),
        };
        plan.start(&mut locked(&plan.making.state))?;
        Ok(Arc::new(plan))
    }
}

/// A plan of the primary engine, and of the substitute for as long as it is missing.
#[derive(Debug)]
struct StandbyPlan {
    making: Arc<Making>,
    substitute_graph: Arc<dyn Graph>,
    substitute: Mutex<Option<Arc<dyn Plan>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread that makes the primary plan works with.
///
/// Lock order: `state` before the substitute's and the thread's; `building.turn` before `state`.
#[derive(Debug)]
struct Making {
    name: &'static str,
    path: String,
    shapes: Vec<InputShape>,
    graph: Arc<dyn Graph>,
    building: Arc<Building>,
    state: Mutex<State>,
    made: Condvar,
}

#[derive(Debug)]
enum State {
    /// To be begun.
    Idle,
    Building,
    Ready(Arc<dyn Plan>),
    /// For the next run to say; the one after begins again.
    Failed(EngineError),
}

impl Making {
    fn fault(&self, message: String) -> EngineError {
        EngineError::Plan {
            engine: self.name,
            graph: self.path.clone(),
            shapes: describe(&self.shapes),
            message,
        }
    }

    fn make(&self) {
        let turn = locked(&self.building.turn);
        let made = guard(|| Ok::<_, Infallible>(self.graph.plan(&self.shapes)));
        drop(turn);
        let made = made.unwrap_or_else(|message| Err(self.fault(message)));
        *locked(&self.state) = match made {
            Ok(plan) => State::Ready(plan),
            Err(error) => State::Failed(error),
        };
        self.building.count.fetch_sub(1, Ordering::AcqRel);
        self.made.notify_all();
    }
}

impl StandbyPlan {
    fn start(&self, state: &mut State) -> Result<(), EngineError> {
        let making = self.making.clone();
        self.making.building.count.fetch_add(1, Ordering::AcqRel);
        let name = "mdetr-plan".to_owned();
        let spawned = thread::Builder::new()
            .name(name)
            .spawn(move || making.make());
        match spawned {
            Ok(thread) => {
                *state = State::Building;
                *locked(&self.thread) = Some(thread);
                Ok(())
            }
            Err(error) => {
                self.making.building.count.fetch_sub(1, Ordering::AcqRel);
                Err(self.making.fault(format!("cannot start a thread: {error}")))
            }
        }
    }

    /// The primary plan if it is to run now. `needed`: what is fed is in the primary engine's memory,
    /// so nothing else can take it.
    fn primary(&self, needed: bool) -> Result<Option<Arc<dyn Plan>>, EngineError> {
        let mut state = locked(&self.making.state);
        if let State::Idle = *state {
            self.start(&mut state)?;
        }
        while needed && matches!(*state, State::Building) {
            let made = self.making.made.wait(state);
            state = made.unwrap_or_else(PoisonError::into_inner);
        }
        match mem::replace(&mut *state, State::Idle) {
            State::Failed(error) => Err(error),
            State::Ready(plan) => {
                *state = State::Ready(plan.clone());
                // A frame's plans are of one engine, or each would move its tensors again.
                let all = self.making.building.count.load(Ordering::Acquire) == 0;
                Ok((needed || all).then_some(plan))
            }
            unfinished => {
                *state = unfinished;
                Ok(None)
            }
        }
    }

    fn substitute(&self) -> Result<Arc<dyn Plan>, EngineError> {
        let mut substitute = locked(&self.substitute);
        if let Some(plan) = &*substitute {
            return Ok(plan.clone());
        }
        let plan = self.substitute_graph.plan(&self.making.shapes)?;
        Ok(substitute.insert(plan).clone())
    }
}

impl Plan for StandbyPlan {
    fn run(
        &self,
        inputs: &[View],
        outputs: &[&'static str],
        keep: &[&'static str],
    ) -> Result<Vec<Tensor>, EngineError> {
        let needed = inputs.iter().any(|view| matches!(view, View::Device(_)));
        match self.primary(needed)? {
            Some(plan) => {
                *locked(&self.substitute) = None;
                plan.run(inputs, outputs, keep)
            }
            None => self.substitute()?.run(inputs, outputs, keep),
        }
    }
}

impl Drop for StandbyPlan {
    /// Waits for the plan, which a watcher may have given up: it must not be made by a thread that
    /// outlives the process's libraries.
    fn drop(&mut self) {
        if let Some(thread) = locked(&self.thread).take() {
            // Panics have become errors.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::GraphRole;
    use crate::graph::InputType;
    use crate::tensor::{Data, Resident};

    /// What the primary engine's plans become.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Gate {
        Shut,
        Open,
        Broken,
        Panicking,
    }

    #[derive(Debug)]
    struct Gated(Mutex<Gate>, Condvar);

    impl Gated {
        fn new() -> Arc<Gated> {
            Arc::new(Gated(Mutex::new(Gate::Shut), Condvar::new()))
        }

        fn set(&self, gate: Gate) {
            *locked(&self.0) = gate;
            self.1.notify_all();
        }
    }

    /// Plans whose outputs say who gave them; with a gate they wait for it.
    #[derive(Debug, Clone)]
    struct Fake {
        name: &'static str,
        gate: Option<Arc<Gated>>,
    }

    #[derive(Debug)]
    struct Kept;

    impl Resident for Kept {}

    impl Engine for Fake {
        fn info(&self) -> EngineInfo {
            EngineInfo {
                name: self.name.to_owned(),
                version: "1".to_owned(),
                reason: "a test".to_owned(),
            }
        }

        fn load(&self, _: GraphSource) -> Result<Box<dyn Graph>, EngineError> {
            Ok(Box::new(self.clone()))
        }
    }

    impl Graph for Fake {
        fn plan(&self, _: &[InputShape]) -> Result<Arc<dyn Plan>, EngineError> {
            if let Some(gated) = &self.gate {
                let mut gate = locked(&gated.0);
                while *gate == Gate::Shut {
                    gate = gated.1.wait(gate).unwrap();
                }
                match *gate {
                    Gate::Broken => {
                        return Err(EngineError::Plan {
                            engine: self.name,
                            graph: "vision.onnx".to_owned(),
                            shapes: String::new(),
                            message: "broken".to_owned(),
                        });
                    }
                    Gate::Panicking => panic!("oh"),
                    _ => {}
                }
            }
            Ok(Arc::new(self.clone()))
        }
    }

    impl Plan for Fake {
        fn run(
            &self,
            inputs: &[View],
            outputs: &[&'static str],
            keep: &[&'static str],
        ) -> Result<Vec<Tensor>, EngineError> {
            let primary = self.gate.is_some();
            let foreign = inputs.iter().any(|i| matches!(i, View::Device(_)));
            assert!(primary || !foreign, "the substitute cannot take these");
            let tensor = |name| Tensor {
                shape: vec![1],
                data: match primary && keep.contains(name) {
                    true => Data::Device(Arc::new(Kept)),
                    false => Data::Host(vec![if primary { 1.0 } else { 2.0 }]),
                },
            };
            Ok(outputs.iter().map(tensor).collect())
        }
    }

    const PRIMARY: f32 = 1.0;
    const SUBSTITUTE: f32 = 2.0;

    fn source() -> GraphSource {
        GraphSource {
            bundle: "test".to_owned(),
            role: GraphRole::Vision,
            path: "vision.onnx".to_owned(),
            onnx: Vec::new(),
            sha256: String::new(),
            half: false,
            outputs: Vec::new(),
            shapes: Default::default(),
        }
    }

    fn engine(gate: &Arc<Gated>) -> Standby {
        let primary = Fake {
            name: "slow",
            gate: Some(gate.clone()),
        };
        let substitute = Fake {
            name: "quick",
            gate: None,
        };
        Standby::new("slow", Box::new(primary), Box::new(substitute))
    }

    fn graph(gate: &Arc<Gated>) -> Box<dyn Graph> {
        engine(gate).load(source()).unwrap()
    }

    fn plan(graph: &dyn Graph, size: usize) -> Arc<dyn Plan> {
        let shape = InputShape::new("image", InputType::F32, vec![size]);
        graph.plan(&[shape]).unwrap()
    }

    fn run(plan: &dyn Plan, input: View) -> Result<Data, EngineError> {
        let mut found = plan.run(&[input], &["tokens"], &["tokens"])?;
        Ok(found.remove(0).data)
    }

    fn who(plan: &dyn Plan) -> f32 {
        match plan.run(&[View::F32(&[0.0])], &["tokens"], &[]).unwrap()[0].data {
            Data::Host(ref values) => values[0],
            Data::Device(_) => panic!("it was not to be kept"),
        }
    }

    fn wait_for(mut met: impl FnMut() -> bool) {
        while !met() {
            thread::yield_now();
        }
    }

    #[test]
    fn it_says_who_answers_meanwhile() {
        let info = engine(&Gated::new()).info();
        assert_eq!(info.name, "slow");
        assert_eq!(info.reason, "a test; quick answers while it makes plans");
    }

    #[test]
    fn what_runs_only_briefly_is_the_substitutes() {
        let brief = engine(&Gated::new()).load_briefly(source()).unwrap();
        assert_eq!(who(plan(brief.as_ref(), 1).as_ref()), SUBSTITUTE);
    }

    #[test]
    fn the_substitute_answers_until_every_plan_is_there() {
        let gate = Gated::new();
        let graph = graph(&gate);
        let first = plan(graph.as_ref(), 1);
        assert_eq!(who(first.as_ref()), SUBSTITUTE);
        gate.set(Gate::Open);
        wait_for(|| who(first.as_ref()) == PRIMARY);
        gate.set(Gate::Shut);
        let second = plan(graph.as_ref(), 2);
        assert_eq!(who(second.as_ref()), SUBSTITUTE);
        assert_eq!(
            who(first.as_ref()),
            SUBSTITUTE,
            "a frame's plans are of one engine"
        );
        gate.set(Gate::Open);
        wait_for(|| who(second.as_ref()) == PRIMARY);
        assert_eq!(who(first.as_ref()), PRIMARY);
    }

    #[test]
    fn what_the_primary_engine_holds_waits_for_it() {
        let gate = Gated::new();
        let graph = graph(&gate);
        gate.set(Gate::Open);
        let vision = plan(graph.as_ref(), 1);
        wait_for(|| who(vision.as_ref()) == PRIMARY);
        let tokens = run(vision.as_ref(), View::F32(&[0.0])).unwrap();
        let Data::Device(tokens) = tokens else {
            panic!("the primary engine keeps what it may");
        };
        gate.set(Gate::Shut);
        let fusion = plan(graph.as_ref(), 2);
        thread::scope(|scope| {
            let fused = scope.spawn(|| run(fusion.as_ref(), View::Device(tokens.as_ref())));
            gate.set(Gate::Open);
            assert!(matches!(fused.join().unwrap(), Ok(Data::Device(_))));
        });
    }

    #[test]
    fn failures_are_said_once_and_tried_again() {
        for (fault, words) in [
            (Gate::Broken, "broken"),
            (Gate::Panicking, "internal panic: oh"),
        ] {
            let gate = Gated::new();
            let graph = graph(&gate);
            let plan = plan(graph.as_ref(), 1);
            gate.set(fault);
            let mut message = String::new();
            wait_for(|| match run(plan.as_ref(), View::F32(&[0.0])) {
                Ok(_) => false,
                Err(error) => {
                    message = error.to_string();
                    true
                }
            });
            assert!(message.starts_with("slow cannot prepare vision.onnx"));
            assert!(message.contains(words), "{message}");
            gate.set(Gate::Open);
            wait_for(|| who(plan.as_ref()) == PRIMARY);
        }
    }

    #[test]
    fn a_plan_that_is_dropped_is_waited_for() {
        let gate = Gated::new();
        let graph = graph(&gate);
        let dropped = plan(graph.as_ref(), 1);
        thread::scope(|scope| {
            let drops = scope.spawn(|| drop(dropped));
            gate.set(Gate::Open);
            drops.join().unwrap();
        });
        let next = plan(graph.as_ref(), 2);
        wait_for(|| who(next.as_ref()) == PRIMARY);
    }
}
