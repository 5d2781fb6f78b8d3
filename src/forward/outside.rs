//! Programs outside the room that speak RTP over UDP (RFC 3550), such as `ffmpeg` and GStreamer: what they send is
//! published in the room as this member's, and one picture and one sound of the room are sent to them.
//!
//! There is neither encryption nor a word about who sends: addresses should be of this machine.

use super::forwarding::Way;
use super::member::{Order, Report, Reports};
use super::roster::{MemberKey, TrackKey};
use crate::media::track::{Arrived, Feedback, IncomingPackets, Leaving, OutgoingPackets};
use crate::media::{Codec, Kind, Packet};
use crate::whip;
use bytes::Bytes;
use rtc::rtcp;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtp;
use rtc::shared::marshal::{Marshal, Unmarshal};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Largest datagram that is read.
const DATAGRAM: usize = 65_535;

/// Packets that wait to be forwarded.
const QUEUE: usize = 512;

/// Who listens to plain RTP may come at any time and has no way to ask for a key frame, so one is asked for this often.
const KEY_INTERVAL: Duration = Duration::from_secs(2);

/// How often two neighbouring ports are looked for.
const ATTEMPTS: usize = 32;

/// The payload types of what is sent out.
fn payload_type(codec: Codec) -> u8 {
    match codec.kind() {
        Kind::Video => 96,
        Kind::Audio => 111,
    }
}

/// A stream that somebody sends to a port of this machine, and its reports to the next one.
#[derive(Debug)]
pub struct RtpInput {
    codec: Codec,
    media: UdpSocket,
    reports: UdpSocket,
}

