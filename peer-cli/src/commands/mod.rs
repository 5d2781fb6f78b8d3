//! One file per command: its arguments, what they come down to, and what it does.

pub(crate) mod bench;
pub(crate) mod call;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod connect;
pub(crate) mod doctor;
pub(crate) mod expose;
pub(crate) mod forward;
mod hub;
#[cfg(target_os = "linux")]
pub(crate) mod lab;
mod listen;
mod meeting;
mod offer;
pub(crate) mod pair;
pub(crate) mod pipe;
mod policy;
pub(crate) mod receive_file;
pub(crate) mod record;
pub(crate) mod send_file;
mod send_many;
mod target;
pub(crate) mod test;
mod transfer;
pub(crate) mod transfers;
mod tunnel;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::cli::Command;
use crate::exit::Failure;
use crate::ui::{Audience, Ui};

/// Runs a command that opens a line, until it is done, fails, or has ended because `stop` was
/// cancelled.
pub(crate) async fn run(
    command: Command,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    // Boxed: of what is not, the compiler cannot tell that it may move between threads (rust-lang/rust#102211).
    let running = match &command {
        Command::SendFile(arguments) => send_file::run(arguments, ui, stop).boxed(),
        Command::ReceiveFile(arguments) => receive_file::run(arguments, ui, stop).boxed(),
        Command::Pair(arguments) => arguments.run(ui, stop).boxed(),
        Command::Transfers(arguments) => arguments.resume(ui, stop).boxed(),
        Command::Call(arguments) => call::run(arguments, ui, stop).boxed(),
        Command::Forward(arguments) => forward::run(arguments, ui, stop).boxed(),
        Command::Record(arguments) => record::run(arguments, ui, stop).boxed(),
        Command::Chat(arguments) => chat::run(arguments, ui, stop).boxed(),
        Command::Pipe(arguments) => pipe::run(arguments, ui, stop).boxed(),
        Command::Expose(arguments) => expose::run(arguments, ui, stop).boxed(),
        Command::Connect(arguments) => connect::run(arguments, ui, stop).boxed(),
        Command::Doctor(arguments) => doctor::run(arguments, ui, stop).boxed(),
        Command::Bench(arguments) => bench::run(arguments, ui, stop).boxed(),
        Command::Completions(_) => return Err(Failure::bug("completions open no line")),
        Command::Test(_) => return Err(Failure::bug("scenarios have lines of their own")),
        #[cfg(target_os = "linux")]
        Command::Lab(_) => return Err(Failure::bug("the lab opens no line of its own")),
    };
    running.await
}

/// `--verify` needs somebody to compare the words: a person at a terminal, or a script that reads them.
fn check_verify(verify: bool, ui: &Ui) -> Result<(), Failure> {
    if !verify || ui.can_ask() || ui.audience() == Audience::Scripts {
        return Ok(());
    }
    Err(
        Failure::usage("--verify needs a terminal to ask whether the words are the same")
            .hint("with --json a script can compare them"),
    )
}
