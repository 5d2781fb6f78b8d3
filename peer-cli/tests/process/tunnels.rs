//! `expose` and `connect` between two processes, with real programs at both ends.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::harness::{DEADLINE, End, Peer, Place, Signaling, clean, digest, noise};

/// Two that are connected, and where the services of the one are here.
struct Tunnel {
    expose: Peer,
    connect: Peer,
    /// By name; that of the SOCKS port is empty.
    places: BTreeMap<String, String>,
}

impl Tunnel {
    /// Exposes addresses under names; `more` is for the side that connects.
    async fn open(server: &Signaling, services: &[(&str, &str)], more: &[&str]) -> Self {
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
    fn at(&self, name: &str) -> SocketAddr {
        self.places[name].parse().expect("a port")
    }

    fn port(&self, name: &str) -> String {
        self.at(name).port().to_string()
    }

    /// Waits until so many connections are over, on the side that exposes and on the one that connects.
    async fn ended(&mut self, exposed: u64, connected: u64) {
        for (side, count) in [(&mut self.expose, exposed), (&mut self.connect, connected)] {
            for _ in 0..count {
                side.event("connection").await;
            }
        }
    }

    /// Ends it as users do; both sides are done.
    async fn end(self) -> [End; 2] {
        self.connect.interrupt();
        let (expose, connect) = tokio::join!(self.expose.end(), self.connect.end());
        for end in [&expose, &connect] {
            assert_eq!(end.is_done()["path"], "direct");
        }
        [expose, connect]
    }
}

/// A program that ends with what is returned.
fn program(words: &[&str]) -> Child {
    clean(words)
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; run `scripts/test install`", words[0]))
}

async fn output(words: &[&str]) -> Output {
    let output = clean(words).output();
    let output = timeout(DEADLINE, output).await.expect("ends in time");
    output.unwrap_or_else(|error| panic!("{}: {error}; run `scripts/test install`", words[0]))
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Python's web server on a free port, which serves `root`.
async fn web_server(root: &std::path::Path) -> (Child, String) {
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
async fn server<F, Fut>(serve: F) -> String
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

async fn echo(mut socket: TcpStream) {
    let (mut read, mut write) = socket.split();
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

/// Sends, ends its direction, and reads to the end.
async fn exchange(address: SocketAddr, content: &[u8]) -> std::io::Result<Vec<u8>> {
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

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("in time")
}

#[tokio::test]
async fn a_web_server_and_curl() {
    let server = Signaling::start();
    let place = Place::new();
    let content = noise(8 << 20, 1);
    place.file("www/large", &content);
    let (_web, address) = web_server(&place.path("www")).await;
    let mut tunnel = Tunnel::open(&server, &[("web", &address)], &[]).await;
    let url = format!("http://{}/large", tunnel.at("web"));
    let mut curls = JoinSet::new();
    for number in 0..6 {
        let (url, out) = (url.clone(), place.path(&format!("out/{number}")));
        let out = out.to_str().unwrap().to_owned();
        curls.spawn(async move { output(&["curl", "-sS", "--fail", "-o", &out, &url]).await });
    }
    while let Some(curl) = curls.join_next().await {
        succeeded(&curl.unwrap());
    }
    let expected = digest(&content);
    assert_eq!(place.received().len(), 6);
    assert!(place.received().values().all(|digest| *digest == expected));
    let missing = output(&["curl", "-sS", "--fail", &format!("{url}r")]).await;
    assert_eq!(missing.status.code(), Some(22), "{missing:?}");
    tunnel.ended(7, 7).await;
    let [expose, connect] = tunnel.end().await;
    assert_eq!(expose.last()["sent"], connect.last()["received"]);
    assert_eq!(connect.last()["connections"], 7);
    assert_eq!(connect.last()["failed"], 0);
}

/// What `docs/tunnels.md` says of a remote shell.
#[tokio::test]
async fn a_remote_shell_by_ssh() {
    let server = Signaling::start();
    let place = Place::new();
    let path = |name: &str| place.path(name).to_str().unwrap().to_owned();
    for key in ["host", "user"] {
        succeeded(
            &output(&[
                "ssh-keygen",
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-f",
                &path(key),
            ])
            .await,
        );
    }
    let config = format!(
        "HostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n",
        path("host"),
        path("user.pub")
    );
    let config = place.file("sshd_config", config);
    let config = config.to_str().unwrap().to_owned();
    // Where sshd hides what it has not checked yet; the init system makes it.
    let _ = fs::create_dir_all("/run/sshd");
    // As inetd starts it: it has no way to listen on a free port.
    let address = self::server(move |socket| {
        let config = config.clone();
        async move {
            let socket = socket.into_std().unwrap();
            socket.set_nonblocking(false).unwrap();
            let socket = std::os::fd::OwnedFd::from(socket);
            let mut sshd = Command::new("/usr/sbin/sshd");
            sshd.args(["-i", "-e", "-f", &config])
                .stdin(socket.try_clone().unwrap())
                .stdout(socket)
                .stderr(Stdio::null());
            let mut sshd = sshd.spawn().expect("run `scripts/test install`");
            let _ = sshd.wait().await;
        }
    })
    .await;
    let mut tunnel = Tunnel::open(&server, &[("ssh", &address)], &[]).await;
    let (port, key, hosts) = (tunnel.port("ssh"), path("user"), path("known_hosts"));
    let known = format!("UserKnownHostsFile={hosts}");
    let words = [
        "ssh",
        "-F",
        "none",
        "-p",
        &port,
        "-i",
        &key,
        "-o",
        &known,
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "BatchMode=yes",
        "127.0.0.1",
    ];

    let said = output(&[&words[..], &["echo over the line; exit 7"]].concat()).await;
    assert_eq!(said.status.code(), Some(7), "{said:?}");
    assert_eq!(String::from_utf8_lossy(&said.stdout), "over the line\n");

    let content = noise(4 << 20, 2);
    let mut ssh = clean(&[&words[..], &["sha256sum"]].concat());
    let mut ssh = ssh.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = ssh.stdin.take().unwrap();
    within(stdin.write_all(&content)).await.unwrap();
    drop(stdin);
    let sum = within(ssh.wait_with_output()).await.unwrap();
    assert!(succeeded(&sum).starts_with(&digest(&content)), "{sum:?}");
    tunnel.ended(2, 2).await;
    tunnel.end().await;
}

#[cfg(unix)]
#[tokio::test]
async fn redis_on_a_unix_socket_by_a_port_and_by_a_socket() {
    let server = Signaling::start();
    let place = Place::new();
    let path = |name: &str| place.path(name).to_str().unwrap().to_owned();
    let (there, here, dir) = (path("there.sock"), path("here.sock"), path("out"));
    let words = [
        "redis-server",
        "--port",
        "0",
        "--unixsocket",
        &there,
        "--save",
        "",
        "--dir",
        &dir,
    ];
    let mut redis = program(&words);
    let mut log = BufReader::new(redis.stdout.take().unwrap()).lines();
    loop {
        let line = within(log.next_line()).await.unwrap().expect("it runs");
        if line.contains("eady to accept connections") {
            break;
        }
    }
    let reading = tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    let address = format!("unix:{there}");
    let [by_socket, by_port] = [
        format!("--listen=redis=unix:{here}"),
        "--listen=again=0".to_owned(),
    ];
    let services = [("redis", address.as_str()), ("again", &address)];
    let tunnel = Tunnel::open(&server, &services, &[&by_socket, &by_port]).await;
    let port = tunnel.port("again");
    let value = "v".repeat(300_000);
    let mut set = clean(&["redis-cli", "-s", &here, "-x", "set", "key"]);
    let mut set = set
        .stdin(Stdio::piped())
        .spawn()
        .expect("run `scripts/test install`");
    let mut stdin = set.stdin.take().unwrap();
    within(stdin.write_all(value.as_bytes())).await.unwrap();
    drop(stdin);
    let set = within(set.wait_with_output()).await.unwrap();
    assert_eq!(succeeded(&set), "OK\n");
    let get = output(&["redis-cli", "-p", &port, "get", "key"]).await;
    assert_eq!(succeeded(&get).trim_end(), value);
    let many = output(&["redis-cli", "-p", &port, "-r", "500", "incr", "count"]).await;
    assert!(succeeded(&many).ends_with("500\n"));
    tunnel.end().await;
    redis.kill().await.unwrap();
    reading.await.unwrap();
}

/// Answers each datagram with its bytes in reverse, as long as somebody asks.
async fn name_server() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            buffer[..length].reverse();
            let _ = socket.send_to(&buffer[..length], from).await;
        }
    });
    address
}

