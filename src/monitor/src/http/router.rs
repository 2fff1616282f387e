//! Where requests go.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::timeout::TimeoutLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::{App, Ending, Secure};
use super::error::ApiError;
use super::{auth, cameras, config, events, live, openapi, page, pictures, search, status, video};

/// How long the answer to a request may take to begin.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The OpenAPI 3.1 document of the interface as JSON, with a line feed at its end.
///
/// # Panics
/// Never: the document does not depend on anything.
pub fn document() -> String {
    openapi::render(routes().get_openapi().clone())
}

/// All routes with their documents.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(status::status))
        .routes(routes!(status::healthz))
        .routes(routes!(status::readyz))
        .routes(routes!(status::metrics))
        .routes(routes!(openapi::openapi))
        .routes(routes!(auth::login))
        .routes(routes!(auth::logout))
        .routes(routes!(config::get, config::put))
        .routes(routes!(config::history))
        .routes(routes!(config::check))
        .routes(routes!(cameras::list, cameras::add))
        .routes(routes!(cameras::get, cameras::put, cameras::remove))
        .routes(routes!(cameras::watch))
        .routes(routes!(cameras::enable))
        .routes(routes!(cameras::enable_rule))
        .routes(routes!(pictures::picture))
        .routes(routes!(pictures::mjpeg))
        .routes(routes!(pictures::live))
        .routes(routes!(video::video))
        .routes(routes!(events::list))
        .routes(routes!(events::get, events::remove))
        .routes(routes!(events::keep))
        .routes(routes!(events::picture))
        .routes(routes!(events::clip))
        .routes(routes!(search::search))
        .routes(routes!(search::picture))
        .routes(routes!(live::sse))
        .routes(routes!(live::websocket))
        .routes(routes!(page::index))
        .routes(routes!(page::asset))
}

pub(super) fn router(app: App, secure: Secure, ending: Ending) -> Router {
    let (router, _) = routes().split_for_parts();
    let document = openapi::Text(document().into());
    let hub = app.state.hub.clone();
    let allowed = AllowOrigin::predicate(move |origin, _| {
        let config = hub.config();
        let mut origins = config.document.http.origins.iter();
        origins.any(|known| known.as_bytes() == origin.as_bytes())
    });
    let cors = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::RANGE,
        ])
        .expose_headers([header::ETAG, header::LOCATION, header::CONTENT_RANGE])
        .max_age(Duration::from_secs(600));
    router
        .fallback(page::other)
        .method_not_allowed_fallback(not_allowed)
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            TIMEOUT,
        ))
        .layer(middleware::from_fn_with_state(app.clone(), auth::gate))
        .layer(cors)
        .layer(middleware::from_fn(protect))
        .layer(axum::Extension(document))
        .layer(axum::Extension(secure))
        .layer(axum::Extension(ending))
        .with_state(app)
}

async fn not_allowed(method: Method) -> ApiError {
    let message = format!("{method} is not possible here: see /api/openapi.json");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message)
}

/// What the page may do: only what comes from here.
const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Headers of all answers.
async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    // The layer that counts the time says nothing.
    if response.status() == StatusCode::REQUEST_TIMEOUT {
        let seconds = TIMEOUT.as_secs();
        let message = format!("it took more than {seconds} seconds");
        response = ApiError::new(StatusCode::REQUEST_TIMEOUT, message).into_response();
    }
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    set(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    set(
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    // Files of the page have their own.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
