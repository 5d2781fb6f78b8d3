//! The program: settings from everywhere, signals, tokens, and the administrator's commands.

use crate::{
    common::{Client, DEADLINE},
    http::{bearer, request},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::Path, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStderr, Command},
    time::timeout,
};

const ADMIN: &str = "a token of an administrator";

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signaling-server"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PEERLINE_")) {
        command.env_remove(name);
    }
    command
}

/// What a command wrote on stdout and stderr, and how it ended.
pub(crate) async fn output(mut command: Command) -> (i32, String, String) {
    let output = timeout(DEADLINE, command.output()).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A server that runs, what it said first, and the rest of what it says.
struct Running {
    child: Child,
    event: Value,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    async fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let event = serde_json::from_str(&line(&mut stderr).await).unwrap();
        Self {
            child,
            event,
            stderr,
        }
    }

    fn address(&self) -> SocketAddr {
        self.event["address"].as_str().unwrap().parse().unwrap()
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Reads what it logs until this comes.
    async fn says(&mut self, text: &str) -> String {
        loop {
            let line = line(&mut self.stderr).await;
            if line.contains(text) {
                return line;
            }
        }
    }
}

async fn line(stderr: &mut BufReader<ChildStderr>) -> String {
    let mut line = String::new();
    let read = timeout(DEADLINE, stderr.read_line(&mut line))
        .await
        .unwrap();
    assert_ne!(read.unwrap(), 0, "it has ended");
    line
}

async fn joins(address: SocketAddr, token: Option<&str>) -> bool {
    let mut client = Client::connect(address, "/ws").await;
    client
        .send(json!({ "type": "join", "room": "r", "token": token }))
        .await;
    client.next().await["type"] == "joined"
}

fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn flags_come_before_the_environment_before_the_file_before_the_defaults() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(
        &directory.path().join("server.toml"),
        "listen = \"127.0.0.1:1\"\nmax-peers = 5\nmax-rooms = 7\norigin = [\"https://a.example\", \"https://b.example\"]\njson = true\nturn-secret = \"a secret of the file\"\nturn = \"127.0.0.1:0\"\n",
    );
    let mut print = command(&[
        "--print-config",
        "--config",
        &file,
        "--listen",
        "127.0.0.1:3",
    ]);
    print
        .env("PEERLINE_LISTEN", "127.0.0.1:2")
        .env("PEERLINE_MAX_PEERS", "6")
        .env("PEERLINE_ADMIN_TOKEN", ADMIN)
        .env("PEERLINE_STUN", "");
    let (code, printed, error) = output(print).await;
    assert_eq!((code, error.as_str()), (0, ""));
    for line in [
        "listen = \"127.0.0.1:3\"  # flag",
        "max-peers = \"6\"  # environment",
        "max-rooms = \"7\"  # file",
        "origin = [\"https://a.example\", \"https://b.example\"]  # file",
        "json = \"true\"  # file",
        "# address-rooms = \"10\"  # default",
        "# admin-token = \"***\"  # environment",
        "# turn-secret = \"***\"  # file",
        "# stun is not set",
        "# tls-cert is not set",
    ] {
        assert!(
            printed.lines().any(|found| found == line),
            "{line} in {printed}"
        );
    }
    assert!(
        !printed.contains(ADMIN) && !printed.contains("a secret"),
        "{printed}"
    );
    // What it prints is a file that says the same.
    let again = write(&directory.path().join("again.toml"), &printed);
    let (code, twice, error) = output(command(&["--print-config", "--config", &again])).await;
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(
        twice.contains("listen = \"127.0.0.1:3\"  # file"),
        "{twice}"
    );
}

