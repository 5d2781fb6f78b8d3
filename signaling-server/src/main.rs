//! The signaling server as a program: settings, logging, signals, exit code.

#[path = "main/access.rs"]
mod access;
#[path = "main/admin.rs"]
mod admin;
#[path = "main/arguments.rs"]
mod arguments;
#[path = "main/bench/mod.rs"]
mod bench;
#[path = "main/settings.rs"]
mod settings;
#[path = "main/signals.rs"]
mod signals;
#[path = "main/tls.rs"]
mod tls;
#[path = "main/token.rs"]
mod token;
#[path = "main/turn.rs"]
mod turn;

use anyhow::{Context, Result};
use arguments::{Arguments, Command};
use settings::{Loaded, Settings};
use signaling_server::{Acme, Config, Server, ServerHandle, Tls};
use signals::{Hangups, Signals};
use std::{ffi::OsString, net::SocketAddr, process::ExitCode, time::Duration};
use tls::TlsArguments;
use tokio::time::{MissedTickBehavior, interval};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often certificates are looked at.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(10);

/// Exit code for arguments and settings that cannot be used.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let settings = match Settings::read(&words) {
        Ok(Loaded::Settings(settings)) => settings,
        Ok(Loaded::Text(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return wrong(&error),
    };
    match &settings.arguments.command {
        Some(Command::Token(arguments)) => {
            return token::run(arguments)
                .map_or_else(|error| wrong(&error), |()| ExitCode::SUCCESS);
        }
        Some(Command::Admin(arguments)) => {
            return match arguments.client() {
                Ok(client) => ended(admin::run(arguments, &client)),
                Err(error) => wrong(&error),
            };
        }
        Some(Command::Bench(arguments)) => return ended(bench::run(arguments)),
        None => {}
    }
    // Before anything is started: all that can be wrong with the settings is.
    let checked = certificates(&settings.arguments.tls).and_then(|(acme, tls)| {
        let config = settings.arguments.to_config(tls.clone())?;
        Ok((config, acme, tls))
    });
    match checked {
        Err(error) => wrong(&error),
        Ok(_) if settings.arguments.print_config => {
            print!("{}", settings.print());
            ExitCode::SUCCESS
        }
        Ok((config, acme, tls)) => match log_to_stderr(&settings.arguments) {
            Ok(()) => ended(run(words, *settings, config, acme, tls)),
            Err(error) => wrong(&error),
        },
    }
}

/// The certificate, and what orders it.
fn certificates(arguments: &TlsArguments) -> Result<(Option<Acme>, Option<Tls>)> {
    let acme = arguments.acme()?;
    let tls = match &acme {
        Some(acme) => Some(acme.tls()),
        None => arguments.load()?,
    };
    Ok((acme, tls))
}

fn wrong(error: &anyhow::Error) -> ExitCode {
    eprintln!("signaling-server: {error:#}");
    ExitCode::from(USAGE)
}

fn ended(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("signaling-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(
    words: Vec<OsString>,
    settings: Settings,
    config: Config,
    acme: Option<Acme>,
    tls: Option<Tls>,
) -> Result<()> {
    let server = Server::bind(config)?;
    let signals = Signals::new().context("cannot handle signals")?;
    let hangups = Hangups::new().context("cannot handle signals")?;
    let fingerprint = tls
        .as_ref()
        .filter(|_| settings.arguments.tls.is_self_signed());
    announce(&server, tls.is_some(), fingerprint, &settings.arguments);
    let handle = server.handle();
    tokio::select! {
        () = server.run(signals.first()) => {}
        never = keep_up(hangups, words, settings, tls, handle) => match never {},
        never = order(acme) => match never {},
    }
    Ok(())
}

/// Orders certificates, if that is wanted.
async fn order(acme: Option<Acme>) -> std::convert::Infallible {
    match acme {
        Some(acme) => acme.keep().await,
        None => std::future::pending().await,
    }
}

/// Reads settings again when told to, and certificates when they have changed.
async fn keep_up(
    mut hangups: Hangups,
    words: Vec<OsString>,
    mut settings: Settings,
    tls: Option<Tls>,
    handle: ServerHandle,
) -> std::convert::Infallible {
    let mut ticks = interval(CERTIFICATE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = hangups.next() => {
                match reload(&words, &settings, tls.as_ref(), &handle) {
                    Ok(fresh) => settings = fresh,
                    Err(error) => tracing::error!("nothing was reloaded: {error:#}"),
                }
                renew(tls.as_ref());
            }
            _ = ticks.tick() => renew(tls.as_ref()),
        }
    }
}

fn reload(
    words: &[OsString],
    old: &Settings,
    tls: Option<&Tls>,
    handle: &ServerHandle,
) -> Result<Settings> {
    let Loaded::Settings(fresh) = Settings::read(words)? else {
        anyhow::bail!("the arguments ask for help");
    };
    handle.reload(fresh.arguments.to_config(tls.cloned())?);
    let later = old.needs_restart(&fresh);
    if !later.is_empty() {
        let later = later.join(", ");
        tracing::warn!("settings that take effect after a restart: {later}");
    }
    tracing::info!("reloaded");
    Ok(*fresh)
}

fn renew(tls: Option<&Tls>) {
    match tls.map(Tls::reload) {
        Some(Ok(true)) => tracing::info!("the certificate was renewed"),
        // Somebody may be in the middle of writing it.
        Some(Err(error)) => tracing::warn!(%error, "the old certificate stays in use"),
        Some(Ok(false)) | None => {}
    }
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

/// The one line that whoever started the server waits for, and what else it must know.
fn announce(server: &Server, is_https: bool, self_signed: Option<&Tls>, arguments: &Arguments) {
    let address = server.local_addr();
    let is_https = is_https && !arguments.tls.tls_turn_only;
    let scheme = if is_https { "https" } else { "http" };
    let port = address.port();
    let url = match address.ip() {
        ip if ip.is_unspecified() || ip.is_loopback() => format!("{scheme}://localhost:{port}"),
        _ => format!("{scheme}://{address}"),
    };
    let turn: Vec<SocketAddr> = server.turn_addrs();
    if arguments.json {
        let mut event = serde_json::json!({ "event": "listening", "url": url, "address": address });
        if !turn.is_empty() {
            event["turn"] = serde_json::json!(turn);
        }
        if let Some(metrics) = server.metrics_addr() {
            event["metrics"] = serde_json::json!(metrics);
        }
        if let Some(tls) = self_signed {
            event["fingerprint"] = tls.fingerprint().into();
        }
        eprintln!("{event}");
        return;
    }
    eprintln!("signaling-server: listening on {url} ({address})");
    for address in turn {
        eprintln!("signaling-server: STUN and TURN on {address}");
    }
    if let Some(metrics) = server.metrics_addr() {
        eprintln!("signaling-server: metrics on http://{metrics}/metrics");
    }
    if let Some(tls) = self_signed {
        let fingerprint = tls.fingerprint();
        eprintln!("signaling-server: self-signed certificate, --server-fingerprint {fingerprint}");
    }
}
