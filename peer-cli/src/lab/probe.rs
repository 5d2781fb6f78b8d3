//! What a network really does to UDP, found by asking a STUN server with two addresses and two ports each
//! (RFC 5780 sections 4.3 and 4.4).

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::WorldError;
use super::nat::{Behaviour, Depends};
use super::plan::{SECOND, SECOND_V6, SIGNAL, SIGNAL_V6};
use super::world::{Side, World};
use crate::stun::{mapped, question, question_with, response};

/// How long the first answer is waited for: while two neighbours look for each other, packets are lost.
const FIRST: Duration = Duration::from_secs(4);

/// How long any other is; a busy machine answers within this time.
const ANSWER: Duration = Duration::from_secs(1);

/// Between two repetitions of a question (RFC 8489 section 6.2.1).
const REPEAT: Duration = Duration::from_millis(250);

/// What the server has: two addresses of each family, and two ports.
const V4: [IpAddr; 2] = [IpAddr::V4(SIGNAL), IpAddr::V4(SECOND)];
const V6: [IpAddr; 2] = [IpAddr::V6(SIGNAL_V6), IpAddr::V6(SECOND_V6)];
const PORTS: [u16; 2] = [3478, 3479];

/// Answer from the other port, or from the other address as well (RFC 5780 section 7.2).
const OTHER_PORT: [u8; 4] = [0, 0, 0, 2];
const OTHER_BOTH: [u8; 4] = [0, 0, 0, 6];

/// Longest message of either side: header, one address, one change.
const MESSAGE: usize = 128;

/// A STUN server with two addresses of each family, in the lab.
pub(crate) struct Stun {
    _answering: JoinSet<()>,
}

impl Stun {
    pub(crate) fn start(world: &World) -> Result<Self, WorldError> {
        let mut answering = JoinSet::new();
        for family in [V4, V6] {
            let bound = world.signal().enter(move || {
                let places = (0..2).flat_map(|ip| (0..2).map(move |port| place(family, ip, port)));
                places.map(bind).collect::<io::Result<Vec<_>>>()
            })?;
            let sockets = bound.and_then(|all| all.into_iter().map(UdpSocket::from_std).collect());
            let sockets: Arc<[UdpSocket]> = sockets
                .map(|sockets: Vec<_>| sockets.into())
                .map_err(|error| WorldError::Server(format!("STUN: {error}")))?;
            for index in 0..sockets.len() {
                answering.spawn(answer(sockets.clone(), index));
            }
        }
        Ok(Self {
            _answering: answering,
        })
    }

    /// Asks from a host.
    pub(crate) async fn behaviour(
        &self,
        world: &World,
        side: Side,
    ) -> Result<Behaviour, WorldError> {
        let failed = |error: io::Error| WorldError::Server(format!("STUN: {error}"));
        let place = |ip, port| match world.network(side).has_ipv4() {
            true => place(V4, ip, port),
            false => place(V6, ip, port),
        };
        let ask = Client::new(world, side)?;
        let Some(first) = ask.from(place(0, 0), None, FIRST).await.map_err(failed)? else {
            return Ok(Behaviour::Blocks);
        };
        let again = ask.from(place(1, 0), None, ANSWER).await.map_err(failed)?;
        let mapping = if again == Some(first) {
            Depends::EndpointIndependent
        } else if ask.from(place(1, 1), None, ANSWER).await.map_err(failed)? == again {
            Depends::AddressDependent
        } else {
            Depends::AddressAndPortDependent
        };
        // What was asked of the other addresses has opened the way for them.
        let ask = Client::new(world, side)?;
        let mut filtering = Depends::AddressAndPortDependent;
        for (change, found) in [
            (OTHER_BOTH, Depends::EndpointIndependent),
            (OTHER_PORT, Depends::AddressDependent),
        ] {
            let answer = ask.from(place(0, 0), Some(change), ANSWER).await;
            if answer.map_err(failed)?.is_some() {
                filtering = found;
                break;
            }
        }
        Ok(Behaviour::Carries { mapping, filtering })
    }
}

/// One of the server's addresses and ports.
fn place(family: [IpAddr; 2], address: usize, port: usize) -> SocketAddr {
    SocketAddr::new(family[address], PORTS[port])
}

/// One socket of a host.
struct Client(UdpSocket);

impl Client {
    fn new(world: &World, side: Side) -> Result<Self, WorldError> {
        let any: IpAddr = match world.network(side).has_ipv4() {
            true => std::net::Ipv4Addr::UNSPECIFIED.into(),
            false => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let bound = world
            .space(side)
            .enter(move || bind(SocketAddr::new(any, 0)))?;
        bound
            .and_then(UdpSocket::from_std)
            .map(Self)
            .map_err(|source| WorldError::Namespace { source })
    }

    /// The address that `server` sees; `None` if no answer comes within `limit`.
    async fn from(
        &self,
        server: SocketAddr,
        change: Option<[u8; 4]>,
        limit: Duration,
    ) -> io::Result<Option<SocketAddr>> {
        let (id, request) = change.map_or_else(question, question_with);
        let mut buffer = [0; MESSAGE];
        let mut again = tokio::time::interval(REPEAT);
        let answered = async {
            loop {
                tokio::select! {
                    _ = again.tick() => drop(self.0.send_to(&request, server).await?),
                    // What a firewall refuses is no answer.
                    Ok(length) = self.0.recv(&mut buffer) => {
                        if let Some((_, seen)) = mapped(&buffer[..length]).filter(|(of, _)| *of == id) {
                            return Ok(seen);
                        }
                    }
                }
            }
        };
        match timeout(limit, answered).await {
            Ok(answer) => answer.map(Some),
            Err(_) => Ok(None),
        }
    }
}

fn bind(place: SocketAddr) -> io::Result<StdSocket> {
    let socket = StdSocket::bind(place)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Answers what comes to one of the sockets, by the one that was asked for.
async fn answer(sockets: Arc<[UdpSocket]>, index: usize) {
    let mut buffer = [0; MESSAGE];
    loop {
        let Ok((length, from)) = sockets[index].recv_from(&mut buffer).await else {
            continue;
        };
        if let Some((by, response)) = response(&buffer[..length], from, index) {
            // A lost answer is one that never came.
            let _ = sockets[by].send_to(&response, from).await;
        }
    }
}
