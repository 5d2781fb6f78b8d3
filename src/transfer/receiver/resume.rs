//! Taking up an unfinished transfer: which one it is, what of it is still good, and what the sender
//! still has.
//!
//! A transfer is taken up again if it has the same names at the top, the same block size, and a file
//! of the same path, size and time of which something is on disk. One that has something of a file that is not
//! offered now, because the sender leaves it out this time, stays as it is. The journal is believed only as
//! far as the disk agrees: every block is read and hashed again. What does not belong there is taken
//! away before, so that nothing but what was received can be moved into place.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_fs_ext::{DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::fs::{Dir, Metadata, OpenOptions};
use tokio::sync::mpsc;

use super::area::Area;
use super::journal::Encoder;
use super::partial::{Look, look};
use super::staging::Staging;
use super::syncer::Syncer;
use super::writer::{Job, Report, Stop};
use crate::transfer::digest::{Digest, digest_of_range};
use crate::transfer::error::TransferError;
use crate::transfer::holes::{Holes, ZeroDigest};
use crate::transfer::kept::{Batch, Kept, Range};
use crate::transfer::label::TransferId;
use crate::transfer::manifest::{Entry, Kind, Manifest};
use crate::transfer::sender::BlockId;

/// Read at once when blocks are hashed again.
const PIECE: usize = 256 << 10;

/// Transfers of this name without anything on disk that are removed in one go.
const MAX_EMPTY: usize = 8;

/// What a look into `.peerline` found for an offer.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// The transfer to take up.
    pub(super) found: Option<Found>,
    /// The same transfer, killed before anything of it was durable: nothing anybody could miss.
    pub(super) empty: Vec<Area>,
    /// Files of which something is on disk, but which are not the same any more.
    pub(super) changed: Vec<String>,
}

/// An unfinished transfer that the offer continues.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) area: Area,
    /// What its journal says, in the numbers of the new manifest.
    pub(super) kept: Kept,
}

/// Looks for the unfinished transfer that `manifest` continues with the most bytes. What cannot be
/// read, and what somebody else works on, is left alone.
pub(super) fn search(out: &Dir, manifest: &Manifest) -> Search {
    let mut search = Search::default();
    let mut most = 0;
    let swept = Area::sweep(out);
    let ids = swept.and_then(|()| Area::ids(out)).unwrap_or_else(|error| {
        tracing::info!(%error, "cannot look for unfinished transfers");
        Vec::new()
    });
    for id in ids {
        let (area, replay) = match look(out, &id) {
            Look::Readable { area, replay, .. } => (area, replay),
            Look::InUse => continue,
            Look::Unusable(reason) => {
                tracing::info!(%id, reason, "cannot take up an unfinished transfer");
                remove_husk(out, &id);
                continue;
            }
        };
        if !same_transfer(&replay.manifest, manifest) {
            continue;
        }
        if replay.kept.is_empty() {
            if search.empty.len() < MAX_EMPTY {
                search.empty.push(area);
            }
            continue;
        }
        let Some((kept, changed)) = translate(&replay.manifest, &replay.kept, manifest) else {
            tracing::info!(%id, "an unfinished transfer has more than what is offered: it stays");
            continue;
        };
        let bytes = kept.bytes(manifest);
        if bytes > most {
            most = bytes;
            search.found = Some(Found { area, kept });
            search.changed = changed;
        } else if search.found.is_none() && search.changed.is_empty() {
            search.changed = changed;
        }
    }
    search
}

/// Removes what a process left that was killed when it began or had ended.
fn remove_husk(out: &Dir, id: &TransferId) {
    if Area::is_husk(out, id)
        && let Err(error) = Area::remove_husk(out, id)
    {
        tracing::info!(%id, %error, "cannot remove what has nothing in it");
    }
}

/// Whether two manifests are two states of one transfer.
pub(super) fn same_transfer(one: &Manifest, other: &Manifest) -> bool {
    let names = |manifest: &'_ Manifest| -> HashSet<String> {
        manifest
            .top_level()
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    let streams = one.is_stream() || other.is_stream();
    !streams && one.block_size() == other.block_size() && names(one) == names(other)
}

