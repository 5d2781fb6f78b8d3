//! The call with one member of a room.

use super::forwarding::Way;
use super::roster::{MemberKey, TrackKey};
use crate::media::Codec;
use crate::media::track::IncomingPackets;
use crate::session::{Member, PlainSession, SessionConfig, Terms};
use signaling_protocol::PeerInfo;
use std::collections::HashMap;
use tokio::sync::mpsc;

/// Where members' tasks say it.
pub(super) type Reports = mpsc::Sender<(MemberKey, Report)>;

/// What a member's task has to say.
pub(super) enum Report {
    Connected,
    Published(IncomingPackets),
    Unpublished(TrackKey),
    /// What goes out of the room, as a description.
    Output(String),
    /// Why it could not be connected.
    Failed(String),
    /// A server could not be called; whoever called it says why.
    Unmet,
    Gone,
}

/// What a member's task has to do.
pub(super) enum Order {
    Carry {
        track: TrackKey,
        codec: Codec,
        /// Whose it is.
        from: PeerInfo,
        way: Way,
    },
    Drop {
        track: TrackKey,
    },
}

/// The call with one member.
pub(super) struct Call {
    pub(super) key: MemberKey,
    pub(super) reports: Reports,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) part: Part,
}

/// What a member does in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It sends, and gets what the others send.
    Everything,
    /// It only sends, and talks to us by HTTP.
    Publisher {
        /// We call it.
        calls: bool,
    },
}

impl Part {
    fn terms(self) -> Terms {
        match self {
            Self::Everything => Terms::default(),
            Self::Publisher { calls } => Terms {
                tells_end: true,
                restarts: calls,
                ..Terms::default()
            },
        }
    }
}

impl Call {
    /// Until the member is gone, or there are no orders to wait for.
    pub(super) async fn run(mut self, member: Member, config: SessionConfig) {
        let Member {
            signaling, joined, ..
        } = member;
        let met = tokio::select! {
            met = PlainSession::meet_on(signaling, &joined, config, &[], self.part.terms()) => met,
            // Only those who are connected get orders, so this is the end.
            _ = self.orders.recv() => return,
        };
        let (session, _, _) = match met {
            Ok(met) => met,
            Err(_) if self.part == (Part::Publisher { calls: true }) => {
                return self.report(Report::Unmet).await;
            }
            Err(error) => return self.report(Report::Failed(error.to_string())).await,
        };
        self.report(Report::Connected).await;
        self.serve(session).await;
        self.report(Report::Gone).await;
    }

    async fn report(&self, report: Report) {
        // A hub that is gone hears nothing.
        let _ = self.reports.send((self.key, report)).await;
    }

    async fn serve(&mut self, mut session: PlainSession) {
        let mut incoming = session.incoming_packets();
        let tracks = session.tracks();
        let mut carried: HashMap<TrackKey, (u64, Way)> = HashMap::new();
        loop {
            tokio::select! {
                end = session.ended() => {
                    tracing::info!(reason = %end, "a member is gone");
                    break;
                }
                Some(track) = incoming.recv() => self.report(Report::Published(track)).await,
                order = self.orders.recv() => match order {
                    Some(Order::Carry { .. }) if self.part != Part::Everything => {}
                    Some(Order::Carry { track, codec, from, way }) => {
                        // What a member sends belongs together.
                        let stream = from.id.to_string();
                        match tracks.relay(codec, stream, way.sink(self.key)).await {
                            Ok(outgoing) => {
                                carried.insert(track, (outgoing.id(), way.clone()));
                                way.add(self.key, outgoing).await;
                            }
                            Err(error) => tracing::warn!(%error, "a track cannot be forwarded"),
                        }
                    }
                    Some(Order::Drop { track }) => {
                        if let Some((id, way)) = carried.remove(&track) {
                            way.remove(self.key).await;
                            // A session that has ended says so itself.
                            let _ = tracks.stop(id).await;
                        }
                    }
                    None => break,
                },
            }
        }
        for (_, way) in carried.into_values() {
            way.remove(self.key).await;
        }
        session.close().await;
    }
}
