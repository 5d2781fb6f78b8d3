//! What a user wants to send: a list of paths, walked into a manifest.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::holes::{self, Holes};
use super::manifest::{BlockSize, Entry, Kind, MAX_ENTRIES, Manifest, ManifestError};
use super::safe_path::{PathError, STAGING, SafePath};
use super::selection::{Rules, Selection};

/// The files and directories to send, as they were when they were scanned.
#[derive(Debug)]
pub struct Source {
    manifest: Arc<Manifest>,
    roots: Vec<Root>,
    skipped: Vec<Skipped>,
    left_out: usize,
    stream: Stream,
}

/// What is read once, from its start to its end, if it is no file.
#[derive(Default)]
struct Stream(Mutex<Option<Box<dyn Read + Send>>>);

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

/// Something below a given path that is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// What it is: `a symbolic link`, `a pipe`, `a socket`, `a device`.
    pub what: &'static str,
}

/// How many of a tree's problems are told; the rest are counted.
const PROBLEMS: usize = 10;

#[derive(Debug)]
struct Root {
    /// Number of its first entry in the manifest.
    first: usize,
    path: PathBuf,
}

/// Why a list of paths cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file or directory cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A name that not every receiver could store.
    #[error("{} cannot be sent under this name: {reason}; rename it", path.display())]
    Name {
        /// The file or directory.
        path: PathBuf,
        /// The rule it breaks.
        reason: PathError,
    },
    /// Neither a file nor a directory.
    #[error("{} is {what}, not a file or a directory", path.display())]
    Special {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Two of the paths end in the same name.
    #[error("{} and {} would both arrive as {name}: send them one by one", first.display(), second.display())]
    Duplicate {
        /// The name.
        name: String,
        /// The earlier path.
        first: PathBuf,
        /// The later path.
        second: PathBuf,
    },
    /// Several of these at once, in the order of the walk.
    #[error("{} cannot be sent: {}{}", problems.len() + more, listed(problems), and_more(*more))]
    Several {
        /// The first ten.
        problems: Vec<Self>,
        /// How many more there are.
        more: usize,
    },
    /// The files cannot be sent together.
    #[error("these cannot be sent together: {0}")]
    Manifest(#[from] ManifestError),
}

impl Source {
    /// Walks `paths` and remembers names, sizes, times and modes; reads no file. Inside directories,
    /// symbolic links and whatever else is no file or directory are skipped (see [`Source::skipped`]); a
    /// link given in `paths` is followed, anything else given there is refused. Every name that cannot be
    /// sent and every file that cannot be read is reported at once.
    ///
    /// This blocks on the disk.
    pub fn scan(paths: &[PathBuf]) -> Result<Self, SourceError> {
        Self::select(paths, &Selection::default())
    }

    /// Like [`Source::scan`], without what `selection` leaves out. A path given in `paths` itself is
    /// never left out.
    pub fn select(paths: &[PathBuf], selection: &Selection) -> Result<Self, SourceError> {
        let mut scan = Scan {
            entries: Vec::new(),
            short: Vec::new(),
            skipped: Vec::new(),
            left_out: 0,
            problems: Vec::new(),
            more: 0,
        };
        let mut roots = Vec::new();
        let mut names: HashMap<String, &PathBuf> = HashMap::new();
        for path in paths {
            let name = arriving_name(path)?;
            if let Some(first) = names.insert(name.as_str().to_owned(), path) {
                return Err(SourceError::Duplicate {
                    name: name.to_string(),
                    first: first.clone(),
                    second: path.clone(),
                });
            }
            roots.push(Root {
                first: scan.entries.len(),
                path: path.clone(),
            });
            let metadata = fs::metadata(path).map_err(|e| io_error(path, e))?;
            let mut rules = selection.below(path)?;
            scan.add(path, name, &metadata, (&mut rules, Path::new("")))?;
        }
        scan.check()?;
        let title = match (scan.entries.first(), paths.len()) {
            (Some(first), 1) => first.path.top().to_owned(),
            (Some(first), count) => format!("{} and {} more", first.path.top(), count - 1),
            (None, _) => return Err(ManifestError::Empty.into()),
        };
        let largest = scan
            .entries
            .iter()
            .map(Entry::size)
            .max()
            .unwrap_or_default();
        let manifest = Manifest::new(&title, BlockSize::for_largest(largest), scan.entries)?;
        let mut source = Self {
            manifest: Arc::new(manifest),
            roots,
            skipped: scan.skipped,
            left_out: scan.left_out,
            stream: Stream::default(),
        };
        let holes: u64 = scan.short.iter().map(|index| source.holes(*index)).sum();
        if let Some(manifest) = Arc::get_mut(&mut source.manifest) {
            manifest.set_data(manifest.bytes() - holes);
        }
        Ok(source)
    }

    /// What `reader` gives, up to its end, as one file of this name. Its size is known when all of it is
    /// sent, so it cannot be resumed, and only receivers that know streams take it.
    ///
    /// A read that blocks cannot be called off: its thread is left behind when the transfer ends first.
    pub fn stream(name: &str, reader: impl Read + Send + 'static) -> Result<Self, SourceError> {
        let path = child(None, OsStr::new(name)).map_err(|reason| SourceError::Name {
            path: name.into(),
            reason,
        })?;
        let entry = Entry {
            path,
            kind: Kind::File { size: 0 },
            mtime: None,
            mode: None,
        };
        Ok(Self {
            manifest: Arc::new(Manifest::stream(name, BlockSize::STREAM, vec![entry])?),
            roots: Vec::new(),
            skipped: Vec::new(),
            left_out: 0,
            stream: Stream(Mutex::new(Some(Box::new(reader)))),
        })
    }

    /// What a stream is read from; it is there once.
    pub(super) fn take_stream(&self) -> Option<Box<dyn Read + Send>> {
        let mut stream = self.stream.0.lock().unwrap_or_else(PoisonError::into_inner);
        stream.take()
    }

    /// What will be offered.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// What cannot be sent and was passed over.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// How many files and whole directories the selection left out.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Where the entry with this number is on disk.
    pub(super) fn path(&self, index: u32) -> PathBuf {
        let index = index as usize;
        if self.roots.is_empty() {
            return PathBuf::from(self.manifest.entries()[index].path.as_str());
        }
        let root = self.roots.partition_point(|root| root.first <= index) - 1;
        let root = &self.roots[root].path;
        match self.manifest.entries()[index].path.as_str().split_once('/') {
            Some((_, below)) => root.join(below),
            None => root.clone(),
        }
    }

    /// Bytes of a file's blocks that are all in a hole.
    fn holes(&self, index: u32) -> u64 {
        let size = self.manifest.entries()[index as usize].size();
        let block = self.manifest.block_size().bytes();
        let opened = self.open(index).ok().flatten();
        opened.map_or(0, |file| size - Holes::of(&file).data(&file, size, block))
    }

    /// Opens a file if it still is what it was when it was scanned; `Ok(None)` if it is not.
    pub(super) fn open(&self, index: u32) -> io::Result<Option<File>> {
        let path = self.path(index);
        let entry = &self.manifest.entries()[index as usize];
        let mut options = File::options();
        options.read(true);
        #[cfg(unix)]
        {
            // A fifo that took the file's place must not block us.
            use std::os::unix::fs::OpenOptionsExt as _;
            options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
        }
        let file = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let metadata = file.metadata()?;
        let same = metadata.is_file()
            && metadata.len() == entry.size()
            && modified(&metadata) == entry.mtime;
        Ok(same.then_some(file))
    }
}

/// The name under which a path given by the user arrives: its last component, also for `.`, `..`
/// and `dir/..`; `root` for `/`, which has none.
fn arriving_name(path: &Path) -> Result<SafePath, SourceError> {
    let name = match path.file_name() {
        Some(name) => name.to_owned(),
        None => {
            let full = path.canonicalize().map_err(|e| io_error(path, e))?;
            full.file_name().unwrap_or(OsStr::new("root")).to_owned()
        }
    };
    child(None, &name).map_err(|reason| SourceError::Name {
        path: path.to_owned(),
        reason,
    })
}

fn child(parent: Option<&SafePath>, name: &OsStr) -> Result<SafePath, PathError> {
    let name = name.to_str().ok_or(PathError::NotUtf8)?;
    match parent {
        Some(parent) => SafePath::parse(&format!("{}/{name}", parent.as_str())),
        None => SafePath::parse(name),
    }
}

struct Scan {
    entries: Vec<Entry>,
    /// The numbers of those that take less room than their length.
    short: Vec<u32>,
    skipped: Vec<Skipped>,
    left_out: usize,
    problems: Vec<SourceError>,
    more: usize,
}

/// The rules of a walk, and where below its root it is.
type Place<'a, 's> = (&'a mut Rules<'s>, &'a Path);

impl Scan {
    /// Recursion is at most 64 deep: longer paths are refused.
    fn add(
        &mut self,
        path: &Path,
        name: SafePath,
        metadata: &Metadata,
        place: Place<'_, '_>,
    ) -> Result<(), SourceError> {
        if self.entries.len() == MAX_ENTRIES {
            return Err(ManifestError::TooMany.into());
        }
        let entry = |path, kind| Entry {
            path,
            kind,
            mtime: modified(metadata),
            mode: permissions(metadata),
        };
        if metadata.is_dir() {
            self.entries.push(entry(name.clone(), Kind::Directory));
            return self.walk(path, &name, place);
        }
        if !metadata.is_file() {
            return Err(SourceError::Special {
                path: path.to_owned(),
                what: special(metadata),
            });
        }
        if let Err(error) = check_readable(path) {
            self.problem(io_error(path, error));
            return Ok(());
        }
        if holes::is_short(metadata) {
            let number = u32::try_from(self.entries.len()).expect("at most 100,000");
            self.short.push(number);
        }
        self.entries.push(entry(
            name,
            Kind::File {
                size: metadata.len(),
            },
        ));
        Ok(())
    }

    fn walk(
        &mut self,
        directory: &Path,
        name: &SafePath,
        (rules, below): Place<'_, '_>,
    ) -> Result<(), SourceError> {
        let read = || {
            fs::read_dir(directory)?
                .map(|entry| Ok(entry?.file_name()))
                .collect()
        };
        let names: io::Result<Vec<OsString>> = read();
        let mut names = names.map_err(|e| io_error(directory, e))?;
        names.sort();
        let level = rules.enter(below)?;
        for file_name in names {
            let path = directory.join(&file_name);
            let metadata = fs::symlink_metadata(&path).map_err(|e| io_error(&path, e))?;
            let below = below.join(&file_name);
            if rules.leave_out(&below, metadata.is_dir()) {
                self.left_out += 1;
                continue;
            }
            if metadata.is_dir() && file_name == STAGING {
                self.left_out += 1;
                continue;
            }
            if !metadata.is_file() && !metadata.is_dir() {
                let what = special(&metadata);
                self.skipped.push(Skipped { path, what });
                continue;
            }
            match child(Some(name), &file_name) {
                Ok(name) => self.add(&path, name, &metadata, (&mut *rules, &below))?,
                Err(reason) => self.problem(SourceError::Name { path, reason }),
            }
        }
        rules.leave(level);
        Ok(())
    }

    fn problem(&mut self, problem: SourceError) {
        if self.problems.len() < PROBLEMS {
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
    }

    fn check(&mut self) -> Result<(), SourceError> {
        let mut problems = std::mem::take(&mut self.problems);
        match problems.len() {
            0 => Ok(()),
            1 => Err(problems.remove(0)),
            _ => Err(SourceError::Several {
                problems,
                more: self.more,
            }),
        }
    }
}

fn listed(problems: &[SourceError]) -> String {
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

fn and_more(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!("; and {more} more"),
    }
}

fn io_error(path: &Path, source: io::Error) -> SourceError {
    SourceError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Milliseconds since 1970, rounded down, so that both sides of a comparison round alike.
pub(super) fn modified(metadata: &Metadata) -> Option<i64> {
    milliseconds(metadata.modified().ok()?)
}

fn milliseconds(time: SystemTime) -> Option<i64> {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).ok(),
        Err(before) => {
            let before = before.duration();
            let up = before.as_nanos().div_ceil(1_000_000);
            i64::try_from(up).ok().map(|milliseconds| -milliseconds)
        }
    }
}

#[cfg(unix)]
fn permissions(metadata: &Metadata) -> Option<u16> {
    use std::os::unix::fs::PermissionsExt as _;
    Some((metadata.permissions().mode() & 0o777) as u16)
}

#[cfg(not(unix))]
fn permissions(_: &Metadata) -> Option<u16> {
    None
}

/// Found now, it costs a system call; found in the middle of the transfer, it costs the transfer.
#[cfg(unix)]
fn check_readable(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(path, rustix::fs::Access::READ_OK)?)
}

#[cfg(not(unix))]
fn check_readable(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn special(metadata: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    let kind = metadata.file_type();
    if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn special(metadata: &Metadata) -> &'static str {
    if metadata.is_symlink() {
        "a symbolic link"
    } else {
        "something else"
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