/// Asks as a resolver does: again, until there is an answer to this question.
async fn resolve(socket: &UdpSocket, question: &[u8]) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let answer: Vec<u8> = question.iter().rev().copied().collect();
    let mut buffer = vec![0; 65_536];
    let asking = async {
        loop {
            socket.send(question).await.unwrap();
            while let Ok(received) = timeout(PATIENCE, socket.recv(&mut buffer)).await {
                // A whole datagram, never a part or two.
                let received = &buffer[..received.unwrap()];
                if received == answer {
                    return;
                }
            }
        }
    };
    within(asking).await;
}

#[tokio::test]
async fn datagrams_keep_their_boundaries_and_find_their_way_back() {
    let server = Signaling::start();
    let names = [name_server().await, name_server().await];
    let names = names.map(|address| format!("udp:{address}"));
    let services = [("dns", names[0].as_str()), ("other", &names[1])];
    let tunnel = Tunnel::open(&server, &services, &[]).await;
    let mut asking = JoinSet::new();
    for number in 0..8_u8 {
        let to = tunnel.at(if number % 2 == 0 { "dns" } else { "other" });
        asking.spawn(async move {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.connect(to).await.unwrap();
            for length in [1, 40, 512, 1400, 9000, 60_000] {
                let mut question = noise(length, u64::from(number));
                question[0] = number;
                resolve(&socket, &question).await;
            }
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
    tunnel.end().await;
}

#[tokio::test]
async fn programs_that_speak_socks_reach_what_is_exposed_and_nothing_else() {
    let server = Signaling::start();
    let place = Place::new();
    place.file("www/page", "a page");
    let (_web, address) = web_server(&place.path("www")).await;
    let services = [("web", address.as_str())];
    let mut tunnel = Tunnel::open(&server, &services, &["--socks", "0"]).await;
    let proxy = format!("socks5h://{}", tunnel.at(""));
    let curl = async |url: &str| output(&["curl", "-sS", "--fail", "-x", &proxy, url]).await;
    assert_eq!(succeeded(&curl("http://web/page").await), "a page");
    assert_eq!(succeeded(&curl("http://WEB:8080/page").await), "a page");
    let denied = curl(&format!("http://{address}/page")).await;
    assert_eq!(denied.status.code(), Some(97), "{denied:?}");
    tunnel.ended(2, 3).await;
    let [expose, connect] = tunnel.end().await;
    assert_eq!(
        (&expose.last()["connections"], &expose.last()["failed"]),
        (&2.into(), &0.into())
    );
    assert_eq!(
        (&connect.last()["connections"], &connect.last()["failed"]),
        (&3.into(), &1.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_at_once_and_one_that_does_not_read() {
    const CONNECTIONS: u64 = 200;
    const LENGTH: usize = 256 << 10;
    let server = Signaling::start();
    let echo = self::server(echo).await;
    let flood = self::server(async |mut socket| {
        let piece = noise(1 << 20, 0);
        while socket.write_all(&piece).await.is_ok() {}
    })
    .await;
    let services = [("echo", echo.as_str()), ("flood", &flood)];
    let mut tunnel = Tunnel::open(&server, &services, &[]).await;
    let mut stalled = TcpStream::connect(tunnel.at("flood")).await.unwrap();
    within(stalled.read_exact(&mut [0; 1000])).await.unwrap();
    let mut connections = JoinSet::new();
    for number in 0..CONNECTIONS {
        let to = tunnel.at("echo");
        connections.spawn(async move {
            let content = noise(LENGTH, number);
            let answer = within(exchange(to, &content)).await.unwrap();
            assert!(answer == content, "connection {number}");
        });
    }
    while let Some(done) = connections.join_next().await {
        done.unwrap();
    }
    // It waited, and nothing of it is lost.
    let mut more = vec![0; 4 << 20];
    within(stalled.read_exact(&mut more)).await.unwrap();
    tunnel.ended(CONNECTIONS, CONNECTIONS).await;
    drop(stalled);
    for end in tunnel.end().await {
        let done = end.last();
        assert!(done["connections"].as_u64() >= Some(CONNECTIONS), "{done}");
    }
}

#[tokio::test]
async fn what_breaks_is_a_reset_and_never_looks_complete() {
    let server = Signaling::start();
    let breaking = self::server(async |mut socket| {
        let _ = socket.write_all(b"half").await;
        let mut request = [0; 4];
        let _ = socket.read_exact(&mut request).await;
        socket.set_zero_linger().unwrap();
    })
    .await;
    // A port that nobody listens on any more.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let services = [("breaking", breaking.as_str()), ("gone", &gone)];
    let mut tunnel = Tunnel::open(&server, &services, &[]).await;

    let mut socket = TcpStream::connect(tunnel.at("breaking")).await.unwrap();
    let mut half = [0; 4];
    within(socket.read_exact(&mut half)).await.unwrap();
    socket.write_all(b"more").await.unwrap();
    let error = within(socket.read(&mut half)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    for side in [&mut tunnel.expose, &mut tunnel.connect] {
        assert_eq!(side.event("connection").await["state"], "broken");
    }

    // Whichever of its calls is the first to hear of it.
    let gone = within(exchange(tunnel.at("gone"), b"x")).await;
    assert!(gone.is_err());
    for side in [&mut tunnel.expose, &mut tunnel.connect] {
        let event = side.event("connection").await;
        assert_eq!(event["state"], "unreachable");
        assert!(
            event["message"].as_str().unwrap().contains("refused"),
            "{event}"
        );
    }
    tunnel.end().await;
}

#[tokio::test]
async fn who_is_killed_resets_what_was_open() {
    let server = Signaling::start();
    let echo = self::server(echo).await;
    let tunnel = Tunnel::open(&server, &[("echo", &echo)], &[]).await;
    let mut socket = TcpStream::connect(tunnel.at("echo")).await.unwrap();
    socket.write_all(b"here").await.unwrap();
    let mut answer = [0; 4];
    within(socket.read_exact(&mut answer)).await.unwrap();
    tunnel.expose.kill().await;
    let error = within(socket.read(&mut answer)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let end = tunnel.connect.end().await;
    assert_eq!(
        (end.code, &end.last()["event"]),
        (Some(4), &"error".into()),
        "{end:#?}"
    );
}

#[tokio::test]
async fn what_cannot_work_is_said_at_once() {
    for words in [
        &["expose"][..],
        &["expose", "nonsense"],
        &["expose", "0.0.0.0:80"],
        &["expose", "22", "80", "--name", "only-one"],
        &["expose", "22", "localhost:22"],
        &[
            "connect",
            "7-crane-velvet-orbit",
            "--listen",
            "example.org:80",
        ],
    ] {
        let end = Peer::start(words).end().await;
        assert_eq!(end.code, Some(2), "{words:?}: {end:#?}");
    }
}

#[tokio::test]
async fn what_is_not_exposed_cannot_be_listened_for() {
    let server = Signaling::start();
    for (listen, message) in [
        ("ssh=0", "exposes no 'ssh', but a, b"),
        ("0", "exposes several: a, b"),
    ] {
        let words = [
            "expose",
            "1",
            "2",
            "--name",
            "a",
            "--name",
            "b",
            "--server",
            &server.url,
        ];
        let mut expose = Peer::start(&words);
        let code = expose.code().await;
        let words = [
            "connect",
            &code,
            "--server",
            &server.url,
            "--listen",
            listen,
        ];
        let (expose, connect) = tokio::join!(expose.end(), Peer::start(&words).end());
        let error = connect.failed(2, "usage");
        assert!(
            error["message"].as_str().unwrap().contains(message),
            "{error}"
        );
        assert_ne!(expose.code, Some(0), "{expose:#?}");
    }
}
