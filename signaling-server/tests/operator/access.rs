//! Who may enter, over every way in.

use crate::{
    common::{Client, TestServer, config},
    http::{bearer, request},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{hmac, signature::Ed25519KeyPair};
use serde_json::{Value, json};
use signaling_protocol::Secret;
use signaling_server::{
    AccessConfig, Claims, Config, Role, Scope, SigningKey, TokenKeys, create_token,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpSocket;

const SECRET: &str = "correct horse battery staple";

fn hmac_key(secret: &[u8]) -> SigningKey {
    SigningKey::Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret))
}

fn pair() -> SigningKey {
    SigningKey::EdDsa(Box::new(
        Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap(),
    ))
}

fn guarded() -> Config {
    let keys = TokenKeys::new([
        ("h".to_owned(), hmac_key(&[1; 32]).verifier()),
        ("e".to_owned(), pair().verifier()),
    ]);
    let mut config = config();
    config.access = AccessConfig::Tokens {
        secret: Some(Secret::new(SECRET)),
        keys,
    };
    config
}

fn token(key: &SigningKey, id: &str, room: &str, role: Role) -> String {
    let room = Scope::try_from(room.to_owned()).unwrap();
    let claims = Claims::new(room, role, Duration::from_secs(600), SystemTime::now());
    create_token(key, id, &claims).expose().to_owned()
}

fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    elapsed.as_secs()
}

