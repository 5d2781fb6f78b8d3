//! What is typed, and what it comes down to.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use peerline::media::ffmpeg::Program;
use peerline::media::record::Recording;
use peerline::media::source::Spec;
use peerline::pairing::Code;
use signaling_protocol::RoomName;

use crate::cli::{Common, timeout};
use crate::exit::Failure;
use crate::invitation::Target;
use crate::ui::Ui;

/// Who wrote a recording.
pub(in crate::commands) const APP: &str = concat!("peer-cli ", env!("CARGO_PKG_VERSION"));

/// Call somebody: sound and pictures, from a terminal to a page or to another terminal
///
/// Without CODE or --room it makes a code and waits; the other side opens the link, or runs call CODE. Keys
/// while it lasts: m mutes, c turns the camera off and on, s shows figures, q hangs up. Without a terminal the
/// same is read from stdin, one a line: mute, unmute, camera on, camera off, stats, hangup.
///
/// Sources: none, test (a picture and a tone that need no device), camera, camera:DEVICE, mic, mic:DEVICE,
/// screen, - (stdin), or a file or address that ffmpeg reads. IVF, Ogg with Opus and H.264 byte streams, and
/// VP8, VP9, AV1 and Opus in other files, are passed on as they are.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The code or link from the other side
    #[arg(value_name = "CODE|LINK", conflicts_with = "room")]
    target: Option<Target>,

    /// Meet in this open room, where any WebRTC page can call; the server is trusted then
    #[arg(long, value_name = "ROOM")]
    room: Option<RoomName>,

    /// Use this code instead of a new one, and wait under it
    #[arg(
        long,
        value_name = "CODE",
        env = "PEERLINE_CODE",
        hide_env_values = true
    )]
    code: Option<Code>,

    /// Where pictures come from [default: camera if there is one and ffmpeg is installed]
    #[arg(long, value_name = "SOURCE")]
    video: Option<Spec>,

    /// Where sound comes from [default: mic if there is one and ffmpeg is installed]
    #[arg(long, value_name = "SOURCE")]
    audio: Option<Spec>,

    /// Record what the other side sends, to a new .webm or .mkv file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Show the other side's pictures
    #[arg(long, value_name = "WHERE", default_value = "none")]
    view: Where,

    /// Play the other side's sound [default: with a view]
    #[arg(long, value_name = "WHETHER")]
    sound: Option<Whether>,

    /// Hang up after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = timeout, allow_negative_numbers = true)]
    duration: Option<Duration>,

    /// Show words to compare with the other side before anything is sent; with --json nobody is
    /// asked, and the script that reads them must stop it if they differ
    #[arg(long)]
    verify: bool,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// Where pictures are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Where {
    /// In the terminal, two pixels to a character
    Terminal,
    /// In a window of its own
    Window,
    /// Nowhere
    None,
}

/// A switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Whether {
    On,
    Off,
}

/// How the two sides meet.
#[derive(Clone, Debug)]
pub(super) enum Meeting {
    /// The other side comes, with a new code or this one.
    Host(Option<Code>),
    /// The other side waits.
    Guest(Target),
    /// Whoever is there.
    Room(RoomName),
}

/// What is to be done.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) meeting: Meeting,
    /// Without one, a device that may be missing.
    pub(super) video: Option<Spec>,
    pub(super) audio: Option<Spec>,
    record: Option<PathBuf>,
    pub(super) view: Where,
    pub(super) sound: bool,
    pub(super) duration: Option<Duration>,
    pub(super) verify: bool,
}

impl Arguments {
    /// Looks at what can be known before anybody is called.
    pub(super) fn resolve(&self, ui: &Ui) -> Result<Plan, Failure> {
        super::super::check_verify(self.verify, ui)?;
        if self.video == Some(Spec::Stdin) && self.audio == Some(Spec::Stdin) {
            return Err(Failure::usage("stdin cannot be both picture and sound")
                .hint("send one of them from a file or a pipe with a name"));
        }
        let shows = self.view != Where::None;
        let sound = match self.sound {
            Some(whether) => whether == Whether::On,
            None => shows && Program::Ffplay.is_installed(),
        };
        let needed = [
            (self.view == Where::Terminal, Program::Ffmpeg),
            (self.view == Where::Window || sound, Program::Ffplay),
        ];
        for (needed, program) in needed {
            if needed && !program.is_installed() {
                return Err(Failure::from(&program.is_missing()));
            }
        }
        Ok(Plan {
            meeting: match (&self.target, &self.room) {
                (_, Some(room)) => Meeting::Room(room.clone()),
                (Some(target), None) => Meeting::Guest(target.clone()),
                (None, None) => Meeting::Host(self.code.clone()),
            },
            video: self.video.clone(),
            audio: self.audio.clone(),
            record: self.record.clone(),
            view: self.view,
            sound,
            duration: self.duration,
            verify: self.verify,
        })
    }
}

impl Plan {
    /// Whether stdin is a picture or a sound.
    pub(super) fn reads_stdin(&self) -> bool {
        [&self.video, &self.audio].contains(&&Some(Spec::Stdin))
    }

    /// Makes the file of the recording, if there shall be one.
    pub(super) fn record(&self) -> Result<Option<Recording>, Failure> {
        let Some(path) = &self.record else {
            return Ok(None);
        };
        let recording = Recording::start(path, APP).map_err(|error| Failure::from(&error))?;
        Ok(Some(recording))
    }
}
