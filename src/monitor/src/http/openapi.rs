//! The document of the interface.

use std::sync::Arc;

use axum::Extension;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, HeaderBuilder, Ref, RefOr, Response as Answer, ResponseBuilder};

use super::error::{ErrorBody, Name};
use crate::config::schema::{Anchor, Condition, ConditionKind, Conditions};

/// What the document begins with.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "mdetr-monitor",
        version = "1",
        description = "Cameras that are watched for what sentences describe: what they show, what was found, and what \
                       is watched for. Times are RFC 3339; durations are such as `2s` or `1m 30s`; places on a picture are \
                       fractions of its width and height from the top left corner.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(ErrorBody, Name, Anchor, Condition, ConditionKind, Conditions)),
    security(("token" = []), ("session" = []), ()),
    tags(
        (name = "state", description = "How the program does"),
        (name = "access", description = "Tokens and sessions"),
        (name = "configuration", description = "The configuration as a whole"),
        (name = "cameras", description = "Cameras, and what is watched for in them"),
        (name = "pictures", description = "What cameras show"),
        (name = "events", description = "What rules found"),
        (name = "past", description = "What cameras saw, asked later"),
        (name = "live", description = "What happens, as it happens"),
        (name = "page", description = "The page"),
    )
)]
struct Head;

/// The whole document as JSON, of what routes say.
pub(super) fn render(routes: utoipa::openapi::OpenApi) -> String {
    let mut document = Head::openapi();
    document.merge(routes);
    let components = document.components.get_or_insert_default();
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of `mdetr-monitor token`"));
    components.add_security_scheme("token", SecurityScheme::Http(token.build()));
    let session = ApiKeyValue::with_description("mdetr_session", "Of POST /api/login");
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("delete", &mut item.delete),
        ] {
            if let Some(operation) = operation {
                complete(method, path, operation);
            }
        }
    }
    let mut text = serde_json::to_string_pretty(&document).expect("the document is JSON");
    text.push('\n');
    text
}

/// Adds a unique name, and the answers that all operations have.
fn complete(method: &str, path: &str, operation: &mut Operation) {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty() && *word != "api");
    let words: Vec<&str> = std::iter::once(method).chain(words).collect();
    operation.operation_id = Some(words.join("_"));

    let has_body = operation.request_body.is_some();
    let is_public = operation.security.is_some();
    let takes_anything = operation.parameters.as_ref().is_some_and(|p| !p.is_empty());
    let mut add = |status: &str, description: &str, header: Option<(&str, &str)>| {
        let known = &mut operation.responses.responses;
        known
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(refusal(description, header)));
    };
    if !is_public {
        let header = Some(("www-authenticate", "`Bearer`"));
        add("401", "A token is needed, or is not known", header);
        add("408", "It took too long", None);
    }
    add(
        "403",
        "The token allows to look only, or a page of another origin or host asks",
        None,
    );
    let header = Some(("retry-after", "Seconds to wait"));
    add("429", "Too much at once", header);
    if takes_anything || has_body {
        add("400", "A parameter or the body is wrong", None);
    }
    if has_body {
        add("408", "The body took too long", None);
        add("413", "The body is too large", None);
        add("415", "The body is not `application/json`", None);
    }
    let asks_store =
        path.starts_with("/api/events") || ["/api/config/history", "/metrics"].contains(&path);
    let changes = ["put", "post", "delete"].contains(&method)
        && (path.starts_with("/api/cameras") || path == "/api/config");
    if asks_store || changes {
        add("503", "The store does not answer", None);
    }
}

fn refusal(description: &str, header: Option<(&str, &str)>) -> Answer {
    let content = Content::new(Some(Ref::from_schema_name("ErrorBody")));
    let mut answer = ResponseBuilder::new()
        .description(description)
        .content("application/json", content);
    if let Some((name, description)) = header {
        let header = HeaderBuilder::new().description(Some(description)).build();
        answer = answer.header(name, header);
    }
    answer.build()
}

/// The document as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Text(pub Arc<str>);

/// This document
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    tag = "state",
    security(()),
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object))
)]
pub(super) async fn openapi(Extension(Text(document)): Extension<Text>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, document.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use crate::http::document;

    #[test]
    fn the_book_has_the_document() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/openapi.json");
        let document = document();
        if std::env::var_os("MDETR_WRITE_OPENAPI").is_some() {
            std::fs::write(path, &document).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == document,
            "docs/src/openapi.json is another one: write it with MDETR_WRITE_OPENAPI=1 and this test"
        );
    }

    #[test]
    fn names_of_operations_are_unique() {
        let document: serde_json::Value = serde_json::from_str(&document()).unwrap();
        let mut names = std::collections::BTreeSet::new();
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                let name = operation["operationId"].as_str().unwrap();
                assert!(names.insert(name), "{name} twice");
            }
        }
        assert!(names.contains("put_cameras_camera_watch"), "{names:?}");
    }

    #[test]
    fn references_have_targets() {
        let document: serde_json::Value = serde_json::from_str(&document()).unwrap();
        let mut todo = vec![&document];
        let mut count = 0;
        while let Some(value) = todo.pop() {
            match value {
                serde_json::Value::Object(object) => {
                    if let Some(serde_json::Value::String(target)) = object.get("$ref") {
                        let pointer = target.strip_prefix('#').unwrap();
                        assert!(document.pointer(pointer).is_some(), "{target}");
                        count += 1;
                    }
                    todo.extend(object.values());
                }
                serde_json::Value::Array(items) => todo.extend(items),
                _ => {}
            }
        }
        assert!(count > 50, "{count}");
    }
}
