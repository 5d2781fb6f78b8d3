//! All tracks of one connection, as its driver sees them.

use super::incoming::{self, Described, IncomingTrack};
use super::outgoing::{self, Leg, OutgoingTrack};
use super::packets::{self, FeedbackSink, IncomingPackets, OutgoingPackets};
use crate::media::codec::{Codec, Kind};
use crate::media::engine::{rtp_codec, rtp_kind};
use crate::media::estimate::Estimate;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodingParameters, RTCRtpEncodingParameters};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use webrtc::error::Error;
use webrtc::media_stream::MediaStreamTrack;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::PeerConnection;
use webrtc::rtp_transceiver::{RtpSender, RtpTransceiver};

/// Our tracks are one stream, so that the peer plays sound and pictures together.
const STREAM: &str = "peerline";

/// Tracks that each side may have: a call of 16 with audio, video and screen would be 48.
pub(crate) const MAX_TRACKS: usize = 48;

/// Which sections of the peer's last description it sends in, and in which it wants to receive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// By mid.
    pub(crate) sections: Vec<Wish>,
}

/// One section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) mid: String,
    pub(crate) kind: Kind,
    pub(crate) sends: bool,
    pub(crate) receives: bool,
    /// It refused the section as a whole: it knows none of its codecs.
    pub(crate) refused: bool,
    /// The codecs of the section by their payload types, which are the same in both directions.
    pub(crate) codecs: Vec<(u8, Codec)>,
    /// The header extension that tells how loud a packet is (RFC 6464).
    pub(crate) level: Option<u8>,
}

impl Wishes {
    fn of(&self, mid: Option<&str>) -> Option<&Wish> {
        self.sections
            .iter()
            .find(|wish| Some(wish.mid.as_str()) == mid)
    }
}

/// Who gets what the peer begins to send.
pub(crate) enum Outlet {
    /// Frames.
    Frames(mpsc::Sender<IncomingTrack>),
    /// Packets as they come.
    Packets(mpsc::Sender<IncomingPackets>),
}

/// Every track of a connection. Dropping it ends their tasks.
pub(crate) struct Board {
    codecs: Vec<Codec>,
    outgoing: Vec<Outgoing>,
    incoming: Vec<Incoming>,
    outlet: Outlet,
    wishes: Wishes,
    /// Tracks of ours that are not sent yet are not begun with now.
    held: bool,
    /// What the connection carries, all tracks together.
    estimate: Estimate,
    next: u64,
}

struct Outgoing {
    id: u64,
    codec: Codec,
    sender: Arc<dyn RtpSender>,
    leg: watch::Sender<Leg>,
    /// Whether a description of ours told of it: an older one of the peer's, of the same section, is not about it.
    told: bool,
    _task: AbortOnDropHandle<()>,
}

/// A track of ours that the engine knows.
struct Slot {
    id: u64,
    ssrc: u32,
    track: Arc<TrackLocalStaticRTP>,
    sender: Arc<dyn RtpSender>,
}

struct Incoming {
    track_id: String,
    described: watch::Sender<Described>,
    _task: AbortOnDropHandle<()>,
}

impl Board {
    /// `outlet` gets what the peer begins to send; `codecs` are those of the connection, and `estimate` says what it
    /// carries.
    pub(crate) fn new(codecs: &[Codec], outlet: Outlet, estimate: Option<Estimate>) -> Self {
        Self {
            codecs: codecs.to_vec(),
            outgoing: Vec::new(),
            incoming: Vec::new(),
            outlet,
            wishes: Wishes::default(),
            held: false,
            // Nothing is ever said on it.
            estimate: estimate.unwrap_or_else(|| watch::channel(None).1),
            next: 0,
        }
    }

    /// Adds a track of ours, which must be negotiated then.
    pub(crate) async fn add(
        &mut self,
        connection: &Arc<dyn PeerConnection>,
        codec: Codec,
    ) -> Result<OutgoingTrack, Error> {
        let slot = self.slot(connection, codec, STREAM).await?;
        let (handle, leg, task) = outgoing::outgoing(
            slot.id,
            codec,
            slot.ssrc,
            slot.track.clone(),
            self.estimate.clone(),
        );
        self.keep(codec, slot, leg, task);
        Ok(handle)
    }

