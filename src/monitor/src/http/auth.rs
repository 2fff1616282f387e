//! Who asks, and what they may do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use super::app::{App, Secure};
use super::error::{ApiError, Body, ErrorBody};
use super::sessions::SESSION;
use super::token::{self, Hash};

use crate::config::{Http, Role};

/// Name of the cookie.
const COOKIE: &str = "mdetr_session";
/// Longest token that is looked at.
const MAX_TOKEN: usize = 1024;

/// Who asks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Caller {
    /// Name of the token; `loopback` if none is needed.
    pub name: Arc<str>,
    /// What they may do.
    pub role: Role,
    /// The token's hash; `None` if none is needed.
    token: Option<Hash>,
}

impl Caller {
    /// Who needs no token: the program's own machine, where the configuration has none.
    fn without_token(http: &Http) -> Option<Caller> {
        http.tokens.is_empty().then(|| Caller {
            name: "loopback".into(),
            role: Role::Admin,
            token: None,
        })
    }

    /// Whose token has the hash. Takes the same time for all tokens.
    fn with_token(http: &Http, hash: &Hash) -> Option<Caller> {
        let mut found = None;
        for token in &http.tokens {
            let known = token::unhex(&token.sha256).unwrap_or_default();
            if bool::from(known.ct_eq(hash)) {
                found = Some(token);
            }
        }
        found.map(|token| Caller {
            name: token.name.as_str().into(),
            role: token.role,
            token: Some(*hash),
        })
    }

    /// Whether they may still look.
    pub(super) fn is_known(&self, http: &Http) -> bool {
        match &self.token {
            Some(hash) => Caller::with_token(http, hash).is_some(),
            None => http.tokens.is_empty(),
        }
    }

    /// What changes are signed with.
    pub(super) fn origin(&self) -> String {
        format!("http: {}", self.name)
    }

    pub(super) fn must_be_admin(&self) -> Result<(), ApiError> {
        if self.role < Role::Admin {
            let name = &self.name;
            let message =
                format!("the token {name:?} allows to look only: use one with the role admin");
            return Err(ApiError::forbidden(message));
        }
        Ok(())
    }
}

/// Lets requests in, or not: rate, host, origin, token and role.
pub(super) async fn gate(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    match admit(&app, peer, &request) {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

fn admit(app: &App, peer: SocketAddr, request: &Request) -> Result<Option<Caller>, ApiError> {
    if let Err(wait) = app.requests.take(peer.ip(), Instant::now()) {
        let message = "too many requests from this address: ask more slowly";
        return Err(ApiError::too_many(message, wait.as_secs() + 1));
    }
    let config = app.state.hub.config();
    let http = &config.document.http;
    let headers = request.headers();
    if http.tokens.is_empty() {
        check_host(http, request.uri(), headers)?;
    }
    let changes = !request.method().is_safe();
    if changes || headers.contains_key(header::UPGRADE) {
        check_origin(http, request.uri(), headers)?;
    }
    if is_public(request.method(), request.uri().path()) {
        return Ok(None);
    }
    let caller = identify(app, http, peer, headers)?;
    if changes && !is_for_viewers(request.uri().path()) {
        caller.must_be_admin()?;
    }
    Ok(Some(caller))
}

/// What needs no token: the page, which asks for one, and what programs look at that start this one.
fn is_public(method: &Method, path: &str) -> bool {
    if path == "/api/login" {
        return true;
    }
    let guarded = path.starts_with("/api/") && path != "/api/openapi.json" || path == "/metrics";
    method.is_safe() && !guarded
}

/// What changes nothing that others see, though its method says that it might.
fn is_for_viewers(path: &str) -> bool {
    ["/api/logout", "/api/search"].contains(&path)
}

/// A page of another host whose name leads to this machine has its own name in the header.
fn check_host(http: &Http, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    let authority = authority(uri, headers).unwrap_or("");
    let host = host(authority);
    let known = host.eq_ignore_ascii_case("localhost")
        || host
            .trim_matches(['[', ']'])
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback() || ip == http.listen.ip());
    if known {
        return Ok(());
    }
    let listen = http.listen;
    let message = format!(
        "host {host:?}: without tokens only localhost, loopback addresses and {listen} are served: add a [[http.token]]"
    );
    Err(ApiError::forbidden(message))
}

/// Pages of other origins may not change anything, nor open WebSockets, which have no such rule of their own.
fn check_origin(http: &Http, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let Some(origin) = text("origin") else {
        return match text("sec-fetch-site") {
            None | Some("same-origin" | "none") => Ok(()),
            Some(site) => Err(ApiError::forbidden(format!(
                "a request from a {site} page without an origin"
            ))),
        };
    };
    let same = origin.split_once("://").is_some_and(|(scheme, from)| {
        let default = if scheme == "https" { ":443" } else { ":80" };
        let to = authority(uri, headers).unwrap_or("");
        let bare = |authority: &str| authority.trim_end_matches(default).to_ascii_lowercase();
        !to.is_empty() && bare(from) == bare(to)
    });
    if same || http.origins.iter().any(|known| known == origin) {
        return Ok(());
    }
    let message = format!(
        "a page of {origin:?} may not do this: add it to http.origins in the configuration"
    );
    Err(ApiError::forbidden(message))
}

/// Host and port that were asked.
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(header::HOST)?.to_str().ok(),
    }
}

fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn identify(
    app: &App,
    http: &Http,
    peer: SocketAddr,
    headers: &HeaderMap,
) -> Result<Caller, ApiError> {
    if let Some(caller) = Caller::without_token(http) {
        return Ok(caller);
    }
    let bearer = headers.get(header::AUTHORIZATION);
    let hash = match bearer {
        Some(value) => Some(token::hash(bearer_token(value)?)),
        None => cookie(headers).and_then(|id| app.sessions.token(id)),
    };
    if let Some(caller) = hash.and_then(|hash| Caller::with_token(http, &hash)) {
        return Ok(caller);
    }
    if bearer.is_some() {
        attempt(app, peer)?;
        return Err(unauthorized("this token is not known"));
    }
    Err(unauthorized(
        "a token is needed: send it as `Authorization: Bearer TOKEN`, or log in by POST /api/login",
    ))
}

/// Counts a token that may be a guess.
fn attempt(app: &App, peer: SocketAddr) -> Result<(), ApiError> {
    app.logins.take(peer.ip(), Instant::now()).map_err(|wait| {
        let message = "too many wrong tokens from this address: wait a minute";
        ApiError::too_many(message, wait.as_secs() + 1)
    })
}

fn unauthorized(message: &str) -> ApiError {
    let scheme = HeaderValue::from_static("Bearer realm=\"mdetr-monitor\"");
    ApiError::new(StatusCode::UNAUTHORIZED, message).with_header(header::WWW_AUTHENTICATE, scheme)
}

fn bearer_token(value: &HeaderValue) -> Result<&str, ApiError> {
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(token.trim())
    });
    token
        .filter(|token| token.len() <= MAX_TOKEN)
        .ok_or_else(|| unauthorized("expected `Authorization: Bearer TOKEN`"))
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|value| value.split(';'))
        .find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// A token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    /// As `mdetr-monitor token` printed it.
    token: String,
}

/// Who is logged in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LoggedIn {
    /// Name of the token.
    name: String,
    /// What it allows.
    role: Role,
}

/// Begin a session of a browser
///
/// The answer sets a cookie, which lasts for seven days and at most until the program ends. Where the configuration has
/// no tokens, none is needed, and no cookie is set.
#[utoipa::path(
    post,
    path = "/api/login",
    tag = "access",
    security(()),
    request_body = Login,
    responses(
        (status = 200, description = "Logged in", body = LoggedIn, headers(("set-cookie" = Option<String>))),
        (status = 401, description = "The token is not known", body = ErrorBody, headers(("www-authenticate" = String))),
    )
)]
pub(super) async fn login(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Extension(secure): Extension<Secure>,
    headers: HeaderMap,
    Body(login): Body<Login>,
) -> Result<Response, ApiError> {
    let config = app.state.hub.config();
    let http = &config.document.http;
    let answer = |caller: &Caller| {
        axum::Json(LoggedIn {
            name: caller.name.to_string(),
            role: caller.role,
        })
    };
    if let Some(caller) = Caller::without_token(http) {
        return Ok(answer(&caller).into_response());
    }
    attempt(&app, peer)?;
    let hash = token::hash(login.token.trim());
    let caller =
        Caller::with_token(http, &hash).ok_or_else(|| unauthorized("this token is not known"))?;
    let id = app.sessions.begin(hash);
    tracing::info!(name = %caller.name, %peer, "logged in");
    let cookie = set_cookie(&id, SESSION, secure, &headers);
    Ok(([(header::SET_COOKIE, cookie)], answer(&caller)).into_response())
}

/// End the session
#[utoipa::path(
    post,
    path = "/api/logout",
    tag = "access",
    responses((status = 204, description = "Logged out", headers(("set-cookie" = String))))
)]
pub(super) async fn logout(
    State(app): State<App>,
    Extension(secure): Extension<Secure>,
    headers: HeaderMap,
) -> Response {
    if let Some(id) = cookie(&headers) {
        app.sessions.end(id);
    }
    let cookie = set_cookie("", Duration::ZERO, secure, &headers);
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}

fn set_cookie(id: &str, age: Duration, Secure(tls): Secure, headers: &HeaderMap) -> String {
    let age = age.as_secs();
    let proxy = headers.get("x-forwarded-proto");
    let secure = if tls || proxy.is_some_and(|value| value == "https") {
        "; Secure"
    } else {
        ""
    };
    format!("{COOKIE}={id}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_no_port() {
        for (authority, expected) in [
            ("localhost:8710", "localhost"),
            ("[::1]:8710", "[::1]"),
            ("[::1]", "[::1]"),
            ("evil.example", "evil.example"),
        ] {
            assert_eq!(host(authority), expected);
        }
    }
}
