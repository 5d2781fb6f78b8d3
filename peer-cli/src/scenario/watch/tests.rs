use super::*;
use crate::scenario::plan::State;

fn diagnosis(events: &[&str]) -> Diagnosis {
    let mut diagnosis = Diagnosis::default();
    for event in events {
        diagnosis.note(&Event::parse(event).unwrap_or_else(|| panic!("{event}")));
    }
    diagnosis
}

fn codes(events: &[&str]) -> Vec<(&'static str, bool)> {
    let findings = diagnosis(events).findings(&[]);
    findings
        .iter()
        .map(|finding| (finding.code, finding.certain))
        .collect()
}

fn description(what: &str, kind: &str, sections: &[&str]) -> String {
    let mut sdp = "v=0\r\n".to_owned();
    for section in sections {
        sdp += section;
    }
    serde_json::json!({"what": what, "pc": 0, "type": kind, "sdp": sdp}).to_string()
}

const OFFER: &str = r#"{"what":"sent","signal":"offer","candidates":0}"#;
const CANDIDATE: &str = r#"{"what":"sent","signal":"candidate","candidates":0}"#;
const CHANNEL: &str = r#"{"what":"channel","pc":0,"label":"chat","negotiated":false}"#;
const CONNECTED: &str = r#"{"what":"state","pc":0,"state":"connected"}"#;
const VP8: &str =
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\n";
const H265: &str = "m=video 9 UDP/TLS/RTP/SAVPF 98\r\na=rtpmap:98 H265/90000\r\n";
const REFUSED: &str = "m=video 0 UDP/TLS/RTP/SAVPF 98\r\na=rtpmap:98 H265/90000\r\n";
const DATA: &str = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";

#[test]
fn a_page_that_does_everything_right_has_no_findings() {
    let local = description("local", "offer", &[VP8, DATA]);
    let remote = description("remote", "answer", &[VP8, DATA]);
    let events = [
        r#"{"what":"connection","pc":0}"#,
        CHANNEL,
        &local,
        OFFER,
        r#"{"what":"candidate-found","pc":0}"#,
        CANDIDATE,
        &remote,
        r#"{"what":"heard","signal":"answer","candidates":0}"#,
        r#"{"what":"channel-open","pc":0,"label":"chat"}"#,
        CONNECTED,
    ];
    assert_eq!(codes(&events), []);
    let diagnosis = diagnosis(&events);
    assert!(diagnosis.has_opened("chat"));
    assert_eq!(diagnosis.state(), Some(State::Connected));
}

#[test]
fn candidates_before_the_offer() {
    let local = description("local", "offer", &[DATA]);
    assert_eq!(
        codes(&[&local, CANDIDATE, CANDIDATE, OFFER]),
        [("candidate-before-description", true)]
    );
    let message = &diagnosis(&[&local, CANDIDATE, OFFER]).findings(&[])[0].message;
    assert!(
        message.starts_with("1 candidate was sent before the offer"),
        "{message}"
    );
}

#[test]
fn codecs_that_only_one_side_knows() {
    let local = description("local", "offer", &[H265]);
    for remote in [REFUSED, VP8] {
        let remote = description("remote", "answer", &[remote]);
        let events = [&local, OFFER, &remote];
        assert_eq!(codes(&events), [("no-common-codec", true)]);
        let message = &diagnosis(&events).findings(&[])[0].message;
        assert!(
            message.starts_with("the page's offer has video only as H265"),
            "{message}"
        );
    }
    // Nobody answers what nobody understands.
    let events = [local.as_str(), OFFER];
    assert_eq!(codes(&events), []);
    let findings = diagnosis(&events).findings(&["VP8", "opus"]);
    assert_eq!(findings[0].code, "no-common-codec");
    assert!(
        findings[0]
            .message
            .ends_with("nobody answered it: native peers know VP8, opus"),
        "{findings:?}"
    );
    // The other way round.
    let offer = description("remote", "offer", &[H265]);
    let answer = description("local", "answer", &[REFUSED]);
    let answered = r#"{"what":"sent","signal":"answer","candidates":0}"#;
    let findings = diagnosis(&[&offer, &answer, answered]).findings(&[]);
    assert!(
        findings[0]
            .message
            .starts_with("the other side's offer has video only as H265"),
        "{findings:?}"
    );
}

