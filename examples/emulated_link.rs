//! 8 MiB over a link with 25 ms delay each way and a given share of lost datagrams; the seed makes the
//! losses the same every time.
//!
//!     cargo run --release --example emulated_link --features testing -- 0.01

use anyhow::{Context, Result};
use peerline::channel::{Delivery, Stream};
use peerline::net::link::LinkConfig;
use peerline::testing::{Pair, PairConfig};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BYTES: usize = 8 << 20;

#[tokio::main]
async fn main() -> Result<()> {
    let loss = std::env::args()
        .nth(1)
        .map_or(Ok(0.01), |text| text.parse())?;
    let mut config = PairConfig::default();
    let links = config.emulate(&LinkConfig {
        delay: Duration::from_millis(25),
        loss,
        seed: 7,
        ..LinkConfig::default()
    });

    let started = Instant::now();
    let mut pair = Pair::connect_with(config).await?;
    println!("connected and verified in {:.0?}", started.elapsed());

    let channel = pair.guest.open("bulk", "", Delivery::Reliable).await?;
    let mut outgoing = Stream::new(channel);
    let sending = async {
        outgoing.write_all(&vec![7; BYTES]).await?;
        outgoing.shutdown().await
    };
    let receiving = async {
        let incoming = pair.host.accept().await.context("the guest hung up")?;
        let mut received = Vec::with_capacity(BYTES);
        Stream::new(incoming.channel)
            .read_to_end(&mut received)
            .await?;
        anyhow::Ok(received.len())
    };
    let started = Instant::now();
    let (sent, received) = tokio::join!(sending, receiving);
    sent?;
    let seconds = started.elapsed().as_secs_f64();
    let rate = BYTES as f64 / f64::from(1 << 20) / seconds;
    println!("{} bytes in {seconds:.1} s: {rate:.1} MiB/s", received?);

    for (name, link) in ["host to guest", "guest to host"].iter().zip(&links) {
        let stats = link.stats();
        println!("{name}: {} of {} datagrams lost", stats.lost, stats.sent);
    }
    Ok(())
}
