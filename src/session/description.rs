//! What we need to know of a session description before the engine sees it.
//!
//! Pure. A description comes from the peer, so it is checked here: size, number of sections,
//! fingerprints. Candidates are taken out, because they must pass the filter of
//! [`candidates`](super::candidates) first.

use crate::media::track::{Wish, Wishes};
use crate::media::{Codec, Kind};
use crate::pairing::Fingerprint;

/// Largest description. Browsers with every codec stay below 16 KiB.
pub(crate) const MAX_SDP: usize = 64 << 10;

/// Most media sections: a call of 16 with audio, video and screen.
const MAX_SECTIONS: usize = 64;

/// Longest username fragment and password (RFC 8839 section 5.4).
const MAX_ICE_CREDENTIAL: usize = 256;

/// A description of the peer, without its candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    /// The text for the engine.
    pub(crate) sdp: String,
    /// The candidate attributes that it held, as `candidate:...`.
    pub(crate) candidates: Vec<String>,
    /// The username fragment of its first section: the generation of its candidates.
    pub(crate) ufrag: String,
    /// The certificate that it announces.
    pub(crate) fingerprint: Fingerprint,
}

/// A description that no honest peer sends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescriptionError {
    /// Longer than any real one.
    #[error("the session description has {0} bytes, more than {MAX_SDP}")]
    TooLarge(usize),
    /// More media sections than any real one.
    #[error("the session description has more than {MAX_SECTIONS} media sections")]
    TooManySections,
    /// Control characters within a line.
    #[error("the session description has control characters within a line")]
    ControlCharacters,
    /// No username fragment, or one of impossible length.
    #[error("the session description has no usable ice-ufrag")]
    NoIceCredentials,
    /// No SHA-256 fingerprint, or several different ones.
    #[error("the session description must announce exactly one SHA-256 certificate")]
    Fingerprint,
}

impl Description {
    /// Checks the text of an offer or answer.
    pub(crate) fn parse(text: &str) -> Result<Self, DescriptionError> {
        if text.len() > MAX_SDP {
            return Err(DescriptionError::TooLarge(text.len()));
        }
        let mut sdp = String::with_capacity(text.len());
        let mut candidates = Vec::new();
        let mut ufrag = None;
        let mut fingerprint = None;
        let mut sections = 0;
        for line in text.lines() {
            // The engine skips some of them and blanks, and would find an attribute that was not one here.
            if line.contains(char::is_control) {
                return Err(DescriptionError::ControlCharacters);
            }
            let Some(attribute) = line.strip_prefix("a=").map(str::trim) else {
                sections += usize::from(line.starts_with("m="));
                sdp.push_str(line);
                sdp.push_str("\r\n");
                continue;
            };
            if attribute.starts_with("candidate:") {
                candidates.push(attribute.to_owned());
                continue;
            } else if attribute == "end-of-candidates" {
                continue;
            } else if let Some(value) = attribute.strip_prefix("ice-ufrag:") {
                ufrag.get_or_insert(value);
            } else if let Some(value) = attribute.strip_prefix("fingerprint:") {
                let announced = value.parse().map_err(|_| DescriptionError::Fingerprint)?;
                if *fingerprint.get_or_insert(announced) != announced {
                    return Err(DescriptionError::Fingerprint);
                }
            }
            sdp.push_str("a=");
            sdp.push_str(attribute);
            sdp.push_str("\r\n");
        }
        if sections > MAX_SECTIONS {
            return Err(DescriptionError::TooManySections);
        }
        let ufrag = ufrag
            .filter(|ufrag| (4..=MAX_ICE_CREDENTIAL).contains(&ufrag.len()))
            .ok_or(DescriptionError::NoIceCredentials)?
            .to_owned();
        let fingerprint = fingerprint.ok_or(DescriptionError::Fingerprint)?;
        Ok(Self {
            sdp,
            candidates,
            ufrag,
            fingerprint,
        })
    }
}

