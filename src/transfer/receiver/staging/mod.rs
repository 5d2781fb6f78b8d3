//! Where files are until all of them are verified: `<out>/.peerline/<id>/tree`.
//!
//! Everything is opened relative to the handle of that directory, which this transfer has made
//! itself, and `cap-std` lets no path and no symbolic link lead out of it. Dropping a [`Staging`]
//! removes it; [`Staging::end`] keeps what is durable.

mod entries;
mod unsynced;

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use cap_fs_ext::{DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::fs::{Dir, OpenOptions};

use super::area::Area;
use super::disk;
use super::journal::Encoder;
use super::syncer::{Syncer, Targets};
use crate::transfer::digest::Digest;
use crate::transfer::error::TransferError;
use crate::transfer::holes::make_hole;
use crate::transfer::label::TransferId;
use crate::transfer::manifest::{Entry, Manifest};
use crate::transfer::safe_path::STAGING;
use crate::transfer::sender::BlockId;
use entries::{ancestors, directories_by_depth, finish_mode, make_directory, options, system_time};
use unsynced::{GROUP_ONE_BY_ONE, Unsynced};

/// Up to this many entries are synced one by one; beyond, one `syncfs` is cheaper, though it also
/// waits for what other programs wrote.
const SYNC_ONE_BY_ONE: usize = 64;

/// Modes when the sender gave none (a browser), before the umask.
const DEFAULT_FILE: u16 = 0o666;
const DEFAULT_DIRECTORY: u16 = 0o777;

/// The staging directory of one transfer.
#[derive(Debug)]
pub(super) struct Staging {
    manifest: Arc<Manifest>,
    /// For messages only.
    out_path: PathBuf,
    area: Area,
    syncer: Syncer,
    unsynced: Unsynced,
    /// Bits of modes that the umask leaves, if some of what is there was not made in this run.
    allowed: Option<u16>,
    /// The directory that was written to last: the files of one come together.
    parent: Option<(String, Dir)>,
    /// The file that is being written.
    open: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    index: u32,
    file: std::fs::File,
    position: u64,
}

/// What stays on disk of a transfer that did not end well; nothing if it has no bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) id: TransferId,
    pub(super) bytes: u64,
}

impl Staging {
    /// Makes the staging directory and begins its journal; nobody else may enter it.
    pub(super) fn create(
        out_path: &Path,
        out: &Dir,
        manifest: Arc<Manifest>,
    ) -> Result<Self, TransferError> {
        let create = || -> io::Result<(Area, Syncer)> {
            let area = Area::create(out)?;
            let (encoder, bytes) = Encoder::begin(&manifest, std::iter::empty());
            let journal = area.begin_journal(&bytes)?;
            Ok((area, Syncer::start(journal, encoder, Default::default())?))
        };
        match create() {
            Ok((area, syncer)) => Ok(Self::new(out_path, area, manifest, syncer, None)),
            Err(error) => Err(failure(out_path, STAGING, &manifest, error)),
        }
    }

    /// Goes on in one that is there, of which some was perhaps not made in this run; then the umask leaves the
    /// `allowed` bits of modes.
    pub(super) fn new(
        out_path: &Path,
        area: Area,
        manifest: Arc<Manifest>,
        syncer: Syncer,
        allowed: Option<u16>,
    ) -> Self {
        Self {
            manifest,
            out_path: out_path.to_owned(),
            area,
            syncer,
            unsynced: Unsynced::default(),
            allowed,
            parent: None,
            open: None,
        }
    }

    /// The target directory.
    pub(super) fn out(&self) -> &Dir {
        self.area.out()
    }

    /// What the target directory is called.
    pub(super) fn out_path(&self) -> &Path {
        &self.out_path
    }

    /// The directory whose entries will be moved to the target directory.
    pub(super) fn tree(&self) -> &Dir {
        self.area.tree()
    }

    /// A block of `bytes` bytes is what it should be, and `written` of them have been written: it will be
    /// durable, and in the journal.
    pub(super) fn verified(
        &mut self,
        id: BlockId,
        digest: Digest,
        bytes: u32,
        written: u32,
    ) -> Result<(), TransferError> {
        self.syncer.verified(id, digest, bytes, written);
        let now = Instant::now();
        let given = self
            .syncer
            .is_due(now)
            .and_then(|due| if due { self.give_group(now) } else { Ok(()) });
        given.map_err(|e| failure(&self.out_path, STAGING, &self.manifest, e))
    }

