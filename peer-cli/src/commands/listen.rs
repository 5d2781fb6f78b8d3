//! `peer-cli receive-file --listen`: one transfer after the other, with nobody at the terminal.
//!
//! Whatever goes wrong with one visitor is written down, and the next one is waited for. It ends when it is
//! stopped, or at its start, when it cannot begin to wait.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use peerline::session::Intent;
use peerline::transfer::Summary;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::receive_file::{Arguments, Reception, Terms};
use super::transfer;
use crate::connect::{Context, Doorway, Visit};
use crate::exit::{Exit, Failure};
use crate::known::Door;
use crate::ui::{Bytes, Route, Span, Ui, event};

/// What the other side types before the code.
const COMMAND: &str = "send-file PATH --to";

/// The first pause after something went wrong before anybody was connected, and the longest: a server that is
/// gone is not asked all the time, and somebody who guesses codes gets one a minute.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The one who was here last leaves the room a moment later than we do.
const ROOM_PAUSE: Duration = Duration::from_millis(250);

/// How often in a row the room of the code may be taken; then it gets another one.
const ROOM_ATTEMPTS: u32 = 6;

pub(super) async fn run(
    arguments: &Arguments,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let terms = arguments.terms(ui)?;
    if terms.may_ask() && !ui.can_ask() {
        return Err(
            Failure::usage("--listen has no terminal to ask whether to accept")
                .hint("--accept says what is taken without asking"),
        );
    }
    let unattended = ui.unattended();
    let context = Context::new(&unattended, &arguments.common, stop, Intent::ReceiveFiles);
    let server = arguments.common.server();
    let ways = if arguments.from.is_empty() {
        let doorway = Doorway::new(server, arguments.first_code()?, COMMAND)?;
        let door = Door::beside(&doorway)?;
        vec![Way::Code(doorway), Way::Known(door)]
    } else {
        vec![Way::Known(Door::new(server, arguments.from.clone())?)]
    };
    serve(&context, ways, ui, &terms).await
}

/// A way in, and what went wrong there.
struct Entrance {
    way: Way,
    troubles: Troubles,
}

/// How visitors come in.
enum Way {
    /// With a code.
    Code(Doorway),
    /// As devices that are known.
    Known(Door),
}

impl Entrance {
    fn new(way: Way) -> Self {
        Self {
            way,
            troubles: Troubles::default(),
        }
    }

    /// Waits for the next visitor, after a pause.
    async fn turn(
        mut self,
        context: &Context<'_>,
        pause: Duration,
    ) -> (Self, Result<Visit, Failure>) {
        tokio::select! {
            () = context.stop.cancelled() => return (self, Err(Failure::ctrl_c())),
            () = sleep(pause) => {}
        }
        let visit = match &mut self.way {
            Way::Code(doorway) => doorway.next(context).await,
            Way::Known(door) => door.next(context).await,
        };
        (self, visit)
    }

    fn was_open(&self) -> bool {
        match &self.way {
            Way::Code(doorway) => doorway.was_open(),
            Way::Known(door) => door.was_open(),
        }
    }

    /// How long to wait after this.
    fn pause(&mut self, failure: &Failure) -> Duration {
        let (pause, code) = self.troubles.add(failure);
        if let (Way::Code(doorway), CodeIs::Spoilt) = (&mut self.way, code) {
            doorway.forget_code();
        }
        pause
    }

    async fn close(self) {
        match self.way {
            Way::Code(doorway) => doorway.close().await,
            Way::Known(door) => door.close().await,
        }
    }
}

/// Until it is stopped: between two visitors that is what was asked for. While one is here the other ways in
/// stand still: who comes there waits until that one is done, or gives up.
async fn serve(
    context: &Context<'_>,
    ways: Vec<Way>,
    ui: &Ui,
    terms: &Terms,
) -> Result<(), Failure> {
    let turn = |entrance: Entrance, pause| entrance.turn(context, pause);
    let mut turns: FuturesUnordered<_> = ways
        .into_iter()
        .map(|way| turn(Entrance::new(way), Duration::ZERO))
        .collect();
    let mut result = Ok(());
    while let Some((mut entrance, visit)) = turns.next().await {
        let pause = match visit {
            Ok(visit) => {
                entrance.troubles = Troubles::default();
                receive(context, visit, ui, terms).await;
                if context.stop.is_cancelled() {
                    // It was said why there.
                    result = Err(Failure::ctrl_c());
                }
                Duration::ZERO
            }
            Err(_) if context.stop.is_cancelled() => Duration::ZERO,
            Err(failure) if !entrance.was_open() => {
                entrance.close().await;
                return Err(failure);
            }
            Err(failure) => {
                if failure.kind != ROOM_TAKEN {
                    failed(context.ui, "no transfer", &failure);
                }
                entrance.pause(&failure)
            }
        };
        if context.stop.is_cancelled() {
            entrance.close().await;
        } else {
            turns.push(turn(entrance, pause));
        }
    }
    result
}

