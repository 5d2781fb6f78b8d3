//! What a sender does about each message: pure.

use std::collections::HashMap;
use std::sync::Arc;

use super::flow::Flow;
use crate::transfer::digest::Digest;
use crate::transfer::error::{Code, Fault, TransferError};
use crate::transfer::kept::Run;
use crate::transfer::manifest::Manifest;
use crate::transfer::message::ControlMessage;
use crate::transfer::swarm::blocks::Span;

/// How often one block may be asked for again.
pub(in crate::transfer) const MAX_RESENDS: u8 = 3;

/// How many blocks may be asked for again in one transfer: what lies below DTLS does not damage
/// data, so this many mean a broken memory or disk. It also bounds what both sides remember.
pub(in crate::transfer) const MAX_RESENDS_IN_ALL: usize = 1024;

/// A block of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::transfer) struct BlockId {
    pub(in crate::transfer) file: u32,
    pub(in crate::transfer) block: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    /// The receiver has these blocks, which exist, of an earlier attempt.
    Have {
        blocks: Vec<Run>,
        last: bool,
    },
    /// The receiver accepted: read and send, on up to so many extra lanes.
    Start {
        lanes: u16,
        /// It can be told of zeros.
        zeros: bool,
        /// It exchanges blocks with others.
        shares: bool,
    },
    /// It has verified these blocks, which may not exist.
    Got(Vec<Span>),
    /// It reaches another receiver, or does not any more.
    Link {
        helper: u32,
        up: bool,
    },
    /// A record for another receiver.
    Relay {
        helper: u32,
        data: String,
    },
    /// So many bytes of a lane were taken.
    Credit {
        lane: u16,
        bytes: u64,
    },
    /// No more will be taken from a lane than this.
    LaneEnded {
        lane: u16,
        bytes: u64,
    },
    Resend(BlockId),
    Progress {
        bytes: u64,
        files: u32,
    },
    /// The receiver has everything.
    Done(Digest),
}

#[derive(Debug)]
enum Phase {
    Offered,
    /// The receiver is saying what it has; this block and those behind it can follow.
    Resuming {
        next: BlockId,
    },
    /// It has said everything.
    Resumed,
    Sending,
    Complete {
        digest: Digest,
        /// All there was, if that was not known before.
        size: Option<u64>,
    },
}

#[derive(Debug)]
pub(super) struct SenderState {
    manifest: Arc<Manifest>,
    phase: Phase,
    pub(super) flow: Flow,
    resends: HashMap<BlockId, u8>,
    /// Whether receivers may exchange blocks; then, whether this one does.
    shares: bool,
}

impl SenderState {
    /// `shares`: the receiver is offered to exchange blocks with others.
    pub(super) fn new(manifest: Arc<Manifest>, shares: bool) -> Self {
        Self {
            manifest,
            phase: Phase::Offered,
            flow: Flow::new(None),
            resends: HashMap::new(),
            shares,
        }
    }

    /// Everything was sent.
    pub(super) fn complete(&mut self, digest: Digest, size: Option<u64>) {
        self.phase = Phase::Complete { digest, size };
    }

    /// All bytes; `None` while a stream goes on.
    pub(super) fn total(&self) -> Option<u64> {
        match self.phase {
            Phase::Complete {
                size: Some(size), ..
            } => Some(size),
            _ if self.manifest.is_stream() => None,
            _ => Some(self.manifest.bytes()),
        }
    }