    /// As [`add`](Self::add), of somebody else's packets.
    pub(crate) async fn relay(
        &mut self,
        connection: &Arc<dyn PeerConnection>,
        codec: Codec,
        stream: &str,
        feedback: FeedbackSink,
    ) -> Result<OutgoingPackets, Error> {
        let slot = self.slot(connection, codec, stream).await?;
        let (handle, leg, task) =
            packets::outgoing(slot.id, codec, slot.ssrc, slot.track.clone(), feedback);
        self.keep(codec, slot, leg, task);
        Ok(handle)
    }

    async fn slot(
        &mut self,
        connection: &Arc<dyn PeerConnection>,
        codec: Codec,
        stream: &str,
    ) -> Result<Slot, Error> {
        if self.outgoing.len() == MAX_TRACKS {
            return Err(Error::Other("too many tracks are sent".into()));
        }
        let id = self.next;
        self.next += 1;
        let ssrc: u32 = rand::random();
        let others = self.codecs.iter().copied();
        let others = others.filter(|other| other.kind() == codec.kind() && *other != codec);
        let all: Vec<_> = [codec].into_iter().chain(others).collect();
        // The engine offers the codecs of a track's encodings, and forgets those that were not taken: so all are
        // offered, and once that is not possible any more, ours.
        let (track, sender) = match add(connection, stream, id, ssrc, &all).await {
            Err(Error::ErrRTPTransceiverCodecUnsupported) => {
                add(connection, stream, id, ssrc, &[codec]).await?
            }
            added => added?,
        };
        Ok(Slot {
            id,
            ssrc,
            track,
            sender,
        })
    }

    fn keep(
        &mut self,
        codec: Codec,
        slot: Slot,
        leg: watch::Sender<Leg>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.outgoing.push(Outgoing {
            id: slot.id,
            codec,
            sender: slot.sender,
            leg,
            told: false,
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        });
    }

    /// Whether a track of ours is of this kind.
    pub(crate) fn sends(&self, kind: Kind) -> bool {
        self.outgoing.iter().any(|track| track.codec.kind() == kind)
    }

    /// Takes a track of ours off; `false` if it is not there.
    pub(crate) async fn remove(
        &mut self,
        connection: &Arc<dyn PeerConnection>,
        id: u64,
    ) -> Result<bool, Error> {
        let Some(index) = self.outgoing.iter().position(|track| track.id == id) else {
            return Ok(false);
        };
        let outgoing = self.outgoing.swap_remove(index);
        connection.remove_track(&outgoing.sender).await?;
        Ok(true)
    }

    /// The engine has a track of the peer's.
    pub(crate) async fn arrived(
        &mut self,
        connection: &Arc<dyn PeerConnection>,
        track: Arc<dyn TrackRemote>,
    ) {
        let track_id = track.track_id().await;
        let received = received(connection).await;
        // One that comes again under its old name is followed anew. A section that has another one now may never have
        // said that the one before is over.
        self.incoming.retain(|incoming| {
            incoming.track_id != track_id && received.iter().any(|(id, _)| *id == incoming.track_id)
        });
        if self.incoming.len() == MAX_TRACKS {
            tracing::debug!("the peer sends more tracks than are taken");
            return;
        }
        // Looked up before its packets are: what comes before its description is not taken, and that would be its first
        // key frame. The engine keeps 256 packets meanwhile.
        let section = received.into_iter().find(|(id, _)| *id == track_id);
        let mid = section.and_then(|(_, mid)| mid);
        let wish = self.wishes.of(mid.as_deref());
        let (described, receiver) =
            watch::channel(wish.map_or_else(Described::default, Described::from));
        let task = match &self.outlet {
            Outlet::Frames(outlet) => {
                tokio::spawn(incoming::follow(track, receiver, outlet.clone()))
            }
            Outlet::Packets(outlet) => {
                tokio::spawn(packets::follow(track, receiver, outlet.clone()))
            }
        };
        self.incoming.push(Incoming {
            track_id,
            described,
            _task: AbortOnDropHandle::new(task),
        });
    }

    /// The peer described what it sends and receives.
    pub(crate) fn described(&mut self, wishes: Wishes) {
        self.wishes = wishes;
    }

    /// We made a description, with all tracks that there are.
    pub(crate) fn told(&mut self) {
        for outgoing in &mut self.outgoing {
            outgoing.told = true;
        }
    }

