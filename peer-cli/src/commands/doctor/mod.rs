//! `peer-cli doctor`: what works here, what does not, and what to do about it.
//!
//! `probes` and `stun` find out, `verdict` says what it means. All checks run at once; what the server names is tried when it
//! has answered, so the whole takes no longer than the limits of two in a row.

mod probes;
mod stun;
mod verdict;

use std::net::IpAddr;
use std::time::Instant;

use futures_util::future::join_all;
use peerline::media::Kind;
use peerline::media::ffmpeg::Program;
use peerline::media::source::has_device;
use peerline::session::{Intent, PathKind, PathPolicy};
use peerline::signaling::{ServerUrl, SignalingError, survey};
use tokio_util::sync::CancellationToken;

use crate::cli::Common;
use crate::connect::{self, Context};
use crate::exit::Failure;
use crate::invitation::Target;
use crate::server::Embedded;
use crate::ui::{Ui, count, event};
use verdict::{Level, Mappings, Nat, Reached, Relay, Verdict, Ways};

/// See what works here, and what to do about the rest
///
/// It looks at this machine's addresses and devices, at multicast, the signaling server (--server, or one of its own), the clock,
/// NAT and firewalls, and uses each TURN server that is known. No check takes longer than some seconds. It ends with 0 unless
/// something does not work that was asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Also connect with the one who made this code (by peer-cli bench, say), and say how, and why it is relayed
    #[arg(long, value_name = "CODE|LINK")]
    with: Option<Target>,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// Checks everything, and fails if a check did.
pub(super) async fn run(
    arguments: &Arguments,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let context = Context::new(ui, &arguments.common, stop, Intent::Any);
    let named = arguments.common.server();
    let embedded = match named {
        None => Some(Embedded::start()?),
        Some(_) => None,
    };
    let started = Instant::now();
    let server = match (&named, &embedded) {
        (Some(named), _) => named.clone(),
        (None, Some(embedded)) => embedded.public_url(),
        (None, None) => return Err(Failure::bug("no server to look at")),
    };
    let checking = checks(&context, &server, arguments.with.clone());
    let verdicts = tokio::select! {
        verdicts = checking => Ok(verdicts),
        () = stop.cancelled() => Err(Failure::ctrl_c()),
    };
    if let Some(embedded) = embedded {
        embedded.end().await;
    }
    let verdicts = verdicts?;
    for verdict in &verdicts {
        ui.say(event::Check {
            check: verdict.check,
            verdict: match verdict.level {
                Level::Pass => "pass",
                Level::Warn => "warn",
                Level::Fail => "fail",
            },
            message: verdict.message.clone(),
            advice: verdict.advice,
        });
    }
    conclude(ui, &verdicts, started.elapsed().as_secs_f64())
}

fn conclude(ui: &Ui, verdicts: &[Verdict], seconds: f64) -> Result<(), Failure> {
    let of = |level| {
        verdicts
            .iter()
            .filter(move |verdict| verdict.level == level)
    };
    let failed: Vec<&Verdict> = of(Level::Fail).collect();
    if let Some(first) = failed.first() {
        let mut names: Vec<&str> = failed.iter().map(|verdict| verdict.check).collect();
        names.dedup();
        let failures = count(failed.len() as u64, "check");
        let message = format!("{failures} failed: {}", names.join(", "));
        return Err(
            Failure::new(first.exit, "unhealthy", message).hint("do what it says beside them")
        );
    }
    ui.say(event::Checked {
        passed: of(Level::Pass).count(),
        warned: of(Level::Warn).count(),
        seconds,
    });
    Ok(())
}

