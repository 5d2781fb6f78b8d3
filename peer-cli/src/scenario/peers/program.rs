//! A peer that is any program.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Order;
use crate::scenario::inbox::Seen;
use crate::scenario::plan::Act;
use crate::scenario::report::Reporter;
use crate::scenario::timeline::Input;

/// Longest line that is looked at; what is longer is several.
const LINE: u64 = 8 << 10;

/// How long the output of a program is read after its end: whoever inherited it may hold it open.
const OUTPUT_LIMIT: Duration = Duration::from_secs(1);

/// A program that is to be run.
pub(in super::super) struct Program {
    pub(in super::super) words: Vec<String>,
    pub(in super::super) variables: BTreeMap<String, String>,
    pub(in super::super) directory: PathBuf,
    pub(in super::super) reporter: Reporter,
    pub(in super::super) orders: mpsc::Receiver<Order>,
}

/// Runs it to its end, or until nobody gives orders any more; then it is killed.
pub(in super::super) async fn run(mut program: Program) {
    let reporter = program.reporter.clone();
    let mut child = match start(&program) {
        Ok(child) => child,
        Err(why) => return reporter.broken(why).await,
    };
    let mut stdin = child.stdin.take();
    let mut reading = JoinSet::new();
    if let Some(stdout) = child.stdout.take() {
        reading.spawn(read(stdout, reporter.clone()));
    }
    if let Some(stderr) = child.stderr.take() {
        reading.spawn(read(stderr, reporter.clone()));
    }
    reporter.tell(Input::Up(reporter.peer)).await;
    let mut ended = false;
    loop {
        tokio::select! {
            order = program.orders.recv() => match order {
                Some(Order::Act(act)) => {
                    let done = obey(&mut child, &mut stdin, act, ended).await;
                    reporter.done(done).await;
                }
                Some(Order::Ask(_) | Order::Picture(_)) => {}
                None => return,
            },
            status = child.wait(), if !ended => {
                ended = true;
                // Everything that it printed was before its end.
                let rest = async { while reading.join_next().await.is_some() {} };
                let _ = tokio::time::timeout(OUTPUT_LIMIT, rest).await;
                let code = status.ok().and_then(|status| status.code());
                reporter.seen(Seen::Exit(code)).await;
            }
        }
    }
}

fn start(program: &Program) -> Result<Child, String> {
    let (name, words) = program.words.split_first().ok_or("there is no program")?;
    let mut command = Command::new(name);
    command
        .args(words)
        .envs(&program.variables)
        .current_dir(&program.directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let started = command.spawn();
    started.map_err(|error| format!("cannot run '{name}': {}", crate::exit::io_reason(&error)))
}

async fn obey(
    child: &mut Child,
    stdin: &mut Option<ChildStdin>,
    act: Act,
    ended: bool,
) -> Result<(), String> {
    match act {
        _ if ended => Err("it has ended already".into()),
        Act::Write(text) => {
            let pipe = stdin.as_mut().ok_or("its stdin is closed")?;
            let written = async {
                pipe.write_all(text.as_bytes()).await?;
                pipe.flush().await
            };
            let written = written.await;
            written.map_err(|error| format!("it does not read: {}", crate::exit::io_reason(&error)))
        }
        Act::Leave => interrupt(child),
        Act::Kill => child.start_kill().map_err(|error| error.to_string()),
        _ => Err("a program cannot do that".into()),
    }
}

#[cfg(unix)]
fn interrupt(child: &Child) -> Result<(), String> {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or("it has ended already")?;
    rustix::process::kill_process(pid, rustix::process::Signal::INT)
        .map_err(|error| error.to_string())
}

#[cfg(not(unix))]
fn interrupt(_: &Child) -> Result<(), String> {
    Err("a program can only be killed on this system".into())
}

/// Tells each line until the end.
async fn read(stream: impl AsyncRead + Unpin, reporter: Reporter) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        match (&mut stream).take(LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']).to_owned();
        reporter.seen(Seen::Output(text)).await;
    }
}