fn encode(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Any header and claims, signed with the HS256 key.
fn signed(header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
    let signature = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

/// How a `join` ends: with `joined`, or with the code of an error.
async fn attempt(mut client: Client, join: Value) -> (Option<Client>, String) {
    client.send(join).await;
    let answer = client.next().await;
    match answer["type"].as_str().unwrap() {
        "joined" => (Some(client), answer["room"].as_str().unwrap().to_owned()),
        "error" => (None, answer["code"].as_str().unwrap().to_owned()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_secret_or_a_signed_token_opens_and_nothing_else_does() {
    let server = TestServer::with_config(guarded()).await;
    let (h, e) = (hmac_key(&[1; 32]), pair());
    let rows = [
        (
            "the secret",
            json!({ "room": "a", "token": SECRET }),
            Ok("a"),
        ),
        (
            "HS256",
            json!({ "room": "b", "token": token(&h, "h", "b", Role::Host) }),
            Ok("b"),
        ),
        (
            "EdDSA",
            json!({ "room": "c", "token": token(&e, "e", "c", Role::Host) }),
            Ok("c"),
        ),
        (
            "every room",
            json!({ "room": "d", "token": token(&e, "e", "*", Role::Host) }),
            Ok("d"),
        ),
        (
            "the token's room",
            json!({ "create": true, "token": token(&e, "e", "f", Role::Host) }),
            Ok("f"),
        ),
        ("nothing", json!({ "room": "a" }), Err("unauthorized")),
        (
            "another secret",
            json!({ "room": "a", "token": "correct horse battery stapl" }),
            Err("unauthorized"),
        ),
        (
            "empty",
            json!({ "room": "a", "token": "" }),
            Err("unauthorized"),
        ),
        (
            "another room",
            json!({ "room": "a", "token": token(&h, "h", "b", Role::Host) }),
            Err("unauthorized"),
        ),
        (
            "a guest makes no room",
            json!({ "room": "g", "create": true, "token": token(&h, "h", "g", Role::Guest) }),
            Err("unauthorized"),
        ),
        (
            "a guest finds nobody",
            json!({ "room": "g", "token": token(&h, "h", "g", Role::Guest) }),
            Err("no-such-room"),
        ),
        (
            "an unknown key",
            json!({ "room": "a", "token": token(&h, "x", "a", Role::Host) }),
            Err("unauthorized"),
        ),
        (
            "another key of that name",
            json!({ "room": "a", "token": token(&hmac_key(&[2; 32]), "h", "a", Role::Host) }),
            Err("unauthorized"),
        ),
        (
            "alg none",
            json!({ "room": "a", "token": format!("{}.{}.", encode(&json!({ "alg": "none", "kid": "h" })), encode(&json!({ "exp": now() + 60, "room": "*" }))) }),
            Err("unauthorized"),
        ),
        (
            "expired",
            json!({ "room": "a", "token": signed(&json!({ "alg": "HS256", "kid": "h" }), &json!({ "exp": now() - 1, "room": "*" })) }),
            Err("unauthorized"),
        ),
        (
            "not yet",
            json!({ "room": "a", "token": signed(&json!({ "alg": "HS256", "kid": "h" }), &json!({ "exp": now() + 600, "nbf": now() + 300, "room": "*" })) }),
            Err("unauthorized"),
        ),
        (
            "for ever",
            json!({ "room": "a", "token": signed(&json!({ "alg": "HS256", "kid": "h" }), &json!({ "exp": 253_402_300_799_u64, "room": "*" })) }),
            Err("unauthorized"),
        ),
        (
            "kid as a path",
            json!({ "room": "a", "token": signed(&json!({ "alg": "HS256", "kid": "../h" }), &json!({ "exp": now() + 60, "room": "*" })) }),
            Err("unauthorized"),
        ),
        (
            "5 KB",
            json!({ "room": "a", "token": "x".repeat(5000) }),
            Err("unauthorized"),
        ),
    ];
    // They stay: a room that is left is none for the next row.
    let mut members = Vec::new();
    for (what, mut join, expected) in rows {
        join["type"] = "join".into();
        let (member, got) = attempt(server.client().await, join).await;
        assert_eq!(got, expected.unwrap_or_else(|code| code), "{what}");
        assert_eq!(member.is_some(), expected.is_ok(), "{what}");
        members.extend(member);
    }
    let join = json!({ "type": "join", "room": "b", "token": token(&h, "h", "b", Role::Guest) });
    let (guest, got) = attempt(server.client().await, join).await;
    assert_eq!((guest.is_some(), got.as_str()), (true, "b"));
    let mut huge = server.client().await;
    let join = json!({ "type": "join", "room": "a", "token": "x".repeat(1 << 20) });
    huge.send_text(&join.to_string()).await;
    assert!(huge.end().await.close.is_none_or(|code| code == 4413));
}

#[tokio::test]
async fn plain_pages_requests_and_listeners_are_held_to_it_too() {
    let server = TestServer::with_config(guarded()).await;
    for path in ["/", "/ws?room=a"] {
        server.plain(path).await.refused("unauthorized", 4401).await;
    }
    let post = async |join: Value| {
        let line = "POST /api/rooms/a/messages";
        request(server.address, line, &[], &join.to_string()).await
    };
    let refused = post(json!({ "type": "join" })).await.refusal();
    assert_eq!(refused, (401, "unauthorized".to_owned()));
    let joined = post(json!({ "type": "join", "token": SECRET })).await;
    assert_eq!(
        (joined.status, &joined.json()["type"]),
        (200, &json!("joined"))
    );

    let listen =
        async |headers: &[String]| request(server.address, "GET /events?room=a", headers, "").await;
    assert_eq!(listen(&[]).await.refusal().0, 401);
    assert_eq!(listen(&[bearer("wrong")]).await.refusal().0, 401);
    let other = token(&pair(), "e", "b", Role::Guest);
    assert_eq!(listen(&[bearer(&other)]).await.refusal().0, 401);
    assert_eq!(listen(&[bearer(&"x".repeat(7000))]).await.refusal().0, 401);
    let huge = listen(&[bearer(&"x".repeat(1 << 20))]).await;
    assert_eq!(huge.status, 431, "no header may be so large");
    let stopped = server.stop();
    // A stream that was let in ends when the server does; the others have ended before.
    stopped.await.unwrap();
}

#[tokio::test]
async fn coming_back_needs_no_other_token() {
    let server = TestServer::with_config(guarded()).await;
    let mut client = server.client().await;
    client
        .send(json!({ "type": "join", "room": "a", "token": SECRET, "resumable": true }))
        .await;
    let resume = client.expect("joined").await["resume"].clone();
    client.cut();
    let mut again = server.client().await;
    again
        .send(json!({ "type": "join", "resumable": true, "resume": resume, "ack": 0 }))
        .await;
    again.expect("resumed").await;
    let mut new = server.client().await;
    let unknown = "AAAAAAAAAAAAAAAAAAAAAAAA.x.a";
    new.send(
        json!({ "type": "join", "room": "a", "resumable": true, "resume": unknown, "ack": 0 }),
    )
    .await;
    new.refused("unauthorized", 4401).await;
}

/// From another address of loopback's range, which a trusted proxy's word stands for elsewhere.
async fn from(server: &TestServer, client: &str) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    let stream = socket.connect(server.address).await.unwrap();
    Client::over_with(stream, "/ws", &[("x-forwarded-for", client)]).await
}

#[tokio::test]
async fn guessing_and_publishing_tokens_ends_soon() {
    let mut config = guarded();
    config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    config.limits.wrong_tokens_per_minute = 1;
    config.limits.peers_per_room = 200;
    let server = TestServer::with_config(config).await;
    let join = |token: &str| json!({ "type": "join", "room": "a", "token": token });
    let (_, got) = attempt(from(&server, "192.0.2.1").await, join("guess")).await;
    assert_eq!(got, "unauthorized");
    // Even the right one, now.
    let (_, got) = attempt(from(&server, "192.0.2.1").await, join(SECRET)).await;
    assert_eq!(got, "rate-limited");
    let (_, got) = attempt(from(&server, "192.0.2.2").await, join(SECRET)).await;
    assert_eq!(got, "a", "others are not affected");

    let shared = token(&pair(), "e", "a", Role::Host);
    let (mut admitted, mut refused) = (0, 0);
    for last in 0..100 {
        let client = from(&server, &format!("198.51.100.{last}")).await;
        match attempt(client, join(&shared)).await.1.as_str() {
            "a" => admitted += 1,
            "rate-limited" => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((admitted, refused), (16, 84));
}

#[tokio::test]
async fn a_reload_changes_who_may_enter_and_throws_nobody_out() {
    let (server, handle) = TestServer::with_handle(config()).await;
    let (mut member, _) = server.joined("a").await;
    handle.reload(guarded());
    let (_, got) = attempt(
        server.client().await,
        json!({ "type": "join", "room": "a" }),
    )
    .await;
    assert_eq!(got, "unauthorized");
    let join = json!({ "type": "join", "room": "a", "token": SECRET });
    let (_second, got) = attempt(server.client().await, join).await;
    assert_eq!(got, "a");
    member.expect("peer-joined").await;
}
