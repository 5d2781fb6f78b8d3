//! How a transfer can fail, whose fault that is and whether trying again can help.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::manifest::ManifestError;
use crate::display::display_name;

/// A stable name for a failure: the codes of `cancel` messages, and `declined` and `closed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The receiving user said no.
    Declined,
    /// A user stopped the transfer.
    Cancelled,
    /// Not enough room on the receiver's disk.
    NoSpace,
    /// The receiver already has something of that name.
    Exists,
    /// The list of files breaks the rules of the protocol.
    BadManifest,
    /// Data did not match its digest, repeatedly.
    BadBlock,
    /// A file changed while it was sent.
    SourceChanged,
    /// A disk said no.
    Io,
    /// The connection ended.
    Closed,
    /// More than the receiver takes.
    TooLarge,
    /// A side broke the protocol.
    Protocol,
}

impl Code {
    const ALL: [Self; 11] = [
        Self::Declined,
        Self::Cancelled,
        Self::NoSpace,
        Self::Exists,
        Self::BadManifest,
        Self::BadBlock,
        Self::SourceChanged,
        Self::Io,
        Self::Closed,
        Self::TooLarge,
        Self::Protocol,
    ];

    /// The code as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Declined => "declined",
            Self::Cancelled => "cancelled",
            Self::NoSpace => "no-space",
            Self::Exists => "exists",
            Self::BadManifest => "bad-manifest",
            Self::BadBlock => "bad-block",
            Self::SourceChanged => "source-changed",
            Self::Io => "io",
            Self::Closed => "closed",
            Self::TooLarge => "too-large",
            Self::Protocol => "protocol",
        }
    }

    /// A code from a `cancel` message; one that a later version may have added is `protocol`.
    pub(super) fn from_wire(code: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == code)
            .unwrap_or(Self::Protocol)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This machine, its disk or its user.
    Us,
    /// The other side.
    Peer,
    /// The way between the two.
    Path,
}

/// Why a transfer failed. Nothing half-done is left in place.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The receiving user said no.
    #[error("declined: {}", display_name(reason, 200))]
    Declined {
        /// Whose user.
        by: Fault,
        /// In that user's words.
        reason: String,
    },
    /// Our user said no, or stopped it.
    #[error("cancelled")]
    Cancelled,
    /// The disk is too small for what was offered, or became full.
    #[error("not enough space in {}{}", path.display(), figures(*needed, *free))]
    NoSpace {
        /// The directory.
        path: PathBuf,
        /// Bytes needed; 0 if that is not known.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// Something of that name is there, and was not to be, or cannot be, replaced.
    #[error("{found} named {} is already there", display_name(path, 200))]
    Exists {
        /// The path below the target directory.
        path: String,
        /// What is there.
        found: &'static str,
    },
    /// The offer breaks the rules of the protocol.
    #[error("the other side's list of files is not acceptable: {0}")]
    BadManifest(#[from] ManifestError),
    /// A block or the whole did not match its digest.
    #[error("{what} did not match its digest")]
    BadBlock {
        /// What was damaged.
        what: String,
    },
    /// A file changed between the offer and its last byte.
    #[error("{} changed while it was being sent", path.display())]
    SourceChanged {
        /// The file.
        path: PathBuf,
    },
    /// A file or directory could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The connection ended before the transfer did.
    #[error("the connection ended before the transfer did")]
    Closed,
    /// A stream has more than we take.
    #[error("it is larger than {most} bytes")]
    TooLarge {
        /// Most bytes.
        most: u64,
    },
    /// The other side broke the protocol.
    #[error("the other side broke the protocol: {0}")]
    Protocol(String),
    /// The other side stopped.
    #[error("the other side stopped ({code}): {}", display_name(message, 200))]
    Peer {
        /// Why.
        code: Code,
        /// In its words.
        message: String,
    },
}

impl TransferError {
    /// The stable name of this failure.
    pub fn code(&self) -> Code {
        match self {
            Self::Declined { .. } => Code::Declined,
            Self::Cancelled => Code::Cancelled,
            Self::NoSpace { .. } => Code::NoSpace,
            Self::Exists { .. } => Code::Exists,
            Self::BadManifest(_) => Code::BadManifest,
            Self::BadBlock { .. } => Code::BadBlock,
            Self::SourceChanged { .. } => Code::SourceChanged,
            Self::Io { .. } => Code::Io,
            Self::Closed => Code::Closed,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Protocol(_) => Code::Protocol,
            Self::Peer { code, .. } => *code,
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Closed | Self::BadBlock { .. } => Fault::Path,
            Self::Peer {
                code: Code::BadBlock | Code::Closed,
                ..
            } => Fault::Path,
            // The other side complains about what we sent.
            Self::Peer {
                code: Code::Protocol | Code::BadManifest,
                ..
            } => Fault::Us,
            Self::Declined { by, .. } => *by,
            Self::BadManifest(_) | Self::Protocol(_) | Self::Peer { .. } => Fault::Peer,
            Self::Cancelled
            | Self::NoSpace { .. }
            | Self::Exists { .. }
            | Self::SourceChanged { .. }
            | Self::TooLarge { .. }
            | Self::Io { .. } => Fault::Us,
        }
    }

    /// Whether the same transfer can succeed when it is simply started again.
    pub fn retry(&self) -> bool {
        matches!(
            self.code(),
            Code::Closed | Code::BadBlock | Code::SourceChanged
        )
    }

    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol(what.into())
    }

    /// What to tell the other side, if it does not know yet. Paths of our disk are not its
    /// business.
    pub(super) fn farewell(&self) -> Option<(Code, String)> {
        let message = match self {
            Self::Declined { .. } | Self::Closed | Self::Peer { .. } => return None,
            Self::Io { source, .. } => source.kind().to_string(),
            Self::NoSpace { needed, free, .. } => {
                format!("not enough space{}", figures(*needed, *free))
            }
            Self::SourceChanged { path } => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                format!("{name} changed while it was being sent")
            }
            other => other.to_string(),
        };
        Some((self.code(), message))
    }
}

/// What is needed and what there is, if that is known.
fn figures(needed: u64, free: u64) -> String {
    match needed {
        0 => String::new(),
        needed => format!(": {needed} bytes are needed, {free} are free"),
    }
}
