//! Between the offer and the accept: what an earlier attempt left here, and what of it the sender
//! still has.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::partial::Leftover;
use super::pipe::Out;
use super::resume::{Resuming, Search, search};
use super::staging::{Left, Staging};
use super::state::Action;
use super::target::{self, Existing};
use super::writer::{Begin, Disk, Job, Report};
use super::{Destination, Receiver, blocking};
use crate::transfer::error::TransferError;
use crate::transfer::event::Event;
use crate::transfer::manifest::Manifest;
use crate::transfer::message::ControlMessage;
use crate::transfer::wire::thread_failed;

/// Where the transfer will go.
pub(super) enum Opened {
    /// The target directory, and what was found in it.
    Directory {
        path: PathBuf,
        existing: Existing,
        out: cap_std::fs::Dir,
        search: Search,
    },
    Pipe(Out),
}

/// Starts the disk thread where the earlier attempt ended, or from nothing.
pub(super) fn start_disk(manifest: &Arc<Manifest>, opened: Opened, shares: bool) -> Disk {
    let (path, existing, out, search) = match opened {
        Opened::Directory {
            path,
            existing,
            out,
            search,
        } => (path, existing, out, search),
        Opened::Pipe(out) => return Disk::pipe(manifest.clone(), out),
    };
    let accepted = manifest.clone();
    Disk::start(manifest.clone(), existing, shares, move || {
        for mut empty in search.empty {
            empty.discard();
        }
        match search.found {
            Some(found) => Ok(Begin::Unfinished(Resuming::new(
                found,
                &path,
                search.changed,
                accepted,
            ))),
            None => Staging::create(&path, &out, accepted)
                .map(|staging| Begin::Fresh(Box::new(staging), search.changed)),
        }
    })
}

impl Receiver {
    /// Checks that the transfer can go where it is to go, and looks for an earlier attempt.
    pub(super) async fn open(&mut self, manifest: &Arc<Manifest>) -> Result<Opened, TransferError> {
        let options = match &mut self.to {
            Destination::Directory(options) => options,
            Destination::Pipe(out, _) => {
                let out = out.get_mut().unwrap_or_else(PoisonError::into_inner).take();
                return match (out, manifest.files(), manifest.directories()) {
                    (Some(out), 1, 0) => Ok(Opened::Pipe(out)),
                    _ => Err(self.decline("they take a single file".to_owned()).await),
                };
            }
        };
        let existing = if options.overwrite {
            Existing::Replace
        } else {
            Existing::Keep
        };
        let out = options.out.clone();
        let (path, offered) = (out.clone(), manifest.clone());
        let can_resume = self.state.can_resume();
        let opened = blocking(move || {
            target::open(&path, &offered, existing, |out, manifest| {
                if can_resume {
                    search(out, manifest)
                } else {
                    Search::default()
                }
            })
        });
        let (dir, search) = opened.await?;
        if let Some(found) = &search.found {
            self.leave(Left {
                id: found.area.id().clone(),
                bytes: found.kept.bytes(manifest),
            });
        }
        Ok(Opened::Directory {
            path: out,
            existing,
            out: dir,
            search,
        })
    }

    /// Finds out with the sender what need not be sent again, until blocks can come.
    pub(super) async fn prepare(
        &mut self,
        manifest: &Manifest,
        disk: &mut Disk,
    ) -> Result<(), TransferError> {
        loop {
            tokio::select! {
                biased;
                action = self.before_blocks() => match action? {
                    Action::Changed(ranges) => give(disk, Job::Changed(ranges)).await,
                    Action::Checked => give(disk, Job::Checked).await,
                    _ => {}
                },
                batch = disk.reports.recv() => {
                    let Some(batch) = batch else {
                        return Err(thread_failed(&mut disk.thread).await);
                    };
                    // What follows `Ready` in the same batch: nothing, as no job was given yet.
                    for report in batch {
                        match report {
                            Report::Have { blocks, last } => {
                                if last {
                                    self.state.told_all();
                                }
                                self.tell(ControlMessage::Have { blocks, last }).await;
                            }
                            Report::Ready { resumed, changed } => {
                                return self.ready(manifest, resumed, changed).await;
                            }
                            Report::Left(left) => self.leave(left),
                            Report::Failed(error) => return Err(error),
                            _ => {}
                        }
                    }
                }
            }
        }
    }

    async fn ready(
        &mut self,
        manifest: &Manifest,
        resumed: u64,
        changed: Vec<String>,
    ) -> Result<(), TransferError> {
        self.resumed = resumed;
        for path in changed {
            self.events.emit(Event::Changed { path }).await;
        }
        if resumed > 0 {
            let total = manifest.bytes();
            self.events
                .emit(Event::Resuming {
                    bytes: resumed,
                    total,
                })
                .await;
        }
        Ok(())
    }

    /// Remembers what stays here if this fails.
    pub(super) fn leave(&mut self, Left { id, bytes }: Left) {
        self.left = match &self.to {
            Destination::Directory(options) if bytes > 0 => Some(Leftover {
                id,
                out: options.out.clone(),
                bytes,
            }),
            _ => None,
        };
    }
}

/// A thread that has ended says why itself.
async fn give(disk: &Disk, job: Job) {
    let _ = disk.jobs.send(job).await;
}
