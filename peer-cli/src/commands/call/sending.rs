//! What this side sends: a source and a track for each kind, and a task that carries frames when they are due.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use peerline::media::codec::Codec;
use peerline::media::ffmpeg::Program;
use peerline::media::source::{Source, Spec, pace::Pace};
use peerline::media::track::{OutgoingCounts, Sending};
use peerline::media::{Frame, Kind, MediaError, OutgoingTrack};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use super::idle::Idle;
use super::line::Call;
use crate::exit::Failure;
use crate::ui::Ui;

/// Reports of two tasks, each of which has few.
const REPORTS: usize = 16;

/// What a task has to say.
#[derive(Debug)]
pub(super) enum Report {
    /// The other side gets it.
    Started(Codec),
    /// The other side does not understand the codec.
    Refused(Codec),
    /// The source has ended, or failed.
    Ended(Codec, Option<MediaError>),
}

/// Both kinds.
pub(super) struct Senders {
    video: Option<Sender>,
    audio: Option<Sender>,
    muted: watch::Sender<bool>,
    /// When the call's sources began, so that sound and pictures of one file stay together.
    begin: Arc<OnceLock<Instant>>,
    reports: (mpsc::Sender<Report>, mpsc::Receiver<Report>),
}

/// One kind.
struct Sender {
    spec: Spec,
    codec: Codec,
    state: State,
    /// Of tracks that are gone.
    before: OutgoingCounts,
}

enum State {
    /// Opened, and not used, or not at the moment.
    Ready(Idle, Option<OutgoingTrack>),
    On {
        task: AbortOnDropHandle<Carried>,
        stop: oneshot::Sender<()>,
        counts: watch::Receiver<OutgoingCounts>,
    },
    Off,
}

impl Senders {
    /// Opens the sources. One that was not asked for may be missing.
    pub(super) async fn open(
        video: Option<Spec>,
        audio: Option<Spec>,
        ui: &Ui,
    ) -> Result<Self, Failure> {
        Ok(Self {
            video: Sender::open(video, Kind::Video, ui).await?,
            audio: Sender::open(audio, Kind::Audio, ui).await?,
            muted: watch::Sender::new(false),
            begin: Arc::default(),
            reports: mpsc::channel(REPORTS),
        })
    }

    fn both(&mut self) -> impl Iterator<Item = &mut Sender> {
        [&mut self.video, &mut self.audio].into_iter().flatten()
    }

    fn of(&mut self, kind: Kind) -> &mut Option<Sender> {
        match kind {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
        }
    }

    /// What is sent from the beginning of a line: nothing that was turned off, or has ended.
    pub(super) fn codecs(&self) -> Vec<Codec> {
        let both = [&self.video, &self.audio].into_iter().flatten();
        let ready = both.filter(|sender| matches!(sender.state, State::Ready(..)));
        ready.map(|sender| sender.codec).collect()
    }

    /// Tracks that were part of the first description.
    pub(super) fn sent_from_the_beginning(&mut self, tracks: Vec<OutgoingTrack>) {
        for track in tracks {
            let codec = track.codec();
            let sender = self.both().find(|sender| sender.codec == codec);
            if let Some(State::Ready(_, slot)) = sender.map(|sender| &mut sender.state) {
                *slot = Some(track);
            }
        }
    }

    /// Begins to send everything.
    pub(super) async fn start(&mut self, call: &Call, ui: &Ui) -> Result<(), Failure> {
        if self.video.is_none() && self.audio.is_none() {
            ui.note("Nothing is sent: no camera or microphone was found. --video test sends a test picture.");
        }
        let begin = self.begin.clone();
        let (muted, reports) = (self.muted.subscribe(), self.reports.0.clone());
        for sender in self.both() {
            sender.start(call, &begin, &muted, &reports).await?;
        }
        Ok(())
    }

    /// Stops, to go on with another call where this one was.
    pub(super) async fn pause(&mut self) {
        for sender in self.both() {
            sender.pause().await;
        }
    }

    /// Whether this kind is being sent.
    pub(super) fn sends(&self, kind: Kind) -> bool {
        let sender = match kind {
            Kind::Video => &self.video,
            Kind::Audio => &self.audio,
        };
        sender
            .as_ref()
            .is_some_and(|sender| matches!(sender.state, State::On { .. }))
    }

