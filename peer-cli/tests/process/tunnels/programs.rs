//! Programs that people use, through a tunnel.

use std::fs;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::task::JoinSet;

use super::harness::*;
use crate::harness::{Place, Signaling, clean, digest, noise};

#[tokio::test]
async fn a_web_server_and_curl() {
    let server = Signaling::start();
    let place = Place::new();
    let content = noise(8 << 20, 1);
    place.file("www/large", &content);
    let (_web, address) = web_server(&place.path("www")).await;
    let mut tunnel = Tunnel::open(&server, &[("web", &address)], &[]).await;
    let url = format!("http://{}/large", tunnel.at("web"));
    let mut curls = JoinSet::new();
    for number in 0..6 {
        let (url, out) = (url.clone(), place.path(&format!("out/{number}")));
        let out = out.to_str().unwrap().to_owned();
        curls.spawn(async move { output(&["curl", "-sS", "--fail", "-o", &out, &url]).await });
    }
    while let Some(curl) = curls.join_next().await {
        succeeded(&curl.unwrap());
    }
    let expected = digest(&content);
    assert_eq!(place.received().len(), 6);
    assert!(place.received().values().all(|digest| *digest == expected));
    let missing = output(&["curl", "-sS", "--fail", &format!("{url}r")]).await;
    assert_eq!(missing.status.code(), Some(22), "{missing:?}");
    tunnel.ended(7, 7).await;
    let [expose, connect] = tunnel.end().await;
    assert_eq!(expose.last()["sent"], connect.last()["received"]);
    assert_eq!(connect.last()["connections"], 7);
    assert_eq!(connect.last()["failed"], 0);
}

/// What `docs/tunnels.md` says of a remote shell.
#[tokio::test]
async fn a_remote_shell_by_ssh() {
    let server = Signaling::start();
    let place = Place::new();
    let path = |name: &str| place.path(name).to_str().unwrap().to_owned();
    for key in ["host", "user"] {
        succeeded(
            &output(&[
                "ssh-keygen",
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-f",
                &path(key),
            ])
            .await,
        );
    }
    let config = format!(
        "HostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n",
        path("host"),
        path("user.pub")
    );
    let config = place.file("sshd_config", config);
    let config = config.to_str().unwrap().to_owned();
    // Where sshd hides what it has not checked yet; the init system makes it.
    let _ = fs::create_dir_all("/run/sshd");
    // As inetd starts it: it has no way to listen on a free port.
    let address = self::server(move |socket| {
        let config = config.clone();
        async move {
            let socket = socket.into_std().unwrap();
            socket.set_nonblocking(false).unwrap();
            let socket = std::os::fd::OwnedFd::from(socket);
            let mut sshd = Command::new("/usr/sbin/sshd");
            sshd.args(["-i", "-e", "-f", &config])
                .stdin(socket.try_clone().unwrap())
                .stdout(socket)
                .stderr(Stdio::null());
            let mut sshd = sshd.spawn().expect("run `scripts/test install`");
            let _ = sshd.wait().await;
        }
    })
    .await;
    let mut tunnel = Tunnel::open(&server, &[("ssh", &address)], &[]).await;
    let (port, key, hosts) = (tunnel.port("ssh"), path("user"), path("known_hosts"));
    let known = format!("UserKnownHostsFile={hosts}");
    let words = [
        "ssh",
        "-F",
        "none",
        "-p",
        &port,
        "-i",
        &key,
        "-o",
        &known,
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "BatchMode=yes",
        "127.0.0.1",
    ];

    let said = output(&[&words[..], &["echo over the line; exit 7"]].concat()).await;
    assert_eq!(said.status.code(), Some(7), "{said:?}");
    assert_eq!(String::from_utf8_lossy(&said.stdout), "over the line\n");

    let content = noise(4 << 20, 2);
    let mut ssh = clean(&[&words[..], &["sha256sum"]].concat());
    let mut ssh = ssh.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = ssh.stdin.take().unwrap();
    within(stdin.write_all(&content)).await.unwrap();
    drop(stdin);
    let sum = within(ssh.wait_with_output()).await.unwrap();
    assert!(succeeded(&sum).starts_with(&digest(&content)), "{sum:?}");
    tunnel.ended(2, 2).await;
    tunnel.end().await;
}

#[cfg(unix)]
#[tokio::test]
async fn redis_on_a_unix_socket_by_a_port_and_by_a_socket() {
    let server = Signaling::start();
    let place = Place::new();
    let path = |name: &str| place.path(name).to_str().unwrap().to_owned();
    let (there, here, dir) = (path("there.sock"), path("here.sock"), path("out"));
    let words = [
        "redis-server",
        "--port",
        "0",
        "--unixsocket",
        &there,
        "--save",
        "",
        "--dir",
        &dir,
    ];
    let mut redis = program(&words);
    let mut log = BufReader::new(redis.stdout.take().unwrap()).lines();
    loop {
        let line = within(log.next_line()).await.unwrap().expect("it runs");
        if line.contains("eady to accept connections") {
            break;
        }
    }
    let reading = tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    let address = format!("unix:{there}");
    let [by_socket, by_port] = [
        format!("--listen=redis=unix:{here}"),
        "--listen=again=0".to_owned(),
    ];
    let services = [("redis", address.as_str()), ("again", &address)];
    let tunnel = Tunnel::open(&server, &services, &[&by_socket, &by_port]).await;
    let port = tunnel.port("again");
    let value = "v".repeat(300_000);
    let mut set = clean(&["redis-cli", "-s", &here, "-x", "set", "key"]);
    let mut set = set
        .stdin(Stdio::piped())
        .spawn()
        .expect("run `scripts/test install`");
    let mut stdin = set.stdin.take().unwrap();
    within(stdin.write_all(value.as_bytes())).await.unwrap();
    drop(stdin);
    let set = within(set.wait_with_output()).await.unwrap();
    assert_eq!(succeeded(&set), "OK\n");
    let get = output(&["redis-cli", "-p", &port, "get", "key"]).await;
    assert_eq!(succeeded(&get).trim_end(), value);
    let many = output(&["redis-cli", "-p", &port, "-r", "500", "incr", "count"]).await;
    assert!(succeeded(&many).ends_with("500\n"));
    tunnel.end().await;
    redis.kill().await.unwrap();
    reading.await.unwrap();
}

#[tokio::test]
async fn programs_that_speak_socks_reach_what_is_exposed_and_nothing_else() {
    let server = Signaling::start();
    let place = Place::new();
    place.file("www/page", "a page");
    let (_web, address) = web_server(&place.path("www")).await;
    let services = [("web", address.as_str())];
    let mut tunnel = Tunnel::open(&server, &services, &["--socks", "0"]).await;
    let proxy = format!("socks5h://{}", tunnel.at(""));
    let curl = async |url: &str| output(&["curl", "-sS", "--fail", "-x", &proxy, url]).await;
    assert_eq!(succeeded(&curl("http://web/page").await), "a page");
    assert_eq!(succeeded(&curl("http://WEB:8080/page").await), "a page");
    let denied = curl(&format!("http://{address}/page")).await;
    assert_eq!(denied.status.code(), Some(97), "{denied:?}");
    tunnel.ended(2, 3).await;
    let [expose, connect] = tunnel.end().await;
    assert_eq!(
        (&expose.last()["connections"], &expose.last()["failed"]),
        (&2.into(), &0.into())
    );
    assert_eq!(
        (&connect.last()["connections"], &connect.last()["failed"]),
        (&3.into(), &1.into())
    );
}
