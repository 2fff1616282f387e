//! Building and running plans with a stand-in for TensorRT and CUDA, which refuses what NVIDIA's
//! documentation forbids.
#![cfg(feature = "shim")]

mod builds;
mod captures;
mod failures;
mod memory;
mod runs;

use std::sync::Arc;

use mdetr_tensorrt::{
    BuildOptions, Built, Device, Engine, Error, Input, Lanes, Library, Output, Range,
};
use mdetr_tensorrt_standin::{Attribute, Model, StandIn, Type};

/// `line` is 2 x + 1, and `mean` the mean of each row of x, `[rows, columns]`.
fn line() -> Vec<u8> {
    Model::new()
        .input("x", Type::Float, &["rows", "columns"])
        .floats("two", &[1], &[2.0])
        .floats("one", &[1], &[1.0])
        .node("Mul", &["x", "two"], "twice", &[])
        .node("Add", &["twice", "one"], "line", &[])
        .node(
            "ReduceMean",
            &["x"],
            "mean",
            &[
                ("axes", Attribute::Ints(vec![1])),
                ("keepdims", Attribute::Int(0)),
            ],
        )
        .output("line", Type::Float, &["rows", "columns"])
        .output("mean", Type::Float, &["rows"])
        .finish()
}

fn library() -> Arc<Library> {
    let path = mdetr_tensorrt_standin::library();
    let opened = Library::open_from(Some(path.into()), Some(path.into()));
    Arc::new(opened.unwrap())
}

fn range(name: &str, [min, opt, max]: [[usize; 2]; 3]) -> Range {
    Range {
        name: name.to_owned(),
        min: min.to_vec(),
        opt: opt.to_vec(),
        max: max.to_vec(),
    }
}

fn build_with(onnx: &[u8], options: &BuildOptions) -> Result<Built, Error> {
    let ranges = [range("x", [[1, 1], [1, 4], [8, 64]])];
    library().build(onnx, "line.onnx", &ranges, options, &mut |_| true)
}

/// A device, an engine of [`line`], and nothing that has run it.
struct Bench {
    device: Arc<Device>,
    engine: Arc<Engine>,
    lanes: Lanes,
}

impl Bench {
    fn new() -> Bench {
        Bench::of(&line())
    }

    fn of(onnx: &[u8]) -> Bench {
        let device = Device::open(0).unwrap();
        device.enter().unwrap();
        let built = build_with(onnx, &BuildOptions::default()).unwrap();
        let engine = Arc::new(library().load(&built.plan).unwrap());
        Bench {
            lanes: Lanes::new(&device, 4),
            device,
            engine,
        }
    }

    /// Runs the plan on the numbers from `start` on, and checks both outputs.
    fn run(&self, start: usize, rows: usize, columns: usize) -> Result<(), Error> {
        let x = numbers(start, rows, columns);
        let shapes = [("x", vec![rows, columns])];
        let found = self.lanes.run(
            &self.engine,
            &shapes,
            &[Input::F32(&x)],
            &[("mean", false), ("line", false)],
        )?;
        let [
            (mean_shape, Output::Host(mean)),
            (line_shape, Output::Host(line)),
        ] = &found[..]
        else {
            panic!("two outputs on the host: {found:?}");
        };
        assert_eq!(
            (mean_shape, line_shape),
            (&vec![rows], &vec![rows, columns])
        );
        assert_eq!(line, &x.iter().map(|x| 2.0 * x + 1.0).collect::<Vec<f32>>());
        let means: Vec<f32> = x
            .chunks(columns)
            .map(|row| row.iter().sum::<f32>() / columns as f32)
            .collect();
        assert_eq!(mean, &means);
        Ok(())
    }
}

/// Small whole numbers, so that sums are exact.
fn numbers(start: usize, rows: usize, columns: usize) -> Vec<f32> {
    (start..start + rows * columns)
        .map(|x| (x % 97) as f32)
        .collect()
}

/// Nothing was broken, and nothing is left once `bench` is dropped.
fn sound(standin: &StandIn, bench: Bench) {
    drop(bench);
    assert_eq!(standin.violations(), "");
    for kind in [
        "device",
        "pinned",
        "streams",
        "graphs",
        "executable graphs",
        "contexts",
        "engines",
        "runtimes",
        "builders",
        "networks",
        "parsers",
        "configurations",
        "timing caches",
        "host memory",
        "contexts of CUDA",
    ] {
        assert_eq!(standin.count(&format!("alive {kind}")), 0, "{kind}");
    }
}
