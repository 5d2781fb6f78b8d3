//! One client of the server that is measured.

use super::{
    dialect::{Dialect, End, Reply},
    frames::{self, Kind},
    template::find,
};
use anyhow::{Context, Result, bail, ensure};
use signaling_protocol::limits::MESSAGES_PER_SECOND;
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};

/// How long a connection may take to be in its room. A server that takes longer is not loaded but lost.
const ENTRY_LIMIT: Duration = Duration::from_secs(30);

/// What is read at once.
const READ_BYTES: usize = 16 * 1024;

/// Longest answer to an upgrade.
const HEAD_BYTES: usize = 8 * 1024;

/// The server that is measured.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// For the `Host` header.
    pub(super) host: String,
    pub(super) dialect: Dialect,
}

impl Target {
    pub(super) async fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        // Tens of thousands of ports would otherwise rest for a minute behind every run.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        Ok(stream)
    }

    /// The request for a WebSocket.
    pub(super) fn upgrade(&self, end: &End) -> String {
        let path = self.dialect.path(end);
        format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.host
        )
    }
}

/// What became of somebody who wanted to join.
#[derive(Debug)]
pub(super) enum Attempt {
    In(Line),
    /// The server said no, with this code.
    Refused(String),
}

/// A connection that is in a room.
#[derive(Debug)]
pub(super) struct Line {
    stream: Arc<TcpStream>,
    inbox: Vec<u8>,
    /// How many messages a second it may send, as the server says.
    pub(super) per_second: u32,
    pub(super) dialect: Dialect,
    pub(super) end: End,
}

impl Line {
    /// Connects and joins.
    pub(super) async fn enter(target: &Target, room: &str) -> Result<Self> {
        match Self::attempt(target, room).await? {
            Attempt::In(line) => Ok(line),
            Attempt::Refused(code) => bail!("not in the room: {code}"),
        }
    }

    /// The same where a refusal is no surprise.
    pub(super) async fn attempt(target: &Target, room: &str) -> Result<Attempt> {
        timeout(ENTRY_LIMIT, Self::open(target, room))
            .await
            .with_context(|| format!("not in a room after {ENTRY_LIMIT:?}"))?
    }

    async fn open(target: &Target, room: &str) -> Result<Attempt> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let stream = target.connect().await?;
        let id = format!("{room}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut line = Self {
            stream: Arc::new(stream),
            inbox: Vec::new(),
            per_second: 0,
            dialect: target.dialect,
            end: End {
                room: room.to_owned(),
                id,
            },
        };
        write(&line.stream, target.upgrade(&line.end).as_bytes()).await?;
        let end = loop {
            if let Some(end) = line.inbox.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            ensure!(line.inbox.len() < HEAD_BYTES, "this is not the server");
            line.fill().await?;
        };
        let head: Vec<u8> = line.inbox.drain(..end).collect();
        let status = String::from_utf8_lossy(&head);
        let status = status.lines().next().unwrap_or_default();
        ensure!(
            status.starts_with("HTTP/1.1 101 "),
            "no WebSocket: {status}"
        );
        for text in target.dialect.hello(&line.end) {
            write(&line.stream, &frames::text(text.as_bytes())).await?;
        }
        if target.dialect.is_silent() {
            line.per_second = MESSAGES_PER_SECOND;
        }
        while line.per_second == 0 {
            let mut reply = Reply::Other;
            let received = line
                .receive(|text| {
                    if reply == Reply::Other {
                        reply = target.dialect.reply(text);
                    }
                })
                .await;
            match reply {
                Reply::In { per_second, id } => {
                    line.per_second = per_second;
                    line.end.id = id.unwrap_or(line.end.id);
                }
                Reply::Refused(code) => return Ok(Attempt::Refused(code)),
                Reply::Other => {
                    received?;
                }
            }
        }
        Ok(Attempt::In(line))
    }

    /// Says of a text whether it is a message of the other end.
    pub(super) fn hears(&self) -> impl Fn(&[u8]) -> bool + Send + 'static {
        let echo = self.dialect.echo(&self.end);
        move |text| {
            let own = echo.as_ref().is_some_and(|echo| {
                let mut parts = text.windows(echo.len());
                parts.any(|part| part == echo.as_bytes())
            });
            !own && find(text).is_some()
        }
    }

    /// What leads to the server, for another thread.
    pub(super) fn stream(&self) -> Arc<TcpStream> {
        Arc::clone(&self.stream)
    }

    /// Waits until something comes, answers pings, and shows every message; says how many there were.
    pub(super) async fn receive(&mut self, mut each: impl FnMut(&[u8])) -> Result<usize> {
        // What came behind the head of the answer is here already.
        if frames::parse(&self.inbox)?.is_none() {
            self.fill().await?;
        }
        let (mut done, mut count) = (0, 0);
        let mut pong = None;
        while let Some(frame) = frames::parse(&self.inbox[done..])? {
            match frame.kind {
                Kind::Text => {
                    each(frame.payload);
                    count += 1;
                }
                Kind::Ping => pong = Some(frames::pong(frame.payload)),
                Kind::Pong => {}
                Kind::Close => bail!("the server closed: {}", reason(frame.payload)),
            }
            done += frame.length;
        }
        self.inbox.drain(..done);
        if self.inbox.is_empty() {
            // Thousands of idle ones.
            self.inbox = Vec::new();
        }
        if let Some(pong) = pong {
            write(&self.stream, &pong).await?;
        }
        Ok(count)
    }

    /// Lives for as long as the server lets it.
    pub(super) async fn idle(mut self) -> Result<()> {
        loop {
            self.receive(|_| {}).await?;
        }
    }

    async fn fill(&mut self) -> Result<()> {
        loop {
            self.stream.readable().await?;
            self.inbox.reserve(READ_BYTES);
            match self.stream.try_read_buf(&mut self.inbox) {
                Ok(0) => bail!("the server hung up"),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.inbox.is_empty() {
                        self.inbox = Vec::new();
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Writes all of it.
pub(super) async fn write(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn reason(payload: &[u8]) -> String {
    match payload {
        [a, b, reason @ ..] => {
            let code = u16::from_be_bytes([*a, *b]);
            format!("{code} {}", String::from_utf8_lossy(reason))
        }
        _ => "without a reason".to_owned(),
    }
}
