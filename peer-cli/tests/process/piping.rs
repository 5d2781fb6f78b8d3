//! `pipe` between two processes.

use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::time::timeout;

use crate::harness::{DEADLINE, Peer, Signaling, command, digest, noise};

/// A running `peer-cli pipe --json`, which says its events on stderr.
struct Pipe {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    talk: Lines<BufReader<ChildStderr>>,
}

/// How it ended: exit code, last event.
type End = (Option<i32>, Value);

impl Pipe {
    fn start(words: &[&str]) -> Self {
        let mut command = command(&[&["pipe", "--json"], words].concat());
        let mut child = command.stdin(Stdio::piped()).spawn().expect("starts");
        Self {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            talk: BufReader::new(child.stderr.take().expect("piped")).lines(),
            child,
        }
    }

    /// Two that are about to be connected.
    async fn pair(server: &Signaling) -> [Self; 2] {
        let mut host = Self::start(&["--server", &server.url]);
        let code = host.event("code").await["code"].clone();
        let code = code.as_str().unwrap();
        [host, Self::start(&[code, "--server", &server.url])]
    }

    async fn next(&mut self) -> Option<Value> {
        let line = timeout(DEADLINE, self.talk.next_line()).await;
        let line = line.expect("says something in time").expect("UTF-8")?;
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}")))
    }

    async fn event(&mut self, name: &str) -> Value {
        while let Some(event) = self.next().await {
            if event["event"] == name {
                return event;
            }
        }
        panic!("no '{name}'");
    }

    fn stdin(&mut self) -> &mut ChildStdin {
        self.stdin.as_mut().expect("open")
    }

    /// Reads exactly this.
    async fn reads(&mut self, expected: &[u8]) {
        let mut read = vec![0; expected.len()];
        let stdout = self.stdout.as_mut().expect("open");
        let reading = timeout(DEADLINE, stdout.read_exact(&mut read));
        reading.await.expect("in time").expect("not the end");
        assert!(read == expected);
    }

    /// Everything to the end of its stdout.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let stdout = self.stdout.as_mut().expect("open");
        let reading = timeout(DEADLINE, stdout.read_to_end(&mut rest));
        reading.await.expect("in time").expect("can be read");
        rest
    }

    /// Writes `input`, closes stdin, and reads what comes, to the end of both.
    async fn exchange(mut self, input: Vec<u8>) -> (Vec<u8>, End) {
        let mut stdin = self.stdin.take().expect("open");
        let writing = async move {
            stdin.write_all(&input).await.expect("is read");
        };
        let ((), output) = tokio::join!(writing, self.rest());
        (output, self.end().await)
    }

    async fn end(mut self) -> End {
        let mut last = Value::Null;
        while let Some(event) = self.next().await {
            last = event;
        }
        let status = timeout(DEADLINE, self.child.wait()).await.expect("ends");
        (status.expect("can be waited for").code(), last)
    }

    fn interrupt(&self) {
        let pid = i32::try_from(self.child.id().expect("runs")).expect("a pid");
        let pid = Pid::from_raw(pid).expect("not 0");
        rustix::process::kill_process(pid, Signal::INT).expect("still there");
    }
}

#[track_caller]
fn failed((code, last): &End, exit: i32, kind: &str) {
    assert_eq!(*code, Some(exit), "{last}");
    assert_eq!(
        (&last["event"], &last["code"]),
        (&"error".into(), &kind.into()),
        "{last}"
    );
}

#[tokio::test]
async fn both_directions_arrive_whole_and_stdout_has_nothing_else() {
    let server = Signaling::start();
    for [there, back] in [[0, 0], [5, 0], [0, 300_000], [48 << 20, 16 << 20]] {
        let [host, guest] = Pipe::pair(&server).await;
        let inputs = [noise(there, 1), noise(back, 2)];
        let digests = inputs.each_ref().map(|input| digest(input));
        let [first, second] = inputs;
        let (host, guest) = tokio::join!(host.exchange(first), guest.exchange(second));
        for (side, (output, (code, done)), sent, received) in
            [("host", &host, there, back), ("guest", &guest, back, there)]
        {
            let expected = usize::from(side == "host");
            assert_eq!(digest(output), digests[expected], "{side}: {done}");
            assert_eq!((*code, &done["event"]), (Some(0), &"done".into()), "{done}");
            assert_eq!(
                (&done["sent"], &done["received"], &done["bytes"]),
                (&sent.into(), &received.into(), &(there + back).into()),
            );
            assert_eq!(done["path"], "direct");
        }
    }
}

