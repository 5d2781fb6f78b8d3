//! The directory that files are received into: what is in the way, and the move into place.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use cap_fs_ext::DirExt as _;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, FileType};

use super::disk::{free_space, rename_new, sync_dir};
use super::resume::Search;
use super::staging::Staging;
use crate::transfer::error::TransferError;
use crate::transfer::manifest::{Kind, Manifest};

/// What a file system takes for a file beyond its bytes: half a block, the inode and the name,
/// rounded up.
const PER_ENTRY: u64 = 4096;

/// What the journal takes for a block: its number and its digest, rounded up.
const PER_BLOCK: u64 = 64;

/// What to do about existing files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Keep,
    Replace,
}

/// Opens the target directory and checks, before anybody is asked, that the transfer fits in there;
/// with `search`, what is there of an earlier attempt is looked for and counted.
pub(super) fn open(
    path: &Path,
    manifest: &Manifest,
    existing: Existing,
    search: impl FnOnce(&Dir, &Manifest) -> Search,
) -> Result<(Dir, Search), TransferError> {
    let out =
        Dir::open_ambient_dir(path, ambient_authority()).map_err(|e| TransferError::io(path, e))?;
    check_names(&out, path, manifest, existing)?;
    let free = free_space(&out).map_err(|e| TransferError::io(path, e))?;
    let search = search(&out, manifest);
    let found = search.found.as_ref();
    let there = found.map_or(0, |found| found.kept.bytes(manifest));
    check_space(path, manifest, there, free)?;
    Ok((out, search))
}

fn check_space(
    path: &Path,
    manifest: &Manifest,
    there: u64,
    free: Option<u64>,
) -> Result<(), TransferError> {
    let entries = u64::try_from(manifest.entries().len()).expect("at most 100,000");
    // Holes take no room, and a line in the journal like others: a few bytes can stand for many of them.
    let blocks = manifest.bytes() / u64::from(manifest.block_size().bytes());
    let missing = manifest.bytes().saturating_sub(there).min(manifest.data());
    let needed = missing + entries * PER_ENTRY + blocks * PER_BLOCK;
    match free {
        Some(free) if needed > free => Err(TransferError::NoSpace {
            path: path.to_owned(),
            needed,
            free,
        }),
        _ => Ok(()),
    }
}

/// Looks at every path that will be written, and follows no symbolic link: below something that is
/// missing or not a directory nothing is looked at.
fn check_names(
    out: &Dir,
    out_path: &Path,
    manifest: &Manifest,
    existing: Existing,
) -> Result<(), TransferError> {
    #[derive(Clone, Copy)]
    enum There {
        Missing,
        Directory,
    }
    let mut known: HashMap<&str, There> = HashMap::new();
    for entry in manifest.entries() {
        let path = entry.path.as_str();
        let ends = path
            .match_indices('/')
            .map(|(at, _)| at)
            .chain([path.len()]);
        for prefix in ends.map(|end| &path[..end]) {
            let there = match known.get(prefix) {
                Some(there) => *there,
                None => {
                    let wanted_file = prefix == path && matches!(entry.kind, Kind::File { .. });
                    let there = match out.symlink_metadata(prefix) {
                        Err(error) if error.kind() == io::ErrorKind::NotFound => There::Missing,
                        Err(error) => return Err(TransferError::io(&out_path.join(prefix), error)),
                        Ok(metadata) => {
                            let is = metadata.file_type();
                            let allowed = existing == Existing::Replace
                                && if wanted_file {
                                    is_replaceable(is)
                                } else {
                                    is.is_dir()
                                };
                            if !allowed {
                                return Err(exists(prefix, is));
                            }
                            There::Directory
                        }
                    };
                    known.insert(prefix, there);
                    there
                }
            };
            if let There::Missing = there {
                break;
            }
        }
    }
    Ok(())
}

/// Moves everything in the staging directory to its place. A name that is not there yet takes one
/// rename, however much is below it. If one fails, those before it are moved back, except what
/// replaced something.
pub(super) fn commit(
    staging: &Staging,
    manifest: &Manifest,
    existing: Existing,
) -> Result<(), TransferError> {
    let mover = Mover {
        out_path: staging.out_path(),
        existing,
    };
    let mut moved = Vec::new();
    for name in manifest.top_level() {
        match mover.place(staging.tree(), staging.out(), name, name) {
            Ok(Placed::New) => moved.push(name),
            Ok(Placed::Merged) => {}
            Err(error) => {
                for name in moved {
                    let _ = rename_new(staging.out(), staging.tree(), name);
                }
                return Err(error);
            }
        }
    }
    sync_dir(staging.out()).map_err(|e| TransferError::io(staging.out_path(), e))
}

