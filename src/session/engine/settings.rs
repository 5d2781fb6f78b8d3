//! How connections are set up: timing, windows, addresses and servers.

use super::super::{PathPolicy, SessionConfig};
use crate::net::NonceCountingProvider;
use crate::net::packet::Packets;
use crate::net::turn::Servers;
use signaling_protocol::IceServer;
use std::sync::Arc;
use std::time::Duration;
use webrtc::peer_connection::{
    CipherSuiteId, RTCConfiguration, RTCConfigurationBuilder, RTCIceServer, RTCIceTransportPolicy,
    SettingEngine, SettingEngineBuilder,
};

/// SCTP's receive window. 1.5 MiB is 120 Mbit/s at 100 ms, and lanes multiply that; 8 MiB measured half as fast on
/// loopback, and 2 MiB took the sender's memory from 55 to 73 MiB at times.
const RECEIVE_WINDOW: u32 = 1536 << 10;

/// DTLS records that one may be late by (RFC 6347 section 4.1.2.6). The usual 64 are 8 ms at 100 Mbit/s: jitter makes
/// DTLS drop what is later, and so does a repaired path where an acknowledgement overtakes what waits behind
/// a gap. SCTP's window is 1,300 records.
const REPLAY_WINDOW: usize = 4096;

/// Connectivity checks: an interval short enough not to be felt, and attempts that span 5 s of loss.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
const CHECK_ATTEMPTS: u16 = 100;

/// Bulk leaves in `packets`.
pub(super) fn settings(config: &SessionConfig, packets: Packets) -> SettingEngine {
    let no_wait = Some(Duration::ZERO);
    SettingEngineBuilder::new()
        .with_crypto_provider(Arc::new(NonceCountingProvider::new()))
        // Our certificates are ECDSA: a peer that picked an RSA suite would stall.
        .with_dtls_cipher_suites(vec![
            CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
            CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
        ])
        .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
        .with_host_acceptance_min_wait(no_wait)
        .with_srflx_acceptance_min_wait(no_wait)
        // Against a browser that hides its addresses every pair is peer-reflexive.
        .with_prflx_acceptance_min_wait(no_wait)
        // A direct path deserves a head start over a relayed one, if there may be any.
        .with_relay_acceptance_min_wait(match config.policy {
            PathPolicy::RelayOnly => no_wait,
            _ => Some(Duration::from_millis(500)),
        })
        .with_ice_timeouts(
            Some(config.healing.path_lost),
            Some(config.healing.path_failed),
            Some(config.healing.keepalive),
        )
        .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(CHECK_ATTEMPTS))
        .with_discard_local_candidates_during_ice_restart(true)
        .with_include_loopback_candidate(config.loopback)
        .with_dtls_replay_protection_window(REPLAY_WINDOW)
        .with_sctp_max_receive_buffer_size(RECEIVE_WINDOW)
        .with_sctp_mtu(packets.sctp())
        .build()
}

/// The servers, and whether anything but a relay may be used.
pub(super) fn configuration(
    policy: PathPolicy,
    ice_servers: &[IceServer],
    servers: &Servers,
) -> RTCConfiguration {
    let engine_servers = ice_servers
        .iter()
        .filter_map(|server| engine_server(server, servers));
    RTCConfigurationBuilder::new()
        .with_ice_servers(engine_servers.collect())
        .with_ice_transport_policy(match policy {
            PathPolicy::RelayOnly => RTCIceTransportPolicy::Relay,
            _ => RTCIceTransportPolicy::All,
        })
        .build()
}

/// A server as the engine takes it, without the URLs that it would refuse everything for; `None` if
/// nothing is left.
fn engine_server(server: &IceServer, servers: &Servers) -> Option<RTCIceServer> {
    let anonymous = server.username.is_none() || server.credential.is_none();
    let url = |url: &String| match url.split_once(':') {
        Some(("stun", _)) => Some(url.clone()),
        _ if anonymous => None,
        _ => servers.register(url),
    };
    let urls: Vec<_> = server.urls.iter().filter_map(url).collect();
    if urls.len() < server.urls.len() {
        tracing::warn!(urls = ?server.urls, "not all of these servers can be used");
    }
    (!urls.is_empty()).then(|| RTCIceServer {
        urls,
        username: server.username.clone().unwrap_or_default(),
        credential: server
            .credential
            .as_ref()
            .map(|secret| secret.expose().to_owned())
            .unwrap_or_default(),
    })
}

/// Wildcards, which the engine expands to every interface at each ICE restart, so that a machine that
/// moved is reachable again; and loopback, which it leaves out, if the peer may be on this machine.
pub(super) fn bind_addresses(loopback: bool) -> Vec<String> {
    let mut addresses = vec!["0.0.0.0:0".to_owned()];
    if std::net::UdpSocket::bind("[::]:0").is_ok() {
        addresses.push("[::]:0".into());
    }
    if loopback {
        addresses.push("127.0.0.1:0".into());
    }
    addresses
}
