//! What a transfer consists of: the entries, and the rules for all of them together.

use std::collections::HashMap;
use std::collections::hash_map;

use sha2::{Digest as _, Sha256};

use super::message::Offer;
use super::safe_path::{PathError, SafePath, fold};
use crate::display::display_name;

/// Files and directories, those that paths only imply included.
pub(super) const MAX_ENTRIES: usize = 100_000;

/// All paths together: without it 100,000 paths of 4096 bytes would take 400 MB.
pub(super) const MAX_PATH_BYTES: usize = 16 << 20;

/// The largest integer that JSON carries exactly between all implementations.
pub(super) const MAX_BYTES: u64 = 1 << 53;

const MAX_TITLE: usize = 256;

/// A file or a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file of this many bytes.
    File {
        /// Length in bytes.
        size: u64,
    },
    /// A directory.
    Directory,
}

/// One entry of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it goes, relative to the receiver's directory.
    pub path: SafePath,
    /// What it is.
    pub kind: Kind,
    /// Last modification, in milliseconds since 1970; negative before.
    pub mtime: Option<i64>,
    /// Permission bits, at most `0o777`.
    pub mode: Option<u16>,
}

impl Entry {
    /// Length in bytes; 0 for a directory.
    pub fn size(&self) -> u64 {
        match self.kind {
            Kind::File { size } => size,
            Kind::Directory => 0,
        }
    }
}

/// Length of a block in bytes: a power of two from 64 KiB to 16 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSize(u32);

impl BlockSize {
    const MIN: u32 = 1 << 16;
    const USUAL: u32 = 1 << 20;
    const MAX: u32 = 1 << 24;

    /// Checks a block size.
    pub fn new(bytes: u32) -> Option<Self> {
        let allowed = bytes.is_power_of_two() && (Self::MIN..=Self::MAX).contains(&bytes);
        allowed.then_some(Self(bytes))
    }

    /// 256 KiB: what is piped should not wait long for a block to be full, and may have a pebibyte.
    pub(super) const STREAM: Self = Self(1 << 18);

    /// 1 MiB, or as much more as keeps the largest file under 65,536 blocks.
    pub fn for_largest(file: u64) -> Self {
        let mut bytes = Self::USUAL;
        while bytes < Self::MAX && file.div_ceil(bytes.into()) > 1 << 16 {
            bytes *= 2;
        }
        Self(bytes)
    }

    /// The size in bytes.
    pub fn bytes(self) -> u32 {
        self.0
    }
}

/// Everything in one transfer, checked by the rules of section 5.3.
#[derive(Debug, PartialEq, Eq)]
pub struct Manifest {
    title: String,
    block_size: BlockSize,
    entries: Vec<Entry>,
    files: u32,
    directories: u32,
    bytes: u64,
    data: u64,
    stream: bool,
}

/// Why a manifest is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A path breaks a rule.
    #[error("the path {} is not allowed: {reason}", display_name(path, 80))]
    Path {
        /// The path as it came.
        path: String,
        /// The rule.
        #[source]
        reason: PathError,
    },
    /// Two paths would be one file on some file system.
    #[error(
        "{} and {} differ only in case or accents, or not at all",
        display_name(first, 80),
        display_name(second, 80)
    )]
    Collision {
        /// The earlier one.
        first: String,
        /// The later one.
        second: String,
    },
    /// A path goes on below a file.
    #[error("{} is a file and a directory at once", display_name(path, 80))]
    ThroughFile {
        /// The file.
        path: String,
    },
    /// No entries at all.
    #[error("there is nothing in it")]
    Empty,
    /// More than 100,000 entries.
    #[error("there are more than {MAX_ENTRIES} files and directories")]
    TooMany,
    /// More than 16 MiB of paths.
    #[error("the paths together are longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// More than 2^53 bytes in all, or a file of more than 2^32 blocks.
    #[error("the sizes are beyond what the protocol can carry")]
    TooLarge,
    /// A file without a size.
    #[error("{} has no size", display_name(path, 80))]
    NoSize {
        /// The file.
        path: String,
    },
    /// Not a power of two from 64 KiB to 16 MiB.
    #[error("a block size of {0} bytes is not allowed")]
    BlockSize(u32),
    /// The entries are not those that were announced.
    #[error("the entries do not add up to what the offer announced")]
    Counts,
}

impl Manifest {
    /// Checks the entries together; the paths have been checked one by one.
    pub fn new(
        title: &str,
        block_size: BlockSize,
        entries: Vec<Entry>,
    ) -> Result<Self, ManifestError> {
        if entries.is_empty() {
            return Err(ManifestError::Empty);
        }
        check_paths(&entries)?;
        let mut manifest = Self {
            title: title.chars().take(MAX_TITLE).collect(),
            block_size,
            entries,
            files: 0,
            directories: 0,
            bytes: 0,
            data: 0,
            stream: false,
        };
        for entry in &manifest.entries {
            match entry.kind {
                Kind::Directory => manifest.directories += 1,
                Kind::File { size } => {
                    manifest.files += 1;
                    manifest.bytes = manifest.bytes.saturating_add(size);
                    let blocks = size.div_ceil(block_size.bytes().into());
                    if manifest.bytes > MAX_BYTES || blocks > u32::MAX.into() {
                        return Err(ManifestError::TooLarge);
                    }
                }
            }
        }
        manifest.data = manifest.bytes;
        Ok(manifest)
    }

    /// So many bytes are in no hole, as far as the sender knows.
    pub(super) fn set_data(&mut self, data: u64) {
        self.data = data.min(self.bytes);
    }

