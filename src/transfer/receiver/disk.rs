//! What differs between operating systems: syncing, renaming without replacing, free space.

use std::io;

use cap_std::fs::{Dir, File};

/// Renames one entry of a directory into another directory, where nothing of that name may be:
/// [`io::ErrorKind::AlreadyExists`] otherwise.
pub(super) fn rename_new(from: &Dir, to: &Dir, name: &str) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(from, name, to, name, RenameFlags::NOREPLACE) {
            // A file system that cannot do it: below.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            result => return Ok(result?),
        }
    }
    // Something that appears between these two calls is replaced if it is a file or an empty
    // directory.
    match to.symlink_metadata(name) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => from.rename(name, to, name),
        Err(error) => Err(error),
    }
}

/// Makes the entries of a directory durable. Windows has nothing of the kind and needs none.
pub(super) fn sync_dir(dir: &Dir) -> io::Result<()> {
    sync_std_dir(&reopen(dir)?.into_std())
}

/// As [`sync_dir`], for a handle that has been reopened.
pub(super) fn sync_std_dir(dir: &std::fs::File) -> io::Result<()> {
    if cfg!(unix) { dir.sync_all() } else { Ok(()) }
}

/// Makes the whole file system durable in one go; `false` if this system has no such call.
pub(super) fn sync_file_system(dir: &Dir) -> io::Result<bool> {
    sync_file_system_of(&reopen(dir)?.into_std())
}

/// As [`sync_file_system`], for a handle that has been reopened.
pub(super) fn sync_file_system_of(dir: &std::fs::File) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        rustix::fs::syncfs(dir)?;
        Ok(true)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = dir;
        Ok(false)
    }
}

/// Whether [`sync_file_system`] works here.
pub(super) const SYNCS_FILE_SYSTEM: bool = cfg!(target_os = "linux");

/// Bytes that this user may still write; `None` where this cannot be known.
#[cfg(unix)]
pub(super) fn free_space(dir: &Dir) -> io::Result<Option<u64>> {
    let space = rustix::fs::fstatvfs(reopen(dir)?)?;
    Ok(Some(space.f_bavail.saturating_mul(space.f_frsize)))
}

/// Bytes that this user may still write; `None` where this cannot be known.
#[cfg(not(unix))]
pub(super) fn free_space(_: &Dir) -> io::Result<Option<u64>> {
    Ok(None)
}

/// A handle that is good for more than opening what is below: `cap-std` opens directories with
/// `O_PATH`.
pub(super) fn reopen(dir: &Dir) -> io::Result<File> {
    dir.open(".")
}

/// Whose a lock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    Ours,
    Theirs,
    /// The file system has none: two that receive the same into one directory are not kept apart.
    Impossible,
}

/// Locks a file until it is closed or its process ends.
pub(super) fn lock(file: &std::fs::File) -> io::Result<Lock> {
    #[cfg(unix)]
    {
        use rustix::fs::{FlockOperation, flock};
        use rustix::io::Errno;
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Ok(Lock::Theirs),
            Err(Errno::NOSYS | Errno::NOTSUP | Errno::NOLCK | Errno::INVAL) => Ok(Lock::Impossible),
            result => Ok(result.map(|()| Lock::Ours)?),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        Ok(Lock::Impossible)
    }
}
