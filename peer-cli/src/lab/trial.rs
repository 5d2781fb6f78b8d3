//! A line between the two hosts: `peer-cli pipe` on both, with bytes that have to arrive.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use super::WorldError;
use super::nat::Reach;
use super::world::{Side, World};

/// Bytes that go through the line: more than one packet.
const BYTES: usize = 64 << 10;

/// How long a code may take.
const CODE: Duration = Duration::from_secs(30);

/// The longest that anything may take after that.
const LIMIT: Duration = Duration::from_secs(60);

/// How it went.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trial {
    /// How the two were connected.
    pub(crate) reach: Reach,
    /// From the start of the second side until it was connected, or had given up.
    pub(crate) took: Duration,
    /// What went wrong that should not, whatever the networks.
    pub(crate) trouble: Option<String>,
}

/// One side.
struct Pipe {
    child: Child,
    events: tokio::io::Lines<BufReader<ChildStderr>>,
}

impl Pipe {
    fn start(world: &World, side: Side, code: Option<&str>) -> Result<Self, WorldError> {
        let own =
            std::env::current_exe().map_err(|source| WorldError::start("this program", source))?;
        let mut words = world.program(side, &own.to_string_lossy());
        words.arg("pipe");
        words.args(code);
        words.args(["--json", "--server", &world.server(side)]);
        let mut child = Command::from(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| WorldError::start("peer-cli", source))?;
        let stderr = child.stderr.take().expect("piped");
        Ok(Self {
            child,
            events: BufReader::new(stderr).lines(),
        })
    }

    /// The next event of one of these kinds; `None` if it ended before.
    async fn event(&mut self, kinds: &[&str]) -> Option<Value> {
        while let Ok(Some(line)) = self.events.next_line().await {
            let event: Value = serde_json::from_str(&line).ok()?;
            if kinds.iter().any(|kind| event["event"] == *kind) {
                return Some(event);
            }
        }
        None
    }
}

/// Connects the two, and moves something; `midway` is done when half of it is there.
pub(crate) async fn run(
    world: &World,
    midway: impl AsyncFnOnce() -> Result<(), WorldError>,
) -> Result<Trial, WorldError> {
    let mut left = Pipe::start(world, Side::Left, None)?;
    let code = timeout(CODE, left.event(&["code"])).await;
    let code = code.ok().flatten();
    let Some(code) = code.as_ref().and_then(|event| event["code"].as_str()) else {
        return Ok(Trial {
            reach: Reach::Nowhere,
            took: CODE,
            trouble: Some("there was no code".to_owned()),
        });
    };
    let started = Instant::now();
    let mut right = Pipe::start(world, Side::Right, Some(code))?;
    let connected = timeout(LIMIT, right.event(&["connected", "error"])).await;
    let took = started.elapsed();
    let connected = connected.ok().flatten().unwrap_or_default();
    let reach = match connected["path"].as_str() {
        Some("direct") => Reach::Direct,
        Some("relayed") => Reach::Relayed,
        _ => Reach::Nowhere,
    };
    let trouble = match reach {
        Reach::Nowhere if connected["exit"] == 5 => None,
        Reach::Nowhere => Some(format!("it ended with {connected}")),
        _ => match timeout(LIMIT, moved(&mut left, &mut right, midway())).await {
            Ok(Ok(())) => None,
            Ok(Err(trouble)) => Some(trouble),
            Err(_) => Some("it was connected, and nothing came".to_owned()),
        },
    };
    Ok(Trial {
        reach,
        took,
        trouble,
    })
}

/// From left to right, and to the end of both.
async fn moved(
    left: &mut Pipe,
    right: &mut Pipe,
    midway: impl Future<Output = Result<(), WorldError>>,
) -> Result<(), String> {
    let sent: Vec<u8> = (0..BYTES).map(|at| (at ^ (at >> 8)) as u8).collect();
    let mut stdin = left.child.stdin.take().expect("piped");
    drop(right.child.stdin.take());
    let mut stdout = right.child.stdout.take().expect("piped");
    let broken = |error: std::io::Error| format!("the line broke: {error}");
    let (first, second) = sent.split_at(BYTES / 2);
    let mut received = vec![0; first.len()];
    let (written, read) = tokio::join!(stdin.write_all(first), stdout.read_exact(&mut received));
    written.and(read).map_err(broken)?;
    midway.await.map_err(|error| error.to_string())?;
    let writing = async {
        let written = stdin.write_all(second).await;
        drop(stdin);
        written
    };
    let (written, read) = tokio::join!(writing, stdout.read_to_end(&mut received));
    written.and(read).map_err(broken)?;
    if received != sent {
        return Err(format!("{} of {BYTES} bytes came", received.len()));
    }
    for side in [left, right] {
        let done = side.event(&["done", "error"]).await.unwrap_or_default();
        if done["event"] != "done" {
            return Err(format!("it ended with {done}"));
        }
    }
    Ok(())
}
