//! Descriptions, candidates and control messages, for `fuzz/`.

use super::PathPolicy;
use super::candidates::{CandidateRules, Candidates, relay_address};
use super::control::ControlMessage;
use super::description::{Description, MAX_SDP, Part, fingerprint, idle_sections, offered, wishes};
use super::privacy;
use rtc::ice::candidate::unmarshal_candidate;
use rtc::sdp::SessionDescription;
use signaling_protocol::IceCandidate;
use std::io;
use std::net::IpAddr;

/// Most candidates of one generation: the limit of `candidates`.
const CANDIDATES: usize = 64;

pub(crate) fn control(text: &str) {
    let Some(message) = ControlMessage::parse(text) else {
        return;
    };
    if message != ControlMessage::Unknown {
        let json = message.to_json();
        assert_eq!(ControlMessage::parse(&json), Some(message), "{json}");
    }
}

/// An offer or answer, and each of its lines as a candidate that comes by itself.
pub fn session_description(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let description = Description::parse(text);
    if let Ok(description) = &description {
        checked(description);
    }
    let rules = CandidateRules {
        loopback: false,
        policy: PathPolicy::DirectOnly,
    };
    let mut candidates = Candidates::new(rules);
    let mut added = 0;
    for line in text.lines() {
        let attribute = line.strip_prefix("a=").unwrap_or(line);
        let told = privacy::without_related(attribute);
        assert_eq!(privacy::without_related(&told), told);
        let trickled = IceCandidate {
            candidate: attribute.to_owned(),
            sdp_mid: None,
            sdp_m_line_index: Some(0),
            username_fragment: None,
        };
        if let Ok(Some(candidate)) = candidates.trickled(trickled) {
            added += 1;
            passed(&candidate.candidate);
        }
    }
    if let Ok(description) = description {
        let inside = candidates.described(&description.ufrag, description.candidates);
        inside
            .iter()
            .for_each(|candidate| passed(&candidate.candidate));
        added += inside.len();
    }
    assert!(added <= CANDIDATES);
    // What the engine and WHIP see of text that nobody has checked.
    let told = privacy::description(text);
    assert_eq!(privacy::description(&told), told);
    let _ = (fingerprint(text), idle_sections(text), offered(text));
    if let Some(part) = Part::of(text) {
        assert_eq!(Part::of(&part.other().put_into(text)), Some(part.other()));
    }
}

fn checked(description: &Description) {
    let wishes = wishes(&description.sdp);
    for wish in &wishes.sections {
        assert!(!(wish.refused && (wish.sends || wish.receives)));
    }
    assert!(
        description
            .sdp
            .lines()
            .all(|line| !line.starts_with("a=candidate:"))
    );
    assert_eq!(
        fingerprint(&description.sdp),
        Some(description.fingerprint),
        "what the engine is given announces what was checked"
    );
    engine(description);
    // Lines that ended in a line feed alone became longer.
    if description.sdp.len() <= MAX_SDP {
        let again = Description::parse(&description.sdp).expect("it was read before");
        assert_eq!(again.sdp, description.sdp);
        assert_eq!(again.ufrag, description.ufrag);
        assert!(again.candidates.is_empty());
    }
}

/// The engine finds what was checked, and nothing else.
fn engine(description: &Description) {
    let mut reader = io::Cursor::new(description.sdp.as_bytes());
    let Ok(seen) = SessionDescription::unmarshal(&mut reader) else {
        return;
    };
    assert!(seen.media_descriptions.len() <= 64);
    let media = seen.media_descriptions.iter();
    let mut ufrags = Vec::new();
    for attribute in media
        .flat_map(|media| &media.attributes)
        .chain(&seen.attributes)
    {
        let value = attribute.value.as_deref().unwrap_or_default();
        match attribute.key.as_str() {
            "candidate" => assert_eq!(attribute.value, None, "it was not filtered"),
            "fingerprint" => assert_eq!(value.parse(), Ok(description.fingerprint)),
            "ice-ufrag" => ufrags.push(value),
            _ => {}
        }
    }
    assert!(ufrags.is_empty() || ufrags.contains(&description.ufrag.as_str()));
}

/// A candidate that may reach the engine, as the engine reads it.
fn passed(attribute: &str) {
    assert!(attribute.len() <= 512 && !attribute.contains(char::is_control));
    assert_eq!(relay_address(attribute), None, "relays were excluded");
    let value = attribute.strip_prefix("candidate:").unwrap_or(attribute);
    let Ok(candidate) = unmarshal_candidate(value) else {
        return;
    };
    assert!(!candidate.network_type().is_tcp(), "{attribute}");
    if let Ok(ip) = candidate.address().parse::<IpAddr>() {
        let ip = ip.to_canonical();
        assert!(!(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast()));
    }
    assert!(candidate.port() > 0);
}