/// The blocks of files that are the same in both manifests, in the numbers of the new one, and the
/// files that are not the same: their old blocks are of no use to anybody. `None` if something is kept of a
/// file that the new one does not list, and so may still be wanted.
fn translate(old: &Manifest, kept: &Kept, new: &Manifest) -> Option<(Kept, Vec<String>)> {
    let numbers: HashMap<&str, u32> = (0..)
        .zip(new.entries())
        .map(|(number, entry)| (entry.path.as_str(), number))
        .collect();
    let mut translated = Kept::default();
    let mut changed = Vec::new();
    for file in kept.files() {
        let before = &old.entries()[file as usize];
        let number = *numbers.get(before.path.as_str())?;
        let now = &new.entries()[number as usize];
        if (before.kind, before.mtime) != (now.kind, now.mtime) {
            changed.push(now.path.as_str().to_owned());
            continue;
        }
        for (block, digest) in kept.of_file(file) {
            let id = BlockId {
                file: number,
                block,
            };
            translated.insert(id, digest);
        }
    }
    Some((translated, changed))
}

/// An unfinished transfer, while both sides find out what of it is good.
#[derive(Debug)]
pub(super) struct Resuming {
    area: Area,
    out_path: PathBuf,
    manifest: Arc<Manifest>,
    kept: Kept,
    /// What is not to be gone on with now, but is good until something else is written in its place: a sender
    /// may say that everything has changed and send nothing.
    spare: Kept,
    /// Paths of files that are not what they were.
    changed: Vec<String>,
}

impl Resuming {
    pub(super) fn new(
        found: Found,
        out_path: &Path,
        changed: Vec<String>,
        manifest: Arc<Manifest>,
    ) -> Self {
        Self {
            area: found.area,
            out_path: out_path.to_owned(),
            manifest,
            kept: found.kept,
            spare: Kept::default(),
            changed,
        }
    }

    /// Finds out what is good, tells the receiver, and waits for what the sender says to it.
    /// Returns the staging directory, what is in it, and the files that changed.
    pub(super) fn agree(
        mut self,
        jobs: &mut mpsc::Receiver<Job>,
        reports: &mpsc::Sender<Vec<Report>>,
    ) -> Result<(Staging, Kept, Vec<String>), Stop> {
        let say = |blocks, last| {
            let report = Report::Have { blocks, last };
            reports
                .blocking_send(vec![report])
                .map_err(|_| Stop::Unwanted)
        };
        self.sweep()?;
        let mut batch = Batch::default();
        self.check(|id, digest| {
            if jobs.is_closed() {
                return Err(Stop::Unwanted);
            }
            match batch.push(id, digest) {
                Some(blocks) => say(blocks, false),
                None => Ok(()),
            }
        })?;
        say(batch.take(), true)?;
        loop {
            match jobs.blocking_recv().ok_or(Stop::Unwanted)? {
                Job::Changed(ranges) => ranges.into_iter().for_each(|range| self.forget(range)),
                Job::Checked => break,
                Job::Message(..)
                | Job::LaneEnded(_)
                | Job::Zeros(_)
                | Job::Ended(_)
                | Job::Helped { .. }
                | Job::Serve { .. }
                | Job::Commit => {
                    return Err(TransferError::protocol("data before it was accepted").into());
                }
            }
        }
        let changed = std::mem::take(&mut self.changed);
        let (staging, kept) = self.begin()?;
        Ok((staging, kept, changed))
    }

    fn forget(&mut self, range: Range) {
        let gone = self.kept.remove(range);
        if gone.is_empty() {
            return;
        }
        gone.into_iter()
            .for_each(|(id, digest)| self.spare.insert(id, digest));
        let path = self.manifest.entries()[range.file as usize].path.as_str();
        // Ranges come in order, so this is enough not to name a file twice.
        if self.changed.last().is_none_or(|last| last != path) {
            self.changed.push(path.to_owned());
        }
    }

    /// Takes away everything that is not a directory of the manifest or a file of which something
    /// is kept.
    fn sweep(&self) -> Result<(), TransferError> {
        let entries = self.manifest.entries();
        let mut files = HashSet::new();
        for file in self.kept.files() {
            files.insert(entries[file as usize].path.as_str());
        }
        let mut directories = HashSet::new();
        for entry in entries {
            let parents = entry.path.as_str().match_indices('/');
            directories.extend(parents.map(|(end, _)| &entry.path.as_str()[..end]));
            if entry.kind == Kind::Directory {
                directories.insert(entry.path.as_str());
            }
        }
        let mut left = vec![(String::new(), self.area.tree().try_clone())];
        while let Some((path, dir)) = left.pop() {
            let swept = dir.and_then(|dir| {
                sweep_one(&dir, |name, metadata| {
                    let path = join(&path, name);
                    if metadata.is_dir() && directories.contains(path.as_str()) {
                        left.push((path, dir.open_dir_nofollow(name)));
                        return true;
                    }
                    files.contains(path.as_str()) && is_our_file(metadata)
                })
            });
            swept.map_err(|e| TransferError::io(&self.out_path.join(&path), e))?;
        }
        Ok(())
    }

