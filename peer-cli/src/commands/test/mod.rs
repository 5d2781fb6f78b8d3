//! `peer-cli test`: scenarios from files, several at a time.

mod junit;
mod results;
mod tap;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Failure};
use crate::scenario::plan::Scenario;
use crate::scenario::{self, Browsers, Verdict};
use crate::ui::{Audience, Ui, event};
pub(crate) use results::Ran;

/// Largest scenario that is read: thousands of steps.
const LARGEST: u64 = 1 << 20;

/// How many run at a time unless it is said: each may have a browser page and megabytes on the way.
const MOST_JOBS: usize = 8;

/// Run scenarios: who connects, over which network, what happens, and what has to come of it
///
/// Each file is a scenario in TOML; docs/testing.md has every key. Native peers, pages in a headless Chromium and programs meet
/// on a signaling server of the scenario's own. It ends with 0 if all went as they should, with 1 if one did not, and with 2
/// if a file cannot be read.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Scenario files
    #[arg(required = true, value_name = "SCENARIO")]
    files: Vec<PathBuf>,

    /// How many run at a time [default: as many as there are processors, at most 8]
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// How often each is run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repeat: u32,

    /// Random decisions of networks begin with this, not with the file's own
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Run each with so many seeds, one after the other from its own on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    seeds: u32,

    /// Where to keep what happened in those that fail [default: a directory for temporary files]
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,

    /// How results are printed
    #[arg(long, value_enum, default_value_t = Format::Tap, help_heading = "Output")]
    format: Format,

    /// The same as --format json
    #[arg(long, help_heading = "Output", conflicts_with = "format")]
    json: bool,

    /// Log what happens on stderr, with times; -vv and -vvv say more
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Output")]
    verbose: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Test Anything Protocol, version 14
    Tap,
    /// JUnit's XML, as most CI systems read it
    Junit,
    /// An object a line
    Json,
}

/// A scenario that is going to be run.
struct Planned {
    file: PathBuf,
    scenario: Arc<Scenario>,
    number: usize,
}

impl Arguments {
    /// Who listens.
    pub(crate) fn audience(&self) -> Audience {
        match self.format() {
            Format::Json => Audience::Scripts,
            Format::Tap | Format::Junit => Audience::People,
        }
    }

    /// How many `-v`.
    pub(crate) fn verbose(&self) -> u8 {
        self.verbose
    }

    fn format(&self) -> Format {
        match self.json {
            true => Format::Json,
            false => self.format,
        }
    }

    /// Runs all of them. Returns the exit code.
    pub(crate) async fn run(&self, ui: &Ui, stop: &CancellationToken) -> Result<u8, Failure> {
        let began = Instant::now();
        let planned = self.plan(ui)?;
        let logs = self.logs.clone().unwrap_or_else(|| {
            std::env::temp_dir().join(format!("peerline-test-{}", std::process::id()))
        });
        let count = planned.len();
        if self.format() == Format::Tap {
            tap::head(count).iter().for_each(|line| ui.answer(line));
        }
        let browsers = Browsers::default();
        let running = stream::iter(planned)
            .map(|planned| run_one(planned, &logs, &browsers, stop))
            .buffered(self.jobs());
        let mut running = std::pin::pin!(running);
        let mut results = Vec::new();
        while let Some(ran) = running.next().await {
            match self.format() {
                Format::Tap => tap::result(&ran).iter().for_each(|line| ui.answer(line)),
                Format::Json => ui.say(event::Scenario::from(&ran)),
                Format::Junit => {}
            }
            results.push(ran);
        }
        browsers.end().await;
        if self.format() == Format::Junit {
            junit::document(&results)
                .iter()
                .for_each(|line| ui.answer(line));
        }
        if stop.is_cancelled() {
            return Err(Failure::ctrl_c());
        }
        let failed = results.iter().filter(|ran| !ran.passed()).count();
        ui.say(event::Tested {
            scenarios: count,
            failed,
            seconds: began.elapsed().as_secs_f64(),
        });
        Ok(u8::from(failed > 0))
    }

    fn jobs(&self) -> usize {
        let jobs = self.jobs.map(NonZeroUsize::get);
        jobs.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, |n| n.get().min(MOST_JOBS))
        })
    }

    /// Reads all files; every mistake is told before anything runs.
    fn plan(&self, ui: &Ui) -> Result<Vec<Planned>, Failure> {
        let mut planned = Vec::new();
        let mut wrong = None::<Failure>;
        for file in &self.files {
            for seed in 0..u64::from(self.seeds) {
                match load(file, self.seed, seed) {
                    Ok(scenario) => {
                        let scenario = Arc::new(scenario);
                        for _ in 0..self.repeat {
                            planned.push(Planned {
                                file: file.clone(),
                                scenario: scenario.clone(),
                                number: planned.len() + 1,
                            });
                        }
                    }
                    Err(failure) => {
                        if let Some(before) = wrong.replace(failure) {
                            ui.fail(&before);
                        }
                        break;
                    }
                }
            }
        }
        match wrong {
            Some(failure) => Err(failure),
            None => Ok(planned),
        }
    }
}

/// Reads a file. `seed` takes the place of its own, and `more` is added to that.
fn load(file: &Path, seed: Option<u64>, more: u64) -> Result<Scenario, Failure> {
    let name = file.display();
    let unreadable = |error: &std::io::Error| {
        let reason = crate::exit::io_reason(error);
        Failure::new(
            Exit::Usage,
            "no-scenario",
            format!("cannot read '{name}': {reason}"),
        )
    };
    let size = std::fs::metadata(file)
        .map_err(|error| unreadable(&error))?
        .len();
    if size > LARGEST {
        let message = format!("'{name}' is no scenario: it has {size} bytes");
        return Err(Failure::new(Exit::Usage, "bad-scenario", message));
    }
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(&error))?;
    let read = |seed| {
        scenario::read(&text, seed).map_err(|problem| {
            let message = format!("{name}:{}: {}", problem.line, problem.message);
            Failure::new(Exit::Usage, "bad-scenario", message)
        })
    };
    let scenario = read(seed)?;
    match more {
        0 => Ok(scenario),
        more => read(Some(scenario.seed.wrapping_add(more))),
    }
}

async fn run_one(
    planned: Planned,
    logs: &Path,
    browsers: &Browsers,
    stop: &CancellationToken,
) -> Ran {
    let Planned {
        file,
        scenario,
        number,
    } = planned;
    let stem = file
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let logs = logs.join(format!("{number:04}-{stem}"));
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let ran = scenario::run(scenario.clone(), directory, &logs, browsers, stop).await;
    let mut result = Ran::new(number, &file, &scenario);
    match ran {
        Ok(outcome) => {
            result.seconds = outcome.took.as_secs_f64();
            if matches!(outcome.verdict, Verdict::Failed(_)) {
                match outcome.journal.save(&logs) {
                    Ok(()) => result.logs = Some(logs),
                    Err(error) => tracing::warn!(%error, "cannot keep what happened"),
                }
            }
            result.verdict = outcome.verdict;
        }
        Err(why) => result.cannot_begin(&why),
    }
    result
}
