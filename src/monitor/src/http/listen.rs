//! Connections: where they come from, how many, how slow, with or without TLS.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::Handle;
use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_io_timeout::TimeoutStream;
use tower::Layer;

use super::app::{App, Ending, HttpState, Secure};
use super::router::router;
use crate::config::{Http, Tls};

/// How long the head of a request may take, and how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(15);
/// Most requests at once on a connection of HTTP/2.
const MAX_STREAMS: u32 = 16;
/// Most bytes of the head of a request of HTTP/2.
const MAX_HEAD: u32 = 16 << 10;
/// How long a client may take to read something.
const WRITE: Duration = Duration::from_secs(30);
/// How long answers may go on when the server stops.
const GRACE: Duration = Duration::from_millis(800);
/// How often it is looked whether the certificate is another one.
const RENEWAL: Duration = Duration::from_secs(60);

/// Serves until `stop` is true: see [`Server`].
///
/// # Errors
/// As [`Server::bind`] and [`Server::run`].
pub async fn serve(state: HttpState, stop: watch::Receiver<bool>) -> anyhow::Result<()> {
    Server::bind(state)?.run(stop).await
}

/// A server at the address that the configuration names.
#[derive(Debug)]
pub struct Server {
    app: App,
    http: Http,
    place: Place,
}

/// An address with its certificate.
#[derive(Debug)]
struct Place {
    listener: TcpListener,
    certificate: Option<Certificate>,
}

struct Certificate {
    files: Tls,
    modified: Option<SystemTime>,
    config: RustlsConfig,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Takes the address. Connections wait until [`run`](Self::run).
    ///
    /// # Errors
    /// The address cannot be had, or the certificate cannot be used.
    pub fn bind(state: HttpState) -> anyhow::Result<Server> {
        let http = state.hub.config().document.http.clone();
        let place = Place::open(&http, None)?;
        let app = App::new(state);
        Ok(Server { app, http, place })
    }

    /// The address, with the port that was given if port 0 was asked for.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.place.listener.local_addr()
    }

    /// Serves until `stop` is true, or has no sender. What goes on then has less than a second. Another address or certificate
    /// in the configuration is used as soon as it is in force; if it cannot be had, the one before stays.
    ///
    /// # Errors
    /// The system gives no connections any more.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        let mut configs = self.app.state.hub.watch_config();
        let mut renewal = tokio::time::interval(RENEWAL);
        let mut serving = Serving::start(&self.app, &self.place)?;
        let result = loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break Ok(()),
                _ = configs.changed() => {
                    let http = configs.borrow_and_update().document.http.clone();
                    if let Some(new) = self.change(http) {
                        let old = std::mem::replace(&mut serving, new);
                        tokio::spawn(old.stop());
                    }
                }
                _ = renewal.tick() => self.place.renew(),
                ended = &mut serving.task => {
                    break ended.context("the server failed")?.context("no connections any more");
                }
            }
        };
        if result.is_ok() {
            serving.stop().await;
        }
        result
    }

    /// Serves at another place, if it is one.
    fn change(&mut self, http: Http) -> Option<Serving> {
        if http.listen == self.http.listen && http.tls == self.http.tls {
            return None;
        }
        let known = (http.listen == self.http.listen).then_some(&self.place.listener);
        let opened = Place::open(&http, known)
            .and_then(|place| Ok((Serving::start(&self.app, &place)?, place)));
        match opened {
            Ok((serving, place)) => {
                self.place = place;
                self.http = http;
                Some(serving)
            }
            Err(error) => {
                let stays = self.http.listen;
                tracing::error!("http.listen: {error:#}; the page stays at {stays}");
                None
            }
        }
    }
}

impl Place {
    /// `known` is the listener at the same address, if there is one.
    fn open(http: &Http, known: Option<&TcpListener>) -> anyhow::Result<Place> {
        let address = http.listen;
        let certificate = http.tls.as_ref().map(Certificate::read).transpose()?;
        let listener = match known {
            Some(listener) => listener.try_clone(),
            None => TcpListener::bind(address),
        };
        let listener = listener.with_context(|| {
            format!(
                "{address} cannot be had: end the program that uses it, or choose another http.listen"
            )
        })?;
        let scheme = if certificate.is_some() {
            "https"
        } else {
            "http"
        };
        let address = listener.local_addr()?;
        tracing::info!("the page is at {scheme}://{address}");
        Ok(Place {
            listener,
            certificate,
        })
    }

