//! `<out>/.peerline/<id>/`: what belongs to one unfinished transfer.
//!
//! `lock` is locked by the process that works in there, `journal` says what is on disk, `tree` holds
//! it. Everything is opened relative to handles and no symbolic link is followed: what somebody
//! planted there leads nowhere.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use cap_fs_ext::{DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::fs::{Dir, DirBuilder, OpenOptions};

use super::disk::{self, Lock};
use super::journal::MAX_LENGTH;
use crate::transfer::label::TransferId;
use crate::transfer::safe_path::STAGING;

const LOCK: &str = "lock";
const JOURNAL: &str = "journal";
const NEW_JOURNAL: &str = "journal.new";
const TREE: &str = "tree";
const PROBE: &str = "probe";

/// What is being removed has this behind its identifier, so that nobody takes the rest of it for a transfer.
const GONE: &str = ".gone";

/// How often another transfer that begins or ends may take the directory away while this one begins.
const AREA_ATTEMPTS: usize = 16;

/// Unfinished transfers that are looked at in one directory; more than anybody keeps.
const MAX_AREAS: usize = 1000;

/// The directory of one transfer, locked. Dropping it removes it, unless it is to be kept.
#[derive(Debug)]
pub(super) struct Area {
    id: TransferId,
    out: Dir,
    /// `.peerline`.
    base: Dir,
    own: Dir,
    tree: Dir,
    /// Held until the end of this process at the latest, however it ends.
    _lock: std::fs::File,
    keep: bool,
}

/// What is there under an identifier.
#[derive(Debug)]
pub(super) enum Opened {
    Free(Area),
    /// Another process, or another transfer of this one, works in there.
    InUse,
}

impl Area {
    /// A new one, that nobody else may enter, and that is not to be kept yet.
    pub(super) fn create(out: &Dir) -> io::Result<Self> {
        let mut attempts = 1;
        loop {
            match Self::attempt(out) {
                Err(error) if is_disturbed(&error) && attempts < AREA_ATTEMPTS => attempts += 1,
                result => return result,
            }
        }
    }

