//! What forwarding costs: one publisher of 720p30 at 1.5 Mbit/s, many receivers, and `peer-cli forward` between them as a
//! process of its own.
//!
//! ```text
//! cargo build --release -p peer-cli
//! cargo bench --bench forward -- target/release/peer-cli [RECEIVERS] [SECONDS] [LOSS]
//! ```
//!
//! LOSS is the share of the publisher's datagrams that vanish on their way to the forwarder, with 10 ms of delay. Frames
//! carry the time at which they were sent, so latencies are from the publisher's encoder to whole frames in order at
//! a receiver: both hops, and no decoder. It prints one JSON object.

#![allow(
    clippy::unwrap_used,
    reason = "a measurement may end by panicking, in its helpers too"
)]

use bytes::Bytes;
use peerline::media::{Codec, Frame, Kind, OutgoingTrack};
use peerline::net::link::LinkConfig;
use peerline::net::{EmulatedLink, Network};
use peerline::session::{PlainSession, SessionConfig};
use peerline::signaling::{ServerUrl, Signaling};
use peerline::signaling_protocol::Join;
use serde_json::json;
use signaling_server::{Config, Server};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::task::JoinSet;

const FRAME: Duration = Duration::from_nanos(1_000_000_000 / 30);

/// A key frame every two seconds and what is left of 1.5 Mbit/s for the others.
const KEY_EVERY: u64 = 60;
const KEY: usize = 30_000;
const OTHER: usize = (2 * 187_500 - KEY) / (KEY_EVERY as usize - 1);

/// Where the time is in a frame: behind VP8's header of a key frame.
const STAMP: usize = 10;

/// What everything here takes at most before the measurement.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let Some(program) = words.first() else {
        eprintln!("usage: forward PEER-CLI [RECEIVERS] [SECONDS] [LOSS]");
        return;
    };
    let number = |index: usize, default: f64| {
        words
            .get(index)
            .map_or(default, |word| word.parse().unwrap())
    };
    let (receivers, seconds, loss) = (number(1, 10.0) as usize, number(2, 20.0), number(3, 0.0));
    let server = Server::bind(Config {
        listen: ([127, 0, 0, 1], 0).into(),
        ..Config::default()
    });
    let server = server.unwrap();
    let url = format!("http://{}", server.local_addr());
    tokio::spawn(server.run(std::future::pending()));
    let mut forward = Command::new(program)
        .args(["forward", "--room", "load", "--json", "--server", &url])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = BufReader::new(forward.stdout.take().unwrap()).lines();
    while !said
        .next_line()
        .await
        .unwrap()
        .unwrap()
        .contains("\"waiting\"")
    {}
    tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
    let process = forward.id().unwrap();

    let begin = Instant::now();
    let lossy = EmulatedLink::new(LinkConfig {
        loss,
        delay: Duration::from_millis(10),
        seed: 1,
        ..LinkConfig::default()
    });
    let network = match loss {
        0.0 => Network::Real,
        _ => Network::Emulated(lossy),
    };
    let (publisher, tracks) = enter(&url, network, &[Codec::Vp8]).await;
    for track in tracks {
        tokio::spawn(publish(track, begin));
    }
    let mut watching = JoinSet::new();
    let (start, end) = (
        Instant::now() + Duration::from_secs(5),
        Instant::now() + Duration::from_secs(5) + Duration::from_secs_f64(seconds),
    );
    for _ in 0..receivers {
        let (session, _) = enter(&url, Network::Real, &[]).await;
        watching.spawn(watch(session, begin, (start, end)));
    }
    tokio::time::sleep_until(start.into()).await;
    let (cpu, clock) = (cpu(process), Instant::now());
    tokio::time::sleep_until(end.into()).await;
    let used = (self::cpu(process) - cpu) / clock.elapsed().as_secs_f64();
    let memory = memory(process);
    let mut latencies = Vec::new();
    let (mut frames, mut slowest, mut lost) = (0, u64::MAX, 0);
    while let Some(watched) = watching.join_next().await {
        let (ms, missing) = watched.unwrap();
        frames += ms.len() as u64;
        slowest = slowest.min(ms.len() as u64);
        lost += missing;
        latencies.extend(ms);
    }
    latencies.sort_by(f64::total_cmp);
    let at = |part: f64| {
        latencies
            .get((part * latencies.len() as f64) as usize)
            .copied()
    };
    let result = json!({
        "receivers": receivers,
        "seconds": seconds,
        "loss": loss,
        "cpu_percent_of_core": 100.0 * used,
        "cpu_percent_each": 100.0 * used / receivers as f64,
        "rss_mib": memory,
        "frames_a_second": frames as f64 / receivers as f64 / seconds,
        "frames_a_second_slowest": slowest as f64 / seconds,
        "packets_lost": lost,
        "latency_ms": { "p50": at(0.5), "p99": at(0.99), "max": latencies.last() },
    });
    println!("{result}");
    publisher.close().await;
}

