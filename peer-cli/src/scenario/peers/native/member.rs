//! A native peer in an open room, which pages enter as well.

use peerline::media::Codec;
use peerline::net::link::LinkConfig;
use peerline::net::{EmulatedLink, Network};
use peerline::session::{PlainSession, SessionConfig};
use peerline::signaling::{ServerUrl, Signaling};
use signaling_protocol::{Join, Joined, RoomName};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::super::Order;
use super::clip;
use crate::scenario::inbox::Seen;
use crate::scenario::plan::{Act, State};
use crate::scenario::report::Reporter;
use crate::scenario::timeline::Input;

/// A place in a room.
pub(in super::super::super) struct Membership {
    pub(in super::super::super) room: String,
    /// What it sends to whoever calls it, or whom it calls.
    pub(in super::super::super) sends: Vec<Codec>,
    pub(in super::super::super) network: LinkConfig,
    pub(in super::super::super) reporter: Reporter,
    pub(in super::super::super) orders: mpsc::Receiver<Order>,
}

/// Enters the room, and is there until it is told to go or nobody gives orders any more.
pub(in super::super::super) async fn join(server: ServerUrl, mut membership: Membership) {
    let reporter = membership.reporter.clone();
    let entered = enter(&server, &membership.room).await;
    let (signaling, joined) = match entered {
        Ok(entered) => entered,
        Err(why) => return reporter.broken(why).await,
    };
    reporter.tell(Input::Up(reporter.peer)).await;
    let link = EmulatedLink::new(membership.network.clone());
    let config = SessionConfig {
        codecs: Codec::ALL.to_vec(),
        loopback: true,
        network: Network::Emulated(link.clone()),
        ..SessionConfig::default()
    };
    let calling = call(signaling, joined, config, &membership.sends, &reporter);
    tokio::pin!(calling);
    let act = loop {
        tokio::select! {
            order = membership.orders.recv() => match order {
                Some(Order::Act(act @ (Act::Leave | Act::Kill))) => break act,
                Some(Order::Act(_)) => {
                    reporter.done(Err("a member of a room cannot do that".into())).await;
                }
                Some(Order::Ask(_) | Order::Picture(_)) => {}
                None => return,
            },
            never = &mut calling => match never {},
        }
    };
    if act == Act::Kill {
        link.set_outage(true);
    }
    reporter.done(Ok(())).await;
}

async fn enter(server: &ServerUrl, room: &str) -> Result<(Signaling, Joined), String> {
    let room: RoomName = room.parse().map_err(|_| format!("'{room}' is no room"))?;
    let join = Join {
        room: Some(room),
        ..Join::default()
    };
    let entered = Signaling::join(server, join).await;
    entered.map_err(|error| error.to_string())
}

/// Meets somebody, and tells what becomes of it.
async fn call(
    signaling: Signaling,
    joined: Joined,
    config: SessionConfig,
    sends: &[Codec],
    reporter: &Reporter,
) -> std::convert::Infallible {
    let met = PlainSession::meet(signaling, &joined, config, sends).await;
    let (mut session, outgoing) = match met {
        Ok(met) => met,
        Err(error) => {
            let why = Some(error.to_string());
            reporter.seen(Seen::State(State::Ended, why)).await;
            return std::future::pending().await;
        }
    };
    reporter.seen(Seen::State(State::Connected, None)).await;
    let mut tasks = JoinSet::new();
    for track in outgoing {
        tasks.spawn(clip::play(track));
    }
    let mut tracks = session.incoming_tracks();
    loop {
        tokio::select! {
            track = tracks.next() => {
                let Some(track) = track else { break };
                let teller = clip::Teller::Member(reporter.clone());
                tasks.spawn(clip::count(track, teller));
            }
            _ = session.ended() => break,
        }
    }
    let why = Some(session.ended().await.to_string());
    reporter.seen(Seen::State(State::Ended, why)).await;
    std::future::pending().await
}
