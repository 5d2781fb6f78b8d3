//! Which files below the given paths are sent: patterns, and `.gitignore` where that is asked for.

use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::source::SourceError;

/// What to leave out of a transfer. The default leaves nothing out.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    exclude: Option<Gitignore>,
    gitignore: bool,
}

/// A pattern that makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{pattern}' is not a pattern: {reason}")]
pub struct PatternError {
    /// The pattern as it was given.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Selection {
    /// Leaves out what matches one of `patterns`, which mean what they mean in a `.gitignore` at the
    /// top of each path that is sent: `*.tmp` everywhere, `/build` at the top only, `cache/` directories
    /// only, `!keep.tmp` takes back what an earlier pattern left out.
    pub fn exclude(mut self, patterns: &[String]) -> Result<Self, PatternError> {
        let mut builder = GitignoreBuilder::new("");
        for pattern in patterns {
            let error = |reason: String| PatternError {
                pattern: pattern.clone(),
                reason,
            };
            if pattern.trim().is_empty() {
                return Err(error("it is empty".to_owned()));
            }
            builder
                .add_line(None, pattern)
                .map_err(|cause| error(reason(&cause)))?;
        }
        let all = patterns.join(" ");
        let built = builder.build().map_err(|cause| PatternError {
            pattern: all,
            reason: reason(&cause),
        })?;
        self.exclude = (!patterns.is_empty()).then_some(built);
        Ok(self)
    }

    /// Leaves out what git would: `.gitignore` files in the tree and above it up to the top of its
    /// repository, that repository's own list, and `.git` itself.
    #[must_use]
    pub fn gitignore(mut self, respected: bool) -> Self {
        self.gitignore = respected;
        self
    }

    /// The rules that hold for what is below `root`.
    pub(super) fn below(&self, root: &Path) -> Result<Rules<'_>, SourceError> {
        let mut rules = Rules {
            selection: self,
            root: root.to_owned(),
            levels: Vec::new(),
        };
        if self.gitignore {
            rules.enter_repository(root)?;
        }
        Ok(rules)
    }
}

/// The cause without the position, which is always the only line.
fn reason(error: &ignore::Error) -> String {
    match error {
        ignore::Error::WithLineNumber { err, .. }
        | ignore::Error::WithPath { err, .. }
        | ignore::Error::WithDepth { err, .. } => reason(err),
        ignore::Error::Glob { err, .. } => err.clone(),
        other => other.to_string(),
    }
}

/// What is left out below one of the given paths.
#[derive(Debug)]
pub(super) struct Rules<'s> {
    selection: &'s Selection,
    root: PathBuf,
    /// The `.gitignore` files that hold here, the outermost first, each with the directory that git
    /// would call its own.
    levels: Vec<Gitignore>,
}

impl Rules<'_> {
    /// The rules of the repository around `root`, above it.
    fn enter_repository(&mut self, root: &Path) -> Result<(), SourceError> {
        let full = root.canonicalize().map_err(|source| SourceError::Io {
            path: root.to_owned(),
            source,
        })?;
        // Paths are matched as the walk builds them, so a symbolic link or `..` in `root` must not
        // stand between them and the rules of directories above.
        self.root.clone_from(&full);
        let Some(top) = full.ancestors().find(|above| above.join(".git").exists()) else {
            return Ok(());
        };
        self.read(top, &top.join(".git/info/exclude"))?;
        let mut above: Vec<&Path> = full
            .ancestors()
            .skip(1)
            .take_while(|above| above.starts_with(top))
            .collect();
        above.reverse();
        for directory in above {
            self.read(directory, &directory.join(".gitignore"))?;
        }
        Ok(())
    }

    /// Goes into a directory, `below` the root; returns what [`Rules::leave`] wants back.
    pub(super) fn enter(&mut self, below: &Path) -> Result<usize, SourceError> {
        let level = self.levels.len();
        if self.selection.gitignore {
            let directory = self.root.join(below);
            self.read(&directory, &directory.join(".gitignore"))?;
        }
        Ok(level)
    }

    /// Leaves a directory.
    pub(super) fn leave(&mut self, level: usize) {
        self.levels.truncate(level);
    }

    fn read(&mut self, directory: &Path, file: &Path) -> Result<(), SourceError> {
        // A fifo of this name would block, and git does not read one either.
        if !file.is_file() {
            return Ok(());
        }
        let mut builder = GitignoreBuilder::new(directory);
        if let Some(error) = builder.add(file)
            && let Some(source) = error.into_io_error()
        {
            let path = file.to_owned();
            return Err(SourceError::Io { path, source });
        }
        // A line that git cannot read either is passed over, as git does.
        if let Ok(rules) = builder.build() {
            self.levels.push(rules);
        }
        Ok(())
    }

    /// Whether something is left out; `below` is its path below the root.
    pub(super) fn leave_out(&self, below: &Path, is_directory: bool) -> bool {
        if let Some(exclude) = &self.selection.exclude
            && exclude.matched(below, is_directory).is_ignore()
        {
            return true;
        }
        if !self.selection.gitignore {
            return false;
        }
        if below.file_name().is_some_and(|name| name == ".git") {
            return true;
        }
        let path = self.root.join(below);
        for level in self.levels.iter().rev() {
            match level.matched(&path, is_directory) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => {}
            }
        }
        false
    }
}
