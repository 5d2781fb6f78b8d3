//! `peer-cli send-file --to-many N`: one code, several receivers side by side.
//!
//! Each receiver is a line and a transfer of its own; what becomes of one is no matter of the others. At most
//! N are served at a time: who comes while all are here waits until one of them has gone.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use peerline::pairing::Code;
use peerline::session::{Caller, Connectivity, Session};
use peerline::transfer::{Crowd, Sharing, Source, SourceError, Summary};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::send_file::{Pace, channels, lanes, say_left_out, source};
use super::transfer::{self, Side};
use crate::connect::{Context, Gathering};
use crate::exit::{Exit, Failure};
use crate::line::Line;
use crate::ui::{Receivers, Route, Ui, event};

/// How often it is looked whether somebody who waits can have the place of one that cannot be reached.
const LOOK: Duration = Duration::from_millis(250);

/// What is to be done.
pub(super) struct ToMany {
    pub(super) code: Option<Code>,
    pub(super) count: u16,
    pub(super) sharing: Sharing,
    pub(super) pace: Pace,
}

/// The files being listed.
type Scan = JoinHandle<Result<Source, SourceError>>;

/// What is sent, once it has been listed.
type Listed = watch::Receiver<Option<Result<Arc<Crowd>, Failure>>>;

/// A transfer that has ended.
type Ended = (u32, Result<(Summary, Route), Failure>);

/// Waits for all of them, and returns when each has confirmed the files.
pub(super) async fn run(context: &Context<'_>, many: ToMany, scan: Scan) -> Result<(), Failure> {
    let mut gathering =
        Gathering::open(context, many.code.clone(), "receive-file", many.count).await?;
    let (listing, listed) = watch::channel(None);
    let result = {
        let ui = context.ui;
        let listing = async {
            let crowd = source(scan.await).map(|source| {
                say_left_out(ui, &source);
                Arc::new(Crowd::new(source, many.sharing))
            });
            listing.send_replace(Some(crowd));
            std::future::pending().await
        };
        let mut service = Service::new(context, &many, listed);
        tokio::select! {
            result = service.run(&mut gathering) => result,
            () = listing => unreachable!("it never returns"),
        }
    };
    gathering.end().await;
    let (tally, seconds) = result?;
    tally.done(context.ui, seconds);
    Ok(())
}

/// Whether the lines that are up can reach their other sides.
type Reachable = Arc<Mutex<BTreeMap<u32, watch::Receiver<Connectivity>>>>;

struct Service<'a> {
    context: &'a Context<'a>,
    many: &'a ToMany,
    listed: Listed,
    receivers: Arc<Receivers>,
    reachable: Reachable,
    /// Cancelled when enough have everything: nobody waits for those that cannot be reached.
    enough: CancellationToken,
    next: u32,
    tally: Tally,
}

/// How it went so far: pure.
#[derive(Debug, Default)]
struct Tally {
    done: Vec<(Summary, Route)>,
    declined: u16,
    failed: Option<Failure>,
}

impl<'a> Service<'a> {
    fn new(context: &'a Context<'a>, many: &'a ToMany, listed: Listed) -> Self {
        Self {
            context,
            many,
            listed,
            receivers: Receivers::new(many.count),
            reachable: Reachable::default(),
            enough: CancellationToken::new(),
            next: 1,
            tally: Tally::default(),
        }
    }

    /// Until as many as were asked for have everything, or nobody else can come.
    async fn run(&mut self, gathering: &mut Gathering) -> Result<(Tally, f64), Failure> {
        let wanted = self.many.count;
        let mut lines = FuturesUnordered::new();
        let mut waiting: VecDeque<Caller> = VecDeque::new();
        let mut trouble: Option<Failure> = None;
        let (mut begun, mut listens) = (None, true);
        let limit = self.context.common.timeout;
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let waits = format!("Waiting for {wanted} receivers. Ctrl-C ends it.");
        self.context.ui.note(&waits);
        loop {
            if trouble.is_none() {
                let over = gathering
                    .code()
                    .over()
                    .filter(|_| !self.enough.is_cancelled());
                trouble = match self.context.stop.is_cancelled() {
                    true => Some(Failure::ctrl_c()),
                    false => over.map(|error| Failure::from(&error)),
                };
            }
            if self.tally.answered() >= wanted {
                self.enough.cancel();
            }
            let open = trouble.is_none() && !self.enough.is_cancelled();
            if !open {
                // Whoever comes now is told so.
                gathering.code().close();
                if lines.is_empty() {
                    break;
                }
            }
            while (!open || self.has_place(lines.len()))
                && let Some(caller) = waiting.pop_front()
            {
                begun.get_or_insert_with(Instant::now);
                let number = self.next;
                self.next += 1;
                lines.push(self.serve(number, gathering.greet(caller)));
            }
            let late = open && lines.is_empty();
            tokio::select! {
                biased;
                () = self.context.stop.cancelled(), if open => {}
                Some(ended) = lines.next(), if !lines.is_empty() => self.ended(ended),
                caller = gathering.next(), if listens => match caller {
                    Ok(caller) => waiting.push_back(caller),
                    Err(failure) => {
                        listens = false;
                        trouble.get_or_insert(failure);
                    }
                },
                _ = look.tick(), if !waiting.is_empty() => {}
                () = at(deadline), if late => trouble = limit.map(|limit| self.too_late(limit)),
            }
        }
        let seconds = begun.map_or(0.0, |begun: Instant| begun.elapsed().as_secs_f64());
        let tally = std::mem::take(&mut self.tally);
        tally.verdict(wanted, trouble).map(|tally| (tally, seconds))
    }

