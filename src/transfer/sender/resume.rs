//! Between the offer and the accept: what the receiver has of an earlier attempt.

use super::Sender;
use super::checker::{Checker, Compared};
use super::reader::Accepted;
use super::state::Action;
use crate::transfer::error::TransferError;
use crate::transfer::event::Event;
use crate::transfer::kept::{Kept, batches};
use crate::transfer::message::ControlMessage;

impl Sender {
    /// Waits for the accept, and compares before what the receiver says that it has.
    pub(super) async fn accepted(&mut self) -> Result<Accepted, TransferError> {
        let mut checker: Option<Checker> = None;
        let mut kept = Kept::default();
        loop {
            match self.control().await? {
                Action::Start {
                    lanes,
                    zeros,
                    shares,
                } => {
                    return Ok(Accepted {
                        kept,
                        zeros,
                        lanes,
                        shares,
                    });
                }
                Action::Have { blocks, last } => {
                    let running = checker
                        .take()
                        .unwrap_or_else(|| Checker::start(self.source.clone()));
                    let goes_on = running.add(blocks).await;
                    if last || !goes_on {
                        kept = self.compared(running).await?;
                    } else {
                        checker = Some(running);
                    }
                }
                _ => {}
            }
        }
    }

    async fn compared(&mut self, checker: Checker) -> Result<Kept, TransferError> {
        let finishing = checker.finish();
        tokio::pin!(finishing);
        let compared = loop {
            tokio::select! {
                biased;
                compared = &mut finishing => break compared,
                // Only its end can come now.
                action = self.control() => drop(action?),
            }
        };
        let Compared { kept, changed } = compared?;
        for ranges in batches(&changed) {
            let blocks = ranges.to_vec();
            self.tell(ControlMessage::Changed { blocks }.to_text())
                .await?;
        }
        self.tell(ControlMessage::Checked.to_text()).await?;
        let manifest = self.source.manifest().clone();
        let mut files: Vec<u32> = changed.iter().map(|range| range.file).collect();
        files.dedup();
        for file in files {
            let path = manifest.entries()[file as usize].path.as_str().to_owned();
            self.events.emit(Event::Changed { path }).await;
        }
        let (bytes, total) = (kept.bytes(&manifest), manifest.bytes());
        if bytes > 0 {
            self.events.emit(Event::Resuming { bytes, total }).await;
        }
        Ok(kept)
    }
}