impl RtpInput {
    /// Listens; with port 0 at any two neighbouring ports.
    ///
    /// # Errors
    /// The address is not of this machine, or one of the ports is taken.
    pub async fn bind(codec: Codec, address: SocketAddr) -> io::Result<Self> {
        for attempt in 1.. {
            let media = UdpSocket::bind(address).await?;
            let mut next = media.local_addr()?;
            next.set_port(next.port().wrapping_add(1));
            match UdpSocket::bind(next).await {
                Ok(reports) => {
                    return Ok(Self {
                        codec,
                        media,
                        reports,
                    });
                }
                Err(_) if address.port() == 0 && attempt < ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// How it is encoded.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Where packets are taken.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.media.local_addr()
    }

    /// Gives its track once something comes.
    async fn run(self, tracks: mpsc::Sender<IncomingPackets>) {
        let Self {
            codec,
            media,
            reports,
        } = self;
        let mut packets: Option<mpsc::Sender<Arrived>> = None;
        let (mut datagram, mut report) = (vec![0; DATAGRAM], vec![0; DATAGRAM]);
        loop {
            let arrived = tokio::select! {
                read = media.recv_from(&mut datagram) => match read {
                    Ok((length, _)) => packet(&datagram[..length]).into_iter().collect(),
                    // Errors of earlier answers; there are none.
                    Err(_) => continue,
                },
                read = reports.recv_from(&mut report) => match read {
                    Ok((length, _)) => said(&report[..length]),
                    Err(_) => continue,
                },
            };
            for arrived in arrived {
                let open = packets.as_ref().filter(|packets| !packets.is_closed());
                let packets = match open {
                    Some(packets) => packets,
                    None if matches!(arrived, Arrived::Report { .. }) => continue,
                    None => {
                        let (sender, receiver) = mpsc::channel(QUEUE);
                        let track = IncomingPackets::from_outside(codec, receiver);
                        if tracks.send(track).await.is_err() {
                            return;
                        }
                        packets.insert(sender)
                    }
                };
                // overflow: dropped, as a network would.
                let _ = packets.try_send(arrived);
            }
        }
    }
}

fn packet(mut datagram: &[u8]) -> Option<Arrived> {
    let packet = rtp::Packet::unmarshal(&mut datagram).ok()?;
    let header = packet.header;
    // RTCP on the same port (RFC 5761 section 4).
    (header.version == 2 && !(64..96).contains(&header.payload_type)).then(|| Arrived::Packet {
        ssrc: header.ssrc,
        packet: Packet {
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            marker: header.marker,
            payload: packet.payload,
        },
        level: None,
    })
}

fn said(mut datagram: &[u8]) -> Vec<Arrived> {
    let packets = rtcp::packet::unmarshal(&mut datagram).unwrap_or_default();
    let reports = packets.iter().filter_map(|packet| {
        let report = packet.as_any().downcast_ref::<SenderReport>()?;
        Some(Arrived::Report {
            ssrc: report.ssrc,
            moment: report.ntp_time,
            timestamp: report.rtp_time,
        })
    });
    reports.collect()
}

/// Where one picture of the room goes, and one sound two ports above it; reports go to the ports behind each.
#[derive(Debug, Clone, Copy)]
pub struct RtpOutput(pub SocketAddr);

impl RtpOutput {
    fn port(self, kind: Kind) -> SocketAddr {
        let Self(mut address) = self;
        if kind == Kind::Audio {
            address.set_port(address.port().wrapping_add(2));
        }
        address
    }

    /// What a program is told to expect (RFC 8866).
    fn describe(self, codecs: &[Codec]) -> String {
        let Self(address) = self;
        let family = if address.is_ipv4() { "IP4" } else { "IP6" };
        let host = address.ip();
        let mut sdp = format!(
            "v=0\r\no=- 0 0 IN {family} {host}\r\ns=Peerline\r\nc=IN {family} {host}\r\nt=0 0\r\n"
        );
        for codec in codecs {
            let (kind, port) = (codec.kind(), self.port(codec.kind()).port());
            let (number, name, rate) = (payload_type(*codec), codec.name(), codec.clock_rate());
            let channels = if *codec == Codec::Opus { "/2" } else { "" };
            sdp.push_str(&format!(
                "m={kind} {port} RTP/AVP {number}\r\na=rtpmap:{number} {name}/{rate}{channels}\r\n"
            ));
            if *codec == Codec::H264 {
                sdp.push_str(&format!("a=fmtp:{number} packetization-mode=1\r\n"));
            }
        }
        sdp
    }
}

/// What is connected with the room from outside.
#[derive(Debug, Default)]
pub struct Outside {
    /// Streams that are published.
    pub inputs: Vec<RtpInput>,
    /// Where the room goes.
    pub output: Option<RtpOutput>,
    /// Where programs publish and play by HTTP.
    pub web: Option<whip::Server>,
    /// Where the room is published by HTTP.
    pub publish: Vec<whip::Remote>,
    /// What is played into the room by HTTP.
    pub play: Vec<whip::Remote>,
}

/// The part of a member that programs outside play.
pub(super) struct Member {
    pub(super) key: MemberKey,
    pub(super) inputs: Vec<RtpInput>,
    pub(super) output: Option<RtpOutput>,
    pub(super) reports: Reports,
    pub(super) orders: mpsc::Receiver<Order>,
}

impl Member {
    /// Until the room is closed.
    pub(super) async fn run(mut self) {
        let (tracks_tx, mut tracks) = mpsc::channel(QUEUE);
        let mut streams = JoinSet::new();
        for input in self.inputs.drain(..) {
            streams.spawn(input.run(tracks_tx.clone()));
        }
        let mut sent: HashMap<TrackKey, (Codec, Way)> = HashMap::new();
        let mut key_frames = tokio::time::interval(KEY_INTERVAL);
        loop {
            tokio::select! {
                _ = key_frames.tick() => {
                    for (codec, way) in sent.values() {
                        if codec.kind() == Kind::Video {
                            way.sink(self.key).give(Feedback::KeyWanted);
                        }
                    }
                }
                Some(_) = streams.join_next() => {}
                Some(track) = tracks.recv() => {
                    let _ = self.reports.send((self.key, Report::Published(track))).await;
                }
                order = self.orders.recv() => match order {
                    Some(Order::Carry { track, codec, way, .. }) => {
                        if self.carry(codec, &way, &sent, &mut streams).await {
                            sent.insert(track, (codec, way));
                            self.tell(&sent).await;
                        }
                    }
                    Some(Order::Drop { track }) => {
                        if let Some((_, way)) = sent.remove(&track) {
                            way.remove(self.key).await;
                        }
                    }
                    None => return,
                },
            }
        }
    }

    /// Whether this track is what goes out: the first of its kind.
    async fn carry(
        &self,
        codec: Codec,
        way: &Way,
        sent: &HashMap<TrackKey, (Codec, Way)>,
        streams: &mut JoinSet<()>,
    ) -> bool {
        let taken = sent.values().any(|(other, _)| other.kind() == codec.kind());
        let Some(output) = self.output.filter(|_| !taken) else {
            return false;
        };
        let target = output.port(codec.kind());
        let from = SocketAddr::new(
            if target.is_ipv4() {
                [0; 4].into()
            } else {
                [0; 16].into()
            },
            0,
        );
        let Ok(socket) = UdpSocket::bind(from).await else {
            tracing::warn!(%target, "no socket to send from");
            return false;
        };
        let sink = way.sink(self.key);
        let (track, queue) = OutgoingPackets::to_outside(codec);
        streams.spawn(send(codec, socket, target, queue));
        way.add(self.key, track).await;
        sink.tell(Feedback::Ready).await;
        true
    }

    async fn tell(&self, sent: &HashMap<TrackKey, (Codec, Way)>) {
        if let Some(output) = self.output {
            let mut codecs: Vec<_> = sent.values().map(|(codec, _)| *codec).collect();
            codecs.sort_by_key(|codec| codec.kind() == Kind::Audio);
            let report = Report::Output(output.describe(&codecs));
            let _ = self.reports.send((self.key, report)).await;
        }
    }
}

/// Until its track is dropped.
async fn send(
    codec: Codec,
    socket: UdpSocket,
    target: SocketAddr,
    mut queue: mpsc::Receiver<Leaving>,
) {
    let ssrc = rand::random();
    let (mut packets, mut octets) = (0_u32, 0_u32);
    let mut reports = target;
    reports.set_port(target.port().wrapping_add(1));
    while let Some(leaving) = queue.recv().await {
        let (bytes, to): (Option<Bytes>, _) = match leaving {
            Leaving::Packet(packet) => {
                packets = packets.wrapping_add(1);
                octets = octets.wrapping_add(packet.payload.len() as u32);
                let packet = rtp::Packet {
                    header: rtp::Header {
                        version: 2,
                        marker: packet.marker,
                        payload_type: payload_type(codec),
                        sequence_number: packet.sequence,
                        timestamp: packet.timestamp,
                        ssrc,
                        ..Default::default()
                    },
                    payload: packet.payload,
                };
                (packet.marshal().ok().map(|bytes| bytes.freeze()), target)
            }
            Leaving::Report { moment, timestamp } => {
                let report = SenderReport {
                    ssrc,
                    ntp_time: moment,
                    rtp_time: timestamp,
                    packet_count: packets,
                    octet_count: octets,
                    ..SenderReport::default()
                };
                (report.marshal().ok().map(|bytes| bytes.freeze()), reports)
            }
        };
        if let Some(bytes) = bytes {
            // Nobody may be listening yet.
            let _ = socket.send_to(&bytes, to).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_goes_out_is_described() {
        let output = RtpOutput(([127, 0, 0, 1], 5004).into());
        let sdp = output.describe(&[Codec::H264, Codec::Opus]);
        assert_eq!(
            sdp,
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=Peerline\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=video 5004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n\
             m=audio 5006 RTP/AVP 111\r\na=rtpmap:111 opus/48000/2\r\n"
        );
    }

    proptest! {
        #[test]
        fn any_datagram_is_taken_or_ignored(datagram in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = packet(&datagram);
            let _ = said(&datagram);
        }
    }
}
