//! `peer-cli receive-file`: takes what the other side sends, and puts it in place only when whole.

use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use peerline::pairing::Code;
use peerline::session::{Incoming, Intent};
use peerline::transfer::{
    Channels, Decision, Limits, MAX_LANES, Manifest, Partial, ReceiveOptions, Sessions, Summary,
    receive_among, receive_into, receive_over,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::policy::{Policy, Rule, Verdict};
use super::target::{check_directory, missing_directories};
use super::transfer::{self, Side};
use super::{listen, offer};
use crate::amount;
use crate::cli::Common;
use crate::connect::{self, Context};
use crate::devices::DeviceName;
use crate::exit::{Exit, Failure};
use crate::invitation::Target;
use crate::known;
use crate::line::Line;
use crate::ui::{Answer, Audience, Ui};

/// Receive files and directories
///
/// What was received before an interruption stays in DIR/.peerline; the same command, with the code
/// of the sender's same command, goes on from there.
///
/// With --listen it makes the code itself and takes one transfer after the other until it is stopped; the
/// other side runs send-file PATH --to CODE, or opens the link. The code stays good until somebody tries a
/// wrong one; then there is a new one. Devices that are known need no code: all of them, or with --from only
/// those, and then there is none. For each transfer there is a line on stderr.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The code or link from the other side; asked for if missing
    #[arg(
        value_name = "CODE|LINK",
        env = "PEERLINE_CODE",
        hide_env_values = true
    )]
    pub(super) target: Option<Target>,

    /// Directory to receive into, made if it does not exist; - writes a single file to stdout
    #[arg(
        short,
        long,
        value_name = "DIR",
        default_value = ".",
        visible_alias = "dest"
    )]
    pub(super) out: PathBuf,

    /// Accept without asking: --accept all
    #[arg(short, long, conflicts_with = "accept")]
    pub(super) yes: bool,

    /// What to accept: all; ask (a person at the terminal); names:GLOB for offers of which every name at the
    /// top matches. Several, with commas, take what any of them takes [default: ask]
    #[arg(long, value_name = "POLICY", value_delimiter = ',')]
    pub(super) accept: Vec<Rule>,

    /// Decline what is larger, such as 500MB or 2GiB
    #[arg(long, value_name = "N", value_parser = amount::size)]
    pub(super) max_size: Option<u64>,

    /// Receive no faster than this, such as 5MiB or 40Mbit a second
    #[arg(long, value_name = "RATE", value_parser = amount::rate)]
    pub(super) limit: Option<NonZeroU64>,

    /// Wait for a device that peer-cli pair has made known, which sends with send-file --to; may be repeated.
    /// No code is needed
    #[arg(long, value_name = "DEVICE", value_delimiter = ',')]
    pub(super) from: Vec<DeviceName>,

    /// Wait for senders, for one after the other, until stopped
    #[arg(long, conflicts_with_all = ["timeout", "verify"])]
    pub(super) listen: bool,

    /// Use this code first, instead of a new one (with --listen)
    #[arg(long, value_name = "CODE", requires = "listen")]
    pub(super) code: Option<Code>,

    /// Exchange no blocks with other receivers of the same, who would learn this side's addresses
    #[arg(long)]
    pub(super) no_share: bool,

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

/// What is taken, and where it goes.
#[derive(Debug)]
pub(super) struct Terms {
    out: Out,
    policy: Policy,
    /// Replace files that are there already.
    overwrite: bool,
    /// Bytes a second.
    rate: Option<NonZeroU64>,
    /// Stay away from other receivers.
    no_share: bool,
}

/// Where it goes.
#[derive(Debug)]
enum Out {
    /// It may not exist yet.
    Directory(PathBuf),
    Stdout,
}

/// Finds the sender, receives what it offers if that is accepted, and puts it in place.
pub(super) async fn run(
    arguments: &Arguments,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    if arguments.listen {
        listen::run(arguments, ui, stop).await
    } else {
        resume(arguments, None, ui, stop).await
    }
}

/// As [`run`], for an offer that continues `partial` and nothing else.
pub(super) async fn resume(
    arguments: &Arguments,
    partial: Option<&Partial>,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let resolving = async {
        let terms = arguments.terms(ui)?;
        if partial.is_some() {
            arguments.check_resume()?;
        }
        Ok::<_, Failure>((arguments.sender(ui).await?, terms))
    };
    let (sender, terms) = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(Failure::ctrl_c()),
        resolved = resolving => resolved?,
    };
    let context = Context::new(ui, &arguments.common, stop, Intent::ReceiveFiles);
    let mut line = match sender {
        Sender::Code(target) => connect::guest(&context, target).await?,
        Sender::Devices(names) => known::host(&context, names).await?,
    };
    let result = async {
        if arguments.verify {
            line.verify(&context).await?;
        }
        let reception = Reception {
            context: &context,
            person: ui,
            terms: &terms,
            partial,
            offered: OnceLock::new(),
        };
        reception.take(&mut line).await
    };
    let result = result.await;
    let route = line.route().await;
    let summary = line.end(result).await?;
    transfer::say_done(ui, &summary, route);
    Ok(())
}