    /// The transfer ends early: makes durable what was verified, and keeps it unless there is
    /// nothing.
    pub(super) fn end(mut self) -> Left {
        let flush = |staging: &mut Self| -> io::Result<()> {
            staging.syncer.wait()?;
            if staging.syncer.has_pending() {
                staging.give_group(Instant::now())?;
                staging.syncer.wait()?;
            }
            Ok(())
        };
        let bytes = if self.manifest.is_stream() {
            // It will not come again.
            0
        } else {
            if let Err(error) = flush(&mut self) {
                tracing::info!(%error, "not everything that was received is kept");
            }
            self.syncer.synced()
        };
        match bytes {
            0 => self.area.discard(),
            _ => self.area.keep(),
        }
        let id = self.area.id().clone();
        Left { id, bytes }
    }

    /// Everything is in place: what is left here is of no use.
    pub(super) fn remove(mut self) {
        self.open = None;
        self.area.discard();
    }

    fn give_group(&mut self, now: Instant) -> io::Result<()> {
        let Unsynced {
            files,
            made_in,
            more,
            found,
        } = std::mem::take(&mut self.unsynced);
        let mut targets = Targets::default();
        let one_by_one = files.len() + made_in.len() <= GROUP_ONE_BY_ONE && !more;
        if one_by_one || !disk::SYNCS_FILE_SYSTEM {
            targets.files = files;
            if let Some(open) = &self.open {
                targets.files.push(open.file.try_clone()?);
            }
            let mut paths: Vec<&str> = made_in.iter().flat_map(|path| ancestors(path)).collect();
            paths.retain(|path| !path.is_empty());
            paths.sort_unstable();
            paths.dedup();
            for path in paths {
                let dir = disk::reopen(&self.area.tree().open_dir(path)?)?;
                targets.directories.push(dir.into_std());
            }
            if !made_in.is_empty() {
                let tree = disk::reopen(self.area.tree())?;
                targets.directories.push(tree.into_std());
            }
            if !found {
                targets.directories.extend(self.area.way_here()?);
            }
        } else {
            targets.everything = Some(disk::reopen(self.area.tree())?.into_std());
        }
        self.unsynced.found = true;
        self.syncer.give(targets, now)
    }

    /// Makes all directories, parents first.
    pub(super) fn make_directories(&mut self) -> Result<(), TransferError> {
        let manifest = self.manifest.clone();
        for entry in directories_by_depth(&manifest) {
            let mode = entry.mode.unwrap_or(DEFAULT_DIRECTORY);
            // The owner keeps access: what was received can be completed, moved and removed.
            let (mode, allowed) = (mode | 0o700, self.allowed);
            let made = self
                .parent_of(entry)
                .and_then(|(parent, name)| make_directory(parent, name, mode, allowed));
            self.unsynced.made_in(entry.path.split().0);
            self.check(entry, made)?;
        }
        Ok(())
    }

    /// Writes a piece of a file, which is made with its first piece.
    pub(super) fn write(
        &mut self,
        index: u32,
        position: u64,
        data: &[u8],
    ) -> Result<(), TransferError> {
        let manifest = self.manifest.clone();
        let entry = &manifest.entries()[index as usize];
        let written = self.open_file(index, entry).and_then(|open| {
            if open.position != position {
                open.file.seek(SeekFrom::Start(position))?;
            }
            open.file.write_all(data)?;
            open.position = position + data.len() as u64;
            Ok(())
        });
        self.check(entry, written)
    }

    /// Reads back a part of a file that was written.
    pub(super) fn read(&mut self, index: u32, position: u64, length: u32) -> io::Result<Vec<u8>> {
        let manifest = self.manifest.clone();
        let entry = &manifest.entries()[index as usize];
        let (parent, name) = self.parent_of(entry)?;
        let mut options = OpenOptions::new();
        options.read(true).follow(FollowSymlinks::No);
        let mut file = parent.open_with(name, &options)?.into_std();
        file.seek(SeekFrom::Start(position))?;
        let mut data = vec![0; length as usize];
        file.read_exact(&mut data)?;
        Ok(data)
    }

    /// So many bytes of a file are zeros.
    pub(super) fn zeros(
        &mut self,
        index: u32,
        position: u64,
        length: u32,
    ) -> Result<(), TransferError> {
        let manifest = self.manifest.clone();
        let entry = &manifest.entries()[index as usize];
        let made = self.open_file(index, entry).and_then(|open| {
            // Beyond its end, the file is zeros when it gets its length.
            make_hole(&mut open.file, position, length.into())?;
            open.position = u64::MAX;
            Ok(())
        });
        self.check(entry, made)
    }

