//! A room that several may enter, each for a line of its own.

use std::future::Future;

use peerline::pairing::{Code, SharedCode};
use peerline::session::{Caller, Session, SessionConfig, Switchboard};
use peerline::signaling::SignalingError;
use signaling_protocol::limits::PEERS_PER_ROOM;

use super::host::{enter, show};
use super::{Context, Place};
use crate::exit::Failure;
use crate::server::Embedded;

/// Waits under one code for several at a time.
pub(crate) struct Gathering {
    board: Switchboard,
    code: SharedCode,
    config: SessionConfig,
    place: Place,
    embedded: Option<Embedded>,
}

impl Gathering {
    /// Makes a room for `guests`, and shows its code. `verb` is the command of the other side.
    pub(crate) async fn open(
        context: &Context<'_>,
        code: Option<Code>,
        verb: &str,
        guests: u16,
    ) -> Result<Self, Failure> {
        let named = context.common.server();
        let mut embedded = match named {
            None => Some(Embedded::start()?),
            Some(_) => None,
        };
        let place = Place::default();
        // Who was killed keeps its place for a moment, and should find another one when it comes back.
        let places = (2 * guests + 1).min(PEERS_PER_ROOM);
        let wanted = (code, places);
        let entering = enter(context, named.as_ref(), embedded.as_ref(), wanted, &place);
        let room = match context.limited(entering).await {
            Ok(room) => room,
            Err(failure) => {
                if let Some(embedded) = embedded {
                    embedded.end().await;
                }
                return Err(failure);
            }
        };
        show(context, &room.code, verb, named.as_ref(), embedded.as_ref());
        if let Some(embedded) = &mut embedded {
            embedded.announce(room.code.room());
        }
        Ok(Self {
            board: Switchboard::new(room.signaling, room.joined),
            code: SharedCode::new(room.code),
            config: room.config,
            place,
            embedded,
        })
    }

    /// The next one who has begun to pair. Cancelled, it has lost nobody.
    pub(crate) async fn next(&mut self) -> Result<Caller, Failure> {
        let next = self.board.next().await;
        next.map_err(|lost| Failure::from(&SignalingError::Lost(lost)))
    }

    /// Pairs with that one and connects to it.
    pub(crate) fn greet(
        &self,
        caller: Caller,
    ) -> impl Future<Output = Result<Session, Failure>> + use<> {
        let (code, config) = (self.code.clone(), self.config.clone());
        async move {
            let Caller { signaling, joined } = caller;
            Session::host_one(signaling, &joined, code, config, || ())
                .await
                .map_err(|error| Failure::from(&error))
        }
    }

    /// The code, to let nobody else pair, or to ask why nobody can.
    pub(crate) fn code(&self) -> &SharedCode {
        &self.code
    }

    /// Leaves the room, once all sessions are over, and ends the embedded server.
    pub(crate) async fn end(self) {
        drop(self.board);
        self.place.left().await;
        if let Some(embedded) = self.embedded {
            embedded.end().await;
        }
    }
}
