//! Figures and administration.

use crate::{
    common::{DEADLINE, TestServer, config},
    http::{bearer, request},
};
use serde_json::{Value, json};
use signaling_protocol::Secret;
use signaling_server::{AdminClient, AdminError, Config, Server};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};

const TOKEN: &str = "a token of an administrator";

fn administered() -> Config {
    let mut config = config();
    config.admin_token = Some(Secret::new(TOKEN));
    config
}

fn client(address: SocketAddr, token: &str) -> AdminClient {
    AdminClient::new(&format!("http://{address}"), Secret::new(token), None).unwrap()
}

/// The value of one series.
async fn metric(address: SocketAddr, series: &str) -> f64 {
    let answer = request(address, "GET /metrics", &[bearer(TOKEN)], "").await;
    assert_eq!(answer.status, 200);
    let found = answer.body.lines().find_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        (name == series).then(|| value.parse().unwrap())
    });
    found.unwrap_or_else(|| panic!("no {series} in {}", answer.body))
}

#[tokio::test]
async fn without_the_token_nothing_is_there() {
    let closed = TestServer::start().await;
    let guarded = [
        "GET /metrics",
        "GET /api/admin/rooms",
        "GET /api/admin/peers",
        "POST /api/admin/kick",
        "POST /api/admin/drain",
        "GET /api/admin/figures",
    ];
    for line in guarded
        .iter()
        .chain(&["GET /admin", "GET /admin/dashboard.js"])
    {
        let answer = request(closed.address, line, &[bearer(TOKEN)], "").await;
        assert_eq!(answer.status, 404, "{line}");
    }
    let closed = client(closed.address, TOKEN).rooms().await;
    assert!(matches!(closed, Err(AdminError::Closed)), "{closed:?}");

    let mut config = administered();
    config.limits.wrong_tokens_per_minute = 1;
    let server = TestServer::with_config(config).await;
    for line in guarded {
        let answer = request(server.address, line, &[], "").await;
        assert_eq!(answer.refusal(), (401, "unauthorized".to_owned()), "{line}");
        assert!(
            !answer.head.contains("access-control"),
            "no page may read it"
        );
    }
    // Of loopback a hundred wrong ones are allowed, and some more while this takes its time.
    let mut status = 401;
    while status == 401 {
        let wrong = request(server.address, "GET /metrics", &[bearer("wrong")], "").await;
        status = wrong.status;
    }
    assert_eq!(status, 429);
    server.assert_serves().await;
}

#[tokio::test]
async fn rooms_and_members_are_listed_and_thrown_out() {
    let server = TestServer::with_config(administered()).await;
    let admin = client(server.address, TOKEN);
    let (mut a, joined) = server.joined("alpha").await;
    let (mut b, _) = server.joined("alpha").await;
    let (mut c, _) = server.joined("beta").await;
    a.expect("peer-joined").await;
    let rooms = admin.rooms().await.unwrap();
    assert_eq!(rooms["total"], 2);
    let alpha = rooms["rooms"].as_array().unwrap();
    let alpha = alpha.iter().find(|room| room["room"] == "alpha").unwrap();
    assert_eq!(
        (&alpha["members"], &alpha["open"]),
        (&json!(2), &json!(true))
    );
    let peers = admin.peers(Some(&"alpha".parse().unwrap())).await.unwrap();
    assert_eq!(peers["total"], 2);
    assert_eq!(peers["peers"][0]["source"], "loopback");
    assert_eq!(admin.peers(None).await.unwrap()["total"], 3);
    assert_eq!(
        admin.peers(Some(&"none".parse().unwrap())).await.unwrap()["total"],
        0
    );

    let own: signaling_protocol::PeerId = joined["self"].as_str().unwrap().parse().unwrap();
    let kicked = admin
        .kick(&"alpha".parse().unwrap(), Some(&own))
        .await
        .unwrap();
    assert_eq!(kicked["kicked"], 1);
    a.refused("unauthorized", 4401).await;
    let left = b.expect("peer-left").await;
    assert_eq!(
        (&left["peer"], &left["reason"]),
        (&joined["self"], &json!("kicked"))
    );
    assert_eq!(
        admin.kick(&"alpha".parse().unwrap(), None).await.unwrap()["kicked"],
        1
    );
    b.refused("unauthorized", 4401).await;
    c.send(json!({ "type": "ping" })).await;
    c.expect("pong").await;
    for body in [
        "",
        "{}",
        "[]",
        "{\"room\":\"../x\"}",
        "{\"room\":\"beta\",\"all\":true}",
    ] {
        let line = "POST /api/admin/kick";
        let answer = request(server.address, line, &[bearer(TOKEN)], body).await;
        assert_eq!(answer.refusal().0, 400, "{body}");
    }
}

