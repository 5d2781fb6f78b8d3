//! Devices that know each other: paired once with a code, and then found by name.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::time::timeout;

use crate::harness::{End, Peer, Place, Signaling, command};

/// A device: a user with a directory of their own.
pub(crate) struct Device(pub(crate) PathBuf);

impl Device {
    pub(crate) fn new(place: &Place, name: &str) -> Self {
        Self(place.path(name))
    }

    pub(crate) fn run(&self, words: &[&str]) -> Peer {
        let mut command = command(words);
        command.env("PEERLINE_HOME", &self.0);
        Peer::run(command)
    }

    /// A command that opens no line, and so takes no `-v`.
    async fn look(&self, words: &[&str]) -> (Option<i32>, Vec<Value>) {
        let mut command = command(words);
        let command = command.env("PEERLINE_HOME", &self.0).arg("--json");
        let output = command.output().await.expect("runs");
        let text = String::from_utf8(output.stdout).unwrap();
        let events = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        (output.status.code(), events.collect())
    }

    async fn names(&self) -> Vec<String> {
        let (code, events) = self.look(&["pair", "list"]).await;
        assert_eq!(code, Some(0), "{events:#?}");
        let name = |event: &Value| event["name"].as_str().expect("text").to_owned();
        events.iter().map(name).collect()
    }
}

/// `--server URL`, or nothing.
fn at(server: Option<&Signaling>) -> Vec<&str> {
    server.map_or_else(Vec::new, |server| vec!["--server", server.url.as_str()])
}

/// Pairs two devices, each of which gives the other a name.
async fn pair(server: Option<&Signaling>, one: (&Device, &str), two: (&Device, &str)) -> [End; 2] {
    let mut host = one.0.run(&[&["pair", one.1][..], &at(server)].concat());
    let said = host.event("code").await;
    let code = said["code"].as_str().unwrap();
    let expected = format!("peer-cli pair NAME {code}");
    assert!(said["command"].as_str().unwrap().starts_with(&expected));
    let guest = two
        .0
        .run(&[&["pair", two.1, code][..], &at(server)].concat());
    let (host, guest) = tokio::join!(host.end(), guest.end());
    [host, guest]
}

pub(crate) async fn paired(server: Option<&Signaling>, one: (&Device, &str), two: (&Device, &str)) {
    for (end, name) in pair(server, one, two).await.iter().zip([one.1, two.1]) {
        assert_eq!(end.code, Some(0), "{end:#?}");
        assert_eq!(end.last()["event"], "paired");
        assert_eq!(end.last()["name"], name);
    }
}

fn send(server: Option<&Signaling>, from: &Device, to: &str, file: &Path) -> Peer {
    let words = ["send-file", file.to_str().unwrap(), "--to", to];
    from.run(&[&words[..], &at(server)].concat())
}

/// A receiver into `out/` that takes everything.
fn receive(server: Option<&Signaling>, to: &Device, place: &Place, more: &[&str]) -> Peer {
    let out = place.out();
    let words = ["receive-file", "--yes", "--out", out.to_str().unwrap()];
    to.run(&[&words[..], more, &at(server)].concat())
}

/// Waits until these devices are waited for.
async fn ready(receiver: &mut Peer, devices: &[&str]) {
    loop {
        let waiting = receiver.event("waiting").await;
        if waiting["devices"] == serde_json::json!(devices) {
            return;
        }
    }
}

async fn stopped(mut receiver: Peer, devices: &[&str]) {
    ready(&mut receiver, devices).await;
    receiver.signal(Signal::TERM);
    let end = receiver.end().await;
    assert_eq!(end.code, Some(0), "{end:#?}");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn paired_once_they_send_by_name_both_ways() {
    let server = Signaling::start();
    let server = Some(&server);
    let place = Place::new();
    let (desktop, laptop) = (Device::new(&place, "d"), Device::new(&place, "l"));
    paired(server, (&desktop, "laptop"), (&laptop, "desktop")).await;
    assert_eq!(desktop.names().await, ["laptop"]);
    assert_eq!(laptop.names().await, ["desktop"]);
    for home in [&desktop.0, &laptop.0] {
        assert_eq!(mode(home), 0o700);
        for entry in fs::read_dir(home).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
        }
    }
    for (name, from, to, me, you) in [
        ("a", &desktop, &laptop, "desktop", "laptop"),
        ("b", &laptop, &desktop, "laptop", "desktop"),
    ] {
        let file = place.file(&format!("in/{name}"), name);
        let mut receiver = receive(server, to, &place, &["--from", me]);
        ready(&mut receiver, &[me]).await;
        let sender = send(server, from, you, &file);
        let (sent, received) = tokio::join!(sender.end(), receiver.end());
        for (end, other) in [(&sent, you), (&received, me)] {
            end.is_done();
            assert!(!end.names().contains(&"code"), "{end:#?}");
            let peer = end.events.iter().find(|event| event["event"] == "peer");
            assert_eq!(peer.unwrap()["device"], other);
        }
    }
    assert_eq!(place.received().len(), 2);
}

