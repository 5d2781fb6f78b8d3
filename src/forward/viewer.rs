//! The call with somebody who watches by HTTP: it has as many sections as it asked for, and each carries one track at
//! a time, the oldest that fits. When that ends, the next one goes on in its place.

use super::forwarding::Way;
use super::member::{Order, Report, Reports};
use super::roster::{MemberKey, TrackKey};
use crate::media::Codec;
use crate::media::track::{Feedback, FeedbackSink, OutgoingPackets};
use crate::session::{PlainSession, SessionConfig, Terms};
use crate::signaling::Signaling;
use crate::whip::Section;
use signaling_protocol::{Joined, PeerName};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// What the viewer says of its sections, each under its index: a NACK each 20 ms of a few of them.
const FEEDBACK: usize = 64;

/// All tracks of a viewer are one stream, which its player keeps in time.
const STREAM: &str = "peerline";

/// The call with one viewer.
pub(super) struct Viewer {
    pub(super) key: MemberKey,
    pub(super) reports: Reports,
    pub(super) orders: mpsc::Receiver<Order>,
    /// Whose tracks it watches; without it, everybody's.
    pub(super) of: Option<PeerName>,
    /// What it takes, and of that what each section is sent in.
    pub(super) sections: Vec<(Section, Codec)>,
    /// Whether we call.
    pub(super) calls: bool,
}

/// A track of the room.
struct Spare {
    codec: Codec,
    way: Way,
}

struct Slot {
    codec: Codec,
    accepts: Section,
    outgoing: OutgoingPackets,
    is_ready: bool,
    playing: Option<TrackKey>,
}

/// The codec of each section: that of the oldest track that it can carry and no section before it does. `None` if there
/// is nothing for any of them.
pub(super) fn assign(sections: &[Section], tracks: &[Codec]) -> Option<Vec<(Section, Codec)>> {
    let mut left = tracks.to_vec();
    let mut is_any = false;
    let mut codecs = Vec::new();
    for section in sections {
        let found = left.iter().position(|codec| section.contains(codec));
        is_any |= found.is_some();
        let codec = match found {
            Some(index) => Some(left.remove(index)),
            None => section.first().copied(),
        };
        codecs.push((section.clone(), codec?));
    }
    is_any.then_some(codecs)
}

impl Viewer {
    /// Until the viewer is gone, or there are no orders to wait for.
    pub(super) async fn run(
        mut self,
        (signaling, joined): (Signaling, Joined),
        config: SessionConfig,
    ) {
        let (feedback_tx, feedback) = mpsc::channel(FEEDBACK);
        let relayed = self.sections.iter().enumerate().map(|(index, (_, codec))| {
            let sink = FeedbackSink {
                who: index as u64,
                feedback: feedback_tx.clone(),
            };
            (*codec, STREAM.to_owned(), sink)
        });
        let terms = Terms {
            relayed: relayed.collect(),
            sends_only: true,
            tells_end: true,
            restarts: self.calls,
        };
        let met = tokio::select! {
            met = PlainSession::meet_on(signaling, &joined, config, &[], terms) => met,
            // Only those who are connected get orders, so this is the end.
            _ = self.orders.recv() => return,
        };
        let (session, _, outgoing) = match met {
            Ok(met) => met,
            Err(_) if self.calls => return self.report(Report::Unmet).await,
            Err(error) => return self.report(Report::Failed(error.to_string())).await,
        };
        self.report(Report::Connected).await;
        let sections = std::mem::take(&mut self.sections).into_iter();
        let slot = |((accepts, codec), outgoing)| Slot {
            codec,
            accepts,
            outgoing,
            is_ready: false,
            playing: None,
        };
        let slots = sections.zip(outgoing).map(slot).collect();
        self.serve(session, slots, feedback).await;
        self.report(Report::Gone).await;
    }

    async fn report(&self, report: Report) {
        // A hub that is gone hears nothing.
        let _ = self.reports.send((self.key, report)).await;
    }

