//! From arguments to a line: a connected and verified session with the other side.

mod gathering;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use peerline::media::OutgoingTrack;
use peerline::media::codec::Codec;
use peerline::pairing::Code;
use peerline::session::{Intent, Path, PlainSession, Session, SessionConfig};
use peerline::signaling::{ServerUrl, Signaling, SignalingError};
use signaling_protocol::{ErrorCode, Join, Joined, RoomName, Secret};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use crate::cli::Common;
use crate::discover;
use crate::exit::{Exit, Failure};
use crate::invitation::{Target, command_for_peer};
use crate::line::{self, Line};
use crate::server::{self, Embedded};
use crate::ui::{Event, Route, Ui};

pub(crate) use gathering::Gathering;

/// One to make the code, one to be given it.
pub(crate) const PLACES: u16 = 2;

/// What every command needs to open a line.
pub(crate) struct Context<'a> {
    pub(crate) ui: &'a Ui,
    pub(crate) common: &'a Common,
    /// Cancelled by Ctrl-C.
    pub(crate) stop: &'a CancellationToken,
    /// What this side comes for.
    pub(crate) intent: Intent,
    /// What it understands of sound and pictures.
    pub(crate) codecs: Vec<Codec>,
}

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

/// A place in a room, which the server keeps for whoever loses the connection: one that is not wanted any
/// more must be given back before the process ends.
#[derive(Default)]
pub(crate) struct Place(Mutex<Option<Left>>);

type Left = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Place {
    pub(crate) fn taken(&self, signaling: &Signaling) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(signaling.left()));
    }

    /// Waits for it if nothing came of it; what held it is dropped by now.
    pub(crate) async fn given_back<T>(self, connected: &Result<T, Failure>) {
        if connected.is_err() {
            self.left().await;
        }
    }

    /// Waits for it, once what holds it is dropped.
    pub(crate) async fn left(self) {
        let left = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = left {
            left.await;
        }
    }
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
struct Room {
    signaling: Signaling,
    joined: Joined,
    code: Code,
    config: SessionConfig,
}

