//! `peer-cli pipe`: connects stdin and stdout with those of another terminal, or with a page.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use peerline::session::{Connectivity, Intent, Session};
use peerline::tunnel::{LABEL, Lanes, Moved, PROTOCOL, RelayError, Side, TunnelError, pipe};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::meeting::Meeting;
use crate::cli::Common;
use crate::connect::Context;
use crate::exit::Failure;
use crate::line::Line;
use crate::stdout::Stdout;
use crate::ui::{Ui, event};

/// How long the other side may take to hang up when both are done, while it can be reached. Nothing is lost if it does not.
const HANG_UP: Duration = Duration::from_secs(5);

/// Connect stdin and stdout with those of another terminal or with a page, both ways
///
/// One side runs it without a code and shows one, on stderr; the other side is given that code, or opens the link in a
/// browser, where what comes is shown and can be saved, and text and files can be sent. Each direction ends when its stdin
/// does: a side that has nothing to send gives it < /dev/null. It exits with 0 when both have ended and everything is
/// written on both sides. stdout carries what the other side sends and nothing else; with --json the events are on stderr.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    meeting: Meeting,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// Meets the other side and connects the two.
pub(super) async fn run(
    arguments: &Arguments,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let context = Context::new(ui, &arguments.common, stop, Intent::Pipe);
    let side = match arguments.meeting.has_target() {
        true => Side::Opener,
        false => Side::Acceptor,
    };
    let mut line = arguments.meeting.line(&context, "pipe").await?;
    let started = Instant::now();
    let result = run_over(&context, &mut line, side).await;
    let took = started.elapsed();
    let path = line.route().await;
    if result.is_ok() && side == Side::Acceptor {
        // The other side may not have heard our last word yet, which our goodbye would overtake.
        hung_up(&line.session).await;
    }
    let Moved { sent, received } = line.end(result).await?;
    let traffic = event::Traffic::new(sent, received, took, path);
    ui.say(event::Piped { traffic });
    Ok(())
}

/// Waits until the other side has hung up. An interrupted session heals, or ends, by itself.
async fn hung_up(session: &Session) {
    let mut connectivity = session.connectivity();
    let late = async {
        loop {
            let connected = |now: &Connectivity| *now == Connectivity::Connected;
            if connectivity.wait_for(connected).await.is_err() {
                return;
            }
            let interrupted = connectivity.wait_for(|now| !connected(now));
            if timeout(HANG_UP, interrupted).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = session.ended() => {}
        () = late => {}
    }
}

async fn run_over(context: &Context<'_>, line: &mut Line, side: Side) -> Result<Moved, Failure> {
    let channel = match side {
        Side::Opener => line.open(LABEL, PROTOCOL).await?,
        Side::Acceptor => line.accept(context, PROTOCOL, "pipe").await?,
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
    let lanes = Lanes::of(&mut line.session);
    match pipe(channel, side, lanes, input, output, context.stop, tell).await {
        Ok(moved) => Ok(moved),
        Err(error) => Err(why(line, &error).await),
    }
}

/// The failure; when the channel closed, the session knows why.
pub(super) async fn why(line: &Line, error: &RelayError) -> Failure {
    let failure = Failure::from(error);
    match error {
        RelayError::Tunnel(TunnelError::Closed) => line.why_closed(failure).await,
        _ => failure,
    }
}
