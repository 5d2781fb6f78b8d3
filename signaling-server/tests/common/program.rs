//! The program itself, as a process.

use super::DEADLINE;
use serde_json::Value;
use std::{net::SocketAddr, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStderr, Command},
    time::timeout,
};

/// The program with these arguments and none of the settings in this process's environment.
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
pub(crate) async fn output(command: Command) -> (i32, String, String) {
    output_within(DEADLINE, command).await
}

/// The same of one that takes longer.
pub(crate) async fn output_within(limit: Duration, mut command: Command) -> (i32, String, String) {
    let output = timeout(limit, command.output()).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A server that runs (with `--json`), what it said first, and the rest of what it says.
pub(crate) struct Running {
    child: Child,
    pub(crate) event: Value,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    pub(crate) async fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let event = serde_json::from_str(&line(&mut stderr).await).unwrap();
        Self {
            child,
            event,
            stderr,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.event["address"].as_str().unwrap().parse().unwrap()
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Bytes in memory now.
    #[cfg(target_os = "linux")]
    pub(crate) fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.unwrap().trim().strip_suffix(" kB").unwrap();
        kibibytes.parse::<u64>().unwrap() * 1024
    }

    /// kill -9.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Reads what it logs until this comes.
    pub(crate) async fn says(&mut self, text: &str) -> String {
        loop {
            let line = line(&mut self.stderr).await;
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits for its end: the exit code, and what it logged to the end.
    pub(crate) async fn ended(&mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        let reading = self.stderr.read_to_string(&mut log);
        timeout(DEADLINE, reading).await.unwrap().unwrap();
        let status = timeout(DEADLINE, self.child.wait()).await.unwrap().unwrap();
        (status.code(), log)
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
