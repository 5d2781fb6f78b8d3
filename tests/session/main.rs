//! Sessions through the public interface: on good and bad links, to their end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod outages;

use peerline::channel::{Delivery, Stream};
use peerline::net::link::LinkConfig;
use peerline::session::{Bye, ByeCode, Session, SessionError};
use peerline::testing::{Pair, PairConfig};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longest time that anything here may take: an outage, ICE's recovery, and a slow machine.
const LIMIT: Duration = Duration::from_secs(60);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took too long"))
}

async fn connect(config: PairConfig) -> Pair {
    within("connecting", Pair::connect_with(config))
        .await
        .expect("both sides connect")
}

/// Sends `bytes` from one session to the other through a stream and back, and compares digests.
async fn echo(from: &Session, to: &mut Session, bytes: usize) {
    let data: Vec<u8> = (0..bytes as u32).map(|n| (n ^ (n >> 8)) as u8).collect();
    let sent = Sha256::digest(&data);
    let channel = from
        .open("echo", "peerline-stream/1", Delivery::Reliable)
        .await
        .unwrap();
    let (mut read, mut write) = tokio::io::split(Stream::new(channel));
    let sending = async {
        write.write_all(&data).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let echoing = async {
        let incoming = to.accept().await.expect("the channel arrives");
        assert_eq!(incoming.channel.label(), "echo");
        let (mut read, mut write) = tokio::io::split(Stream::new(incoming.channel));
        tokio::io::copy(&mut read, &mut write).await.unwrap();
        write.shutdown().await.unwrap();
        (read, write)
    };
    let receiving = async {
        let mut received = Vec::new();
        read.read_to_end(&mut received).await.unwrap();
        Sha256::digest(&received)
    };
    let ((), _echoed, received) = within("the echo", async {
        tokio::join!(sending, echoing, receiving)
    })
    .await;
    assert_eq!(received, sent);
}

async fn close_both(pair: Pair) {
    let Pair { host, guest, .. } = pair;
    guest.close(Bye::new(ByeCode::Done, "done")).await;
    let end = within("the host's end", host.ended()).await;
    assert!(
        matches!(&*end, SessionError::Bye(bye) if bye.code == ByeCode::Done),
        "{end}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_whole_on_every_link() {
    const MS: Duration = Duration::from_millis(1);
    let perfect = LinkConfig::default();
    let far = LinkConfig {
        delay: 25 * MS,
        ..perfect.clone()
    };
    let conditions = [
        ("perfect", perfect.clone(), 8 << 20),
        ("50 ms there and back", far.clone(), 2 << 20),
        (
            "50 ms, 1 % loss",
            LinkConfig {
                loss: 0.01,
                ..far.clone()
            },
            1 << 20,
        ),
        (
            "50 ms, 5 % loss",
            LinkConfig {
                loss: 0.05,
                ..far.clone()
            },
            256 << 10,
        ),
        (
            "reordering and duplicates",
            LinkConfig {
                delay: 5 * MS,
                reorder: 0.05,
                duplicate: 0.02,
                ..perfect.clone()
            },
            1 << 20,
        ),
        (
            "1 MB a second",
            LinkConfig {
                rate: Some(1_000_000),
                ..perfect
            },
            1 << 20,
        ),
    ];
    // One after the other: two cores are few, and each has its own limit in time.
    for (name, condition, bytes) in conditions {
        let started = Instant::now();
        let mut config = PairConfig::default();
        let links = config.emulate(&condition);
        let mut pair = connect(config).await;
        let connected = started.elapsed();
        echo(&pair.guest, &mut pair.host, bytes).await;
        println!(
            "{name}: connected {connected:?}, done {:?}, {:?}",
            started.elapsed(),
            links[1].stats()
        );
        close_both(pair).await;
    }
}

/// The engine alone does not repeat a lost flight of DTLS in every state, and some of these would never connect.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenth_of_what_sets_them_up_may_be_lost() {
    for first in [0, 8, 16] {
        let connecting = (first..first + 8).map(|seed| async move {
            let mut config = PairConfig::default();
            config.emulate(&LinkConfig {
                seed,
                loss: 0.1,
                delay: Duration::from_millis(10),
                ..LinkConfig::default()
            });
            let started = Instant::now();
            let pair = within("connecting", Pair::connect_with(config)).await;
            println!("seed {seed}: {:?}", started.elapsed());
            pair.map(drop)
        });
        let connected = futures_util::future::join_all(connecting).await;
        assert!(connected.iter().all(Result::is_ok), "{connected:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_interrupts_nothing() {
    let mut pair = connect(PairConfig::default()).await;
    pair.server.stop();
    echo(&pair.guest, &mut pair.host, 1 << 20).await;
    close_both(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_session_hangs_up() {
    let Pair {
        host,
        guest,
        server,
    } = connect(PairConfig::default()).await;
    drop(host);
    let end = within("the guest's end", guest.ended()).await;
    assert!(
        matches!(&*end, SessionError::Bye(bye) if bye.code == ByeCode::Cancelled),
        "{end}"
    );
    drop(server);
}
