//! `peer-cli`: files and calls over direct, end-to-end encrypted lines.
//!
//! `main` reads the arguments, runs one command and turns its result into an exit code. What is
//! printed is decided in [`ui`], what is done in [`commands`].

mod address;
mod amount;
mod causes;
mod cli;
mod commands;
mod connect;
mod descriptors;
mod devices;
mod discover;
mod exit;
#[cfg(test)]
mod fuzzing;
mod interrupt;
mod invitation;
mod known;
#[cfg(target_os = "linux")]
mod lab;
mod line;
mod logging;
mod scenario;
mod server;
mod stdout;
mod stun;
mod ui;
mod watch;

use std::env;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::panic::resume_unwind;
use std::process::ExitCode;

use cli::{Command, Parsed};
use exit::{Exit, Failure};
use interrupt::Interrupt;
use tokio_util::sync::CancellationToken;
use ui::Ui;

/// Saves a fifth of the time of a transfer. The engine takes and gives back several buffers for each packet; this allocator gives the one
/// that was given back last, which the processor's cache still has. mimalloc goes through half a megabyte before it comes back to one.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// For everything but the engine, which has a thread of its own, and disk and digests, which have one while they are busy. Two may wait
/// for a disk or a lock, and one is left.
const WORKERS: usize = 3;

/// Of commands that move bytes: a second worker would be woken for each message only to find that the first has it, which is 4 % of
/// the time of a transfer. Nothing of theirs waits long for a disk or a lock on a worker while the line is up.
const ONE_WORKER: usize = 1;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    let command = match cli::parse(&arguments) {
        Ok(Parsed::Run(cli)) => cli.command,
        Ok(Parsed::Text(text)) => return print(text.as_bytes()),
        Err(failure) => {
            let audience = cli::audience_of_wrong(&arguments);
            return fail(&voice(&arguments, audience), &failure);
        }
    };
    match command {
        Command::Completions(arguments) => print(&commands::completions::script(&arguments)),
        Command::Transfers(ref arguments) if arguments.common().is_none() => {
            let ui = Ui::new(arguments.audience());
            conclude(&ui, arguments.look(&ui))
        }
        Command::Pair(ref arguments) if arguments.common().is_none() => {
            let ui = Ui::new(arguments.audience());
            conclude(&ui, arguments.look(&ui))
        }
        #[cfg(target_os = "linux")]
        Command::Lab(arguments) => {
            let ui = Ui::new(arguments.audience());
            logging::start(arguments.verbose(), ui.clone());
            let voice = ui.clone();
            let act = async move |stop| arguments.run(&voice, &stop).await;
            let done = on_runtime(&ui, WORKERS, act);
            conclude_with(&ui, done)
        }
        Command::Test(arguments) => {
            let ui = Ui::new(arguments.audience());
            logging::start(arguments.verbose(), ui.clone());
            let voice = ui.clone();
            let act = async move |stop| arguments.run(&voice, &stop).await;
            let done = on_runtime(&ui, WORKERS, act);
            conclude_with(&ui, done)
        }
        Command::SendFile(_)
        | Command::ReceiveFile(_)
        | Command::Pair(_)
        | Command::Transfers(_)
        | Command::Call(_)
        | Command::Forward(_)
        | Command::Record(_)
        | Command::Chat(_)
        | Command::Pipe(_)
        | Command::Expose(_)
        | Command::Connect(_)
        | Command::Doctor(_)
        | Command::Bench(_) => run(command, &arguments),
    }
}

/// Runs a command that opens a line.
fn run(command: Command, arguments: &[OsString]) -> ExitCode {
    let common = command
        .common()
        .expect("commands without a line never come here");
    let ui = voice(arguments, common.audience());
    logging::start(common.verbose, ui.clone());
    let speaker = ui.clone();
    let workers = match command {
        Command::SendFile(_)
        | Command::ReceiveFile(_)
        | Command::Transfers(_)
        | Command::Pipe(_)
        | Command::Expose(_)
        | Command::Connect(_)
        | Command::Bench(_) => ONE_WORKER,
        _ => WORKERS,
    };
    let act = async move |stop| commands::run(command, &speaker, &stop).await;
    let result = on_runtime(&ui, workers, act);
    conclude(&ui, result)
}

/// Does something that Ctrl-C may end, on a worker: what that hands to another of its tasks wakes no thread, which from
/// this thread would be two for each message.
fn on_runtime<T, F>(
    ui: &Ui,
    workers: usize,
    act: impl FnOnce(CancellationToken) -> F,
) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let cannot = |error| Failure::local("cannot start", &error);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(cannot)?;
    // A thread of its own for Ctrl-C, which works whatever the workers wait for.
    let here = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(cannot)?;
    let result = here.block_on(async {
        let interrupt = Interrupt::listen(ui.clone())
            .map_err(|error| Failure::local("cannot listen for Ctrl-C", &error))?;
        Ok::<_, Failure>(runtime.spawn(act(interrupt.token().clone())).await)
    });
    // Not waited for: a prompt or a DNS lookup may still sit in a thread that cannot be stopped.
    runtime.shutdown_background();
    here.shutdown_background();
    result?.unwrap_or_else(|ended| resume_unwind(ended.into_panic()))
}

fn voice(arguments: &[OsString], audience: ui::Audience) -> Ui {
    match cli::keeps_stdout(arguments) {
        true => Ui::beside_data(audience),
        false => Ui::new(audience),
    }
}

fn conclude(ui: &Ui, result: Result<(), Failure>) -> ExitCode {
    conclude_with(ui, result.map(|()| Exit::Done.number()))
}

/// As [`conclude`], of a command whose result has an exit code of its own.
fn conclude_with(ui: &Ui, result: Result<u8, Failure>) -> ExitCode {
    match result.and_then(|code| ui.finish().map(|()| code)) {
        Ok(code) => code.into(),
        Err(failure) => fail(ui, &failure),
    }
}

fn fail(ui: &Ui, failure: &Failure) -> ExitCode {
    ui.fail(failure);
    // The first failure counts; that stdout failed as well changes nothing.
    let _ = ui.finish();
    failure.exit.into()
}

/// Writes a result that is all there is. A reader that had enough (`| head`) is a success.
fn print(bytes: &[u8]) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => fail(
            &Ui::new(ui::Audience::People),
            &Failure::local("cannot write to stdout", &error),
        ),
        _ => Exit::Done.into(),
    }
}
