//! The one who makes the code, and waits for whoever knows it.

use peerline::pairing::Code;
use peerline::session::{Session, SessionConfig};
use peerline::signaling::{ServerUrl, Signaling};
use signaling_protocol::{Join, Joined, RoomName};

use super::{Context, Place};
use crate::exit::{Exit, Failure};
use crate::invitation::command_for_peer;
use crate::line::Line;
use crate::server::{self, Embedded};
use crate::ui::event;

/// One to make the code, one to be given it.
pub(crate) const PLACES: u16 = 2;

/// Opens a line as the one who makes the code, and shows it. `verb` is the command of the other side.
pub(crate) async fn host(
    context: &Context<'_>,
    code: Option<Code>,
    verb: &str,
) -> Result<Line, Failure> {
    let named = context.common.server();
    let mut embedded = match named {
        None => Some(Embedded::start()?),
        Some(_) => None,
    };
    let place = Place::default();
    let waiting = wait_for_guest(context, named, embedded.as_mut(), code, verb, &place);
    let connected = context.limited(waiting).await;
    place.given_back(&connected).await;
    Line::new(context, connected, embedded).await
}

async fn wait_for_guest(
    context: &Context<'_>,
    named: Option<ServerUrl>,
    mut embedded: Option<&mut Embedded>,
    code: Option<Code>,
    verb: &str,
    place: &Place,
) -> Result<Session, Failure> {
    let wanted = (code, PLACES);
    let room = enter(context, named.as_ref(), embedded.as_deref(), wanted, place).await?;
    show(
        context,
        &room.code,
        verb,
        named.as_ref(),
        embedded.as_deref(),
    );
    if let Some(embedded) = &mut embedded {
        embedded.announce(room.code.room());
    }
    context
        .ui
        .note("Waiting for the other side. Ctrl-C ends it.");
    room.guest(context).await
}

/// A room that the other side may enter, and its code.
pub(super) struct Room {
    pub(super) signaling: Signaling,
    pub(super) joined: Joined,
    pub(super) code: Code,
    pub(super) config: SessionConfig,
}

impl Room {
    /// Waits for the one who knows the code.
    pub(super) async fn guest(self, context: &Context<'_>) -> Result<Session, Failure> {
        let arrived = || context.ui.note("The other side is here.");
        Session::host(
            self.signaling,
            &self.joined,
            self.code,
            self.config,
            arrived,
        )
        .await
        .map_err(|error| Failure::from(&error))
    }
}

/// Makes the room of a code, or a room and a code for it.
pub(super) async fn enter(
    context: &Context<'_>,
    named: Option<&ServerUrl>,
    embedded: Option<&Embedded>,
    (code, places): (Option<Code>, u16),
    place: &Place,
) -> Result<Room, Failure> {
    let server = match (named, embedded) {
        (_, Some(embedded)) => embedded.local_url(),
        (Some(server), None) => server.clone(),
        (None, None) => return Err(Failure::bug("no server to wait at")),
    };
    let room = match (&code, embedded) {
        (Some(code), _) => Some(code.room().to_owned()),
        (None, Some(_)) => Some(server::room()),
        (None, None) => None,
    };
    let (signaling, joined) = make_room(context, &server, (room.as_deref(), places), place).await?;
    let code = match code {
        Some(code) => code,
        None => Code::generate(joined.room.as_str()).map_err(|_| {
            Failure::new(
                Exit::NoSignaling,
                "bad-room",
                "the server's room cannot be part of a code",
            )
            .hint("choose a code with --code")
        })?,
    };
    let config = context.session_config(&server);
    Ok(Room {
        signaling,
        joined,
        code,
        config,
    })
}

/// Makes a room for two, with this name or one that the server picks.
pub(crate) async fn make_room(
    context: &Context<'_>,
    server: &ServerUrl,
    (room, places): (Option<&str>, u16),
    place: &Place,
) -> Result<(Signaling, Joined), Failure> {
    let join = Join {
        room: room.map(room_name).transpose()?,
        create: Some(true),
        capacity: Some(places),
        token: context.common.token_for(server),
        ..Join::default()
    };
    let (signaling, joined) = Signaling::join(server, join)
        .await
        .map_err(|error| Failure::from(&error))?;
    place.taken(&signaling);
    Ok((signaling, joined))
}

fn room_name(room: &str) -> Result<RoomName, Failure> {
    room.parse()
        .map_err(|_| Failure::bug("a code's room is no room"))
}

/// Shows a code for the other side, whose command begins with `verb`.
pub(super) fn show(
    context: &Context<'_>,
    code: &Code,
    verb: &str,
    named: Option<&ServerUrl>,
    embedded: Option<&Embedded>,
) {
    let public = match (embedded, named) {
        (Some(embedded), _) => embedded.public_url(),
        (None, Some(named)) => named.clone(),
        (None, None) => return,
    };
    if embedded.is_some() {
        context.ui.say(event::Listening {
            server: public.page().to_owned(),
        });
    }
    context.ui.say(event::Code {
        code: code.to_string(),
        link: code.link(public.page()),
        command: command_for_peer(verb, code, named),
    });
}
