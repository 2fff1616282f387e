//! The services and topics that control the node.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;

use futures_util::StreamExt;
use mdetr_ros2_bus::{BusError, reliable};
use mdetr_ros2_messages::lifecycle_msgs::{
    ChangeState, ChangeStateResponse, GetAvailableStates, GetAvailableStatesResponse,
    GetAvailableTransitions, GetAvailableTransitionsResponse, GetState, GetStateResponse,
};
use mdetr_ros2_messages::prompt::{
    SetQueries, SetQueriesResponse,
    isaac::{SetPrompt, SetPromptResponse},
};
use mdetr_ros2_messages::std_srvs::{SetBool, SetBoolResponse};
use mdetr_ros2_messages::{Service, std_msgs};
use tokio::task::{JoinHandle, spawn_local};

use crate::lifecycle;
use crate::node::Node;

/// Offers all services, each with a task of its own.
///
/// # Errors
/// DDS refuses.
pub(crate) fn start(node: &Rc<Node>) -> Result<Vec<JoinHandle<()>>, BusError> {
    let mut tasks = crate::parameter_services::start(node)?;
    let enabling = node.clone();
    tasks.push(offer::<SetBool, _, _>(node, "~/enable", move |request| {
        let node = enabling.clone();
        async move {
            node.enable(request.data);
            let state = if request.data { "taken" } else { "not taken" };
            SetBoolResponse {
                success: true,
                message: format!("pictures are {state} in the state active"),
            }
        }
    })?);
    let prompting = node.clone();
    tasks.push(offer::<SetPrompt, _, _>(
        node,
        "~/set_prompt",
        move |request| {
            let node = prompting.clone();
            async move {
                let set = node.set_prompt(&request.prompt).await;
                if let Err(error) = &set {
                    tracing::warn!("~/set_prompt: refused: {error}");
                }
                SetPromptResponse {
                    success: set.is_ok(),
                }
            }
        },
    )?);
    let asking = node.clone();
    tasks.push(offer::<SetQueries, _, _>(
        node,
        "~/set_queries",
        move |request| {
            let node = asking.clone();
            async move {
                match node.set_queries(request.queries).await {
                    Ok(revision) => SetQueriesResponse {
                        success: true,
                        message: String::new(),
                        revision,
                    },
                    Err(message) => SetQueriesResponse {
                        success: false,
                        message,
                        revision: node.revision(),
                    },
                }
            }
        },
    )?);
    tasks.push(prompts(node)?);
    tasks.extend(lifecycle_services(node)?);
    Ok(tasks)
}

/// Takes prompts from a topic.
fn prompts(node: &Rc<Node>) -> Result<JoinHandle<()>, BusError> {
    let topic = node.bus.resolve("~/input_query")?;
    let messages = node.bus.input::<std_msgs::String>(&topic, reliable(10))?;
    let node = node.clone();
    Ok(spawn_local(async move {
        let mut stream = pin!(messages.async_stream());
        while let Some(message) = stream.next().await {
            let set = match message {
                Ok((message, _)) => node.set_prompt(&message.data).await,
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = set {
                tracing::warn!("{topic}: refused: {error}");
            }
        }
    }))
}

fn lifecycle_services(node: &Rc<Node>) -> Result<Vec<JoinHandle<()>>, BusError> {
    let changing = node.clone();
    let asked = node.clone();
    let from = node.clone();
    Ok(vec![
        offer::<ChangeState, _, _>(node, "~/change_state", move |request| {
            let node = changing.clone();
            async move {
                ChangeStateResponse {
                    success: node.transition(&request.transition).await,
                }
            }
        })?,
        offer::<GetState, _, _>(node, "~/get_state", move |_| {
            let current_state = asked.phase().state();
            async move { GetStateResponse { current_state } }
        })?,
        offer::<GetAvailableStates, _, _>(node, "~/get_available_states", |_| async {
            GetAvailableStatesResponse {
                available_states: lifecycle::states(),
            }
        })?,
        offer::<GetAvailableTransitions, _, _>(node, "~/get_available_transitions", move |_| {
            let available_transitions = lifecycle::available(from.phase());
            async move {
                GetAvailableTransitionsResponse {
                    available_transitions,
                }
            }
        })?,
        offer::<GetAvailableTransitions, _, _>(node, "~/get_transition_graph", |_| async {
            GetAvailableTransitionsResponse {
                available_transitions: lifecycle::graph(),
            }
        })?,
    ])
}

fn offer<S, F, A>(node: &Rc<Node>, name: &str, answer: F) -> Result<JoinHandle<()>, BusError>
where
    S: Service,
    S::Request: 'static,
    S::Response: 'static,
    F: Fn(S::Request) -> A + 'static,
    A: Future<Output = S::Response> + 'static,
{
    let server = node.bus.service::<S>(name)?;
    Ok(spawn_local(server.serve(answer)))
}
