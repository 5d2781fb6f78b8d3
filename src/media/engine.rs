//! What the engine is told about media: codecs, header extensions, and who handles RTCP.
//!
//! Names the `webrtc` crate and decides nothing else. Three of its traits shape this file: with RTX it asks
//! for repaired packets over and over (so there is no RTX, and NACKs are capped), Chromium refuses header
//! extensions that change their numbers in a colliding offer (so they have Chromium's), and RTCP is kept from
//! the application unless somebody asks for it (`Tap`).

use super::codec::{Codec, Kind};
use super::estimate::{Estimate, Estimator};
use super::track::Form;
use rtc::interceptor::{
    Attribute, AttributedPacket, CongestionControlBuilder, Interceptor, NackGeneratorBuilder,
    NackResponderBuilder, Packet, ReceiverReportBuilder, Registry, Slot, StreamInfo, TaggedPacket,
    TwccSenderBuilder,
};
use rtc::peer_connection::configuration::interceptor_registry::{
    configure_rtcp_reports, configure_simulcast_extension_headers, configure_twcc_receiver_only,
};
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use rtc::sansio::Protocol;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use webrtc::error::Error;

/// How often a missing packet is asked for, and how many times: together below the patience of `reorder`.
const NACK_INTERVAL: Duration = Duration::from_millis(40);
const NACK_TRIES: u16 = 5;

/// Behind everything that the engine itself has in its chain.
const TAP: usize = 14_000;

/// In Chromium's order: the number of each is its place.
const EXTENSIONS: [(&str, &[Kind]); 11] = {
    const BOTH: &[Kind] = &[Kind::Audio, Kind::Video];
    const VIDEO: &[Kind] = &[Kind::Video];
    [
        (
            "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            &[Kind::Audio],
        ),
        (
            "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            BOTH,
        ),
        (
            "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            BOTH,
        ),
        ("urn:ietf:params:rtp-hdrext:sdes:mid", BOTH),
        (
            "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            VIDEO,
        ),
        (
            "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type",
            VIDEO,
        ),
        (
            "http://www.webrtc.org/experiments/rtp-hdrext/video-timing",
            VIDEO,
        ),
        (
            "http://www.webrtc.org/experiments/rtp-hdrext/color-space",
            VIDEO,
        ),
        (
            "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
            VIDEO,
        ),
        ("urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", VIDEO),
        (
            "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            VIDEO,
        ),
    ]
};

/// What a connection offers and understands, and what handles its RTCP. Of packets that are only passed on, repetitions and
/// reports of our own are left to whoever passes them on.
pub(crate) fn configure(
    codecs: &[Codec],
    form: Form,
) -> Result<(MediaEngine, Registry, Estimate), Error> {
    let mut engine = MediaEngine::default();
    for codec in codecs {
        let parameters = RTCRtpCodecParameters {
            rtp_codec: rtp_codec(*codec),
            payload_type: payload_type(*codec),
        };
        engine.register_codec(parameters, rtp_kind(codec.kind()))?;
    }
    for (uri, kinds) in EXTENSIONS {
        for kind in kinds {
            let capability = RTCRtpHeaderExtensionCapability { uri: uri.into() };
            engine.register_header_extension(capability, rtp_kind(*kind), None)?;
        }
    }
    let generator = NackGeneratorBuilder::new()
        .with_interval(NACK_INTERVAL)
        .with_max_nacks_per_packet(NACK_TRIES)
        .build();
    // No pacer: it would delay what is sent by its own estimate, and our encoders make no bursts that need one.
    let (estimator, estimate) = Estimator::new();
    let registry = Registry::new()
        .with(Slot::TwccSender, TwccSenderBuilder::new().build())
        .with(
            Slot::CongestionControl,
            CongestionControlBuilder::new(estimator).build(),
        )
        .with(Slot::NackGenerator, generator)
        .with(Slot::from(TAP), Tap::new(form));
    configure_simulcast_extension_headers(&mut engine)?;
    let registry = configure_twcc_receiver_only(registry, &mut engine)?;
    let registry = match form {
        Form::Frames => {
            let responder = NackResponderBuilder::new().build();
            configure_rtcp_reports(registry.with(Slot::NackResponder, responder))
        }
        Form::Packets => registry.with(Slot::ReceiverReport, ReceiverReportBuilder::new().build()),
    };
    Ok((engine, registry, estimate))
}

