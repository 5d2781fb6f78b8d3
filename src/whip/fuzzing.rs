//! Requests, fragments and answers of servers, for `fuzz/`.

use super::exchange::{Action, Exchange, Input};
use super::fragment::{Credentials, Fragment, with_candidates};
use super::offer::{Role, check};
use super::request::{Token, read};
use super::said::Said;
use signaling_protocol::IceCandidate;
use std::time::Instant;

const OFFER: &str = "v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\n";

/// A body, and the same as requests and answers: a line with method, path or status, lines with headers.
pub fn whip_exchange(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(fragment) = Fragment::parse(text) {
        let written = fragment.write(OFFER);
        // It may have grown beyond what is read.
        if let Ok(again) = Fragment::parse(&written) {
            assert_eq!(again.credentials, fragment.credentials);
            assert_eq!(again.is_last, fragment.is_last);
            let attributes = |fragment: &Fragment| -> Vec<String> {
                let candidates = fragment.candidates.iter();
                candidates.map(|found| found.candidate.clone()).collect()
            };
            assert_eq!(attributes(&again), attributes(&fragment));
        }
        let whole = with_candidates(OFFER, &fragment.candidates, fragment.is_last);
        if let Some(credentials) = &fragment.credentials {
            let restarted = credentials.put_into(&whole);
            assert_eq!(Credentials::of(&restarted).as_ref(), Ok(credentials));
        }
    }
    for role in [Role::Publish, Role::Play] {
        if let Ok(sections) = check(text, role) {
            assert!(!sections.is_empty() && sections.iter().all(|codecs| !codecs.is_empty()));
        }
    }
    requested(text);
    answered(text);
}

fn requested(text: &str) {
    let (head, _) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let Some((method, path)) = lines.next().and_then(|line| line.split_once(' ')) else {
        return;
    };
    let mut request = hyper::Request::builder().method(method).uri(path);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        request = request.header(name, value);
    }
    if let Ok(request) = request.body(()) {
        let (head, ()) = request.into_parts();
        for token in [None, Some(&Token::new("secret"))] {
            if let Err(reply) = read(&head, token) {
                assert!((200..500).contains(&reply.status));
            }
        }
    }
}

/// What a server says, answer after answer: a line with its status, then its location, tag and pause, then a body
/// up to an empty line.
fn answered(text: &str) {
    let endpoint = "https://host/live/whip".parse().expect("a URL");
    let mut exchange = Exchange::new(Role::Publish, endpoint);
    let now = Instant::now();
    exchange.handle(now, Input::Offer(OFFER.to_owned()));
    exchange.handle(now, Input::Gathered);
    for answer in text.split("\n\n") {
        let mut lines = answer.splitn(5, '\n');
        let mut line = || {
            lines
                .next()
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
        };
        let said = Said {
            status: line().and_then(|status| status.parse().ok()).unwrap_or(201),
            location: line(),
            etag: line(),
            retry_after: line().and_then(|pause| pause.parse().ok()),
            body: line().unwrap_or_default(),
        };
        for action in exchange.handle(now, Input::Said(said)) {
            match action {
                Action::Ask(ask) => assert_eq!(ask.url.scheme(), "https"),
                Action::Fail(failure) => assert!(failure.why.len() < 1 << 12),
                Action::Answer(_) | Action::Over => {}
            }
        }
        let candidate = "candidate:1 1 udp 1 192.0.2.1 9 typ host".to_owned();
        let candidate = IceCandidate {
            candidate,
            sdp_mid: None,
            sdp_m_line_index: Some(0),
            username_fragment: None,
        };
        exchange.handle(now, Input::Candidate(candidate));
    }
}