/// One transfer over a line.
pub(super) struct Reception<'a> {
    pub(super) context: &'a Context<'a>,
    /// Who asks the person at the terminal.
    pub(super) person: &'a Ui,
    pub(super) terms: &'a Terms,
    /// What the offer must continue.
    pub(super) partial: Option<&'a Partial>,
    /// What was offered, in a few words.
    pub(super) offered: OnceLock<String>,
}

/// Who sends.
enum Sender {
    /// It waits.
    Code(Target),
    /// It comes.
    Devices(Vec<DeviceName>),
}

/// Why we said no.
#[derive(Clone, Copy)]
enum No {
    Person,
    Nobody,
    Policy,
    AnotherTransfer,
}

impl Reception<'_> {
    /// Waits for the offer, and receives it if it is accepted.
    pub(super) async fn take(&self, line: &mut Line) -> Result<Summary, Failure> {
        let channels = tokio::select! {
            biased;
            () = self.context.stop.cancelled() => return Err(Failure::ctrl_c()),
            channels = offer::channels(line) => channels?,
        };
        let incoming = line.session.incoming();
        let no = OnceLock::new();
        let result = match &self.terms.out {
            Out::Directory(out) => {
                // Made only now: a wrong code leaves nothing behind.
                let missing = missing_directories(out);
                fs::create_dir_all(out).map_err(|error| {
                    Failure::local(format!("cannot make '{}'", out.display()), &error)
                })?;
                let result = self.receive(line, channels, incoming, &no).await;
                if result.is_err() {
                    // Those that are empty still; what was received before something failed stays.
                    for directory in missing {
                        let _ = fs::remove_dir(directory);
                    }
                }
                result
            }
            Out::Stdout => self.receive(line, channels, incoming, &no).await,
        };
        result.map_err(|failure| self.why(failure, no.get().copied()))
    }

    async fn receive(
        &self,
        line: &Line,
        channels: Channels,
        incoming: Incoming,
        no: &OnceLock<No>,
    ) -> Result<Summary, Failure> {
        let decide = async |manifest: &Manifest| match self.judge(manifest).await {
            Ok(()) => Decision::Accept,
            Err((why, reason)) => {
                // Asked once.
                let _ = no.set(why);
                Decision::Decline(reason)
            }
        };
        let limits = Limits {
            rate: self.terms.rate,
            stream: self.terms.policy.most(),
        };
        let stop = self.context.stop.clone();
        let (lanes, more) = mpsc::channel(MAX_LANES.into());
        let receiving = transfer::run(self.context.ui, line, Side::Receiver, async |steps| {
            match &self.terms.out {
                Out::Directory(out) => {
                    let options = ReceiveOptions {
                        out: out.clone(),
                        overwrite: self.terms.overwrite,
                        limits,
                    };
                    if self.terms.no_share {
                        return receive_over(channels, more, options, decide, steps, stop).await;
                    }
                    let meet = Arc::new(Sessions::like(&line.session));
                    receive_among(channels, more, meet, options, decide, steps, stop).await
                }
                Out::Stdout => {
                    // Unlocked and unbuffered: blocks are large, and nobody else writes there.
                    let out = Box::new(io::stdout());
                    receive_into(channels, more, out, limits, decide, steps, stop).await
                }
            }
        });
        tokio::select! {
            result = receiving => result,
            () = offer::lanes(incoming, lanes) => unreachable!("it never returns"),
        }
    }

    /// `Err` holds the reason for us and the one for the sender.
    async fn judge(&self, manifest: &Manifest) -> Result<(), (No, String)> {
        offer::show(self.person, manifest);
        let _ = self.offered.set(offer::words(manifest));
        let other = |partial: &Partial| !partial.is_of(manifest);
        if self.partial.is_some_and(other) {
            return Err((
                No::AnotherTransfer,
                "they wait for something else".to_owned(),
            ));
        }
        match self.terms.policy.judge(manifest) {
            Verdict::Accept => return Ok(()),
            Verdict::Decline(reason) => return Err((No::Policy, reason)),
            Verdict::Ask => {}
        }
        let question = match &self.terms.out {
            Out::Directory(out) => format!("Receive into '{}'?", out.display()),
            Out::Stdout => "Write it to stdout?".to_owned(),
        };
        match self.person.confirm(&question).await {
            Answer::Yes => Ok(()),
            Answer::No => Err((No::Person, "they said no".to_owned())),
            Answer::Nobody => Err((No::Nobody, "nobody is there to accept".to_owned())),
        }
    }

    /// The failure in words for the one who said no, if that is what happened.
    fn why(&self, failure: Failure, no: Option<No>) -> Failure {
        if failure.exit != Exit::Declined {
            return failure;
        }
        let declined = |message| Failure::new(Exit::Declined, "declined", message);
        match no {
            Some(No::Person) => declined("declined; nothing was received"),
            Some(No::Nobody) => declined("there is no terminal to ask whether to accept")
                .hint("--yes accepts without asking"),
            Some(No::AnotherTransfer) => Failure::new(
                Exit::Declined,
                "another-transfer",
                "the other side offered something else than what is to be resumed",
            )
            .hint("it must send the same again; receive-file takes what it offers now"),
            // The library has its own reasons, and we one for its policy.
            Some(No::Policy) => failure.hint("--accept and --max-size say what is taken"),
            None if failure.kind == "too-large" => failure,
            None => Failure::usage(match self.offered.get() {
                Some(offered) => format!("'--out -' takes a single file, not {offered}"),
                None => "'--out -' takes a single file, and nothing else was offered".to_owned(),
            })
            .hint("name a directory with --out"),
        }
    }
}

