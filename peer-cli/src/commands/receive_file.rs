//! `peer-cli receive-file`: takes what the other side sends, and puts it in place only when whole.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use peerline::session::{Incoming, Intent};
use peerline::transfer::{
    Channels, Decision, MAX_LANES, Manifest, Partial, ReceiveOptions, Summary,
    receive_over as receive_files,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::offer;
use super::transfer::{self, Side};
use crate::cli::Common;
use crate::connect::{self, Context};
use crate::exit::{Exit, Failure, io_reason};
use crate::invitation::Target;
use crate::line::Line;
use crate::ui::{Answer, Ui};

/// Receive files and directories
///
/// What was received before an interruption stays in DIR/.peerline; the same command, with the code
/// of the sender's same command, goes on from there.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The code or link from the other side; asked for if missing
    #[arg(
        value_name = "CODE|LINK",
        env = "PEERLINE_CODE",
        hide_env_values = true
    )]
    pub(super) target: Option<Target>,

    /// Directory to receive into; made if it does not exist
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(super) out: PathBuf,

    /// Accept without asking
    #[arg(short, long)]
    pub(super) yes: bool,

    /// Replace files that exist already
    #[arg(long)]
    pub(super) overwrite: bool,

    /// Show words to compare with the other side before anything is received; with --json nobody is
    /// asked, and the script that reads them must stop it if they differ
    #[arg(long)]
    pub(super) verify: bool,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// What is to be received, and where to.
#[derive(Debug)]
struct Plan {
    /// The code and, from a link, its server.
    target: Target,
    /// The directory; it may not exist yet.
    out: PathBuf,
    /// Ask before anything is accepted.
    consent: Consent,
    /// Replace files that are there already.
    overwrite: bool,
    /// Compare phrases first.
    verify: bool,
}

/// Who says yes to an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consent {
    /// The person at the terminal.
    Ask,
    /// `--yes` did.
    Given,
}

/// Finds the sender, receives what it offers if that is accepted, and puts it in place.
pub(super) async fn run(
    arguments: &Arguments,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    resume(arguments, None, ui, stop).await
}

/// As [`run`], for an offer that continues `partial` and nothing else.
pub(super) async fn resume(
    arguments: &Arguments,
    partial: Option<&Partial>,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let plan = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(Failure::ctrl_c()),
        plan = arguments.resolve(ui) => plan?,
    };
    let context = Context {
        ui,
        common: &arguments.common,
        stop,
        intent: Intent::ReceiveFiles,
    };
    let mut line = connect::guest(&context, plan.target.clone()).await?;
    let result = async {
        if plan.verify {
            line.verify(&context).await?;
        }
        let channels = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Failure::ctrl_c()),
            channels = offer::channels(&mut line) => channels?,
        };
        let incoming = line.session.incoming();
        receive(&context, &line, channels, incoming, &plan, partial).await
    };
    let result = result.await;
    let route = line.route().await;
    let summary = line.end(result).await?;
    transfer::say_done(ui, &summary, route);
    Ok(())
}

