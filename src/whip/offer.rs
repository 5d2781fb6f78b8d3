//! What an offer has to be so that a stream comes of it (RFC 9725 section 4.4, WHEP draft section 4.4).
//!
//! Pure.

use super::reply::Reply;
use crate::media::Codec;
use crate::session::{SectionWish, offered};

/// Which way the stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The client sends (WHIP).
    Publish,
    /// The client receives (WHEP).
    Play,
}

/// One section of an offer: the codecs that both sides know, the client's favourite first.
pub(crate) type Section = Vec<Codec>;

/// Reads an offer; what it is refused with, otherwise. Each section must be of use: half a stream would mislead.
pub(super) fn check(sdp: &str, role: Role) -> Result<Vec<Section>, Reply> {
    let sections = offered(sdp).map_err(|error| Reply::problem(400, &error.to_string()))?;
    if sections.is_empty() {
        return Err(Reply::problem(
            422,
            "the offer has no section of sound or pictures",
        ));
    }
    let fits = |section: &SectionWish| match role {
        Role::Publish => section.sends,
        Role::Play => section.receives,
    };
    if !sections.iter().all(fits) {
        let wanted = match role {
            Role::Publish => "sendonly",
            Role::Play => "recvonly",
        };
        let why = format!("every section of the offer has to be {wanted}");
        return Err(Reply::problem(422, &why));
    }
    if sections.iter().any(|section| section.codecs.is_empty()) {
        return Err(Reply::problem(
            406,
            "a section of the offer has none of Opus, VP8, VP9, H264 and AV1",
        ));
    }
    Ok(sections.into_iter().map(|section| section.codecs).collect())
}

/// An offer that goes one way: the engine is always ready to receive, and these servers are not.
pub(super) fn directed(sdp: &str, role: Role) -> String {
    let direction = match role {
        Role::Publish => "a=sendonly",
        Role::Play => "a=recvonly",
    };
    let mut text = String::with_capacity(sdp.len());
    for line in sdp.lines().map(str::trim_end) {
        text.push_str(if line == "a=sendrecv" {
            direction
        } else {
            line
        });
        text.push_str("\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sdp(sections: &str) -> String {
        let print = "00:".repeat(31) + "00";
        format!(
            "v=0\r\na=fingerprint:sha-256 {print}\r\na=ice-ufrag:abcd\r\na=ice-pwd:{}\r\n{sections}",
            "p".repeat(22)
        )
    }

    const VIDEO: &str =
        "m=video 9 X 96 102\r\na=mid:1\r\na=rtpmap:102 H264/90000\r\na=rtpmap:96 VP8/90000\r\n";

    #[test]
    fn offers_are_taken_or_refused() {
        let video = |direction: &str| sdp(&format!("{VIDEO}a={direction}\r\n"));
        let status = |sdp: &str, role| check(sdp, role).map_err(|reply| reply.status);
        let both = Ok(vec![vec![Codec::Vp8, Codec::H264]]);
        for (sdp, publish, play) in [
            (video("sendonly"), both.clone(), Err(422)),
            (video("recvonly"), Err(422), both.clone()),
            (video("sendrecv"), both.clone(), both),
            (video("inactive"), Err(422), Err(422)),
            (sdp(""), Err(422), Err(422)),
            (
                sdp("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n"),
                Err(422),
                Err(422),
            ),
            (
                sdp("m=audio 9 X 0\r\na=mid:0\r\na=rtpmap:0 PCMU/8000\r\n"),
                Err(406),
                Err(406),
            ),
            ("v=0\r\n".into(), Err(400), Err(400)),
            ("x".repeat(100_000), Err(400), Err(400)),
        ] {
            assert_eq!(status(&sdp, Role::Publish), publish, "{sdp:.300}");
            assert_eq!(status(&sdp, Role::Play), play, "{sdp:.300}");
        }
    }
}
