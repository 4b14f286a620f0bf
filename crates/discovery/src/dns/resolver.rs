//! Asks the servers of resolv.conf, with its search list: over UDP, and again over TCP when the answer did not fit.

use super::message::{self, Answer, Data, RecordType, UDP_SIZE};
use crate::error::Error;
use crate::options::Options;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use stdx::fs::SharedFs;
use stdx::rand::Rand;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

const TIMEOUT: Duration = Duration::from_secs(2);
const NO_SUCH_NAME: u8 = 3;

pub(crate) struct Resolver {
    fs: SharedFs,
    resolv_conf: PathBuf,
    rand: Mutex<Rand>,
}

/// What resolv.conf says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Conf {
    pub servers: Vec<SocketAddr>,
    pub search: Vec<String>,
    pub ndots: usize,
}

impl Conf {
    pub fn parse(text: &str) -> Self {
        let mut conf = Conf { servers: Vec::new(), search: Vec::new(), ndots: 1 };
        for line in text.lines() {
            let mut words = line.split([' ', '\t']).filter(|w| !w.is_empty()).take_while(|w| !w.starts_with(['#', ';']));
            match words.next() {
                // With an optional port, beyond what other readers understand.
                Some("nameserver") => conf.servers.extend(words.next().and_then(server)),
                Some("domain") => conf.search = words.take(1).map(str::to_string).collect(),
                Some("search") => conf.search = words.map(str::to_string).collect(),
                Some("options") => {
                    let ndots = words.filter_map(|w| w.strip_prefix("ndots:")?.parse().ok()).next();
                    conf.ndots = ndots.unwrap_or(conf.ndots).min(15);
                }
                _ => {}
            }
        }
        conf
    }

    /// The names to try, in order, each with its final dot.
    pub fn names(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_string()];
        }
        let rooted = format!("{name}.");
        let mut names: Vec<String> = self.search.iter().map(|s| format!("{rooted}{}.", s.trim_end_matches('.'))).collect();
        let labels = name.split('.').count();
        names.insert(if labels > self.ndots { 0 } else { names.len() }, rooted);
        names
    }
}

fn server(text: &str) -> Option<SocketAddr> {
    let bare = text.split('%').next().unwrap_or(text);
    text.parse().ok().or_else(|| Some(SocketAddr::new(bare.parse().ok()?, 53)))
}

impl Resolver {
    pub fn new(options: &Options) -> Self {
        Resolver { fs: options.http.fs.clone(), resolv_conf: options.resolv_conf.clone(), rand: Mutex::new(Rand::from_entropy()) }
    }

    /// The records of the first name of the search list that exists; none when all servers agree that none does.
    pub async fn lookup(&self, name: &str, record: RecordType) -> Result<Vec<Data>, Error> {
        let path = self.resolv_conf.display();
        let text = self.fs.read(&self.resolv_conf).map_err(|e| Error::invalid(format!("could not load {path}: {e}")))?;
        let conf = Conf::parse(&String::from_utf8_lossy(&text));
        let mut sure = true;
        for full in conf.names(name) {
            match self.ask_any(&conf, &full, record).await {
                Some(a) if a.code == 0 => return Ok(a.records),
                Some(_) => {}
                None => sure = false,
            }
        }
        if sure {
            return Ok(Vec::new());
        }
        Err(Error::invalid(format!("could not resolve {name:?}: all servers responded with errors to at least one search domain")))
    }

    /// The first answer that says whether the name exists.
    async fn ask_any(&self, conf: &Conf, name: &str, record: RecordType) -> Option<Answer> {
        for server in &conf.servers {
            match self.ask(*server, name, record).await {
                Ok(a) if a.code == 0 || a.code == NO_SUCH_NAME => return Some(a),
                Ok(a) => tracing::warn!(%server, name, code = a.code, "DNS server refused to answer"),
                Err(e) => tracing::warn!(%server, name, err = %e, "DNS resolution failed"),
            }
        }
        None
    }

    async fn ask(&self, server: SocketAddr, name: &str, record: RecordType) -> Result<Answer, Error> {
        let id = self.rand.lock().next_u64() as u16;
        let late = |_| Error::invalid("i/o timeout");
        let a = tokio::time::timeout(TIMEOUT, udp(server, id, &message::question(id, name, record, true)?)).await.map_err(late)??;
        if !a.truncated {
            return Ok(a);
        }
        tokio::time::timeout(TIMEOUT, tcp(server, id, &message::question(id, name, record, false)?)).await.map_err(late)?
    }
}

fn io(e: std::io::Error) -> Error {
    Error::invalid(e.to_string())
}

async fn udp(server: SocketAddr, id: u16, question: &[u8]) -> Result<Answer, Error> {
    let local: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(local).await.map_err(io)?;
    socket.connect(server).await.map_err(io)?;
    socket.send(question).await.map_err(io)?;
    let mut buf = vec![0; usize::from(UDP_SIZE)];
    loop {
        let n = socket.recv(&mut buf).await.map_err(io)?;
        // Answers to other questions, and what is no answer, are not ours.
        if let Some(a) = message::answer(&buf[..n]).filter(|a| a.id == id) {
            return Ok(a);
        }
    }
}

async fn tcp(server: SocketAddr, id: u16, question: &[u8]) -> Result<Answer, Error> {
    let mut stream = TcpStream::connect(server).await.map_err(io)?;
    let mut out = (question.len() as u16).to_be_bytes().to_vec();
    out.extend_from_slice(question);
    stream.write_all(&out).await.map_err(io)?;
    let len = stream.read_u16().await.map_err(io)?;
    let mut buf = vec![0; usize::from(len)];
    stream.read_exact(&mut buf).await.map_err(io)?;
    let a = message::answer(&buf).filter(|a| a.id == id && !a.truncated);
    a.ok_or_else(|| Error::invalid("got truncated or malformed message on TCP"))
}
