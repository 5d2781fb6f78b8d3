//! Servers that do not let everybody in, and servers whose certificate nobody has signed.

use signaling_protocol::Secret;
use signaling_server::{AccessConfig, Config, Tls, TokenKeys};

use crate::harness::{Peer, Place, Signaling, command, digest, noise};

const TOKEN: &str = "correct horse battery staple";

/// Over HTTPS with a certificate of its own, for those who have [`TOKEN`]. With it comes the fingerprint.
fn guarded() -> (Signaling, String) {
    let tls = Tls::self_signed(None, &[]).unwrap();
    let fingerprint = tls.fingerprint();
    let mut server = Signaling::with(Config {
        listen: ([127, 0, 0, 1], 0).into(),
        tls: Some(tls),
        access: AccessConfig::Tokens {
            secret: Some(Secret::new(TOKEN)),
            keys: TokenKeys::new([]),
        },
        ..Config::default()
    });
    server.url = server.url.replace("http://", "https://");
    (server, fingerprint)
}

/// `WORDS... --server URL` with these in its environment.
fn start(server: &Signaling, words: &[&str], environment: &[(&str, &str)]) -> Peer {
    let mut command = command(&[words, &["--server", &server.url]].concat());
    command.envs(environment.iter().copied());
    Peer::run(command)
}

#[tokio::test]
async fn who_has_the_token_and_the_fingerprint_sends_and_receives() {
    let (server, fingerprint) = guarded();
    let place = Place::new();
    let content = noise(1 << 20, 31);
    let file = place.file("in/a", &content);
    let environment = [
        ("PEERLINE_TOKEN", TOKEN),
        ("PEERLINE_SERVER_FINGERPRINT", fingerprint.as_str()),
    ];
    let send = ["send-file", file.to_str().unwrap()];
    let mut sender = start(&server, &send, &environment);
    let code = sender.code().await;
    let out = place.out();
    let receive = [
        "receive-file",
        &code,
        "--yes",
        "--out",
        out.to_str().unwrap(),
    ];
    let receiver = start(&server, &receive, &environment);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.is_done();
    received.is_done();
    assert_eq!(
        place.received()[std::path::Path::new("a")],
        digest(&content)
    );
    for end in [&sent, &received] {
        let said = format!("{:?}{}", end.events, end.stderr);
        assert!(!said.contains(TOKEN), "a token is nobody else's business");
    }
}

#[tokio::test]
async fn without_the_token_nobody_gets_in() {
    let (server, fingerprint) = guarded();
    let place = Place::new();
    let file = place.file("in/a", b"a");
    let pin = ("PEERLINE_SERVER_FINGERPRINT", fingerprint.as_str());
    for environment in [&[pin][..], &[pin, ("PEERLINE_TOKEN", "wrong")]] {
        let send = ["send-file", file.to_str().unwrap()];
        let end = start(&server, &send, environment).end().await;
        let error = end.failed(7, "unauthorized");
        assert_eq!(error["retry"], false, "{error}");
    }
}

#[tokio::test]
async fn another_certificate_than_the_pinned_one_is_no_server() {
    let (server, fingerprint) = guarded();
    let place = Place::new();
    let file = place.file("in/a", b"a");
    let mut digits = fingerprint.clone();
    let last = if digits.ends_with('0') { "1" } else { "0" };
    digits.replace_range(digits.len() - 1.., last);
    for pin in [None, Some(digits.as_str())] {
        let mut environment = vec![("PEERLINE_TOKEN", TOKEN)];
        environment.extend(pin.map(|pin| ("PEERLINE_SERVER_FINGERPRINT", pin)));
        let send = ["send-file", file.to_str().unwrap()];
        let end = start(&server, &send, &environment).end().await;
        let error = end.failed(7, "signaling-unreachable");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("TLS"), "{message}");
    }
}
