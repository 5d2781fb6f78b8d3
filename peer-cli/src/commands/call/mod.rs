//! `peer-cli call`: sound and pictures between a terminal and a page, or between two terminals.

mod arguments;
mod controls;
mod end;
mod figures;
mod idle;
mod line;
mod receiving;
mod sending;
mod view;

use std::time::{Duration, Instant};

use peerline::media::codec::Codec;
use peerline::media::record::Recording;
use peerline::media::{IncomingTrack, Kind};
use peerline::session::{Intent, SessionError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(in crate::commands) use arguments::APP;
pub(crate) use arguments::Arguments;
use arguments::{Meeting, Plan};
use controls::{Controls, Wish};
use end::End;
use figures::Figures;
use line::Call;
pub(in crate::commands) use receiving::Receiver;
use sending::{Report, Senders};
use view::View;

use crate::connect::{self, Context};
use crate::exit::Failure;
use crate::ui::{Route, Ui, event};

/// How often the figures under the picture change.
const STATUS: Duration = Duration::from_secs(1);

/// Opens the sources, finds the other side, and talks until somebody hangs up.
pub(in crate::commands) async fn run(
    arguments: &Arguments,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let plan = arguments.resolve(ui)?;
    // What is missing here is said before anybody is called.
    let senders = Senders::open(plan.video.clone(), plan.audio.clone(), ui).await?;
    let recording = plan.record()?;
    let context = Context {
        ui,
        common: &arguments.common,
        stop,
        intent: Intent::Call,
        codecs: Codec::ALL.to_vec(),
    };
    let result = connect(&context, &plan, senders, recording.as_ref()).await;
    finish(ui, recording, result).await
}

/// Finds the other side, and talks to it.
async fn connect(
    context: &Context<'_>,
    plan: &Plan,
    mut senders: Senders,
    recording: Option<&Recording>,
) -> Result<Summary, Failure> {
    let call = match plan.meeting.clone() {
        Meeting::Host(code) => Call::Line(Box::new(connect::host(context, code, "call").await?)),
        Meeting::Guest(target) => Call::Line(Box::new(connect::guest(context, target).await?)),
        Meeting::Room(room) => {
            let (room, tracks) = connect::room(context, room, &senders.codecs()).await?;
            senders.sent_from_the_beginning(tracks);
            Call::Room(Box::new(room))
        }
    };
    if plan.verify
        && let Err(failure) = call.verify(context).await
    {
        return call.end(Err(failure)).await;
    }
    talk(context, plan, call, senders, recording).await
}

/// The call itself, and its goodbye.
async fn talk(
    context: &Context<'_>,
    plan: &Plan,
    mut call: Call,
    mut senders: Senders,
    recording: Option<&Recording>,
) -> Result<Summary, Failure> {
    let ui = context.ui;
    let begin = Instant::now();
    let mut incoming = call.incoming_tracks();
    let mut view = View::open(plan.view, plan.sound, ui);
    let mut controls = Controls::start(ui, plan.reads_stdin());
    let mut receivers = JoinSet::new();
    let mut figures = Figures::default();
    let mut status = tokio::time::interval(STATUS);
    let deadline = async {
        match plan.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(deadline);
    let mut route = Route::from(None);
    let (reason, last): (Result<End, Failure>, _) = loop {
        let turn = async {
            senders.start(&call, ui).await?;
            loop {
                tokio::select! {
                    biased;
                    () = context.stop.cancelled() => return Err(Failure::ctrl_c()),
                    () = &mut deadline => return Ok(Turn::Over(End::Duration)),
                    end = call.ended() => return match (call.goes_on(), &*end) {
                        // The forwarder left or broke down, or the other side went to one.
                        (true, SessionError::Gone | SessionError::Lost) => Ok(Turn::Again),
                        _ => End::of(&end, &call).map(Turn::Over),
                    },
                    () = call.must_move() => return Ok(Turn::Again),
                    track = incoming.next() => if let Some(track) = track {
                        let receiver = receive(ui, track, recording, &mut view, &mut figures).await?;
                        receivers.spawn(receiver.run());
                    },
                    Some(received) = receivers.join_next() => if let Ok(ended) = received {
                        ui.say(event::Track::new("in", ended, "ended"));
                    },
                    report = senders.report() => take_report(ui, &mut senders, &call, report).await?,
                    wish = controls.next() => match wish {
                        Wish::HangUp => return Ok(Turn::Over(End::HungUp)),
                        Wish::Mute(how) => {
                            let muted = how.unwrap_or(!senders.is_muted());
                            senders.mute(muted);
                            ui.say(event::Media { kind: "audio", on: !muted && senders.sends(Kind::Audio) });
                        }
                        Wish::Camera(how) => {
                            let on = how.unwrap_or(!senders.sends(Kind::Video));
                            senders.camera(&call, on, ui).await?;
                            ui.say(event::Media { kind: "video", on: senders.sends(Kind::Video) });
                        }
                        Wish::Stats => ui.say(figures.event(begin, &senders, call.round_trip().await)),
                    },
                    _ = status.tick() => view.status(&figures.line(begin, &senders)),
                }
            }
        };
        match turn.await {
            Ok(Turn::Over(end)) => break (Ok(end), Some(call)),
            Err(failure) => break (Err(failure), Some(call)),
            Ok(Turn::Again) => {}
        }
        senders.pause().await;
        route = call.route().await;
        let timed = context.stop.child_token();
        let limited = Context {
            ui,
            common: context.common,
            stop: &timed,
            intent: context.intent,
            codecs: context.codecs.clone(),
        };
        let codecs = senders.codecs();
        let mut meeting = std::pin::pin!(call.meet_again(&limited, &codecs));
        let met = tokio::select! {
            met = &mut meeting => met,
            () = &mut deadline => {
                // It leaves the room first.
                timed.cancel();
                let _ = meeting.await;
                break (Ok(End::Duration), None);
            }
        };
        match met {
            Ok((next, tracks)) => {
                call = next;
                senders.sent_from_the_beginning(tracks);
                incoming = call.incoming_tracks();
            }
            Err(failure) => break (Err(failure), None),
        }
    };
    drop(controls);
    view.close();
    senders.stop();
    receivers.abort_all();
    while receivers.join_next().await.is_some() {}
    let seconds = begin.elapsed().as_secs_f64();
    let figures = figures.all(&senders);
    let result = match last {
        Some(call) => {
            route = call.route().await;
            call.end(reason).await?
        }
        None => reason?,
    };
    Ok(Summary {
        seconds,
        reason: result,
        route,
        figures,
    })
}

/// What becomes of a call.
enum Turn {
    /// It is over.
    Over(End),
    /// The room goes on without the other side, or with somebody else in between.
    Again,
}

struct Summary {
    seconds: f64,
    reason: End,
    route: Route,
    figures: figures::All,
}

async fn receive(
    ui: &Ui,
    track: IncomingTrack,
    recording: Option<&Recording>,
    view: &mut View,
    figures: &mut Figures,
) -> Result<Receiver, Failure> {
    ui.say(event::Track::new("in", track.codec(), "started"));
    figures.count(track.kind(), track.counter());
    let taped = match recording {
        Some(recording) => {
            let taped = recording.tape().add(track.codec()).await;
            taped.map_err(|error| Failure::from(&error))?
        }
        None => None,
    };
    let player = view.player(track.codec());
    Ok(Receiver::new(track, taped, player))
}

async fn take_report(
    ui: &Ui,
    senders: &mut Senders,
    call: &Call,
    report: Report,
) -> Result<(), Failure> {
    match report {
        Report::Started(codec) => ui.say(event::Track::new("out", codec, "started")),
        Report::Refused(codec) => ui.say(event::Track::new("out", codec, "refused")),
        Report::Ended(codec, None) => {
            ui.say(event::Track::new("out", codec, "ended"));
            senders.ended(call, codec.kind()).await?;
        }
        Report::Ended(codec, Some(error)) => {
            ui.say(event::Track::new("out", codec, "failed"));
            ui.say(event::Failed::from(&Failure::from(&error)));
            ui.note(&error.to_string());
            senders.ended(call, codec.kind()).await?;
        }
    }
    Ok(())
}

/// Completes the recording, whatever became of the call, and says how it was.
async fn finish(
    ui: &Ui,
    recording: Option<Recording>,
    result: Result<Summary, Failure>,
) -> Result<(), Failure> {
    let mut recorded = Ok(());
    if let Some(recording) = recording {
        match recording.finish().await {
            Ok(parts) => parts
                .iter()
                .for_each(|part| ui.say(event::Recorded::from(part))),
            Err(error) => recorded = Err(Failure::from(&error)),
        }
    }
    let summary = result?;
    recorded?;
    ui.say(event::CallDone {
        seconds: summary.seconds,
        reason: summary.reason.word(),
        path: summary.route,
        sent: summary.figures.sent,
        received: summary.figures.received,
    });
    Ok(())
}
