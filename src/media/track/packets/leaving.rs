//! Packets of somebody else that we send, and what their receiver says of them.

use super::super::outgoing::Leg;
use super::QUEUE;
use crate::media::codec::Codec;
use crate::media::packet::Packet;
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_local::{TrackLocal, TrackLocalEvent};

/// What a receiver says of a track of ours.
#[derive(Debug, Clone, PartialEq)]
pub enum Feedback {
    /// It can be received from now on.
    Ready,
    /// The receiver does not understand the codec.
    Refused,
    /// A key frame is needed.
    KeyWanted,
    /// These packets are missing.
    Nack(Vec<u16>),
    /// This part, 0 to 1, was lost since the last time.
    Loss(f32),
}

/// Takes what receivers say, each under its own number.
#[derive(Debug, Clone)]
pub(crate) struct FeedbackSink {
    pub(crate) who: u64,
    pub(crate) feedback: mpsc::Sender<(u64, Feedback)>,
}

impl FeedbackSink {
    pub(crate) fn give(&self, feedback: Feedback) {
        // overflow: dropped; what is not answered is said again.
        let _ = self.feedback.try_send((self.who, feedback));
    }

    /// Says what is said once.
    pub(crate) async fn tell(&self, feedback: Feedback) {
        // Whoever does not listen any more does not have to know.
        let _ = self.feedback.send((self.who, feedback)).await;
    }
}

/// A track of ours that passes somebody else's packets on. Its clones are the same track.
#[derive(Debug, Clone)]
pub(crate) struct OutgoingPackets {
    id: u64,
    clock_rate: u32,
    queue: mpsc::Sender<Leaving>,
    dropped: Arc<AtomicU64>,
    newest: Arc<Mutex<Option<Newest>>>,
}

/// The packet furthest on of those that were sent.
#[derive(Debug, Clone, Copy)]
struct Newest {
    sequence: u16,
    timestamp: u32,
    at: Instant,
}

/// What leaves on a track.
#[derive(Debug)]
pub(crate) enum Leaving {
    Packet(Packet),
    Report { moment: u64, timestamp: u32 },
}

impl OutgoingPackets {
    /// One whose packets are taken here and not by a session.
    pub(crate) fn to_outside(codec: Codec) -> (Self, mpsc::Receiver<Leaving>) {
        let (queue, leaving) = mpsc::channel(QUEUE);
        (Self::new(0, codec, queue), leaving)
    }

    fn new(id: u64, codec: Codec, queue: mpsc::Sender<Leaving>) -> Self {
        Self {
            id,
            clock_rate: codec.clock_rate(),
            queue,
            dropped: Arc::default(),
            newest: Arc::default(),
        }
    }

    /// Names it for its session.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The sequence number and the timestamp with which the next source begins: behind what was sent, and anywhere if
    /// nothing was (RFC 3550 section 5.1).
    pub(crate) fn begin(&self, now: Instant) -> (u16, u32) {
        let newest = *self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(newest) = newest else {
            return (rand::random(), rand::random());
        };
        let since = now.saturating_duration_since(newest.at).as_micros();
        // Times wrap.
        let ticks = (since * u128::from(self.clock_rate) / 1_000_000) as u32;
        let timestamp = newest.timestamp.wrapping_add(ticks.max(1));
        (newest.sequence.wrapping_add(1), timestamp)
    }