#[test]
fn channels_that_never_open() {
    let without = description("local", "offer", &[VP8]);
    let answer = description("remote", "answer", &[VP8]);
    let late = [&without, OFFER, &answer, CONNECTED, CHANNEL];
    assert_eq!(codes(&late), [("channel-never-opened", true)]);
    let message = &diagnosis(&late).findings(&[])[0].message;
    assert!(
        message.contains("it was made before createDataChannel"),
        "{message}"
    );
    let with = description("local", "offer", &[DATA]);
    assert_eq!(
        codes(&[CHANNEL, &with, OFFER]),
        [("channel-never-opened", false)]
    );
    let message = &diagnosis(&[CHANNEL, &with, OFFER]).findings(&[])[0].message;
    assert!(
        message.ends_with("the other side never answered"),
        "{message}"
    );
    let unheard = r#"{"what":"channel-in","pc":0,"label":"chat","heard":false}"#;
    assert_eq!(codes(&[unheard]), [("channel-unheard", false)]);
}

#[test]
fn what_is_found_and_never_sent() {
    let local = description("local", "offer", &[DATA]);
    let found = r#"{"what":"candidate-found","pc":0}"#;
    assert_eq!(codes(&[&local]), [("description-not-sent", false)]);
    assert_eq!(
        codes(&[&local, OFFER, found]),
        [("candidates-not-sent", false)]
    );
    let whole = r#"{"what":"sent","signal":"offer","candidates":2}"#;
    assert_eq!(
        codes(&[&local, found, whole]),
        [],
        "they are in the description"
    );
}

#[test]
fn what_the_browser_refuses() {
    let refused = |call: &str, state: &str, described: bool| {
        serde_json::json!({"what": "refused", "pc": 0, "call": call, "state": state, "error": "E", "described": described})
            .to_string()
    };
    for (event, found) in [
        (
            refused("addIceCandidate", "stable", false),
            ("candidate-refused", true),
        ),
        (
            refused("addIceCandidate", "stable", true),
            ("candidate-refused", false),
        ),
        (
            refused("setRemoteDescription", "have-local-offer", true),
            ("description-refused", false),
        ),
        (
            r#"{"what":"media-refused","error":"NotAllowedError"}"#.into(),
            ("media-refused", false),
        ),
        (
            r#"{"what":"state","pc":0,"state":"failed"}"#.into(),
            ("connection-failed", false),
        ),
    ] {
        assert_eq!(codes(&[&event]), [found], "{event}");
    }
}

#[test]
fn every_finding_is_in_the_list_and_the_list_is_documented() {
    let documented = include_str!("../../../../docs/testing.md");
    for code in CODES {
        assert!(documented.contains(&format!("`{code}`")), "{code}");
        assert!(
            include_str!("diagnosis.rs").contains(&format!("\"{code}\"")),
            "{code}"
        );
    }
}

/// A page may call the function itself, with anything.
#[test]
fn what_is_no_event_is_none() {
    for text in [
        "",
        "x",
        "{}",
        "[]",
        r#"{"what":"x"}"#,
        r#"{"what":"state","pc":-1,"state":""}"#,
    ] {
        assert_eq!(Event::parse(text), None, "{text}");
    }
    let mut diagnosis = Diagnosis::default();
    for pc in 0..1000 {
        for label in 0..100 {
            let (label, negotiated) = (label.to_string(), false);
            diagnosis.note(&Event::Channel {
                pc,
                label,
                negotiated,
            });
        }
    }
    assert!(
        diagnosis.findings(&[]).len() <= 64 * 64,
        "what a page does is not kept without bound"
    );
}
