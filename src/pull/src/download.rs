//! A file from a server, which may break off and go on.

use std::path::Path;

use reqwest::header::{
    CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE,
};
use reqwest::{Response, StatusCode};
use url::Url;

use crate::checksum::{Checksum, Kind};
use crate::client::{Client, Failure, Pace, SOMETHING_ELSE, answer, missing, shown};
use crate::error::PullError;
use crate::home::{free_mb, megabytes};
use crate::partial::{Identity, Partial};
use crate::retry::Attempts;
use crate::watch::Watch;

/// Most bytes of a file whose size is not known.
const MAX_BYTES: u64 = 100 << 30;

/// A file on a server, and what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    pub url: Url,
    pub size: Option<u64>,
    pub checksum: Option<Checksum>,
}

/// Downloads a file to `target`, and returns its checksum: the one known, which it has, or else its SHA-256. Begins
/// where an earlier run stopped.
///
/// # Errors
/// See [`PullError`]. What was downloaded so far is kept, unless it is wrong.
pub(crate) async fn download(
    client: &Client,
    remote: &Remote,
    target: &Path,
    watch: &dyn Watch,
) -> Result<Checksum, PullError> {
    let wanted = Identity {
        url: shown(&remote.url),
        size: remote.size,
        checksum: remote.checksum.clone(),
        version: None,
    };
    let mut partial = Partial::open(target, wanted)?;
    let mut attempts = Attempts::new(&client.limits, partial.length);
    let mut transfer = Transfer {
        client,
        url: &remote.url,
        watch,
    };
    loop {
        let result = transfer.attempt(&mut partial).await;
        watch.end();
        let Err(failure) = result else { break };
        let bytes = partial.length;
        client
            .wait(&remote.url, failure, bytes, &mut attempts, watch)
            .await?;
    }
    partial.finish(target)?;
    verify(target, &shown(&remote.url), remote.checksum.as_ref(), watch)
}

/// The checksum of a file, of which one may be known; a wrong file is thrown away.
fn verify(
    file: &Path,
    url: &str,
    expected: Option<&Checksum>,
    watch: &dyn Watch,
) -> Result<Checksum, PullError> {
    let kind = expected.map_or(Kind::Sha256, Checksum::kind);
    let found = Checksum::of(kind, file, watch).map_err(PullError::disk(file))?;
    if let Some(expected) = expected.filter(|expected| **expected != found) {
        std::fs::remove_file(file).map_err(PullError::disk(file))?;
        // What lies beside it says nothing without it.
        return Err(PullError::Checksum {
            url: url.to_owned(),
            expected: expected.clone(),
            found,
        });
    }
    Ok(found)
}

struct Transfer<'a> {
    client: &'a Client,
    url: &'a Url,
    watch: &'a dyn Watch,
}