impl Arguments {
    /// Checks the directory without making it.
    pub(super) fn terms(&self, ui: &Ui) -> Result<Terms, Failure> {
        super::check_verify(self.verify, ui)?;
        let rules = match (self.yes, &self.accept[..]) {
            (true, _) => vec![Rule::All],
            (false, []) => vec![Rule::Ask],
            (false, rules) => rules.to_vec(),
        };
        let policy = Policy::new(&rules, self.max_size).map_err(|contradiction| {
            Failure::usage(format!("--accept: {contradiction}"))
                .hint("give 'all' alone, or leave it out")
        })?;
        let out = if self.out.as_os_str() == "-" {
            self.check_stdout(ui)?;
            Out::Stdout
        } else {
            check_directory(&self.out)?;
            Out::Directory(self.out.clone())
        };
        Ok(Terms {
            out,
            policy,
            overwrite: self.overwrite,
            rate: self.limit,
            no_share: self.no_share,
        })
    }

    /// Nothing else may want stdout.
    fn check_stdout(&self, ui: &Ui) -> Result<(), Failure> {
        let (wrong, hint) = if self.listen {
            ("--listen", "name a directory with --out")
        } else if ui.audience() == Audience::Scripts {
            (
                "--json",
                "leave out --json: the exit code says how it ended",
            )
        } else {
            return Ok(());
        };
        Err(Failure::usage(format!("'--out -' cannot be used with {wrong}")).hint(hint))
    }

    fn check_resume(&self) -> Result<(), Failure> {
        match (self.listen, self.out.as_os_str() == "-") {
            (false, false) => Ok(()),
            _ => Err(Failure::usage(
                "what was kept can be resumed by one receiver, in its directory",
            )
            .hint("leave out --listen, and name the directory with --out")),
        }
    }

    /// Asks for a missing code.
    async fn sender(&self, ui: &Ui) -> Result<Sender, Failure> {
        match (&self.target, &self.from[..]) {
            (None, []) => ask_for_target(ui, "receive-file").await.map(Sender::Code),
            (Some(target), []) => Ok(Sender::Code(target.clone())),
            (_, from) => Ok(Sender::Devices(from.to_vec())),
        }
    }

    /// The first code of one who listens: there is no link to a server of somebody else.
    pub(super) fn first_code(&self) -> Result<Option<Code>, Failure> {
        match (&self.code, &self.target) {
            (Some(code), _) => Ok(Some(code.clone())),
            (
                None,
                Some(Target {
                    server: Some(_), ..
                }),
            ) => Err(Failure::usage("--listen makes a link, and follows none")
                .hint("name the server with --server")),
            (None, target) => Ok(target.as_ref().map(|target| target.code.clone())),
        }
    }
}

impl Terms {
    /// Whether somebody has to be there to answer.
    pub(super) fn may_ask(&self) -> bool {
        self.policy.may_ask()
    }
}

/// Asks for the code of the other side, for a command called `verb`.
pub(super) async fn ask_for_target(ui: &Ui, verb: &str) -> Result<Target, Failure> {
    let missing = || {
        let hint = format!("put the code or link behind {verb}, or into PEERLINE_CODE");
        Failure::usage("no code was given").hint(hint)
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
