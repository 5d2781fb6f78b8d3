//! Somebody else's WHIP or WHEP server as a member of the room: it is connected to, and again when that ends.

use super::roster::MemberKey;
use crate::media::Codec;
use crate::signaling::{Begins, Carried};
use crate::whip::{Failure, Refusal, Remote, Role, Visitor, Way};
use signaling_protocol::IceServer;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// The pause after an attempt that failed, at first and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A stream that lasted for so long was none that fails.
const PROOF: Duration = Duration::from_secs(10);

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) remote: String,
    pub(super) why: String,
    /// It is not tried again.
    pub(super) is_final: bool,
}

/// A server that is kept connected.
pub(super) struct Keeper {
    pub(super) remote: Remote,
    pub(super) way: Way,
    pub(super) visitors: mpsc::Sender<Visitor>,
    pub(super) servers: watch::Receiver<Vec<IceServer>>,
    pub(super) troubles: mpsc::Sender<Trouble>,
    /// How many tracks there are: who waits for something to publish waits for a change.
    pub(super) tracks: watch::Receiver<MemberKey>,
}

impl Keeper {
    /// Until it is dropped, or the server refuses for good.
    pub(super) async fn run(mut self) {
        let mut pause = PAUSE;
        loop {
            let began = Instant::now();
            self.tracks.borrow_and_update();
            let failure = match self.attempt().await {
                Attempt::NothingToSend => {
                    if self.tracks.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                Attempt::Ended => None,
                Attempt::Failed(failure) => Some(failure),
                Attempt::Closing => return,
            };
            if began.elapsed() >= PROOF {
                pause = PAUSE;
            }
            let mut wait = pause;
            if let Some(Failure { why, retry }) = failure {
                wait = wait.max(retry.unwrap_or_default());
                let trouble = Trouble {
                    remote: self.remote.shown(),
                    why,
                    is_final: retry.is_none(),
                };
                let _ = self.troubles.send(trouble).await;
                if retry.is_none() {
                    return;
                }
            }
            tokio::time::sleep(wait).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&self) -> Attempt {
        let servers = self.servers.borrow().clone();
        let Ok((signaling, joined, carried)) = Carried::open(Begins::Us, servers) else {
            return Attempt::Closing;
        };
        let (refusal, refused) = oneshot::channel();
        let visitor = Visitor {
            // Whoever is played from publishes here.
            role: match self.way {
                Way::Out => Role::Play,
                Way::In => Role::Publish,
            },
            name: None,
            sections: match self.way {
                Way::Out => vec![
                    vec![Codec::Opus],
                    vec![Codec::Vp8, Codec::H264, Codec::Vp9, Codec::Av1],
                ],
                Way::In => Vec::new(),
            },
            signaling,
            joined,
            is_local: self.remote.is_local(),
            refusal,
        };
        if self.visitors.send(visitor).await.is_err() {
            return Attempt::Closing;
        }
        match refused.await {
            Ok(Refusal::NothingToPlay) => return Attempt::NothingToSend,
            Ok(Refusal::Closing) => return Attempt::Closing,
            // It was taken.
            Err(_) => {}
        }
        match self.remote.carry(self.way, carried).await {
            Ok(()) => Attempt::Ended,
            Err(failure) => Attempt::Failed(failure),
        }
    }
}

enum Attempt {
    /// Nobody in the room publishes.
    NothingToSend,
    /// The session is over.
    Ended,
    Failed(Failure),
    /// The room is.
    Closing,
}
