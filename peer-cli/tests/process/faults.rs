//! Disks, files and limits that fail in the middle: one clear error, and the same commands go on from there.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{End, Peer, Place, Signaling, clean, command, noise};

const LARGE: usize = 24 << 20;

/// Slow enough that something can happen in its middle, on any machine.
const SLOWLY: [&str; 2] = ["--limit", "8MiB"];

fn send(server: &Signaling, file: &Path, more: &[&str]) -> Peer {
    let file = file.to_str().unwrap();
    let words = ["send-file", file, "--server", &server.url];
    Peer::start(&[&words[..], more].concat())
}

async fn past(receiver: &mut Peer, bytes: u64) {
    loop {
        let progress = receiver.event("progress").await;
        if progress["bytes"].as_u64().unwrap() > bytes {
            return;
        }
    }
}

/// The sender and the receiver of `file`, a third of which is there.
async fn in_the_middle(server: &Signaling, file: &Path, out: &Path) -> (Peer, Peer) {
    let mut sender = send(server, file, &SLOWLY);
    let code = sender.code().await;
    let mut receiver = Peer::receive(server, &code, out, &["--yes"]);
    past(&mut receiver, LARGE as u64 / 3).await;
    (sender, receiver)
}

#[track_caller]
fn one_error(end: &End) -> &Value {
    let errors = end.names().iter().filter(|name| **name == "error").count();
    assert_eq!(errors, 1, "{end:#?}");
    end.last()
}

/// The same again, which ends well and does not begin at the beginning.
async fn goes_on(server: &Signaling, file: &Path, out: &Path) {
    let mut sender = send(server, file, &[]);
    let code = sender.code().await;
    let receiver = Peer::receive(server, &code, out, &["--yes"]);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.is_done();
    assert!(received.is_done()["resumed"].as_u64().unwrap() > 0);
    let arrived = fs::read(out.join(file.file_name().unwrap())).unwrap();
    assert!(arrived == fs::read(file).unwrap());
}

#[tokio::test]
async fn a_source_that_vanishes() {
    let server = Signaling::start();
    let place = Place::new();
    // The second file is opened long after the first one began.
    place.file("in/tree/1", noise(LARGE, 1));
    let second = place.file("in/tree/2", noise(1 << 20, 2));
    let tree = place.path("in/tree");
    let mut sender = send(&server, &tree, &SLOWLY);
    let code = sender.code().await;
    let mut receiver = Peer::receive(&server, &code, &place.out(), &["--yes"]);
    past(&mut receiver, 4 << 20).await;
    let away = place.path("in/away");
    fs::rename(&second, &away).unwrap();
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.failed(9, "source-changed");
    assert!(
        one_error(&sent)["message"]
            .as_str()
            .unwrap()
            .contains("tree/2")
    );
    received.failed(9, "peer-source-changed");
    assert!(one_error(&received)["kept"]["bytes"].as_u64().unwrap() > 0);

    fs::rename(&away, &second).unwrap();
    let mut sender = send(&server, &tree, &[]);
    let code = sender.code().await;
    let receiver = Peer::receive(&server, &code, &place.out(), &["--yes"]);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.is_done();
    assert!(received.is_done()["resumed"].as_u64().unwrap() > 0);
}

/// A file system of its own, where this user may mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// 32 MiB of memory.
    fn mount(place: &Place) -> Option<Self> {
        Self::mounted(place, &["-t", "tmpfs", "-o", "size=32m", "tmpfs"])
    }

    /// A disk with a journal, in a file.
    fn image(place: &Place) -> Option<Self> {
        let image = place.path("disk.ext4");
        let file = fs::File::create(&image).unwrap();
        file.set_len(96 << 20).unwrap();
        let image = image.to_str().unwrap();
        let made = std::process::Command::new("mkfs.ext4")
            .args(["-q", image])
            .status();
        assert!(made.unwrap().success());
        Self::mounted(place, &["-o", "loop", image])
    }

    fn mounted(place: &Place, how: &[&str]) -> Option<Self> {
        let path = place.out();
        let mut mount = std::process::Command::new("mount");
        let mounted = mount.args(how).arg(&path).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("not allowed to mount: tests/transfer/disk.rs has to do");
            return None;
        }
        Some(Self(path))
    }

    fn remount(&self, how: &str) {
        let mut mount = std::process::Command::new("mount");
        let remounted = mount.args(["-o", how]).arg(&self.0).status();
        assert!(remounted.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_in_the_middle() {
    let server = Signaling::start();
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place) else {
        return;
    };
    let file = place.file("in/large", noise(LARGE, 1));
    let (sender, receiver) = in_the_middle(&server, &file, &disk.0).await;
    let filler = disk.0.join("filler");
    fs::write(&filler, noise(14 << 20, 2)).unwrap();
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    received.failed(9, "no-space");
    assert!(one_error(&received)["kept"]["bytes"].as_u64().unwrap() > 0);
    sent.failed(9, "peer-no-space");
    one_error(&sent);

    fs::remove_file(filler).unwrap();
    goes_on(&server, &file, &disk.0).await;
}

#[tokio::test]
async fn a_target_that_is_read_only() {
    let server = Signaling::start();
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place) else {
        return;
    };
    disk.remount("remount,ro");
    let file = place.file("in/large", noise(LARGE, 1));
    let mut sender = send(&server, &file, &[]);
    let code = sender.code().await;
    let receiver = Peer::receive(&server, &code, &disk.0, &["--yes"]);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    received.failed(9, "local-io");
    let message = one_error(&received)["message"].as_str().unwrap();
    assert!(message.to_lowercase().contains("read-only"), "{message}");
    sent.failed(9, "peer-io");
    one_error(&sent);

    disk.remount("remount,rw");
    let mut sender = send(&server, &file, &[]);
    let code = sender.code().await;
    let receiver = Peer::receive(&server, &code, &disk.0, &["--yes"]);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    sent.is_done();
    received.is_done();
}

