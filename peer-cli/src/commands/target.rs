//! The directory that is received into: one that is there, or can become one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::exit::{Failure, io_reason};

/// What has to be made for `out` to be there, the innermost first.
pub(super) fn missing_directories(out: &Path) -> Vec<PathBuf> {
    out.ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .map(Path::to_owned)
        .collect()
}

/// A directory, or something that can become one.
pub(super) fn check_directory(out: &Path) -> Result<(), Failure> {
    let shown = out.display();
    if out.as_os_str().is_empty() {
        return Err(Failure::usage("--out is empty").hint("name a directory, or leave it out"));
    }
    match fs::metadata(out) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(
            Failure::usage(format!("--out '{shown}' is not a directory"))
                .hint("name a directory to receive into"),
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !out.is_symlink() => Ok(()),
        Err(error) => Err(
            Failure::usage(format!("--out '{shown}': {}", io_reason(&error)))
                .hint("name a directory to receive into"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn directories_and_what_can_become_one() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "x").unwrap();
        for out in [
            home.path().to_owned(),
            home.path().join("new"),
            home.path().join("new/deep"),
        ] {
            assert_eq!(check_directory(&out), Ok(()), "{}", out.display());
            assert_eq!(
                fs::read_dir(home.path()).unwrap().count(),
                1,
                "nothing was made"
            );
        }
        for (out, reason) in [
            (file.clone(), "is not a directory"),
            (file.join("below"), "not a directory"),
            (PathBuf::new(), "is empty"),
        ] {
            let failure = check_directory(&out).expect_err("must be refused");
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains(reason), "{failure}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_dangling_link_is_no_directory() {
        let home = tempfile::tempdir().unwrap();
        let link = home.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert_eq!(
            check_directory(&link).map_err(|failure| failure.exit),
            Err(Exit::Usage)
        );
    }
}