enum Placed {
    New,
    Merged,
}

struct Mover<'a> {
    out_path: &'a Path,
    existing: Existing,
}

impl Mover<'_> {
    /// Moves `name` from one directory to the other; `path` is what the user calls it. As deep as
    /// paths are, 64.
    fn place(&self, from: &Dir, to: &Dir, name: &str, path: &str) -> Result<Placed, TransferError> {
        let at = |error| TransferError::io(&self.out_path.join(path), error);
        match rename_new(from, to, name) {
            Ok(()) => return Ok(Placed::New),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(at(error)),
        }
        let there = to.symlink_metadata(name).map_err(at)?.file_type();
        let ours = from.symlink_metadata(name).map_err(at)?;
        match self.existing {
            Existing::Replace if !ours.is_dir() && is_replaceable(there) => {
                // Replaces the name: a link is not followed, and other names of the old file keep
                // it.
                from.rename(name, to, name).map_err(at)?;
            }
            Existing::Replace if ours.is_dir() && there.is_dir() => {
                let from = from.open_dir_nofollow(name).map_err(at)?;
                let to = to.open_dir_nofollow(name).map_err(at)?;
                // Listed before anything is moved away from under the listing.
                let list = || {
                    from.entries()?
                        .map(|entry| Ok(entry?.file_name()))
                        .collect()
                };
                let names: io::Result<Vec<OsString>> = list();
                for name in names.map_err(at)? {
                    let name = name
                        .to_str()
                        .ok_or_else(|| at(io::ErrorKind::InvalidData.into()))?;
                    self.place(&from, &to, name, &format!("{path}/{name}"))?;
                }
                sync_dir(&to).map_err(at)?;
            }
            _ => return Err(exists(path, there)),
        }
        Ok(Placed::Merged)
    }
}

fn is_replaceable(there: FileType) -> bool {
    there.is_file() || there.is_symlink()
}

fn exists(path: &str, there: FileType) -> TransferError {
    let found = if there.is_dir() {
        "a directory"
    } else if there.is_file() {
        "a file"
    } else if there.is_symlink() {
        "a symbolic link"
    } else {
        "a pipe, socket or device"
    };
    TransferError::Exists {
        path: path.to_owned(),
        found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::manifest::{BlockSize, Entry};
    use crate::transfer::safe_path::SafePath;

    #[test]
    fn space_is_checked_with_room_for_every_entry() {
        let path = SafePath::parse("a").unwrap();
        let entry = Entry {
            path,
            kind: Kind::File { size: 1000 },
            mtime: None,
            mode: None,
        };
        let manifest = Manifest::new("a", BlockSize::for_largest(0), vec![entry]).unwrap();
        let check = |there, free| check_space(Path::new("out"), &manifest, there, free).is_ok();
        assert!(check(0, Some(5096)) && check(0, None));
        assert!(!check(0, Some(5095)) && !check(0, Some(0)));
        assert!(check(900, Some(4196)) && !check(900, Some(4195)));
    }

    #[test]
    fn holes_take_no_room_but_their_lines_in_the_journal() {
        let entry = Entry {
            path: SafePath::parse("a").unwrap(),
            kind: Kind::File { size: 100 << 30 },
            mtime: None,
            mode: None,
        };
        let size = BlockSize::for_largest(100 << 30);
        let mut manifest = Manifest::new("a", size, vec![entry]).unwrap();
        manifest.set_data(5 << 20);
        let check =
            |there, free| check_space(Path::new("out"), &manifest, there, Some(free)).is_ok();
        // 51,200 blocks of 2 MiB.
        let needed = (5 << 20) + 4096 + 51_200 * PER_BLOCK;
        assert!(check(0, needed) && !check(0, needed - 1));
        // What is there may be holes.
        assert!(check(90 << 30, needed) && !check(90 << 30, needed - 1));
        let last = needed - (4 << 20);
        assert!(check((100 << 30) - (1 << 20), last) && !check((100 << 30) - (1 << 20), last - 1));
    }
}
