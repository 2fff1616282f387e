//! Requests, one at a time, to servers that may be slow, busy or wrong.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode, redirect};
use rustls::RootCertStore;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::error::PullError;
use crate::retry::{Attempts, Limits, retry_after};
use crate::watch::Watch;

/// Most redirections of a request.
const MAX_REDIRECTS: usize = 10;

/// Sends requests.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) limits: Limits,
}

/// Why one attempt failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The next one may succeed, after this time if the server asked for one.
    Again(String, Option<Duration>),
    /// The next one would fail too.
    Final(PullError),
}

impl From<PullError> for Failure {
    fn from(error: PullError) -> Failure {
        Failure::Final(error)
    }
}

impl Client {
    /// Trusts the system's certificates (`SSL_CERT_FILE`, `SSL_CERT_DIR`), and uses the proxies of
    /// `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.
    pub(crate) fn new(limits: Limits) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has what the default versions need")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(limits.stall)
            .redirect(redirect::Policy::custom(follow))
            .referer(false)
            .user_agent(concat!("mdetr/", env!("CARGO_PKG_VERSION")))
            .build()
            .expect("the options do not contradict each other");
        Client { http, limits }
    }

    /// The head of an answer: one that has a body, or says that there is no such file (404, 410) or no
    /// such range (416).
    pub(crate) async fn get(&self, url: &Url, headers: HeaderMap) -> Result<Response, Failure> {
        let request = self.http.get(url.clone()).headers(headers).send();
        let response = match timeout(self.limits.stall, request).await {
            Err(_) => {
                let waited = self.limits.stall.as_secs_f32();
                return Err(Failure::Again(format!("no answer in {waited} s"), None));
            }
            Ok(Err(error)) => return Err(failure(url, error)),
            Ok(Ok(response)) => response,
        };
        match response.status() {
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::RANGE_NOT_SATISFIABLE => {
                Ok(response)
            }
            status if status.is_success() => Ok(response),
            _ => Err(self.refused(url, &response)),
        }
    }

    fn refused(&self, url: &Url, response: &Response) -> Failure {
        let status = response.status();
        let again = status.is_server_error()
            || status == StatusCode::REQUEST_TIMEOUT
            || status == StatusCode::TOO_MANY_REQUESTS;
        if !again {
            let remedy = match status {
                StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                    "name and password can be written into the address or into HTTPS_PROXY, or take another source with --from"
                }
                _ => "take another source with --from",
            };
            let found = format!("the server answers {status}");
            return Failure::Final(answer(url, found, remedy));
        }
        let headers = response.headers().get(RETRY_AFTER);
        let asked = headers.and_then(|value| retry_after(value.to_str().ok()?, SystemTime::now()));
        if let Some(asked) = asked.filter(|asked| *asked > self.limits.longest_wait) {
            return Failure::Final(PullError::Busy {
                url: shown(url),
                status: status.to_string(),
                seconds: asked.as_secs(),
            });
        }
        Failure::Again(format!("the server answers {status}"), asked)
    }

    /// Waits before the next attempt, and says so.
    ///
    /// # Errors
    /// There were enough, or `failure` is final.
    pub(crate) async fn wait(
        &self,
        url: &Url,
        failure: Failure,
        bytes: u64,
        attempts: &mut Attempts<'_>,
        watch: &dyn Watch,
    ) -> Result<(), PullError> {
        let (cause, asked) = match failure {
            Failure::Again(cause, asked) => (cause, asked),
            Failure::Final(error) => return Err(error),
        };
        let Some(wait) = attempts.failed(bytes, asked) else {
            return Err(PullError::Unreachable {
                url: shown(url),
                cause,
                attempts: attempts.made(),
            });
        };
        let seconds = wait.as_secs_f32();
        watch.say(&format!(
            "{}: {cause}; trying again in {seconds} s",
            shown(url)
        ));
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// A whole document of at most `limit` bytes; `None` if the server does not have it.
    pub(crate) async fn document(
        &self,
        url: &Url,
        limit: usize,
        watch: &dyn Watch,
    ) -> Result<Option<Vec<u8>>, PullError> {
        let mut attempts = Attempts::new(&self.limits, 0);
        loop {
            let failure = match self.attempt(url, limit).await {
                Ok(document) => return Ok(document),
                Err(failure) => failure,
            };
            self.wait(url, failure, 0, &mut attempts, watch).await?;
        }
    }

    async fn attempt(&self, url: &Url, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        let mut response = self.get(url, HeaderMap::new()).await?;
        if !response.status().is_success() {
            return Ok(None);
        }
        let mut document = Vec::new();
        let mut pace = Pace::new(&self.limits);
        while let Some(chunk) = pace.chunk(&mut response).await? {
            if document.len() + chunk.len() > limit {
                let found = format!("expected at most {limit} bytes, found more");
                return Err(answer(url, found, SOMETHING_ELSE).into());
            }
            document.extend_from_slice(&chunk);
        }
        Ok(Some(document))
    }
}

