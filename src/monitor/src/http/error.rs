//! What is answered to requests that fail, and requests as they are taken apart.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::Fault;
use crate::control::ApplyError;
use crate::store::StoreError;

/// Most bytes of a body.
pub(super) const MAX_BODY: usize = 1 << 20;

/// Body of an answer to a request that failed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct ErrorBody {
    /// What is wrong, and the remedy.
    pub error: String,
    /// All that is wrong with a document that was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub faults: Vec<Fault>,
}

/// A request that failed.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    status: StatusCode,
    body: Box<ErrorBody>,
    headers: HeaderMap,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> ApiError {
        let error = error.into();
        let faults = Vec::new();
        ApiError {
            status,
            body: Box::new(ErrorBody { error, faults }),
            headers: HeaderMap::new(),
        }
    }

    pub(super) fn bad(error: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, error)
    }

    pub(super) fn forbidden(error: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, error)
    }

    pub(super) fn missing(error: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, error)
    }

    /// Too much was asked for; again after so many seconds.
    pub(super) fn too_many(error: impl Into<String>, seconds: u64) -> ApiError {
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, error)
            .with_header(header::RETRY_AFTER, seconds.into())
    }

    pub(super) fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> ApiError {
        self.headers.insert(name, value);
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, self.headers, axum::Json(*self.body)).into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        match error {
            StoreError::Refused { .. } => return ApiError::bad(error.to_string()),
            StoreError::NoEvent(_) => return ApiError::missing(error.to_string()),
            _ => {}
        }
        tracing::error!(%error, "the store does not answer a request");
        let message = "the store does not answer: see the program's log and /readyz";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }
}

impl From<ApplyError> for ApiError {
    fn from(error: ApplyError) -> ApiError {
        let message = error.to_string();
        match error {
            ApplyError::Conflict { .. } => ApiError::new(StatusCode::PRECONDITION_FAILED, message),
            ApplyError::Refused(faults) => {
                let mut error = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message);
                error.body.faults = faults;
                error
            }
            ApplyError::File(_) => ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message),
            ApplyError::Store(error) => error.into(),
        }
    }
}

/// A body in JSON of at most `MAX` bytes.
#[derive(Debug)]
pub(super) struct Body<T, const MAX: usize = MAX_BODY>(pub T);

impl<S: Sync, T: DeserializeOwned, const MAX: usize> FromRequest<S> for Body<T, MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            let message = "expected a body with the header content-type: application/json";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let bytes = read(request, MAX).await?;
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let place = error.path().to_string();
            ApiError::bad(format!("body, {place}: {}", error.into_inner()))
        })?;
        json.end()
            .map_err(|error| ApiError::bad(format!("body: {error}")))?;
        Ok(Body(value))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = value.split(';').next().unwrap_or("").trim();
    kind.eq_ignore_ascii_case("application/json")
}

async fn read(mut request: Request, most: usize) -> Result<Bytes, ApiError> {
    let too_large = || {
        let message = format!("body: at most {most} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
            .with_header(header::CONNECTION, HeaderValue::from_static("close"))
    };
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    DefaultBodyLimit::max(most).apply(&mut request);
    Bytes::from_request(request, &())
        .await
        .map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                too_large()
            } else {
                ApiError::bad(format!("body: {}", rejection.body_text()))
            }
        })
}

/// Parts of the path.
#[derive(Debug)]
pub(super) struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found = Path::<T>::from_request_parts(parts, state).await;
        let Path(value) = found.map_err(|rejection| ApiError::bad(rejection.body_text()))?;
        Ok(Params(value))
    }
}

/// What stands behind the question mark.
#[derive(Debug)]
pub(super) struct Search<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Search<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found = Query::<T>::from_request_parts(parts, state).await;
        let Query(value) = found.map_err(|rejection| ApiError::bad(rejection.body_text()))?;
        Ok(Search(value))
    }
}

/// The name of a camera or rule, or the id of an event, as paths have it: 1 to 255 letters, digits, `-`, `_` and `.`,
/// and not a dot at first.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}$")]
pub(super) struct Name(pub String);

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Name, &'static str> {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 255 || name.starts_with('.') || !name.chars().all(known)
        {
            return Err("expected a name or an id of letters, digits, -, _ and .");
        }
        Ok(Name(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_paths() {
        for name in ["gate", "1767608103.123-gate-no-helmet-17", &"x".repeat(255)] {
            assert!(Name::try_from(name.to_owned()).is_ok(), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a\\b",
            "a\0b",
            ".hidden",
            "ä",
            &"x".repeat(256),
        ] {
            assert!(Name::try_from(name.to_owned()).is_err(), "{name}");
        }
    }
}
