//! A receiver among others: what they bring, and what they want.

use std::time::{Duration, Instant};

use super::writer::{Job, Report};
use super::{Destination, Receiver};
use crate::transfer::error::TransferError;
use crate::transfer::kept::Range;
use crate::transfer::manifest::Manifest;
use crate::transfer::sender::BlockId;
use crate::transfer::swarm::blocks::BlockMap;
use crate::transfer::swarm::helpers::{Happening, Helpers};

/// Who has everything goes on giving what others have asked for by then, for so long.
const LINGER: Duration = Duration::from_secs(1);

/// The next thing that the others bring about; never, if there are none.
pub(super) async fn next_of(helpers: Option<&mut Helpers>) -> Happening {
    match helpers {
        Some(helpers) => helpers.next().await,
        None => std::future::pending().await,
    }
}

impl Receiver {
    /// Gets ready for others, if the sender has them, and they can be met.
    pub(super) fn look_for_helpers(&mut self, manifest: &Manifest) {
        let map = match (&self.to, self.state.can_share()) {
            (Destination::Directory(_), true) => BlockMap::new(manifest),
            _ => None,
        };
        match map.zip(self.meet.take()) {
            Some((map, meet)) => self.helpers = Some(Helpers::new(map, meet)),
            None => self.state.stay_alone(),
        }
    }

    pub(super) fn with_helpers(
        &mut self,
        act: impl FnOnce(&mut Helpers) -> Result<(), TransferError>,
    ) -> Result<(), TransferError> {
        self.helpers.as_mut().map_or(Ok(()), act)
    }

    pub(super) async fn happened(&mut self, happening: Happening) {
        self.orders.push_back(match happening {
            Happening::Tell(message) => return self.tell(message).await,
            Happening::Block {
                helper,
                id,
                digest,
                data,
            } => {
                self.throttle.spend(Instant::now(), data.len());
                Job::Helped {
                    helper,
                    id,
                    digest,
                    data,
                }
            }
            Happening::Serve { helper, id } => Job::Serve { helper, id },
        });
    }

    /// Tells the sender what is verified.
    pub(super) async fn tell_got(&mut self) {
        while let Some(news) = self.helpers.as_mut().and_then(Helpers::news) {
            self.tell(news).await;
        }
    }

    /// These blocks were here before; the sender knows it.
    pub(super) fn has(&mut self, ranges: &[Range]) {
        let Some(helpers) = &mut self.helpers else {
            return;
        };
        for range in ranges {
            for block in range.from..range.from.saturating_add(range.count) {
                let file = range.file;
                helpers.kept(BlockId { file, block });
            }
        }
    }

    /// What became of what others gave or wanted.
    pub(super) fn helped(&mut self, report: Report) {
        let Some(helpers) = &mut self.helpers else {
            return;
        };
        match report {
            Report::Late(id) => helpers.settled(id),
            Report::Wrong { helper, id } => helpers.lied(helper, id),
            Report::Served { helper, id, data } => helpers.served(helper, id, data.as_deref()),
            _ => {}
        }
    }

    /// Everything is here: it is put in place once others have what they asked for.
    pub(super) fn commit_soon(&mut self, now: Instant) {
        self.commit_by = Some(now + LINGER);
    }

    /// Puts it in place if it is time.
    pub(super) fn commit_if_due(&mut self, now: Instant) {
        let wanted = self.helpers.as_ref().is_some_and(Helpers::is_wanted);
        if self.commit_by.is_some_and(|by| now >= by || !wanted) {
            self.commit_by = None;
            // Nobody is needed any more, and the disk will be busy.
            self.helpers = None;
            self.orders.push_back(Job::Commit);
        }
    }
}
