//! What a server says of a model, against what the bundle needs.

use std::collections::BTreeMap;

use mdetr_kserve::DataType;
use mdetr_kserve::inference::infer_parameter::ParameterChoice;
use mdetr_kserve::inference::model_metadata_response::TensorMetadata;
use mdetr_kserve::inference::{
    InferParameter, ModelConfigRequest, ModelMetadataRequest, ModelMetadataResponse,
};
use prost::Message;

use super::servers::{Client, Failure};
use crate::graph::{InputShape, InputType};
use crate::served::{MODEL_HASH, is_of_hash, model_version};

/// The graph that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) model: String,
    pub(super) sha256: String,
}

/// How a server takes a model that is the one that is wanted.
#[derive(Debug)]
pub(super) struct Contract {
    /// To be asked for; empty: whichever the server has.
    pub(super) version: String,
    inputs: BTreeMap<String, (String, Vec<i64>)>,
}

impl Contract {
    /// Asks a server. `requests` makes requests of messages.
    pub(super) async fn ask(
        mut client: Client,
        wanted: Wanted,
        metadata: tonic::Request<ModelMetadataRequest>,
        config: tonic::Request<ModelConfigRequest>,
    ) -> Result<Contract, Failure> {
        let told = client.model_metadata(metadata).await?.into_inner();
        let pinned = model_version(&wanted.sha256).to_string();
        let mut hash = told.properties.get(MODEL_HASH).map(|value| text(value));
        if hash.is_none() && !told.versions.contains(&pinned) {
            // Only Triton has it; others say what they want.
            let config = client.model_config(config).await.ok();
            let config = config.and_then(|config| config.into_inner().config);
            let parameter = config.and_then(|mut config| config.parameters.remove(MODEL_HASH));
            hash = parameter.map(|parameter| parameter.string_value);
        }
        Contract::new(&wanted, told, hash).map_err(Failure::from)
    }

    fn new(
        wanted: &Wanted,
        told: ModelMetadataResponse,
        hash: Option<String>,
    ) -> Result<Contract, String> {
        let pinned = model_version(&wanted.sha256).to_string();
        let model = &wanted.model;
        let remedy = "serve the graphs of this bundle, as `mdetr bundle triton` writes them";
        if let Some(hash) = hash
            && hash != wanted.sha256
        {
            let (expected, found) = (&wanted.sha256, short(&hash));
            return Err(format!(
                "model {model}: expected the graph of SHA-256 {expected}, found {found}; {remedy}"
            ));
        }
        let of_hashes = |version: &String| version.parse().is_ok_and(is_of_hash);
        let version = if told.versions.contains(&pinned) {
            pinned
        } else if told.versions.iter().any(of_hashes) {
            let found = short(&told.versions.join(", "));
            return Err(format!(
                "model {model}: expected version {pinned}, found {found}; {remedy}"
            ));
        } else {
            String::new()
        };
        let tensor = |tensor: TensorMetadata| (tensor.name, (tensor.datatype, tensor.shape));
        Ok(Contract {
            version,
            inputs: told.inputs.into_iter().map(tensor).collect(),
        })
    }

    /// The type in which the server takes an input; what it does not tell is taken as the bundle has it.
    pub(super) fn input(&self, input: &InputShape) -> Result<DataType, String> {
        let own = match input.element {
            InputType::F32 => DataType::Fp32,
            InputType::I64 => DataType::Int64,
        };
        if self.inputs.is_empty() {
            return Ok(own);
        }
        let name = input.name;
        let Some((datatype, shape)) = self.inputs.get(name) else {
            let known: Vec<&str> = self.inputs.keys().map(String::as_str).collect();
            let known = short(&known.join(", "));
            return Err(format!("input {name}: the server's model has only {known}"));
        };
        let kind = DataType::of(datatype)
            .filter(|&kind| kind == own || (own == DataType::Fp32 && kind == DataType::Fp16));
        let Some(kind) = kind else {
            let (own, found) = (own.name(), short(datatype));
            return Err(format!(
                "input {name}: expected type {own}, the server takes {found}"
            ));
        };
        let fits = |(&open, &size): (&i64, &usize)| open == -1 || usize::try_from(open) == Ok(size);
        if shape.len() != input.shape.len() || !shape.iter().zip(&input.shape).all(fits) {
            let (own, found) = (&input.shape, short(&format!("{shape:?}")));
            return Err(format!(
                "input {name}: expected shape {own:?}, the server takes {found}"
            ));
        }
        Ok(kind)
    }
}

/// A string, or an `InferParameter` with one.
fn text(value: &[u8]) -> String {
    let plain = String::from_utf8_lossy(value);
    if plain.len() == 64 && plain.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return plain.into_owned();
    }
    match InferParameter::decode(value)
        .ok()
        .and_then(|parameter| parameter.parameter_choice)
    {
        Some(ParameterChoice::StringParam(text)) => text,
        _ => plain.into_owned(),
    }
}

/// A server's words, for a message.
fn short(words: &str) -> String {
    const MOST: usize = 100;
    words.chars().take(MOST).collect()
}
