//! Asks STUN servers what they see of one socket (RFC 8489).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use signaling_protocol::IceServer;
use stun_types::message::TransactionId;
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::verdict::Mappings;
use crate::stun::{mapped, question};

/// For all of them: a request is repeated after 0.5, 1 and 1.5 s.
const LIMIT: Duration = Duration::from_millis(2_500);
const REPEAT: Duration = Duration::from_millis(500);
const REPEATS: u32 = 4;

/// Servers that are asked; more say nothing new.
const MOST: usize = 6;

/// The port of STUN and TURN without TLS.
const PORT: u16 = 3478;

/// The servers that answer over UDP without TLS, as `host:port`: TURN servers answer as STUN servers do.
pub(super) fn servers(ice_servers: &[IceServer]) -> Vec<String> {
    let mut found = Vec::new();
    for url in ice_servers.iter().flat_map(|server| &server.urls) {
        let Some(server) = over_udp(url) else {
            continue;
        };
        if !found.contains(&server) && found.len() < MOST {
            found.push(server);
        }
    }
    found
}

/// `host:port` of a server that is reached over UDP without TLS.
pub(super) fn over_udp(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once(':')?;
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_udp = matches!(scheme, "stun" | "turn") && !query.contains("transport=tcp");
    let has_port = address
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.ends_with(']'));
    is_udp.then(|| match has_port {
        true => address.to_owned(),
        false => format!("{address}:{PORT}"),
    })
}

/// What each of them sees of one socket.
pub(super) async fn ask(servers: &[String]) -> Mappings {
    let until = Instant::now() + LIMIT;
    let mut asked: Vec<(String, Result<SocketAddr, String>)> = Vec::new();
    let Ok(socket) = UdpSocket::bind("0.0.0.0:0").await else {
        return Mappings::default();
    };
    let mut waiting: HashMap<TransactionId, (usize, SocketAddr, Vec<u8>)> = HashMap::new();
    for server in servers {
        let found = timeout_at(until, lookup_host(server.clone())).await;
        let address = match found {
            Ok(Ok(mut addresses)) => addresses.find(SocketAddr::is_ipv4),
            Ok(Err(_)) | Err(_) => None,
        };
        let Some(address) = address else {
            asked.push((
                server.clone(),
                Err("its name has no IPv4 address".to_owned()),
            ));
            continue;
        };
        let (id, bytes) = question();
        waiting.insert(id, (asked.len(), address, bytes));
        asked.push((server.clone(), Err("no answer".to_owned())));
    }
    let local = local(
        &socket,
        waiting.values().next().map(|(_, address, _)| *address),
    )
    .await;
    let mut buffer = [0; 2048];
    'asking: for repeat in 1..=REPEATS {
        for (_, address, request) in waiting.values() {
            // Whatever keeps it from leaving keeps the answer away, too.
            let _ = socket.send_to(request, *address).await;
        }
        let next = (Instant::now() + REPEAT * repeat).min(until);
        while !waiting.is_empty() {
            let received = tokio::select! {
                () = sleep_until(next) => break,
                received = socket.recv_from(&mut buffer) => received,
            };
            let Ok((length, from)) = received else {
                continue;
            };
            let Some((id, seen)) = mapped(&buffer[..length]) else {
                continue;
            };
            // Anybody may send us anything.
            if waiting
                .get(&id)
                .is_some_and(|(_, address, _)| *address == from)
                && let Some((index, ..)) = waiting.remove(&id)
            {
                asked[index].1 = Ok(seen);
            }
        }
        if waiting.is_empty() || Instant::now() >= until {
            break 'asking;
        }
    }
    Mappings { local, seen: asked }
}

/// The address that packets to `server` leave from.
async fn local(socket: &UdpSocket, server: Option<SocketAddr>) -> Option<SocketAddr> {
    let port = socket.local_addr().ok()?.port();
    let probe = UdpSocket::bind("0.0.0.0:0").await.ok()?;
    // Only looks at the routes.
    probe.connect(server?).await.ok()?;
    Some(SocketAddr::new(probe.local_addr().ok()?.ip(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_over_udp() {
        for (url, server) in [
            ("stun:a.example", Some("a.example:3478")),
            ("stun:a.example:19302", Some("a.example:19302")),
            ("turn:10.0.0.1:5000?transport=udp", Some("10.0.0.1:5000")),
            ("turn:[2001:db8::1]", Some("[2001:db8::1]:3478")),
            ("turn:a?transport=tcp", None),
            ("turns:a", None),
            ("stuns:a", None),
            ("nonsense", None),
        ] {
            assert_eq!(over_udp(url).as_deref(), server, "{url}");
        }
    }

    #[tokio::test]
    async fn who_does_not_answer_is_waited_for_and_named() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = silent.local_addr().unwrap().to_string();
        let mappings = ask(std::slice::from_ref(&server)).await;
        assert_eq!(mappings.seen, [(server, Err("no answer".to_owned()))]);
    }
}
