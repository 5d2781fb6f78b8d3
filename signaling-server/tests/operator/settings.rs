//! Settings from everywhere, wrong ones, and those that change while the server runs.

use crate::{
    commands::{ADMIN, joins, write},
    common::program::{Running, command, output},
};

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
    let kept = path("kept").to_str().unwrap().to_owned();
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
        ("--acme a.example".into(), "--acme needs --acme-cache"),
        ("--acme-email a@b".into(), "--acme-email needs --acme"),
        (
            format!("--acme a.example --acme-cache {missing} --tls-self-signed"),
            "exclude each other",
        ),
        (
            format!("--acme a.example --acme-cache {short}"),
            "cannot keep certificates",
        ),
        (
            format!("--acme a.example --acme-cache {kept} --acme-directory http://ca.example/"),
            "has to be https",
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
    assert_eq!(server.ended().await.0, Some(0));
}
