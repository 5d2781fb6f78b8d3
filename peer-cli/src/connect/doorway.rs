//! One line after the other, under a code that stays.

use peerline::pairing::Code;
use peerline::signaling::ServerUrl;

use super::host::{PLACES, enter, show};
use super::{Context, Place};
use crate::exit::Failure;
use crate::line::Line;
use crate::server::Embedded;
use crate::ui::event;

/// Waits under a code for one line after the other.
pub(crate) struct Doorway {
    named: Option<ServerUrl>,
    embedded: Option<Embedded>,
    verb: &'static str,
    /// The code that is good now; without one, a new one is made and shown.
    code: Option<Code>,
    shown: bool,
    /// Whether the server was ever there.
    opened: bool,
}

impl Doorway {
    /// `verb` is the command of the other side, `code` the first code.
    pub(crate) fn new(
        named: Option<ServerUrl>,
        code: Option<Code>,
        verb: &'static str,
    ) -> Result<Self, Failure> {
        let embedded = match named {
            None => Some(Embedded::start()?),
            Some(_) => None,
        };
        Ok(Self {
            named,
            embedded,
            verb,
            code,
            shown: false,
            opened: false,
        })
    }

    /// The next line. The room of one that failed, or of the one before, is left by then.
    pub(crate) async fn next(&mut self, context: &Context<'_>) -> Result<Visit, Failure> {
        let place = Place::default();
        let connecting = async {
            let (named, embedded) = (self.named.as_ref(), self.embedded.as_ref());
            let wanted = (self.code.clone(), PLACES);
            let room = enter(context, named, embedded, wanted, &place).await?;
            self.opened = true;
            if !self.shown {
                show(context, &room.code, self.verb, named, embedded);
                if let Some(embedded) = &mut self.embedded {
                    embedded.announce(room.code.room());
                }
            }
            self.shown = true;
            self.code = Some(room.code.clone());
            context.ui.say(event::Waiting { devices: vec![] });
            room.guest(context).await
        };
        let connected = context.limited(connecting).await;
        match connected {
            Err(failure) => {
                place.left().await;
                Err(failure)
            }
            Ok(session) => Ok(Visit {
                line: Line::new(context, Ok(session), None).await,
                place,
            }),
        }
    }

    /// The code is good no more: the next one gets a room of its own.
    pub(crate) fn forget_code(&mut self) {
        self.code = None;
        self.shown = false;
    }

    /// The server to wait at, and its port if it is our own.
    pub(crate) fn site(&self) -> Result<(ServerUrl, Option<u16>), Failure> {
        match (&self.embedded, &self.named) {
            (Some(embedded), _) => Ok((embedded.local_url(), Some(embedded.port()))),
            (None, Some(named)) => Ok((named.clone(), None)),
            (None, None) => Err(Failure::bug("no server to wait at")),
        }
    }

    /// Whether it has ever waited at its server.
    pub(crate) fn was_open(&self) -> bool {
        self.opened
    }

    /// Ends the embedded server.
    pub(crate) async fn close(self) {
        if let Some(embedded) = self.embedded {
            embedded.end().await;
        }
    }
}

/// Somebody who knew the code.
pub(crate) struct Visit {
    /// The line, unless it is not the one that was wanted.
    pub(crate) line: Result<Line, Failure>,
    /// To be waited for when the line has ended: the next one gets the same room.
    pub(crate) place: Place,
}