    pub(super) fn is_muted(&self) -> bool {
        *self.muted.borrow()
    }

    pub(super) fn mute(&self, muted: bool) {
        self.muted.send_replace(muted);
    }

    /// Takes the picture away, or sends it again.
    pub(super) async fn camera(&mut self, call: &Call, on: bool, ui: &Ui) -> Result<(), Failure> {
        let (muted, reports) = (self.muted.subscribe(), self.reports.0.clone());
        let Some(sender) = &mut self.video else {
            ui.note("There is no picture to send.");
            return Ok(());
        };
        match (&sender.state, on) {
            (State::On { .. }, false) => sender.stop(call).await,
            (State::Off, true) => {
                let source = Source::open(sender.spec.clone(), Kind::Video).await;
                let Some(source) = source.map_err(|error| Failure::from(&error))? else {
                    return Ok(());
                };
                sender.codec = source.codec();
                sender.state = State::Ready(Idle::new(Box::new(source)), None);
                sender.start(call, &Arc::default(), &muted, &reports).await
            }
            _ => Ok(()),
        }
    }

    /// The next thing that happens to a source.
    pub(super) async fn report(&mut self) -> Report {
        match self.reports.1.recv().await {
            Some(report) => report,
            // This side holds a sender.
            None => std::future::pending().await,
        }
    }

    /// A source is over: its track is taken back.
    pub(super) async fn ended(&mut self, call: &Call, kind: Kind) -> Result<(), Failure> {
        match self.of(kind) {
            Some(sender) => sender.stop(call).await,
            None => Ok(()),
        }
    }

    /// Ends the tasks; the tracks end with the session.
    pub(super) fn stop(&mut self) {
        for sender in self.both() {
            sender.before = sender.counts();
            sender.state = State::Off;
        }
    }

    /// How much was sent of a kind.
    pub(super) fn counts(&self, kind: Kind) -> OutgoingCounts {
        let sender = match kind {
            Kind::Video => &self.video,
            Kind::Audio => &self.audio,
        };
        sender.as_ref().map(Sender::counts).unwrap_or_default()
    }
}

impl Sender {
    async fn open(spec: Option<Spec>, kind: Kind, ui: &Ui) -> Result<Option<Self>, Failure> {
        let asked = spec.is_some();
        if !asked && !Program::Ffmpeg.is_installed() {
            return Ok(None);
        }
        let spec = spec.unwrap_or(Spec::Device(None));
        let source = match Source::open(spec.clone(), kind).await {
            Ok(source) => source,
            Err(error) if asked => return Err(Failure::from(&error)),
            Err(error) => {
                ui.note(&format!("No {kind} is sent: {error}."));
                None
            }
        };
        Ok(source.map(|source| Self {
            spec,
            codec: source.codec(),
            state: State::Ready(Idle::new(Box::new(source)), None),
            before: OutgoingCounts::default(),
        }))
    }

    async fn start(
        &mut self,
        call: &Call,
        begin: &Arc<OnceLock<Instant>>,
        muted: &watch::Receiver<bool>,
        reports: &mpsc::Sender<Report>,
    ) -> Result<(), Failure> {
        let State::Ready(idle, track) = std::mem::replace(&mut self.state, State::Off) else {
            return Ok(());
        };
        let Some(awake) = idle.wake().await else {
            return Err(Failure::bug("reading a source failed"));
        };
        let track = match track {
            Some(track) => track,
            None => {
                let added = call.tracks().add(self.codec).await;
                added.map_err(|error| Failure::from(&error))?
            }
        };
        let (stop, stopped) = oneshot::channel();
        let (counts_tx, counts) = watch::channel(OutgoingCounts::default());
        let carrier = Carrier {
            source: awake.source,
            failure: awake.failure,
            track,
            begin: begin.clone(),
            // Only sound is muted; the camera is turned off.
            muted: (self.codec.kind() == Kind::Audio).then(|| muted.clone()),
            reports: reports.clone(),
            counts: counts_tx,
        };
        self.state = State::On {
            task: AbortOnDropHandle::new(tokio::spawn(carrier.run(stopped))),
            stop,
            counts,
        };
        Ok(())
    }

