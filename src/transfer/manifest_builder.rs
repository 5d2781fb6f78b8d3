//! A manifest as it arrives, part by part.

use super::manifest::{BlockSize, Entry, Kind, MAX_BYTES, MAX_ENTRIES, MAX_PATH_BYTES};
use super::manifest::{Manifest, ManifestError};
use super::message::{Offer, WireEntry, WireKind};
use super::safe_path::SafePath;

/// Collects a manifest on the receiving side; holds nothing beyond the limits whatever is
/// announced.
#[derive(Debug)]
pub(super) struct ManifestBuilder {
    offer: Offer,
    block_size: BlockSize,
    entries: Vec<Entry>,
    path_bytes: usize,
}

impl ManifestBuilder {
    pub(super) fn new(offer: Offer) -> Result<Self, ManifestError> {
        let block_size =
            BlockSize::new(offer.block_size).ok_or(ManifestError::BlockSize(offer.block_size))?;
        if offer.entries == 0 {
            return Err(ManifestError::Empty);
        }
        if offer.entries as usize > MAX_ENTRIES {
            return Err(ManifestError::TooMany);
        }
        if offer.bytes > MAX_BYTES {
            return Err(ManifestError::TooLarge);
        }
        if offer.stream && (offer.files, offer.directories, offer.bytes) != (1, 0, 0) {
            return Err(ManifestError::Counts);
        }
        if offer.files.checked_add(offer.directories) != Some(offer.entries) {
            return Err(ManifestError::Counts);
        }
        Ok(Self {
            offer,
            block_size,
            entries: Vec::new(),
            path_bytes: 0,
        })
    }

    /// Adds the next part.
    pub(super) fn push(&mut self, from: u32, part: Vec<WireEntry>) -> Result<(), ManifestError> {
        let announced = self.offer.entries as usize - self.entries.len();
        if from as usize != self.entries.len() || part.is_empty() || part.len() > announced {
            return Err(ManifestError::Counts);
        }
        for wire in part {
            let path = SafePath::parse(&wire.path).map_err(|reason| ManifestError::Path {
                path: wire.path.clone(),
                reason,
            })?;
            self.path_bytes += wire.path.len();
            if self.path_bytes > MAX_PATH_BYTES {
                return Err(ManifestError::TooLong);
            }
            let kind = match (wire.kind, wire.size) {
                (WireKind::Directory, _) => Kind::Directory,
                (WireKind::File, Some(_)) if self.offer.stream => {
                    return Err(ManifestError::Counts);
                }
                (WireKind::File, Some(size)) => Kind::File { size },
                (WireKind::File, None) if self.offer.stream => Kind::File { size: 0 },
                (WireKind::File, None) => return Err(ManifestError::NoSize { path: wire.path }),
            };
            // The low 9 bits: never set-user-id, whatever was sent.
            let mode = wire.mode.map(|mode| (mode & 0o777) as u16);
            self.entries.push(Entry {
                path,
                kind,
                mtime: wire.mtime,
                mode,
            });
        }
        Ok(())
    }

    pub(super) fn is_complete(&self) -> bool {
        self.entries.len() == self.offer.entries as usize
    }

    pub(super) fn finish(self) -> Result<Manifest, ManifestError> {
        let make = match self.offer.stream {
            true => Manifest::stream,
            false => Manifest::new,
        };
        let mut manifest = make(&self.offer.title, self.block_size, self.entries)?;
        let counts = (manifest.files(), manifest.directories(), manifest.bytes());
        if counts != (self.offer.files, self.offer.directories, self.offer.bytes) {
            return Err(ManifestError::Counts);
        }
        if let Some(data) = self.offer.data {
            manifest.set_data(data);
        }
        Ok(manifest)
    }
}
