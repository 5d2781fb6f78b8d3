//! A room that is joined by HTTP: hostile requests, sessions that never connect, and what clients may rely on.

#![allow(
    clippy::unwrap_used,
    reason = "a test may end by panicking, in its helpers too"
)]

use peerline::forward::{Event, ForwardedRoom, Outside};
use peerline::media::Codec;
use peerline::session::{FORWARDER, SessionConfig};
use peerline::signaling::memory::Server as Rooms;
use peerline::signaling_protocol::Join;
use peerline::whip::{Server, Token};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Many times what anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

struct World {
    room: ForwardedRoom,
    address: SocketAddr,
    _rooms: Rooms,
}

impl World {
    async fn open(token: Option<&str>) -> Self {
        let rooms = Rooms::new();
        let join = Join {
            room: Some("talk".parse().unwrap()),
            name: Some(FORWARDER.parse().unwrap()),
            ..Join::default()
        };
        let (signaling, joined) = rooms.join(join).await.unwrap();
        let server = Server::bind(([127, 0, 0, 1], 0).into(), token.map(Token::new));
        let server = server.await.unwrap();
        let address = server.address().unwrap();
        let config = SessionConfig {
            codecs: Codec::ALL.to_vec(),
            ..SessionConfig::default()
        };
        let outside = Outside {
            web: Some(server),
            ..Outside::default()
        };
        Self {
            room: ForwardedRoom::open_outside(signaling, joined, config, outside),
            address,
            _rooms: rooms,
        }
    }

    /// Sends bytes on a connection of their own and returns all that comes back.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // It may be refused before it has come in its whole length.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let read = timeout(LIMIT, stream.read_to_end(&mut answer)).await;
        let _ = read.expect("it is answered and closed");
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        Answer::of(&self.raw(text.as_bytes()).await)
    }

    async fn patch(&self, path: &str, if_match: Option<&str>, body: &str) -> Answer {
        let condition = if_match.map(|tag| format!("if-match: {tag}\r\n"));
        let headers = FRAGMENT.to_owned() + &condition.unwrap_or_default();
        self.ask("PATCH", path, &headers, body).await
    }

    async fn offer(&self, path: &str, sdp: &str) -> Answer {
        self.ask("POST", path, SDP, sdp).await
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    #[track_caller]
    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Self {
            status: status.unwrap_or_else(|| panic!("no answer: {text}")),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value)
    }
}

const SDP: &str = "content-type: application/sdp\r\n";
const FRAGMENT: &str = "content-type: application/trickle-ice-sdpfrag\r\n";

/// An offer of somebody who will never be reached.
fn sdp(direction: &str) -> String {
    let print = "AB:".repeat(31) + "CD";
    let password = "p".repeat(24);
    format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
         a=ice-pwd:{password}\r\na=fingerprint:sha-256 {print}\r\na=setup:actpass\r\na=mid:0\r\na={direction}\r\n\
         a=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\na=msid:s t\r\na=ssrc:7 cname:x\r\n"
    )
}

#[tokio::test]
async fn a_session_is_made_changed_and_deleted_by_its_rules() {
    let world = World::open(None).await;
    let made = world.offer("/whip/cam", &sdp("sendonly")).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("content-type"), Some("application/sdp"));
    assert!(made.body.contains("a=recvonly"), "{made:?}");
    assert!(made.body.contains("a=candidate:"), "{made:?}");
    assert!(made.body.contains("a=end-of-candidates"), "{made:?}");
    let (place, tag) = (
        made.header("location").unwrap(),
        made.header("etag").unwrap(),
    );
    let ufrag = |body: &str| {
        let line = body.lines().find(|line| line.starts_with("a=ice-ufrag:"));
        line.unwrap().to_owned()
    };

    let candidate = "a=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
    assert_eq!(world.patch(place, None, candidate).await.status, 428);
    assert_eq!(
        world.patch(place, Some("\"x\""), candidate).await.status,
        412
    );
    let trickled = world.patch(place, Some(tag), candidate).await;
    assert_eq!((trickled.status, trickled.header("etag")), (204, None));
    assert_eq!(world.patch(place, Some("*"), "candidate").await.status, 400);

    let restart = format!(
        "a=ice-ufrag:efgh\r\na=ice-pwd:{}\r\n{candidate}",
        "q".repeat(24)
    );
    let restarted = world.patch(place, Some("*"), &restart).await;
    assert_eq!(restarted.status, 200, "{restarted:?}");
    assert_ne!(restarted.header("etag"), Some(tag));
    assert_ne!(ufrag(&restarted.body), ufrag(&made.body));
    assert_eq!(world.patch(place, Some(tag), candidate).await.status, 412);

    let delete = world.ask("DELETE", place, "if-match: \"x\"\r\n", "").await;
    assert_eq!(delete.status, 200);
    assert_eq!(world.ask("DELETE", place, "", "").await.status, 404);
    let mut room = world.room;
    let failed = timeout(LIMIT, room.next()).await.expect("in time");
    assert!(matches!(failed, Some(Event::Failed(..))), "{failed:?}");
    room.close().await;
}