    /// One file whose size is known at its end only. Until [`Manifest::ended`] it counts as 0.
    pub(super) fn stream(
        title: &str,
        block_size: BlockSize,
        entries: Vec<Entry>,
    ) -> Result<Self, ManifestError> {
        match entries[..] {
            [
                Entry {
                    kind: Kind::File { size: 0 },
                    ..
                },
            ] => Ok(Self {
                stream: true,
                ..Self::new(title, block_size, entries)?
            }),
            _ => Err(ManifestError::Counts),
        }
    }

    /// Whether this is a single file whose size is known at its end only, which is 0 here.
    pub fn is_stream(&self) -> bool {
        self.stream
    }

    /// What a stream turned out to be.
    pub(super) fn ended(&self, size: u64) -> Result<Self, ManifestError> {
        let entries = self.entries.iter().cloned();
        let entries = entries.map(|entry| Entry {
            kind: Kind::File { size },
            ..entry
        });
        Self::new(&self.title, self.block_size, entries.collect())
    }

    /// A few words for the user, chosen by the sender: clean them with [`display_name`].
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The entries, in the order that gives them their numbers.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Number of files.
    pub fn files(&self) -> u32 {
        self.files
    }

    /// Number of directories.
    pub fn directories(&self) -> u32 {
        self.directories
    }

    /// Sum of the sizes of all files, at most 2^53.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of the files that are in no hole, at most [`bytes`](Self::bytes): what is sent, and takes room on the other
    /// side's disk. The sender says so, and the files may change.
    pub fn data(&self) -> u64 {
        self.data
    }

    /// How files are cut.
    pub fn block_size(&self) -> BlockSize {
        self.block_size
    }

    /// The names that appear in the receiver's directory, in order.
    pub fn top_level(&self) -> Vec<&str> {
        let mut seen = std::collections::HashSet::new();
        self.entries
            .iter()
            .map(|entry| entry.path.top())
            .filter(|top| seen.insert(*top))
            .collect()
    }

    /// The entry with this number if it is a file, and its size.
    pub(super) fn file(&self, index: u32) -> Option<(&Entry, u64)> {
        let entry = self.entries.get(index as usize)?;
        match entry.kind {
            Kind::File { size } => Some((entry, size)),
            Kind::Directory => None,
        }
    }

    /// Number of blocks of a file of this size. Of a stream there is no telling.
    pub(super) fn blocks(&self, size: u64) -> u32 {
        u32::try_from(size.div_ceil(self.block_size.0.into())).expect("checked in new")
    }

    /// Where a block begins in a file of this size, and its length; `None` if there is no such
    /// block. In a stream this is what a block can have.
    pub(super) fn block(&self, size: u64, block: u32) -> Option<(u64, u32)> {
        let start = u64::from(block) * u64::from(self.block_size.0);
        if self.stream {
            return Some((start, self.block_size.0));
        }
        let left = size.checked_sub(start).filter(|left| *left > 0)?;
        let length = left.min(self.block_size.0.into());
        Some((start, u32::try_from(length).expect("at most a block size")))
    }

    pub(super) fn offer(&self) -> Offer {
        Offer {
            version: 1,
            title: self.title.clone(),
            files: self.files,
            directories: self.directories,
            bytes: self.bytes,
            data: (self.data < self.bytes).then_some(self.data),
            entries: self.files + self.directories,
            block_size: self.block_size.0,
            // What was piped is gone.
            resume: !self.stream,
            stream: self.stream,
            share: false,
        }
    }
}

/// Collisions and files in the way, over all paths and the directories they imply. Spellings are
/// kept as positions in `entries` and folded paths as 128 bits of SHA-256, so that the memory this
/// takes does not depend on how long the paths are.
fn check_paths(entries: &[Entry]) -> Result<(), ManifestError> {
    struct Node {
        entry: usize,
        length: usize,
        role: Role,
    }
    #[derive(PartialEq)]
    enum Role {
        File,
        Directory,
        Implied,
    }
    let spelling = |node: &Node| &entries[node.entry].path.as_str()[..node.length];

    let mut nodes: HashMap<[u8; 16], Node> = HashMap::new();
    let mut total = 0;
    for (index, entry) in entries.iter().enumerate() {
        let path = entry.path.as_str();
        total += path.len();
        if total > MAX_PATH_BYTES {
            return Err(ManifestError::TooLong);
        }
        let mut hasher = Sha256::new();
        let mut length = 0;
        for component in entry.path.components() {
            length += component.len() + usize::from(length > 0);
            hasher.update(fold(component));
            hasher.update("/");
            let role = match entry.kind {
                _ if length < path.len() => Role::Implied,
                Kind::File { .. } => Role::File,
                Kind::Directory => Role::Directory,
            };
            let digest: [u8; 32] = hasher.clone().finalize().into();
            let key = digest[..16].try_into().expect("half of 32 bytes");
            let count = nodes.len();
            match nodes.entry(key) {
                hash_map::Entry::Vacant(_) if count == MAX_ENTRIES => {
                    return Err(ManifestError::TooMany);
                }
                hash_map::Entry::Vacant(slot) => {
                    slot.insert(Node {
                        entry: index,
                        length,
                        role,
                    });
                }
                hash_map::Entry::Occupied(mut slot) => {
                    let node = slot.get_mut();
                    let (first, second) = (spelling(node), &path[..length]);
                    match (&node.role, role) {
                        _ if first != second => {}
                        (Role::File, Role::Implied) | (Role::Implied, Role::File) => {
                            return Err(ManifestError::ThroughFile {
                                path: second.to_owned(),
                            });
                        }
                        (Role::Directory | Role::Implied, Role::Implied) => continue,
                        (Role::Implied, Role::Directory) => {
                            node.role = Role::Directory;
                            continue;
                        }
                        _ => {}
                    }
                    return Err(ManifestError::Collision {
                        first: first.to_owned(),
                        second: second.to_owned(),
                    });
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
