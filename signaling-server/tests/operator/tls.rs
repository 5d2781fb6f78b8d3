//! HTTPS and WSS, certificates that change, and plain requests that went astray.

use crate::{
    common::{DEADLINE, TestServer, config, exchange},
    http::{over, request},
};
use futures_util::{SinkExt, StreamExt};
use rustls::{ClientConfig, RootCertStore, pki_types::pem::PemObject};
use serde_json::{Value, json};
use signaling_server::{Config, Tls};
use std::{net::SocketAddr, path::Path, process::Stdio, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{client_async, tungstenite::Message};

pub(crate) fn secured(tls: &Tls) -> Config {
    let mut config = config();
    config.tls = Some(tls.clone());
    config
}

/// A connection of somebody who trusts the certificate in this directory, by the name `localhost`.
pub(crate) async fn connect(
    address: SocketAddr,
    directory: &Path,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let certificate = directory.join("cert.pem");
    roots
        .add(rustls::pki_types::CertificateDer::from_pem_file(certificate).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    TlsConnector::from(Arc::new(config))
        .connect("localhost".try_into().unwrap(), stream)
        .await
}

async fn next(
    socket: &mut (impl StreamExt<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin),
) -> Value {
    loop {
        let frame = timeout(DEADLINE, socket.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        if let Message::Text(text) = frame {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

#[tokio::test]
async fn members_meet_over_wss_and_certificates_change_under_them() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tls = Tls::self_signed(Some(old.path()), &[]).unwrap();
    Tls::self_signed(Some(new.path()), &[]).unwrap();
    // Copied below; the first one's clients keep what they trust.
    let used = tempfile::tempdir().unwrap();
    let copy = |from: &Path| {
        for name in ["cert.pem", "key.pem"] {
            std::fs::copy(from.join(name), used.path().join(name)).unwrap();
        }
    };
    copy(old.path());
    let files = (used.path().join("cert.pem"), used.path().join("key.pem"));
    let served = Tls::from_files(&files.0, &files.1).unwrap();
    assert_eq!(served.fingerprint(), tls.fingerprint());
    let server = TestServer::with_config(secured(&served)).await;

    let stream = connect(server.address, old.path()).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), None, "none was offered");
    let (mut first, _) = client_async("wss://localhost/ws", stream).await.unwrap();
    let join = json!({ "type": "join", "room": "a" }).to_string();
    first.send(Message::text(join.clone())).await.unwrap();
    assert_eq!(next(&mut first).await["type"], "joined");

    copy(new.path());
    // Two files written within one tick of the clock may look the same by time and size.
    while !served.reload().unwrap() {
        copy(new.path());
    }
    let refused = connect(server.address, old.path()).await;
    assert!(
        refused.is_err(),
        "the old certificate is not shown any more"
    );
    let stream = connect(server.address, new.path()).await.unwrap();
    let (mut second, _) = client_async("wss://localhost/ws", stream).await.unwrap();
    second.send(Message::text(join)).await.unwrap();
    assert_eq!(
        next(&mut second).await["peers"].as_array().unwrap().len(),
        1
    );
    assert_eq!(next(&mut first).await["type"], "peer-joined", "it lives on");

    let stream = connect(server.address, new.path()).await.unwrap();
    let health = over(stream, "GET /healthz", &[], "").await;
    assert_eq!(
        (health.status, &health.json()["service"]),
        (200, &json!("peerline"))
    );
}

/// 33: what TLS itself can be misused for.
#[tokio::test]
async fn empty_records_and_renegotiation_end_the_connection() {
    let directory = tempfile::tempdir().unwrap();
    let tls = Tls::self_signed(Some(directory.path()), &[]).unwrap();
    let mut config = secured(&tls);
    config.limits.header_timeout = std::time::Duration::from_millis(500);
    let server = TestServer::with_config(config).await;
    // Handshake, alert and data records without content.
    for kind in [0x16, 0x15, 0x17] {
        let mut stream = server.raw().await;
        // The first one makes it TLS.
        let mut bytes = vec![0x16, 3, 3, 0, 0];
        bytes.extend([kind, 3, 3, 0, 0].repeat(10_000));
        let answer = exchange(&mut stream, &bytes).await;
        // An alert at most.
        assert!(answer.len() < 100, "{kind:#x}: {answer:?}");
    }
    // An `R` on a line of its own makes this client ask for another handshake. It is ended, or there is no TLS
    // 1.2 in this build in the first place: 1.3 has no such thing.
    let mut client = Command::new("openssl")
        .args(["s_client", "-tls1_2", "-connect"])
        .arg(server.address.to_string())
        .arg("-CAfile")
        .arg(directory.path().join("cert.pem"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("openssl is installed (scripts/test install)");
    let mut input = client.stdin.take().unwrap();
    input.write_all(b"R\n").await.unwrap();
    // The input stays open: it is the server that ends this.
    let output = timeout(DEADLINE, client.wait_with_output()).await;
    let output = output.unwrap().unwrap();
    drop(input);
    let said = String::from_utf8_lossy(&output.stderr);
    let refused = ["RENEGOTIATING", "protocol version"];
    assert!(refused.iter().any(|text| said.contains(text)), "{said}");
    assert!(!output.status.success(), "{said}");

    let stream = connect(server.address, directory.path()).await.unwrap();
    assert_eq!(over(stream, "GET /healthz", &[], "").await.status, 200);
}

#[tokio::test]
async fn plain_http_is_sent_to_https_and_nothing_holds_the_port() {
    let tls = Tls::self_signed(None, &["server.example".to_owned()]).unwrap();
    let mut config = secured(&tls);
    config.limits.header_timeout = std::time::Duration::from_millis(300);
    let server = TestServer::with_config(config).await;
    let answer = request(server.address, "GET /x?token=1", &[], "").await;
    assert_eq!(answer.status, 308);
    assert!(
        answer.head.contains("location: https://localhost/x\r\n"),
        "{}",
        answer.head
    );
    let answer = request(server.address, "POST /api/rooms/a/messages", &[], "{}").await;
    assert_eq!(answer.status, 308, "no join without TLS");
    let split = ["Host: evil\u{9}x".to_owned()];
    let answer = request(server.address, "GET /", &split, "").await;
    assert!([308, 400].contains(&answer.status));

    // Those who say nothing, or half a handshake, are cut.
    for first in [
        &b""[..],
        &[22],
        &[22, 3, 1, 0xff, 0xff, 1],
        &[22, 3, 1, 0, 0],
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        AsyncWriteExt::write_all(&mut stream, first).await.unwrap();
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = timeout(DEADLINE, stream.read_to_end(&mut rest))
            .await
            .expect("an end");
    }
}
