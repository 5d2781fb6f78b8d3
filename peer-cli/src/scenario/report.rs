//! How peers tell what happens to them.

use tokio::sync::mpsc;

use super::inbox::{OnLine, Seen};
use super::plan::PeerId;
use super::timeline::Input;

/// Reports that wait for the scenario, which does nothing but take them. Peers wait while there are more.
pub(super) const REPORTS: usize = 1024;

/// Who reports. Whoever has begun anew since is not heard any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) who: Who,
    pub(super) life: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Peer(PeerId),
    Line(usize),
    Server,
}

/// One thing that happened.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) origin: Origin,
    pub(super) input: Input,
}

/// Tells on behalf of one peer.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    pub(super) origin: Origin,
    pub(super) peer: PeerId,
    pub(super) queue: mpsc::Sender<Report>,
}

impl Reporter {
    /// Waits for room. Nobody listens when the scenario is over.
    pub(super) async fn tell(&self, input: Input) {
        let origin = self.origin;
        let _ = self.queue.send(Report { origin, input }).await;
    }

    pub(super) async fn seen(&self, seen: Seen) {
        let peer = self.peer;
        self.tell(Input::Seen { peer, seen }).await;
    }

    /// Something on the line with `with`.
    pub(super) async fn on_line(&self, with: PeerId, what: OnLine) {
        self.seen(Seen::Line { with, what }).await;
    }

    pub(super) async fn done(&self, done: Result<(), String>) {
        self.tell(Input::Done(done)).await;
    }

    pub(super) async fn broken(&self, why: impl Into<String>) {
        let (peer, why) = (self.peer, why.into());
        self.tell(Input::Broken { peer, why }).await;
    }
}
