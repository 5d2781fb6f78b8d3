//! `peer-cli send-file`: offers files and directories under a code.

use std::collections::HashSet;
use std::fmt::Display;
use std::fs::{self, File};
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use peerline::pairing::Code;
use peerline::session::Intent;
use peerline::transfer::{
    CONTROL_PROTOCOL, Channels, LANE_PROTOCOL, LaneCount, Lanes, MAX_LANES, SafePath, Selection,
    Sharing, Skipped, Source, SourceError, Summary, TransferId, send_over as send_files,
};
use tokio::task::{JoinError, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::send_many::{self, ToMany};
use super::transfer::{self, Side};
use crate::amount;
use crate::cli::Common;
use crate::connect::{self, Context};
use crate::devices::DeviceName;
use crate::exit::{Failure, io_reason};
use crate::invitation::{Recipient, Target};
use crate::known;
use crate::line::Line;
use crate::ui::{Audience, Ui};

/// Send files and directories; prints the code that the other side needs
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Files and directories to send; - alone is stdin
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// Name of what comes from stdin [default: stdin]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Send to the one who waits under this code (receive-file --listen, or a page that shows a code), or to a
    /// device that peer-cli pair has made known and that waits with receive-file --from or --listen
    #[arg(long, value_name = "CODE|LINK|DEVICE")]
    to: Option<Recipient>,

    /// Send to so many receivers, 2 to 15, all with the same code; they help each other
    #[arg(long, value_name = "N", conflicts_with_all = ["to", "verify"],
          value_parser = clap::value_parser!(u16).range(2..=MOST_RECEIVERS))]
    to_many: Option<u16>,

    /// Do not let receivers exchange blocks, by which they learn each other's addresses
    #[arg(long, requires = "to_many")]
    no_share: bool,

    /// Use this code instead of a new one, and wait under it
    #[arg(
        long,
        value_name = "CODE",
        env = "PEERLINE_CODE",
        hide_env_values = true
    )]
    code: Option<Code>,

    /// Leave out what matches, as in a .gitignore: '*.tmp', '/build', 'cache/'; may be repeated
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// Leave out what git ignores, and .git itself
    #[arg(long)]
    gitignore: bool,

    /// Send no faster than this, such as 5MiB or 40Mbit a second
    #[arg(long, value_name = "RATE", value_parser = amount::rate)]
    limit: Option<NonZeroU64>,

    /// Connections to send over at a time, 1 to 16 [default: as many as make it faster]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_LANES)))]
    lanes: Option<u16>,

    /// Show words to compare with the other side before anything is sent; with --json nobody is
    /// asked, and the script that reads them must stop it if they differ
    #[arg(long)]
    verify: bool,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// A room has 16 places, and one of them is ours.
const MOST_RECEIVERS: i64 = 15;

/// What is to be sent, found to be there and readable.
#[derive(Debug)]
struct Plan {
    what: What,
    meeting: Meeting,
    /// Compare phrases first.
    verify: bool,
    pace: Pace,
}

/// What there is to send.
#[derive(Debug)]
enum What {
    /// In the order given, and what to leave out.
    Paths(Vec<PathBuf>, Selection),
    /// Under this name.
    Stdin(String),
}

/// How the two sides meet.
#[derive(Debug)]
enum Meeting {
    /// The other side comes, with a new code or this one.
    Host(Option<Code>),
    /// The other side waits.
    Guest(Target),
    /// A known device waits.
    Device(DeviceName),
    /// So many come, with a new code or this one.
    Crowd(Option<Code>, u16, Sharing),
}

/// How it travels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Connections at a time.
    pub(super) lanes: LaneCount,
    /// Bytes a second.
    pub(super) limit: Option<NonZeroU64>,
}