    /// A file is verified: gives it its time and mode, and makes it durable unless that is done for
    /// all.
    pub(super) fn finish_file(&mut self, index: u32) -> Result<(), TransferError> {
        let manifest = self.manifest.clone();
        let entry = &manifest.entries()[index as usize];
        let (one_by_one, allowed) = (self.syncs_one_by_one(), self.allowed);
        let finished = self.open_file(index, entry).and_then(|open| {
            if open.file.metadata()?.len() < entry.size() {
                open.file.set_len(entry.size())?;
            }
            if let Some(time) = entry.mtime.and_then(system_time) {
                open.file.set_modified(time)?;
            }
            finish_mode(&open.file, entry.mode.unwrap_or(DEFAULT_FILE), allowed)?;
            if one_by_one {
                open.file.sync_all()
            } else {
                Ok(())
            }
        });
        if let Some(open) = self.open.take()
            && !one_by_one
        {
            self.unsynced.file(open.file);
        }
        self.check(entry, finished)
    }

    /// All files are verified: gives the directories their times and makes everything durable.
    pub(super) fn finish(&mut self) -> Result<(), TransferError> {
        self.open = None;
        let manifest = self.manifest.clone();
        let one_by_one = self.syncs_one_by_one();
        for entry in directories_by_depth(&manifest).into_iter().rev() {
            let finished = self.parent_of(entry).and_then(|(parent, name)| {
                let dir = parent.open_dir_nofollow(name)?;
                if let Some(time) = entry.mtime.and_then(system_time) {
                    // Not every system can do this to a directory, and nothing depends on it.
                    let _ = disk::reopen(&dir).and_then(|file| file.into_std().set_modified(time));
                }
                if one_by_one {
                    disk::sync_dir(&dir)
                } else {
                    Ok(())
                }
            });
            self.check(entry, finished)?;
        }
        if one_by_one {
            return self.sync_implied();
        }
        disk::sync_file_system(self.area.tree())
            .map(drop)
            .map_err(|e| TransferError::io(&self.out_path, e))
    }

    /// Directories that no entry names, and the tree itself.
    fn sync_implied(&self) -> Result<(), TransferError> {
        let parents = self
            .manifest
            .entries()
            .iter()
            .filter_map(|entry| entry.path.split().0);
        let mut parents: Vec<&str> = parents.flat_map(ancestors).collect();
        parents.sort_unstable();
        parents.dedup();
        let sync = || -> io::Result<()> {
            for parent in &parents {
                disk::sync_dir(&self.area.tree().open_dir(parent)?)?;
            }
            disk::sync_dir(self.area.tree())
        };
        sync().map_err(|e| TransferError::io(&self.out_path, e))
    }

    fn syncs_one_by_one(&self) -> bool {
        self.manifest.entries().len() <= SYNC_ONE_BY_ONE || !disk::SYNCS_FILE_SYSTEM
    }

    fn open_file(&mut self, index: u32, entry: &Entry) -> io::Result<&mut OpenFile> {
        match self.open.take() {
            Some(open) if open.index == index => Ok(self.open.insert(open)),
            other => {
                if let Some(open) = other {
                    self.unsynced.file(open.file);
                }
                let (parent, name) = self.parent_of(entry)?;
                let mode = entry.mode.unwrap_or(DEFAULT_FILE) | 0o600;
                let file = match parent.open_with(name, options(mode).create_new(true)) {
                    // Another file came in between, or it is of an earlier attempt.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        parent.open_with(name, &options(mode))?
                    }
                    opened => {
                        let file = opened?;
                        self.unsynced.made_in(entry.path.split().0);
                        file
                    }
                };
                let file = file.into_std();
                Ok(self.open.insert(OpenFile {
                    index,
                    file,
                    position: 0,
                }))
            }
        }
    }

    /// The directory that holds an entry, made if no entry names it, and the entry's name in there.
    fn parent_of<'e>(&mut self, entry: &'e Entry) -> io::Result<(&Dir, &'e str)> {
        let (parent, name) = entry.path.split();
        let Some(parent) = parent else {
            return Ok((self.area.tree(), name));
        };
        if self.parent.as_ref().is_none_or(|(path, _)| path != parent) {
            let tree = self.area.tree();
            let dir = match tree.open_dir(parent) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    tree.create_dir_all(parent)?;
                    tree.open_dir(parent)?
                }
                opened => opened?,
            };
            self.parent = Some((parent.to_owned(), dir));
        }
        let (_, dir) = self.parent.as_ref().expect("set above");
        Ok((dir, name))
    }

    fn check<T>(&self, entry: &Entry, result: io::Result<T>) -> Result<T, TransferError> {
        let path = entry.path.as_str();
        result.map_err(|error| failure(&self.out_path, path, &self.manifest, error))
    }
}

/// A failure at `path` below the target directory.
fn failure(out: &Path, path: &str, manifest: &Manifest, error: io::Error) -> TransferError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => TransferError::NoSpace {
            path: out.to_owned(),
            needed: manifest.bytes(),
            free: 0,
        },
        _ => TransferError::io(&out.join(path), error),
    }
}
