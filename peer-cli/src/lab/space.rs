//! One network namespace: made, entered by a thread or a program, and taken away when it is dropped.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Output, Stdio};
use std::thread;

use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::WorldError;

/// Where `ip` keeps its namespaces.
const HOME: &str = "/run/netns";

/// A namespace of its own for a host.
#[derive(Debug)]
pub(super) struct Space(String);

impl Space {
    pub(super) fn new(name: String) -> Result<Self, WorldError> {
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let space = Self(name);
        space.ip("link set lo up")?;
        // Nobody else has the addresses of the lab: without that, those of IPv6 cannot be used for a second or two
        // (RFC 4862 section 5.4).
        space.set(&[("ipv6/conf/default/accept_dad", "0")])?;
        Ok(space)
    }

    pub(super) fn name(&self) -> &str {
        &self.0
    }

    /// `ip` within it.
    pub(super) fn ip(&self, words: &str) -> Result<(), WorldError> {
        run(Command::new("ip")
            .args(["-n", &self.0])
            .args(words.split(' ')))
    }

    /// Loads rules for its packets.
    pub(super) fn rules(&self, rules: &str) -> Result<(), WorldError> {
        let mut nft = self.program("nft");
        nft.args(["-f", "-"]);
        run_with(&mut nft, rules)
    }

    /// Passes on what is not for it, in both families. An interface that loses an address keeps its others.
    pub(super) fn forward(&self) -> Result<(), WorldError> {
        self.set(&[
            ("ipv4/ip_forward", "1"),
            ("ipv6/conf/all/forwarding", "1"),
            ("ipv4/conf/all/promote_secondaries", "1"),
        ])
    }

    /// Sets what the kernel does in it.
    fn set(&self, settings: &[(&str, &str)]) -> Result<(), WorldError> {
        self.enter(|| {
            settings
                .iter()
                .try_for_each(|(name, value)| fs::write(format!("/proc/sys/net/{name}"), value))
        })?
        .map_err(|source| WorldError::Namespace { source })
    }

    /// Does something in it; sockets that are opened meanwhile stay in it.
    pub(super) fn enter<T: Send>(&self, act: impl FnOnce() -> T + Send) -> Result<T, WorldError> {
        let file = self.file()?;
        thread::scope(|scope| {
            let entered = scope.spawn(move || {
                enter(&file)?;
                Ok(act())
            });
            entered.join().expect("a closure of ours does not panic")
        })
        .map_err(|source| WorldError::Namespace { source })
    }

    /// A thread that stays in it.
    pub(super) fn inhabit<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> Result<thread::JoinHandle<io::Result<T>>, WorldError> {
        let file = self.file()?;
        Ok(thread::spawn(move || {
            enter(&file)?;
            Ok(act())
        }))
    }

    /// A program within it.
    pub(super) fn program(&self, name: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, name]);
        command
    }

    fn file(&self) -> Result<File, WorldError> {
        File::open(format!("{HOME}/{}", self.0)).map_err(|source| WorldError::Namespace { source })
    }
}

fn enter(file: &File) -> io::Result<()> {
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

impl Drop for Space {
    fn drop(&mut self) {
        // Its cables and rules go with it.
        if let Err(error) = run(Command::new("ip").args(["netns", "del", &self.0])) {
            tracing::warn!(%error, "a network namespace is left behind");
        }
    }
}

/// Runs it to its end, without input.
fn run(command: &mut Command) -> Result<(), WorldError> {
    run_with(command, "")
}

/// Runs it to its end, in a process group of its own: Ctrl-C on the terminal is for us, who then still have to take
/// everything away. It has that group a moment after it is there, and Ctrl-C before ends it with nothing done; once
/// more, then.
fn run_with(command: &mut Command, input: &str) -> Result<(), WorldError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let named = |source| WorldError::start(name.as_str(), source);
    let mut output = run_once(command, input).map_err(named)?;
    if output.status.signal() == Some(Signal::INT.as_raw()) {
        output = run_once(command, input).map_err(named)?;
    }
    succeeded(command, &output)
}

fn run_once(command: &mut Command, input: &str) -> io::Result<Output> {
    let mut child = command
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().expect("piped");
    // A program that ends early says why on stderr.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output()
}

fn succeeded(command: &Command, output: &Output) -> Result<(), WorldError> {
    if output.status.success() {
        return Ok(());
    }
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    Err(WorldError::Refused {
        command: words.join(" "),
        message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