#[tokio::test]
async fn without_a_server_they_find_each_other() {
    let place = Place::new();
    let (desktop, laptop) = (Device::new(&place, "d"), Device::new(&place, "l"));
    paired(None, (&desktop, "laptop"), (&laptop, "desktop")).await;
    let file = place.file("in/a", "content");
    let mut receiver = receive(None, &laptop, &place, &["--from", "desktop"]);
    ready(&mut receiver, &["desktop"]).await;
    let sender = send(None, &desktop, "laptop", &file);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.is_done();
    received.is_done();
    assert_eq!(fs::read(place.path("out/a")).unwrap(), b"content");
}

/// A place that is lost, not left, is kept for two minutes, and so long nobody else has the room.
#[tokio::test]
async fn one_that_was_stopped_and_started_again_is_there_at_once() {
    let server = Signaling::start();
    let server = Some(&server);
    let place = Place::new();
    let (desktop, laptop) = (Device::new(&place, "d"), Device::new(&place, "l"));
    paired(server, (&desktop, "laptop"), (&laptop, "desktop")).await;
    let more = ["--from", "desktop"];
    let listen = || {
        receive(
            server,
            &laptop,
            &place,
            &[&["--listen"], &more[..]].concat(),
        )
    };
    stopped(listen(), &["desktop"]).await;
    let once = async {
        stopped(listen(), &["desktop"]).await;
        let mut receiver = receive(server, &laptop, &place, &more);
        ready(&mut receiver, &["desktop"]).await;
        receiver.interrupt();
        assert_eq!(receiver.end().await.code, Some(130));
        stopped(listen(), &["desktop"]).await;
    };
    let limit = Duration::from_secs(20);
    assert!(
        timeout(limit, once).await.is_ok(),
        "the room is still taken"
    );
}

#[tokio::test]
async fn one_that_listens_takes_codes_and_devices_and_a_removed_one_no_more() {
    let server = Signaling::start();
    let server = Some(&server);
    let place = Place::new();
    let [desktop, laptop, phone] = ["d", "l", "p"].map(|name| Device::new(&place, name));
    paired(server, (&laptop, "desktop"), (&desktop, "laptop")).await;
    let mut receiver = receive(server, &laptop, &place, &["--listen"]);
    // Both ways in open side by side.
    let (mut code, mut waits) = (None, false);
    while code.is_none() || !waits {
        let event = receiver.event_of(&["code", "waiting"]).await;
        match event["code"].as_str() {
            Some(text) => code = Some(text.to_owned()),
            None => waits = event["devices"] == serde_json::json!(["desktop"]),
        }
    }
    let code = code.expect("it has one");
    let file = |name: &str| place.file(&format!("in/{name}"), name);
    send(server, &desktop, "laptop", &file("a"))
        .end()
        .await
        .is_done();
    ready(&mut receiver, &["desktop"]).await;
    // Somebody who has only the code.
    send(server, &phone, &code, &file("b"))
        .end()
        .await
        .is_done();

    // Another one becomes known meanwhile, and the first one is removed.
    paired(server, (&laptop, "phone"), (&phone, "laptop")).await;
    ready(&mut receiver, &["desktop", "phone"]).await;
    send(server, &phone, "laptop", &file("c"))
        .end()
        .await
        .is_done();
    let (exit, events) = laptop.look(&["pair", "remove", "desktop"]).await;
    assert_eq!((exit, &events[0]["event"]), (Some(0), &"removed".into()));
    ready(&mut receiver, &["phone"]).await;
    let refused = send(server, &desktop, "laptop", &file("d")).end().await;
    let error = refused.failed(6, "unknown-device");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("'laptop' does not know this device"),
        "{message}"
    );

    // That does not keep it from seeing who is known now.
    desktop.look(&["pair", "remove", "laptop"]).await;
    paired(server, (&laptop, "desktop"), (&desktop, "laptop")).await;
    ready(&mut receiver, &["desktop", "phone"]).await;
    send(server, &desktop, "laptop", &file("d"))
        .end()
        .await
        .is_done();
    stopped(receiver, &["desktop", "phone"]).await;
    assert_eq!(place.received().len(), 4);
}

#[tokio::test]
async fn one_that_waits_for_another_device_takes_no_other() {
    let server = Signaling::start();
    let server = Some(&server);
    let place = Place::new();
    let [desktop, laptop, phone] = ["d", "l", "p"].map(|name| Device::new(&place, name));
    paired(server, (&laptop, "desktop"), (&desktop, "laptop")).await;
    paired(server, (&laptop, "phone"), (&phone, "laptop")).await;
    let file = place.file("in/a", "content");
    let mut receiver = receive(server, &laptop, &place, &["--from", "phone", "--listen"]);
    ready(&mut receiver, &["phone"]).await;
    let refused = send(server, &desktop, "laptop", &file).end().await;
    refused.failed(6, "unknown-device");
    // It goes by the name, whoever has it.
    for (from, to) in [("phone", "mobile"), ("desktop", "phone")] {
        let (exit, events) = laptop.look(&["pair", "rename", from, to]).await;
        assert_eq!((exit, &events[0]["event"]), (Some(0), &"renamed".into()));
    }
    assert_eq!(laptop.names().await, ["mobile", "phone"]);
    // It may not have looked yet, and then does before it takes anything; or be between two rooms.
    let refused = send(server, &phone, "laptop", &file).end().await;
    assert!(matches!(refused.code, Some(6 | 7)), "{refused:#?}");
    ready(&mut receiver, &["phone"]).await;
    send(server, &desktop, "laptop", &file)
        .end()
        .await
        .is_done();
    stopped(receiver, &["phone"]).await;
}