/// What the peer sends and receives, by its description (RFC 9429 section 5.11). A port of 0 refuses a section, unless
/// that is `bundle-only`: then it has no port but the group's (RFC 9143 section 6). Firefox writes that for whatever it
/// adds to a bundle.
pub(crate) fn wishes(sdp: &str) -> Wishes {
    let mut sections = Vec::new();
    for section in sdp.split("\nm=").skip(1) {
        let mut lines = section.lines();
        let head = lines.next().unwrap_or_default();
        let kind = match head.split(' ').next() {
            Some("audio") => Kind::Audio,
            Some("video") => Kind::Video,
            _ => continue,
        };
        let mut refused = head.split(' ').nth(1) == Some("0");
        let (mut mid, mut direction, mut codecs) = (None, "sendrecv", Vec::new());
        let mut level = None;
        for attribute in lines.filter_map(|line| line.trim_end().strip_prefix("a=")) {
            match attribute {
                "sendrecv" | "sendonly" | "recvonly" | "inactive" => direction = attribute,
                "bundle-only" => refused = false,
                _ => match attribute.split_once(':') {
                    Some(("mid", value)) => mid = Some(value),
                    Some(("rtpmap", value)) => codecs.extend(mapped(kind, value)),
                    Some(("extmap", value)) => level = level.or(audio_level(value)),
                    _ => {}
                },
            }
        }
        let Some(mid) = mid else { continue };
        sections.push(Wish {
            mid: mid.to_owned(),
            kind,
            refused,
            sends: !refused && direction.starts_with("send"),
            receives: !refused && matches!(direction, "sendrecv" | "recvonly"),
            codecs,
            level,
        });
    }
    Wishes { sections }
}

/// A payload type and its codec (RFC 8866 section 6.6), if it is one that we know.
fn mapped(kind: Kind, rtpmap: &str) -> Option<(u8, Codec)> {
    let (payload_type, encoding) = rtpmap.split_once(' ')?;
    let name = encoding.split('/').next()?;
    let codec = Codec::named(name).filter(|codec| codec.kind() == kind)?;
    Some((payload_type.parse().ok()?, codec))
}

/// The number of the header extension that tells how loud a packet is (RFC 8285 section 5, RFC 6464 section 4).
fn audio_level(extmap: &str) -> Option<u8> {
    let (number, uri) = extmap.split_once(' ')?;
    let is_level = uri.split(' ').next() == Some("urn:ietf:params:rtp-hdrext:ssrc-audio-level");
    // It may say in which direction it is used.
    let number = number.split('/').next()?;
    number.parse().ok().filter(|_| is_level)
}

/// The certificate that a description announces, checked or not.
pub(crate) fn fingerprint(sdp: &str) -> Option<Fingerprint> {
    let value = sdp
        .lines()
        .find_map(|line| line.trim_end().strip_prefix("a=fingerprint:"))?;
    value.parse().ok()
}

/// What a section of sound or pictures in an offer comes down to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SectionWish {
    pub(crate) sends: bool,
    pub(crate) receives: bool,
    /// Those that we know, in the order of the offer.
    pub(crate) codecs: Vec<Codec>,
}

/// Checks an offer before there is a session for it, and tells its sections of sound and pictures. A session checks it
/// again.
pub(crate) fn offered(sdp: &str) -> Result<Vec<SectionWish>, DescriptionError> {
    let description = Description::parse(sdp)?;
    let section = |wish: Wish| SectionWish {
        sends: wish.sends,
        receives: wish.receives,
        codecs: preferred(&description.sdp, &wish),
    };
    let sections = wishes(&description.sdp).sections.into_iter();
    Ok(sections.map(section).collect())
}

