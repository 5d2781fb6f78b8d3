//! A track that the peer sends.

use super::super::codec::{Codec, Kind};
use super::super::depayload::Assembler;
use super::super::packet::Packet;
use super::super::reorder::{Arrival, Reorder};
use super::board::Wish;
use bytes::Bytes;
use futures_util::FutureExt as _;
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::sender_report::SenderReport;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

/// Frames that wait for the application: a second of them. What does not fit is dropped, as it is late.
const QUEUE: usize = 64;

/// How often a key frame is asked for while one is needed: a round trip and the making of it.
const KEY_INTERVAL: Duration = Duration::from_millis(500);

/// A stream that says nothing for so long makes way for another one on the same track.
const SILENCE: Duration = Duration::from_secs(2);

/// A frame that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The bits.
    pub data: Bytes,
    /// Whether a decoder can begin here.
    pub key: bool,
    /// RTP time in ticks of the codec's clock, which does not wrap.
    pub ticks: i64,
    /// When it was complete.
    pub arrived: Instant,
}

/// What the sender says of its clock (RFC 3550 section 6.4.1): the two times are the same moment. All tracks of
/// one sender share the clock, so this is what puts sound to pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderClock {
    /// RTP time of this track, as in [`Received::ticks`].
    pub ticks: i64,
    /// The sender's clock, seconds since 1900 or any other time.
    pub at: Duration,
}

/// How much arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IncomingCounts {
    /// Whole frames.
    pub frames: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came twice or too late.
    pub late: u64,
    /// Frames that were given up.
    pub dropped: u64,
    /// Key frames that were asked for.
    pub key_requests: u64,
}

#[derive(Debug, Default)]
struct Shared {
    frames: AtomicU64,
    packets: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    late: AtomicU64,
    dropped: AtomicU64,
    key_requests: AtomicU64,
    /// The application wants a key frame.
    wanted: Notify,
}

/// A track that the peer sends, from its first packet until the peer takes it back.
#[derive(Debug)]
pub struct IncomingTrack {
    codec: Codec,
    frames: mpsc::Receiver<Received>,
    clock: watch::Receiver<Option<SenderClock>>,
    shared: Arc<Shared>,
}

impl IncomingTrack {
    /// How it is encoded.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Sound or pictures.
    pub fn kind(&self) -> Kind {
        self.codec.kind()
    }

    /// The next frame; `None` when the peer sends the track no more, or the session has ended.
    pub async fn next(&mut self) -> Option<Received> {
        self.frames.recv().await
    }

    /// The sender's clock as last heard of.
    pub fn clock(&self) -> Option<SenderClock> {
        *self.clock.borrow()
    }

    /// Asks for a key frame. One that is needed because of a loss is asked for anyway.
    pub fn want_key(&self) {
        self.shared.wanted.notify_one();
    }

    /// Tells how much arrived, also when the track is used elsewhere.
    pub fn counter(&self) -> impl Fn() -> IncomingCounts + Send + Sync + 'static {
        let shared = self.shared.clone();
        move || {
            let Shared {
                frames,
                packets,
                bytes,
                lost,
                late,
                dropped,
                key_requests,
                wanted: _,
            } = &*shared;
            IncomingCounts {
                frames: frames.load(Relaxed),
                packets: packets.load(Relaxed),
                bytes: bytes.load(Relaxed),
                lost: lost.load(Relaxed),
                late: late.load(Relaxed),
                dropped: dropped.load(Relaxed),
                key_requests: key_requests.load(Relaxed),
            }
        }
    }
}

/// What the peer's last description said of a track. Until there is one, nothing of the track is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) sends: bool,
    /// By payload type. The engine knows them too, but a description that is applied while it tells us of a new
    /// track makes it forget (rtc 0.21.1: `start_rtp` resets what the track's first packet settled).
    pub(super) codecs: Vec<(u8, Codec)>,
    /// The header extension that tells how loud a packet is (RFC 6464).
    pub(super) level: Option<u8>,
}

impl From<&Wish> for Described {
    fn from(wish: &Wish) -> Self {
        Self {
            sends: wish.sends,
            codecs: wish.codecs.clone(),
            level: wish.level,
        }
    }
}

impl Described {
    pub(super) fn codec(&self, payload_type: u8) -> Option<Codec> {
        let of_type = |known: &&(u8, Codec)| known.0 == payload_type;
        self.codecs.iter().find(of_type).map(|known| known.1)
    }
}