async fn receive(
    context: &Context<'_>,
    line: &Line,
    channels: Channels,
    incoming: Incoming,
    plan: &Plan,
    partial: Option<&Partial>,
) -> Result<Summary, Failure> {
    let out = plan.out.clone();
    // Made only now: a wrong code leaves nothing behind.
    let missing = missing_directories(&out);
    fs::create_dir_all(&out)
        .map_err(|error| Failure::local(format!("cannot make '{}'", out.display()), &error))?;
    let options = ReceiveOptions {
        out,
        overwrite: plan.overwrite,
    };
    let unattended = Cell::new(false);
    let other = Cell::new(false);
    let decide = async |manifest: &Manifest| {
        offer::show(context.ui, manifest);
        if partial.is_some_and(|partial| !partial.is_of(manifest)) {
            other.set(true);
            return Decision::Decline("they wait for something else".to_owned());
        }
        if plan.consent == Consent::Given {
            return Decision::Accept;
        }
        let question = format!("Receive into '{}'?", plan.out.display());
        match context.ui.confirm(&question).await {
            Answer::Yes => Decision::Accept,
            Answer::No => Decision::Decline("they said no".to_owned()),
            Answer::Nobody => {
                unattended.set(true);
                Decision::Decline("nobody is there to accept".to_owned())
            }
        }
    };
    let stop = context.stop.clone();
    let (lanes, more) = mpsc::channel(MAX_LANES.into());
    let receiving = transfer::run(context.ui, line, Side::Receiver, |steps| {
        receive_files(channels, more, options, decide, steps, stop)
    });
    let result = tokio::select! {
        result = receiving => result,
        () = offer::lanes(incoming, lanes) => unreachable!("it never returns"),
    };
    if result.is_err() {
        // Those that are empty still; what was received before something failed stays.
        for directory in missing {
            let _ = fs::remove_dir(directory);
        }
    }
    match result {
        Err(failure) if failure.exit == Exit::Declined && other.get() => Err(Failure::new(
            Exit::Declined,
            "another-transfer",
            "the other side offered something else than what is to be resumed",
        )
        .hint("it must send the same again; receive-file takes what it offers now")),
        Err(failure) if failure.exit == Exit::Declined => Err(if unattended.get() {
            Failure::new(
                Exit::Declined,
                "declined",
                "there is no terminal to ask whether to accept",
            )
            .hint("--yes accepts without asking")
        } else {
            Failure::new(Exit::Declined, "declined", "declined; nothing was received")
        }),
        result => result,
    }
}

impl Arguments {
    /// Checks the directory without making it, and asks for a missing code.
    async fn resolve(&self, ui: &Ui) -> Result<Plan, Failure> {
        super::check_verify(self.verify, ui)?;
        check_directory(&self.out)?;
        let target = match &self.target {
            Some(target) => target.clone(),
            None => ask_for_target(ui).await?,
        };
        Ok(Plan {
            target,
            out: self.out.clone(),
            consent: if self.yes {
                Consent::Given
            } else {
                Consent::Ask
            },
            overwrite: self.overwrite,
            verify: self.verify,
        })
    }
}

async fn ask_for_target(ui: &Ui) -> Result<Target, Failure> {
    let missing = || {
        Failure::usage("no code was given")
            .hint("put the code or link behind receive-file, or into PEERLINE_CODE")
    };
    let answer = ui.ask("Code or link: ").await.ok_or_else(missing)?;
    if answer.is_empty() {
        return Err(missing());
    }
    answer
        .parse()
        .map_err(Failure::usage)
        .map_err(|failure: Failure| failure.hint("start again with the right one"))
}

/// What has to be made for `out` to be there, the innermost first.
fn missing_directories(out: &Path) -> Vec<PathBuf> {
    out.ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .map(Path::to_owned)
        .collect()
}

/// A directory, or something that can become one.
fn check_directory(out: &Path) -> Result<(), Failure> {
    let shown = out.display();
    if out.as_os_str().is_empty() {
        return Err(Failure::usage("--out is empty").hint("name a directory, or leave it out"));
    }
    match fs::metadata(out) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(
            Failure::usage(format!("--out '{shown}' is not a directory"))
                .hint("name a directory to receive into"),
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !out.is_symlink() => Ok(()),
        Err(error) => Err(
            Failure::usage(format!("--out '{shown}': {}", io_reason(&error)))
                .hint("name a directory to receive into"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_what_can_become_one() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "x").unwrap();
        for out in [
            home.path().to_owned(),
            home.path().join("new"),
            home.path().join("new/deep"),
        ] {
            assert_eq!(check_directory(&out), Ok(()), "{}", out.display());
            assert_eq!(
                fs::read_dir(home.path()).unwrap().count(),
                1,
                "nothing was made"
            );
        }
        for (out, reason) in [
            (file.clone(), "is not a directory"),
            (file.join("below"), "not a directory"),
            (PathBuf::new(), "is empty"),
        ] {
            let failure = check_directory(&out).expect_err("must be refused");
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains(reason), "{failure}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_dangling_link_is_no_directory() {
        let home = tempfile::tempdir().unwrap();
        let link = home.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert_eq!(
            check_directory(&link).map_err(|failure| failure.exit),
            Err(Exit::Usage)
        );
    }
}
