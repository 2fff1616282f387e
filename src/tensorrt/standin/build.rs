//! Compiles the stand-in against the TensorRT headers that `TENSORRT_INCLUDE_DIR` names, or, to be a library of another
//! minor version than the shim's headers, `STANDIN_INCLUDE_DIR`; without them the library is not there, and tests that need
//! it say so.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

const TENSORRT: &str = "TENSORRT_INCLUDE_DIR";
const STANDIN: &str = "STANDIN_INCLUDE_DIR";
/// The version that the library says it is, as 100300 for 10.3.0; by default that of its headers.
const VERSION: &str = "STANDIN_VERSION";
const CUDA: &str = "CUDA_INCLUDE_DIR";
/// As for the shim: only what that version has is used, and its rules hold.
const API: &str = "MDETR_TENSORRT_API";
const SOURCES: [&str; 4] = ["control.cpp", "device.cpp", "graph.cpp", "tensorrt.cpp"];

fn main() {
    println!("cargo::rerun-if-changed=cpp");
    for name in [TENSORRT, STANDIN, VERSION, CUDA, API] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let named = |name| {
        env::var_os(name)
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from)
    };
    let (Some(tensorrt), Some(cuda)) = (named(STANDIN).or(named(TENSORRT)), named(CUDA)) else {
        println!("cargo::rustc-env=STANDIN_LIBRARY=");
        return;
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let defaults = out.join("defaults.h");
    fs::write(&defaults, generate(&tensorrt)).expect("cargo's directory can be written");
    let library = out.join("libstandin.so");
    let mut command = cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(1)
        .cargo_metadata(false)
        .get_compiler()
        .to_command();
    command.args(["-shared", "-fPIC", "-pthread", "-w", "-fvisibility=default"]);
    // By this name it is CUDA's driver to those who look for it once it is open.
    command.args(["-Wl,-soname,libcuda.so", "-Wl,-z,defs"]);
    if let Some(api) = env::var_os(API).filter(|api| !api.is_empty()) {
        command.arg(format!("-DSTANDIN_API={}", api.display()));
    }
    if let Some(version) = env::var_os(VERSION).filter(|version| !version.is_empty()) {
        command.arg(format!("-DSTANDIN_VERSION={}", version.display()));
    }
    for dir in [Path::new("cpp"), &out, &tensorrt, &cuda] {
        command.arg("-isystem").arg(dir);
    }
    command.args(SOURCES.map(|source| Path::new("cpp").join(source)));
    command.arg("-o").arg(&library);
    let done = command.status().expect("there is a C++ compiler");
    assert!(done.success(), "the stand-in does not compile: {command:?}");
    println!("cargo::rustc-env=STANDIN_LIBRARY={}", library.display());
}

/// Classes that define every function of TensorRT's interfaces, each saying that it is not there; the
/// stand-in's derive from them, so that it need name only the functions that are used.
fn generate(dir: &Path) -> String {
    let read = |name| {
        let path = dir.join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        uncommented(&text)
    };
    let (infer, parser) = (read("NvInferImpl.h"), read("NvOnnxParser.h"));
    let mut text = "#pragma once\n".to_owned();
    let classes = [
        "VHostMemory",
        "VRuntime",
        "VOptimizationProfile",
        "VCudaEngine",
        "VExecutionContext",
        "VTensor",
        "VLayer",
        "VNetworkDefinition",
        "VBuilderConfig",
        "VBuilder",
        "VTimingCache",
    ];
    text += "namespace nvinfer1 { namespace apiv {\n";
    for class in classes {
        text += &default_class(&infer, class);
    }
    text += "} }\nnamespace nvonnxparser {\n";
    for class in ["IParser", "IParserError"] {
        text += &default_class(&parser, class);
    }
    text + "}\n"
}

fn default_class(header: &str, class: &str) -> String {
    let start = ["\n", " "]
        .iter()
        .find_map(|before| {
            let head = format!("{before}class {class}\n");
            let derived = format!("{before}class {class} : public");
            header.find(&head).or_else(|| header.find(&derived))
        })
        .unwrap_or_else(|| panic!("the headers have no class {class}"));
    let open = start + header[start..].find('{').expect("a class has a body");
    let mut depth = 0;
    let length = header[open..].find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0
    });
    let body = &header[open + 1..open + length.expect("a class ends")];
    let mut text = format!("class Default{class} : public {class} {{\n public:\n");
    for statement in body.split(';') {
        let Some((signature, rest)) = statement.rsplit_once('=') else {
            continue;
        };
        let Some((_, signature)) = signature.split_once("virtual ") else {
            continue;
        };
        if rest.trim() == "0" {
            let signature = signature.split_whitespace().collect::<Vec<_>>().join(" ");
            let name = signature.split('(').next().unwrap_or_default();
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "  {signature} {{ standin::unexpected(\"{class}: {name}\"); }}"
            );
        }
    }
    text + "};\n"
}

fn uncommented(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        kept += &rest[..start];
        rest = rest[start..]
            .split_once("*/")
            .map_or("", |(_, after)| after);
    }
    kept += rest;
    let line = |line: &str| {
        line.split("//")
            .next()
            .unwrap_or_default()
            .trim_end()
            .to_owned()
    };
    kept.lines()
        .filter(|l| !l.trim_start().starts_with('#'))
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}
