//! Two sides of a tunnel, and programs to put at its ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Output;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::harness::{DEADLINE, End, Peer, Signaling, clean};

/// Two that are connected, and where the services of the one are here.
pub(super) struct Tunnel {
    pub(super) expose: Peer,
    pub(super) connect: Peer,
    /// By name; that of the SOCKS port is empty.
    pub(super) places: BTreeMap<String, String>,
}

impl Tunnel {
    /// Exposes addresses under names; `more` is for the side that connects.
    pub(super) async fn open(server: &Signaling, services: &[(&str, &str)], more: &[&str]) -> Self {
        let mut words = vec!["expose", "--server", &server.url];
        for (name, address) in services {
            words.extend([*address, "--name", *name]);
        }
        let mut expose = Peer::start(&words);
        let code = expose.code().await;
        let words = ["connect", &code, "--server", &server.url];
        let mut connect = Peer::start(&[&words[..], more].concat());
        let listening = match more {
            [] => services.len(),
            more => more.iter().filter(|word| word.starts_with("--")).count(),
        };
        let mut places = BTreeMap::new();
        for _ in 0..listening {
            let forward = connect.event("forward").await;
            let name = forward["name"].as_str().unwrap_or_default().to_owned();
            let listen = forward["listen"].as_str().unwrap().to_owned();
            places.insert(name, listen);
        }
        Self {
            expose,
            connect,
            places,
        }
    }

    /// Where a service is here.
    pub(super) fn at(&self, name: &str) -> SocketAddr {
        self.places[name].parse().expect("a port")
    }

    pub(super) fn port(&self, name: &str) -> String {
        self.at(name).port().to_string()
    }

    /// Waits until so many connections are over, on the side that exposes and on the one that connects.
    pub(super) async fn ended(&mut self, exposed: u64, connected: u64) {
        for (side, count) in [(&mut self.expose, exposed), (&mut self.connect, connected)] {
            for _ in 0..count {
                side.event("connection").await;
            }
        }
    }

    /// Ends it as users do; both sides are done.
    pub(super) async fn end(self) -> [End; 2] {
        self.connect.interrupt();
        let (expose, connect) = tokio::join!(self.expose.end(), self.connect.end());
        for end in [&expose, &connect] {
            assert_eq!(end.is_done()["path"], "direct");
        }
        [expose, connect]
    }
}

/// A program that ends with what is returned.
pub(super) fn program(words: &[&str]) -> Child {
    clean(words)
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; run `scripts/test install`", words[0]))
}

pub(super) async fn output(words: &[&str]) -> Output {
    let output = clean(words).output();
    let output = timeout(DEADLINE, output).await.expect("ends in time");
    output.unwrap_or_else(|error| panic!("{}: {error}; run `scripts/test install`", words[0]))
}

#[track_caller]
pub(super) fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Python's web server on a free port, which serves `root`.
pub(super) async fn web_server(root: &std::path::Path) -> (Child, String) {
    let root = root.to_str().unwrap();
    let words = [
        "python3",
        "-u",
        "-m",
        "http.server",
        "0",
        "--bind",
        "127.0.0.1",
        "--directory",
        root,
    ];
    let mut child = program(&words);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(DEADLINE, lines.next_line()).await.expect("in time");
    let line = line.unwrap().expect("says where it is");
    let port = line
        .split_once(" port ")
        .and_then(|(_, rest)| rest.split(' ').next());
    let address = format!("127.0.0.1:{}", port.expect(&line));
    (child, address)
}

/// A server in this process, which does with each connection what `serve` does.
pub(super) async fn server<F, Fut>(serve: F) -> String
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut serving = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            serving.spawn(serve(socket));
        }
    });
    address
}

pub(super) async fn echo(mut socket: TcpStream) {
    let (mut read, mut write) = socket.split();
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

/// Sends, ends its direction, and reads to the end.
pub(super) async fn exchange(address: SocketAddr, content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect(address).await?;
    let (mut read, mut write) = socket.split();
    let writing = async {
        write.write_all(content).await?;
        write.shutdown().await
    };
    let mut answer = Vec::new();
    let (written, read) = tokio::join!(writing, read.read_to_end(&mut answer));
    written.and(read)?;
    Ok(answer)
}

pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("in time")
}
