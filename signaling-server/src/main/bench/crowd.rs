//! Many connections, in rooms of two: how fast they come, what they take while they say nothing, and how
//! long one more takes.

use super::{
    figures::{Figure, Times},
    line::{Line, Target},
    process::Process,
};
use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::time::{Duration, Instant};
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

/// How many connect at the same time.
const ABREAST: usize = 64;

/// How long one that joined for the measurement stays.
const STAY: Duration = Duration::from_secs(1);

/// Lets this many in, as fast as they get in. Each is a task: in one for all, the generator's thread would be full
/// before the server is.
pub(super) async fn gather(target: &Target, count: usize, name: &str) -> Result<Vec<Line>> {
    stream::iter(0..count)
        .map(|index| {
            let (target, room) = (target.clone(), format!("{name}-{}", index / 2));
            let entering = async move { Line::enter(&target, &room).await };
            AbortOnDropHandle::new(tokio::spawn(entering))
        })
        .buffered(ABREAST)
        .map(|entered| entered?)
        .try_collect()
        .await
}

/// A crowd that says nothing but what keeps it alive.
struct Idle(JoinSet<Result<()>>);

impl Idle {
    fn new(lines: Vec<Line>) -> Self {
        let mut tasks = JoinSet::new();
        for line in lines {
            tasks.spawn(line.idle());
        }
        Self(tasks)
    }

    /// How many of them the server has let go, and what one of them was told.
    fn lost(&mut self) -> (usize, Option<String>) {
        let (mut count, mut reason) = (0, None);
        while let Some(ended) = self.0.try_join_next() {
            count += 1;
            if let Ok(Err(error)) = ended {
                reason = Some(format!("{error:#}"));
            }
        }
        (count, reason)
    }
}

/// Connects a crowd, and holds it.
pub(super) async fn idle(
    target: &Target,
    process: Option<Process>,
    count: usize,
    hold: Duration,
) -> Result<Vec<Figure>> {
    let resident = |process: Option<Process>| process.map(Process::resident).transpose();
    let before = resident(process)?;
    let started = Instant::now();
    let lines = gather(target, count, "idle").await?;
    let took = started.elapsed();
    let after = resident(process)?;
    let mut crowd = Idle::new(lines);
    sleep(hold).await;
    let held = resident(process)?;
    let (lost, reason) = crowd.lost();
    let reason = reason.map_or_else(String::new, |reason| format!(", {reason}"));
    let mut figures = vec![Figure::new(
        "connect_and_join",
        number(count) / took.as_secs_f64(),
        "a second",
        ">= 9000",
        format!("{count} connections, {ABREAST} at a time"),
    )];
    if let (Some(before), Some(after), Some(held)) = (before, after, held) {
        let most = after.max(held);
        figures.push(Figure::new(
            "idle_memory",
            bytes(most) / 1e6,
            "MB",
            "< 70 at 10000",
            format!("{count} connections; {:.1} MB without", bytes(before) / 1e6),
        ));
        figures.push(Figure::new(
            "idle_memory_each",
            bytes(most.saturating_sub(before)) / 1e3 / number(count.max(1)),
            "kB",
            "",
            "what came with the connections",
        ));
    }
    figures.push(Figure::new(
        "idle_held",
        number(count - lost),
        "connections",
        "all",
        format!("after {} s{reason}", hold.as_secs()),
    ));
    Ok(figures)
}

/// Joins at a steady rate, beside a crowd that is idle.
pub(super) async fn joins(
    target: &Target,
    beside: usize,
    rate: u32,
    time: Duration,
) -> Result<Vec<Figure>> {
    let mut crowd = Idle::new(gather(target, beside, "beside").await?);
    let mut tasks: JoinSet<Result<Duration>> = JoinSet::new();
    let started = Instant::now();
    let (mut times, mut index) = (Times::default(), 0);
    loop {
        let due = started + Duration::from_secs(1) * index / rate;
        if due >= started + time {
            break;
        }
        sleep_until(due.into()).await;
        let (target, room) = (target.clone(), format!("join-{}", index / 2));
        tasks.spawn(async move {
            let began = Instant::now();
            let line = Line::enter(&target, &room).await?;
            let took = began.elapsed();
            let _ = tokio::time::timeout(STAY, line.idle()).await;
            Ok(took)
        });
        index += 1;
        while let Some(joined) = tasks.try_join_next() {
            times.add(joined??);
        }
    }
    while let Some(joined) = tasks.join_next().await {
        times.add(joined??);
    }
    let (lost, reason) = crowd.lost();
    ensure!(
        lost == 0,
        "{lost} of the idle ones were lost: {}",
        reason.unwrap_or_default()
    );
    let count = times.len();
    let details = format!("{count} at {rate} a second, beside {beside} idle ones");
    let quantiles = [
        ("join_p50", 0.5, ""),
        ("join_p99", 0.99, "< 50 at 500/s"),
        ("join_p999", 0.999, ""),
    ];
    Ok(quantiles
        .map(|(name, share, bar)| {
            Figure::new(name, times.quantile(share), "ms", bar, details.clone())
        })
        .into())
}

/// Files that so many connections take, or what to do about it.
pub(super) fn check_files(limit: Option<usize>, connections: usize) -> Result<()> {
    let needed = connections + 100;
    let enough = limit.is_none_or(|limit| limit >= needed);
    enough.then_some(()).with_context(|| {
        format!("{connections} connections need {needed} open files: raise `ulimit -n`")
    })
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(super) fn number(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(super) fn bytes(count: u64) -> f64 {
    count as f64
}
