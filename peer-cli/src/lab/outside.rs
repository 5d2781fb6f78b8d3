//! What both hosts reach: a signaling server, a TURN server, and one that tells by STUN what a NAT does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::mpsc;
use std::thread::JoinHandle;

use signaling_protocol::Secret;
use signaling_server::{Config, Server, TurnConfig};
use tokio_util::sync::CancellationToken;

use super::WorldError;
use super::nat::Nat;
use super::plan::{RELAY, RELAY_V6, SIGNAL, SIGNAL_V6};
use super::space::Space;

/// The only port that the strictest network lets out to; namespaces have all ports for themselves.
const PORT: u16 = 443;

/// TURN's own (RFC 8656 section 4.1).
const TURN_PORT: u16 = 3478;

/// The servers. Dropping them ends them.
pub(super) struct Outside {
    stop: CancellationToken,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Outside {
    pub(super) fn start(signal: &Space, relay: &Space, turn: bool) -> Result<Self, WorldError> {
        let secret = rand::random::<[u8; 16]>().map(|byte| format!("{byte:02x}"));
        let secret = Secret::new(secret.concat());
        let any = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let mut outside = Self {
            stop: CancellationToken::new(),
            threads: Vec::new(),
        };
        let uris = |host: &str| {
            [
                format!("turn:{host}:{TURN_PORT}?transport=udp"),
                format!("turn:{host}:{PORT}?transport=tcp"),
                format!("stun:{host}:{TURN_PORT}"),
            ]
        };
        let hosts = [RELAY.to_string(), format!("[{RELAY_V6}]")];
        let all: Vec<String> = hosts.iter().flat_map(|host| uris(host)).collect();
        let (stun, turns): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|uri| uri.starts_with("stun:"));
        let server = |urls: Vec<String>| signaling_protocol::IceServer {
            urls,
            username: None,
            credential: None,
        };
        outside.run(
            signal,
            Config {
                listen: any(PORT),
                turn_uris: if turn { turns } else { Vec::new() },
                turn_secret: turn.then(|| secret.clone()),
                ice_servers: vec![server(stun)],
                ..Config::default()
            },
        )?;
        let listen = [TURN_PORT, PORT].map(any);
        outside.run(
            relay,
            Config {
                listen: (Ipv4Addr::LOCALHOST, 0).into(),
                turn: Some(TurnConfig {
                    listen: listen.into(),
                    external_ips: vec![RELAY.into(), RELAY_V6.into()],
                    // Addresses for documentation are denied elsewhere, as nobody has them.
                    allow: ["198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"]
                        .map(|network| network.parse().expect("a network"))
                        .into(),
                    ..TurnConfig::default()
                }),
                turn_secret: Some(secret),
                ..Config::default()
            },
        )?;
        Ok(outside)
    }

    /// Runs a server on a thread that stays in its namespace, as all its sockets do then.
    fn run(&mut self, space: &Space, config: Config) -> Result<(), WorldError> {
        let stop = self.stop.clone();
        let (started, starting) = mpsc::sync_channel(1);
        let thread = space.inhabit(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error.to_string()))),
            };
            runtime.block_on(async {
                match Server::bind(config) {
                    Ok(server) => {
                        let _ = started.send(Ok(()));
                        server.run(stop.cancelled_owned()).await;
                    }
                    Err(error) => drop(started.send(Err(error.to_string()))),
                }
            });
            runtime.shutdown_background();
        })?;
        self.threads.push(thread);
        let gone = |_| Err("its thread ended".to_owned());
        starting
            .recv()
            .unwrap_or_else(gone)
            .map_err(WorldError::Server)
    }

    /// The signaling server as hosts behind `network` reach it.
    pub(super) fn server(network: Nat) -> String {
        let address: IpAddr = match network.has_ipv4() {
            true => SIGNAL.into(),
            false => SIGNAL_V6.into(),
        };
        format!("http://{}", SocketAddr::new(address, PORT))
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