/// Remedy for an answer that is of another kind than expected.
pub(crate) const SOMETHING_ELSE: &str = "something in between (a login page, a proxy) may answer instead of the server: open the address in a browser, or take another source with --from";

/// There is no such file.
pub(crate) fn missing(url: &Url) -> PullError {
    let remedy = "the file may have moved: look for it on the publisher's page, and give its address with --from";
    answer(
        url,
        "expected the file, found none of this name".to_owned(),
        remedy,
    )
}

/// An answer that is wrong, and will be again.
pub(crate) fn answer(url: &Url, found: String, remedy: &str) -> PullError {
    PullError::Answer {
        url: shown(url),
        found,
        remedy: remedy.to_owned(),
    }
}

/// An address for people, without what may be secret in it.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // An address without a host has no password either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// How fast a body comes.
pub(crate) struct Pace<'a> {
    limits: &'a Limits,
    since: Instant,
    bytes: u64,
}

impl<'a> Pace<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Pace<'a> {
        Pace {
            limits,
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// The next piece of a body; `None` at its end.
    pub(crate) async fn chunk(
        &mut self,
        response: &mut Response,
    ) -> Result<Option<impl AsRef<[u8]> + std::ops::Deref<Target = [u8]>>, Failure> {
        let stall = self.limits.stall;
        let slow = |bytes| {
            let seconds = stall.as_secs_f32();
            Failure::Again(format!("{bytes} bytes in {seconds} s"), None)
        };
        let left = stall.saturating_sub(self.since.elapsed());
        let Ok(chunk) = timeout(left, response.chunk()).await else {
            return Err(slow(self.bytes));
        };
        let url = response.url().clone();
        let chunk = chunk.map_err(|error| failure(&url, error))?;
        self.bytes += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if self.since.elapsed() >= stall || self.bytes >= self.limits.least_bytes {
            if self.bytes < self.limits.least_bytes && chunk.is_some() {
                return Err(slow(self.bytes));
            }
            self.since = Instant::now();
            self.bytes = 0;
        }
        Ok(chunk)
    }
}

#[derive(Debug, thiserror::Error)]
enum Detour {
    #[error("more than {MAX_REDIRECTS} redirections, the last to {0}")]
    Long(String),
    #[error("a redirection from https to {0}, which is not encrypted")]
    Insecure(String),
}

fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let to = attempt.url();
    let encrypted = attempt.previous().iter().any(|url| url.scheme() == "https");
    if encrypted && to.scheme() != "https" {
        let to = shown(to);
        return attempt.error(Detour::Insecure(to));
    }
    if attempt.previous().len() > MAX_REDIRECTS {
        let to = shown(to);
        return attempt.error(Detour::Long(to));
    }
    attempt.follow()
}

/// What went wrong before there was an answer, or in its body.
fn failure(url: &Url, error: reqwest::Error) -> Failure {
    let redirected = error.is_redirect();
    let untrusted = causes(&error).any(untrusted);
    // The address may have a password.
    let error = error.without_url();
    let mut text = String::new();
    for cause in causes(&error) {
        let _ = write!(text, "{}{cause}", if text.is_empty() { "" } else { ": " });
    }
    if untrusted {
        let remedy = "install ca-certificates, set the clock, or name your proxy's certificate with SSL_CERT_FILE";
        return answer(url, text, remedy).into();
    }
    if redirected {
        return answer(url, text, "take another source with --from").into();
    }
    Failure::Again(text, None)
}

fn causes<'a>(
    error: &'a reqwest::Error,
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error: &&(dyn std::error::Error + 'static)| {
        (*error).source()
    })
}

fn untrusted(cause: &(dyn std::error::Error + 'static)) -> bool {
    // An error of the system's kind hides what it is made of from `source`.
    let inner = cause
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    if let Some(inner) = inner {
        return untrusted(inner);
    }
    let tls = cause.downcast_ref::<rustls::Error>();
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}
