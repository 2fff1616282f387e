//! The page, which is compiled in.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::error::{ApiError, ErrorBody};

/// Files of the page. Builds for development read them when they are asked for.
#[derive(RustEmbed)]
#[folder = "page"]
struct Files;

/// The page
#[utoipa::path(
    get,
    path = "/",
    tag = "page",
    security(()),
    responses(
        (status = 200, description = "The page", content_type = "text/html", body = String, headers(("etag" = String))),
        (status = 304, description = "It has not changed"),
    )
)]
pub(super) async fn index(headers: HeaderMap) -> Response {
    find("index.html", &headers).into_response()
}

/// A file of the page
#[utoipa::path(
    get,
    path = "/assets/{file}",
    tag = "page",
    security(()),
    params(("file" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "The file", content_type = "*/*", body = Vec<u8>, headers(("etag" = String))),
        (status = 304, description = "It has not changed"),
        (status = 404, description = "There is no such file", body = ErrorBody),
    )
)]
pub(super) async fn asset(uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    find(uri.path().trim_start_matches("/assets/"), &headers)
}

/// Files that browsers look for at the top, such as `/favicon.ico`, and files in folders.
pub(super) async fn other(request: Request) -> Result<Response, ApiError> {
    let path = request.uri().path();
    let name = path.strip_prefix("/assets/").unwrap_or(&path[1..]);
    if matches!(*request.method(), Method::GET | Method::HEAD) && !path.starts_with("/api/") {
        return find(name, request.headers());
    }
    Err(missing(path))
}

fn missing(path: &str) -> ApiError {
    ApiError::missing(format!("there is no {path:?}: see /api/openapi.json"))
}

/// The file of that very name: what is asked for is never part of a path.
fn find(name: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let known = Files::iter().find(|known| known.as_ref() == name);
    let file = known.and_then(|known| Files::get(&known));
    let file = file.ok_or_else(|| missing(name))?;
    let tag = tag(&file);
    let kind = HeaderValue::from_str(file.metadata.mimetype());
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let asked = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let same = |value: &str| value.trim().trim_start_matches("W/") == tag || value.trim() == "*";
    let head = [
        (
            header::ETAG,
            HeaderValue::from_str(&tag).expect("hexadecimal digits are a value"),
        ),
        // Kept, and asked for again each time: a new program has a new page.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    if asked.into_iter().any(same) {
        return Ok((StatusCode::NOT_MODIFIED, head).into_response());
    }
    let body = Body::from(file.data.into_owned());
    Ok((head, [(header::CONTENT_TYPE, kind)], body).into_response())
}

fn tag(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    let digits: String = hash[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{digits}\"")
}
