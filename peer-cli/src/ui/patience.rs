//! Writing to what may take nothing for a while: a terminal that was stopped, a pipe that nobody reads.
//!
//! Whoever waits there on a worker of the runtime keeps all other tasks waiting, heartbeats among them, and the other side
//! would take this one for gone. So where it may have to wait, it first leaves the worker to the others.

use std::io::{self, Write};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// What a pipe takes at once if it takes anything (POSIX: `PIPE_BUF` is at least 512).
const AT_ONCE: usize = 512;

/// An output stream whose writes let other tasks go on.
#[derive(Debug)]
pub(super) struct Patient<W>(pub(super) W);

impl<W: Write + Stream> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let at_once = bytes.len() <= AT_ONCE && is_ready(&self.0);
        patiently(at_once, || self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        // What is left of a line, after a write that was cut short.
        patiently(is_ready(&self.0), || self.0.flush())
    }
}

/// Does something that takes no time if it is done `at_once`.
pub(super) fn patiently<T>(at_once: bool, act: impl FnOnce() -> T) -> T {
    let multi = |runtime: Handle| runtime.runtime_flavor() == RuntimeFlavor::MultiThread;
    if at_once || !Handle::try_current().is_ok_and(multi) {
        act()
    } else {
        block_in_place(act)
    }
}

#[cfg(unix)]
use std::os::fd::AsFd as Stream;

/// Whether a write returns at once: with something written, or with an error. A terminal never says so: it has
/// room for a byte, takes that, and waits with the rest.
#[cfg(unix)]
fn is_ready(stream: &impl Stream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut polled = [PollFd::new(stream, PollFlags::OUT)];
    !rustix::termios::isatty(stream) && matches!(poll(&mut polled, Some(&now)), Ok(1))
}

#[cfg(not(unix))]
use std::io::Write as Stream;

/// Nobody can tell.
#[cfg(not(unix))]
fn is_ready(_: &impl Stream) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::sync::mpsc;
    use std::time::Duration;

    /// One worker, so that a write that keeps it keeps whoever reads, too.
    #[test]
    fn a_full_pipe_keeps_no_other_task_waiting() {
        const LINES: usize = 4096;
        const REST: usize = 100_000;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let (done, both) = mpsc::channel();
        let wrote = done.clone();
        runtime.spawn(async move {
            let mut writer = Patient(writer);
            for _ in 0..LINES {
                writer.write_all(&[b'x'; 100]).unwrap();
            }
            writer.write_all(&[b'y'; REST]).unwrap();
            wrote.send(0).unwrap();
        });
        runtime.spawn(async move {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            done.send(all.len()).unwrap();
        });
        let limit = Duration::from_secs(20);
        let ended = [both.recv_timeout(limit), both.recv_timeout(limit)];
        runtime.shutdown_background();
        assert_eq!(ended, [Ok(0), Ok(LINES * 100 + REST)]);
    }

    #[test]
    fn what_can_be_written_is_told_from_what_has_to_wait() {
        let (reader, mut writer) = io::pipe().unwrap();
        assert!(is_ready(&writer));
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        while writer.write(&[0; 4096]).is_ok() {}
        assert!(!is_ready(&writer));
        drop(reader);
        assert!(is_ready(&writer), "the error comes at once");
    }
}
