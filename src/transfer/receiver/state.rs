//! What a receiver does about each message: pure.

use std::collections::HashMap;
use std::sync::Arc;

use crate::transfer::digest::Digest;
use crate::transfer::error::{Code, TransferError};
use crate::transfer::kept::Range;
use crate::transfer::manifest::Manifest;
use crate::transfer::manifest_builder::ManifestBuilder;
use crate::transfer::message::{ControlMessage, KnownRun, Side};
use crate::transfer::sender::{BlockId, MAX_RESENDS, MAX_RESENDS_IN_ALL};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    /// The whole manifest is here and valid: ask the user.
    Decide(Arc<Manifest>),
    /// The sender has something else in the place of these blocks.
    Changed(Vec<Range>),
    /// The sender has compared everything.
    Checked,
    /// The sender can send no more on a lane.
    LaneLost(u16),
    /// These blocks, which exist, are zeros.
    Zeros(Vec<Range>),
    /// The stream had so many bytes.
    Ended(u64),
    /// What blocks are that others may have.
    Digests(Vec<KnownRun>),
    /// Another receiver of the same.
    Introduced {
        helper: u32,
        code: String,
        side: Side,
    },
    /// A record of another receiver.
    Relayed {
        helper: u32,
        data: String,
    },
    /// Everything is here and right: put it in place.
    Commit(Digest),
}

#[derive(Debug)]
enum Phase {
    Waiting,
    Listing(ManifestBuilder),
    Deciding,
    /// The sender was told what is here; it compares.
    Resuming,
    /// What the sender says it sent, and what has been verified, each when it is known.
    Receiving {
        announced: Option<Digest>,
        verified: Option<Digest>,
    },
    Committing,
}

#[derive(Debug)]
pub(super) struct ReceiverState {
    phase: Phase,
    /// Once it is whole.
    manifest: Option<Arc<Manifest>>,
    /// The sender understands `have`.
    can_resume: bool,
    /// The sender has other receivers, who may help; then, whether they do.
    shares: bool,
    resends: HashMap<BlockId, u8>,
}

