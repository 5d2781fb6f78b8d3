//! How files and directories of a manifest are made.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cap_fs_ext::{DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::fs::{Dir, OpenOptions};

use crate::transfer::manifest::{Entry, Kind, Manifest};

/// Makes a directory, unless it is there of an earlier attempt.
pub(super) fn make_directory(
    parent: &Dir,
    name: &str,
    builder: &cap_std::fs::DirBuilder,
) -> io::Result<()> {
    match parent.create_dir_with(name, builder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Whatever else it could be was swept away; this fails if it is no directory.
            parent.open_dir_nofollow(name).map(drop)
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

/// Takes away what the owner was given to write the file.
#[cfg(unix)]
pub(super) fn restrict(file: &std::fs::File, mode: u16) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    if mode & 0o600 == 0o600 {
        return Ok(());
    }
    let mut permissions = file.metadata()?.permissions();
    permissions.set_mode(permissions.mode() & u32::from(mode));
    file.set_permissions(permissions)
}

#[cfg(not(unix))]
pub(super) fn restrict(_: &std::fs::File, _: u16) -> io::Result<()> {
    Ok(())
}