    async fn stop(&mut self, call: &Call) -> Result<(), Failure> {
        self.before = self.counts();
        let State::On { task, stop, .. } = std::mem::replace(&mut self.state, State::Off) else {
            return Ok(());
        };
        // It may have ended by itself.
        let _ = stop.send(());
        let Ok(carried) = task.await else {
            return Err(Failure::bug("sending a track failed"));
        };
        let removed = call.tracks().remove(carried.track).await;
        removed.map_err(|error| Failure::from(&error))
    }

    async fn pause(&mut self) {
        self.before = self.counts();
        self.state = match std::mem::replace(&mut self.state, State::Off) {
            State::On { task, stop, .. } => {
                let _ = stop.send(());
                // The track ends with its session.
                match task.await {
                    Ok(Carried { source, .. }) => State::Ready(Idle::new(source), None),
                    Err(_) => State::Off,
                }
            }
            other => other,
        };
    }

    fn counts(&self) -> OutgoingCounts {
        let now = match &self.state {
            State::On { counts, .. } => *counts.borrow(),
            State::Ready(..) | State::Off => OutgoingCounts::default(),
        };
        let before = self.before;
        OutgoingCounts {
            frames: before.frames + now.frames,
            packets: before.packets + now.packets,
            bytes: before.bytes + now.bytes,
            key_requests: before.key_requests + now.key_requests,
        }
    }
}

/// What a carrier gives back.
struct Carried {
    source: Box<Source>,
    track: OutgoingTrack,
}

/// Carries frames from a source to a track.
struct Carrier {
    source: Box<Source>,
    /// Why the source gives nothing more.
    failure: Option<MediaError>,
    track: OutgoingTrack,
    /// When the call's sources began, so that sound and pictures of one file stay together.
    begin: Arc<OnceLock<Instant>>,
    muted: Option<watch::Receiver<bool>>,
    reports: mpsc::Sender<Report>,
    counts: watch::Sender<OutgoingCounts>,
}

impl Carrier {
    /// Until it is stopped; gives back what it was given.
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) -> Carried {
        tokio::select! {
            // The sender of `stopped` is kept until the track is wanted back.
            _ = &mut stopped => {}
            () = self.carry() => {
                let _ = stopped.await;
            }
        }
        Carried {
            source: self.source,
            track: self.track,
        }
    }

    async fn carry(&mut self) {
        let codec = self.track.codec();
        let mut told = !self.source.is_live();
        if told {
            self.wait_until_wanted().await;
        } else {
            self.begin = Arc::default();
        }
        let (mut pace, mut first) = (None, None);
        let end = loop {
            let frame = match self.source.next().await {
                Ok(Some(frame)) => frame,
                Ok(None) => break self.failure.take(),
                Err(error) => break Some(error),
            };
            let frame = match self.source.is_live() {
                true if first.is_none() && !frame.key => continue,
                // Its clock has run since it was opened, which may be hours; what is sent begins now.
                true => {
                    let begin = *first.get_or_insert(frame.time);
                    frame.since(begin)
                }
                false => frame,
            };
            let begin = *self.begin.get_or_init(Instant::now);
            let pace = pace.get_or_insert_with(|| Pace::new(begin));
            let due = pace.due(Instant::now(), frame.time);
            tokio::time::sleep_until(due.into()).await;
            if !told {
                told = self.tell().await;
            }
            if self.muted.as_ref().is_some_and(|muted| *muted.borrow()) {
                continue;
            }
            if let Some(rate) = self.track.path_carries() {
                self.source.path_carries(rate);
            }
            let time = pace.time(frame.time);
            if !self.track.send(Frame { time, ..frame }).await {
                return;
            }
            self.counts.send_replace(self.track.counts());
        };
        let _ = self.reports.send(Report::Ended(codec, end)).await;
    }

    /// A file begins when somebody sees it.
    async fn wait_until_wanted(&mut self) {
        while !self.tell().await {
            self.track.changed().await;
        }
    }

    /// Says once what became of the track; whether it is sent.
    async fn tell(&self) -> bool {
        let codec = self.track.codec();
        match self.track.sending() {
            Sending::Waiting => false,
            Sending::Yes => {
                let _ = self.reports.send(Report::Started(codec)).await;
                true
            }
            Sending::Refused => {
                let _ = self.reports.send(Report::Refused(codec)).await;
                // Nothing will change that but another description.
                std::future::pending().await
            }
        }
    }
}
