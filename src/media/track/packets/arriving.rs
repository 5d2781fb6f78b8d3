//! Packets that a peer sends, to be passed on.

use super::super::incoming::Described;
use super::QUEUE;
use crate::media::codec::{Codec, Kind};
use crate::media::packet::Packet;
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtp;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

/// Requests for key frames that wait; each is for one of a few streams.
const REQUESTS: usize = 8;

/// What a peer sends on a track.
#[derive(Debug)]
pub enum Arrived {
    /// A packet.
    Packet {
        /// Its stream: layers of a picture differ in it.
        ssrc: u32,
        /// The packet.
        packet: Packet,
        /// How loud it is, in dB below the loudest possible, if the peer says it (RFC 6464).
        level: Option<u8>,
    },
    /// What the peer says of its clock (RFC 3550 section 6.4.1).
    Report {
        /// The stream.
        ssrc: u32,
        /// In 2^-32 seconds.
        moment: u64,
        /// RTP time of that moment.
        timestamp: u32,
    },
}

/// A track that a peer sends, from its first packet until the peer takes it back.
#[derive(Debug)]
pub struct IncomingPackets {
    codec: Codec,
    stream: String,
    packets: mpsc::Receiver<Arrived>,
    keys: mpsc::Sender<u32>,
}

impl IncomingPackets {
    /// What comes from somebody who cannot be asked for key frames.
    pub(crate) fn from_outside(codec: Codec, packets: mpsc::Receiver<Arrived>) -> Self {
        let (keys, _) = mpsc::channel(1);
        Self {
            codec,
            stream: String::new(),
            packets,
            keys,
        }
    }

    /// How it is encoded.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Sound or pictures.
    pub fn kind(&self) -> Kind {
        self.codec.kind()
    }

    /// What it has in common with other tracks of the same peer that belong to it.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// What comes next; `None` when the peer sends the track no more, or the session has ended.
    pub async fn next(&mut self) -> Option<Arrived> {
        self.packets.recv().await
    }

    /// Asks for a key frame of a stream.
    pub fn ask_key(&self, ssrc: u32) {
        // overflow: dropped; one that is waiting asks for the same.
        let _ = self.keys.try_send(ssrc);
    }
}

/// The stream of one track that is followed.
struct Following {
    codec: Codec,
    payload_type: u8,
    packets: mpsc::Sender<Arrived>,
    keys: mpsc::Receiver<u32>,
}

/// As [`incoming::follow`](super::super::incoming::follow), packet by packet.
pub(in crate::media::track) async fn follow(
    track: Arc<dyn TrackRemote>,
    mut described: watch::Receiver<Described>,
    outlet: mpsc::Sender<IncomingPackets>,
) {
    let name = track.stream_id().await;
    let mut following: Option<Following> = None;
    loop {
        let asked = async {
            match &mut following {
                Some(following) => following.keys.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = track.poll() => match event {
                None => return,
                Some(TrackRemoteEvent::OnRtpPacket(packet)) => {
                    take(&described.borrow(), &mut following, &outlet, &name, packet);
                }
                Some(TrackRemoteEvent::OnRtcpPacket(packets)) => {
                    if let Some(following) = &following {
                        following.reports(&packets);
                    }
                }
                Some(_) => {}
            },
            changed = described.changed() => match changed {
                Ok(()) if !described.borrow_and_update().sends => following = None,
                Ok(()) => {}
                Err(_) => return,
            },
            ssrc = asked => match ssrc {
                Some(media_ssrc) => {
                    let ask = PictureLossIndication { sender_ssrc: 0, media_ssrc };
                    let _ = track.write_rtcp(vec![Box::new(ask)]).await;
                }
                // Nobody wants it any more; the next packet would begin it anew, so its end is waited for.
                None => {
                    while described.borrow_and_update().sends {
                        if described.changed().await.is_err() {
                            return;
                        }
                    }
                    following = None;
                }
            },
        }
    }
}

fn take(
    described: &Described,
    following: &mut Option<Following>,
    outlet: &mpsc::Sender<IncomingPackets>,
    stream: &str,
    packet: rtp::Packet,
) {
    if !described.sends {
        return;
    }
    let header = &packet.header;
    let payload_type = header.payload_type;
    if following
        .as_ref()
        .is_none_or(|known| known.payload_type != payload_type)
    {
        let Some(codec) = described.codec(payload_type) else {
            return;
        };
        if following.as_ref().is_none_or(|known| known.codec != codec) {
            let (packets_tx, packets) = mpsc::channel(QUEUE);
            let (keys_tx, keys) = mpsc::channel(REQUESTS);
            let begun = IncomingPackets {
                codec,
                stream: stream.into(),
                packets,
                keys: keys_tx,
            };
            // overflow: the application takes no more tracks; this one is not followed.
            if outlet.try_send(begun).is_err() {
                return;
            }
            *following = Some(Following {
                codec,
                payload_type,
                packets: packets_tx,
                keys,
            });
        }
    }
    let Some(following) = following else {
        return;
    };
    // The lower seven bits; the first says whether it is a voice.
    let level = described
        .level
        .and_then(|number| header.get_extension(number))
        .and_then(|level| level.first().map(|byte| byte & 0x7f));
    let arrived = Arrived::Packet {
        ssrc: header.ssrc,
        packet: Packet {
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            marker: header.marker,
            payload: packet.payload,
        },
        level,
    };
    // overflow: dropped, as a network would; whoever misses it asks for it or for a key frame.
    let _ = following.packets.try_send(arrived);
}

impl Following {
    fn reports(&self, packets: &[Box<dyn rtcp::Packet>]) {
        for packet in packets {
            if let Some(report) = packet.as_any().downcast_ref::<SenderReport>() {
                // overflow: dropped; the next one comes in a few seconds.
                let _ = self.packets.try_send(Arrived::Report {
                    ssrc: report.ssrc,
                    moment: report.ntp_time,
                    timestamp: report.rtp_time,
                });
            }
        }
    }
}