/// The codecs of a section, in the order in which its first line names their payload types (RFC 3264 section 5.1).
fn preferred(sdp: &str, wish: &Wish) -> Vec<Codec> {
    let mid = format!("a=mid:{}", wish.mid);
    let mut sections = sdp.split("\nm=").skip(1);
    let section = sections.find(|section| section.lines().any(|line| line.trim_end() == mid));
    let head = section.and_then(|section| section.lines().next());
    let mut codecs = Vec::new();
    for payload_type in head.unwrap_or_default().split_whitespace().skip(3) {
        let named = |known: &&(u8, Codec)| payload_type.parse() == Ok(known.0);
        if let Some((_, codec)) = wish.codecs.iter().find(named)
            && !codecs.contains(codec)
        {
            codecs.push(*codec);
        }
    }
    codecs
}

/// A side's part in DTLS (RFC 4145 section 4, RFC 5763 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Begins.
    Active,
    /// Waits.
    Passive,
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }

    /// What an answer chooses for its side.
    pub(crate) fn of(sdp: &str) -> Option<Self> {
        let chosen = sdp
            .lines()
            .find_map(|line| line.trim_end().strip_prefix("a=setup:"));
        [Self::Active, Self::Passive]
            .into_iter()
            .find(|part| Some(part.word()) == chosen)
    }

    /// The other side's.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Active => Self::Passive,
            Self::Passive => Self::Active,
        }
    }

    /// The same description with this part in it.
    pub(crate) fn put_into(self, sdp: &str) -> String {
        let line = |line: &str| match line.starts_with("a=setup:") {
            true => format!("a=setup:{}\r\n", self.word()),
            false => line.to_owned(),
        };
        sdp.split_inclusive('\n').map(line).collect()
    }
}