impl Transfer<'_> {
    /// One request, and what comes of it.
    async fn attempt(&mut self, partial: &mut Partial) -> Result<(), Failure> {
        if partial.length > 0 && Some(partial.length) == partial.identity.size {
            return Ok(());
        }
        let mut response = self.client.get(self.url, ranged(partial)).await?;
        let total = self.accept(&response, partial)?;
        let size = partial.identity.size.or(total);
        partial.identity.size = size;
        partial.identity.version = version(response.headers());
        partial.identify()?;
        self.check_space(partial)?;
        self.watch.begin("downloading", partial.length, size);
        self.receive(&mut response, partial).await
    }

    /// Whether the body goes on where `partial` ends, which is emptied if the body begins anew. Returns all
    /// bytes of the file, if the server says.
    fn accept(&self, response: &Response, partial: &mut Partial) -> Result<Option<u64>, Failure> {
        match response.status() {
            StatusCode::PARTIAL_CONTENT => self.accept_range(response, partial),
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(missing(self.url).into()),
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let had = partial.length;
                self.restart(partial)?;
                let cause = format!("the server has less than {had} bytes");
                Err(Failure::Again(cause, None))
            }
            _ => {
                if partial.length > 0 {
                    let line = "the server begins again, either because the file has changed or because it cannot do otherwise";
                    self.watch.say(&format!("{}: {line}", shown(self.url)));
                    self.restart(partial)?;
                }
                self.expect_size(response, partial.identity.size, response.content_length())?;
                Ok(response.content_length())
            }
        }
    }

    fn accept_range(
        &self,
        response: &Response,
        partial: &mut Partial,
    ) -> Result<Option<u64>, Failure> {
        let header = response.headers().get(CONTENT_RANGE);
        let text = header.and_then(|value| value.to_str().ok());
        let Some((begin, total)) = text.and_then(content_range) else {
            let found = format!("expected the bytes from {}, found {text:?}", partial.length);
            return Err(answer(self.url, found, SOMETHING_ELSE).into());
        };
        let changed = partial
            .identity
            .size
            .is_some_and(|size| total.is_some_and(|total| total != size));
        if begin != partial.length || changed {
            let had = partial.length;
            self.restart(partial)?;
            let cause = format!(
                "bytes {} do not go on after {had}",
                text.unwrap_or_default()
            );
            return Err(Failure::Again(cause, None));
        }
        Ok(total)
    }

    /// Throws away what is of another version of the file.
    fn restart(&self, partial: &mut Partial) -> Result<(), Failure> {
        partial.clear()?;
        if partial.identity.checksum.is_none() {
            partial.identity.size = None;
        }
        Ok(())
    }

    fn expect_size(
        &self,
        response: &Response,
        expected: Option<u64>,
        found: Option<u64>,
    ) -> Result<(), Failure> {
        match (expected, found) {
            (Some(expected), Some(found)) if expected != found => {
                let kind = response.headers().get(CONTENT_TYPE);
                let kind = kind
                    .and_then(|kind| kind.to_str().ok())
                    .unwrap_or("unknown type");
                let found = format!("expected {expected} bytes, found {found} of {kind}");
                Err(answer(self.url, found, SOMETHING_ELSE).into())
            }
            _ => Ok(()),
        }
    }

    fn check_space(&self, partial: &Partial) -> Result<(), PullError> {
        let left = partial.identity.size.map(|size| size - partial.length);
        let dir = partial.dir();
        let free = free_mb(dir)?;
        let needed = left.map_or(0, megabytes);
        if needed > free {
            let dir = dir.to_owned();
            return Err(PullError::Space { dir, needed, free });
        }
        Ok(())
    }

    async fn receive(&self, response: &mut Response, partial: &mut Partial) -> Result<(), Failure> {
        let size = partial.identity.size;
        let most = size.unwrap_or(MAX_BYTES);
        let mut pace = Pace::new(&self.client.limits);
        while let Some(chunk) = pace.chunk(response).await? {
            if partial.length + chunk.len() as u64 > most {
                partial.clear()?;
                let found = format!("expected {most} bytes, found more");
                return Err(answer(self.url, found, SOMETHING_ELSE).into());
            }
            partial.append(&chunk)?;
            self.watch.at(partial.length);
        }
        match size {
            Some(size) if partial.length < size => {
                let cause = format!("cut off after {} of {size} bytes", partial.length);
                Err(Failure::Again(cause, None))
            }
            _ => Ok(()),
        }
    }
}

/// Asks for what is missing, of the same version.
fn ranged(partial: &Partial) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if partial.length == 0 {
        return headers;
    }
    let range = format!("bytes={}-", partial.length);
    let range = HeaderValue::try_from(range).expect("plain ASCII");
    headers.insert(RANGE, range);
    let version = partial.identity.version.as_ref();
    if let Some(version) = version.and_then(|version| HeaderValue::try_from(version).ok()) {
        headers.insert(IF_RANGE, version);
    }
    headers
}

/// What the server calls this version of the file, if it promises that its bytes are the same.
fn version(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let strong = text(ETAG).filter(|tag| tag.starts_with('"'));
    strong.or_else(|| text(LAST_MODIFIED)).map(str::to_owned)
}

/// First byte and all bytes, if known, of `bytes FIRST-LAST/ALL`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let begin = range.split_once('-')?.0.trim().parse().ok()?;
    match total.trim() {
        "*" => Some((begin, None)),
        total => Some((begin, Some(total.parse().ok()?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for nonsense in [
            "",
            "bytes",
            "bytes */10",
            "bytes 5-9",
            "items 5-9/10",
            "bytes a-b/c",
        ] {
            assert_eq!(content_range(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_weak_etag_names_no_version() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                let name = reqwest::header::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            version(&pairs.collect())
        };
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(headers(&[("etag", "\"a\"")]).as_deref(), Some("\"a\""));
        assert_eq!(headers(&[("etag", "W/\"a\"")]), None);
        assert_eq!(
            headers(&[("etag", "W/\"a\""), ("last-modified", date)]).as_deref(),
            Some(date)
        );
        assert_eq!(headers(&[]), None);
    }
}