#[tokio::test]
async fn whatever_is_wrong_is_one_line_and_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let short = write(&path("short"), "too short");
    let public = write(
        &path("public"),
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
    );
    let mut number = 0;
    let mut file = |text: &str| {
        number += 1;
        write(&path(&format!("{number}.toml")), text)
    };
    let missing = path("missing").to_str().unwrap().to_owned();
    let rows: Vec<(Vec<String>, &str)> = [
        (format!("--config {missing}"), "cannot read it"),
        (
            format!("--config {}", file("max_peers = 3")),
            "there is no setting \"max_peers\"; there is max-",
        ),
        (
            format!("--config {}", file("nonsense = 3")),
            "there is no setting \"nonsense\"",
        ),
        (
            format!("--config {}", file("config = \"x\"")),
            "there is no setting \"config\"",
        ),
        (format!("--config {}", file("listen = 3")), "--listen"),
        (
            format!("--config {}", file("listen = {}")),
            "a setting is a text",
        ),
        (
            format!(
                "--config {}",
                file("listen = \"127.0.0.1:1\"\nlisten = \"x\"")
            ),
            "line 2",
        ),
        (format!("--config {}", file("max-peers = 1")), "2..=1000"),
        (
            format!("--config {}", file("turn-host = \"h\"")),
            "--turn-host needs --turn",
        ),
        ("--max-peers 1".into(), "2..=1000"),
        ("--turn-uri turn:h".into(), "--turn-uri needs --turn-secret"),
        ("--turn-host h".into(), "--turn-host needs --turn"),
        (
            "--turn-secret short".into(),
            "--turn-secret is shorter than 16",
        ),
        ("--tls-cert x".into(), "--tls-cert needs --tls-key"),
        (
            format!("--tls-cert {missing} --tls-key {missing}"),
            "no certificate that can be read",
        ),
        (
            format!("--tls-cert {public} --tls-key {missing} --tls-self-signed"),
            "exclude each other",
        ),
        ("--tls-name x".into(), "--tls-name needs --tls-self-signed"),
        ("--tls-turn-only".into(), "--tls-turn-only needs --turn"),
        (
            "--access-secret short".into(),
            "--access-secret is shorter than 16",
        ),
        (
            format!("--access-secret @{short}"),
            "--access-secret is shorter than 16",
        ),
        (
            format!("--admin-token @{missing}"),
            "cannot read the secret",
        ),
        (
            "--admin-token short".into(),
            "--admin-token is shorter than 16",
        ),
        ("--token-key x".into(), "a key is ID=HS256:FILE"),
        (
            format!("--token-key k=EdDSA:{missing}"),
            "cannot read the key",
        ),
        (
            format!("--token-key k=HS256:{short}"),
            "holds no HS256 secret",
        ),
        (
            format!("--token-key k=HS256:{public}"),
            "holds no HS256 secret",
        ),
        (
            format!("--token-key k=EdDSA:{public} --token-key k=EdDSA:{public}"),
            "two keys are called k",
        ),
        (
            "--auth-webhook http://auth.example.org/".into(),
            "has to be https",
        ),
        (
            "--auth-webhook https://u:p@auth.example.org/".into(),
            "must not have a user name",
        ),
        (
            "--auth-webhook http://auth/ --access-secret 0123456789abcdef".into(),
            "exclude each other",
        ),
        (
            "--auth-webhook-secret 0123456789abcdef".into(),
            "needs --auth-webhook",
        ),
        (
            "--trusted-proxy 10.0.0.0/33".into(),
            "a range is an address",
        ),
        (
            "--proxy-header forwarded".into(),
            "--proxy-header needs --trusted-proxy",
        ),
        ("--metrics-listen nowhere".into(), "nowhere"),
        ("--drain-grace 3601".into(), "0..=3600"),
        ("--nonsense".into(), "--nonsense"),
        ("nonsense".into(), "nonsense"),
        (
            "token create --room r --key k=EdDSA:x --lifetime 1y".into(),
            "31 days",
        ),
        ("token create --room ../r --key k=EdDSA:x".into(), "room"),
    ]
    .map(|(words, says)| (words.split(' ').map(str::to_owned).collect(), says))
    .to_vec();
    for (words, says) in rows {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (code, stdout, stderr) = output(command(&words)).await;
        assert_eq!((code, stdout.as_str()), (2, ""), "{words:?}: {stderr}");
        assert!(stderr.contains(says), "{words:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{words:?}: {stderr}");
        assert!(
            !stderr.contains("0123456789abcdef") && !stderr.contains("u:p@"),
            "{stderr}"
        );
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_hangup_reads_settings_and_certificates_again() {
    use rustix::process::Signal;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server.toml");
    let keep = directory.path().join("tls");
    let common = format!(
        "listen = \"127.0.0.1:0\"\njson = true\nverbose = 1\ntls-self-signed = {:?}\ntls-turn-only = true\nturn = \"127.0.0.1:0\"\n",
        keep.to_str().unwrap()
    );
    let file = write(&path, &common);
    let mut server = Running::start(command(&["--config", &file])).await;
    let print = server.event["fingerprint"].as_str().unwrap().to_owned();
    assert!(print.starts_with("sha256:"), "{print}");
    assert!(joins(server.address(), None).await);

    write(
        &path,
        &format!("{common}access-secret = \"a secret for everybody\"\nmax-peers = 7\n"),
    );
    server.signal(Signal::HUP);
    let line = server.says("after a restart").await;
    assert!(
        line.contains("max-peers") && !line.contains("access"),
        "{line}"
    );
    server.says("reloaded").await;
    assert!(!joins(server.address(), None).await);
    assert!(joins(server.address(), Some("a secret for everybody")).await);

    // What cannot be used changes nothing.
    write(&path, &format!("{common}access-secret = \"short\"\n"));
    std::fs::write(keep.join("cert.pem"), "nothing").unwrap();
    server.signal(Signal::HUP);
    let line = server.says("nothing was reloaded").await;
    assert!(line.contains("--access-secret is shorter"), "{line}");
    server.says("the old certificate stays in use").await;
    assert!(joins(server.address(), Some("a secret for everybody")).await);
    server.signal(Signal::TERM);
    let status = timeout(DEADLINE, server.child.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.code(), Some(0));
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
    let status = timeout(DEADLINE, server.child.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    // Nothing of a peer or a secret is in the log, and all of it is JSON.
    let mut log = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut server.stderr, &mut log)
        .await
        .unwrap();
    assert!(log.contains("draining"), "{log}");
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
    for secret in [ADMIN, "what I know", "Ann", "lion-den", own, "127.0.0.1"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
