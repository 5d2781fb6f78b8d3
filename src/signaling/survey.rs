//! Which ways lead to a server, each tried by itself.

use super::client::ask;
use super::error::{Lost, SignalingError, Unreachable};
use super::http::{Ask, Connection};
use super::requests::Requests;
use super::server_url::ServerUrl;
use super::transport::{Incoming, Transport};
use super::websocket::WebSocket;
use hyper::Method;
use hyper::header::DATE;
use signaling_protocol::{ClientMessage, IceServer, Join, Secret, ServerMessage};
use std::future::{Future, ready};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// For each way: two members, and a message from one to the other.
const LIMIT: Duration = Duration::from_secs(4);

/// What was found.
#[derive(Debug)]
pub struct Survey {
    /// A message over WebSockets: the time from nothing to its arrival.
    pub websocket: Result<Duration, SignalingError>,
    /// Over requests and a stream of events.
    pub events: Result<Duration, SignalingError>,
    /// Over requests and long polls.
    pub polls: Result<Duration, SignalingError>,
    /// The `Date` of the server, as it wrote it, to the second.
    pub date: Option<String>,
    /// The STUN and TURN servers that it names.
    pub ice_servers: Vec<IceServer>,
}

/// Tries all ways to `server` at once, in rooms of its own.
pub async fn survey(server: &ServerUrl, token: Option<Secret>) -> Survey {
    let join = Join {
        create: Some(true),
        capacity: Some(2),
        token,
        ..Join::default()
    };
    let websocket = tried(server, &join, || WebSocket::connect(server));
    let events = tried(server, &join, || {
        ready(Ok(Requests::streaming(server.clone())))
    });
    let polls = tried(server, &join, || {
        ready(Ok(Requests::polling(server.clone())))
    });
    let date = async { timeout(LIMIT, date(server)).await.ok().flatten() };
    let (websocket, events, polls, date) = tokio::join!(websocket, events, polls, date);
    let named = [&websocket, &events, &polls];
    let ice_servers = named.into_iter().find_map(|way| way.as_ref().ok());
    Survey {
        ice_servers: ice_servers.map_or_else(Vec::new, |(_, servers)| servers.clone()),
        websocket: websocket.map(|(took, _)| took),
        events: events.map(|(took, _)| took),
        polls: polls.map(|(took, _)| took),
        date,
    }
}

/// Two members by one way; the first hears that the second has come.
async fn tried<T: Transport, F: Future<Output = Result<T, Unreachable>>>(
    server: &ServerUrl,
    join: &Join,
    connect: impl Fn() -> F,
) -> Result<(Duration, Vec<IceServer>), SignalingError> {
    let unreachable = |cause| SignalingError::Unreachable {
        server: server.clone(),
        cause,
    };
    let trying = async {
        let started = Instant::now();
        let mut first = connect().await.map_err(unreachable)?;
        let joined = ask(&mut first, join.clone()).await?;
        let mut second = connect().await.map_err(unreachable)?;
        let follow = Join {
            room: Some(joined.room.clone()),
            create: Some(false),
            ..join.clone()
        };
        ask(&mut second, follow).await?;
        loop {
            let heard = first.receive().await.map_err(SignalingError::Lost)?;
            let Incoming::Message { message, .. } = heard else {
                continue;
            };
            if let ServerMessage::PeerJoined { .. } = message {
                break;
            }
        }
        let took = started.elapsed();
        for member in [&mut first, &mut second] {
            // The server forgets whoever does not say goodbye a little later.
            let _ = member.send(None, &ClientMessage::Leave).await;
        }
        Ok((took, joined.ice_servers))
    };
    timeout(LIMIT, trying)
        .await
        .unwrap_or_else(|_| Err(unreachable(Unreachable::Timeout)))
}

async fn date(server: &ServerUrl) -> Option<String> {
    let mut connection = Connection::open(server).await.ok()?;
    let ask = Ask {
        method: Method::GET,
        path: "healthz",
        token: None,
        last_event_id: None,
        body: String::new(),
    };
    let response: Result<_, Lost> = connection.ask(server, ask).await;
    let date = response
        .ok()?
        .headers()
        .get(DATE)?
        .to_str()
        .ok()?
        .to_owned();
    Some(date)
}