    fn attempt(out: &Dir) -> io::Result<Self> {
        let id = TransferId::random();
        let base = make(out, &id)?;
        let open = || -> io::Result<Self> {
            let own = base.open_dir_nofollow(id.as_str())?;
            let lock = own.open_with(LOCK, options().write(true).create_new(true))?;
            let lock = lock.into_std();
            if disk::lock(&lock)? == Lock::Theirs {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            own.create_dir_with(TREE, &builder(0o700))?;
            Ok(Self {
                id: id.clone(),
                out: out.try_clone()?,
                base: base.try_clone()?,
                tree: own.open_dir_nofollow(TREE)?,
                own,
                _lock: lock,
                keep: false,
            })
        };
        open().inspect_err(|_| {
            let _ = remove(&base, &id);
            let _ = out.remove_dir(STAGING);
        })
    }

    /// One that is there, to be kept.
    pub(super) fn open(out: &Dir, id: &TransferId) -> io::Result<Opened> {
        let base = out.open_dir_nofollow(STAGING)?;
        let own = base.open_dir_nofollow(id.as_str())?;
        let lock = own
            .open_with(LOCK, options().read(true).write(true))?
            .into_std();
        if disk::lock(&lock)? == Lock::Theirs {
            return Ok(Opened::InUse);
        }
        // Whoever had it may have begun to remove it.
        base.symlink_metadata(id.as_str())?;
        Ok(Opened::Free(Self {
            id: id.clone(),
            out: out.try_clone()?,
            tree: own.open_dir_nofollow(TREE)?,
            base,
            own,
            _lock: lock,
            keep: true,
        }))
    }

    /// The identifiers of all transfers below `out`, in order.
    pub(super) fn ids(out: &Dir) -> io::Result<Vec<TransferId>> {
        let base = match out.open_dir_nofollow(STAGING) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        let mut ids = Vec::new();
        for entry in base.entries()?.take(MAX_AREAS) {
            let name = entry?.file_name();
            ids.extend(name.to_str().and_then(TransferId::parse));
        }
        ids.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        Ok(ids)
    }

    /// Takes away what cannot be opened: it has no lock, no tree, or is no directory.
    pub(super) fn remove_broken(out: &Dir, id: &TransferId) -> io::Result<()> {
        let base = out.open_dir_nofollow(STAGING)?;
        if base.symlink_metadata(id.as_str())?.is_dir() {
            remove(&base, id)?;
        } else {
            base.remove_file(id.as_str())?;
        }
        let _ = out.remove_dir(STAGING);
        Ok(())
    }

    /// Whether there is nothing that was received: whoever made it was killed at once, or when everything was in
    /// place.
    pub(super) fn is_husk(out: &Dir, id: &TransferId) -> bool {
        let tree = || {
            out.open_dir_nofollow(STAGING)?
                .open_dir_nofollow(id.as_str())?
                .open_dir_nofollow(TREE)
        };
        match tree() {
            Ok(tree) => is_empty(&tree),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Whether anything of it is there, if only the rest of what was being removed.
    pub(super) fn is_there(out: &Dir, id: &TransferId) -> io::Result<bool> {
        match out.open_dir_nofollow(STAGING) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            base => {
                let base = base?;
                Ok(base.symlink_metadata(id.as_str()).is_ok()
                    || base.symlink_metadata(gone(id)).is_ok())
            }
        }
    }

    /// Removes the rest of this one, if it was being removed. Whether there was any.
    pub(super) fn remove_rest(out: &Dir, id: &TransferId) -> io::Result<bool> {
        let base = match out.open_dir_nofollow(STAGING) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        if base.symlink_metadata(gone(id)).is_err() {
            return Ok(false);
        }
        remove_gone(&base, gone(id))?;
        let _ = out.remove_dir(STAGING);
        Ok(true)
    }

    /// Removes the rest of what was being removed when somebody was killed. Two may do that at once.
    pub(super) fn sweep(out: &Dir) -> io::Result<()> {
        let base = match out.open_dir_nofollow(STAGING) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        for entry in base.entries()?.take(MAX_AREAS) {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(GONE));
            if id.and_then(TransferId::parse).is_some() {
                let _ = remove_gone(&base, &name);
            }
        }
        Ok(())
    }

    /// Takes a husk away, unless somebody is about to work in there.
    pub(super) fn remove_husk(out: &Dir, id: &TransferId) -> io::Result<()> {
        let base = out.open_dir_nofollow(STAGING)?;
        let own = base.open_dir_nofollow(id.as_str())?;
        // Who begins makes this file and locks it: either fails for them from now on, and they begin elsewhere.
        let lock = own
            .open_with(LOCK, options().write(true).create(true))?
            .into_std();
        // Without locks nobody can tell it from one that is being made.
        if disk::lock(&lock)? == Lock::Ours && Self::is_husk(out, id) {
            remove(&base, id)?;
            let _ = out.remove_dir(STAGING);
        }
        Ok(())
    }

    pub(super) fn id(&self) -> &TransferId {
        &self.id
    }

    /// The target directory.
    pub(super) fn out(&self) -> &Dir {
        &self.out
    }

    /// The directory whose entries will be moved to the target directory.
    pub(super) fn tree(&self) -> &Dir {
        &self.tree
    }

    /// Whether none of what is listed in its journal is there: it was moved to the target directory.
    pub(super) fn is_empty(&self) -> bool {
        is_empty(&self.tree)
    }

    /// What is in there stays when this is dropped.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }

    /// What is in there goes when this is dropped.
    pub(super) fn discard(&mut self) {
        self.keep = false;
    }

    /// The journal and when it was written to last.
    pub(super) fn journal(&self) -> io::Result<(Vec<u8>, Option<std::time::SystemTime>)> {
        let file = self
            .own
            .open_with(JOURNAL, options().read(true))?
            .into_std();
        let metadata = file.metadata()?;
        // A pipe in its place must not block us, nor a device feed us for ever.
        if !metadata.is_file() || metadata.len() > MAX_LENGTH {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = Vec::new();
        file.take(MAX_LENGTH).read_to_end(&mut bytes)?;
        Ok((bytes, metadata.modified().ok()))
    }

    /// Begins a journal; it is durable when it is synced.
    pub(super) fn begin_journal(&self, bytes: &[u8]) -> io::Result<std::fs::File> {
        let file = self
            .own
            .open_with(JOURNAL, options().write(true).create_new(true))?;
        let mut file = file.into_std();
        file.write_all(bytes)?;
        Ok(file)
    }

    /// Puts another journal in the place of the one that is there; it is durable when this returns.
    pub(super) fn replace_journal(&self, bytes: &[u8]) -> io::Result<std::fs::File> {
        match self.own.remove_file(NEW_JOURNAL) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self
            .own
            .open_with(NEW_JOURNAL, options().write(true).create_new(true))?;
        let mut file = file.into_std();
        file.write_all(bytes)?;
        file.sync_all()?;
        self.own.rename(NEW_JOURNAL, &self.own, JOURNAL)?;
        disk::sync_dir(&self.own)?;
        Ok(file)
    }

    /// The bits of a mode that the umask leaves. Asking for it would mean to change it for a moment, for all
    /// threads; so a file is made that wants all of them.
    #[cfg(unix)]
    pub(super) fn allowed(&self) -> io::Result<u16> {
        use cap_std::fs::{OpenOptionsExt as _, PermissionsExt as _};
        match self.own.remove_file(PROBE) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = options();
        options.write(true).create_new(true).mode(0o777);
        let mode = self
            .own
            .open_with(PROBE, &options)?
            .metadata()?
            .permissions()
            .mode();
        self.own.remove_file(PROBE)?;
        Ok((mode & 0o777) as u16)
    }

    #[cfg(not(unix))]
    pub(super) fn allowed(&self) -> io::Result<u16> {
        Ok(0o777)
    }

    /// The directories that must be synced for this one to be found again.
    pub(super) fn way_here(&self) -> io::Result<Vec<std::fs::File>> {
        [&self.own, &self.base, &self.out]
            .into_iter()
            .map(|dir| Ok(disk::reopen(dir)?.into_std()))
            .collect()
    }
}

impl Drop for Area {
    /// Best effort: what cannot be removed is in nobody's way, since names are never used twice.
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        let _ = remove(&self.base, &self.id);
        // Only when no other transfer is under way.
        let _ = self.out.remove_dir(STAGING);
    }
}

fn is_empty(tree: &Dir) -> bool {
    tree.entries()
        .is_ok_and(|mut entries| entries.next().is_none())
}

fn gone(id: &TransferId) -> String {
    format!("{}{GONE}", id.as_str())
}

/// Removes the directory of a transfer: all of it at once, for whoever looks.
fn remove(base: &Dir, id: &TransferId) -> io::Result<()> {
    let gone = gone(id);
    base.rename(id.as_str(), base, &gone)?;
    remove_gone(base, &gone)
}

/// Somebody else may be removing it, so that what was there a moment ago is not.
fn remove_gone(base: &Dir, gone: impl AsRef<Path>) -> io::Result<()> {
    let gone = gone.as_ref();
    for _ in 1..AREA_ATTEMPTS {
        match base.remove_dir_all(gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if base.symlink_metadata(gone).is_err() {
                    return Ok(());
                }
            }
            removed => return removed,
        }
    }
    base.remove_dir_all(gone)
}