    /// Uses a certificate that is in the files now.
    fn renew(&mut self) {
        let Some(certificate) = &mut self.certificate else {
            return;
        };
        let modified = modified(&certificate.files);
        if modified == certificate.modified {
            return;
        }
        certificate.modified = modified;
        match server_config(&certificate.files) {
            Ok(config) => {
                certificate.config.reload_from_config(Arc::new(config));
                tracing::info!("http.tls: the new certificate is used");
            }
            Err(error) => tracing::error!("http.tls: {error:#}; the old certificate stays"),
        }
    }
}

impl Certificate {
    fn read(files: &Tls) -> anyhow::Result<Certificate> {
        let modified = modified(files);
        let config = RustlsConfig::from_config(Arc::new(server_config(files)?));
        Ok(Certificate {
            files: files.clone(),
            modified,
            config,
        })
    }
}

fn modified(files: &Tls) -> Option<SystemTime> {
    let modified = |path| std::fs::metadata(path).ok()?.modified().ok();
    modified(&files.certificate).max(modified(&files.key))
}

fn server_config(files: &Tls) -> anyhow::Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| {
            let path = files.certificate.display();
            format!("{path}: expected a certificate chain in PEM")
        })?;
    let key = PrivateKeyDer::from_pem_file(&files.key).with_context(|| {
        let path = files.key.display();
        format!("{path}: expected a private key in PEM")
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .with_context(|| {
            let (certificate, key) = (files.certificate.display(), files.key.display());
            format!("{certificate} and {key} do not belong together")
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A server at one place.
struct Serving {
    handle: Handle<SocketAddr>,
    ending: watch::Sender<bool>,
    task: JoinHandle<io::Result<()>>,
}

impl Serving {
    fn start(app: &App, place: &Place) -> anyhow::Result<Serving> {
        let (ending, receiver) = watch::channel(false);
        let handle = Handle::new();
        let secure = Secure(place.certificate.is_some());
        let router = router(app.clone(), secure, Ending(receiver));
        let door = Door(app.connections.clone());
        let listener = place.listener.try_clone()?;
        let mut server = axum_server::from_tcp(listener)?
            .handle(handle.clone())
            .first_request_timeout(HEAD);
        let builder = server.http_builder();
        builder.http1().header_read_timeout(HEAD);
        builder
            .http2()
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD)
            .keep_alive_interval(HEAD)
            .keep_alive_timeout(HEAD);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let task = match &place.certificate {
            Some(certificate) => {
                let acceptor = RustlsAcceptor::new(certificate.config.clone()).acceptor(door);
                tokio::spawn(server.acceptor(acceptor).serve(service))
            }
            None => tokio::spawn(server.acceptor(door).serve(service)),
        };
        Ok(Serving {
            handle,
            ending,
            task,
        })
    }

    async fn stop(self) {
        self.ending.send_replace(true);
        self.handle.graceful_shutdown(Some(GRACE));
        if let Ok(Err(error)) = self.task.await {
            tracing::warn!(%error, "the server did not end as it should");
        }
    }
}

/// Counts connections, and closes those whose clients do not read.
#[derive(Debug, Clone)]
struct Door(Arc<Semaphore>);

impl<S> Accept<TcpStream, S> for Door {
    type Stream = Pin<Box<TimeoutStream<TcpStream>>>;
    type Service = AddExtension<S, Arc<OwnedSemaphorePermit>>;
    type Future = std::future::Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let permit = self.0.clone().try_acquire_owned();
        let accepted = permit
            .map_err(|_| io::Error::other("too many connections"))
            .and_then(|permit| {
                stream.set_nodelay(true)?;
                let mut stream = TimeoutStream::new(stream);
                stream.set_write_timeout(Some(WRITE));
                // It is given back with the connection, which has the service.
                let service = Extension(Arc::new(permit)).layer(service);
                Ok((Box::pin(stream), service))
            });
        std::future::ready(accepted)
    }
}
