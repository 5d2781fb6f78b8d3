//! Recipes of the documentation, as they stand there.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::{interval, timeout};

use crate::devices::{Device, paired};
use crate::harness::{DEADLINE, Peer, Place, Signaling, clean, digest, noise, snapshot};

const RECIPES: &str = include_str!("../../../docs/tunnels.md");

/// The blocks of shell commands in the section of this name.
fn recipe(section: &str) -> Vec<&'static str> {
    let (_, rest) = RECIPES
        .split_once(&format!("\n## {section}\n"))
        .expect("there");
    let section = rest.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

/// A script in a shell of its own, with everything that it starts.
struct Script {
    child: Child,
    talk: Lines<BufReader<ChildStderr>>,
}

impl Script {
    /// Runs `script` in the directory of `place`, as the user of `device`.
    fn start(script: &str, place: &Place, device: &Device, server: &Signaling) -> Self {
        let programs = Path::new(env!("CARGO_BIN_EXE_peer-cli")).parent().unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let mut command: Command = clean(&["sh", "-c", script]);
        command
            .current_dir(place.path(""))
            .env("PATH", path)
            .env("PEERLINE_HOME", &device.0)
            .env("PEERLINE_SERVER", &server.url)
            .process_group(0);
        command.stdout(std::process::Stdio::null());
        let mut child = command.spawn().expect("starts");
        let talk = BufReader::new(child.stderr.take().expect("piped")).lines();
        Self { child, talk }
    }

    /// Waits for the next line of its stderr that has these words.
    async fn says(&mut self, words: &str) {
        loop {
            let line = timeout(DEADLINE, self.talk.next_line()).await;
            let line = line.expect("says something in time").expect("UTF-8");
            if line.expect("goes on").contains(words) {
                return;
            }
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Until `is`; what other programs do with files tells nobody.
async fn until(what: &str, is: impl Fn() -> bool) {
    let looking = async {
        let mut often = interval(Duration::from_millis(50));
        while !is() {
            often.tick().await;
        }
    };
    timeout(DEADLINE, looking).await.expect(what);
}

#[tokio::test]
async fn whatever_appears_in_a_folder_is_sent_once_somebody_listens() {
    let blocks = recipe("Whatever appears in a folder");
    let &[listen, watch] = &blocks[..] else {
        panic!("{blocks:?}");
    };
    let words: Vec<&str> = listen.split_whitespace().collect();
    assert_eq!(words[0], "peer-cli");
    let server = Signaling::start();
    let place = Place::new();
    let (desk, camera) = (Device::new(&place, "d"), Device::new(&place, "c"));
    paired(Some(&server), (&desk, "camera"), (&camera, "desk")).await;
    let inbox = place.path("inbox");
    let inbox = inbox.to_str().unwrap();
    let words: Vec<&str> = words[1..]
        .iter()
        .map(|word| if *word == "inbox" { inbox } else { word })
        .chain(["--server", &server.url])
        .collect();

    let large = noise(300_000, 1);
    place.file("outbox/there before", &large);
    place.file("outbox/-v $(touch gone) *.txt", b"a name is a name");
    // Still being written.
    place.file("outbox/.part", b"half");
    let mut script = Script::start(watch, &place, &camera, &server);
    // Nobody listens yet: both of them, and the first one again.
    for _ in 0..3 {
        script.says("does not wait for this device").await;
    }
    let mut receiver: Peer = desk.run(&words);
    for _ in 0..2 {
        receiver.event("done").await;
    }
    place.file("outbox/album/one", b"1");
    fs::rename(place.path("outbox/.part"), place.path("outbox/whole")).unwrap();
    for _ in 0..2 {
        receiver.event("done").await;
    }
    until("everything is moved", || {
        fs::read_dir(place.path("outbox")).unwrap().next().is_none()
    })
    .await;

    let mut got = snapshot(Path::new(inbox));
    got.retain(|path, _| !path.starts_with(".peerline"));
    assert_eq!(got, snapshot(&place.path("sent")));
    assert_eq!(got[Path::new("there before")], digest(&large));
    assert_eq!(got.len(), 5, "{got:?}");
    receiver.interrupt();
    let end = receiver.end().await;
    assert_eq!(end.code, Some(0), "{end:#?}");
}
