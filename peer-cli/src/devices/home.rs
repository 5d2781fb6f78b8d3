//! The directory in which a device keeps its key and the others it knows. Nobody else may look into it.
//!
//! What is written replaces what was there as a whole, or not at all; one process writes at a time.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::exit::{Exit, Failure};

/// Names the directory.
const VARIABLE: &str = "PEERLINE_HOME";

/// No file of ours is nearly as long.
const LONGEST: u64 = 1 << 20;

const LOCK: &str = "lock";

/// How long another process may write; it takes milliseconds, and longer if it was stopped in between. Locks
/// of files have no wait with a limit, so it is asked again.
const LOCK_LIMIT: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The directory, which may not exist yet.
#[derive(Clone, Debug)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// `PEERLINE_HOME`, or `peerline` in the directory for settings of this user.
    pub(crate) fn of_user() -> Result<Self, Failure> {
        let set = |variable| env::var_os(variable).filter(|value| !value.is_empty());
        let path = set(VARIABLE)
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(set("XDG_CONFIG_HOME")?).join("peerline")))
            .or_else(|| Some(env::home_dir()?.join(".config").join("peerline")));
        path.map(Self).ok_or_else(|| {
            Failure::new(
                Exit::Local,
                "no-home",
                "this user has no home directory to keep devices in",
            )
            .hint(format!("name a directory with {VARIABLE}"))
        })
    }

    #[cfg(test)]
    pub(super) fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The content of a file; none if there is no such file.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let directory = match fs::symlink_metadata(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found.map_err(|error| cannot("look at", &self.0, &error))?,
        };
        check(&self.0, &directory)?;
        let path = self.0.join(name);
        let file = match options().read(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| cannot("open", &path, &error))?,
        };
        let metadata = file
            .metadata()
            .map_err(|error| cannot("look at", &path, &error))?;
        check(&path, &metadata)?;
        if !metadata.is_file() || metadata.len() > LONGEST {
            return Err(damaged(&path));
        }
        let mut bytes = Vec::new();
        let read = file.take(LONGEST).read_to_end(&mut bytes);
        read.map_err(|error| cannot("read", &path, &error))?;
        Ok(Some(bytes))
    }

    /// Makes the directory if need be, and keeps other processes from writing as long as the lock lives.
    pub(super) fn lock(&self) -> Result<Lock, Failure> {
        let made = builder().create(&self.0);
        made.map_err(|error| cannot("make", &self.0, &error))?;
        let directory = fs::symlink_metadata(&self.0);
        check(
            &self.0,
            &directory.map_err(|error| cannot("look at", &self.0, &error))?,
        )?;
        let path = self.0.join(LOCK);
        let file = options().write(true).create(true).open(&path);
        let file = file.map_err(|error| cannot("open", &path, &error))?;
        let begun = Instant::now();
        while !try_lock(&file).map_err(|error| cannot("lock", &path, &error))? {
            if begun.elapsed() > LOCK_LIMIT {
                let message = format!("another peer-cli is writing in '{}'", self.0.display());
                return Err(Failure::new(Exit::Local, "in-use", message)
                    .hint("wait for it, or end it")
                    .retry());
            }
            sleep(LOCK_PAUSE);
        }
        Ok(Lock {
            home: self.0.clone(),
            _file: file,
        })
    }

    /// A file that is not what it should be.
    pub(super) fn damaged(&self, name: &str) -> Failure {
        damaged(&self.0.join(name))
    }
}

/// The right to write.
pub(super) struct Lock {
    home: PathBuf,
    _file: File,
}

impl Lock {
    /// Puts `content` in the place of a file. When this returns, it is on the disk.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<(), Failure> {
        let path = self.home.join(name);
        self.replace(name, content)
            .map_err(|error| cannot("write", &path, &error))
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let new = self.home.join(format!("{name}.new"));
        match fs::remove_file(&new) {
            // Of a process that was killed.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = options().write(true).create_new(true).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, self.home.join(name))?;
        #[cfg(unix)]
        File::open(&self.home)?.sync_all()?;
        Ok(())
    }
}