/// Follows a track of the engine for as long as there is a connection. Each time the peer begins to send,
/// `outlet` gets an [`IncomingTrack`].
pub(super) async fn follow(
    track: Arc<dyn TrackRemote>,
    mut described: watch::Receiver<Described>,
    outlet: mpsc::Sender<IncomingTrack>,
) {
    let mut stream: Option<Stream> = None;
    loop {
        let wake = stream.as_ref().and_then(Stream::deadline);
        let shared = stream.as_ref().map(|stream| stream.shared.clone());
        let wanted = async {
            match &shared {
                Some(shared) => shared.wanted.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = track.poll() => match event {
                None => return,
                Some(TrackRemoteEvent::OnRtpPacket(packet)) => {
                    take(&described.borrow(), &mut stream, &outlet, packet);
                }
                Some(TrackRemoteEvent::OnRtcpPacket(packets)) => {
                    if let Some(stream) = &mut stream {
                        stream.reports(&packets);
                    }
                }
                Some(_) => {}
            },
            changed = described.changed() => match changed {
                Ok(()) if !described.borrow_and_update().sends => stream = None,
                Ok(()) => {}
                Err(_) => return,
            },
            () = wanted => {
                if let Some(stream) = &mut stream {
                    stream.wants_key = true;
                }
            }
            () = sleep_until(wake) => {}
        }
        if let Some(stream) = &mut stream {
            let now = Instant::now();
            stream.drain(now);
            if stream.must_ask(now) {
                let ask = PictureLossIndication {
                    sender_ssrc: 0,
                    media_ssrc: stream.ssrc,
                };
                let _ = track.write_rtcp(vec![Box::new(ask)]).await;
            }
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}

/// Takes a packet, which begins a stream if it is not of the one that is followed.
fn take(
    described: &Described,
    stream: &mut Option<Stream>,
    outlet: &mpsc::Sender<IncomingTrack>,
    packet: rtc::rtp::Packet,
) {
    if !described.sends {
        return;
    }
    let now = Instant::now();
    let header = &packet.header;
    let same = stream.as_ref().map(|stream| {
        (
            stream.ssrc == header.ssrc && stream.payload_type == header.payload_type,
            now - stream.heard < SILENCE,
        )
    });
    let is_padding = packet.payload.is_empty();
    match same {
        Some((true, _)) => {}
        // Browsers find out with it what the path can take, also on streams that carry nothing.
        _ if is_padding => return,
        // Another layer of the same picture, or a stream of padding.
        Some((false, true))
            if stream
                .as_ref()
                .is_some_and(|stream| stream.ssrc != header.ssrc) =>
        {
            return;
        }
        Some((false, _)) | None => {
            let Some(codec) = described.codec(header.payload_type) else {
                return;
            };
            let (begun, handle) = Stream::begin(codec, header.ssrc, header.payload_type, now);
            // overflow: the application takes no more tracks; this one is not followed.
            if outlet.try_send(handle).is_err() {
                return;
            }
            *stream = Some(begun);
        }
    }
    if let Some(stream) = stream {
        if !is_padding {
            stream.heard = now;
        }
        stream.shared.packets.fetch_add(1, Relaxed);
        stream
            .shared
            .bytes
            .fetch_add(packet.payload.len() as u64, Relaxed);
        let packet = Packet {
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            marker: header.marker,
            payload: packet.payload,
        };
        stream.reorder.push(now, packet);
    }
}

/// What is known of the stream that is followed.
struct Stream {
    ssrc: u32,
    payload_type: u8,
    heard: Instant,
    reorder: Reorder,
    assembler: Assembler,
    ticks: Ticks,
    frames: mpsc::Sender<Received>,
    clock: watch::Sender<Option<SenderClock>>,
    shared: Arc<Shared>,
    wants_key: bool,
    asked: Option<Instant>,
}

impl Stream {
    fn begin(codec: Codec, ssrc: u32, payload_type: u8, now: Instant) -> (Self, IncomingTrack) {
        let (frames_tx, frames) = mpsc::channel(QUEUE);
        let (clock_tx, clock) = watch::channel(None);
        let shared = Arc::<Shared>::default();
        let handle = IncomingTrack {
            codec,
            frames,
            clock,
            shared: shared.clone(),
        };
        let stream = Self {
            ssrc,
            payload_type,
            heard: now,
            reorder: Reorder::default(),
            assembler: Assembler::new(codec),
            ticks: Ticks::default(),
            frames: frames_tx,
            clock: clock_tx,
            shared,
            wants_key: false,
            asked: None,
        };
        (stream, handle)
    }

    fn drain(&mut self, now: Instant) {
        while let Some(arrival) = self.reorder.pop(now) {
            let packet = match arrival {
                Arrival::Lost(_) => {
                    self.assembler.lost();
                    continue;
                }
                Arrival::Packet(packet) => packet,
            };
            let Some(frame) = self.assembler.push(&packet) else {
                continue;
            };
            self.wants_key &= !frame.key;
            self.shared.frames.fetch_add(1, Relaxed);
            let received = Received {
                data: frame.data,
                key: frame.key,
                ticks: self.ticks.unwrap(frame.timestamp),
                arrived: now,
            };
            // overflow: dropped; what builds on it is useless, so the next key frame is waited for.
            if let Err(mpsc::error::TrySendError::Full(_)) = self.frames.try_send(received) {
                self.assembler.lost();
            }
        }
        let counts = self.reorder.counts();
        self.shared.lost.store(counts.lost, Relaxed);
        self.shared.late.store(counts.late, Relaxed);
        self.shared.dropped.store(self.assembler.dropped(), Relaxed);
    }

    fn needs_key(&self) -> bool {
        // An application that has dropped its end wants nothing.
        (self.assembler.needs_key() || self.wants_key) && !self.frames.is_closed()
    }

    fn must_ask(&mut self, now: Instant) -> bool {
        let due = self.asked.is_none_or(|asked| now - asked >= KEY_INTERVAL);
        if !due || !self.needs_key() {
            return false;
        }
        self.asked = Some(now);
        self.shared.key_requests.fetch_add(1, Relaxed);
        true
    }

    fn deadline(&self) -> Option<Instant> {
        let ask = self
            .needs_key()
            .then(|| self.asked.map(|asked| asked + KEY_INTERVAL));
        let waits = [self.reorder.deadline(), ask.flatten()];
        waits.into_iter().flatten().min()
    }

    fn reports(&mut self, packets: &[Box<dyn rtcp::Packet>]) {
        for packet in packets {
            let Some(report) = packet.as_any().downcast_ref::<SenderReport>() else {
                continue;
            };
            if report.ssrc != self.ssrc {
                continue;
            }
            self.report(report.ntp_time, report.rtp_time);
        }
    }

    fn report(&mut self, moment: u64, timestamp: u32) {
        // 32.32 fixed point seconds.
        let nanos = (u128::from(moment) * 1_000_000_000) >> 32;
        let clock = SenderClock {
            ticks: self.ticks.unwrap(timestamp),
            at: Duration::from_nanos(nanos as u64),
        };
        self.clock.send_replace(Some(clock));
    }
}

/// Makes frames of packets that somebody else numbered and passes on, as a track of the peer's.
pub(crate) struct FrameTap(Stream);

impl FrameTap {
    /// The tap, and the track that it fills.
    pub(crate) fn new(codec: Codec) -> (Self, IncomingTrack) {
        let (stream, handle) = Stream::begin(codec, 0, 0, Instant::now());
        (Self(stream), handle)
    }

    /// The next packet, in whatever order.
    pub(crate) fn packet(&mut self, now: Instant, packet: Packet) {
        let shared = &self.0.shared;
        shared.packets.fetch_add(1, Relaxed);
        shared.bytes.fetch_add(packet.payload.len() as u64, Relaxed);
        self.0.reorder.push(now, packet);
    }

    /// What the sender says of its clock, in 2^-32 seconds.
    pub(crate) fn report(&mut self, moment: u64, timestamp: u32) {
        self.0.report(moment, timestamp);
    }

    /// Gives away what is whole; whether a key frame has to be asked for.
    pub(crate) fn poll(&mut self, now: Instant) -> bool {
        self.0.drain(now);
        let wanted = self.0.shared.wanted.notified().now_or_never();
        self.0.wants_key |= wanted.is_some();
        self.0.must_ask(now)
    }

    /// When [`poll`](Self::poll) has something to do without another packet.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }
}

impl std::fmt::Debug for FrameTap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameTap").finish_non_exhaustive()
    }
}

/// RTP timestamps without wrapping.
#[derive(Debug, Default)]
struct Ticks(Option<i64>);

impl Ticks {
    fn unwrap(&mut self, timestamp: u32) -> i64 {
        let last = self.0.unwrap_or(i64::from(timestamp));
        let ticks = last + i64::from(timestamp.wrapping_sub(last as u32) as i32);
        self.0 = Some(ticks);
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_do_not_wrap() {
        let mut ticks = Ticks::default();
        let out: Vec<_> = [u32::MAX - 1, 3, 1, u32::MAX, 1 << 31, u32::MAX, 5]
            .map(|timestamp| ticks.unwrap(timestamp))
            .into();
        let max = i64::from(u32::MAX);
        let wrap = max + 1;
        let expected = [
            max - 1,
            wrap + 3,
            wrap + 1,
            max,
            max - (1 << 31) + 1,
            max,
            wrap + 5,
        ];
        assert_eq!(out, expected);
    }
}