#[tokio::test]
async fn each_direction_ends_by_itself() {
    let server = Signaling::start();
    let [mut host, mut guest] = Pipe::pair(&server).await;
    // Nothing waits for more to come.
    guest.stdin().write_all(b"half a question").await.unwrap();
    host.reads(b"half a question").await;
    guest.stdin().write_all(b", and its end").await.unwrap();
    guest.stdin = None;
    // Who reads it sees the end, although the other direction is open.
    assert_eq!(host.rest().await, b", and its end");
    let host = host.exchange(b"answer".to_vec());
    let (answer, (nothing, (code, done))) = tokio::join!(guest.rest(), host);
    assert_eq!((&answer[..], &nothing[..]), (&b"answer"[..], &b""[..]));
    assert_eq!(code, Some(0), "{done}");
    assert_eq!(guest.end().await.0, Some(0));
}

#[tokio::test]
async fn who_is_killed_makes_the_other_one_fail() {
    let server = Signaling::start();
    for killed in [0, 1] {
        let mut pair = Pipe::pair(&server).await;
        for from in [0, 1] {
            pair[from].stdin().write_all(b"before").await.unwrap();
            pair[1 - from].reads(b"before").await;
        }
        let [host, guest] = pair;
        let (mut dead, mut other) = match killed {
            0 => (host, guest),
            _ => (guest, host),
        };
        dead.child.kill().await.unwrap();
        assert_eq!(other.rest().await, b"");
        let (code, error) = other.end().await;
        assert_eq!(
            (code, &error["event"]),
            (Some(4), &"error".into()),
            "{error}"
        );
        assert_eq!(error["retry"], true);
    }
}

#[tokio::test]
async fn ctrl_c_is_heard_on_both_sides() {
    let server = Signaling::start();
    let [mut host, mut guest] = Pipe::pair(&server).await;
    host.stdin().write_all(b"x").await.unwrap();
    guest.reads(b"x").await;
    guest.interrupt();
    let (host, guest) = tokio::join!(host.end(), guest.end());
    failed(&guest, 130, "cancelled");
    failed(&host, 4, "peer-cancelled");
}

#[tokio::test]
async fn who_has_read_enough_stops_both() {
    let server = Signaling::start();
    let [mut host, mut guest] = Pipe::pair(&server).await;
    let mut stdin = host.stdin.take().unwrap();
    let writing = tokio::spawn(async move {
        let piece = noise(1 << 20, 1);
        while stdin.write_all(&piece).await.is_ok() {}
    });
    guest.reads(&noise(1000, 1)).await;
    guest.stdout = None;
    let (host, guest) = tokio::join!(host.end(), guest.end());
    failed(&guest, 9, "local-io");
    failed(&host, 9, "peer-io");
    writing.await.unwrap();
}

#[tokio::test]
async fn people_read_the_code_on_stderr() {
    let server = Signaling::start();
    let code = "room-crane-velvet-orbit";
    let words = ["pipe", "--server", &server.url, "--code", code];
    let mut host = command(&words).spawn().expect("starts");
    let mut talk = BufReader::new(host.stderr.take().unwrap()).lines();
    let expected = format!("  peer-cli pipe {code} --server ");
    loop {
        let line = timeout(DEADLINE, talk.next_line()).await.expect("in time");
        if line.unwrap().expect("says it").starts_with(&expected) {
            break;
        }
    }
    let guest = command(&["pipe", code, "--server", &server.url]).output();
    let (host, guest) = tokio::join!(host.wait_with_output(), guest);
    let (host, guest): (Output, Output) = (host.unwrap(), guest.unwrap());
    for end in [&host, &guest] {
        assert_eq!(end.status.code(), Some(0), "{end:?}");
        assert!(end.stdout.is_empty());
    }
    let talk = String::from_utf8_lossy(&guest.stderr);
    assert!(talk.contains("Done: sent 0 B, received 0 B in "), "{talk}");
}

#[tokio::test]
async fn what_does_not_belong_together_is_refused_and_said_on_stderr() {
    let server = Signaling::start();
    let mut host = Pipe::start(&["--server", &server.url]);
    let code = host.event("code").await["code"].clone();
    let guest = Peer::start(&["bench", code.as_str().unwrap(), "--server", &server.url]);
    let (host, guest) = tokio::join!(host.end(), guest.end());
    assert_eq!(host.1["event"], "error");
    assert!(host.0 == Some(2) || guest.code == Some(2), "{host:?}");

    for words in [
        &[
            "pipe",
            "7-crane-velvet-orbit",
            "--code",
            "7-crane-velvet-orbit",
        ][..],
        &["pipe", "--json", "nonsense"],
    ] {
        let output = command(words).output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}
