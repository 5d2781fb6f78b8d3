//! Pipes.

use peerline::channel::Channel;
use peerline::net::link::LinkConfig;
use peerline::testing::{Pair, PairConfig};
use peerline::tunnel::{
    LABEL, Lanes, Moved, RelayError, ResetCode, Side, StreamError, Tunnel, TunnelError, pipe,
};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::{channels, impatient, noise, outage, within};

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
            let result = pipe(
                channel,
                side,
                Lanes::default(),
                input,
                output,
                &stop,
                |_| (),
            )
            .await;
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
    let (mut pair, links) = impatient(4 << 20).await;
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
    outage(&links, &mut connectivity).await;
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

/// Either side may open streams that are none of a pipe's: what comes on them is not kept.
#[tokio::test]
async fn other_streams_than_the_pipe_are_refused() {
    for side in [Side::Opener, Side::Acceptor] {
        let other = match side {
            Side::Opener => Side::Acceptor,
            Side::Acceptor => Side::Opener,
        };
        let (left, right) = Channel::pair(LABEL);
        let (input, output) = (tokio::io::empty(), tokio::io::sink());
        let stop = CancellationToken::new();
        let pipe = pipe(left, side, Lanes::default(), input, output, &stop, |_| ());
        let peer = async {
            let tunnel = Tunnel::start(right, other, None);
            let stream = match other {
                Side::Opener => {
                    let mut stream = tunnel.open("pipe").await.unwrap();
                    stream.accepted().await.unwrap();
                    stream
                }
                Side::Acceptor => tunnel.accept().await.unwrap().accept(),
            };
            for _ in 0..3 {
                let mut more = tunnel.open("pipe").await.unwrap();
                match more.accepted().await {
                    Err(StreamError::Reset(reset)) => assert_eq!(reset.code, ResetCode::Refused),
                    other => panic!("{other:?}"),
                }
            }
            let (mut reader, mut writer) = stream.split();
            writer.end();
            assert_eq!(reader.read().await.unwrap(), None);
            reader.take();
            writer.taken().await.unwrap();
            tunnel.close().await;
        };
        let (piped, ()) = within("the pipe", async { tokio::join!(pipe, peer) }).await;
        assert_eq!(piped.unwrap(), Moved::default());
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