/// Offers the files, waits for the other side, and returns when it has confirmed them.
pub(super) async fn run(
    arguments: &Arguments,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let plan = arguments.resolve(ui)?;
    let context = Context::new(ui, &arguments.common, stop, Intent::SendFiles);
    let is_stream = matches!(plan.what, What::Stdin(_));
    // Nobody waits for a large tree to be listed before the code is shown.
    let mut scan = spawn_blocking(move || match plan.what {
        What::Paths(paths, selection) => Source::select(&paths, &selection),
        What::Stdin(name) => Source::stream(&name, io::stdin()),
    });
    if let Meeting::Crowd(code, count, sharing) = &plan.meeting {
        let many = ToMany {
            code: code.clone(),
            count: *count,
            sharing: *sharing,
            pace: plan.pace,
        };
        return send_many::run(&context, many, scan).await;
    }
    let connecting = async {
        match plan.meeting {
            Meeting::Host(code) => connect::host(&context, code, "receive-file").await,
            Meeting::Guest(target) => connect::guest(&context, target).await,
            Meeting::Device(name) => known::guest(&context, &name).await,
            Meeting::Crowd(..) => Err(Failure::bug("several receivers on one line")),
        }
    };
    tokio::pin!(connecting);
    let (line, source) = tokio::select! {
        line = &mut connecting => (line?, None),
        scanned = &mut scan => {
            let source = source(scanned)?;
            (connecting.await?, Some(source))
        }
    };
    let result = async {
        let source = match source {
            Some(ready) => ready,
            None => tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Failure::ctrl_c()),
                scanned = scan => self::source(scanned)?,
            },
        };
        say_left_out(ui, &source);
        if plan.verify {
            line.verify(&context).await?;
        }
        let sent = send(&context, &line, source, plan.pace).await;
        sent.map_err(|failure| if is_stream { piped(failure) } else { failure })
    };
    let result = result.await;
    let route = line.route().await;
    let summary = line.end(result).await?;
    transfer::say_done(ui, &summary, route);
    Ok(())
}

/// What of the paths is not sent.
pub(super) fn say_left_out(ui: &Ui, source: &Source) {
    for Skipped { path, what } in source.skipped() {
        ui.note(&format!("'{}' is {what} and is not sent.", path.display()));
    }
    match source.left_out() {
        0 => {}
        1 => ui.note("1 file or directory is left out."),
        more => ui.note(&format!("{more} files and directories are left out.")),
    }
}

pub(super) fn source(
    scanned: Result<Result<Source, SourceError>, JoinError>,
) -> Result<Source, Failure> {
    match scanned {
        Ok(Ok(source)) => Ok(source),
        Ok(Err(error)) => Err(Failure::from(&error)),
        Err(error) => Err(Failure::bug(format!("listing the files failed: {error}"))),
    }
}

/// What comes from stdin cannot be taken up again, and old receivers do not know it.
fn piped(failure: Failure) -> Failure {
    let failure = Failure {
        remains: None,
        ..failure
    };
    match failure.kind {
        "peer-bad-manifest" => Failure {
            message: "the other side cannot receive what has no size yet".to_owned(),
            ..failure
        }
        .hint("send a file, or use the same version on both sides"),
        _ => failure,
    }
}

async fn send(
    context: &Context<'_>,
    line: &Line,
    source: Source,
    pace: Pace,
) -> Result<Summary, Failure> {
    let lanes = lanes(line, pace);
    let channels = channels(line).await?;
    let stop = context.stop.clone();
    transfer::run(context.ui, line, Side::Sender, |steps| {
        send_files(channels, lanes, source, steps, stop)
    })
    .await
}

/// How the blocks travel on a line.
pub(super) fn lanes(line: &Line, pace: Pace) -> Lanes {
    Lanes {
        opener: Some(Box::new(line.session.lanes())),
        count: pace.lanes,
        limit: pace.limit,
        round_trip: line
            .session
            .first_path()
            .map_or(Duration::ZERO, |path| path.round_trip),
    }
}

/// The channels of a transfer.
pub(super) async fn channels(line: &Line) -> Result<Channels, Failure> {
    let id = TransferId::random();
    Ok(Channels {
        control: line.open(id.control_label(), CONTROL_PROTOCOL).await?,
        lane: line.open(id.lane_label(0), LANE_PROTOCOL).await?,
    })
}

impl Arguments {
    /// Looks at each path, not below it: this is done before the code is shown, and must take no
    /// longer for a terabyte than for a byte.
    fn resolve(&self, ui: &Ui) -> Result<Plan, Failure> {
        super::check_verify(self.verify, ui)?;
        let what = self.what(ui)?;
        Ok(Plan {
            what,
            meeting: match (&self.to, self.to_many) {
                (Some(Recipient::Code(target)), _) => Meeting::Guest(target.clone()),
                (Some(Recipient::Device(name)), _) => Meeting::Device(name.clone()),
                (None, Some(count)) => Meeting::Crowd(self.code.clone(), count, self.sharing()),
                (None, None) => Meeting::Host(self.code.clone()),
            },
            verify: self.verify,
            pace: Pace {
                lanes: self.lanes.map_or(LaneCount::Auto, LaneCount::Exactly),
                limit: self.limit,
            },
        })
    }

