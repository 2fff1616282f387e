//! The classes and functions that a checkpoint may name.

use crate::error::Fault;
use crate::tensor::DType;

/// A class or function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Makes a tensor of a storage, an offset, sizes and strides.
    RebuildTensor,
    /// Makes a parameter of a tensor.
    RebuildParameter,
    /// Type of a storage.
    Storage(DType),
    /// Type of a storage of bytes, whose tensors say what they are.
    UntypedStorage,
    /// Type of values, such as `torch.float32`.
    DType(DType),
    /// Dictionaries: ordered, with defaults, or of counts.
    Dict,
    /// Sets.
    Set,
    /// Sizes, a tuple.
    Size,
    /// Where a tensor was.
    Device,
    /// `argparse.Namespace`.
    Namespace,
    /// A path.
    Path,
    /// A function or class that is only named: the default of a dictionary.
    Named,
}

/// The class of this name.
pub(crate) fn find(module: &str, name: &str) -> Result<Class, Fault> {
    let storage = |name: &str| name.strip_suffix("Storage").and_then(storage_type);
    Ok(match (module, name) {
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Class::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Class::RebuildParameter,
        ("torch", "Size") => Class::Size,
        ("torch", "device") => Class::Device,
        ("torch.storage" | "torch", "UntypedStorage") => Class::UntypedStorage,
        ("torch", name) => match (storage(name), value_type(name)) {
            (Some(dtype), _) => Class::Storage(dtype),
            (None, Some(dtype)) => Class::DType(dtype),
            (None, None) => return Err(unknown(module, name)),
        },
        ("collections", "OrderedDict" | "defaultdict" | "Counter") => Class::Dict,
        ("builtins" | "__builtin__", "set" | "frozenset") => Class::Set,
        ("builtins" | "__builtin__", "dict" | "list" | "int" | "float") => Class::Named,
        ("argparse", "Namespace") => Class::Namespace,
        (
            "pathlib" | "pathlib._local",
            "PosixPath" | "WindowsPath" | "PurePosixPath" | "PureWindowsPath" | "Path",
        ) => Class::Path,
        _ => return Err(unknown(module, name)),
    })
}

fn unknown(module: &str, name: &str) -> Fault {
    let whole = format!("{module}.{name}");
    // Names of a damaged file may be of any length.
    Fault::Class(whole.escape_debug().take(200).collect())
}

fn storage_type(name: &str) -> Option<DType> {
    Some(match name {
        "Double" => DType::F64,
        "Float" => DType::F32,
        "Half" => DType::F16,
        "BFloat16" => DType::BF16,
        "Long" => DType::I64,
        "Int" => DType::I32,
        "Short" => DType::I16,
        "Char" => DType::I8,
        "Byte" => DType::U8,
        "Bool" => DType::Bool,
        _ => return None,
    })
}

fn value_type(name: &str) -> Option<DType> {
    Some(match name {
        "float64" | "double" => DType::F64,
        "float32" | "float" => DType::F32,
        "float16" | "half" => DType::F16,
        "bfloat16" => DType::BF16,
        "int64" | "long" => DType::I64,
        "int32" | "int" => DType::I32,
        "int16" | "short" => DType::I16,
        "int8" => DType::I8,
        "uint8" => DType::U8,
        "bool" => DType::Bool,
        _ => return None,
    })
}
