//! What a call is answered with.

use bytes::Bytes;
use mdetr::Grounding;
use mdetr::report::{FrameInfo, to_json_line};
use mdetr_kserve::inference::ModelInferResponse;
use mdetr_kserve::inference::model_infer_response::InferOutputTensor;
use mdetr_kserve::{DataType, raw};

/// An output with its type and shape; -1: as many as there are detections.
pub type Output = (&'static str, DataType, &'static [i64]);

/// The outputs: x, y, width and height in pixels; the score; the words that a box answers to, with commas; which query it
/// answers, from 0; and all of it as JSON of the schema mdetr/1.
pub const OUTPUTS: [Output; 5] = [
    ("boxes", DataType::Fp32, &[-1, 4]),
    ("scores", DataType::Fp32, &[-1]),
    ("phrases", DataType::Bytes, &[-1]),
    ("query_index", DataType::Int64, &[-1]),
    ("results", DataType::Bytes, &[1]),
];

/// The outputs of these names, or all if none is named.
///
/// # Errors
/// In words, which there is none of.
pub fn write(grounding: &Grounding, named: &[String]) -> Result<ModelInferResponse, String> {
    let known = |name: &str| OUTPUTS.into_iter().find(|(known, ..)| *known == name);
    let asked: Vec<Output> = match named.is_empty() {
        true => OUTPUTS.to_vec(),
        false => {
            let find = |name: &String| {
                known(name).ok_or_else(|| {
                    let name: String = name.chars().take(64).collect();
                    let all = OUTPUTS.map(|(known, ..)| known).join(", ");
                    format!("expected outputs of {all}, found {name:?}")
                })
            };
            named.iter().map(find).collect::<Result<_, _>>()?
        }
    };
    let detections: Vec<_> = grounding
        .queries
        .iter()
        .enumerate()
        .flat_map(|(index, result)| result.detections.iter().map(move |found| (index, found)))
        .collect();
    let mut response = ModelInferResponse::default();
    for (name, kind, shape) in asked {
        let count = detections.len() as i64;
        response.outputs.push(InferOutputTensor {
            name: name.to_owned(),
            datatype: kind.name().to_owned(),
            shape: shape
                .iter()
                .map(|&size| if size == -1 { count } else { size })
                .collect(),
            ..InferOutputTensor::default()
        });
        let found = detections.iter();
        response.raw_output_contents.push(match name {
            "boxes" => {
                let sides = |bbox: mdetr::BBox| [bbox.x, bbox.y, bbox.width, bbox.height];
                raw::fp32(
                    &found
                        .flat_map(|(_, one)| sides(one.bbox))
                        .collect::<Vec<_>>(),
                )
            }
            "scores" => raw::fp32(&found.map(|(_, one)| one.score).collect::<Vec<_>>()),
            "query_index" => raw::int64(&found.map(|(index, _)| *index as i64).collect::<Vec<_>>()),
            "phrases" => raw::bytes(found.map(|(_, one)| {
                let words: Vec<&str> = one
                    .phrases
                    .iter()
                    .map(|phrase| phrase.text.as_str())
                    .collect();
                words.join(", ")
            })),
            _ => results(grounding),
        });
    }
    Ok(response)
}

fn results(grounding: &Grounding) -> Bytes {
    raw::bytes([to_json_line(&FrameInfo::default(), grounding)])
}
