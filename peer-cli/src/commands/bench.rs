//! `peer-cli bench`: measures the line between two peers.

use std::time::{Duration, Instant};

use peerline::bench::{
    BenchError, Ends, Event as Step, LABEL, LONGEST, Latency, PROTOCOL, Plan, Report, Side, follow,
    lead,
};
use peerline::session::Intent;
use peerline::transfer::MAX_LANES;
use tokio_util::sync::CancellationToken;

use super::meeting::Meeting;
use crate::cli::Common;
use crate::connect::Context;
use crate::exit::Failure;
use crate::line::Line;
use crate::ui::event::{self, Direction, Event, Measured, RoundTrips, Throughput, Unmeasured};
use crate::ui::{Rate, Route, Ui};

/// Shortest measurement, in seconds: enough for a line to come up to speed on a network nearby.
const SHORTEST: f64 = 0.1;

/// Measure the line to another peer-cli bench or a browser: throughput each way, and round trips
///
/// One side runs it without a code and shows one; the other side is given that code or opens its link, says how it is
/// measured, and both show the table. What is sent is made up, and no file is touched.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    meeting: Meeting,

    /// How long each measurement sends [default: 2]
    #[arg(long, value_name = "SECONDS", value_parser = duration, allow_negative_numbers = true)]
    duration: Option<Duration>,

    /// Numbers of connections to send over at a time, 1 to 16, with commas [default: 1,2,4]
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_LANES))
    )]
    lanes: Vec<u16>,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// Meets the other side, measures, and prints the table.
pub(super) async fn run(
    arguments: &Arguments,
    ui: &Ui,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let plan = arguments.plan()?;
    let context = Context::new(ui, &arguments.common, stop, Intent::Bench);
    let ours = match arguments.meeting.has_target() {
        true => Side::Leader,
        false => Side::Follower,
    };
    let mut line = arguments.meeting.line(&context, "bench").await?;
    let started = Instant::now();
    let result = measure(&context, &mut line, ours, &plan).await;
    let path = line.route().await;
    let reports = line.end(result).await?;
    for row in table(&reports, ours) {
        ui.answer(&row);
    }
    ui.say(summary(&reports, started.elapsed(), path));
    Ok(())
}

impl Arguments {
    fn plan(&self) -> Result<Plan, Failure> {
        if !self.meeting.has_target() && (self.duration.is_some() || !self.lanes.is_empty()) {
            return Err(Failure::usage(
                "--duration and --lanes are for the side that is given the code",
            )
            .hint("run bench without them here, and with them on the other side"));
        }
        let Plan { duration, lanes } = Plan::default();
        Ok(Plan {
            duration: self.duration.unwrap_or(duration),
            lanes: match &self.lanes[..] {
                [] => lanes,
                given => given.to_vec(),
            },
        })
    }
}

async fn measure(
    context: &Context<'_>,
    line: &mut Line,
    ours: Side,
    plan: &Plan,
) -> Result<Vec<Report>, Failure> {
    let channel = match ours {
        Side::Leader => line.open(LABEL, PROTOCOL).await?,
        Side::Follower => line.accept(context, PROTOCOL, "bench").await?,
    };
    let ends = Ends {
        lanes: line.session.lanes(),
        incoming: line.session.incoming(),
        stop: context.stop.clone(),
    };
    let tell = |step: Step<'_>| show(context.ui, ours, &step);
    let result = match ours {
        Side::Leader => lead(channel, ends, plan, tell).await,
        Side::Follower => follow(channel, ends, tell).await,
    };
    match result {
        Ok(reports) => Ok(reports),
        Err(error @ BenchError::Closed) => Err(line.why_closed(Failure::from(&error)).await),
        Err(error) => Err(Failure::from(&error)),
    }
}

fn show(ui: &Ui, ours: Side, step: &Step<'_>) {
    match step {
        Step::Idling => ui.note("Measuring round trips of the idle line…"),
        Step::Begun(step) => ui.note(&format!(
            "Measuring {}{}…",
            words(step.sender, ours, step.lanes),
            match step.packet {
                0 => String::new(),
                packet => format!(", packets of {packet} B"),
            }
        )),
        Step::Report(report) => ui.say(event(report, ours)),
    }
}

fn words(sender: Side, ours: Side, lanes: u16) -> String {
    let way = match direction(sender, ours) {
        Direction::To => "to the other side",
        Direction::From => "from the other side",
    };
    match lanes {
        1 => format!("{way}, 1 lane"),
        lanes => format!("{way}, {lanes} lanes"),
    }
}

fn direction(sender: Side, ours: Side) -> Direction {
    if sender == ours {
        Direction::To
    } else {
        Direction::From
    }
}

