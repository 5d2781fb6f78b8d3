//! What sending and receiving have in common: what is shown while files travel, and how it ends.

use std::env;
use std::future::Future;

use peerline::transfer::{Event as Step, Leftover, Summary, TransferError};
use tokio::sync::mpsc;

use crate::exit::{Failure, Kept, Remains};
use crate::invitation::shell_word;
use crate::line::Line;
use crate::ui::{Route, Ui, clean, event};

/// Steps that wait to be shown. A terminal that is slow slows the transfer, by backpressure, and a
/// burst of small files does not.
const QUEUE: usize = 256;

/// Runs a transfer over `line`, which reports to the queue that `begin` is given, and shows its steps.
pub(super) async fn run<F>(
    ui: &Ui,
    line: &Line,
    side: Side,
    begin: impl FnOnce(mpsc::Sender<Step>) -> F,
) -> Result<Summary, Failure>
where
    F: Future<Output = Result<Summary, TransferError>>,
{
    let (steps, mut queue) = mpsc::channel(QUEUE);
    let mut far = Far::default();
    let showing = async {
        while let Some(step) = queue.recv().await {
            far.note(&step);
            show(ui, step);
        }
    };
    let (result, ()) = tokio::join!(begin(steps), showing);
    ended(line, result).await.map_err(|failure| Failure {
        remains: far.remains(side).map(Box::new),
        ..failure
    })
}

/// Which side this is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Sender,
    Receiver,
}

/// How far a transfer has come.
#[derive(Debug, Default)]
struct Far {
    accepted: bool,
    kept: Option<Leftover>,
}

impl Far {
    fn note(&mut self, step: &Step) {
        match step {
            Step::Accepted => self.accepted = true,
            Step::Kept(leftover) => self.kept = Some(leftover.clone()),
            _ => {}
        }
    }

    /// How to go on from there: a sender's receiver may have kept something once it has accepted.
    fn remains(self, side: Side) -> Option<Remains> {
        match side {
            Side::Sender => self.accepted.then(|| Remains {
                resume: own_command(),
                kept: None,
            }),
            Side::Receiver => self.kept.map(|Leftover { id, out, bytes }| {
                let path = out.join(".peerline").join(id.as_str());
                let out = shell_word(&out.to_string_lossy());
                Remains {
                    resume: format!("peer-cli transfers resume {id} --out {out}"),
                    kept: Some(Kept {
                        id: id.to_string(),
                        path: path.display().to_string(),
                        bytes,
                        discard: format!("peer-cli transfers discard {id} --out {out}"),
                    }),
                }
            }),
        }
    }
}

/// The command line of this process, to be typed again; a password in it is left out.
fn own_command() -> String {
    const SECRET: &str = "--turn-password";
    let mut words = vec!["peer-cli".to_owned()];
    let mut arguments = env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        let word = argument.to_string_lossy();
        if word == SECRET {
            arguments.next();
        } else if !word.starts_with("--turn-password=") {
            words.push(shell_word(&word));
        }
    }
    words.join(" ")
}

async fn ended(line: &Line, result: Result<Summary, TransferError>) -> Result<Summary, Failure> {
    match result {
        Ok(summary) => Ok(summary),
        Err(error @ TransferError::Closed) => Err(line.why_closed(Failure::from(&error)).await),
        Err(error) => Err(Failure::from(&error)),
    }
}

fn show(ui: &Ui, step: Step) {
    match step {
        // The receiver is asked about it; the sender knows what it sends.
        Step::Offered(_) => {}
        Step::Accepted => tracing::info!("accepted"),
        Step::Resuming { bytes, total } => ui.resume(bytes, total),
        Step::Changed { path } => ui.say(event::Changed { path }),
        // Said with the failure that follows.
        Step::Kept(_) => {}
        Step::Progress { bytes, total, .. } => ui.progress(bytes, total),
        Step::File { path, size, digest } => ui.say(event::File {
            path,
            size,
            digest: digest.to_string(),
        }),
        Step::Resent { path, block } => ui.note(&format!(
            "Block {block} of {} arrived damaged and is sent again.",
            clean(&path)
        )),
    }
}

/// The last line of a transfer that is done.
pub(super) fn say_done(ui: &Ui, summary: &Summary, path: Route) {
    ui.progress(summary.bytes, summary.bytes);
    let seconds = summary.elapsed.as_secs_f64();
    let (lanes, packet) = (summary.lanes, summary.packet.unwrap_or(0));
    tracing::info!(lanes, packet, "the transfer is done");
    ui.say(event::Done {
        bytes: summary.bytes,
        files: summary.files.into(),
        seconds,
        rate: if seconds > 0.0 {
            (summary.bytes - summary.resumed) as f64 / seconds
        } else {
            0.0
        },
        resumed: summary.resumed,
        path,
        lanes,
        packet,
        helped: summary.helped,
        receivers: None,
    });
}
