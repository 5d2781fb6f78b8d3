//! What the disk thread reports, and what it leads to.

use std::time::{Duration, Instant};

use super::Receiver;
use super::state::Action;
use super::writer::Report;
use crate::transfer::error::TransferError;
use crate::transfer::event::{Event, Summary};
use crate::transfer::manifest::Manifest;
use crate::transfer::message::ControlMessage;

/// Progress is told at most this often.
const PROGRESS: Duration = Duration::from_millis(100);

pub(super) enum Next {
    Go(Action),
    Done(Summary),
}

pub(super) struct Progress {
    pub(super) bytes: u64,
    pub(super) files: u32,
    pub(super) told: Instant,
}

impl Receiver {
    pub(super) async fn report(
        &mut self,
        report: Report,
        manifest: &Manifest,
        progress: &mut Progress,
    ) -> Result<Next, TransferError> {
        match report {
            Report::Verified { id, bytes } => {
                progress.bytes += u64::from(bytes);
                if let Some(helpers) = &mut self.helpers {
                    helpers.got(id);
                }
                let most = self.to.limits().stream.filter(|_| manifest.is_stream());
                if let Some(most) = most.filter(|most| progress.bytes > *most) {
                    return Err(TransferError::TooLarge { most });
                }
                self.tell_progress(progress, manifest).await;
            }
            Report::File { file, digest } => {
                progress.files += 1;
                let entry = &manifest.entries()[file as usize];
                let path = entry.path.as_str().to_owned();
                let size = self.size.unwrap_or(entry.size());
                self.events.emit(Event::File { path, size, digest }).await;
                self.tell_progress(progress, manifest).await;
            }
            Report::Damaged(id) => {
                let path = manifest.entries()[id.file as usize]
                    .path
                    .as_str()
                    .to_owned();
                self.state.damaged(id, &path)?;
                self.tell(ControlMessage::Resend {
                    file: id.file,
                    block: id.block,
                })
                .await;
                self.events
                    .emit(Event::Resent {
                        path,
                        block: id.block,
                    })
                    .await;
            }
            Report::Complete(digest) => return Ok(Next::Go(self.state.verified(digest)?)),
            Report::Committed => {
                let summary = self.summary().expect("committed only when told to");
                self.receipt(&summary).await;
                return Ok(Next::Done(summary));
            }
            Report::Left(left) => self.leave(left),
            Report::Has(ranges) => self.has(&ranges),
            Report::Late(_) | Report::Wrong { .. } | Report::Served { .. } => self.helped(report),
            Report::Ready { .. } | Report::Have { .. } => {}
            Report::Failed(error) => return Err(error),
        }
        Ok(Next::Go(Action::Nothing))
    }

    pub(super) async fn tell_progress(&self, progress: &mut Progress, manifest: &Manifest) {
        let now = Instant::now();
        if now.duration_since(progress.told) >= PROGRESS {
            progress.told = now;
            let (bytes, files) = (progress.bytes, progress.files);
            self.events.progress(bytes, manifest.bytes(), files);
            self.tell(ControlMessage::Progress { bytes, files }).await;
        }
    }
}
