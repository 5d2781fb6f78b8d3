//! What can be wrong with a source or a player.

use super::codec::{Codec, Kind};
use std::io;

/// A source, a player or a recording does not work. All of it is on this machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// A program that does the work is not installed.
    #[error("{program} is not installed")]
    NoProgram {
        /// What is needed.
        program: &'static str,
        /// The Debian package that has it; most systems call it the same.
        package: &'static str,
    },
    /// There is no such device.
    #[error("there is no {what} ({looked_for} was looked for)")]
    NoDevice {
        /// What was wanted.
        what: &'static str,
        /// Where it should have been.
        looked_for: String,
    },
    /// The source has something else.
    #[error("'{name}' has no {wanted}")]
    Lacks {
        /// The source.
        name: String,
        /// What was wanted of it.
        wanted: Kind,
    },
    /// A file or pipe cannot be read.
    #[error("cannot read '{name}': {source}")]
    Read {
        /// The source.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A file or pipe cannot be written.
    #[error("cannot write '{name}': {source}")]
    Write {
        /// The target.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The container does not allow the codec.
    #[error("'{name}' cannot hold {}", .codec.name())]
    Container {
        /// The target.
        name: String,
        /// What it should hold.
        codec: Codec,
    },
    /// A program failed.
    #[error("{program} failed: {said}")]
    Program {
        /// Which.
        program: &'static str,
        /// Its last words.
        said: String,
    },
}
