//! How files and directories of a manifest are made.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cap_fs_ext::{DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::fs::{Dir, OpenOptions};

use super::super::area::builder;
use super::super::disk;
use crate::transfer::manifest::{Entry, Kind, Manifest};

/// Makes a directory. One that is there of an earlier attempt may have another mode, and gets what of this
/// one is `allowed`.
pub(super) fn make_directory(
    parent: &Dir,
    name: &str,
    mode: u16,
    allowed: Option<u16>,
) -> io::Result<()> {
    match parent.create_dir_with(name, &builder(mode)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Whatever else it could be was swept away; this fails if it is no directory.
            let dir = parent.open_dir_nofollow(name)?;
            match allowed {
                Some(allowed) => set_mode(&disk::reopen(&dir)?.into_std(), mode & allowed),
                None => Ok(()),
            }
        }
        made => made,
    }
}

pub(super) fn directories_by_depth(manifest: &Manifest) -> Vec<&Entry> {
    let is_directory = |entry: &&Entry| entry.kind == Kind::Directory;
    let mut directories: Vec<&Entry> = manifest.entries().iter().filter(is_directory).collect();
    directories.sort_by_key(|entry| entry.path.components().count());
    directories
}

/// `a/b/c`, `a/b`, `a`.
pub(super) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| {
        path.rsplit_once('/').map(|(parent, _)| parent)
    })
}

/// Milliseconds since 1970; `None` beyond what the system can represent.
pub(super) fn system_time(milliseconds: i64) -> Option<SystemTime> {
    let distance = Duration::from_millis(milliseconds.unsigned_abs());
    if milliseconds >= 0 {
        UNIX_EPOCH.checked_add(distance)
    } else {
        UNIX_EPOCH.checked_sub(distance)
    }
}

/// The mode is narrowed by the umask, as for every file a program makes.
pub(super) fn options(mode: u16) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).follow(FollowSymlinks::No);
    #[cfg(unix)]
    {
        use cap_std::fs::OpenOptionsExt as _;
        options.mode(mode.into());
    }
    #[cfg(not(unix))]
    let _ = mode;
    options
}

/// Takes away what the owner was given to write the file. One of an earlier attempt may have another mode, and
/// gets what of this one is `allowed`.
pub(super) fn finish_mode(file: &std::fs::File, mode: u16, allowed: Option<u16>) -> io::Result<()> {
    match allowed {
        Some(allowed) => set_mode(file, mode & allowed),
        None if mode & 0o600 == 0o600 => Ok(()),
        None => set_mode(file, mode_of(file)? & mode),
    }
}

#[cfg(unix)]
fn mode_of(file: &std::fs::File) -> io::Result<u16> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok((file.metadata()?.permissions().mode() & 0o777) as u16)
}

/// A directory keeps what is no permission: it passes its group on by such a bit.
#[cfg(unix)]
fn set_mode(file: &std::fs::File, mode: u16) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = file.metadata()?;
    let mut permissions = metadata.permissions();
    let before = permissions.mode() & 0o7777;
    let more = if metadata.is_dir() {
        before & 0o7000
    } else {
        0
    };
    let wanted = u32::from(mode) | more;
    if before == wanted {
        return Ok(());
    }
    permissions.set_mode(wanted);
    match file.set_permissions(permissions) {
        // It is ours: only a file system without modes, as on a memory stick, refuses.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        set => set,
    }
}

#[cfg(not(unix))]
fn mode_of(_: &std::fs::File) -> io::Result<u16> {
    Ok(0)
}

#[cfg(not(unix))]
fn set_mode(_: &std::fs::File, _: u16) -> io::Result<()> {
    Ok(())
}