pub(crate) fn rtp_kind(kind: Kind) -> RtpCodecKind {
    match kind {
        Kind::Audio => RtpCodecKind::Audio,
        Kind::Video => RtpCodecKind::Video,
    }
}

/// A codec as the engine describes it.
pub(super) fn rtp_codec(codec: Codec) -> RTCRtpCodec {
    let feedback = |typ: &str, parameter: &str| RTCPFeedback {
        typ: typ.into(),
        parameter: parameter.into(),
    };
    RTCRtpCodec {
        mime_type: format!("{}/{}", codec.kind(), codec.name()),
        clock_rate: codec.clock_rate(),
        channels: if codec == Codec::Opus { 2 } else { 0 },
        sdp_fmtp_line: match codec {
            Codec::Opus => "minptime=10;useinbandfec=1",
            Codec::Vp8 => "",
            Codec::Vp9 | Codec::Av1 => "profile-id=0",
            Codec::H264 => "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        }
        .into(),
        rtcp_feedback: match codec.kind() {
            Kind::Audio => Vec::new(),
            Kind::Video => vec![
                feedback("ccm", "fir"),
                feedback("nack", ""),
                feedback("nack", "pli"),
            ],
        },
    }
}

/// The numbers in our offers; in an answer they are the peer's.
fn payload_type(codec: Codec) -> u8 {
    match codec {
        Codec::Opus => 111,
        Codec::Vp8 => 96,
        Codec::Vp9 => 98,
        Codec::H264 => 125,
        Codec::Av1 => 41,
    }
}

/// Marks what the application wants to see of RTCP: key frames that are asked for, and sender reports; of packets that are
/// passed on also what is missing, and receiver reports.
///
/// The engine gives a compound to the track of its first packet's first report, and drops it if that has none. So each
/// packet, and each report, becomes one of its own here.
struct Tap {
    form: Form,
    read: VecDeque<TaggedPacket>,
    written: VecDeque<TaggedPacket>,
}

impl Tap {
    fn new(form: Form) -> Self {
        Self {
            form,
            read: VecDeque::new(),
            written: VecDeque::new(),
        }
    }

    fn wants(&self, packet: &dyn rtc::rtcp::Packet) -> bool {
        let packet = packet.as_any();
        packet.is::<PictureLossIndication>()
            || packet.is::<FullIntraRequest>()
            || packet.is::<SenderReport>()
            || (self.form == Form::Packets && packet.is::<TransportLayerNack>())
    }

    /// What the application is given of a compound, each on its own.
    fn split(&self, packets: &[Box<dyn rtc::rtcp::Packet>]) -> Vec<Box<dyn rtc::rtcp::Packet>> {
        let mut split = Vec::new();
        for packet in packets {
            if self.wants(packet.as_ref()) {
                split.push(packet.cloned());
            }
            if self.form == Form::Frames {
                continue;
            }
            let any = packet.as_any();
            let reports = match (any.downcast_ref::<ReceiverReport>(), any.downcast_ref()) {
                (Some(report), _) => &report.reports,
                (None, Some(SenderReport { reports, .. })) => reports,
                (None, None) => continue,
            };
            for report in reports {
                split.push(Box::new(ReceiverReport {
                    reports: vec![report.clone()],
                    ..ReceiverReport::default()
                }));
            }
        }
        split
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &message.message.packet {
            for packet in self.split(packets) {
                self.read.push_back(TaggedPacket {
                    now: message.now,
                    transport: message.transport,
                    message: AttributedPacket::new(Packet::Rtcp(vec![packet]))
                        .with(Attribute::DeliverToApplication),
                });
            }
        }
        self.read.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.read.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.written.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.written.pop_front()
    }

    fn handle_event(&mut self, (): ()) -> Result<(), Error> {
        Ok(())
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn handle_timeout(&mut self, _: Instant) -> Result<(), Error> {
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }

    fn close(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