    pub(super) fn control(&mut self, message: ControlMessage) -> Result<Action, TransferError> {
        match (message, &self.phase) {
            (ControlMessage::Unknown, _) => Ok(Action::Nothing),
            (ControlMessage::Cancel { code, message }, _) => Err(TransferError::Peer {
                code: Code::from_wire(&code),
                message,
            }),
            (ControlMessage::Have { .. }, _) if self.manifest.is_stream() => {
                Err(TransferError::protocol("it has blocks of a stream"))
            }
            (ControlMessage::Have { blocks, last }, Phase::Offered) => {
                self.have(BlockId { file: 0, block: 0 }, blocks, last)
            }
            (ControlMessage::Have { blocks, last }, Phase::Resuming { next }) => {
                self.have(*next, blocks, last)
            }
            (ControlMessage::Decline { reason }, Phase::Offered) => Err(TransferError::Declined {
                by: Fault::Peer,
                reason,
            }),
            (
                ControlMessage::Accept {
                    window,
                    lanes,
                    zeros,
                    share,
                },
                Phase::Offered | Phase::Resumed,
            ) => {
                self.phase = Phase::Sending;
                self.shares &= share;
                let shares = self.shares;
                self.flow = Flow::new(window);
                // Without a window there is no account of what was taken either.
                let lanes = window.and(lanes).unwrap_or(0);
                Ok(Action::Start {
                    lanes,
                    zeros,
                    shares,
                })
            }
            (
                ControlMessage::Credit {
                    bytes,
                    lane,
                    lane_bytes,
                },
                Phase::Sending | Phase::Complete { .. },
            ) => {
                self.flow.credit(bytes)?;
                Ok(match (lane, lane_bytes) {
                    (Some(lane), Some(bytes)) => Action::Credit { lane, bytes },
                    _ => Action::Nothing,
                })
            }
            (
                ControlMessage::LaneEnded { lane, bytes },
                Phase::Sending | Phase::Complete { .. },
            ) => Ok(Action::LaneEnded { lane, bytes }),
            (ControlMessage::Got { blocks }, Phase::Sending | Phase::Complete { .. })
                if self.shares =>
            {
                Ok(Action::Got(blocks))
            }
            (ControlMessage::Linked { helper }, Phase::Sending | Phase::Complete { .. })
                if self.shares =>
            {
                Ok(Action::Link { helper, up: true })
            }
            (ControlMessage::Unlinked { helper }, Phase::Sending | Phase::Complete { .. })
                if self.shares =>
            {
                Ok(Action::Link { helper, up: false })
            }
            (ControlMessage::Relay { helper, data }, Phase::Sending | Phase::Complete { .. })
                if self.shares =>
            {
                Ok(Action::Relay { helper, data })
            }
            (ControlMessage::Resend { file, block }, Phase::Sending | Phase::Complete { .. }) => {
                self.resend(BlockId { file, block })
            }
            (
                ControlMessage::Progress { bytes, files },
                Phase::Sending | Phase::Complete { .. },
            ) => {
                if self.total().is_some_and(|total| bytes > total) || files > self.manifest.files()
                {
                    return Err(TransferError::protocol("it verified more than there is"));
                }
                Ok(Action::Progress { bytes, files })
            }
            (
                ControlMessage::Receipt {
                    digest,
                    bytes,
                    files,
                },
                Phase::Complete { digest: ours, .. },
            ) => {
                if (Some(bytes), files) != (self.total(), self.manifest.files()) {
                    return Err(TransferError::protocol("its receipt counts something else"));
                }
                if digest != *ours {
                    return Err(TransferError::BadBlock {
                        what: "the receipt".to_owned(),
                    });
                }
                Ok(Action::Done(digest))
            }
            _ => Err(TransferError::protocol("a message came out of turn")),
        }
    }

    /// Takes only blocks that exist, in order: so there are never more digests than blocks.
    fn have(
        &mut self,
        mut next: BlockId,
        blocks: Vec<Run>,
        last: bool,
    ) -> Result<Action, TransferError> {
        for run in &blocks {
            let count = run.digests.0.len() as u64;
            let end = u64::from(run.from) + count;
            let file = self.manifest.file(run.file);
            let exist = file.is_some_and(|(_, size)| end <= self.manifest.blocks(size).into());
            let from = BlockId {
                file: run.file,
                block: run.from,
            };
            if !exist || from < next {
                return Err(TransferError::protocol("it has blocks that do not exist"));
            }
            next = BlockId {
                file: run.file,
                block: u32::try_from(end).expect("a file has no more blocks"),
            };
        }
        self.phase = if last {
            Phase::Resumed
        } else {
            Phase::Resuming { next }
        };
        Ok(Action::Have { blocks, last })
    }

