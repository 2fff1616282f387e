//! The services of `rcl_interfaces` with which tools read and set parameters.

use std::rc::Rc;

use mdetr_ros2_bus::BusError;
use ros2_client::parameters::{Parameter, ParameterValue, raw};
use ros2_client::rcl_interfaces::{
    DescribeParametersRequest, DescribeParametersResponse, GetParameterTypesRequest,
    GetParameterTypesResponse, GetParametersRequest, GetParametersResponse, ListParametersRequest,
    ListParametersResponse, ListParametersResult, SetParametersAtomicallyResponse,
    SetParametersRequest, SetParametersResponse,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::{JoinHandle, spawn_local};

use crate::node::Node;
use crate::parameters;

/// Most parameters in a request; there are fewer.
const MOST: usize = 1000;

/// Offers the six services, each with a task of its own.
///
/// # Errors
/// DDS refuses.
pub(crate) fn start(node: &Rc<Node>) -> Result<Vec<JoinHandle<()>>, BusError> {
    Ok(vec![
        offer(node, "get_parameters", "GetParameters", get)?,
        offer(node, "get_parameter_types", "GetParameterTypes", types)?,
        offer(node, "list_parameters", "ListParameters", list)?,
        offer(node, "describe_parameters", "DescribeParameters", describe)?,
        offer(node, "set_parameters", "SetParameters", set)?,
        offer(
            node,
            "set_parameters_atomically",
            "SetParametersAtomically",
            set_atomically,
        )?,
    ])
}

fn offer<T, U>(
    node: &Rc<Node>,
    name: &str,
    type_name: &str,
    answer: impl AsyncFn(&Node, T) -> U + 'static,
) -> Result<JoinHandle<()>, BusError>
where
    T: DeserializeOwned + 'static,
    U: Serialize + 'static,
{
    let type_name = format!("rcl_interfaces/srv/{type_name}");
    let server = node.bus.server(&format!("~/{name}"), &type_name)?;
    let node = node.clone();
    let answer = Rc::new(answer);
    let answers = move |request| {
        let (node, answer) = (node.clone(), answer.clone());
        async move { answer(&node, request).await }
    };
    Ok(spawn_local(server.serve(answers)))
}

async fn get(node: &Node, request: GetParametersRequest) -> GetParametersResponse {
    let values = node.values();
    let value = |name: &String| {
        let value = values.get(name).cloned();
        value.unwrap_or(ParameterValue::NotSet).into()
    };
    GetParametersResponse {
        values: request.names.iter().take(MOST).map(value).collect(),
    }
}

async fn types(node: &Node, request: GetParameterTypesRequest) -> GetParameterTypesResponse {
    let values = node.values();
    let kind = |name: &String| {
        let value = values.get(name).unwrap_or(&ParameterValue::NotSet);
        ParameterValue::to_parameter_type_raw(value)
    };
    GetParameterTypesResponse {
        values: request.names.iter().take(MOST).map(kind).collect(),
    }
}

async fn list(node: &Node, request: ListParametersRequest) -> ListParametersResponse {
    let values = node.values();
    // No name has a dot: depth makes no difference, and a prefix is a name.
    let asked =
        |name: &&str| request.prefixes.is_empty() || request.prefixes.iter().any(|p| p == name);
    ListParametersResponse {
        result: ListParametersResult {
            names: values.names().filter(asked).map(str::to_owned).collect(),
            prefixes: Vec::new(),
        },
    }
}

async fn describe(_: &Node, request: DescribeParametersRequest) -> DescribeParametersResponse {
    let names = request.names.iter().take(MOST);
    let described = names.map(|name| parameters::describe(name).into());
    DescribeParametersResponse {
        values: described.collect(),
    }
}

fn changes(parameters: Vec<raw::Parameter>) -> Vec<(String, ParameterValue)> {
    let changes = parameters.into_iter().map(Parameter::from);
    changes
        .map(|Parameter { name, value }| (name, value))
        .collect()
}

/// Each by itself: each is a revision of its own.
async fn set(node: &Node, request: SetParametersRequest) -> SetParametersResponse {
    let mut results = Vec::new();
    for change in changes(request.parameter).into_iter().take(MOST) {
        let set = node.set_parameters(&[change]).await;
        results.push(set.map(|_| ()).into());
    }
    SetParametersResponse { results }
}

/// All as one revision, or none.
async fn set_atomically(
    node: &Node,
    request: SetParametersRequest,
) -> SetParametersAtomicallyResponse {
    let set = node.set_parameters(&changes(request.parameter)).await;
    SetParametersAtomicallyResponse {
        result: set.map(|_| ()).into(),
    }
}