impl Room {
    /// Waits for the one who knows the code.
    async fn guest(self, context: &Context<'_>) -> Result<Session, Failure> {
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
async fn enter(
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

/// Shows a code for the other side, whose command begins with `verb`.
fn show(
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
        context.ui.say(&Event::Listening {
            server: public.page().to_owned(),
        });
    }
    context.ui.say(&Event::Code {
        code: code.to_string(),
        link: code.link(public.page()),
        command: command_for_peer(verb, code, named),
    });
}

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
            context.ui.say(&Event::Waiting { devices: vec![] });
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

/// Opens a line as the one who was given the code.
pub(crate) async fn guest(context: &Context<'_>, target: Target) -> Result<Line, Failure> {
    let place = Place::default();
    let connected = context.limited(visit(context, target, &place)).await;
    place.given_back(&connected).await;
    Line::new(context, connected, None).await
}

async fn visit(context: &Context<'_>, target: Target, place: &Place) -> Result<Session, Failure> {
    let Target { code, server } = target;
    // A link is good for its own server only.
    let common = context.common;
    let of_link = server.map(|server| common.server_of_link(server));
    let (server, signaling, joined) = match of_link.or_else(|| common.server()) {
        Some(server) => {
            let token = common.token_for(&server);
            let (signaling, joined) = join_existing(&server, code.room(), token)
                .await
                .map_err(|error| Failure::from(&error))?;
            (server, signaling, joined)
        }
        None => {
            let joining = |server: ServerUrl| join_if_there(server, &code);
            discover::find(&[code.room()], joining).await?
        }
    };
    tracing::info!(%server, "joined");
    place.taken(&signaling);
    let config = context.session_config(&server);
    Session::guest(signaling, &joined, &code, config)
        .await
        .map_err(|error| Failure::from(&error))
}

/// A call in an open room.
pub(crate) struct InRoom {
    pub(crate) session: PlainSession,
    embedded: Option<Embedded>,
    /// The path when it was connected.
    first: Option<Path>,
}

impl InRoom {
    /// As [`Line::verify`]; without a code the server is trusted, unless somebody compares the words.
    pub(crate) async fn verify(&self, context: &Context<'_>) -> Result<(), Failure> {
        let ended = async { Failure::from(&*self.session.ended().await) };
        line::verify(context, self.session.phrase(), ended).await
    }

    /// How the packets travel now, or did.
    pub(crate) async fn route(&self) -> Route {
        let now = self.session.path().await;
        now.as_ref().or(self.first.as_ref()).into()
    }

    /// Hangs up, and ends the embedded server.
    pub(crate) async fn end(self) {
        self.session.close().await;
        if let Some(embedded) = self.embedded {
            embedded.end().await;
        }
    }
}

/// Meets somebody in an open room. `codecs` are sent from the beginning, as tracks that come back.
pub(crate) async fn room(
    context: &Context<'_>,
    room: RoomName,
    codecs: &[Codec],
) -> Result<(InRoom, Vec<OutgoingTrack>), Failure> {
    let named = context.common.server();
    let embedded = match named {
        None => Some(Embedded::start()?),
        Some(_) => None,
    };
    let place = Place::default();
    let meeting = meet(context, named, embedded.as_ref(), room, codecs, &place);
    let met = context.limited(meeting).await;
    place.given_back(&met).await;
    match met {
        Ok((session, tracks)) => {
            let first = session.path().await;
            context.ui.say(&line::connection(first.as_ref()));
            let room = InRoom {
                session,
                embedded,
                first,
            };
            Ok((room, tracks))
        }
        Err(failure) => {
            if let Some(embedded) = embedded {
                embedded.end().await;
            }
            Err(failure)
        }
    }
}

async fn meet(
    context: &Context<'_>,
    named: Option<ServerUrl>,
    embedded: Option<&Embedded>,
    room: RoomName,
    codecs: &[Codec],
    place: &Place,
) -> Result<(PlainSession, Vec<OutgoingTrack>), Failure> {
    let server = match (named, embedded) {
        (Some(named), _) => named,
        (None, Some(embedded)) => embedded.local_url(),
        (None, None) => return Err(Failure::bug("no server to meet at")),
    };
    if let Some(embedded) = embedded {
        let server = embedded.public_url().page().to_owned();
        context.ui.say(&Event::Listening { server });
    }
    let join = Join {
        room: Some(room.clone()),
        token: context.common.token_for(&server),
        ..Join::default()
    };
    let (signaling, joined) = Signaling::join(&server, join)
        .await
        .map_err(|error| Failure::from(&error))?;
    place.taken(&signaling);
    context.ui.say(&Event::Waiting { devices: vec![] });
    context.ui.note(&format!(
        "Waiting for a call in room {room}. The server is trusted to say who it is. Ctrl-C ends it."
    ));
    let config = context.session_config(&server);
    let met = PlainSession::meet(signaling, &joined, config, codecs).await;
    met.map_err(|error| Failure::from(&error))
}

/// Enters a room that the other side has made.
pub(crate) async fn join_existing(
    server: &ServerUrl,
    room: &str,
    token: Option<Secret>,
) -> Result<(Signaling, Joined), SignalingError> {
    let join = Join {
        room: room.parse().ok(),
        create: Some(false),
        token,
        ..Join::default()
    };
    Signaling::join(server, join).await
}

async fn join_if_there(
    server: ServerUrl,
    code: &Code,
) -> Result<Option<(ServerUrl, Signaling, Joined)>, Failure> {
    match join_existing(&server, code.room(), None).await {
        Ok((signaling, joined)) => Ok(Some((server, signaling, joined))),
        Err(SignalingError::Refused(refusal)) if refusal.code == ErrorCode::NoSuchRoom => Ok(None),
        Err(error) => Err(Failure::from(&error)),
    }
}

fn room_name(room: &str) -> Result<RoomName, Failure> {
    room.parse()
        .map_err(|_| Failure::bug("a code's room is no room"))
}

impl Context<'_> {
    /// `connecting` until it is done, `--timeout` is over, or Ctrl-C is pressed.
    pub(crate) async fn limited<T>(
        &self,
        connecting: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let limit = self.common.timeout;
        let limited = async {
            match limit {
                None => connecting.await,
                Some(limit) => timeout(limit, connecting)
                    .await
                    .unwrap_or_else(|_| Err(too_late(limit))),
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Failure::ctrl_c()),
            result = limited => result,
        }
    }

    pub(crate) fn session_config(&self, server: &ServerUrl) -> SessionConfig {
        SessionConfig {
            agent: concat!("peer-cli/", env!("CARGO_PKG_VERSION")).to_owned(),
            intent: self.intent,
            codecs: self.codecs.clone(),
            ice_servers: self.common.ice_servers(),
            policy: self.common.paths(),
            loopback: is_on_this_host(server),
            ..SessionConfig::default()
        }
    }
}

fn too_late(limit: Duration) -> Failure {
    let message = format!(
        "the other side was not connected within {} s",
        limit.as_secs_f64()
    );
    Failure::new(Exit::NoPath, "timeout", message)
        .hint("check that both sides use the same code, or give them more time with --timeout")
        .retry()
}

/// Whether both sides may be on this host: only then may loopback addresses be used, since to anybody
/// else they would mean another machine.
fn is_on_this_host(server: &ServerUrl) -> bool {
    match Url::parse(server.page())
        .ok()
        .and_then(|url| url.host().map(|host| host.to_owned()))
    {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_on_this_host_opens_loopback() {
        for (server, local) in [
            ("http://127.0.0.1:8787", true),
            ("http://127.9.9.9:1", true),
            ("http://[::1]:1", true),
            ("http://localhost:1", true),
            ("https://localhost.example.org", false),
            ("http://10.0.0.2:8787", false),
            ("https://127.0.0.1.example.org", false),
        ] {
            assert_eq!(is_on_this_host(&server.parse().unwrap()), local, "{server}");
        }
    }
}