fn event(report: &Report, ours: Side) -> Event {
    match report {
        Report::Idle { latency } => event::Latency(round_trips(latency)).into(),
        Report::Rate {
            sender,
            lanes,
            packet,
            bytes,
            micros,
            latency,
        } => Event::from(Throughput {
            direction: direction(*sender, ours),
            lanes: *lanes,
            packet: *packet,
            bytes: *bytes,
            seconds: seconds(*micros),
            rate: rate(*bytes, *micros),
            loaded: latency.as_ref().map(round_trips),
        }),
        Report::Failed {
            sender,
            lanes,
            packet,
            reason,
        } => Event::from(Unmeasured {
            direction: direction(*sender, ours),
            lanes: *lanes,
            packet: *packet,
            message: reason.clone(),
        }),
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn rate(bytes: u64, micros: u64) -> f64 {
    // A report of the other side's may say 0.
    bytes as f64 / seconds(micros.max(1))
}

fn round_trips(latency: &Latency) -> RoundTrips {
    let millis = |micros: u64| micros as f64 / 1e3;
    RoundTrips {
        samples: latency.samples,
        p50_ms: millis(latency.p50),
        p90_ms: millis(latency.p90),
        p99_ms: millis(latency.p99),
    }
}

/// The table for people; round trips are in milliseconds.
fn table(reports: &[Report], ours: Side) -> Vec<String> {
    let row = |what: &str, cells: [&str; 6]| {
        let [lanes, packet, rate, p50, p90, p99] = cells;
        format!("{what:<20}{lanes:>6}{packet:>8}{rate:>14}{p50:>10}{p90:>10}{p99:>10}")
    };
    let millis = |micros: u64| format!("{:.1} ms", micros as f64 / 1e3);
    let head = ["lanes", "packet", "rate", "p50", "p90", "p99"];
    let mut rows = vec![row("", head)];
    rows.extend(reports.iter().map(|report| match report {
        Report::Idle { latency } => {
            let [p50, p90, p99] = [latency.p50, latency.p90, latency.p99].map(millis);
            row("idle", ["", "", "", &p50, &p90, &p99])
        }
        Report::Rate {
            sender,
            lanes,
            packet,
            bytes,
            micros,
            latency,
        } => {
            let quantiles = match latency {
                Some(latency) => [latency.p50, latency.p90, latency.p99].map(millis),
                None => ["-", "-", "-"].map(str::to_owned),
            };
            let [p50, p90, p99] = &quantiles;
            let rate = Rate(rate(*bytes, *micros)).to_string();
            let (lanes, packet) = (lanes.to_string(), packet.to_string());
            let cells = [&lanes, &packet, &rate, p50, p90, p99].map(String::as_str);
            row(way(*sender, ours), cells)
        }
        Report::Failed {
            sender,
            lanes,
            packet,
            reason,
        } => {
            let packet = match packet {
                0 => String::new(),
                packet => packet.to_string(),
            };
            let way = way(*sender, ours);
            format!("{way:<20}{lanes:>6}{packet:>8}  not measured: {reason}")
        }
    }));
    rows
}

fn way(sender: Side, ours: Side) -> &'static str {
    match direction(sender, ours) {
        Direction::To => "to the other side",
        Direction::From => "from the other side",
    }
}

fn summary(reports: &[Report], took: Duration, path: Route) -> Measured {
    let rates = || {
        reports.iter().filter_map(|report| match report {
            Report::Rate { bytes, micros, .. } => Some((*bytes, *micros)),
            _ => None,
        })
    };
    Measured {
        bytes: rates().fold(0, |sum, (bytes, _)| sum.saturating_add(bytes)),
        seconds: took.as_secs_f64(),
        rate: rates()
            .map(|(bytes, micros)| rate(bytes, micros))
            .fold(0.0, f64::max),
        path,
        measurements: reports.len() as u64,
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let longest = LONGEST.as_secs_f64();
    match text.parse::<f64>() {
        Ok(seconds) if (SHORTEST..=longest).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err(format!(
            "it is not a number of seconds from {SHORTEST} to {longest}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENCY: Latency = Latency {
        samples: 3,
        p50: 310,
        p90: 1_250,
        p99: 123_456,
    };

    fn reports() -> Vec<Report> {
        vec![
            Report::Idle { latency: LATENCY },
            Report::Rate {
                sender: Side::Leader,
                lanes: 1,
                packet: 16_384,
                bytes: 300 << 20,
                micros: 1_000_000,
                latency: Some(LATENCY),
            },
            Report::Rate {
                sender: Side::Follower,
                lanes: 16,
                packet: 1472,
                bytes: u64::MAX,
                micros: 0,
                latency: None,
            },
            Report::Failed {
                sender: Side::Leader,
                lanes: 2,
                packet: 0,
                reason: "it takes no more lanes".into(),
            },
        ]
    }

    #[test]
    fn one_table_for_each_side() {
        assert_eq!(
            table(&reports(), Side::Leader).join("\n"),
            "                     lanes  packet          rate       p50       p90       p99
idle                                                0.3 ms    1.2 ms  123.5 ms
to the other side        1   16384   300.0 MiB/s    0.3 ms    1.2 ms  123.5 ms
from the other side     16    1472    16.0 EiB/s         -         -         -
to the other side        2          not measured: it takes no more lanes"
        );
        let theirs = table(&reports(), Side::Follower);
        assert!(theirs[2].starts_with("from the other side      1"));
    }

    #[test]
    fn absurd_numbers_of_the_other_side_do_no_harm() {
        let summary = summary(&reports(), Duration::from_secs(9), Route::Direct);
        assert_eq!((summary.bytes, summary.measurements), (u64::MAX, 4));
        for report in reports() {
            assert!(!event(&report, Side::Leader).json().is_empty());
        }
    }
}