    fn resend(&mut self, id: BlockId) -> Result<Action, TransferError> {
        let file = self.manifest.file(id.file);
        let Some((entry, _)) =
            file.filter(|(_, size)| self.manifest.block(*size, id.block).is_some())
        else {
            return Err(TransferError::protocol(
                "it asked for a block that does not exist",
            ));
        };
        if self.resends.len() == MAX_RESENDS_IN_ALL {
            return Err(TransferError::BadBlock {
                what: "too much of the data".to_owned(),
            });
        }
        let count = self.resends.entry(id).or_default();
        *count += 1;
        if *count > MAX_RESENDS {
            let what = format!("block {} of {}", id.block, entry.path);
            return Err(TransferError::BadBlock { what });
        }
        Ok(Action::Resend(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::manifest::{BlockSize, Entry, Kind};
    use crate::transfer::safe_path::SafePath;

    fn state() -> SenderState {
        let entry = |path, kind| Entry {
            path: SafePath::parse(path).unwrap(),
            kind,
            mtime: None,
            mode: None,
        };
        let entries = vec![
            entry("d", Kind::Directory),
            entry("d/f", Kind::File { size: 3 << 20 }),
        ];
        let manifest = Manifest::new("d", BlockSize::for_largest(0), entries).unwrap();
        SenderState::new(Arc::new(manifest), false)
    }

    fn accept(state: &mut SenderState) {
        assert_eq!(
            state
                .control(ControlMessage::Accept {
                    window: None,
                    lanes: None,
                    zeros: false,
                    share: false,
                })
                .unwrap(),
            Action::Start {
                lanes: 0,
                zeros: false,
                shares: false,
            }
        );
    }

    fn code(state: &mut SenderState, message: ControlMessage) -> Code {
        state.control(message).unwrap_err().code()
    }

    #[test]
    fn a_transfer_goes_through() {
        let mut state = state();
        let digest = Digest::of(b"x");
        accept(&mut state);
        let progress = ControlMessage::Progress { bytes: 1, files: 0 };
        assert_eq!(
            state.control(progress).unwrap(),
            Action::Progress { bytes: 1, files: 0 }
        );
        state.complete(digest, None);
        let receipt = ControlMessage::Receipt {
            digest,
            bytes: 3 << 20,
            files: 1,
        };
        assert_eq!(state.control(receipt).unwrap(), Action::Done(digest));
    }

    #[test]
    fn out_of_turn() {
        let digest = Digest::of(b"x");
        let receipt = ControlMessage::Receipt {
            digest,
            bytes: 3 << 20,
            files: 1,
        };
        let progress = |bytes, files| ControlMessage::Progress { bytes, files };
        let resend = |file, block| ControlMessage::Resend { file, block };
        for message in [receipt.clone(), progress(0, 0), resend(1, 0)] {
            assert_eq!(code(&mut state(), message), Code::Protocol);
        }
        for message in [
            ControlMessage::Accept {
                window: None,
                lanes: None,
                zeros: false,
                share: false,
            },
            ControlMessage::Decline {
                reason: String::new(),
            },
            ControlMessage::Complete { digest, size: None },
            receipt,
            progress((3 << 20) + 1, 0),
            progress(0, 2),
            resend(0, 0),
            resend(2, 0),
            resend(1, 3),
            resend(u32::MAX, u32::MAX),
        ] {
            let mut state = state();
            accept(&mut state);
            assert_eq!(
                code(&mut state, message.clone()),
                Code::Protocol,
                "{message:?}"
            );
        }
        assert_eq!(
            state().control(ControlMessage::Unknown).unwrap(),
            Action::Nothing
        );
    }

    #[test]
    fn a_false_receipt_is_no_success() {
        let digest = Digest::of(b"x");
        let receipt = |digest, bytes, files| ControlMessage::Receipt {
            digest,
            bytes,
            files,
        };
        for (message, expected) in [
            (receipt(Digest::of(b"y"), 3 << 20, 1), Code::BadBlock),
            (receipt(digest, 0, 1), Code::Protocol),
            (receipt(digest, 3 << 20, 0), Code::Protocol),
        ] {
            let mut state = state();
            accept(&mut state);
            state.complete(digest, None);
            assert_eq!(code(&mut state, message), expected);
        }
    }

    #[test]
    fn the_other_side_stops() {
        let decline = ControlMessage::Decline {
            reason: "no".to_owned(),
        };
        assert_eq!(code(&mut state(), decline), Code::Declined);
        for (wire, expected) in [
            ("no-space", Code::NoSpace),
            ("exists", Code::Exists),
            ("from-later", Code::Protocol),
        ] {
            let cancel = ControlMessage::Cancel {
                code: wire.to_owned(),
                message: String::new(),
            };
            assert_eq!(code(&mut state(), cancel), expected);
        }
    }

    #[test]
    fn resends_are_limited() {
        let mut state = state();
        accept(&mut state);
        for _ in 0..MAX_RESENDS {
            let action = state
                .control(ControlMessage::Resend { file: 1, block: 2 })
                .unwrap();
            assert_eq!(action, Action::Resend(BlockId { file: 1, block: 2 }));
        }
        let again = ControlMessage::Resend { file: 1, block: 2 };
        assert_eq!(code(&mut state, again), Code::BadBlock);
    }
}