async fn enter(url: &str, network: Network, sent: &[Codec]) -> (PlainSession, Vec<OutgoingTrack>) {
    let server: ServerUrl = url.parse().unwrap();
    let join = Join {
        room: Some("load".parse().unwrap()),
        ..Join::default()
    };
    let (signaling, joined) = Signaling::join(&server, join).await.unwrap();
    let config = SessionConfig {
        codecs: Codec::ALL.to_vec(),
        loopback: true,
        network,
        ..SessionConfig::default()
    };
    let met = PlainSession::meet(signaling, &joined, config, sent);
    let (session, tracks) = tokio::time::timeout(LIMIT, met).await.unwrap().unwrap();
    assert!(session.is_forwarded());
    (session, tracks)
}

async fn publish(mut track: OutgoingTrack, begin: Instant) {
    let mut clock = tokio::time::interval(FRAME);
    let mut until_key = 0;
    for number in 0_u32.. {
        loop {
            tokio::select! {
                () = track.key_wanted() => until_key = 0,
                _ = clock.tick() => break,
            }
        }
        let key = until_key == 0;
        until_key = if key { KEY_EVERY } else { until_key } - 1;
        let mut data = vec![0; if key { KEY } else { OTHER }];
        data[0] = u8::from(!key);
        if key {
            data[3..STAMP].copy_from_slice(&[0x9d, 0x01, 0x2a, 0x00, 0x05, 0xd0, 0x02]);
        }
        let micros = begin.elapsed().as_micros() as u64;
        data[STAMP..STAMP + 8].copy_from_slice(&micros.to_be_bytes());
        let time = FRAME * number;
        let data = Bytes::from(data);
        if !track.send(Frame { data, time, key }).await {
            return;
        }
    }
}

/// Latencies in ms of the frames that came in this time, and the packets that never came.
async fn watch(
    mut session: PlainSession,
    begin: Instant,
    (start, end): (Instant, Instant),
) -> (Vec<f64>, u64) {
    let mut incoming = session.incoming_tracks();
    let mut track = loop {
        let track = incoming.next().await.unwrap();
        if track.kind() == Kind::Video {
            break track;
        }
    };
    let mut latencies = Vec::new();
    let mut before = track.counter()();
    loop {
        let frame = tokio::select! {
            frame = track.next() => frame.unwrap(),
            () = tokio::time::sleep_until(end.into()) => break,
        };
        if frame.arrived < start {
            before = track.counter()();
            continue;
        }
        let stamp: [u8; 8] = frame.data[STAMP..STAMP + 8].try_into().unwrap();
        let sent = Duration::from_micros(u64::from_be_bytes(stamp));
        latencies.push((frame.arrived - begin).saturating_sub(sent).as_secs_f64() * 1000.0);
    }
    (latencies, track.counter()().lost - before.lost)
}

/// Seconds of a processor that a process has used (proc(5): the 14th and 15th field, in ticks of 10 ms).
fn cpu(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    ticks as f64 / 100.0
}

/// Resident memory of a process in MiB.
fn memory(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}