    /// Whether one more can be served. Those that cannot be reached may have come back as somebody new.
    fn has_place(&self, lines: usize) -> bool {
        let reachable = self
            .reachable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let lost = |state: &&watch::Receiver<Connectivity>| {
            matches!(*state.borrow(), Connectivity::Interrupted(_))
        };
        let lost = reachable.values().filter(lost).count();
        lines - lost.min(lines) + usize::from(self.tally.answered()) < self.many.count.into()
    }

    /// One receiver, from pairing to the receipt.
    fn serve<F>(&self, number: u32, greeting: F) -> impl Future<Output = Ended> + use<'a, F>
    where
        F: Future<Output = Result<Session, Failure>>,
    {
        let ui = self.context.ui.about(number, &self.receivers);
        let (reachable, enough) = (self.reachable.clone(), self.enough.clone());
        let (many, mut listed): (&'a ToMany, _) = (self.many, self.listed.clone());
        let outer: &'a Context<'a> = self.context;
        async move {
            let context = Context::new(&ui, outer.common, outer.stop, outer.intent);
            let stopped = async {
                outer.stop.cancelled().await;
                Err(Failure::ctrl_c())
            };
            let session = tokio::select! {
                session = greeting => session,
                session = stopped => session,
            };
            let line = match session {
                Ok(session) => Line::new(&context, Ok(session), None).await,
                Err(failure) => Err(failure),
            };
            let line = match line {
                Ok(line) => line,
                Err(failure) => return (number, Err(failure)),
            };
            let state = line.session.connectivity();
            lock(&reachable).insert(number, state.clone());
            let sending = async {
                let crowd = tokio::select! {
                    () = context.stop.cancelled() => return Err(Failure::ctrl_c()),
                    crowd = listed.wait_for(Option::is_some) => match crowd {
                        Ok(crowd) => crowd.clone().unwrap_or_else(|| Err(unlisted())),
                        Err(_) => Err(unlisted()),
                    },
                }?;
                send(&context, &line, &crowd, many.pace()).await
            };
            let result = tokio::select! {
                result = sending => result,
                failure = left_behind(state, &enough) => Err(failure),
            };
            let route = line.route().await;
            let result = line.end(result).await;
            lock(&reachable).remove(&number);
            if let Ok(summary) = &result {
                transfer::say_done(&ui, summary, route);
            }
            (number, result.map(|summary| (summary, route)))
        }
    }

    fn ended(&mut self, (number, result): Ended) {
        match result {
            Ok(done) => self.tally.done.push(done),
            Err(failure) => {
                self.receivers.forget(number);
                if self.enough.is_cancelled() {
                    return;
                }
                let ui = self.context.ui.about(number, &self.receivers);
                ui.say(event::Failed::from(&failure));
                ui.note(&format!("{failure}."));
                match failure.exit {
                    Exit::Declined => self.tally.declined += 1,
                    // Who did not know the code is nobody that was waited for.
                    _ => self.tally.failed = Some(failure),
                }
            }
        }
    }

    fn too_late(&self, limit: Duration) -> Failure {
        let message = format!(
            "{} of {} receivers came within {} s",
            self.tally.answered(),
            self.many.count,
            limit.as_secs_f64()
        );
        Failure::new(Exit::NoPath, "timeout", message)
            .hint("give them more time with --timeout, or wait for fewer with --to-many")
            .retry()
    }
}

impl ToMany {
    /// Of each: together they keep to the limit.
    fn pace(&self) -> Pace {
        let share = |limit: NonZeroU64| NonZeroU64::new(limit.get() / u64::from(self.count));
        Pace {
            lanes: self.pace.lanes,
            limit: self
                .pace
                .limit
                .map(|limit| share(limit).unwrap_or(NonZeroU64::MIN)),
        }
    }
}

fn lock(
    reachable: &Reachable,
) -> std::sync::MutexGuard<'_, BTreeMap<u32, watch::Receiver<Connectivity>>> {
    reachable.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unlisted() -> Failure {
    Failure::bug("the files were not listed")
}

async fn send(
    context: &Context<'_>,
    line: &Line,
    crowd: &Crowd,
    pace: Pace,
) -> Result<Summary, Failure> {
    let (channels, lanes) = (channels(line).await?, lanes(line, pace));
    let stop = context.stop.clone();
    transfer::run(context.ui, line, Side::Sender, |steps| {
        crowd.send(channels, lanes, steps, stop)
    })
    .await
}

/// Once enough have everything, those that cannot be reached are not waited for.
async fn left_behind(
    mut state: watch::Receiver<Connectivity>,
    enough: &CancellationToken,
) -> Failure {
    enough.cancelled().await;
    let lost = |state: &Connectivity| matches!(state, Connectivity::Interrupted(_));
    if state.wait_for(lost).await.is_err() {
        // The transfer ends by itself, and says more.
        std::future::pending::<()>().await;
    }
    Failure::new(Exit::Interrupted, "left-behind", "the others are done").retry()
}

/// Returns then, or never.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

impl Tally {
    /// How many have said yes or no for good.
    fn answered(&self) -> u16 {
        self.done.len() as u16 + self.declined
    }