/// A program whose clock can be set.
struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    fn new(place: &Place) -> Self {
        // Where Debian has it, for whatever processor.
        let library = fs::read_dir("/usr/lib").unwrap().find_map(|found| {
            let library = found.unwrap().path().join("faketime/libfaketimeMT.so.1");
            library.exists().then_some(library)
        });
        let clock = Self {
            file: place.path("clock"),
            library: library.expect("scripts/test installs faketime"),
        };
        clock.set(0);
        clock
    }

    /// So many years ahead of what it is, or behind.
    fn set(&self, years: i32) {
        let year = || {
            let mut date = std::process::Command::new("date");
            let date = date.arg("+%Y").envs(self.environment()).output().unwrap();
            let year = String::from_utf8(date.stdout).unwrap();
            year.trim().parse::<i32>().unwrap()
        };
        // In one step: it is read at any time.
        let put = |years: i32| {
            let next = self.file.with_extension("next");
            fs::write(&next, format!("{years:+}y")).unwrap();
            fs::rename(next, &self.file).unwrap();
        };
        put(0);
        let now = year();
        put(years);
        assert!((year() - now - years).abs() <= 1, "{now} and {years}");
    }

    fn environment(&self) -> [(&'static str, &std::ffi::OsStr); 4] {
        [
            ("LD_PRELOAD", self.library.as_os_str()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.as_os_str()),
            ("FAKETIME_NO_CACHE", "1".as_ref()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".as_ref()),
        ]
    }

    fn start(&self, words: &[&str]) -> Peer {
        let mut command = command(words);
        command.envs(self.environment());
        Peer::run(command)
    }
}

/// What Linux does with a disk whose journal cannot be written: open files stay, and take no more.
#[tokio::test]
async fn a_disk_that_becomes_read_only_in_the_middle() {
    let server = Signaling::start();
    let place = Place::new();
    let Some(disk) = SmallDisk::image(&place) else {
        return;
    };
    let file = place.file("in/large", noise(LARGE, 1));
    let (sender, receiver) = in_the_middle(&server, &file, &disk.0).await;
    disk.remount("remount,abort");
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    received.failed(9, "local-io");
    let message = one_error(&received)["message"].as_str().unwrap();
    assert!(message.to_lowercase().contains("read-only"), "{message}");
    sent.failed(9, "peer-io");
    one_error(&sent);

    // Mounted anew, it has what was synced.
    drop(disk);
    let image = place.path("disk.ext4");
    let disk = SmallDisk::mounted(&place, &["-o", "loop", image.to_str().unwrap()]).unwrap();
    goes_on(&server, &file, &disk.0).await;
}

/// By years in both directions, and what is kept from then goes on now.
#[tokio::test]
async fn a_clock_that_is_set_in_the_middle() {
    let server = Signaling::start();
    let place = Place::new();
    let clock = Clock::new(&place);
    let file = place.file("in/large", noise(LARGE, 1));
    let (path, out) = (file.to_str().unwrap(), place.out());
    let send = [
        "send-file",
        path,
        "--server",
        &server.url,
        "--limit",
        "8MiB",
    ];
    let receive = |code| {
        let words = ["receive-file", code, "--server", &server.url, "--yes"];
        clock.start(&[&words[..], &["--out", out.to_str().unwrap()]].concat())
    };
    let mut sender = clock.start(&send);
    let mut receiver = receive(&sender.code().await);
    past(&mut receiver, 2 << 20).await;
    clock.set(10);
    past(&mut receiver, 6 << 20).await;
    clock.set(-10);
    past(&mut receiver, 10 << 20).await;
    sender.kill().await;
    let received = receiver.end().await;
    received.failed(4, "peer-gone");
    assert!(one_error(&received)["kept"]["bytes"].as_u64().unwrap() > 8 << 20);
    goes_on(&server, &file, &out).await;
    let of = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let gap = of(&file).duration_since(of(&out.join("large")));
    assert!(gap.unwrap_or_default().as_millis() < 2);
}

#[tokio::test]
async fn sixty_four_descriptors_are_enough() {
    let server = Signaling::start();
    let place = Place::new();
    for number in 0..300 {
        place.file(
            &format!("in/tree/{}/{number}", number % 7),
            noise(2_000, number),
        );
    }
    place.file("in/tree/large", noise(8 << 20, 1));
    let tree = place.path("in/tree");
    let limited = |words: &[&str]| {
        let peer = env!("CARGO_BIN_EXE_peer-cli");
        let script = "ulimit -n 64; exec \"$@\"";
        Peer::run(clean(
            &[&["sh", "-c", script, "sh", peer][..], words].concat(),
        ))
    };
    let mut sender = limited(&["send-file", "--server", &server.url, tree.to_str().unwrap()]);
    let code = sender.code().await;
    let out = place.out();
    let out = out.to_str().unwrap();
    let words = [
        "receive-file",
        &code,
        "--server",
        &server.url,
        "--yes",
        "--out",
        out,
    ];
    let receiver = limited(&words);
    let (sent, received) = tokio::join!(sender.end(), receiver.end());
    assert_eq!(sent.is_done()["files"], 301);
    received.is_done();
}
