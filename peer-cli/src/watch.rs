//! Says when the other side of a line cannot be reached, and when it can again.

use std::time::{Duration, Instant};

use peerline::session::{Cause, Connectivity, Interruption, Paths, Session};
use tokio::sync::watch::Receiver;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use crate::ui::{Route, Ui, event};

/// How often the seconds beside the bar are counted.
const COUNT: Duration = Duration::from_secs(1);

/// Watches `session` until its end, or until the handle is dropped.
pub(crate) fn watch(ui: Ui, session: &Session) -> AbortOnDropHandle<()> {
    let (connectivity, paths) = (session.connectivity(), session.paths());
    AbortOnDropHandle::new(tokio::spawn(report(ui, connectivity, paths)))
}

async fn report(ui: Ui, mut connectivity: Receiver<Connectivity>, paths: Paths) {
    let mut told: Option<Interruption> = None;
    let mut count = interval(COUNT);
    count.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = connectivity.changed() => if changed.is_err() {
                return;
            },
            _ = count.tick(), if told.is_some() => {}
        }
        let now = *connectivity.borrow_and_update();
        match (now, told) {
            (Connectivity::Interrupted(interruption), _) => {
                let left = seconds_left(&interruption);
                if told.is_none_or(|told| told.cause != interruption.cause) {
                    ui.say(event::Interrupted {
                        reason: reason(interruption.cause),
                        seconds_left: left,
                    });
                }
                told = Some(interruption);
                ui.waiting(&format!(
                    "connection lost {} s ago, giving up in {left} s",
                    interruption.since.elapsed().as_secs()
                ));
            }
            (Connectivity::Connected, Some(interruption)) => {
                told = None;
                let path = paths.now().await;
                ui.say(event::Reconnected {
                    path: Route::from(path.as_ref()),
                    seconds: interruption.since.elapsed().as_secs_f64(),
                });
            }
            (Connectivity::Connected, None) => {}
        }
    }
}

fn seconds_left(interruption: &Interruption) -> u64 {
    let left = interruption.until.saturating_duration_since(Instant::now());
    left.as_secs_f64().round() as u64
}

fn reason(cause: Cause) -> &'static str {
    match cause {
        Cause::PathLost => "path-lost",
        Cause::NetworkLost => "network-lost",
        Cause::Silent => "silent",
    }
}