async fn receive(context: &Context<'_>, visit: Visit, ui: &Ui, terms: &Terms) {
    let Visit { line, place } = visit;
    let mut line = match line {
        Ok(line) => line,
        Err(failure) => {
            failed(context.ui, "no transfer", &failure);
            return place.left().await;
        }
    };
    let from = match &line.device {
        Some(device) => device.to_string(),
        None => line.session.peer().agent.clone(),
    };
    let person = if terms.may_ask() { ui } else { context.ui };
    let reception = Reception {
        context,
        person,
        terms,
        partial: None,
        offered: OnceLock::new(),
    };
    let result = reception.take(&mut line).await;
    let route = line.route().await;
    let result = line.end(result).await;
    let offered = reception.offered.into_inner();
    let what = offered.as_deref().unwrap_or("no transfer");
    match result {
        Ok(summary) => received(context.ui, what, &from, &summary, route),
        Err(failure) => failed(context.ui, &format!("{what} from {from}"), &failure),
    }
    place.left().await;
}

fn received(ui: &Ui, what: &str, from: &str, summary: &Summary, route: Route) {
    transfer::say_done(ui, summary, route);
    let text = format!(
        "received {what} from {from}: {} in {}",
        Bytes(summary.bytes),
        Span(summary.elapsed)
    );
    ui.record(&stamped(SystemTime::now(), &text));
}

fn failed(ui: &Ui, what: &str, failure: &Failure) {
    ui.say(event::Failed::from(failure));
    let word = match failure.exit {
        Exit::Declined => "declined",
        _ => "failed",
    };
    let mut text = format!("{word}: {what}: {failure}");
    if let Some(kept) = failure.remains.as_ref().and_then(|left| left.kept.as_ref()) {
        text.push_str(&format!("; kept {} in {}", Bytes(kept.bytes), kept.path));
    }
    ui.record(&stamped(SystemTime::now(), &text));
}

/// A line of a log, in UTC as RFC 3339 writes it.
fn stamped(now: SystemTime, text: &str) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (since / 86_400, since % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z  {text}")
}

/// Year, month and day of a day since 1970 (Howard Hinnant's civil_from_days).
pub(super) fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

const ROOM_TAKEN: &str = "room-taken";

/// What went wrong in a row before anybody was connected: pure.
#[derive(Debug, Default)]
struct Troubles {
    count: u32,
    taken: u32,
}

/// Whether the code may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CodeIs {
    Good,
    Spoilt,
}

impl Troubles {
    /// How long to wait now, and with which code.
    fn add(&mut self, failure: &Failure) -> (Duration, CodeIs) {
        if failure.kind == ROOM_TAKEN {
            self.taken += 1;
            let pause = ROOM_PAUSE * 2u32.pow(self.taken.min(ROOM_ATTEMPTS));
            return match self.taken {
                ROOM_ATTEMPTS.. => {
                    self.taken = 0;
                    (pause, CodeIs::Spoilt)
                }
                _ => (pause, CodeIs::Good),
            };
        }
        let pause = PAUSE * 2u32.pow(self.count.min(6));
        self.count += 1;
        // One guess for each code, whatever else may have come of it.
        let code = match failure.exit {
            Exit::WrongCode => CodeIs::Spoilt,
            _ => CodeIs::Good,
        };
        (pause.min(LONGEST_PAUSE), code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_a_wrong_guess_costs_the_code() {
        let wrong = Failure::new(Exit::WrongCode, "wrong-code", "x");
        let gone = Failure::new(Exit::NoSignaling, "signaling-lost", "x");
        let mut troubles = Troubles::default();
        assert_eq!(troubles.add(&gone), (PAUSE, CodeIs::Good));
        assert_eq!(troubles.add(&wrong), (2 * PAUSE, CodeIs::Spoilt));
        for _ in 0..100 {
            troubles.add(&wrong);
        }
        assert_eq!(troubles.add(&gone), (LONGEST_PAUSE, CodeIs::Good));
    }

    #[test]
    fn a_room_that_stays_taken_is_given_up() {
        let taken = Failure::new(Exit::NoSignaling, ROOM_TAKEN, "x");
        let mut troubles = Troubles::default();
        for _ in 1..ROOM_ATTEMPTS {
            assert_eq!(troubles.add(&taken).1, CodeIs::Good);
        }
        assert_eq!(troubles.add(&taken).1, CodeIs::Spoilt);
        assert_eq!(
            troubles.add(&taken).1,
            CodeIs::Good,
            "the next one has a chance"
        );
    }

    #[test]
    fn lines_have_a_date() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z  x"),
            (951_782_399, "2000-02-28T23:59:59Z  x"),
            (951_782_400, "2000-02-29T00:00:00Z  x"),
            (951_868_800, "2000-03-01T00:00:00Z  x"),
            (1_798_761_599, "2026-12-31T23:59:59Z  x"),
            (4_102_444_800, "2100-01-01T00:00:00Z  x"),
        ] {
            let now = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(stamped(now, "x"), expected);
        }
    }
}