#[tokio::test]
async fn hostile_requests_are_refused_and_change_nothing() {
    let world = World::open(None).await;
    let good = sdp("sendonly");
    let rows: &[(&str, &str, &str, String, u16)] = &[
        ("POST", "/whip", "", good.clone(), 415),
        (
            "POST",
            "/whip",
            "content-type: text/plain\r\n",
            good.clone(),
            415,
        ),
        ("POST", "/whip", SDP, String::new(), 400),
        ("POST", "/whip", SDP, "v=0\r\n".into(), 400),
        ("POST", "/whip", SDP, sdp("recvonly"), 422),
        ("POST", "/whep", SDP, good.clone(), 422),
        // There is nothing to play.
        ("POST", "/whep", SDP, sdp("recvonly"), 409),
        ("POST", "/whip", SDP, good.replace("VP8", "XYZ"), 406),
        ("POST", "/whip", SDP, good.replace("sha-256", "sha-1"), 400),
        (
            "POST",
            "/whip",
            SDP,
            good.replace("m=video 9 UDP/TLS/RTP/SAVPF 96", "m=video x"),
            406,
        ),
        ("POST", "/whip", SDP, "a=x\r\n".repeat(20_000), 413),
        ("POST", "/whip", SDP, "m=audio 9 X 0\r\n".repeat(4_000), 400),
        ("POST", "/elsewhere", SDP, good.clone(), 404),
        ("PUT", "/whip", SDP, good.clone(), 405),
        ("PATCH", "/session/abc", FRAGMENT, String::new(), 404),
        ("DELETE", "/session/abc", "", String::new(), 404),
        ("GET", "/whip", "", String::new(), 204),
    ];
    for (method, path, headers, body, status) in rows {
        let answer = world.ask(method, path, headers, body).await;
        assert_eq!(
            answer.status, *status,
            "{method} {path} {headers} {body:.200}: {answer:?}"
        );
        let has_reason = answer.body.contains("\"title\"");
        assert_eq!(has_reason, *status >= 400, "{answer:?}");
    }
    for raw in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET / HTTP/1.1\r\n\r\n\r\n",
        b"POST /whip HTTP/1.1\r\nhost: x\r\ncontent-type: application/sdp\r\ncontent-length: -1\r\n\r\n",
        b"POST /whip HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        &[b"GET /".to_vec(), vec![b'a'; 100_000]].concat(),
        &[b"GET / HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(10_000)].concat(),
    ] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        let _ = stream.write_all(raw).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("it is closed");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    // Text that is not text.
    let head = format!(
        "POST /whip HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{SDP}content-length: 4\r\n\r\n"
    );
    let answer = world
        .raw(&[head.as_bytes(), &[0xff, 0xfe, 0, 1]].concat())
        .await;
    assert_eq!(Answer::of(&answer).status, 400);
    // It still works.
    assert_eq!(world.offer("/whip", &good).await.status, 201);
    world.room.close().await;
}

#[tokio::test]
async fn there_are_as_many_sessions_as_there_are_places() {
    let world = World::open(None).await;
    let good = sdp("sendonly");
    let mut statuses = Vec::new();
    let mut places = Vec::new();
    while !statuses.contains(&503) {
        assert!(statuses.len() < 1_000, "it takes everything");
        let answer = world.offer("/whip", &good).await;
        statuses.push(answer.status);
        places.extend(answer.header("location").map(str::to_owned));
        if answer.status == 503 {
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
    }
    assert_eq!(statuses.len(), 129);
    let deleted = world.ask("DELETE", &places[0], "", "").await;
    assert_eq!(deleted.status, 200);
    // Its place is free as soon as its task has ended.
    timeout(LIMIT, async {
        while world.offer("/whip", &good).await.status != 201 {}
    })
    .await
    .expect("there is a place again");
    world.room.close().await;
}

#[tokio::test]
async fn pages_and_tokens() {
    let world = World::open(Some("secret")).await;
    let preflight = "origin: https://studio.example\r\naccess-control-request-method: POST\r\n\
        access-control-request-headers: authorization,content-type\r\n";
    let answer = world.ask("OPTIONS", "/whip", preflight, "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("accept-post"), Some("application/sdp"));
    assert!(
        answer
            .header("access-control-allow-methods")
            .unwrap()
            .contains("POST")
    );
    let refused = world.offer("/whip", &sdp("sendonly")).await;
    assert_eq!(
        (refused.status, refused.header("www-authenticate")),
        (401, Some("Bearer"))
    );
    let headers =
        format!("{SDP}authorization: Bearer secret\r\norigin: https://studio.example\r\n");
    let made = world.ask("POST", "/whip", &headers, &sdp("sendonly")).await;
    assert_eq!(made.status, 201);
    let exposed = made.header("access-control-expose-headers").unwrap();
    assert!(
        exposed.contains("location") && exposed.contains("etag"),
        "{exposed}"
    );
    world.room.close().await;

    let open = World::open(None).await;
    let foreign = open.ask("OPTIONS", "/whip", preflight, "").await;
    assert_eq!(foreign.header("access-control-allow-origin"), None);
    let local = preflight.replace("https://studio.example", "http://localhost:3000");
    let local = open.ask("OPTIONS", "/whip", &local, "").await;
    assert_eq!(
        local.header("access-control-allow-origin"),
        Some("http://localhost:3000")
    );
    open.room.close().await;
}
