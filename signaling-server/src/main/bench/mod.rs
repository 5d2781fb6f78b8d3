//! `signaling-server bench`: loads a server, and says what it gave and what it took.

mod allowance;
mod crowd;
mod dialect;
mod figures;
mod frames;
mod line;
mod messages;
mod process;
mod slow;
mod template;
mod trouble;

use super::arguments::file_limit;
use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use dialect::Dialect;
use figures::Figure;
use line::Target;
use process::{Process, Started};
use serde_json::json;
use std::{net::ToSocketAddrs, time::Duration};
use trouble::Scene;
use url::Url;

/// Load a server, and measure what it takes
///
/// Without --server, each row starts this program as a server of its own, and ends it.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to measure; all of it if nothing is named
    #[arg(value_enum, value_name = "ROW")]
    rows: Vec<Row>,

    /// A server that runs, such as http://127.0.0.1:8787
    #[arg(long, value_name = "URL")]
    server: Option<Url>,

    /// What it speaks, to measure others beside this one
    #[arg(long, value_enum, requires = "server", default_value_t)]
    dialect: Dialect,

    /// Its process, for memory and processor time, if it runs on this machine
    #[arg(long, value_name = "PID", requires = "server")]
    pid: Option<u32>,

    /// Connections that say nothing; as many, up to 10000, are beside those that join
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    idle: u32,

    /// Seconds that they are held: a server pings every 25
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    hold: u64,

    /// Joins a second
    #[arg(long, value_name = "RATE", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    joins: u32,

    /// Connections that send messages
    #[arg(long, value_name = "COUNT", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    connections: u32,

    /// Messages on their way in each direction of a room when there are as many as can be
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    window: u32,

    /// Messages a second when their time is measured
    #[arg(long, value_name = "RATE", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: u32,

    /// Bytes in each message
    #[arg(long, value_name = "BYTES", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(0..=32_768))]
    size: u32,

    /// Clients that are slow or broken, beside those that talk
    #[arg(long, value_name = "COUNT", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(5..=1_000_000))]
    slow: u32,

    /// Seconds of each measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Row {
    /// Connections that say nothing: how fast they come, and what memory they take
    Idle,
    /// How long joining takes, at a steady rate
    Joins,
    /// How many messages a second go through
    Messages,
    /// How long a message takes, at a steady rate
    Latency,
    /// The same in twenty rooms, alone and beside clients that are slow or broken
    Slow,
    /// The same, alone and while twice as many join as --joins, at a server that is full with --idle connections
    Overload,
}

/// Connections beside those that are counted: those that join, and those that have just left.
const SPARE: u32 = 5000;

/// Most of those that are idle beside those that join.
const BESIDE: u32 = 10_000;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let figures = runtime.block_on(measure(arguments))?;
    if arguments.json {
        let version = env!("CARGO_PKG_VERSION");
        println!("{}", json!({ "version": version, "figures": figures }));
    } else {
        print!("{}", figures::table(&figures));
    }
    Ok(())
}

async fn measure(arguments: &Arguments) -> Result<Vec<Figure>> {
    let most = arguments
        .idle
        .max(arguments.connections)
        .max(arguments.slow);
    crowd::check_files(file_limit(), most.try_into()?)?;
    let rows = match arguments.rows.as_slice() {
        [] => Row::value_variants(),
        rows => rows,
    };
    let mut figures = Vec::new();
    for &row in rows {
        figures.extend(match &arguments.server {
            Some(url) => {
                let process = arguments.pid.map(Process);
                measure_row(arguments, row, &target(url, arguments.dialect)?, process).await?
            }
            None => {
                let connections = match row {
                    Row::Overload => full(arguments),
                    _ => most + SPARE,
                };
                let server = Started::new(connections).await?;
                let measured = measure_row(arguments, row, &server.target, server.process()).await;
                server.stop().await?;
                measured?
            }
        });
    }
    Ok(figures)
}

async fn measure_row(
    arguments: &Arguments,
    row: Row,
    target: &Target,
    process: Option<Process>,
) -> Result<Vec<Figure>> {
    let time = Duration::from_secs(arguments.seconds);
    let size = arguments.size.try_into()?;
    let senders = async || {
        let count = arguments.connections.next_multiple_of(2).try_into()?;
        crowd::gather(target, count, "talk").await
    };
    match row {
        Row::Idle => {
            let hold = Duration::from_secs(arguments.hold);
            crowd::idle(target, process, arguments.idle.try_into()?, hold).await
        }
        Row::Joins => {
            let beside = arguments.idle.min(BESIDE).try_into()?;
            crowd::joins(target, beside, arguments.joins, time).await
        }
        Row::Messages => {
            let window = arguments.window.try_into()?;
            messages::saturate(senders().await?, process, window, size, time).await
        }
        Row::Slow => {
            let count = arguments.slow.try_into()?;
            let scene = Scene::new(target, process, arguments.rate, size, time);
            trouble::slow(&scene, count).await
        }
        Row::Overload => {
            let scene = Scene::new(target, process, arguments.rate, size, time);
            trouble::overload(&scene, full(arguments).try_into()?, arguments.joins * 2).await
        }
        Row::Latency => messages::pace(senders().await?, process, arguments.rate, size, time).await,
    }
}

/// Connections with which a server is full: there is room for those that talk, twice, because the server sees
/// their ends a moment later.
fn full(arguments: &Arguments) -> u32 {
    arguments.idle.max(2 * trouble::LIVE)
}

fn target(url: &Url, dialect: Dialect) -> Result<Target> {
    ensure!(
        matches!(url.scheme(), "http" | "ws"),
        "--server: only http is measured, without TLS"
    );
    let host = url.host_str().context("--server: no host")?;
    let port = url.port_or_known_default().context("--server: no port")?;
    let address = (host.trim_matches(['[', ']']), port)
        .to_socket_addrs()
        .with_context(|| format!("--server: {host} is not known"))?
        .next()
        .context("--server: no address")?;
    let host = format!("{host}:{port}");
    Ok(Target {
        address,
        host,
        dialect,
    })
}
