//! A timer that counts microseconds where the system has one; Tokio's counts milliseconds.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// Waits once at a time.
#[derive(Debug, Default)]
pub(super) struct FineTimer {
    #[cfg(target_os = "linux")]
    precise: Option<precise::Timer>,
    /// Elsewhere, or if there was no descriptor left.
    coarse: Option<Pin<Box<Sleep>>>,
}

impl FineTimer {
    /// From now on; what was waited for before is forgotten.
    pub(super) fn start(&mut self, wait: Duration) {
        self.coarse = None;
        #[cfg(target_os = "linux")]
        {
            self.precise = self.precise.take().or_else(|| precise::Timer::new().ok());
            if self
                .precise
                .as_mut()
                .is_some_and(|timer| timer.start(wait).is_ok())
            {
                return;
            }
        }
        self.coarse = Some(Box::pin(sleep(wait)));
    }

    /// Ready when the wait is over, and if there is none.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(coarse) = &mut self.coarse {
            std::task::ready!(coarse.as_mut().poll(cx));
            self.coarse = None;
            return Poll::Ready(());
        }
        #[cfg(target_os = "linux")]
        if let Some(precise) = &mut self.precise {
            return precise.poll(cx);
        }
        Poll::Ready(())
    }
}

#[cfg(target_os = "linux")]
mod precise {
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use std::io;
    use std::os::fd::OwnedFd;
    use std::task::{Context, Poll, ready};
    use std::time::Duration;
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// `timerfd_create(2)`: its timers are those of the kernel.
    #[derive(Debug)]
    pub(super) struct Timer {
        fd: AsyncFd<OwnedFd>,
        waits: bool,
    }

    impl Timer {
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            // Its replacement is `unsafe`, for types that hand out another descriptor than they own.
            #[allow(deprecated, reason = "an `OwnedFd` hands out its own descriptor")]
            let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
            Ok(Self { fd, waits: false })
        }

        pub(super) fn start(&mut self, wait: Duration) -> io::Result<()> {
            // Zero would mean never.
            let wait = wait.max(Duration::from_nanos(1));
            let once = Itimerspec {
                it_interval: Timespec::default(),
                it_value: Timespec::try_from(wait).map_err(io::Error::other)?,
            };
            timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            self.waits = true;
            Ok(())
        }

        pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            while self.waits {
                // A reactor that is gone wakes nobody: then there is nothing to wait for.
                let Ok(mut guard) = ready!(self.fd.poll_read_ready(cx)) else {
                    break;
                };
                let mut expired = [0; 8];
                match guard.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut expired)?)) {
                    Err(_would_block) => continue,
                    Ok(_) => self.waits = false,
                }
            }
            Poll::Ready(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Instant;

    async fn wait(timer: &mut FineTimer, wait: Duration) -> Duration {
        let begun = Instant::now();
        timer.start(wait);
        poll_fn(|cx| timer.poll(cx)).await;
        begun.elapsed()
    }

    /// Tokio's own timer makes each of them a millisecond or two.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_wait_of_a_tenth_of_a_millisecond_is_none_of_one() {
        let mut timer = FineTimer::default();
        let mut waits = Vec::new();
        for _ in 0..100 {
            waits.push(wait(&mut timer, Duration::from_micros(100)).await);
        }
        waits.sort();
        assert!(waits[0] >= Duration::from_micros(100), "{waits:?}");
        // Not half of them: other tests run at the same time.
        assert!(waits[25] < Duration::from_micros(800), "{waits:?}");
    }

    #[tokio::test]
    async fn the_last_wait_counts_and_none_is_over_at_once() {
        let mut timer = FineTimer::default();
        poll_fn(|cx| timer.poll(cx)).await;
        let long = Duration::from_millis(50);
        timer.start(Duration::ZERO);
        sleep(Duration::from_millis(2)).await;
        assert!(
            wait(&mut timer, long).await >= long,
            "the first is forgotten"
        );
        timer.start(Duration::from_secs(3600));
        assert!(wait(&mut timer, long).await < Duration::from_secs(60));
        poll_fn(|cx| timer.poll(cx)).await;
    }

    #[tokio::test]
    async fn without_a_descriptor_it_is_a_timer_all_the_same() {
        let (begun, wait) = (Instant::now(), Duration::from_millis(5));
        let mut timer = FineTimer {
            coarse: Some(Box::pin(sleep(wait))),
            ..FineTimer::default()
        };
        poll_fn(|cx| timer.poll(cx)).await;
        assert!(begun.elapsed() >= wait);
    }
}
