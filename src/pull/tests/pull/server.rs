//! A server on loopback that behaves as a publisher's, or misbehaves as told.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a request said.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub path: String,
    pub range: Option<String>,
    pub if_range: Option<String>,
}

/// What is done to one answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status, with these headers.
    Status(u16, Vec<(&'static str, String)>),
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// After so many bytes of the body nothing comes any more.
    Stall(usize),
    /// The body comes byte by byte, this long apart.
    Drip(Duration),
    /// The head never comes.
    Silence,
    /// The whole file, whatever was asked for.
    Whole,
    /// This body, without its length.
    Unmeasured(Vec<u8>),
    /// This body, with its length.
    Other(Vec<u8>),
    /// A range that was not asked for.
    WrongRange,
}

/// A file that is served.
#[derive(Debug, Clone)]
pub struct Served {
    pub body: Arc<Vec<u8>>,
    pub etag: Option<String>,
}

pub type Files = Arc<dyn Fn(&str) -> Option<Served> + Send + Sync>;

struct Shared {
    files: Files,
    faults: Mutex<VecDeque<(String, Fault)>>,
    seen: Mutex<Vec<Seen>>,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// Runs until the tests end.
pub struct Server {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    pub fn start(files: Files, tls: Option<Arc<rustls::ServerConfig>>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            files,
            faults: Mutex::default(),
            seen: Mutex::default(),
            tls,
        });
        let of_thread = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = of_thread.clone();
                thread::spawn(move || shared.connection(stream.unwrap()));
            }
        });
        Server { address, shared }
    }

    /// What is done to the next answers for paths that end so.
    pub fn faults(&self, path: &str, faults: impl IntoIterator<Item = Fault>) {
        let faults = faults.into_iter().map(|fault| (path.to_owned(), fault));
        self.shared.faults.lock().unwrap().extend(faults);
    }

    /// The requests for paths that end so.
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        let seen = self.shared.seen.lock().unwrap();
        seen.iter()
            .filter(|seen| seen.path.ends_with(path))
            .cloned()
            .collect()
    }

    /// First bytes that were asked for, of the requests for paths that end so; `None` is all.
    pub fn begins(&self, path: &str) -> Vec<Option<usize>> {
        let begin = |seen: Seen| {
            let range = seen.range?;
            let begin = range.strip_prefix("bytes=")?.strip_suffix('-')?;
            Some(begin.parse().unwrap())
        };
        self.seen(path).into_iter().map(begin).collect()
    }
}

impl Shared {
    /// Errors are those of clients that went away.
    fn connection(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        match &self.tls {
            None => drop(self.requests(stream)),
            Some(config) => {
                let connection = rustls::ServerConnection::new(config.clone()).unwrap();
                drop(self.requests(rustls::StreamOwned::new(connection, stream)));
            }
        }
    }

    fn requests(&self, stream: impl Read + Write) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut seen = Seen::default();
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let target = line.split(' ').nth(1).unwrap().to_owned();
            // A proxy is asked for whole addresses.
            let path = target
                .split_once("://")
                .map_or(target.as_str(), |(_, rest)| {
                    &rest[rest.find('/').unwrap()..]
                });
            seen.path = path.to_owned();
            loop {
                let mut header = String::new();
                stream.read_line(&mut header)?;
                let Some((name, value)) = header.trim().split_once(": ") else {
                    break;
                };
                match name.to_ascii_lowercase().as_str() {
                    "range" => seen.range = Some(value.to_owned()),
                    "if-range" => seen.if_range = Some(value.to_owned()),
                    _ => {}
                }
            }
            self.answer(&seen, stream.get_mut())?;
        }
    }

    fn fault(&self, path: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let index = faults
            .iter()
            .position(|(end, _)| path.ends_with(end.as_str()))?;
        Some(faults.remove(index)?.1)
    }

    fn answer(&self, seen: &Seen, out: &mut impl Write) -> io::Result<()> {
        self.seen.lock().unwrap().push(seen.clone());
        let fault = self.fault(&seen.path);
        let ended = || Err(io::Error::other("the connection ends"));
        match &fault {
            Some(Fault::Status(status, headers)) => {
                write!(out, "HTTP/1.1 {status} Told\r\ncontent-length: 0\r\n")?;
                for (name, value) in headers {
                    write!(out, "{name}: {value}\r\n")?;
                }
                out.write_all(b"\r\n")?;
                return out.flush();
            }
            Some(Fault::Silence) => {
                thread::sleep(Duration::from_secs(60));
                return ended();
            }
            Some(Fault::Unmeasured(body)) => {
                write!(out, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
                out.write_all(body)?;
                out.flush()?;
                return ended();
            }
            _ => {}
        }
        let path = seen.path.split('?').next().unwrap();
        let Some(served) = (self.files)(path) else {
            out.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")?;
            return out.flush();
        };
        let etag = served.etag.as_deref();
        let mut body: &[u8] = match &fault {
            Some(Fault::Other(body)) => body,
            _ => &served.body,
        };
        let all = body.len();
        let same = seen.if_range.is_none() || seen.if_range.as_deref() == etag;
        let range = seen.range.as_deref().filter(|_| same);
        let range = range.filter(|_| !matches!(fault, Some(Fault::Whole)));
        match range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')) {
            Some(begin) => {
                let begin: usize = begin.parse().unwrap();
                if begin >= all {
                    write!(
                        out,
                        "HTTP/1.1 416 No\r\ncontent-length: 0\r\ncontent-range: bytes */{all}\r\n\r\n"
                    )?;
                    return out.flush();
                }
                let begin = match fault {
                    Some(Fault::WrongRange) => begin + 1,
                    _ => begin,
                };
                body = &body[begin..];
                write!(
                    out,
                    "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {begin}-{}/{all}\r\n",
                    all - 1
                )?;
            }
            None => write!(out, "HTTP/1.1 200 OK\r\n")?,
        }
        if let Some(etag) = etag {
            write!(out, "etag: {etag}\r\n")?;
        }
        write!(out, "content-length: {}\r\n\r\n", body.len())?;
        match fault {
            Some(Fault::Cut(bytes)) => {
                out.write_all(&body[..bytes])?;
                out.flush()?;
                ended()
            }
            Some(Fault::Stall(bytes)) => {
                out.write_all(&body[..bytes])?;
                out.flush()?;
                thread::sleep(Duration::from_secs(60));
                ended()
            }
            Some(Fault::Drip(pause)) => {
                for byte in body {
                    out.write_all(&[*byte])?;
                    out.flush()?;
                    thread::sleep(pause);
                }
                Ok(())
            }
            _ => {
                out.write_all(body)?;
                out.flush()
            }
        }
    }
}

/// A proxy that brings every request for encryption to one server, whatever host was named. Returns its
/// address, and the hosts that were named.
pub fn proxy(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let hosts = Arc::new(Mutex::new(Vec::new()));
    let of_thread = hosts.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let hosts = of_thread.clone();
            thread::spawn(move || tunnel(stream.unwrap(), to, &hosts));
        }
    });
    (address, hosts)
}

fn tunnel(client: TcpStream, to: SocketAddr, hosts: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("CONNECT"));
    hosts.lock().unwrap().push(words.next().unwrap().to_owned());
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line)?;
    }
    let mut client = client;
    client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
    let mut server = TcpStream::connect(to)?;
    let (mut back, mut forth) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || io::copy(&mut back, &mut forth));
    io::copy(&mut reader, &mut server)?;
    Ok(())
}