    /// Whether there is a track of ours that waits for a negotiation.
    pub(crate) fn waits(&self) -> bool {
        let waits = |outgoing: &Outgoing| matches!(*outgoing.leg.borrow(), Leg::Waiting);
        self.outgoing.iter().any(waits)
    }

    /// Whether tracks of ours that are not sent yet may be begun with: a peer that does not know our description drops
    /// what comes. [`settle`](Self::settle) begins with them afterwards.
    pub(crate) fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// A negotiation is over: tracks learn what came of it.
    pub(crate) async fn settle(&mut self, connection: &Arc<dyn PeerConnection>) {
        if self.outgoing.is_empty() && self.incoming.is_empty() {
            return;
        }
        for transceiver in connection.get_transceivers().await {
            let mid = transceiver.mid().await.ok().flatten();
            let wish = self.wishes.of(mid.as_deref());
            self.settle_outgoing(&transceiver, wish).await;
            self.settle_incoming(&transceiver, wish).await;
        }
    }

    async fn settle_outgoing(&self, transceiver: &Arc<dyn RtpTransceiver>, wish: Option<&Wish>) {
        let Ok(Some(sender)) = transceiver.sender().await else {
            return;
        };
        let ours = |track: &&Outgoing| Arc::ptr_eq(&track.sender, &sender);
        let Some(outgoing) = self.outgoing.iter().find(ours).filter(|track| track.told) else {
            return;
        };
        let leg = match wish {
            Some(wish) if wish.receives => payload_type(outgoing).await,
            Some(wish) if wish.refused => Leg::Refused,
            _ => Leg::Waiting,
        };
        let begins =
            |known: Leg| matches!((known, leg), (Leg::Waiting | Leg::Refused, Leg::Open(_)));
        outgoing
            .leg
            .send_if_modified(|known| match self.held && begins(*known) {
                true => false,
                false => std::mem::replace(known, leg) != leg,
            });
    }

    async fn settle_incoming(&self, transceiver: &Arc<dyn RtpTransceiver>, wish: Option<&Wish>) {
        let (Ok(Some(receiver)), Some(wish)) = (transceiver.receiver().await, wish) else {
            return;
        };
        let track_id = receiver.track().track_id().await;
        for incoming in &self.incoming {
            if incoming.track_id == track_id {
                let described = Described::from(wish);
                incoming.described.send_if_modified(|known| {
                    let is_news = *known != described;
                    *known = described;
                    is_news
                });
            }
        }
    }
}

/// The tracks that a connection receives, and the section of each.
async fn received(connection: &Arc<dyn PeerConnection>) -> Vec<(String, Option<String>)> {
    let mut received = Vec::new();
    for transceiver in connection.get_transceivers().await {
        if let Ok(Some(receiver)) = transceiver.receiver().await {
            let mid = transceiver.mid().await.ok().flatten();
            received.push((receiver.track().track_id().await, mid));
        }
    }
    received
}

/// Adds a track that is sent in the first of these codecs.
async fn add(
    connection: &Arc<dyn PeerConnection>,
    stream: &str,
    id: u64,
    ssrc: u32,
    codecs: &[Codec],
) -> Result<(Arc<TrackLocalStaticRTP>, Arc<dyn RtpSender>), Error> {
    let kind = codecs.first().map_or(Kind::Video, |codec| codec.kind());
    let coding = |(index, codec): (usize, &Codec)| RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: (index == 0).then_some(ssrc),
            ..Default::default()
        },
        codec: rtp_codec(*codec),
        ..Default::default()
    };
    let label = format!("{kind}-{id}");
    let track = Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
        stream.into(),
        format!("{label}-{ssrc:08x}"),
        label,
        rtp_kind(kind),
        codecs.iter().enumerate().map(coding).collect(),
    )));
    let local: Arc<dyn TrackLocal> = track.clone();
    let sender = connection.add_track(local).await?;
    Ok((track, sender))
}

async fn payload_type(outgoing: &Outgoing) -> Leg {
    let Ok(parameters) = outgoing.sender.get_parameters().await else {
        return Leg::Waiting;
    };
    let codecs = parameters.rtp_parameters.codecs;
    let ours = codecs
        .iter()
        .find(|codec| Codec::named(&codec.rtp_codec.mime_type) == Some(outgoing.codec));
    ours.map_or(Leg::Refused, |codec| Leg::Open(codec.payload_type))
}
