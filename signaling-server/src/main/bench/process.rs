//! The server's process: starting one, and what it takes, as the kernel counts it (Linux).

use super::{dialect::Dialect, line::Target};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{fs, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

/// How long a server takes to listen, on a machine that is busy with other things.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A server that was started to be measured; it ends with this.
#[derive(Debug)]
pub(super) struct Started {
    child: Child,
    pub(super) target: Target,
    _talk: AbortOnDropHandle<()>,
}

impl Started {
    /// Starts this very program on a free port, for at most so many connections.
    pub(super) async fn new(connections: u32) -> Result<Self> {
        let program = std::env::current_exe().context("where is this program?")?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PEERLINE_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--json", "--max-connections"])
            .arg(connections.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the server cannot be started")?;
        let stderr = child.stderr.take().context("the server has no stderr")?;
        let mut lines = BufReader::new(stderr).lines();
        let first = timeout(START_LIMIT, lines.next_line())
            .await
            .context("the server does not say where it listens")??
            .context("the server ended at once")?;
        let event: Value = serde_json::from_str(&first).unwrap_or_default();
        let address = event["address"].as_str().and_then(|text| text.parse().ok());
        let address = address.with_context(|| format!("the server says: {first}"))?;
        // Its log must not fill the pipe.
        let talk = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                eprintln!("{line}");
            }
        });
        Ok(Self {
            child,
            target: Target {
                address,
                host: address.to_string(),
                dialect: Dialect::Peerline,
            },
            _talk: AbortOnDropHandle::new(talk),
        })
    }

    pub(super) fn process(&self) -> Option<Process> {
        self.child.id().map(Process)
    }

    /// Ends it, so that the next one has the machine.
    pub(super) async fn stop(mut self) -> Result<()> {
        self.child.kill().await.context("the server does not end")
    }
}

/// A process of this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process(pub(super) u32);

impl Process {
    /// Bytes in memory now.
    pub(super) fn resident(self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.0);
        let status = fs::read_to_string(&path).context(path)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        let kib: u64 = number.context("no VmRSS")?.parse()?;
        Ok(kib * 1024)
    }

    /// Processor time so far, of all threads, in user mode and in the kernel.
    #[cfg(unix)]
    pub(super) fn cpu(self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.0);
        let stat = fs::read_to_string(&path).context(path)?;
        // The name, in parentheses, may have spaces in it.
        let fields = stat.rsplit_once(") ").context("no stat")?.1;
        let mut fields = fields.split(' ').skip(11);
        let mut ticks = || -> Result<u64> { Ok(fields.next().context("no time")?.parse()?) };
        let ticks = ticks()? + ticks()?;
        let per_second = rustix::param::clock_ticks_per_second();
        ensure!(per_second > 0, "no clock");
        Ok(Duration::from_millis(ticks * 1000 / per_second))
    }

    #[cfg(not(unix))]
    pub(super) fn cpu(self) -> Result<Duration> {
        anyhow::bail!("processor time is read from /proc")
    }
}
