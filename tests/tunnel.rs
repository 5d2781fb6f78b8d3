//! Tunnels and pipes: in memory against peers that break the rules, and over sessions on bad links.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use bytes::Bytes;
use peerline::channel::{Channel, Delivery, Message};
use peerline::net::link::LinkConfig;
use peerline::session::{Connectivity, Healing};
use peerline::testing::{Pair, PairConfig};
use peerline::tunnel::{
    Event, LABEL, Listener, Moved, PROTOCOL, RelayError, Reset, ResetCode, Service, Side, Stream,
    StreamError, Tunnel, TunnelError, connect, expose, list, pipe,
};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longest time that anything here may take: an outage, ICE's recovery, and a slow machine.
const LIMIT: Duration = Duration::from_secs(60);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took too long"))
}

/// Bytes that differ by seed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(step).collect()
}

fn tunnels() -> [Tunnel; 2] {
    let (left, right) = Channel::pair(LABEL);
    [
        Tunnel::start(left, Side::Opener),
        Tunnel::start(right, Side::Acceptor),
    ]
}

/// A channel between the two sessions, and both ends of it.
async fn channels(pair: &mut Pair) -> [Channel; 2] {
    let opening = pair.guest.open(LABEL, PROTOCOL, Delivery::Reliable);
    let ours = opening.await.unwrap();
    let theirs = within("the channel", pair.host.accept()).await.unwrap();
    assert_eq!(theirs.protocol, PROTOCOL);
    [ours, theirs.channel]
}

async fn read_all(stream: Stream) -> Result<Vec<u8>, StreamError> {
    let (mut reader, mut writer) = stream.split();
    writer.end();
    let mut all = Vec::new();
    while let Some(bytes) = reader.read().await? {
        all.extend_from_slice(&bytes);
    }
    reader.take();
    writer.taken().await?;
    Ok(all)
}

async fn write_all(stream: Stream, bytes: &[u8]) -> Result<(), StreamError> {
    let (mut reader, mut writer) = stream.split();
    writer.write(bytes).await?;
    writer.end();
    writer.taken().await?;
    assert_eq!(reader.read().await?, None);
    reader.take();
    Ok(())
}

/// What one side of a pipe reads and writes.
struct Terminal {
    stdin: DuplexStream,
    stdout: DuplexStream,
}

/// What one side of a pipe came to.
type Outcome = (Side, Result<Moved, RelayError>);

/// Both sides of a pipe over these channels, and what each comes to.
fn piped(channels: [Channel; 2], stop: &CancellationToken) -> ([Terminal; 2], JoinSet<Outcome>) {
    let mut piping = JoinSet::new();
    let sides = [Side::Opener, Side::Acceptor];
    let terminals = channels.map(|channel| {
        let side = sides[piping.len()];
        let (stdin, input) = duplex(64 << 10);
        let (stdout, output) = duplex(64 << 10);
        let stop = stop.clone();
        piping.spawn(async move {
            let result = pipe(channel, side, input, output, &stop, |_| ()).await;
            (side, result)
        });
        Terminal { stdin, stdout }
    });
    (terminals, piping)
}

