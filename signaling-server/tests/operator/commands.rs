//! The program's commands: tokens, and administration.

use crate::{
    common::{
        Client,
        program::{Running, command, output},
    },
    http::{bearer, request},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::Path};

pub(crate) const ADMIN: &str = "a token of an administrator";

pub(crate) async fn joins(address: SocketAddr, token: Option<&str>) -> bool {
    let mut client = Client::connect(address, "/ws").await;
    client
        .send(json!({ "type": "join", "room": "r", "token": token }))
        .await;
    client.next().await["type"] == "joined"
}

pub(crate) fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn tokens_are_made_and_the_server_takes_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    // The pair of RFC 8410 section 10.
    let private = write(
        &path("private"),
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n",
    );
    let public = write(
        &path("public"),
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
    );
    let secret = write(&path("secret"), "0123456789abcdef0123456789abcdef\n");
    let keys = format!("p=EdDSA:{public},s=HS256:{secret}");
    let mut start = command(&["--listen", "127.0.0.1:0", "--json"]);
    start.env("PEERLINE_TOKEN_KEYS", &keys);
    let server = Running::start(start).await;
    assert!(!joins(server.address(), None).await);
    for (key, room, good) in [
        (format!("p=EdDSA:{private}"), "r", true),
        (format!("s=HS256:{secret}"), "*", true),
        (format!("p=EdDSA:{private}"), "another", false),
        (format!("x=EdDSA:{private}"), "r", false),
    ] {
        let words = [
            "token",
            "create",
            "--key",
            &key,
            "--room",
            room,
            "--lifetime",
            "5m",
        ];
        let (code, token, error) = output(command(&words)).await;
        assert_eq!((code, error.as_str()), (0, ""));
        assert_eq!(token.lines().count(), 1, "nothing but the token");
        assert_eq!(
            joins(server.address(), Some(token.trim())).await,
            good,
            "{key} {room}"
        );
    }
    let words = [
        "token",
        "create",
        "--room",
        "r",
        "--key",
        &format!("p=EdDSA:{public}"),
    ];
    let (code, token, error) = output(command(&words)).await;
    assert_eq!((code, token.as_str()), (2, ""));
    assert!(error.contains("no Ed25519 private key"), "{error}");
}

#[tokio::test]
async fn the_administrators_commands() {
    let mut start = command(&[
        "--listen",
        "127.0.0.1:0",
        "--json",
        "-vv",
        "--drain-grace",
        "20",
    ]);
    start.env("PEERLINE_ADMIN_TOKEN", ADMIN);
    let mut server = Running::start(start).await;
    let url = format!("http://{}", server.address());
    let admin = async |token: &str, words: &[&str]| {
        let mut command = command(&[&["admin", "--server", &url], words].concat());
        // As the server's own process has it.
        command.env("PEERLINE_ADMIN_TOKEN", token);
        output(command).await
    };
    let mut member = Client::connect(server.address(), "/ws").await;
    let join = json!({ "type": "join", "room": "lion-den", "name": "Ann\u{202e}", "token": "what I know" });
    member.send(join).await;
    let own = member.expect("joined").await["self"].clone();
    let (code, rooms, error) = admin(ADMIN, &["rooms"]).await;
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(rooms.starts_with("room\tmembers\t"), "{rooms}");
    assert!(rooms.contains("\nlion-den\t1\t0\t16\ttrue\t"), "{rooms}");
    let (_, peers, _) = admin(ADMIN, &["peers", "--room", "lion-den", "--json"]).await;
    let peers: Value = serde_json::from_str(&peers).unwrap();
    assert_eq!(peers["peers"][0]["id"], own);
    let (code, _, error) = admin("wrong", &["rooms"]).await;
    assert_eq!(
        (code, error.contains("not the admin token")),
        (1, true),
        "{error}"
    );
    let page = request(server.address(), "GET /admin", &[], "").await;
    assert!(page.status == 200 && page.head.contains("content-security-policy"));
    let own = own.as_str().unwrap();
    let (_, kicked, _) = admin(ADMIN, &["kick", "--room", "lion-den", "--peer", own]).await;
    assert_eq!(kicked, "1 thrown out\n");
    member.refused("unauthorized", 4401).await;
    let metrics = request(server.address(), "GET /metrics", &[bearer(ADMIN)], "").await;
    assert!(metrics.body.ends_with("# EOF\n"), "{}", metrics.body);
    let (code, said, _) = admin(ADMIN, &["drain"]).await;
    assert_eq!((code, said.as_str()), (0, "the server goes away\n"));
    let (code, log) = server.ended().await;
    assert_eq!(code, Some(0));
    // Nothing of a peer or a secret is in the log, and all of it is JSON.
    assert!(log.contains("draining"), "{log}");
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
    for secret in [ADMIN, "what I know", "Ann", "lion-den", own, "127.0.0.1"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