    fn sharing(&self) -> Sharing {
        match self.no_share {
            true => Sharing::Apart,
            false => Sharing::Together,
        }
    }

    fn what(&self, ui: &Ui) -> Result<What, Failure> {
        let is_stdin = |path: &PathBuf| path.as_os_str() == "-";
        if self.paths.iter().any(is_stdin) {
            if self.to_many.is_some() {
                return Err(
                    Failure::usage("stdin is sent to one receiver: it can be read once")
                        .hint("write it to a file first, and send that"),
                );
            }
            return self.stdin(ui);
        }
        if self.name.is_some() {
            return Err(Failure::usage("--name is for what comes from stdin")
                .hint("files arrive under their own names; '-' is stdin"));
        }
        let mut names = HashSet::new();
        for path in &self.paths {
            let name = name_to_send(path)?;
            if names.contains(&name) {
                let message = format!("two of the paths end in '{name}'");
                return Err(Failure::usage(message).hint("send them one after the other"));
            }
            names.insert(name);
        }
        Ok(What::Paths(self.paths.clone(), self.selection()?))
    }

    fn stdin(&self, ui: &Ui) -> Result<What, Failure> {
        if self.paths.len() > 1 {
            return Err(Failure::usage("stdin is sent alone")
                .hint("send the files with another command; a file named '-' is './-'"));
        }
        if self.verify && ui.audience() != Audience::Scripts {
            return Err(
                Failure::usage("--verify has nobody to ask while stdin is sent")
                    .hint("with --json a script can compare the words"),
            );
        }
        let name = self.name.as_deref().unwrap_or("stdin");
        let wrong = |reason: &dyn Display| {
            Failure::usage(format!("--name '{name}' cannot be used: {reason}"))
                .hint("give a plain file name")
        };
        match SafePath::parse(name) {
            Err(reason) => Err(wrong(&reason)),
            Ok(_) if name.contains('/') => Err(wrong(&"it is a path")),
            Ok(_) => Ok(What::Stdin(name.to_owned())),
        }
    }

    fn selection(&self) -> Result<Selection, Failure> {
        let selection = Selection::default().exclude(&self.exclude);
        let selection = selection.map_err(|error| {
            Failure::usage(format!("--exclude {error}"))
                .hint("write it as in a .gitignore file, in quotes")
        })?;
        Ok(selection.gitignore(self.gitignore))
    }
}

/// What the receiver will call a path that is there and can be read.
fn name_to_send(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    // Paths like `.` and `..` get the name of what they point at.
    let named = match path.file_name() {
        Some(_) => path.to_owned(),
        None => fs::canonicalize(path).map_err(|error| unreadable(path, &error))?,
    };
    let Some(name) = named.file_name() else {
        let message = format!("'{shown}' has no name to send it under");
        return Err(Failure::usage(message).hint("name the files or directories in it"));
    };
    let Some(name) = name.to_str() else {
        let message = format!("the name of '{shown}' is not UTF-8");
        return Err(Failure::usage(message).hint("rename it, or send a copy"));
    };
    let kind = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    // Opening anything else could block (a pipe) or never end (a device).
    let opened = if kind.is_dir() {
        fs::read_dir(path).map(drop)
    } else if kind.is_file() {
        File::open(path).map(drop)
    } else {
        let message = format!("'{shown}' is neither a file nor a directory");
        return Err(Failure::usage(message).hint("only files and directories can be sent"));
    };
    opened.map_err(|error| unreadable(path, &error))?;
    if let Err(reason) = SafePath::parse(name) {
        let message = format!("'{shown}' cannot be sent under its name: {reason}");
        return Err(Failure::usage(message).hint("rename it, or send a copy"));
    }
    Ok(name.to_owned())
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!(
        "cannot read '{}': {}",
        path.display(),
        io_reason(error)
    ))
    .hint("check the path and its permissions")
}

#[cfg(test)]
mod tests;
