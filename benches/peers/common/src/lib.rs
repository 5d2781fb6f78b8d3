//! What the programs of every stack do alike: arguments, meeting through files, and the result.
//!
//!     PROGRAM send DIR MIB | PROGRAM receive DIR MIB
//!
//! Both get the same empty directory. The sender sends so many MiB in messages of [`MESSAGE`] bytes over one
//! reliable, ordered channel, and waits for the receiver's answer.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Bytes of a message: the most that every stack carries.
pub const MESSAGE: usize = 65_535;

/// Queued bytes at which a sender waits, and at which it goes on, where a stack leaves that to its user.
pub const HIGH_WATER: usize = 4 << 20;
/// See [`HIGH_WATER`].
pub const LOW_WATER: usize = 1 << 20;

/// What the receiver answers when it has everything.
pub const ANSWER: &[u8] = b"all";

/// How long the other side's file is waited for.
const LIMIT: Duration = Duration::from_secs(60);

/// Which side this is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Send,
    Receive,
}

/// The command line.
pub struct Arguments {
    pub role: Role,
    pub dir: PathBuf,
    /// What is sent.
    pub bytes: usize,
}

/// Reads the command line, or ends the program.
pub fn arguments() -> Arguments {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let read = || {
        let [role, dir, mib] = &words[..] else {
            return None;
        };
        let role = match role.as_str() {
            "send" => Role::Send,
            "receive" => Role::Receive,
            _ => return None,
        };
        let bytes = mib.parse::<usize>().ok()?.checked_mul(1 << 20)?;
        Some(Arguments {
            role,
            dir: dir.into(),
            bytes,
        })
    };
    read().unwrap_or_else(|| {
        eprintln!("usage: send DIR MIB | receive DIR MIB");
        std::process::exit(2)
    })
}

/// Leaves a file for the other side, whole or not at all.
pub fn put(dir: &Path, name: &str, text: &str) {
    let temporary = dir.join(format!("{name}.part"));
    std::fs::write(&temporary, text).expect("the directory can be written");
    std::fs::rename(temporary, dir.join(name)).expect("the directory can be written");
}

/// Waits for the other side's file.
pub fn wait(dir: &Path, name: &str) -> String {
    let begun = Instant::now();
    loop {
        match std::fs::read_to_string(dir.join(name)) {
            Ok(text) => return text,
            Err(error) if begun.elapsed() > LIMIT => panic!("no {name}: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Prints the result: from the first byte to the last.
pub fn report(bytes: usize, elapsed: Duration) {
    let result = serde_json::json!({"bytes": bytes, "seconds": elapsed.as_secs_f64()});
    println!("{result}");
}
