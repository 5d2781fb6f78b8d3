//! An empty directory to run the binary in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory of its own for one test.
pub(crate) struct Home(tempfile::TempDir);

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    /// Exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// stdout.
    pub(crate) out: String,
    /// stderr.
    pub(crate) talk: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file, making its directories.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("is below the home")).expect("makes directories");
        fs::write(&path, content).expect("writes");
        path
    }

    /// Everything in it, sorted.
    pub(crate) fn listing(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.path().to_owned()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).expect("is a directory") {
                let entry = entry.expect("is readable");
                if entry.file_type().expect("has a type").is_dir() {
                    open.push(entry.path());
                }
                found.push(entry.path());
            }
        }
        found.sort();
        found
    }

    /// Runs `peer-cli` here, with nobody at the terminal.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, &[])
    }

    pub(crate) fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
        let mut command = self.command(arguments);
        finish(command.envs(environment.iter().copied()))
    }

    /// Runs it with this as stdout.
    pub(crate) fn run_into(&self, arguments: &[&str], stdout: Stdio) -> Run {
        finish(self.command(arguments).stdout(stdout))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peer-cli"));
        command
            .args(arguments)
            .current_dir(self.path())
            .stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in [
            "PEERLINE_SERVER",
            "PEERLINE_CODE",
            "PEERLINE_LOG",
            "PEERLINE_TURN_USER",
            "PEERLINE_TURN_PASSWORD",
        ] {
            command.env_remove(name);
        }
        command.env("PEERLINE_HOME", self.path().join("no-devices"));
        command
    }
}

fn finish(command: &mut Command) -> Run {
    // `output` would replace a stdout that was set.
    let output = command
        .spawn()
        .expect("starts")
        .wait_with_output()
        .expect("ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Run {
        code: output.status.code(),
        out: text(output.stdout),
        talk: text(output.stderr),
    }
}
