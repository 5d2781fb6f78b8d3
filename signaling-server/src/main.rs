//! The signaling server as a program: arguments, logging, signals, exit code.

#[path = "main/turn.rs"]
mod turn;

use anyhow::{Context, Result};
use clap::{ArgAction, Parser};
use signaling_protocol::IceServer;
use signaling_server::{Config, Limits, Origins, Server};
use std::{net::SocketAddr, process::ExitCode};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};
use turn::TurnArguments;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Pairs Peerline peers into rooms so that they can connect to each other directly, and serves the
/// page.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address and port; port 0 takes a free one. The default takes IPv4 and IPv6 from everywhere
    #[arg(
        long,
        env = "PEERLINE_LISTEN",
        value_name = "ADDR",
        default_value = "[::]:8787"
    )]
    listen: SocketAddr,

    /// Let only pages of this origin connect, such as https://example.org (may be repeated; include
    /// the one that this server's own page has)
    #[arg(
        long = "origin",
        env = "PEERLINE_ORIGINS",
        value_name = "ORIGIN",
        value_delimiter = ',',
        value_parser = origin
    )]
    origins: Vec<String>,

    /// STUN server to hand to peers, such as stun:stun.example.org:3478 (may be repeated)
    #[arg(
        long = "stun",
        env = "PEERLINE_STUN",
        value_name = "URL",
        value_delimiter = ',',
        value_parser = stun
    )]
    stun: Vec<String>,

    #[command(flatten)]
    turn: TurnArguments,

    /// Most connections at the same time; by default four fifths of what the system allows
    #[arg(long, env = "PEERLINE_MAX_CONNECTIONS", value_name = "COUNT")]
    max_connections: Option<usize>,

    /// Most peers in one room
    #[arg(
        long,
        env = "PEERLINE_MAX_PEERS",
        value_name = "COUNT",
        default_value_t = Limits::default().peers_per_room,
        value_parser = clap::value_parser!(u16).range(2..=1000)
    )]
    max_peers: u16,

    /// Write logs as one JSON object a line
    #[arg(long, env = "PEERLINE_JSON")]
    json: bool,

    /// Log more: once what happens, twice why (PEERLINE_LOG takes a filter instead)
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("signaling-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: Arguments) -> Result<()> {
    log_to_stderr(&arguments)?;
    let json = arguments.json;
    let server = Server::bind(config(arguments)?)?;
    let signals = Signals::new().context("cannot handle signals")?;
    announce(server.local_addr(), &server.turn_addrs(), json);
    server.run(signals.first()).await;
    Ok(())
}

fn config(arguments: Arguments) -> Result<Config> {
    let defaults = Limits::default();
    let connections = arguments
        .max_connections
        .or_else(|| file_limit().map(|files| files / 5 * 4))
        .unwrap_or(defaults.connections);
    let origins = match arguments.origins {
        origins if origins.is_empty() => Origins::Any,
        origins => Origins::Only(origins),
    };
    let ice_servers = match arguments.stun {
        urls if urls.is_empty() => Vec::new(),
        urls => vec![IceServer {
            urls,
            username: None,
            credential: None,
        }],
    };
    let (turn_uris, turn_secret) = arguments.turn.elsewhere()?;
    Ok(Config {
        listen: arguments.listen,
        origins,
        ice_servers,
        turn: arguments.turn.inside()?,
        turn_uris,
        turn_secret,
        limits: Limits {
            connections,
            peers_per_room: arguments.max_peers,
            ..defaults
        },
    })
}

/// Raises the limit of open files as far as it goes and returns it.
#[cfg(unix)]
fn file_limit() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // The limit stays what it was if this fails, and is read again below.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
    // No limit at all is no number to divide; the default holds then.
    getrlimit(Resource::Nofile)
        .current
        .and_then(|files| files.try_into().ok())
}

#[cfg(not(unix))]
fn file_limit() -> Option<usize> {
    None
}

fn log_to_stderr(arguments: &Arguments) -> Result<()> {
    let level = match arguments.verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .with_env_var("PEERLINE_LOG")
        .from_env()
        .context("PEERLINE_LOG is no log filter")?
        // They log the addresses of clients and peers, and much of it as warnings.
        .add_directive("turn_server_proto=off".parse()?)
        .add_directive("stun_proto=off".parse()?);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if arguments.json {
        log.json().init();
    } else {
        log.init();
    }
    Ok(())
}

/// The one line that whoever started the server waits for.
fn announce(address: SocketAddr, turn: &[SocketAddr], json: bool) {
    let port = address.port();
    let url = match address.ip() {
        ip if ip.is_unspecified() || ip.is_loopback() => format!("http://localhost:{port}"),
        _ => format!("http://{address}"),
    };
    if json {
        let mut event = serde_json::json!({ "event": "listening", "url": url, "address": address });
        if !turn.is_empty() {
            event["turn"] = serde_json::json!(turn);
        }
        eprintln!("{event}");
    } else {
        eprintln!("signaling-server: listening on {url} ({address})");
        for address in turn {
            eprintln!("signaling-server: STUN and TURN on {address}");
        }
    }
}

/// Ctrl-C and SIGTERM: the first ends the server in good order, the second at once.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self {
            terminate,
            interrupt,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "the Unix one can fail")]
    fn new() -> Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    #[expect(clippy::unused_self, reason = "the Unix one has state")]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }

    async fn first(mut self) {
        self.next().await;
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(130);
        });
    }
}

fn origin(text: &str) -> Result<String, String> {
    let (scheme, host) = text.split_once("://").unwrap_or_default();
    let is_origin = !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', ' ']);
    if is_origin || text == "null" {
        Ok(text.to_owned())
    } else {
        Err("an origin is scheme://host or scheme://host:port, without a path".to_owned())
    }
}

fn stun(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        Some(("stun" | "stuns", host)) if !host.is_empty() => Ok(text.to_owned()),
        _ => Err("a STUN server is stun:host or stun:host:port".to_owned()),
    }
}
