//! `peer-cli transfers`: what unfinished transfers left in a directory, and going on or discarding it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use peerline::transfer::{
    DiscardError, Partial, PartialState, TransferId, discard, display_name, partials,
};
use tokio_util::sync::CancellationToken;

use super::receive_file;
use crate::cli::Common;
use crate::exit::{Exit, Failure};
use crate::invitation::shell_word;
use crate::ui::{Audience, Bytes, Span, Ui, event};

/// Columns of a name.
const NAME_WIDTH: usize = 48;

/// List, resume or discard what unfinished transfers left on this disk
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List what can be resumed or discarded
    List(Place),
    /// Go on with a transfer: the sender runs its command again, and its new code goes here
    Resume(Box<Resume>),
    /// Take away what a transfer left
    Discard(Discard),
}

/// Where to look, and how to answer.
#[derive(Debug, clap::Args)]
struct Place {
    /// Directory that was received into
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    out: PathBuf,

    /// Print events as JSON, one object a line, on stdout
    #[arg(long, help_heading = "Output")]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Resume {
    /// The transfer, as listed
    #[arg(value_parser = id)]
    id: TransferId,

    #[command(flatten)]
    receive: receive_file::Arguments,
}

#[derive(Debug, clap::Args)]
struct Discard {
    /// The transfers, as listed
    #[arg(value_parser = id, required_unless_present = "all", conflicts_with = "all")]
    id: Vec<TransferId>,

    /// Discard everything that is not being received right now
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    place: Place,
}

fn id(text: &str) -> Result<TransferId, String> {
    TransferId::parse(text).ok_or_else(|| "transfers list shows the names".to_owned())
}

impl Arguments {
    /// What a command that opens a line understands; `None` if this one opens none.
    pub(crate) fn common(&self) -> Option<&Common> {
        match &self.action {
            Some(Action::Resume(resume)) => Some(&resume.receive.common),
            _ => None,
        }
    }

    /// Who listens, when no line is opened.
    pub(crate) fn audience(&self) -> Audience {
        if self.place().json {
            Audience::Scripts
        } else {
            Audience::People
        }
    }

    fn place(&self) -> &Place {
        match &self.action {
            Some(Action::List(place)) => place,
            Some(Action::Discard(discard)) => &discard.place,
            _ => &self.place,
        }
    }

    /// Lists or discards; opens no line.
    pub(crate) fn look(&self, ui: &Ui) -> Result<(), Failure> {
        match &self.action {
            None | Some(Action::List(_)) => list(ui, &self.place().out),
            Some(Action::Discard(discard)) => discard.run(ui),
            Some(Action::Resume(_)) => Err(Failure::bug("resuming opens a line")),
        }
    }

    /// Receives what the transfer lacks.
    pub(super) async fn resume(&self, ui: &Ui, stop: &CancellationToken) -> Result<(), Failure> {
        let Some(Action::Resume(resume)) = &self.action else {
            return Err(Failure::bug("only resuming opens a line"));
        };
        let out = &resume.receive.out;
        let partial = find(out, &resume.id)?;
        match &partial.state {
            PartialState::Resumable { .. } => {}
            PartialState::InUse => return Err(in_use(&resume.id)),
            PartialState::Unusable(reason) => {
                let message = format!("transfer {} cannot be resumed: {reason}", resume.id);
                let hint = format!(
                    "peer-cli transfers discard {} --out {}",
                    resume.id,
                    shell_word(&out.to_string_lossy())
                );
                return Err(Failure::new(Exit::Local, "unusable", message).hint(hint));
            }
        }
        describe(ui, &partial);
        receive_file::resume(&resume.receive, Some(&partial), ui, stop).await
    }
}

impl Discard {
    fn run(&self, ui: &Ui) -> Result<(), Failure> {
        let out = &self.place.out;
        let ids = if self.all {
            let found = listed(out)?.into_iter();
            found
                .filter(|partial| !matches!(partial.state, PartialState::InUse))
                .map(|partial| partial.id)
                .collect()
        } else {
            self.id.clone()
        };
        for id in ids {
            discard(out, &id).map_err(|error| match error {
                DiscardError::Missing(id) => missing(out, &id),
                DiscardError::InUse(id) => in_use(&id),
                DiscardError::Io(error) => {
                    Failure::local(format!("cannot discard transfer {id}"), &error)
                }
            })?;
            ui.say(event::Discarded { id: id.to_string() });
        }
        Ok(())
    }
}

fn list(ui: &Ui, out: &Path) -> Result<(), Failure> {
    let found = listed(out)?;
    if found.is_empty() {
        ui.note(&format!("Nothing is unfinished in '{}'.", out.display()));
    }
    for partial in &found {
        describe(ui, partial);
    }
    Ok(())
}

fn listed(out: &Path) -> Result<Vec<Partial>, Failure> {
    let cannot = format!("cannot look into '{}'", out.display());
    partials(out).map_err(|error| Failure::local(cannot, &error))
}

fn find(out: &Path, id: &TransferId) -> Result<Partial, Failure> {
    let found = listed(out)?.into_iter().find(|partial| partial.id == *id);
    found.ok_or_else(|| missing(out, id))
}

fn missing(out: &Path, id: &TransferId) -> Failure {
    let message = format!(
        "there is no unfinished transfer {id} in '{}'",
        out.display()
    );
    Failure::usage(message).hint("peer-cli transfers list --out DIR shows what there is")
}

fn in_use(id: &TransferId) -> Failure {
    let message = format!("transfer {id} is being received right now");
    Failure::new(Exit::Local, "in-use", message).hint("wait for it, or stop it first")
}

/// One unfinished transfer: a line on stdout, or an event.
fn describe(ui: &Ui, partial: &Partial) {
    let (event, line) = wording(partial);
    match ui.audience() {
        Audience::Scripts => ui.say(event),
        _ => ui.answer(&line),
    }
}

fn wording(partial: &Partial) -> (event::Transfer, String) {
    let id = &partial.id;
    let unreadable = |state, reason| event::Transfer {
        id: id.to_string(),
        state,
        title: None,
        bytes: 0,
        total: 0,
        files: 0,
        age: None,
        reason,
    };
    match &partial.state {
        PartialState::Resumable {
            manifest,
            bytes,
            changed,
        } => {
            // A clock that was set back leaves files from the future: no age is better than a wrong one.
            let age = changed.and_then(|changed| SystemTime::now().duration_since(changed).ok());
            let event = event::Transfer {
                id: id.to_string(),
                state: "resumable",
                title: Some(manifest.title().to_owned()),
                bytes: *bytes,
                total: manifest.bytes(),
                files: manifest.files().into(),
                age: age.as_ref().map(Duration::as_secs),
                reason: None,
            };
            let line = format!(
                "{id}  {} of {}  {}  {}",
                Bytes(*bytes),
                Bytes(manifest.bytes()),
                age.map_or_else(|| "?".to_owned(), |age| format!("{} ago", Span(age))),
                display_name(manifest.title(), NAME_WIDTH),
            );
            (event, line)
        }
        PartialState::InUse => (
            unreadable("in-use", None),
            format!("{id}  being received right now"),
        ),
        PartialState::Unusable(reason) => (
            unreadable("unusable", Some(reason.clone())),
            format!("{id}  cannot be resumed: {reason}"),
        ),
    }
}
