//! A Redis of one test: a process on a socket in a directory of its own, so that no port is anybody's.

use crate::common::DEADLINE;
use rustix::process::{Pid, Signal, kill_process};
use signaling_protocol::Secret;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

pub(crate) struct Redis {
    directory: TempDir,
    child: Option<(Child, BufReader<ChildStdout>)>,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        let mut redis = Self::later();
        redis.begin().await;
        redis
    }

    /// One that does not run yet.
    pub(crate) fn later() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            child: None,
        }
    }

    pub(crate) fn url(&self) -> Secret {
        Secret::new(format!(
            "redis+unix://{}/redis",
            self.directory.path().display()
        ))
    }

    /// Runs it, with nothing in it.
    pub(crate) async fn begin(&mut self) {
        let mut child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .args(["--unixsocket", "redis", "--daemonize", "no"])
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is installed (scripts/test install)");
        let mut talk = BufReader::new(child.stdout.take().unwrap());
        loop {
            let mut line = String::new();
            let read = timeout(DEADLINE, talk.read_line(&mut line)).await.unwrap();
            assert_ne!(read.unwrap(), 0, "redis-server has ended");
            if line.contains("Ready to accept connections") || line.contains("ready to accept") {
                break;
            }
        }
        self.child = Some((child, talk));
    }

    /// kill -9.
    pub(crate) async fn kill(&mut self) {
        let (mut child, _) = self.child.take().unwrap();
        child.kill().await.unwrap();
    }

    /// It answers nobody any more, and nobody is told.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let (child, _) = self.child.as_ref().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let client = redis::Client::open(self.url().expose()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut question = redis::Cmd::new();
        question.arg(command);
        question.query_async(&mut connection).await.unwrap()
    }

    /// Every key, and for how many milliseconds it lives on.
    pub(crate) async fn lives(&self) -> Vec<(String, i64)> {
        let mut lives = Vec::new();
        for key in self.ask::<Vec<String>>(&["KEYS", "*"]).await {
            let life = self.ask(&["PTTL", &key]).await;
            lives.push((key, life));
        }
        lives
    }
}
