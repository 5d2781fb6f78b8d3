//! The one who made the code: a line for everybody who comes, and the room as long as it stays.

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use peerline::chat::{Chat, ChatError, Events, PROTOCOL};
use peerline::session::{Connectivity, Session, SessionError};
use signaling_protocol::limits::PEERS_PER_ROOM;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Arguments;
use super::input::Inputs;
use super::screen::Screen;
use super::talk::{Ending, Outcome, PATIENCE, talk};
use crate::connect::{Context, Gathering};
use crate::exit::Failure;
use crate::line::Line;
use crate::ui::{Route, event};

pub(super) async fn run(
    context: &Context<'_>,
    arguments: &Arguments,
    (chat, mut events): (Chat, Events),
    screen: &Screen,
) -> Result<Outcome, Failure> {
    let mut gathering = Gathering::open(
        context,
        arguments.meeting.code(),
        "chat",
        PEERS_PER_ROOM - 1,
    )
    .await?;
    context
        .ui
        .note("Everybody who has the code can come, until you leave with Ctrl-D.");
    let mut inputs = Inputs::start(context.ui, &screen.name().borrow());
    let room = Room {
        context,
        chat: &chat,
        leaving: CancellationToken::new(),
        reached: Mutex::default(),
    };
    let talking = async {
        let typing = async {
            // What a program says is for those who come, so it waits for the first of them.
            if !inputs.has_editor() {
                screen.company().await;
            }
            talk(&mut inputs, &chat, screen, arguments.at_end_of_input()).await
        };
        let ending = tokio::select! {
            () = context.stop.cancelled() => Ending::Interrupted,
            ending = typing => ending,
        };
        let patience = if ending == Ending::Interrupted {
            Duration::ZERO
        } else {
            PATIENCE
        };
        (ending, chat.settled(patience).await)
    };
    let showing = screen.follow(&mut events);
    let result = {
        let serving = room.serve(&mut gathering);
        tokio::pin!(serving);
        let both = async {
            tokio::select! {
                result = &mut serving => result.map(|()| (Ending::Left, 0)),
                left = talking => {
                    room.leaving.cancel();
                    serving.await.map(|()| left)
                }
            }
        };
        tokio::select! {
            result = both => result,
            never = showing => match never {},
        }
    };
    screen.rest(&mut events);
    drop(inputs);
    gathering.end().await;
    let (ending, undelivered) = result?;
    Ok(Outcome {
        ending,
        undelivered,
        path: room.reached().unwrap_or(Route::Unknown),
    })
}

struct Room<'a> {
    context: &'a Context<'a>,
    chat: &'a Chat,
    /// Cancelled when the host wants to leave.
    leaving: CancellationToken,
    /// How those who came were reached: relayed, if one of them was.
    reached: Mutex<Option<Route>>,
}

impl Room<'_> {
    fn reached(&self) -> MutexGuard<'_, Option<Route>> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets in whoever has the code, until the host leaves and everybody was told; an error when the host is alone and nobody
    /// can come any more.
    async fn serve(&self, gathering: &mut Gathering) -> Result<(), Failure> {
        let mut lines = FuturesUnordered::new();
        let mut trouble: Option<Failure> = None;
        loop {
            let leaves = self.leaving.is_cancelled();
            if leaves {
                gathering.code().close();
            } else if trouble.is_none()
                && let Some(error) = gathering.code().over()
            {
                let failure = Failure::from(&error);
                self.context.ui.say(event::Failed::from(&failure));
                self.context
                    .ui
                    .note(&format!("Nobody else can come: {failure}."));
                trouble = Some(failure);
            }
            if lines.is_empty() {
                match trouble {
                    _ if leaves => return Ok(()),
                    Some(failure) => return Err(failure),
                    None => {}
                }
            }
            tokio::select! {
                () = self.leaving.cancelled(), if !leaves => {}
                Some(ended) = lines.next(), if !lines.is_empty() => {
                    if let Err(failure) = ended && !leaves {
                        self.context.ui.say(event::Failed::from(&failure));
                        self.context.ui.note(&format!("Somebody could not come in: {failure}."));
                    }
                }
                caller = gathering.next(), if trouble.is_none() => match caller {
                    Ok(caller) => lines.push(self.guest(gathering.greet(caller))),
                    Err(failure) => {
                        self.context.ui.note(&format!("Nobody else can come: {failure}."));
                        trouble = Some(failure);
                    }
                },
            }
        }
    }

    /// One guest, from pairing to its goodbye or ours.
    async fn guest(
        &self,
        greeting: impl Future<Output = Result<Session, Failure>>,
    ) -> Result<(), Failure> {
        // People are told who is here, not how each line does.
        let ui = self.context.ui.unattended();
        let context = Context::new(
            &ui,
            self.context.common,
            self.context.stop,
            self.context.intent,
        );
        let session = tokio::select! {
            session = greeting => session?,
            () = self.leaving.cancelled() => return Ok(()),
        };
        let mut line = Line::new(&context, Ok(session), None).await?;
        let channel = tokio::select! {
            channel = line.accept(&context, PROTOCOL, "chat") => channel,
            () = self.leaving.cancelled() => return line.end(Ok(())).await,
        };
        let channel = match channel {
            Ok(channel) => channel,
            Err(failure) => return line.end(Err(failure)).await,
        };
        let route = line.route().await;
        {
            let mut reached = self.reached();
            if *reached != Some(Route::Relayed) {
                *reached = Some(route);
            }
        }
        let place = self.chat.line();
        let why = tokio::select! {
            why = place.attend(channel) => why,
            never = tell_reach(&place, line.session.connectivity()) => match never {},
            () = self.leaving.cancelled() => return line.end(Ok(())).await,
        };
        let result = match why {
            ChatError::Closed | ChatError::GivenUp => Ok(()),
            error => Err(Failure::from(&error)),
        };
        let ended = line.why_ended().await;
        if result.is_err()
            || matches!(
                ended.as_deref(),
                Some(SessionError::Bye(_) | SessionError::Gone)
            )
        {
            place.forget();
        } else {
            place.reach(false);
        }
        line.end(result).await
    }
}

/// Tells the room when the guest cannot be reached, and when it can again.
async fn tell_reach(
    place: &peerline::chat::Line,
    mut connectivity: watch::Receiver<Connectivity>,
) -> Infallible {
    while connectivity.changed().await.is_ok() {
        let reachable = *connectivity.borrow_and_update() == Connectivity::Connected;
        place.reach(reachable);
    }
    // The session has ended, and with it the channel.
    std::future::pending().await
}
