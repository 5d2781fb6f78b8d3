//! `peer-cli pipe`: connects stdin and stdout with those of another terminal.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use peerline::channel::{Channel, Delivery};
use peerline::pairing::Code;
use peerline::session::{EngineKind, Intent};
use peerline::tunnel::{LABEL, Moved, PROTOCOL, RelayError, Side, TunnelError, pipe};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::cli::Common;
use crate::connect::{self, Context};
use crate::exit::{Exit, Failure};
use crate::invitation::Target;
use crate::line::Line;
use crate::stdout::Stdout;
use crate::ui::{Event, Piped, Ui};

/// How long the other side may take to begin. It does so as soon as it is connected.
const BEGIN: Duration = Duration::from_secs(30);

/// How long the other side may take to hang up when both are done. Nothing is lost if it does not.
const HANG_UP: Duration = Duration::from_secs(5);

/// Connect stdin and stdout with those of another terminal, both ways
///
/// One side runs it without a code and shows one, on stderr; the other side is given that code. Each direction ends when
/// its stdin does: a side that has nothing to send gives it < /dev/null. It exits with 0 when both have ended and everything
/// is written on both sides. stdout carries what the other side sends and nothing else; with --json the events are on stderr.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The code or link from the other side; without it, this side makes one
    #[arg(value_name = "CODE|LINK")]
    target: Option<Target>,

    /// Use this code instead of a new one, and wait under it
    #[arg(long, value_name = "CODE", conflicts_with = "target")]
    code: Option<Code>,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// Meets the other side and connects the two.
pub(super) async fn run(
    arguments: &Arguments,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let context = Context {
        ui,
        common: &arguments.common,
        stop,
        intent: Intent::Pipe,
        codecs: Vec::new(),
    };
    let (mut line, side) = match &arguments.target {
        Some(target) => (
            connect::guest(&context, target.clone()).await?,
            Side::Opener,
        ),
        None => (
            connect::host(&context, arguments.code.clone(), "pipe").await?,
            Side::Acceptor,
        ),
    };
    let started = Instant::now();
    let result = run_over(&context, &mut line, side).await;
    let took = started.elapsed().as_secs_f64();
    let path = line.route().await;
    if result.is_ok() && side == Side::Acceptor {
        // The other side may not have heard our last word yet, which our goodbye would overtake.
        let _ = timeout(HANG_UP, line.session.ended()).await;
    }
    let Moved { sent, received } = line.end(result).await?;
    ui.say(&Event::Piped(Piped {
        bytes: sent + received,
        sent,
        received,
        seconds: took,
        rate: (sent + received) as f64 / took.max(f64::EPSILON),
        path,
    }));
    Ok(())
}

async fn run_over(context: &Context<'_>, line: &mut Line, side: Side) -> Result<Moved, Failure> {
    if line.session.peer().engine == EngineKind::Browser {
        let failure = Failure::usage("a browser has no pipe");
        return Err(failure.hint("run peer-cli pipe on the other side"));
    }
    let channel = match side {
        Side::Opener => {
            let opened = line.session.open(LABEL, PROTOCOL, Delivery::Reliable).await;
            opened.map_err(|error| Failure::from(&error))?
        }
        Side::Acceptor => accepted(context, line).await?,
    };
    // Beside what is typed or read there, a bar would be in the way.
    let bar = !io::stdout().is_terminal();
    let tell = |moved: Moved| {
        if bar {
            context.ui.progress(moved.total(), 0);
        }
    };
    let output = Stdout::new().map_err(|error| Failure::local("cannot use stdout", &error))?;
    let input = tokio::io::stdin();
    match pipe(channel, side, input, output, context.stop, tell).await {
        Ok(moved) => Ok(moved),
        Err(error) => Err(why(line, &error).await),
    }
}

/// The failure; when the channel closed, the session knows why.
pub(super) async fn why(line: &Line, error: &RelayError) -> Failure {
    if let RelayError::Tunnel(TunnelError::Closed) = error
        && let Some(end) = line.why_ended().await
    {
        return Failure::from(&*end);
    }
    Failure::from(error)
}

/// The channel that the other side opens. Others are closed.
pub(super) async fn accepted(context: &Context<'_>, line: &mut Line) -> Result<Channel, Failure> {
    let accepting = async {
        while let Some(incoming) = line.session.accept().await {
            if incoming.protocol == PROTOCOL {
                return Ok(incoming.channel);
            }
            tracing::info!(incoming.protocol, "closed an unknown channel");
        }
        Err(Failure::from(&*line.session.ended().await))
    };
    tokio::select! {
        biased;
        () = context.stop.cancelled() => Err(Failure::ctrl_c()),
        accepted = timeout(BEGIN, accepting) => accepted.unwrap_or_else(|_| {
            let failure = Failure::new(
                Exit::Interrupted,
                "silent",
                "the other side is connected but does not begin",
            );
            Err(failure.hint("run the command that belongs to this one there, too").retry())
        }),
    }
}
