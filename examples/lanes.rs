//! A file transfer over an emulated link, on as many lanes as asked for: what lanes and packet size
//! do for paths that lose or delay.
//!
//!     cargo run --release --example lanes --features testing -- \
//!         LANES ROUND_TRIP_MS LOSS MBIT_S MTU MIB [JITTER_MS REORDER DUPLICATE SEED]
//!
//! LANES is a number or `auto`; MTU is the longest datagram that the link carries, 0 for any; REORDER and
//! DUPLICATE are shares of the datagrams, like LOSS.

use anyhow::{Context, Result};
use peerline::channel::{Channel, Delivery};
use peerline::net::link::LinkConfig;
use peerline::session::Session;
use peerline::testing::{Pair, PairConfig};
use peerline::transfer::{
    CONTROL_PROTOCOL, Channels, Decision, Event, LANE_PROTOCOL, LaneCount, Lanes, ReceiveOptions,
    Source, TransferId, receive_over, send_over,
};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<()> {
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_writer(std::io::stderr)
            .init();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: f64| match arguments.get(index) {
        Some(text) => text.parse::<f64>().context("not a number"),
        None => Ok(default),
    };
    let count = match arguments.first().map(String::as_str) {
        None | Some("auto") => LaneCount::Auto,
        Some(lanes) => LaneCount::Exactly(lanes.parse()?),
    };
    let round_trip = Duration::from_secs_f64(number(1, 100.0)? / 1000.0);
    let mtu = number(4, 0.0)? as usize;
    let condition = LinkConfig {
        delay: round_trip / 2,
        loss: number(2, 0.01)?,
        rate: Some((number(3, 100.0)? * 125_000.0) as u64),
        mtu: (mtu > 0).then_some(mtu),
        jitter: Duration::from_secs_f64(number(6, 0.0)? / 1000.0),
        reorder: number(7, 0.0)?,
        duplicate: number(8, 0.0)?,
        seed: number(9, 7.0)? as u64,
        ..LinkConfig::default()
    };
    let bytes = (number(5, 64.0)? * f64::from(1 << 20)) as usize;

    let place = tempfile::tempdir()?;
    let file = place.path().join("file");
    std::fs::write(&file, vec![7; bytes])?;
    let out = place.path().join("out");
    std::fs::create_dir(&out)?;
    let mut config = PairConfig::default();
    let links = config.emulate(&condition);
    let Pair {
        host, mut guest, ..
    } = Pair::connect_with(config).await?;

    let id = TransferId::random();
    let open = async |label: String, protocol| -> Result<Channel> {
        Ok(host.open(label, protocol, Delivery::Reliable).await?)
    };
    let channels = Channels {
        control: open(id.control_label(), CONTROL_PROTOCOL).await?,
        lane: open(id.lane_label(0), LANE_PROTOCOL).await?,
    };
    let lanes = Lanes {
        opener: Some(Box::new(host.lanes())),
        count,
        round_trip,
        limit: None,
    };
    let (events, mut progress) = mpsc::channel(64);
    let telling = async {
        let (mut seconds, mut before) = (0, 0);
        let begun = std::time::Instant::now();
        while let Some(event) = progress.recv().await {
            if let Event::Progress { bytes, .. } = event
                && begun.elapsed().as_secs() > seconds
            {
                seconds = begun.elapsed().as_secs();
                eprintln!(
                    "{seconds:3} s: {:.1} MiB",
                    (bytes - before) as f64 / 1048576.0
                );
                before = bytes;
            }
        }
    };
    let sending = send_over(
        channels,
        lanes,
        Source::scan(&[file])?,
        events,
        CancellationToken::new(),
    );
    let (sent, received, ()) = tokio::join!(sending, receiving(&mut guest, out), telling);
    received?;
    let summary = sent?;
    let seconds = summary.elapsed.as_secs_f64();
    println!(
        "{:.2} MiB/s ({:.1} Mbit/s), {} lanes, packets of {}; {:?}",
        bytes as f64 / f64::from(1 << 20) / seconds,
        bytes as f64 * 8e-6 / seconds,
        summary.lanes,
        summary.packet.unwrap_or(0),
        links[0].stats(),
    );
    Ok(())
}

async fn receiving(session: &mut Session, out: std::path::PathBuf) -> Result<()> {
    let mut control = session.accept().await.context("the sender hung up")?;
    let mut lane = session.accept().await.context("the sender hung up")?;
    // What was opened later may come sooner.
    if control.protocol != CONTROL_PROTOCOL {
        std::mem::swap(&mut control, &mut lane);
    }
    let (control, lane) = (control.channel, lane.channel);
    let mut incoming = session.incoming();
    let (lanes, more) = mpsc::channel(16);
    let options = ReceiveOptions {
        out,
        overwrite: false,
        limits: peerline::transfer::Limits::default(),
    };
    let (events, _) = mpsc::channel(1);
    let receiving = receive_over(
        Channels { control, lane },
        more,
        options,
        async |_| Decision::Accept,
        events,
        CancellationToken::new(),
    );
    let passing = async {
        while let Some(lane) = incoming.next().await {
            let _ = lanes.send(lane.channel).await;
        }
    };
    tokio::select! {
        result = receiving => drop(result?),
        () = passing => anyhow::bail!("the sender hung up"),
    }
    Ok(())
}