#[tokio::test]
async fn a_key_that_was_swapped_gets_in_nowhere() {
    let server = Signaling::start();
    let server = Some(&server);
    let place = Place::new();
    let [desktop, laptop, phone] = ["d", "l", "p"].map(|name| Device::new(&place, name));
    paired(server, (&laptop, "desktop"), (&desktop, "laptop")).await;
    paired(server, (&laptop, "phone"), (&phone, "laptop")).await;
    // The secrets stay where they are.
    let path = laptop.0.join("devices");
    let mut file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let keys = [0, 1].map(|place: usize| file["devices"][place]["key"].clone());
    for (place, key) in keys.into_iter().rev().enumerate() {
        file["devices"][place]["key"] = key;
    }
    fs::write(&path, file.to_string()).unwrap();
    let mut receiver = receive(server, &laptop, &place, &["--listen"]);
    ready(&mut receiver, &["desktop", "phone"]).await;
    let file = place.file("in/a", "content");
    let refused = send(server, &desktop, "laptop", &file).end().await;
    refused.failed(6, "wrong-device");
    // Whichever of the two sees it first tells the other.
    let failed = receiver.event("failed").await;
    let code = failed["code"].as_str().unwrap();
    assert!(["wrong-device", "tampered"].contains(&code), "{failed}");
    stopped(receiver, &["desktop", "phone"]).await;
    assert!(place.received().is_empty());
}

#[tokio::test]
async fn what_cannot_work_says_so_before_anything_is_sent() {
    let server = Signaling::start();
    let server = Some(&server);
    let place = Place::new();
    let (desktop, laptop) = (Device::new(&place, "d"), Device::new(&place, "l"));
    let file = place.file("in/a", "content");
    send(server, &desktop, "laptop", &file)
        .end()
        .await
        .failed(2, "usage");
    assert!(!desktop.0.exists(), "asking makes nothing");
    let [one, other] = pair(server, (&desktop, "a"), (&desktop, "b")).await;
    one.failed(2, "itself");
    other.failed(2, "itself");
    assert_eq!(desktop.names().await, [""; 0]);

    paired(server, (&desktop, "laptop"), (&laptop, "desktop")).await;
    desktop
        .run(&["pair", "laptop"])
        .end()
        .await
        .failed(2, "usage");
    send(server, &desktop, "laptop", &file)
        .end()
        .await
        .failed(7, "not-there");
    send(None, &desktop, "laptop", &file)
        .end()
        .await
        .failed(7, "not-there");
    receive(server, &desktop, &place, &["--from", "phone"])
        .end()
        .await
        .failed(2, "usage");

    // Keys that others may have read are not used.
    for (path, bits) in [("identity", 0o644), ("devices", 0o640), ("", 0o750)] {
        let path = desktop.0.join(path);
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
        let unsafe_ = "unsafe-permissions";
        send(server, &desktop, "laptop", &file)
            .end()
            .await
            .failed(9, unsafe_);
        for more in [&["--from", "laptop"][..], &["--listen"]] {
            let receiver = receive(server, &desktop, &place, more);
            receiver.end().await.failed(9, unsafe_);
        }
        desktop
            .run(&["pair", "phone"])
            .end()
            .await
            .failed(9, unsafe_);
        assert_eq!(desktop.look(&["pair", "list"]).await.0, Some(9));
        fs::set_permissions(&path, before).unwrap();
    }
    assert!(place.received().is_empty());
}

#[tokio::test]
async fn a_pairing_that_breaks_leaves_no_name_behind() {
    let server = Signaling::start();
    let place = Place::new();
    let (desktop, laptop) = (Device::new(&place, "d"), Device::new(&place, "l"));
    let mut host = desktop.run(&["pair", "laptop", "--server", &server.url]);
    let code = host.code().await;
    // It comes for something else.
    let out = place.out();
    let words = [
        "receive-file",
        &code,
        "--yes",
        "--out",
        out.to_str().unwrap(),
    ];
    let guest = laptop.run(&[&words[..], &["--server", &server.url]].concat());
    let (host, guest) = tokio::join!(host.end(), guest.end());
    host.failed(2, "usage");
    assert_eq!(guest.code, Some(2), "{guest:#?}");
    assert_eq!(desktop.names().await, [""; 0]);
    let mut host = desktop.run(&["pair", "laptop", "--server", &server.url]);
    host.code().await;
    host.interrupt();
    host.end().await.failed(130, "cancelled");
    assert_eq!(desktop.names().await, [""; 0]);
}
