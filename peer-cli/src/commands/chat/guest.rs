//! One who was given the code: a line to the host, and another one when it breaks.

use std::time::{Duration, Instant};

use peerline::chat::{Chat, ChatError, Events, LABEL, PROTOCOL};
use peerline::session::SessionError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Arguments;
use super::input::Inputs;
use super::screen::Screen;
use super::talk::{Ending, Outcome, PATIENCE, talk};
use crate::connect::{self, Context};
use crate::exit::{Exit, Failure};
use crate::invitation::Target;
use crate::line::Line;
use crate::ui::Route;

/// How long somebody whose line was lost tries to come back: the host expects it for as long.
const COME_BACK: Duration = Duration::from_secs(120);

/// Between two attempts.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

pub(super) async fn run(
    context: &Context<'_>,
    arguments: &Arguments,
    target: &Target,
    (chat, mut events): (Chat, Events),
    screen: &Screen,
) -> Result<Outcome, Failure> {
    let first = Some(connect::guest(context, target.clone()).await?);
    let leaving = CancellationToken::new();
    let mut inputs = Inputs::start(context.ui, &screen.name().borrow());
    let mut lines = Lines {
        context,
        target,
        chat: &chat,
        leaving: &leaving,
        path: Route::Unknown,
    };
    let talking = async {
        let ending = tokio::select! {
            () = context.stop.cancelled() => Ending::Interrupted,
            ending = talk(&mut inputs, &chat, screen, arguments.at_end_of_input()) => ending,
        };
        let patience = if ending == Ending::Interrupted {
            Duration::ZERO
        } else {
            PATIENCE
        };
        (ending, chat.settled(patience).await)
    };
    let showing = screen.follow(&mut events);
    let ended = {
        let attending = lines.attend(first);
        tokio::pin!(attending);
        let both = async {
            tokio::select! {
                biased;
                ended = &mut attending => ended.map(|()| (Ending::Closed, chat.unsettled())),
                left = talking => {
                    leaving.cancel();
                    // Its goodbye; how the line ended is no news.
                    let _ = attending.await;
                    Ok(left)
                }
            }
        };
        tokio::select! {
            ended = both => ended,
            never = showing => match never {},
        }
    };
    screen.rest(&mut events);
    drop(inputs);
    let (ending, undelivered) = ended?;
    if ending == Ending::Closed {
        context
            .ui
            .note("The room is closed: the one who made it has left.");
    }
    Ok(Outcome {
        ending,
        undelivered,
        path: lines.path,
    })
}

struct Lines<'a> {
    context: &'a Context<'a>,
    target: &'a Target,
    chat: &'a Chat,
    leaving: &'a CancellationToken,
    path: Route,
}

impl Lines<'_> {
    /// Takes part until the room is closed, over one line after the other.
    async fn attend(&mut self, mut first: Option<Line>) -> Result<(), Failure> {
        loop {
            let line = match first.take() {
                Some(line) => line,
                None => match self.come_back().await? {
                    Some(line) => line,
                    None => return Ok(()),
                },
            };
            self.path = line.route().await;
            let attended = self.attend_one(&line).await;
            let why = match &attended {
                // The goodbye that follows must not be late: it tells that this side has left.
                Ok(ChatError::Closed) if !self.leaving.is_cancelled() => line.why_ended().await,
                _ => None,
            };
            let is_closed = matches!(why.as_deref(), Some(SessionError::Bye(_)));
            let result = match attended {
                Ok(ChatError::Closed | ChatError::GivenUp) => Ok(()),
                Ok(error) => Err(Failure::from(&error)),
                Err(failure) => Err(failure),
            };
            line.end(result).await?;
            if is_closed || self.leaving.is_cancelled() {
                return Ok(());
            }
            self.context
                .ui
                .note("The connection was lost; coming back.");
        }
    }

    async fn attend_one(&self, line: &Line) -> Result<ChatError, Failure> {
        let channel = line.open(LABEL, PROTOCOL).await?;
        let room = self.chat.line();
        tokio::select! {
            why = room.attend(channel) => Ok(why),
            () = self.leaving.cancelled() => Ok(ChatError::Closed),
        }
    }

    /// Another line to the same room; `None` if this side wants to leave meanwhile.
    async fn come_back(&self) -> Result<Option<Line>, Failure> {
        let until = Instant::now() + COME_BACK;
        let mut pauses = PAUSES.into_iter();
        let mut pause = PAUSES[0];
        loop {
            pause = pauses.next().unwrap_or(pause);
            let connecting = async {
                sleep(pause).await;
                connect::guest(self.context, self.target.clone()).await
            };
            let connected = tokio::select! {
                () = self.leaving.cancelled() => return Ok(None),
                connected = connecting => connected,
            };
            match connected {
                Ok(line) => return Ok(Some(line)),
                Err(failure) if Instant::now() >= until || !may_pass(&failure) => {
                    return Err(failure);
                }
                Err(failure) => tracing::info!(%failure, "not back yet"),
            }
        }
    }
}

/// Whether the room may still be there although a line to it did not come about.
fn may_pass(failure: &Failure) -> bool {
    matches!(
        failure.exit,
        Exit::Interrupted | Exit::NoPath | Exit::NoSignaling
    )
}