    fn note(&self, packet: &Packet) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let is_newer = |known: &Newest| packet.sequence.wrapping_sub(known.sequence) as i16 > 0;
        if newest.as_ref().is_none_or(is_newer) {
            *newest = Some(Newest {
                sequence: packet.sequence,
                timestamp: packet.timestamp,
                at: Instant::now(),
            });
        }
    }

    /// Sends it now, or drops it: who takes nothing must not make others wait.
    pub(crate) fn send(&self, leaving: Leaving) {
        if let Leaving::Packet(packet) = &leaving {
            self.note(packet);
        }
        // overflow: dropped and counted, as a network would.
        if self.queue.try_send(leaving).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Packets that had to be dropped, because the connection took them too slowly.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

/// As [`outgoing::outgoing`](super::super::outgoing::outgoing), for packets.
pub(in crate::media::track) fn outgoing(
    id: u64,
    codec: Codec,
    ssrc: u32,
    track: Arc<TrackLocalStaticRTP>,
    feedback: FeedbackSink,
) -> (
    OutgoingPackets,
    watch::Sender<Leg>,
    impl Future<Output = ()>,
) {
    let (queue_tx, queue) = mpsc::channel(QUEUE);
    let (leg_tx, leg) = watch::channel(Leg::Waiting);
    let task = Task {
        track,
        ssrc,
        queue,
        leg,
        feedback,
        packets: 0,
        octets: 0,
    };
    let handle = OutgoingPackets::new(id, codec, queue_tx);
    (handle, leg_tx, task.run())
}

struct Task {
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    queue: mpsc::Receiver<Leaving>,
    leg: watch::Receiver<Leg>,
    feedback: FeedbackSink,
    packets: u32,
    octets: u32,
}

impl Task {
    /// Until the driver lets go of it.
    async fn run(mut self) {
        let track = self.track.clone();
        loop {
            tokio::select! {
                leaving = self.queue.recv() => match leaving {
                    Some(leaving) => self.send(leaving).await,
                    // Nothing more is sent; the track stays until it is removed.
                    None => std::future::pending().await,
                },
                changed = self.leg.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let leg = *self.leg.borrow_and_update();
                    match leg {
                        Leg::Open(_) => self.feedback.tell(Feedback::Ready).await,
                        Leg::Refused => self.feedback.tell(Feedback::Refused).await,
                        Leg::Waiting => {}
                    }
                }
                event = track.poll() => match event {
                    Some(TrackLocalEvent::OnRtcpPacket(packets)) => self.heard(&packets),
                    Some(_) => {}
                    // It was taken off its connection.
                    None => return,
                },
            }
        }
    }

    fn heard(&self, packets: &[Box<dyn rtcp::Packet>]) {
        for packet in packets {
            let packet = packet.as_any();
            if packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>() {
                self.feedback.give(Feedback::KeyWanted);
            } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
                let missing = nack.nacks.iter().flat_map(|pair| pair.packet_list());
                self.feedback.give(Feedback::Nack(missing.collect()));
            } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
                let ours = report.reports.iter().find(|block| block.ssrc == self.ssrc);
                if let Some(block) = ours {
                    let lost = f32::from(block.fraction_lost) / 256.0;
                    self.feedback.give(Feedback::Loss(lost));
                }
            }
        }
    }

    async fn send(&mut self, leaving: Leaving) {
        let Leg::Open(payload_type) = *self.leg.borrow() else {
            return;
        };
        // A connection that is going away takes nothing any more, and the driver ends this task.
        match leaving {
            Leaving::Packet(packet) => {
                self.packets = self.packets.wrapping_add(1);
                self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
                let packet = packet.into_rtp(payload_type, self.ssrc);
                let _ = self.track.write_rtp(packet).await;
            }
            Leaving::Report { moment, timestamp } => {
                let report = SenderReport {
                    ssrc: self.ssrc,
                    ntp_time: moment,
                    rtp_time: timestamp,
                    packet_count: self.packets,
                    octet_count: self.octets,
                    ..SenderReport::default()
                };
                let _ = self.track.write_rtcp(vec![Box::new(report)]).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_source_begins_behind_the_one_before() {
        let (track, _queue) = OutgoingPackets::to_outside(Codec::Vp8);
        let packet = |sequence, timestamp| {
            Leaving::Packet(Packet {
                sequence,
                timestamp,
                marker: false,
                payload: bytes::Bytes::new(),
            })
        };
        for (sequence, timestamp) in [(u16::MAX, u32::MAX), (1, 10), (0, 5)] {
            track.send(packet(sequence, timestamp));
        }
        let (sequence, timestamp) = track.begin(Instant::now());
        assert_eq!(sequence, 2);
        assert!((11..90_000).contains(&timestamp), "{timestamp}");
        // It is the same track, whoever has it.
        assert_eq!(track.clone().begin(Instant::now()).0, 2);
    }
}