async fn checks(context: &Context<'_>, server: &ServerUrl, with: Option<Target>) -> Vec<Verdict> {
    let network = async {
        let token = context.common.token_for(server);
        let survey = survey(server, token).await;
        let known = [survey.ice_servers.clone(), context.common.ice_servers()].concat();
        let asked = stun::servers(&known);
        let turns = known.iter().flat_map(|server| {
            let is_turn = |url: &&String| url.starts_with("turn");
            server
                .urls
                .iter()
                .filter(is_turn)
                .map(|url| signaling_protocol::IceServer {
                    urls: vec![url.clone()],
                    ..server.clone()
                })
        });
        let relaying: Vec<_> = turns
            .map(|server| async {
                let url = server.urls.concat();
                (url, probes::relay(context, server).await)
            })
            .collect();
        let usable = context.common.paths() != PathPolicy::DirectOnly;
        let relaying = async {
            match usable {
                true => join_all(relaying).await,
                false => Vec::new(),
            }
        };
        let (mappings, relayed) = tokio::join!(stun::ask(&asked), relaying);
        let relays = relayed.into_iter().map(|(url, relayed)| {
            let server = stun::over_udp(&url);
            let seen = mappings
                .seen
                .iter()
                .find(|(asked, _)| Some(asked) == server.as_ref());
            Relay {
                url,
                relayed,
                answers: seen.map(|(_, seen)| seen.is_ok()),
            }
        });
        let relays: Vec<Relay> = relays.collect();
        (survey, mappings, relays)
    };
    let peer = async {
        match with {
            None => None,
            Some(target) => Some(reach(context, target).await),
        }
    };
    let ((survey, mappings, relays), mdns, reached) = tokio::join!(network, probes::mdns(), peer);
    let text = |error: SignalingError| error.to_string();
    let ways = Ways {
        server: server.page().to_owned(),
        websocket: survey.websocket.map_err(text),
        events: survey.events.map_err(text),
        polls: survey.polls.map_err(text),
    };
    let is_reached = ways.websocket.is_ok() || ways.events.is_ok() || ways.polls.is_ok();
    let mut verdicts = vec![
        verdict::interfaces(&addresses()),
        verdict::mdns(&mdns),
        verdict::server(&ways),
    ];
    if is_reached {
        verdicts.push(verdict::clock(probes::ahead(survey.date.as_deref())));
        let is_here = connect::is_on_this_host(server);
        let is_secure = server.page().starts_with("https:");
        verdicts.push(verdict::page(server.page(), is_secure, is_here));
    }
    verdicts.push(verdict::nat(&mappings));
    verdicts.extend(verdict::turn(&relays));
    verdicts.push(verdict::ffmpeg(
        Program::Ffmpeg.is_installed(),
        Program::Ffplay.is_installed(),
    ));
    verdicts.push(verdict::devices(
        has_device(Kind::Video),
        has_device(Kind::Audio),
    ));
    if let Some(reached) = reached {
        let relay_only = context.common.paths() == PathPolicy::RelayOnly;
        verdicts.push(verdict::peer(&reached, relay_only, own_nat(&mappings)));
    }
    verdicts
}

fn own_nat(mappings: &Mappings) -> Nat {
    mappings.nat()
}

fn addresses() -> Result<Vec<IpAddr>, String> {
    let found = if_addrs::get_if_addrs().map_err(|error| error.to_string())?;
    Ok(found.iter().map(if_addrs::Interface::ip).collect())
}

/// Connects with the other side, looks at the path, and hangs up.
async fn reach(context: &Context<'_>, target: Target) -> Reached {
    let line = match connect::guest(context, target).await {
        Ok(line) => line,
        Err(failure) => {
            return Reached::Not {
                message: failure.message,
                exit: failure.exit,
            };
        }
    };
    let path = line.session.path().await;
    let path = path.or_else(|| line.session.first_path().cloned());
    let reached = match path {
        Some(path) if path.kind == PathKind::Relayed => Reached::Relayed {
            rtt: path.round_trip,
            by: path.relay.map(|relay| relay.to_string()),
        },
        Some(path) => Reached::Direct {
            rtt: path.round_trip,
            remote: path.remote,
        },
        None => Reached::Not {
            message: "connected, and the engine does not say how".to_owned(),
            exit: crate::exit::Exit::Bug,
        },
    };
    let _: Result<(), Failure> = line.end(Ok(())).await;
    reached
}
