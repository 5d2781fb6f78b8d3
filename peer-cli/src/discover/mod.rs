//! Finding a room when no server was named: on this host, then on the local network.

mod mdns;
mod probe;
mod search;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use peerline::signaling::ServerUrl;
use tokio::time::{Instant, sleep_until};

pub(crate) use mdns::{Announcement, Listener};
pub(crate) use probe::is_peerline;
use search::{Action, Input, Search};

use crate::exit::{Exit, Failure};

/// The ports on which a sender starts its embedded server, unless all are taken.
pub(crate) const PORTS: std::ops::RangeInclusive<u16> = 8787..=8806;

/// How long a room is looked for. Multicast answers come within a second; a lost packet is asked
/// for again after one and after three.
const LIMIT: Duration = Duration::from_secs(5);

/// Finds a server that has one of `rooms`, and joins it with `join`, which says `None` if that server has none
/// of them. The first that succeeds wins, the others are dropped.
pub(crate) async fn find<T, F>(rooms: &[&str], join: impl Fn(ServerUrl) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<Option<T>, Failure>>,
{
    let listener = Listener::start(rooms)
        .inspect_err(|error| tracing::warn!(%error, "cannot listen on the local network"))
        .ok();
    let room = rooms.first().copied().unwrap_or_default();
    find_among(PORTS, listener.as_ref(), room, join).await
}

async fn find_among<T, F>(
    ports: impl IntoIterator<Item = u16>,
    listener: Option<&Listener>,
    room: &str,
    join: impl Fn(ServerUrl) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<Option<T>, Failure>>,
{
    let (mut search, mut actions) = Search::start(ports, own_addresses());
    let mut hears = listener;
    if hears.is_none() {
        actions.extend(search.handle(Input::Deaf));
    }
    let mut probes = FuturesUnordered::new();
    let mut joins = FuturesUnordered::new();
    let mut refusal = None;
    let deadline = Instant::now() + LIMIT;
    loop {
        for action in actions {
            match action {
                Action::Probe(address) => {
                    probes.push(async move { (address, is_peerline(address).await) });
                }
                Action::Join(address) => {
                    tracing::info!(%address, "found a server");
                    let joining = join(ServerUrl::from(address));
                    joins.push(async move { (address, joining.await) });
                }
                Action::GiveUp => return Err(refusal.unwrap_or_else(|| not_found(room))),
            }
        }
        let input = tokio::select! {
            Some((address, result)) = joins.next() => match result {
                Ok(Some(joined)) => return Ok(joined),
                Ok(None) => Input::NotThere(address),
                Err(failure) => {
                    tracing::info!(%address, %failure, "cannot join there");
                    refusal = Some(failure);
                    Input::NotThere(address)
                }
            },
            Some((address, found)) = probes.next() => {
                if found { Input::Answered(address) } else { Input::Silent(address) }
            }
            announced = next_announced(hears) => match announced {
                Some(server) => Input::Announced { addresses: server.addresses, port: server.port },
                None => {
                    hears = None;
                    Input::Deaf
                }
            },
            () = sleep_until(deadline) => return Err(refusal.unwrap_or_else(|| not_found(room))),
        };
        actions = search.handle(input);
    }
}

async fn next_announced(listener: Option<&Listener>) -> Option<mdns::Announced> {
    match listener {
        Some(listener) => listener.next().await,
        None => std::future::pending().await,
    }
}

fn not_found(room: &str) -> Failure {
    let message = format!("no server with room {room} on this computer or the local network");
    Failure::new(Exit::NoSignaling, "not-found", message)
        .hint(
            "check that the sender still waits; if it is elsewhere, name its server with --server",
        )
        .retry()
}

/// All addresses of this host; empty if the system does not say.
fn own_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.iter().map(|interface| interface.ip()).collect()
}

/// The address under which others on the network most likely reach this host: the one that packets
/// to the internet would leave from, else any that works beyond this host, IPv4 first.
pub(crate) fn primary_address() -> Option<IpAddr> {
    let mut all: Vec<IpAddr> = outgoing_address()
        .into_iter()
        .chain(own_addresses())
        .collect();
    all.retain(search::is_reachable);
    // Stable: among addresses of one family the order above stays.
    all.sort_by_key(IpAddr::is_ipv6);
    all.first().copied()
}

fn outgoing_address() -> Option<IpAddr> {
    // Connecting a UDP socket only consults the routing table; 192.0.2.1 (RFC 5737) is nobody.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect(SocketAddr::from(([192, 0, 2, 1], 9))).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    /// Something on a free port that answers every connection with `answer`.
    async fn serve(tasks: &mut JoinSet<()>, answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // Closing with the request unread would reset the connection.
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        port
    }

    const OURS: &str = "HTTP/1.1 200 OK\r\n\r\n{\"service\":\"peerline\",\"version\":\"0\"}";

    #[tokio::test]
    async fn the_server_with_the_room_is_joined_and_the_others_are_passed_over() {
        let mut tasks = JoinSet::new();
        let web = serve(&mut tasks, "HTTP/1.1 200 OK\r\n\r\nhello").await;
        let empty = serve(&mut tasks, OURS).await;
        let right = serve(&mut tasks, OURS).await;
        let asked = AtomicUsize::new(0);
        let found = find_among([web, empty, right], None, "7", |server| {
            asked.fetch_add(1, Ordering::Relaxed);
            let has_room = server == ServerUrl::from(SocketAddr::from(([127, 0, 0, 1], right)));
            async move { Ok(has_room.then_some(server)) }
        });
        let server = found.await.expect("is found");
        assert!(server.page().ends_with(&format!(":{right}/")));
        assert!(
            asked.into_inner() <= 2,
            "the web server is not asked for a room"
        );
    }

    #[tokio::test]
    async fn nothing_found_says_where_to_look_and_a_refusal_is_passed_on() {
        let none = find_among([], None, "7", |_| async { Ok(None::<()>) }).await;
        let failure = none.expect_err("nothing is there");
        assert_eq!(failure.exit, Exit::NoSignaling);
        assert!(failure.to_string().contains("--server"), "{failure}");

        let mut tasks = JoinSet::new();
        let full = serve(&mut tasks, OURS).await;
        let refusal = Failure::new(
            Exit::WrongCode,
            "room-full",
            "somebody else is there already",
        );
        let result: Result<(), _> = find_among([full], None, "7", |_| {
            let refusal = refusal.clone();
            async move { Err(refusal) }
        })
        .await;
        assert_eq!(result, Err(refusal.clone()));
    }

    #[test]
    fn the_address_for_others_is_not_loopback() {
        // A machine without a network has none; one with a network has one that others can use.
        if let Some(ip) = primary_address() {
            assert!(!ip.is_loopback() && !ip.is_unspecified());
        }
    }
}
