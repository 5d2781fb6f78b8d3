//! A track that we send.

use super::super::codec::Codec;
use super::super::estimate::Estimate;
use super::super::frame::Frame;
use super::super::payload::Packetizer;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_local::{TrackLocal, TrackLocalEvent};

/// Frames that wait to be cut into packets. The engine takes them at once.
const QUEUE: usize = 8;

/// Key frames are large: a peer that asks for more of them than this gets no more.
const KEY_INTERVAL: Duration = Duration::from_millis(500);

/// Whether a track reaches the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// It is being negotiated, or the peer does not want it now. Frames are dropped.
    Waiting,
    /// It does.
    Yes,
    /// The peer does not understand the codec. Frames are dropped.
    Refused,
}

/// How much was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutgoingCounts {
    /// Frames.
    pub frames: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Key frames that the peer asked for.
    pub key_requests: u64,
}

#[derive(Debug, Default)]
struct Counters {
    frames: AtomicU64,
    packets: AtomicU64,
    bytes: AtomicU64,
    key_requests: AtomicU64,
}

/// What the driver says of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leg {
    Waiting,
    Refused,
    /// With this payload type.
    Open(u8),
}

/// A track that we send. It is sent until it is removed from its session.
#[derive(Debug)]
pub struct OutgoingTrack {
    id: u64,
    codec: Codec,
    frames: mpsc::Sender<Frame>,
    leg: watch::Receiver<Leg>,
    wanted: watch::Receiver<u64>,
    estimate: Estimate,
    counters: Arc<Counters>,
}

impl OutgoingTrack {
    /// Names it for its session.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// How it is encoded.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Sends a frame now: it is the caller who waits until it is due. `false` if the session has ended.
    pub async fn send(&self, frame: Frame) -> bool {
        self.frames.send(frame).await.is_ok()
    }

    /// Waits until the peer wants a key frame; twice a second at most. Never returns once the session has
    /// ended.
    pub async fn key_wanted(&mut self) {
        if self.wanted.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether it reaches the peer.
    pub fn sending(&self) -> Sending {
        match *self.leg.borrow() {
            Leg::Waiting => Sending::Waiting,
            Leg::Refused => Sending::Refused,
            Leg::Open(_) => Sending::Yes,
        }
    }

    /// Waits until that has changed. Never returns once the session has ended.
    pub async fn changed(&mut self) -> Sending {
        if self.leg.changed().await.is_err() {
            std::future::pending().await
        }
        self.sending()
    }

    /// What the connection carries, in bits a second and for all of its tracks together, as far as the peer tells it.
    pub fn path_carries(&self) -> Option<u64> {
        *self.estimate.borrow()
    }

    /// How much was sent.
    pub fn counts(&self) -> OutgoingCounts {
        let Counters {
            frames,
            packets,
            bytes,
            key_requests,
        } = &*self.counters;
        OutgoingCounts {
            frames: frames.load(Relaxed),
            packets: packets.load(Relaxed),
            bytes: bytes.load(Relaxed),
            key_requests: key_requests.load(Relaxed),
        }
    }
}

/// The task of a track, and what the driver tells it.
pub(super) fn outgoing(
    id: u64,
    codec: Codec,
    ssrc: u32,
    track: Arc<TrackLocalStaticRTP>,
    estimate: Estimate,
) -> (OutgoingTrack, watch::Sender<Leg>, impl Future<Output = ()>) {
    let (frames, queue) = mpsc::channel(QUEUE);
    let (leg_tx, leg) = watch::channel(Leg::Waiting);
    let (wanted_tx, wanted) = watch::channel(0);
    let counters = Arc::<Counters>::default();
    let task = Task {
        track,
        ssrc,
        packetizer: Packetizer::with_offset(codec),
        clock_rate: codec.clock_rate(),
        queue,
        leg: leg.clone(),
        wanted: wanted_tx,
        last_wanted: None,
        counters: counters.clone(),
    };
    let handle = OutgoingTrack {
        id,
        codec,
        frames,
        leg,
        wanted,
        estimate,
        counters,
    };
    (handle, leg_tx, task.run())
}

struct Task {
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    packetizer: Packetizer,
    clock_rate: u32,
    queue: mpsc::Receiver<Frame>,
    leg: watch::Receiver<Leg>,
    wanted: watch::Sender<u64>,
    last_wanted: Option<Instant>,
    counters: Arc<Counters>,
}

impl Task {
    /// Until the driver lets go of it.
    async fn run(mut self) {
        let track = self.track.clone();
        loop {
            tokio::select! {
                frame = self.queue.recv() => match frame {
                    Some(frame) => self.send(&frame).await,
                    // Nothing more is sent; the track stays until it is removed.
                    None => std::future::pending().await,
                },
                event = track.poll() => match event {
                    Some(TrackLocalEvent::OnRtcpPacket(packets)) => {
                        let wants_key = packets.iter().any(|packet| {
                            let packet = packet.as_any();
                            packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>()
                        });
                        if wants_key {
                            self.key_wanted();
                        }
                    }
                    Some(_) => {}
                    // It was taken off its connection.
                    None => return,
                },
            }
        }
    }

    fn key_wanted(&mut self) {
        let now = Instant::now();
        if self
            .last_wanted
            .is_some_and(|last| now - last < KEY_INTERVAL)
        {
            return;
        }
        self.last_wanted = Some(now);
        self.counters.key_requests.fetch_add(1, Relaxed);
        self.wanted.send_modify(|count| *count += 1);
    }

    async fn send(&mut self, frame: &Frame) {
        let Leg::Open(payload_type) = *self.leg.borrow() else {
            return;
        };
        let ticks = frame.time.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000;
        // Timestamps wrap.
        let packets = self.packetizer.packets(&frame.data, ticks as u32);
        self.counters.frames.fetch_add(1, Relaxed);
        for packet in packets {
            self.counters.packets.fetch_add(1, Relaxed);
            self.counters
                .bytes
                .fetch_add(packet.payload.len() as u64, Relaxed);
            let packet = packet.into_rtp(payload_type, self.ssrc);
            // A connection that is going away takes nothing any more, and the driver ends this task.
            let _ = self.track.write_rtp(packet).await;
        }
    }
}