    async fn serve(
        &mut self,
        session: PlainSession,
        mut slots: Vec<Slot>,
        mut feedback: mpsc::Receiver<(u64, Feedback)>,
    ) {
        let mut tracks: BTreeMap<TrackKey, Spare> = BTreeMap::new();
        loop {
            tokio::select! {
                end = session.ended() => {
                    tracing::info!(reason = %end, "a viewer is gone");
                    break;
                }
                Some((index, said)) = feedback.recv() => {
                    let Some(slot) = slots.get_mut(index as usize) else { continue };
                    slot.is_ready |= said == Feedback::Ready;
                    if said == Feedback::Refused {
                        tracing::warn!(codec = slot.codec.name(), "the viewer does not take it");
                    }
                    let playing = slot.playing.and_then(|track| tracks.get(&track));
                    if let Some(Spare { way, .. }) = playing {
                        let sink = way.sink(self.key);
                        match said {
                            Feedback::Ready | Feedback::Refused => sink.tell(said).await,
                            _ => sink.give(said),
                        }
                    }
                }
                order = self.orders.recv() => match order {
                    Some(Order::Carry { track, codec, from, way }) => {
                        if self.of.is_some() && self.of != from.name {
                            continue;
                        }
                        tracks.insert(track, Spare { codec, way });
                        self.fill(&mut slots, &tracks).await;
                        if must_come_back(&slots, &tracks) {
                            break;
                        }
                    }
                    Some(Order::Drop { track }) => {
                        let Some(Spare { way, .. }) = tracks.remove(&track) else { continue };
                        if let Some(slot) = slots.iter_mut().find(|slot| slot.playing == Some(track)) {
                            slot.playing = None;
                            way.remove(self.key).await;
                            self.fill(&mut slots, &tracks).await;
                        }
                        // A server that we publish at is left when there is nothing more to publish.
                        if must_come_back(&slots, &tracks) || (self.calls && tracks.is_empty()) {
                            break;
                        }
                    }
                    None => break,
                },
            }
        }
        for track in slots.iter().filter_map(|slot| slot.playing) {
            if let Some(Spare { way, .. }) = tracks.get(&track) {
                way.remove(self.key).await;
            }
        }
        session.close().await;
    }

    /// Gives sections that carry nothing something to carry.
    async fn fill(&self, slots: &mut [Slot], tracks: &BTreeMap<TrackKey, Spare>) {
        for index in 0..slots.len() {
            let used: Vec<_> = slots.iter().filter_map(|slot| slot.playing).collect();
            let slot = &mut slots[index];
            if slot.playing.is_some() {
                continue;
            }
            let fits = |(key, spare): &(&TrackKey, &Spare)| {
                spare.codec == slot.codec && !used.contains(key)
            };
            let Some((key, spare)) = tracks.iter().find(fits) else {
                continue;
            };
            slot.playing = Some(*key);
            spare.way.add(self.key, slot.outgoing.clone()).await;
            if slot.is_ready {
                spare.way.sink(self.key).tell(Feedback::Ready).await;
            }
        }
    }
}

/// Whether a section is empty and could carry what there is in another codec. What was negotiated stays, so the viewer
/// has to ask anew.
fn must_come_back(slots: &[Slot], tracks: &BTreeMap<TrackKey, Spare>) -> bool {
    let is_spare = |key: &TrackKey| slots.iter().all(|slot| slot.playing != Some(*key));
    let spare = || tracks.iter().filter(|(key, _)| is_spare(key));
    slots.iter().any(|slot| {
        slot.playing.is_none() && spare().any(|(_, spare)| slot.accepts.contains(&spare.codec))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_sent_in_what_there_is() {
        use Codec::{H264, Opus, Vp8};
        let (audio, video) = (vec![Opus], vec![Vp8, H264]);
        let codecs = |sections: &[Section], tracks: &[Codec]| {
            let assigned = assign(sections, tracks)?;
            Some(assigned.into_iter().map(|(_, codec)| codec).collect())
        };
        let both = [audio.clone(), video.clone()];
        /// What is offered, what there is, and what is sent.
        type Row<'a> = (&'a [Section], &'a [Codec], Option<Vec<Codec>>);
        let rows: &[Row<'_>] = &[
            (&both, &[H264, Opus], Some(vec![Opus, H264])),
            (&both, &[Opus], Some(vec![Opus, Vp8])),
            (&both, &[Codec::Av1], None),
            (&both, &[], None),
            (&[video.clone(), video], &[H264, Vp8], Some(vec![H264, Vp8])),
            (&[audio], &[Vp8, Opus], Some(vec![Opus])),
            (&[], &[Opus], None),
        ];
        for (sections, tracks, expected) in rows {
            assert_eq!(
                &codecs(sections, tracks),
                expected,
                "{sections:?} {tracks:?}"
            );
        }
    }
}