    fn verdict(self, wanted: u16, trouble: Option<Failure>) -> Result<Self, Failure> {
        let done = self.done.len();
        if done >= wanted.into() {
            return Ok(self);
        }
        let so_far = format!("{done} of {wanted} receivers have everything");
        let answered = self.answered();
        Err(match trouble.or(self.failed) {
            _ if self.declined > 0 && answered >= wanted => {
                let message = format!("{so_far}, {} declined", self.declined);
                Failure::new(Exit::Declined, "declined", message)
            }
            Some(failure) => Failure {
                message: format!("{so_far}: {}", failure.message),
                ..failure
            },
            None => Failure::bug(so_far),
        })
    }

    fn done(&self, ui: &Ui, seconds: f64) {
        let Some((first, _)) = self.done.first() else {
            return;
        };
        let sum = |of: fn(&Summary) -> u64| self.done.iter().map(|(done, _)| of(done)).sum::<u64>();
        let sent = sum(|done| done.bytes - done.resumed);
        let mut routes = self.done.iter().map(|(_, route)| *route);
        let relayed = routes.find(|route| *route != Route::Direct);
        ui.say(event::Done {
            bytes: first.bytes,
            files: first.files.into(),
            seconds,
            rate: if seconds > 0.0 {
                sent as f64 / seconds
            } else {
                0.0
            },
            resumed: sum(|done| done.resumed),
            path: relayed.unwrap_or(Route::Direct),
            lanes: self
                .done
                .iter()
                .map(|(done, _)| done.lanes)
                .max()
                .unwrap_or(1),
            packet: self
                .done
                .iter()
                .filter_map(|(done, _)| done.packet)
                .max()
                .unwrap_or(0),
            helped: 0,
            receivers: Some(self.done.len() as u16),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(done: usize, declined: u16) -> Tally {
        let summary = Summary {
            bytes: 1,
            resumed: 0,
            helped: 0,
            files: 1,
            directories: 0,
            digest: peerline::transfer::Digest::of(b""),
            elapsed: Duration::ZERO,
            lanes: 1,
            packet: None,
        };
        Tally {
            done: vec![(summary, Route::Direct); done],
            declined,
            failed: None,
        }
    }

    #[test]
    fn how_it_went_decides_how_it_ends() {
        let wrong = || Failure::new(Exit::WrongCode, "wrong-code", "the codes differ");
        for (done, declined, trouble, expected) in [
            (3, 0, None, None),
            // What goes wrong after that is nobody's loss.
            (3, 0, Some(wrong()), None),
            (
                2,
                1,
                None,
                Some((
                    Exit::Declined,
                    "2 of 3 receivers have everything, 1 declined",
                )),
            ),
            (
                1,
                1,
                Some(wrong()),
                Some((
                    Exit::WrongCode,
                    "1 of 3 receivers have everything: the codes differ",
                )),
            ),
            (
                0,
                0,
                Some(Failure::ctrl_c()),
                Some((
                    Exit::CtrlC,
                    "0 of 3 receivers have everything: stopped before it was finished",
                )),
            ),
        ] {
            let verdict = tally(done, declined).verdict(3, trouble).map(drop);
            let verdict = verdict.map_err(|failure| (failure.exit, failure.message));
            let expected =
                expected.map_or(Ok(()), |(exit, message)| Err((exit, message.to_owned())));
            assert_eq!(verdict, expected, "{done} {declined}");
        }
    }

    #[test]
    fn the_limit_is_for_all_together() {
        let many = |limit| ToMany {
            code: None,
            count: 4,
            sharing: Sharing::Together,
            pace: Pace {
                lanes: peerline::transfer::LaneCount::Auto,
                limit: NonZeroU64::new(limit),
            },
        };
        assert_eq!(many(4000).pace().limit, NonZeroU64::new(1000));
        assert_eq!(many(1).pace().limit, NonZeroU64::new(1));
        assert_eq!(many(0).pace().limit, None);
    }
}
