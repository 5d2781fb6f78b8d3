//! The command line as typed, and what it comes down to.

use crate::{
    access::{AccessArguments, secret},
    admin, bench,
    tls::TlsArguments,
    token,
    turn::TurnArguments,
};
use anyhow::Result;
use clap::{ArgAction, Parser, Subcommand};
use signaling_protocol::{IceServer, Secret};
use signaling_server::{Config, Limits, Origins, Tls};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Pairs Peerline peers into rooms so that they can connect to each other directly, and serves the
/// page.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Read settings from this file too (TOML; the keys are the long names of the flags)
    #[arg(long, env = "PEERLINE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Print all settings as such a file, and where each comes from, without secrets
    #[arg(long)]
    pub(crate) print_config: bool,

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

    /// Be one service with all servers that name the same Redis, such as redis://redis.internal:6379;
    /// @FILE reads it from a file
    #[arg(
        long,
        env = "PEERLINE_REDIS",
        value_name = "URL",
        value_parser = secret,
        hide_env_values = true
    )]
    redis: Option<Secret>,

    #[command(flatten)]
    access: AccessArguments,

    #[command(flatten)]
    pub(crate) tls: TlsArguments,

    #[command(flatten)]
    turn: TurnArguments,

    /// Answer /metrics, /readyz and /healthz to everybody on this address and port too
    #[arg(long, env = "PEERLINE_METRICS_LISTEN", value_name = "ADDR")]
    metrics_listen: Option<SocketAddr>,

    /// Seconds that pairings under way get to finish when the server goes away
    #[arg(
        long,
        env = "PEERLINE_DRAIN_GRACE",
        value_name = "SECONDS",
        default_value_t = Limits::default().drain_grace.as_secs(),
        value_parser = clap::value_parser!(u64).range(0..=3600)
    )]
    drain_grace: u64,

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
    pub(crate) json: bool,

    /// Log more: once what happens, twice why (PEERLINE_LOG takes a filter instead)
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What the program can do besides serving.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Token(token::Arguments),
    Admin(admin::Arguments),
    Bench(bench::Arguments),
}

impl Arguments {
    /// What they come down to; `tls` is what [`TlsArguments::load`] gave.
    pub(crate) fn to_config(&self, tls: Option<Tls>) -> Result<Config> {
        let defaults = Limits::default();
        let connections = self
            .max_connections
            .or_else(|| file_limit().map(|files| files / 5 * 4))
            .unwrap_or(defaults.connections);
        let origins = match self.origins.as_slice() {
            [] => Origins::Any,
            origins => Origins::Only(origins.to_vec()),
        };
        let ice_servers = match self.stun.as_slice() {
            [] => Vec::new(),
            urls => vec![IceServer {
                urls: urls.to_vec(),
                username: None,
                credential: None,
            }],
        };
        let mut limits = Limits {
            connections,
            peers_per_room: self.max_peers,
            drain_grace: Duration::from_secs(self.drain_grace),
            ..defaults
        };
        self.access.limit(&mut limits);
        let (turn_uris, turn_secret) = self.turn.elsewhere()?;
        Ok(Config {
            listen: self.listen,
            origins,
            access: self.access.access()?,
            admin_token: self.access.admin_token()?,
            metrics_listen: self.metrics_listen,
            trusted_proxies: self.access.trusted_proxies.clone(),
            proxy_header: self.access.proxy_header(),
            ice_servers,
            turn: self.turn.inside(tls.clone())?,
            tls: tls.filter(|_| !self.tls.tls_turn_only),
            turn_uris,
            turn_secret,
            redis: self.redis.clone(),
            limits,
        })
    }
}

/// Raises the limit of open files as far as it goes and returns it.
#[cfg(unix)]
pub(crate) fn file_limit() -> Option<usize> {
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
pub(crate) fn file_limit() -> Option<usize> {
    None
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