/// Whether a directory was taken away by somebody who found nothing in it.
fn is_disturbed(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, NotFound, ResourceBusy};
    matches!(error.kind(), AlreadyExists | NotFound | ResourceBusy)
}

/// Makes `.peerline` unless it is there, and this transfer's directory in it, which must not be
/// there.
fn make(out: &Dir, id: &TransferId) -> io::Result<Dir> {
    let builder = builder(0o700);
    match out.create_dir_with(STAGING, &builder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Fails on a symbolic link, which could lead anywhere.
    let base = out.open_dir_nofollow(STAGING)?;
    base.create_dir_with(id.as_str(), &builder)?;
    Ok(base)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.follow(FollowSymlinks::No);
    #[cfg(unix)]
    {
        use cap_std::fs::OpenOptionsExt as _;
        options.mode(0o600);
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    options
}

/// What makes directories with this mode, narrowed by the umask.
pub(super) fn builder(mode: u16) -> DirBuilder {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        use cap_std::fs::DirBuilderExt as _;
        builder.mode(mode.into());
    }
    #[cfg(not(unix))]
    let _ = (mode, &mut builder);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;
    use cap_std::ambient_authority;

    #[test]
    fn a_husk_goes_only_if_nobody_is_about_to_work_in_there() {
        let directory = tempfile::tempdir().unwrap();
        let out = Dir::open_ambient_dir(directory.path(), ambient_authority()).unwrap();
        let mut area = Area::create(&out).unwrap();
        let id = area.id().clone();
        assert!(Area::is_husk(&out, &id));
        Area::remove_husk(&out, &id).unwrap();
        assert!(Area::is_there(&out, &id).unwrap());
        area.tree().write("part", "x").unwrap();
        area.keep();
        drop(area);
        Area::remove_husk(&out, &id).unwrap();
        assert!(
            Area::is_there(&out, &id).unwrap(),
            "there is something in it"
        );
        let Ok(Opened::Free(area)) = Area::open(&out, &id) else {
            panic!("it is locked");
        };
        area.tree().remove_file("part").unwrap();
        drop(area);
        Area::remove_husk(&out, &id).unwrap();
        assert!(!Area::is_there(&out, &id).unwrap());
        assert_eq!(out.entries().unwrap().count(), 0);
    }
}
