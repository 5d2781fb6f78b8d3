//! Ctrl-C: the first asks the command to end and to tell the other side, the second ends at once.

use std::process;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use crate::ui::Ui;

/// How long the graceful end may take: 1 s for last words of the transfer, 5 s for a disk to remove
/// what was staged, 4 s for the goodbye. Usually it is a round trip, and whoever finds it too long
/// presses Ctrl-C again.
const GRACE: Duration = Duration::from_secs(10);

/// Listens for as long as it lives.
pub(crate) struct Interrupt {
    token: CancellationToken,
    task: JoinHandle<()>,
}

impl Interrupt {
    /// From here on signals no longer end the process by themselves.
    pub(crate) fn listen(ui: Ui) -> std::io::Result<Self> {
        let token = CancellationToken::new();
        let mut signals = Signals::new()?;
        let task = tokio::spawn({
            let token = token.clone();
            async move {
                signals.next().await;
                token.cancel();
                // A terminal that was stopped keeps whoever writes to it.
                tokio::task::spawn_blocking(move || {
                    ui.note("Stopping. Press Ctrl-C again to stop at once.");
                });
                // Either way it is over: a second signal, or a peer that does not answer.
                let _ = tokio::time::timeout(GRACE, signals.next()).await;
                process::exit(Exit::CtrlC.number().into());
            }
        });
        Ok(Self { token, task })
    }

    /// Cancelled by the first signal.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// SIGINT and, where there are, SIGTERM and SIGHUP: a supervisor's polite request and a closed terminal
/// are the same request.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    /// `None` if whoever started us wants it ignored, as `nohup` does.
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: if ignores_hangup() {
                None
            } else {
                Some(signal(SignalKind::hangup())?)
            },
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = hung_up(&mut self.hangup) => {}
        }
    }
}

#[cfg(unix)]
async fn hung_up(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// What Linux says of SIGHUP, the lowest bit of a mask. Elsewhere it cannot be asked without unsafe
/// code, and the system's own answer to SIGHUP stays.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return true;
    };
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| mask & 1 != 0)
}

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            // No handler could be installed; Ctrl-C then ends the process the system's way.
            std::future::pending::<()>().await;
        }
    }
}