/// Ours, and for nobody else to read or change.
#[cfg(unix)]
fn check(path: &Path, metadata: &fs::Metadata) -> Result<(), Failure> {
    use std::os::unix::fs::MetadataExt as _;
    let shown = path.display();
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    let (wrong, hint) = if metadata.is_symlink() {
        (
            "is a symbolic link",
            format!("name what it points to with {VARIABLE}"),
        )
    } else if !own {
        (
            "belongs to somebody else",
            format!("run this as its owner, or name another directory with {VARIABLE}"),
        )
    } else if metadata.mode() & 0o077 != 0 {
        (
            "can be read or changed by others",
            format!("chmod go= '{shown}', and pair anew if somebody may have read it"),
        )
    } else {
        return Ok(());
    };
    let message = format!("'{shown}' {wrong}, so the keys in it are not used");
    Err(Failure::new(Exit::Local, "unsafe-permissions", message).hint(hint))
}

/// There are no such permissions.
#[cfg(not(unix))]
fn check(_: &Path, _: &fs::Metadata) -> Result<(), Failure> {
    Ok(())
}

fn builder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder
}

/// Follows no link and waits for no pipe.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.mode(0o600);
        options.custom_flags(flags.bits().cast_signed());
    }
    options
}

#[cfg(unix)]
fn try_lock(file: &File) -> io::Result<bool> {
    use rustix::fs::{FlockOperation, flock};
    use rustix::io::Errno;
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(false),
        result => Ok(result.map(|()| true)?),
    }
}

#[cfg(not(unix))]
fn try_lock(_: &File) -> io::Result<bool> {
    Ok(true)
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::local(format!("cannot {what} '{}'", path.display()), error)
}

fn damaged(path: &Path) -> Failure {
    let message = format!("'{}' is not what it was written as", path.display());
    Failure::new(Exit::Local, "damaged", message)
        .hint("restore it from a backup, or remove it and pair anew")
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("is there").permissions().mode() & 0o777
    }

    #[test]
    fn what_is_written_is_for_nobody_else() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b");
        let home = Home::at(&path);
        assert_eq!(home.read("x"), Ok(None));
        assert!(!path.exists(), "reading makes nothing");
        home.lock().unwrap().write("x", b"one").unwrap();
        fs::write(path.join("x.new"), "of one that was killed").unwrap();
        home.lock().unwrap().write("x", b"two").unwrap();
        assert_eq!(home.read("x"), Ok(Some(b"two".to_vec())));
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("x")), 0o600);
        assert!(!path.join("x.new").exists());
    }

    #[test]
    fn what_others_can_read_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("home");
        let home = Home::at(&path);
        home.lock().unwrap().write("x", b"secret").unwrap();
        for (what, bits) in [
            ("x", 0o640),
            ("x", 0o604),
            ("x", 0o620),
            ("", 0o710),
            ("", 0o755),
        ] {
            let what = path.join(what);
            let before = fs::metadata(&what).unwrap().permissions();
            fs::set_permissions(&what, fs::Permissions::from_mode(bits)).unwrap();
            let failure = home.read("x").expect_err("must be refused");
            assert_eq!(
                (failure.exit, failure.kind),
                (Exit::Local, "unsafe-permissions")
            );
            assert!(failure.hint.contains("chmod"), "{failure}");
            fs::set_permissions(&what, before).unwrap();
        }
        assert!(home.read("x").is_ok());
        symlink(path.join("x"), path.join("link")).unwrap();
        assert!(home.read("link").is_err());
        symlink(&path, place.path().join("way")).unwrap();
        let failure = Home::at(place.path().join("way")).read("x").unwrap_err();
        assert!(failure.message.contains("symbolic link"), "{failure}");
    }

    #[test]
    fn one_writes_at_a_time() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::at(place.path().join("home"));
        let first = home.lock().unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| home.lock().map(|lock| lock.write("x", b"second")));
            first.write("x", b"first").unwrap();
            drop(first);
            second.join().unwrap().unwrap().unwrap();
        });
        assert_eq!(home.read("x"), Ok(Some(b"second".to_vec())));
    }
}
