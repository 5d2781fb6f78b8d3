//! A web service that decides, and one that does not.

use crate::common::{TestServer, config};
use serde_json::{Value, json};
use signaling_protocol::Secret;
use signaling_server::{AccessConfig, Config, Webhook};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the service was asked, with the header of each question.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// A service that answers with whatever `answer` makes of a question; `None` is silence.
async fn service(
    answer: impl Fn(&Value) -> Option<(u16, String)> + Send + Sync + 'static,
) -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::default();
    let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
            tokio::spawn(async move { serve(stream, &log, answer.as_ref()).await });
        }
    });
    (address, asked)
}

async fn serve(
    mut stream: TcpStream,
    log: &Asked,
    answer: &(impl Fn(&Value) -> Option<(u16, String)> + ?Sized),
) {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str::<Value>(body)
        {
            break (head.to_owned(), body);
        }
    };
    let response = answer(&body);
    log.lock().unwrap().push((head, body));
    let Some((status, body)) = response else {
        // Until the server has had enough of waiting.
        let _ = stream.read(&mut [0; 1]).await;
        return;
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nLocation: /\r\n\r\n");
    // One that does not want to read so much hangs up.
    let _ = stream.write_all((head + &body).as_bytes()).await;
}

fn asking(address: SocketAddr) -> Config {
    let url = format!("http://{address}/decide?from=peerline");
    let webhook = Webhook::new(&url, Some(Secret::new("the server itself"))).unwrap();
    let mut config = config();
    config.access = AccessConfig::Webhook(webhook);
    config
}

#[tokio::test]
async fn the_service_decides_and_is_asked_once_for_what_it_lets_be_remembered() {
    let (address, asked) = service(|question| {
        Some(match question["token"].as_str() {
            Some("good") => (200, json!({ "allow": true, "maxAge": 60 }).to_string()),
            Some("once") => (200, json!({ "allow": true }).to_string()),
            Some("guest") => (200, json!({ "allow": true, "role": "guest" }).to_string()),
            Some("other") => (200, json!({ "allow": true, "room": "other" }).to_string()),
            Some("no") => (200, json!({ "allow": false, "maxAge": 60 }).to_string()),
            Some("forbidden") => (403, String::new()),
            Some("broken") => (500, String::new()),
            Some("moved") => (302, json!({ "allow": true }).to_string()),
            Some("nonsense") => (200, "{\"allow\":\"yes\"}".to_owned()),
            Some("endless") => (200, " ".repeat(8 << 20)),
            _ => (401, String::new()),
        })
    })
    .await;
    let server = TestServer::with_config(asking(address)).await;
    let questions = || asked.lock().unwrap().len();
    // Token, what comes of it, and how often the service was asked.
    let rows = [
        (json!("good"), "joined", 1),
        (json!("good"), "joined", 0),
        (json!("once"), "joined", 1),
        (json!("once"), "joined", 1),
        (json!("guest"), "joined", 1),
        (json!("other"), "unauthorized", 1),
        (json!("no"), "unauthorized", 1),
        (json!("no"), "unauthorized", 0),
        (json!("forbidden"), "unauthorized", 1),
        (json!(null), "unauthorized", 1),
        (json!("broken"), "internal", 1),
        (json!("moved"), "internal", 1),
        (json!("nonsense"), "internal", 1),
        (json!("endless"), "internal", 1),
    ];
    let mut members = Vec::new();
    for (token, expected, count) in rows {
        let before = questions();
        let mut client = server.client().await;
        client
            .send(json!({ "type": "join", "room": "a", "token": token }))
            .await;
        let answer = client.next().await;
        let got = match answer["type"].as_str() {
            Some("error") => answer["code"].as_str().unwrap(),
            other => other.unwrap(),
        };
        assert_eq!((got, questions() - before), (expected, count), "{token}");
        members.push(client);
    }
    let (head, question) = asked.lock().unwrap()[0].clone();
    assert!(
        head.starts_with("POST /decide?from=peerline HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.to_ascii_lowercase()
            .contains("authorization: bearer the server itself")
    );
    let expected = json!({ "room": "a", "create": null, "token": "good", "address": "127.0.0.1" });
    assert_eq!(question, expected);
}

#[tokio::test]
async fn a_service_that_says_nothing_lets_nobody_in_and_holds_nobody_up() {
    let (address, asked) = service(|_| None).await;
    let server = TestServer::with_config(asking(address)).await;
    let mut waiting = server.client().await;
    waiting.send(json!({ "type": "join", "room": "a" })).await;
    // What comes while it waits is read afterwards, and a client that goes is let go.
    let gone = server.client().await;
    gone.cut();
    waiting.refused("internal", 1011).await;
    assert_eq!(asked.lock().unwrap().len(), 1);

    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let server = TestServer::with_config(asking(address)).await;
    let mut client = server.client().await;
    client.send(json!({ "type": "join", "room": "a" })).await;
    client.refused("internal", 1011).await;
}