/// The media sections in which the peer neither sends nor receives, by mid.
pub(crate) fn idle_sections(sdp: &str) -> Vec<String> {
    let idle = wishes(sdp).sections.into_iter();
    idle.filter(|wish| !wish.sends && !wish.receives)
        .map(|wish| wish.mid)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PRINT: &str = "sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF";

    fn sdp(extra: &str) -> String {
        format!(
            "v=0\r\na=fingerprint:{PRINT}\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=ice-ufrag:abcd\r\na=mid:0\r\n{extra}"
        )
    }

    #[test]
    fn candidates_are_taken_out_and_the_rest_stays() {
        let text = sdp("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n");
        let description = Description::parse(&text).unwrap();
        assert_eq!(
            description.candidates,
            ["candidate:1 1 udp 1 192.0.2.1 9 typ host"]
        );
        assert_eq!(description.sdp, sdp(""));
        assert_eq!(description.ufrag, "abcd");
    }

    /// The engine skips blanks in front of an attribute.
    #[test]
    fn what_the_engine_takes_for_an_attribute_is_one_here() {
        for blank in [" ", "\u{a0}", "\u{2003} "] {
            let candidate = "candidate:1 1 tcp 1 127.0.0.1 22 typ host tcptype passive";
            let lines = format!("a={blank}{candidate}{blank}\r\na={blank}end-of-candidates\r\n");
            let description = Description::parse(&sdp(&lines)).unwrap();
            assert_eq!(description.candidates, [candidate]);
            assert_eq!(description.sdp, sdp(""));
            let other = PRINT.replace("00:11", "00:12");
            let other = sdp(&format!("a={blank}fingerprint:{other}\r\n"));
            assert_eq!(
                Description::parse(&other),
                Err(DescriptionError::Fingerprint)
            );
        }
    }

    #[test]
    fn impossible_descriptions_are_refused() {
        let cases = [
            (String::new(), DescriptionError::NoIceCredentials),
            (
                "x".repeat(MAX_SDP + 1),
                DescriptionError::TooLarge(MAX_SDP + 1),
            ),
            (
                sdp(&"m=audio 9 x 0\r\n".repeat(MAX_SECTIONS)),
                DescriptionError::TooManySections,
            ),
            (
                sdp("").replace("abcd", &"a".repeat(300)),
                DescriptionError::NoIceCredentials,
            ),
            (
                sdp("").replace("abcd", "a\0cd"),
                DescriptionError::ControlCharacters,
            ),
            (
                sdp("\ra=candidate:1 1 tcp 1 127.0.0.1 22 typ host tcptype passive\r\n"),
                DescriptionError::ControlCharacters,
            ),
            (
                sdp("").replace("sha-256", "sha-1"),
                DescriptionError::Fingerprint,
            ),
            (
                sdp("").replace(&format!("a=fingerprint:{PRINT}\r\n"), ""),
                DescriptionError::Fingerprint,
            ),
            (
                sdp(&format!(
                    "a=fingerprint:{}\r\n",
                    PRINT.replace("00:11", "00:12")
                )),
                DescriptionError::Fingerprint,
            ),
        ];
        for (text, error) in cases {
            assert_eq!(Description::parse(&text), Err(error));
        }
    }

    #[test]
    fn the_same_fingerprint_may_stand_twice_in_any_case() {
        let text = sdp(&format!("a=fingerprint:{}\r\n", PRINT.to_lowercase()));
        assert!(Description::parse(&text).is_ok());
    }

    #[test]
    fn the_part_in_dtls_is_read_and_replaced() {
        let sdp = "v=0\r\na=setup:active\r\nm=audio 9 X 1\r\na=setup:active\r\na=mid:0\r\n";
        assert_eq!(Part::of(sdp), Some(Part::Active));
        let other = Part::Active.other().put_into(sdp);
        assert_eq!(other, sdp.replace("active", "passive"));
        assert_eq!(Part::of(&other), Some(Part::Passive));
        assert_eq!(Part::of("a=setup:actpass\r\n"), None);
        assert_eq!(Part::of(""), None);
    }

    #[test]
    fn sections_tell_what_the_peer_sends_and_receives() {
        let sdp = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n\
            m=audio 9 X 111\r\na=mid:1\r\na=sendrecv\r\nm=video 9 X 96\r\na=recvonly\r\na=mid:2\r\n\
            m=video 9 X 96\r\na=mid:3\r\na=inactive\r\nm=video 0 X 96\r\na=mid:4\r\na=sendonly\r\n\
            m=audio 9 X 96\r\na=mid:5\r\na=sendonly\r\nm=audio 9 X 1\r\na=mid:6\r\n\
            m=video 0 X 96\r\na=bundle-only\r\na=mid:7\r\na=sendrecv\r\n";
        let wishes = wishes(sdp).sections.into_iter();
        let told: Vec<_> = wishes.map(|w| (w.mid, w.sends, w.receives)).collect();
        let expected = [
            ("1", true, true),
            ("2", false, true),
            ("3", false, false),
            ("4", false, false),
            ("5", true, false),
            ("6", true, true),
            ("7", true, true),
        ];
        assert_eq!(told, expected.map(|(mid, s, r)| (mid.to_owned(), s, r)));
        assert_eq!(idle_sections(sdp), ["3", "4"]);
    }

    #[test]
    fn payload_types_are_read_with_their_codecs() {
        let sdp = "v=0\r\nm=video 9 X 96 97 300 102\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\n\
            a=rtpmap:97 rtx/90000\r\na=rtpmap:300 VP9/90000\r\na=rtpmap:102 H264/90000\r\n\
            m=audio 9 X 111\r\na=mid:2\r\na=extmap:1/recvonly urn:ietf:params:rtp-hdrext:ssrc-audio-level vad=on\r\n\
            a=extmap:2 urn:x\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:112 VP8/90000\r\na=rtpmap:x\r\n";
        let [video, audio] = &wishes(sdp).sections[..] else {
            panic!("two sections");
        };
        assert_eq!(video.codecs, [(96, Codec::Vp8), (102, Codec::H264)]);
        assert_eq!(audio.codecs, [(111, Codec::Opus)]);
        assert_eq!((video.level, audio.level), (None, Some(1)));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(a=[a-z:-]{0,20} ?[ -~]{0,40}\r?\n){0,20}") {
            let _ = Description::parse(&text);
            let _ = wishes(&text);
        }
    }
}