#[tokio::test]
async fn what_happens_is_counted() {
    let server = TestServer::with_config(administered()).await;
    let at = server.address;
    let (mut a, first) = server.joined("r").await;
    let (mut b, second) = server.joined("r").await;
    a.expect("peer-joined").await;
    for (from, to, id) in [(0, 1, &second["self"]), (1, 0, &first["self"])] {
        let both = [&mut a, &mut b];
        both[from]
            .send(json!({ "type": "sealed", "to": id, "data": "AQ" }))
            .await;
        both[to].expect("sealed").await;
    }
    for member in [&mut a, &mut b] {
        member
            .send(json!({ "type": "path", "kind": "relayed" }))
            .await;
        member.send(json!({ "type": "ping" })).await;
        member.expect("pong").await;
    }
    let mut wrong = server.client().await;
    wrong.send(json!({ "type": "chat", "content": "x" })).await;
    wrong.refused("not-joined", 4400).await;
    for (series, value) in [
        ("peerline_rooms", 1.0),
        ("peerline_members", 2.0),
        ("peerline_joins_total{transport=\"websocket\"}", 2.0),
        ("peerline_messages_total{type=\"sealed\"}", 2.0),
        ("peerline_paths_total{kind=\"relayed\"}", 2.0),
        ("peerline_paths_total{kind=\"direct\"}", 0.0),
        ("peerline_pairings_total", 1.0),
        ("peerline_pairing_seconds_count", 1.0),
        ("peerline_handshake_seconds_count", 2.0),
        ("peerline_refused_total{code=\"not-joined\"}", 1.0),
        ("peerline_queue_drops_total", 0.0),
    ] {
        assert_eq!(metric(at, series).await, value, "{series}");
    }
    assert!(metric(at, "peerline_relayed_bytes_total").await > 50.0);
    #[cfg(target_os = "linux")]
    assert!(metric(at, "peerline_resident_memory_bytes").await > 1e6);

    // The figures come every second.
    let mut stream = BufReader::new(TcpStream::connect(at).await.unwrap());
    let line = "GET /api/admin/figures HTTP/1.1\r\nHost: x\r\n";
    let head = format!("{line}{}\r\n\r\n", bearer(TOKEN));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut figures = Vec::new();
    while figures.len() < 2 {
        let mut line = String::new();
        let read = timeout(DEADLINE, stream.read_line(&mut line))
            .await
            .unwrap();
        assert_ne!(read.unwrap(), 0, "the stream goes on");
        if let Some(data) = line.strip_prefix("data: ") {
            figures.push(serde_json::from_str::<Value>(data).unwrap());
        }
    }
    assert_eq!(
        (&figures[1]["pairings"], &figures[1]["members"]),
        (&json!(1), &json!(2))
    );
}

#[tokio::test]
async fn metrics_on_an_address_of_their_own_tell_when_it_drains() {
    let mut config = administered();
    config.metrics_listen = Some("127.0.0.1:0".parse().unwrap());
    config.limits.drain_grace = DEADLINE;
    let server = Server::bind(config).unwrap();
    let (address, metrics) = (server.local_addr(), server.metrics_addr().unwrap());
    let (_stop, stopped) = oneshot::channel::<()>();
    let run = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    for path in ["/metrics", "/readyz", "/healthz"] {
        let answer = request(metrics, &format!("GET {path}"), &[], "").await;
        assert_eq!(answer.status, 200, "{path}");
    }
    for path in ["/api/admin/rooms", "/", "/ws"] {
        let answer = request(metrics, &format!("GET {path}"), &[bearer(TOKEN)], "").await;
        assert_eq!(answer.status, 404, "{path}");
    }
    assert_eq!(request(address, "GET /readyz", &[], "").await.status, 200);
    let mut member = crate::common::Client::connect(address, "/ws").await;
    member.send(json!({ "type": "join", "room": "r" })).await;
    member.expect("joined").await;
    client(address, TOKEN).drain().await.unwrap();
    member.expect("draining").await;
    assert_eq!(request(metrics, "GET /readyz", &[], "").await.status, 503);
    member.close().await;
    timeout(DEADLINE, run).await.unwrap().unwrap();
    assert!(TcpStream::connect(metrics).await.is_err());
}