    /// Reads every kept block, forgets those that are not what they should be, puts those aside that cannot be
    /// read now, and gives the others to `good`.
    fn check(
        &mut self,
        mut good: impl FnMut(BlockId, Digest) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let (mut buffer, mut zeros) = (vec![0; PIECE], ZeroDigest::default());
        for file in self.kept.files() {
            let entry = &self.manifest.entries()[file as usize];
            let blocks: Vec<(u32, Digest)> = self.kept.of_file(file).collect();
            let mut opened = self.open(entry).map(|file| (Holes::of(&file), file));
            for (block, digest) in blocks {
                let id = BlockId { file, block };
                let (start, length) = self
                    .manifest
                    .block(entry.size(), block)
                    .expect("the journal was checked against its manifest");
                let read = match &mut opened {
                    Ok((holes, file)) => {
                        digest_of_range(file, (holes, &mut zeros), start, length, &mut buffer)
                    }
                    Err(error) => Err(io::Error::from(error.kind())),
                };
                let unreadable = match read {
                    Ok(read) if read == digest => {
                        good(id, digest)?;
                        continue;
                    }
                    Ok(_) => false,
                    Err(error) => !is_missing(&error),
                };
                tracing::info!(
                    file,
                    block,
                    unreadable,
                    "a block of the journal is not on disk"
                );
                self.kept.remove(Range {
                    file,
                    from: block,
                    count: 1,
                });
                if unreadable {
                    self.spare.insert(id, digest);
                }
            }
        }
        Ok(())
    }

    /// Opens a file for reading and writing, no longer than it will be.
    fn open(&self, entry: &Entry) -> io::Result<std::fs::File> {
        let path = entry.path.as_str();
        make_writable(self.area.tree(), path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).follow(FollowSymlinks::No);
        let file = self.area.tree().open_with(path, &options)?.into_std();
        if file.metadata()?.len() > entry.size() {
            file.set_len(entry.size())?;
        }
        Ok(file)
    }

    /// What is kept is where the transfer goes on from. The journal also speaks of what is spare, until a later
    /// frame says what was written there; what was half written fails its digest when it is taken up.
    fn begin(self) -> Result<(Staging, Kept), TransferError> {
        let blocks = self.kept.iter().chain(self.spare.iter());
        let (encoder, journal) = Encoder::begin(&self.manifest, blocks);
        let bytes = self.kept.bytes(&self.manifest) + self.spare.bytes(&self.manifest);
        let again = self.spare.iter().map(|(id, _)| id).collect();
        let begin = || {
            let allowed = self.area.allowed()?;
            let journal = self.area.replace_journal(&journal)?;
            io::Result::Ok((Syncer::start(journal, encoder, (bytes, again))?, allowed))
        };
        let (syncer, allowed) = begin().map_err(|e| TransferError::io(&self.out_path, e))?;
        let (area, manifest) = (self.area, self.manifest);
        let staging = Staging::new(&self.out_path, area, manifest, syncer, Some(allowed));
        Ok((staging, self.kept))
    }
}

/// Whether a block is not there, rather than out of reach for now.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
    )
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}/{name}")
    }
}

/// Removes the entries of a directory that are not to `stay`.
fn sweep_one(dir: &Dir, mut stay: impl FnMut(&str, &Metadata) -> bool) -> io::Result<()> {
    let names = dir
        .entries()?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    for name in names {
        let metadata = dir.symlink_metadata(&name)?;
        if name.to_str().is_some_and(|name| stay(name, &metadata)) {
            continue;
        }
        if metadata.is_dir() {
            dir.remove_dir_all(&name)?;
        } else {
            dir.remove_file(&name)?;
        }
    }
    Ok(())
}

/// Whether writing to this writes to nothing else: a file under another name as well is not ours.
fn is_our_file(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    {
        use cap_std::fs::MetadataExt as _;
        metadata.is_file() && metadata.nlink() == 1
    }
    #[cfg(not(unix))]
    {
        metadata.is_file()
    }
}

/// A file that was complete has the sender's mode, which may forbid its owner to go on.
#[cfg(unix)]
fn make_writable(tree: &Dir, path: &str) -> io::Result<()> {
    use cap_std::fs::{Permissions, PermissionsExt as _};
    let metadata = tree.symlink_metadata(path)?;
    let mode = metadata.permissions().mode();
    if !metadata.is_file() || mode & 0o600 == 0o600 {
        return Ok(());
    }
    tree.set_permissions(path, Permissions::from_mode(mode | 0o600))
}

#[cfg(not(unix))]
fn make_writable(_: &Dir, _: &str) -> io::Result<()> {
    Ok(())
}
