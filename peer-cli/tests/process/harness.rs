//! Real `peer-cli` processes, a signaling server to meet at, and files to send.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use signaling_server::{Config, Server};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest that one step may take: a lost peer is noticed after 30 s, and the machine may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// A signaling server in this process. Dropping it closes every connection at once, as a crash would.
pub(crate) struct Signaling {
    pub(crate) url: String,
    task: JoinHandle<()>,
}

impl Signaling {
    pub(crate) fn start() -> Self {
        Self::with(Config {
            listen: ([127, 0, 0, 1], 0).into(),
            ..Config::default()
        })
    }

    pub(crate) fn with(config: Config) -> Self {
        let server = Server::bind(config).expect("a free port");
        let url = format!("http://{}", server.local_addr());
        let task = tokio::spawn(server.run(std::future::pending()));
        Self { url, task }
    }

    /// Ends it without a word to anybody, and returns when its port is closed.
    pub(crate) async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Signaling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A running `peer-cli --json`.
pub(crate) struct Peer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stderr: JoinHandle<String>,
    /// All events so far.
    events: Vec<Value>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    pub(crate) events: Vec<Value>,
    pub(crate) stderr: String,
}

/// A command without anything from the environment of the tests.
pub(crate) fn command(words: &[&str]) -> Command {
    let mut all = vec![env!("CARGO_BIN_EXE_peer-cli")];
    all.extend(words);
    clean(&all)
}

/// Any program and its arguments, without anything from the environment of the tests.
pub(crate) fn clean(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    for variable in [
        "PEERLINE_SERVER",
        "PEERLINE_SERVER_FINGERPRINT",
        "PEERLINE_TOKEN",
        "PEERLINE_CODE",
        "PEERLINE_LOG",
    ] {
        command.env_remove(variable);
    }
    // No devices are known.
    command.env(
        "PEERLINE_HOME",
        std::env::temp_dir().join("peerline-knows-nobody"),
    );
    command
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Peer {
    /// Starts `peer-cli WORDS... --json -v`.
    pub(crate) fn start(words: &[&str]) -> Self {
        Self::run(command(words))
    }

    /// Starts a `command` that takes our options at its end.
    pub(crate) fn run(mut command: Command) -> Self {
        let mut child = command.args(["--json", "-v"]).spawn().expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut stderr = child.stderr.take().expect("piped");
        let stderr = tokio::spawn(async move {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        Self {
            child,
            lines,
            stderr,
            events: Vec::new(),
        }
    }

    /// What it reads, if it was started with that.
    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("piped")
    }

    pub(crate) fn send(server: &Signaling, paths: &[&Path]) -> Self {
        let mut words = vec!["send-file", "--server", &server.url];
        words.extend(paths.iter().map(|path| path.to_str().expect("UTF-8")));
        Self::start(&words)
    }

    pub(crate) fn receive(server: &Signaling, code: &str, out: &Path, more: &[&str]) -> Self {
        let out = out.to_str().expect("UTF-8");
        let mut words = vec!["receive-file", code, "--server", &server.url, "--out", out];
        words.extend(more);
        Self::start(&words)
    }

    async fn next(&mut self) -> Option<Value> {
        let line = timeout(DEADLINE, self.lines.next_line())
            .await
            .expect("says something in time");
        let line = line.expect("UTF-8")?;
        let event: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        self.events.push(event.clone());
        Some(event)
    }

    /// The next event of this name.
    pub(crate) async fn event(&mut self, name: &str) -> Value {
        self.event_of(&[name]).await
    }

    /// The next event of one of these names.
    pub(crate) async fn event_of(&mut self, names: &[&str]) -> Value {
        while let Some(event) = self.next().await {
            if names.iter().any(|name| event["event"] == *name) {
                return event;
            }
        }
        panic!(
            "none of {names:?}, but {:#?}\n{}",
            self.events,
            (&mut self.stderr).await.unwrap()
        );
    }

    pub(crate) async fn code(&mut self) -> String {
        self.event("code").await["code"]
            .as_str()
            .expect("text")
            .to_owned()
    }

    /// SIGINT, as Ctrl-C sends it.
    pub(crate) fn interrupt(&self) {
        self.signal(rustix::process::Signal::INT);
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id().expect("runs")).expect("a pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("not 0");
        rustix::process::kill_process(pid, signal).expect("still there");
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("still there");
    }

    /// Waits for its end.
    pub(crate) async fn end(mut self) -> End {
        while self.next().await.is_some() {}
        let status = timeout(DEADLINE, self.child.wait())
            .await
            .expect("ends in time");
        End {
            code: status.expect("can be waited for").code(),
            events: self.events,
            stderr: self.stderr.await.expect("was read"),
        }
    }
}

impl End {
    pub(crate) fn names(&self) -> Vec<&str> {
        self.events
            .iter()
            .map(|event| event["event"].as_str().expect("named"))
            .collect()
    }

    pub(crate) fn last(&self) -> &Value {
        self.events.last().expect("said something")
    }

    #[track_caller]
    pub(crate) fn is_done(&self) -> &Value {
        assert_eq!(self.code, Some(0), "{self:#?}");
        assert_eq!(self.last()["event"], "done", "{self:#?}");
        self.last()
    }

    /// It failed with this exit code, which its error event repeats.
    #[track_caller]
    pub(crate) fn failed(&self, exit: i32, kind: &str) -> &Value {
        assert_eq!(self.code, Some(exit), "{self:#?}");
        let error = self.last();
        assert_eq!(error["event"], "error", "{self:#?}");
        assert_eq!(
            (&error["code"], &error["exit"]),
            (&kind.into(), &exit.into()),
            "{self:#?}"
        );
        assert!(!error["message"].as_str().expect("text").is_empty());
        error
    }
}

/// A directory for one test, with `out/` in it.
pub(crate) struct Place {
    home: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(home.path().join("out")).unwrap();
        Self { home }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.path("out")
    }

    /// Writes a file, and the directories that it needs.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Everything below `out`, with digests; of a transfer that is done, nothing is in `.peerline`.
    pub(crate) fn received(&self) -> BTreeMap<PathBuf, String> {
        snapshot(&self.out())
    }
}

/// As [`snapshot`], without what is kept of unfinished transfers.
pub(crate) fn in_place(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = snapshot(root);
    found.retain(|path, _| !path.starts_with(".peerline"));
    found
}

/// Everything below a directory: a digest for a file, `directory` for a directory.
pub(crate) fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let what = if path.is_dir() {
                left.push(path.clone());
                "directory".to_owned()
            } else {
                digest(&fs::read(&path).unwrap())
            };
            found.insert(path.strip_prefix(root).unwrap().to_owned(), what);
        }
    }
    found
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Bytes that look random and differ by seed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Runs a command that only root may.
pub(crate) fn root(line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let output = std::process::Command::new(words[0])
        .args(&words[1..])
        .output();
    let output =
        output.unwrap_or_else(|error| panic!("`{line}`: {error}; run `scripts/test install`"));
    assert!(
        output.status.success(),
        "`{line}` failed: {}; this test makes network namespaces, so it needs root, iproute2 and nftables",
        String::from_utf8_lossy(&output.stderr)
    );
}