impl ReceiverState {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Waiting,
            manifest: None,
            can_resume: false,
            shares: false,
            resends: HashMap::new(),
        }
    }

    pub(super) fn control(&mut self, message: ControlMessage) -> Result<Action, TransferError> {
        match (message, &mut self.phase) {
            (ControlMessage::Unknown, _) => Ok(Action::Nothing),
            (ControlMessage::Cancel { code, message }, _) => Err(TransferError::Peer {
                code: Code::from_wire(&code),
                message,
            }),
            (ControlMessage::Offer(offer), Phase::Waiting) => {
                if offer.version != 1 {
                    let version = offer.version;
                    return Err(TransferError::protocol(format!(
                        "version {version} is unknown"
                    )));
                }
                self.can_resume = offer.resume;
                self.shares = offer.share;
                self.phase = Phase::Listing(ManifestBuilder::new(offer)?);
                Ok(Action::Nothing)
            }
            (ControlMessage::Entries { from, entries }, Phase::Listing(builder)) => {
                builder.push(from, entries)?;
                self.listed()
            }
            (ControlMessage::Changed { blocks }, Phase::Resuming) => Ok(Action::Changed(blocks)),
            (ControlMessage::Checked, Phase::Resuming) => {
                self.phase = Phase::Deciding;
                Ok(Action::Checked)
            }
            (ControlMessage::LaneLost { lane }, Phase::Receiving { .. }) => {
                Ok(Action::LaneLost(lane))
            }
            // What it carried is here all the same.
            (ControlMessage::LaneLost { .. }, Phase::Committing) => Ok(Action::Nothing),
            (ControlMessage::Complete { digest, size }, Phase::Receiving { announced, .. })
                if announced.is_none() =>
            {
                *announced = Some(digest);
                match (size, self.is_stream()) {
                    (Some(size), true) => Ok(Action::Ended(size)),
                    (None, true) => Err(TransferError::protocol("a stream without an end")),
                    // Nothing but a stream needs one.
                    (_, false) => self.compare(),
                }
            }
            (ControlMessage::Zeros { blocks }, Phase::Receiving { .. }) => self.zeros(blocks),
            (ControlMessage::Digests { blocks }, Phase::Receiving { .. }) if self.shares => {
                Ok(Action::Digests(blocks))
            }
            (ControlMessage::Introduce { helper, code, side }, Phase::Receiving { .. })
                if self.shares =>
            {
                Ok(Action::Introduced { helper, code, side })
            }
            (ControlMessage::Relay { helper, data }, Phase::Receiving { .. }) if self.shares => {
                Ok(Action::Relayed { helper, data })
            }
            // Nobody is needed any more.
            (
                ControlMessage::Digests { .. }
                | ControlMessage::Introduce { .. }
                | ControlMessage::Relay { .. },
                Phase::Committing,
            ) if self.shares => Ok(Action::Nothing),
            _ => Err(TransferError::protocol("a message came out of turn")),
        }
    }

    fn is_stream(&self) -> bool {
        let manifest = self.manifest.as_ref();
        manifest.is_some_and(|manifest| manifest.is_stream())
    }

    fn zeros(&self, blocks: Vec<Range>) -> Result<Action, TransferError> {
        let exists = |range: &Range| {
            let manifest = self.manifest.as_ref()?;
            let (_, size) = manifest.file(range.file)?;
            let end = range.from.checked_add(range.count)?;
            (range.count > 0 && end <= manifest.blocks(size)).then_some(())
        };
        if self.is_stream() || blocks.iter().any(|range| exists(range).is_none()) {
            return Err(TransferError::protocol("zeros that do not exist"));
        }
        Ok(Action::Zeros(blocks))
    }

    /// Whether the sender can be told what is here.
    pub(super) fn can_resume(&self) -> bool {
        self.can_resume
    }

    /// Whether the sender has other receivers, who may help.
    pub(super) fn can_share(&self) -> bool {
        self.shares
    }

    /// They will not: whatever the sender says of them is out of turn.
    pub(super) fn stay_alone(&mut self) {
        self.shares = false;
    }

    /// The sender is told the last of what is here.
    pub(super) fn told_all(&mut self) {
        self.phase = Phase::Resuming;
    }

    /// The user said yes, and both sides know what is missing.
    pub(super) fn accept(&mut self) {
        self.phase = Phase::Receiving {
            announced: None,
            verified: None,
        };
    }

    /// A block did not match its digest: whether to ask for it again.
    pub(super) fn damaged(&mut self, id: BlockId, path: &str) -> Result<(), TransferError> {
        if self.resends.len() == MAX_RESENDS_IN_ALL {
            return Err(TransferError::BadBlock {
                what: "too much of the data".to_owned(),
            });
        }
        let count = self.resends.entry(id).or_default();
        *count += 1;
        if *count > MAX_RESENDS {
            let what = format!("block {} of {path}", id.block);
            return Err(TransferError::BadBlock { what });
        }
        Ok(())
    }

    /// Every block of every file is verified.
    pub(super) fn verified(&mut self, digest: Digest) -> Result<Action, TransferError> {
        if let Phase::Receiving { verified, .. } = &mut self.phase {
            *verified = Some(digest);
        }
        self.compare()
    }

    /// Whether the connection may end without harm.
    pub(super) fn has_everything(&self) -> bool {
        matches!(self.phase, Phase::Committing)
    }

    fn listed(&mut self) -> Result<Action, TransferError> {
        match std::mem::replace(&mut self.phase, Phase::Deciding) {
            Phase::Listing(builder) if builder.is_complete() => {
                let manifest = Arc::new(builder.finish()?);
                self.manifest = Some(manifest.clone());
                Ok(Action::Decide(manifest))
            }
            listing => {
                self.phase = listing;
                Ok(Action::Nothing)
            }
        }
    }

    fn compare(&mut self) -> Result<Action, TransferError> {
        match self.phase {
            Phase::Receiving {
                announced: Some(announced),
                verified: Some(verified),
            } => {
                if announced != verified {
                    return Err(TransferError::BadBlock {
                        what: "the transfer".to_owned(),
                    });
                }
                self.phase = Phase::Committing;
                Ok(Action::Commit(verified))
            }
            _ => Ok(Action::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::message::Offer;

    fn message(text: &str) -> ControlMessage {
        ControlMessage::parse(text).unwrap()
    }

    fn offer(version: u32) -> ControlMessage {
        ControlMessage::Offer(Offer {
            version,
            title: "t".to_owned(),
            files: 1,
            directories: 0,
            bytes: 1,
            data: None,
            entries: 1,
            block_size: 1 << 20,
            resume: false,
            share: false,
            stream: false,
        })
    }

    const ENTRIES: &str =
        r#"{"type":"entries","from":0,"entries":[{"path":"a","kind":"file","size":1}]}"#;

    fn receiving() -> ReceiverState {
        let mut state = ReceiverState::new();
        assert_eq!(state.control(offer(1)).unwrap(), Action::Nothing);
        let decide = state.control(message(ENTRIES)).unwrap();
        assert!(matches!(decide, Action::Decide(manifest) if manifest.bytes() == 1));
        state.accept();
        state
    }

    fn complete(digest: Digest) -> ControlMessage {
        ControlMessage::Complete { digest, size: None }
    }

    #[test]
    fn complete_and_blocks_come_in_any_order() {
        let digest = Digest::of(b"x");
        let mut state = receiving();
        assert_eq!(state.control(complete(digest)).unwrap(), Action::Nothing);
        assert_eq!(state.verified(digest).unwrap(), Action::Commit(digest));

        let mut state = receiving();
        assert_eq!(state.verified(digest).unwrap(), Action::Nothing);
        assert_eq!(
            state.control(complete(digest)).unwrap(),
            Action::Commit(digest)
        );
        assert!(state.has_everything());
    }

    #[test]
    fn another_digest_is_never_committed() {
        let mut state = receiving();
        state.verified(Digest::of(b"x")).unwrap();
        let error = state.control(complete(Digest::of(b"y"))).unwrap_err();
        assert_eq!(error.code(), Code::BadBlock);
    }

    #[test]
    fn out_of_turn() {
        let digest = Digest::of(b"x");
        let mut fresh = ReceiverState::new();
        assert_eq!(
            fresh.control(ControlMessage::Unknown).unwrap(),
            Action::Nothing
        );
        for early in [
            message(ENTRIES),
            complete(digest),
            ControlMessage::Accept {
                window: None,
                lanes: None,
                zeros: false,
                share: false,
            },
            offer(2),
        ] {
            let error = ReceiverState::new().control(early.clone()).unwrap_err();
            assert_eq!(error.code(), Code::Protocol, "{early:?}");
        }
        for late in [
            offer(1),
            message(ENTRIES),
            ControlMessage::Accept {
                window: None,
                lanes: None,
                zeros: false,
                share: false,
            },
        ] {
            let error = receiving().control(late.clone()).unwrap_err();
            assert_eq!(error.code(), Code::Protocol, "{late:?}");
        }
        let mut state = receiving();
        state.control(complete(digest)).unwrap();
        assert_eq!(
            state.control(complete(digest)).unwrap_err().code(),
            Code::Protocol
        );
    }

    #[test]
    fn damage_is_forgiven_three_times() {
        let mut state = receiving();
        let id = BlockId { file: 0, block: 0 };
        for _ in 0..3 {
            state.damaged(id, "a").unwrap();
        }
        assert_eq!(state.damaged(id, "a").unwrap_err().code(), Code::BadBlock);

        let mut state = receiving();
        for block in 0..MAX_RESENDS_IN_ALL as u32 {
            state.damaged(BlockId { file: 0, block }, "a").unwrap();
        }
        let one_more = BlockId { file: 1, block: 0 };
        assert_eq!(
            state.damaged(one_more, "a").unwrap_err().code(),
            Code::BadBlock
        );
    }
}