async fn carries(from: &mut DuplexStream, to: &mut DuplexStream, length: usize, seed: u64) {
    let content = noise(length, seed);
    let expected = Sha256::digest(&content);
    let writing = async {
        from.write_all(&content).await.unwrap();
        from.shutdown().await.unwrap();
    };
    let mut read = Vec::new();
    let (_, read) = within("the pipe", async {
        tokio::join!(writing, async {
            to.read_to_end(&mut read).await.unwrap();
            read
        })
    })
    .await;
    assert_eq!(Sha256::digest(&read), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_over_a_link_that_loses_brings_everything() {
    let mut config = PairConfig::default();
    config.emulate(&LinkConfig {
        delay: Duration::from_millis(10),
        loss: 0.01,
        reorder: 0.02,
        ..LinkConfig::default()
    });
    let mut pair = within("connecting", Pair::connect_with(config))
        .await
        .unwrap();
    let ([mut near, mut far], mut piping) =
        piped(channels(&mut pair).await, &CancellationToken::new());
    tokio::join!(
        carries(&mut near.stdin, &mut far.stdout, 2 << 20, 1),
        carries(&mut far.stdin, &mut near.stdout, 1 << 20, 2),
    );
    while let Some(result) = within("the end", piping.join_next()).await {
        let (side, result) = result.unwrap();
        assert_eq!(result.unwrap().total(), 3 << 20, "{side:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_survives_an_outage_and_a_restart_of_ice() {
    let mut config = PairConfig::default();
    let links = config.emulate(&LinkConfig {
        rate: Some(4 << 20),
        ..LinkConfig::default()
    });
    for session in [&mut config.host, &mut config.guest] {
        session.healing = Healing::default().faster(5);
    }
    let mut pair = within("connecting", Pair::connect_with(config))
        .await
        .unwrap();
    let mut connectivity = pair.guest.connectivity();
    let ([mut near, mut far], mut piping) =
        piped(channels(&mut pair).await, &CancellationToken::new());
    let content = noise(4 << 20, 3);
    let (mut stdin, expected) = (near.stdin, Sha256::digest(&content));
    let writing = tokio::spawn(async move {
        stdin.write_all(&content).await.unwrap();
    });
    let mut read = vec![0; 256 << 10];
    within("the beginning", far.stdout.read_exact(&mut read))
        .await
        .unwrap();
    links.iter().for_each(|link| link.set_outage(true));
    let lost = |now: &Connectivity| *now != Connectivity::Connected;
    within("the interruption", connectivity.wait_for(lost))
        .await
        .unwrap();
    // Not a wait for something to happen: this is how long the network is gone. ICE is restarted after 0.6 s by one
    // side, and after 1.2 s by the other.
    tokio::time::sleep(Duration::from_secs(2)).await;
    links.iter().for_each(|link| link.set_outage(false));
    far.stdin.shutdown().await.unwrap();
    within("the rest", far.stdout.read_to_end(&mut read))
        .await
        .unwrap();
    assert_eq!(Sha256::digest(&read), expected);
    writing.await.unwrap();
    let mut nothing = Vec::new();
    within("the other end", near.stdout.read_to_end(&mut nothing))
        .await
        .unwrap();
    assert!(nothing.is_empty());
    while let Some(result) = within("the end", piping.join_next()).await {
        result.unwrap().1.unwrap();
    }
}

#[tokio::test]
async fn a_pipe_that_breaks_fails_on_both_sides() {
    enum Break {
        Channel,
        Stop,
        Reader,
    }
    for what in [Break::Channel, Break::Stop, Break::Reader] {
        let (left, middle) = Channel::pair(LABEL);
        let (other, right) = Channel::pair(LABEL);
        // What is between the two can be cut.
        let wire = tokio::spawn(async move {
            let ((to_left, mut from_left), (to_right, mut from_right)) =
                (middle.split(), other.split());
            loop {
                let sent = tokio::select! {
                    message = from_left.recv() => match message {
                        Some(message) => to_right.send(message).await,
                        None => return,
                    },
                    message = from_right.recv() => match message {
                        Some(message) => to_left.send(message).await,
                        None => return,
                    },
                };
                if sent.is_err() {
                    return;
                }
            }
        });
        let stop = CancellationToken::new();
        let ([mut near, mut far], mut piping) = piped([left, right], &stop);
        near.stdin.write_all(b"some").await.unwrap();
        let mut some = [0; 4];
        within("a few bytes", far.stdout.read_exact(&mut some))
            .await
            .unwrap();
        match what {
            Break::Channel => wire.abort(),
            Break::Stop => stop.cancel(),
            Break::Reader => {
                drop(far.stdout);
                near.stdin.write_all(b"more").await.unwrap();
            }
        }
        while let Some(result) = within("the end", piping.join_next()).await {
            let (side, result) = result.unwrap();
            let error = result.expect_err("it broke");
            match (&what, side, &error) {
                (Break::Channel, _, RelayError::Tunnel(TunnelError::Closed))
                | (Break::Stop, _, RelayError::Cancelled)
                | (Break::Reader, Side::Acceptor, RelayError::Write { what: "stdout", .. }) => {}
                (Break::Reader, Side::Opener, RelayError::Peer(reset)) => {
                    assert_eq!(reset.code, ResetCode::Failed);
                    assert!(reset.reason.starts_with("stdout: "), "{reset:?}");
                }
                _ => panic!("{side:?}: {error}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_at_once_and_one_that_nobody_reads() {
    const STREAMS: u64 = 300;
    const LENGTH: usize = 100_000;
    let mut pair = within("connecting", Pair::connect()).await.unwrap();
    let [near, far] = channels(&mut pair).await;
    let near = Tunnel::start(near, Side::Opener);
    let far = Tunnel::start(far, Side::Acceptor);
    let mut stalled = near.open("stalled").await.unwrap().split();
    let stalling = async {
        let more = noise(1 << 20, 0);
        loop {
            stalled.1.write(&more).await.unwrap();
        }
    };
    let (mut opening, mut serving) = (JoinSet::new(), JoinSet::new());
    for number in 1..=STREAMS {
        let stream = near.open(&number.to_string()).await.unwrap();
        opening.spawn(async move { write_all(stream, &noise(LENGTH, number)).await.unwrap() });
    }
    let mut unread = Vec::new();
    let all = async {
        for _ in 0..=STREAMS {
            let arrival = far.accept().await.unwrap();
            let Ok(number) = arrival.target().parse::<u64>() else {
                unread.push(arrival.accept());
                continue;
            };
            let stream = arrival.accept();
            serving.spawn(async move {
                assert!(read_all(stream).await.unwrap() == noise(LENGTH, number));
            });
        }
        while let Some(served) = serving.join_next().await {
            served.unwrap();
        }
        while let Some(opened) = opening.join_next().await {
            opened.unwrap();
        }
    };
    within("all streams", async {
        tokio::select! {
            () = all => {}
            () = stalling => unreachable!("nobody reads it"),
        }
    })
    .await;
    assert_eq!(unread.len(), 1);
}

#[tokio::test]
async fn refusals_and_ends_are_told() {
    let [near, far] = tunnels();
    let mut stream = near.open("secret").await.unwrap();
    let arrival = far.accept().await.unwrap();
    assert_eq!(arrival.target(), "secret");
    let reset = Reset::new(ResetCode::Refused, "not for you");
    arrival.refuse(reset.clone());
    let refused = within("the refusal", stream.accepted()).await;
    assert_eq!(refused, Err(StreamError::Reset(reset)));

    let mut waiting = near.open("x").await.unwrap();
    let dropped = far.accept().await.unwrap();
    drop(dropped);
    let error = within("the end", waiting.accepted()).await.unwrap_err();
    assert!(
        matches!(&error, StreamError::Reset(reset) if reset.code == ResetCode::Cancelled),
        "{error}"
    );

    let mut left = near.open("y").await.unwrap();
    drop(near);
    let error = within("the end", left.accepted()).await.unwrap_err();
    assert_eq!(error, StreamError::Tunnel(TunnelError::Closed));
    assert_eq!(within("the end", far.ended()).await, TunnelError::Closed);
}

#[tokio::test]
async fn a_closed_tunnel_still_sends_what_was_said() {
    let [near, far] = tunnels();
    let stream = near.open("x").await.unwrap();
    stream.reset(Reset::new(ResetCode::Failed, "never said"));
    let stream = near.open("y").await.unwrap();
    let arrival = far.accept().await.unwrap();
    assert_eq!(arrival.target(), "y");
    let (mut reader, _writer) = arrival.accept().split();
    stream.reset(Reset::new(ResetCode::Failed, "last words"));
    near.close().await;
    let error = within("the words", reader.read()).await.unwrap_err();
    assert_eq!(error.to_string(), "last words");
}

#[tokio::test]
async fn who_breaks_the_rules_ends_the_tunnel() {
    for message in [
        Message::Text("open".into()),
        Message::Binary(Bytes::new()),
        Message::Binary(Bytes::from_static(b"\x09\0\0\0\0")),
        Message::Binary(Bytes::from_static(b"\x03\0\0\0\x02data of nothing")),
    ] {
        let (channel, peer) = Channel::pair(LABEL);
        let tunnel = Tunnel::start(channel, Side::Acceptor);
        let (sender, mut receiver) = peer.split();
        sender.send(message.clone()).await.unwrap();
        let end = within("the end", tunnel.ended()).await;
        assert!(matches!(end, TunnelError::Protocol(_)), "{message:?}");
        assert!(tunnel.accept().await.is_err() && tunnel.open("x").await.is_err());
        drop(tunnel);
        while within("hanging up", receiver.recv()).await.is_some() {}
    }
}

/// A server that sends back what it gets, and where it is.
async fn echo_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut serving = JoinSet::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            serving.spawn(async move {
                let (mut read, mut write) = socket.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_survive_an_outage_and_a_restart_of_ice() {
    let mut config = PairConfig::default();
    let links = config.emulate(&LinkConfig {
        rate: Some(4 << 20),
        ..LinkConfig::default()
    });
    for session in [&mut config.host, &mut config.guest] {
        session.healing = Healing::default().faster(5);
    }
    let mut pair = within("connecting", Pair::connect_with(config))
        .await
        .unwrap();
    let mut connectivity = pair.guest.connectivity();
    let [ours, theirs] = channels(&mut pair).await;
    let address = echo_server().await.parse().unwrap();
    let service = Service::resolve("echo".parse().unwrap(), &address)
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let exposing = tokio::spawn({
        let (incoming, stop) = (pair.host.incoming(), stop.clone());
        async move { expose(theirs, incoming, vec![service], &stop, |_| ()).await }
    });
    let tunnel = Tunnel::start(ours, Side::Opener);
    let services = within("the list", list(&tunnel)).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let listeners = vec![Listener::Tcp(services[0].name.clone(), listener)];
    let (tell, mut told) = tokio::sync::mpsc::channel(16);
    let connecting = tokio::spawn({
        let stop = stop.clone();
        let tell = move |event| tell.try_send(event).unwrap();
        async move { connect(tunnel, services, listeners, None, &stop, tell).await }
    });
    let mut clients = JoinSet::new();
    for seed in 0..3 {
        clients.spawn(async move {
            let content = noise(1 << 20, seed);
            let mut socket = TcpStream::connect(to).await.unwrap();
            let (mut read, mut write) = socket.split();
            let mut answer = Vec::new();
            let writing = async {
                write.write_all(&content).await.unwrap();
                write.shutdown().await.unwrap();
            };
            let (_, read) = tokio::join!(writing, read.read_to_end(&mut answer));
            read.unwrap();
            assert!(answer == content);
        });
    }
    let mut first = TcpStream::connect(to).await.unwrap();
    first.write_all(b"here").await.unwrap();
    within("an answer", first.read_exact(&mut [0; 4]))
        .await
        .unwrap();
    links.iter().for_each(|link| link.set_outage(true));
    let lost = |now: &Connectivity| *now != Connectivity::Connected;
    within("the interruption", connectivity.wait_for(lost))
        .await
        .unwrap();
    // Not a wait for something to happen: this is how long the network is gone. ICE is restarted after 0.6 s by one
    // side, and after 1.2 s by the other.
    tokio::time::sleep(Duration::from_secs(2)).await;
    links.iter().for_each(|link| link.set_outage(false));
    first.write_all(b"and still here").await.unwrap();
    within("an answer", first.read_exact(&mut [0; 14]))
        .await
        .unwrap();
    while let Some(client) = within("a client", clients.join_next()).await {
        client.unwrap();
    }
    for _ in 0..3 {
        let event = within("its end", told.recv()).await.unwrap();
        assert!(
            matches!(&event, Event::Closed { moved, .. } if moved.total() == 2 << 20),
            "{event:?}"
        );
    }
    stop.cancel();
    for side in [exposing, connecting] {
        let end = within("the end", side).await.unwrap();
        assert!(
            matches!(end, RelayError::Cancelled | RelayError::Tunnel(_)),
            "{end}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_exposed_is_refused_whoever_asks() {
    let mut pair = within("connecting", Pair::connect()).await.unwrap();
    let [ours, theirs] = channels(&mut pair).await;
    let mut services = Vec::new();
    for (name, address) in [("web", "127.0.0.1:80"), ("dns", "udp:127.0.0.1:53")] {
        let address = address.parse().unwrap();
        let service = Service::resolve(name.parse().unwrap(), &address).await;
        services.push(service.unwrap());
    }
    let incoming = pair.host.incoming();
    let stop = CancellationToken::new();
    tokio::spawn(async move { expose(theirs, incoming, services, &stop, |_| ()).await });
    let tunnel = Tunnel::start(ours, Side::Opener);
    for target in ["127.0.0.1:80", "WEB", "localhost:22", "dns", "web\0", "*"] {
        let mut stream = tunnel.open(target).await.unwrap();
        let refused = within("the refusal", stream.accepted()).await.unwrap_err();
        assert!(
            matches!(&refused, StreamError::Reset(reset) if reset.code == ResetCode::Refused),
            "{target:?}: {refused}"
        );
    }
}
