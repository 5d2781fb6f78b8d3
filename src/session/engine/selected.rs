//! The path that ICE selected, found in the engine's statistics.

use super::super::path::{self, Path, PathKind, RelayTransport};
use super::Engine;
use crate::net::turn::Transport;
use std::time::{Duration, Instant};
use webrtc::peer_connection::{RTCIceCandidateType, RTCStatsReportEntry, StatsSelector};

impl Engine {
    /// The path in use, once ICE has one.
    pub(crate) async fn path(&self) -> Option<Path> {
        let report = self
            .connection
            .get_stats(Instant::now(), StatsSelector::None)
            .await;
        let entries = || report.iter();
        let selected = entries().find_map(|entry| match entry {
            RTCStatsReportEntry::Transport(transport) => {
                Some(&transport.selected_candidate_pair_id)
            }
            _ => None,
        })?;
        let pair = entries().find_map(|entry| match entry {
            RTCStatsReportEntry::IceCandidatePair(pair) if pair.stats.id == *selected => Some(pair),
            _ => None,
        })?;
        let candidate = |id: &str| {
            entries().find_map(|entry| match entry {
                RTCStatsReportEntry::LocalCandidate(candidate)
                | RTCStatsReportEntry::RemoteCandidate(candidate)
                    // The pair names `candidate:x`, the entry is `RTCLocalIceCandidate_candidate:x`.
                    if candidate.stats.id.ends_with(id) =>
                {
                    let address = candidate.address.as_deref().unwrap_or("?");
                    Some((
                        candidate.candidate_type,
                        path::endpoint(address, candidate.port),
                        candidate.url.clone(),
                    ))
                }
                _ => None,
            })
        };
        // Peer-reflexive candidates, which ICE learned from a check, have no entry.
        let unlisted = || {
            (
                RTCIceCandidateType::Prflx,
                "a learned address".to_owned(),
                String::new(),
            )
        };
        let (local_type, local, url) = candidate(&pair.local_candidate_id).unwrap_or_else(unlisted);
        // A check through the peer's TURN server may overtake the candidate that names it.
        let learned = || match self.prober.destination() {
            Some(address) if local_type != RTCIceCandidateType::Relay => {
                let kind = match self.pacing.is_relay(address) {
                    true => RTCIceCandidateType::Relay,
                    false => RTCIceCandidateType::Prflx,
                };
                (kind, address.to_string(), String::new())
            }
            _ => unlisted(),
        };
        let (remote_type, remote, _) = candidate(&pair.remote_candidate_id).unwrap_or_else(learned);
        let relayed = [local_type, remote_type].contains(&RTCIceCandidateType::Relay);
        Some(Path {
            kind: if relayed {
                PathKind::Relayed
            } else {
                PathKind::Direct
            },
            round_trip: Duration::try_from_secs_f64(pair.current_round_trip_time)
                .unwrap_or_default(),
            local,
            remote,
            relay: (local_type == RTCIceCandidateType::Relay).then(|| {
                match self.servers.transport(&url) {
                    Transport::Udp => RelayTransport::Udp,
                    Transport::Tcp => RelayTransport::Tcp,
                    Transport::Tls => RelayTransport::Tls,
                }
            }),
        })
    }
}
