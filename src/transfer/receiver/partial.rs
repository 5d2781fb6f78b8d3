//! Unfinished transfers below a directory: what is there, and taking it away.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::area::{Area, Opened};
use super::journal::{Replay, replay};
use super::resume::same_transfer;
use crate::transfer::label::TransferId;
use crate::transfer::manifest::Manifest;

/// What stays on the receiver's disk when a transfer fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Names it among the unfinished transfers of its directory.
    pub id: TransferId,
    /// The directory that was received into; it is below `.peerline/<id>` there.
    pub out: PathBuf,
    /// Bytes that need not be sent again.
    pub bytes: u64,
}

/// An unfinished transfer.
#[derive(Debug)]
pub struct Partial {
    /// Its name.
    pub id: TransferId,
    /// What can be done with it.
    pub state: PartialState,
}

/// What can be done with an unfinished transfer.
#[derive(Debug)]
pub enum PartialState {
    /// It can be continued by receiving the same again, or discarded.
    Resumable {
        /// What is being received: its title is the sender's, clean it before it is shown.
        manifest: Box<Manifest>,
        /// Bytes that the journal says are on disk.
        bytes: u64,
        /// When something was written down last.
        changed: Option<SystemTime>,
    },
    /// It is being received now.
    InUse,
    /// It can only be discarded, for this reason.
    Unusable(String),
}

impl Partial {
    /// Whether this is an earlier attempt at what is offered now.
    pub fn is_of(&self, offered: &Manifest) -> bool {
        match &self.state {
            PartialState::Resumable { manifest, .. } => same_transfer(manifest, offered),
            _ => false,
        }
    }
}

/// Lists what is unfinished below a directory; nothing if the directory is not there. What has nothing in it, because its
/// process was killed when it began or had ended, goes with the next transfer into the directory and is not listed.
///
/// This blocks on the disk.
pub fn partials(out: &Path) -> io::Result<Vec<Partial>> {
    let out = match Dir::open_ambient_dir(out, ambient_authority()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    let partials = Area::ids(&out)?.into_iter().map(|id| Partial {
        state: PartialState::from(look(&out, &id)),
        id,
    });
    let is_husk = |partial: &Partial| {
        matches!(partial.state, PartialState::Unusable(_)) && Area::is_husk(&out, &partial.id)
    };
    Ok(partials.filter(|partial| !is_husk(partial)).collect())
}

/// What is found under an identifier.
pub(super) enum Look {
    Readable {
        area: Area,
        replay: Replay,
        changed: Option<SystemTime>,
    },
    InUse,
    /// It cannot be taken up, for this reason.
    Unusable(String),
}

/// Opens an unfinished transfer and reads its journal.
pub(super) fn look(out: &Dir, id: &TransferId) -> Look {
    let area = match Area::open(out, id) {
        Ok(Opened::Free(area)) => area,
        Ok(Opened::InUse) => return Look::InUse,
        Err(error) => return Look::Unusable(error.to_string()),
    };
    let (bytes, changed) = match area.journal() {
        Ok(journal) => journal,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Look::Unusable("it has no journal".to_owned());
        }
        Err(error) => return Look::Unusable(error.to_string()),
    };
    match replay(&bytes) {
        Ok(replay) if replay.manifest.is_stream() => {
            Look::Unusable("what was piped does not come again".to_owned())
        }
        // Its process was killed when all of it was in place, or somebody took it away: there is nothing to go on with.
        Ok(replay) if !replay.kept.is_empty() && area.is_empty() => {
            Look::Unusable("nothing of it is here any more".to_owned())
        }
        Ok(replay) => Look::Readable {
            area,
            replay,
            changed,
        },
        Err(error) => Look::Unusable(error.to_string()),
    }
}

impl From<Look> for PartialState {
    fn from(look: Look) -> Self {
        match look {
            Look::Readable {
                replay, changed, ..
            } => Self::Resumable {
                bytes: replay.kept.bytes(&replay.manifest),
                manifest: Box::new(replay.manifest),
                changed,
            },
            Look::InUse => Self::InUse,
            Look::Unusable(reason) => Self::Unusable(reason),
        }
    }
}

/// Why an unfinished transfer was not discarded.
#[derive(Debug, thiserror::Error)]
pub enum DiscardError {
    /// There is none of this name.
    #[error("there is no unfinished transfer {0}")]
    Missing(TransferId),
    /// It is being received.
    #[error("transfer {0} is being received right now")]
    InUse(TransferId),
    /// The disk said no.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Takes an unfinished transfer away, and everything it has on disk.
///
/// This blocks on the disk.
pub fn discard(out: &Path, id: &TransferId) -> Result<(), DiscardError> {
    let missing = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => DiscardError::Missing(id.clone()),
        _ => error.into(),
    };
    let out = Dir::open_ambient_dir(out, ambient_authority()).map_err(missing)?;
    match Area::open(&out, id) {
        Ok(Opened::Free(mut area)) => area.discard(),
        Ok(Opened::InUse) => return Err(DiscardError::InUse(id.clone())),
        Err(_) if Area::remove_rest(&out, id)? => {}
        Err(_) => Area::remove_broken(&out, id).map_err(missing)?,
    }
    // Dropping it does its best; what is left must be said.
    if Area::is_there(&out, id)? {
        return Err(io::Error::other("not everything could be removed").into());
    }
    Ok(())
}
