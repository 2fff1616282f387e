//! Compiles the shim against the TensorRT headers of this machine.

fn main() {
    #[cfg(feature = "shim")]
    shim::build();
}

#[cfg(feature = "shim")]
mod shim {
    use std::env;
    use std::path::{Path, PathBuf};

    const TENSORRT: &str = "TENSORRT_INCLUDE_DIR";
    const CUDA: &str = "CUDA_INCLUDE_DIR";
    /// As 806: uses no more of the headers than TensorRT 8.6 has. For tests of what older versions need.
    const API: &str = "MDETR_TENSORRT_API";

    pub fn build() {
        for name in [TENSORRT, CUDA, API] {
            println!("cargo::rerun-if-env-changed={name}");
        }
        for file in ["shim.h", "shim.cpp"] {
            println!("cargo::rerun-if-changed=shim/{file}");
        }
        let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
        let multiarch = format!("/usr/include/{arch}-linux-gnu");
        let cuda_target = match arch.as_str() {
            "aarch64" => "/usr/local/cuda/targets/aarch64-linux/include",
            _ => "/usr/local/cuda/targets/x86_64-linux/include",
        };
        let tensorrt = find(
            "NvInfer.h",
            TENSORRT,
            &[&multiarch, "/usr/include", "/usr/local/tensorrt/include"],
            "install libnvinfer-headers-dev (JetPack has it)",
        );
        require(&tensorrt, "NvOnnxParser.h", "install libnvonnxparsers-dev");
        let cuda = find(
            "cuda_runtime_api.h",
            CUDA,
            &[
                "/usr/local/cuda/include",
                cuda_target,
                &multiarch,
                "/usr/include",
            ],
            "install cuda-cudart-dev (JetPack has it)",
        );
        let mut build = cc::Build::new();
        if let Some(api) = env::var(API).ok().filter(|api| !api.is_empty()) {
            build.define("MDETR_API", api.as_str());
            build.flag("-Wno-deprecated-declarations");
        }
        build
            .cpp(true)
            .std("c++17")
            .file("shim/shim.cpp")
            .include("shim")
            .flag("-isystem")
            .flag(
                tensorrt
                    .to_str()
                    .expect("the header's directory is Unicode"),
            )
            .flag("-isystem")
            .flag(cuda.to_str().expect("the header's directory is Unicode"))
            .flag("-fvisibility=hidden")
            .warnings(true)
            .extra_warnings(true)
            .compile("mdetr_tensorrt_shim");
    }

    /// The directory of `header`: the one the variable names, else the first of `usual` that has it.
    fn find(header: &str, variable: &str, usual: &[&str], remedy: &str) -> PathBuf {
        if let Some(named) = env::var_os(variable).filter(|dir| !dir.is_empty()) {
            let dir = PathBuf::from(named);
            if !dir.join(header).is_file() {
                fail(&format!(
                    "{variable} is {}, but there is no {header}; name the directory that has it",
                    dir.display()
                ));
            }
            return dir;
        }
        match usual
            .iter()
            .find(|dir| Path::new(dir).join(header).is_file())
        {
            Some(dir) => PathBuf::from(dir),
            None => fail(&format!(
                "the feature tensorrt needs {header}, which is in none of {}; {remedy} or name its \
                 directory in {variable}",
                usual.join(", ")
            )),
        }
    }

    fn require(dir: &Path, header: &str, remedy: &str) {
        if !dir.join(header).is_file() {
            fail(&format!("{} has no {header}; {remedy}", dir.display()));
        }
    }

    fn fail(message: &str) -> ! {
        println!("cargo::error={message}");
        std::process::exit(1);
    }
}
