//! Messages from one member of a room to the other: as many as the server takes, and how long one takes at
//! a steady rate.

use super::{
    allowance::Allowance,
    crowd::number,
    figures::{Figure, Times},
    line::{Line, write},
    process::Process,
    template::{Template, stamped},
};
use anyhow::{Result, ensure};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, runtime::Handle, task::JoinSet, time::sleep};

/// Time in which things settle before anything is measured.
const SETTLE: Duration = Duration::from_secs(1);

/// How long the last messages may take.
const STRAGGLERS: Duration = Duration::from_secs(5);

/// Every member answers each message with one of its own, `window` of them at a time in each direction.
pub(super) async fn saturate(
    lines: Vec<Line>,
    process: Option<Process>,
    window: usize,
    size: usize,
    time: Duration,
) -> Result<Vec<Figure>> {
    let count = lines.len();
    let templates = templates(&lines, size);
    let relayed = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for (line, Template { frame, .. }) in lines.into_iter().zip(templates) {
        tasks.spawn(answer(line, frame, window, Arc::clone(&relayed)));
    }
    let mut measured = async || {
        sleep(SETTLE).await;
        let cpu = |process: Option<Process>| process.map(Process::cpu).transpose();
        let (started, before, busy) = (
            Instant::now(),
            relayed.load(Ordering::Relaxed),
            cpu(process)?,
        );
        sleep(time).await;
        let took = started.elapsed();
        let messages = relayed.load(Ordering::Relaxed) - before;
        let busy = cpu(process)?
            .zip(busy)
            .map(|(after, before)| after - before);
        if let Some(ended) = tasks.try_join_next() {
            ended??;
        }
        anyhow::Ok((messages, took, busy))
    };
    let (messages, took, busy) = measured().await?;
    let details =
        format!("{count} connections, {window} messages of {size} bytes each way at a time");
    let mut figures = vec![Figure::new(
        "messages",
        number(messages) / took.as_secs_f64(),
        "a second",
        ">= 100000",
        details,
    )];
    if let Some(busy) = busy {
        figures.push(Figure::new(
            "cpu_per_1000",
            busy.as_secs_f64() * 1e6 / number(messages.max(1)),
            "ms",
            "<= 10",
            format!(
                "{:.0} % of a core of the server, while messages are as many as can be",
                busy.as_secs_f64() / took.as_secs_f64() * 100.0
            ),
        ));
    }
    Ok(figures)
}

/// For each line a message to the other one in its room. Those of one room stand beside each other.
fn templates(lines: &[Line], size: usize) -> Vec<Template> {
    let others = (0..lines.len()).map(|index| lines.get(index ^ 1));
    let pairs = lines.iter().zip(others);
    pairs
        .map(|(line, other)| {
            let to = other.map_or(&line.end, |other| &other.end);
            Template::new(line.dialect, &line.end, to, size)
        })
        .collect()
}

async fn answer(
    mut line: Line,
    frame: Vec<u8>,
    window: usize,
    relayed: Arc<AtomicUsize>,
) -> Result<()> {
    let (stream, hears) = (line.stream(), line.hears());
    let many = frame.repeat(window);
    let mut allowance = Allowance::new(line.per_second, Instant::now());
    let mut owed = window;
    loop {
        let now = allowance.take(owed, Instant::now());
        if now < owed {
            sleep(Duration::from_millis(20)).await;
        }
        for _ in 0..now / window {
            write(&stream, &many).await?;
        }
        write(&stream, &many[..now % window * frame.len()]).await?;
        owed -= now;
        if owed == 0 {
            // Others than messages are those who come while the room fills.
            let mut messages = 0;
            line.receive(|text| messages += usize::from(hears(text)))
                .await?;
            relayed.fetch_add(messages, Ordering::Relaxed);
            owed = messages;
        }
    }
}

/// How long a message takes at a steady rate.
pub(super) async fn pace(
    lines: Vec<Line>,
    process: Option<Process>,
    rate: u32,
    size: usize,
    time: Duration,
) -> Result<Vec<Figure>> {
    let count = lines.len();
    let mut paced = steady(lines, process, rate, size, time).await?;
    let share = paced.busy.map_or_else(String::new, |busy| {
        let share = busy.as_secs_f64() / time.as_secs_f64() * 100.0;
        format!(", {share:.0} % of a core of the server")
    });
    let details = format!(
        "{rate} a second of {size} bytes, {count} connections{share}; sent at most {:.1} ms late",
        paced.late.as_secs_f64() * 1000.0
    );
    let quantiles = [
        ("message_p50", 0.5, "<= 0.15 at 20000/s"),
        ("message_p99", 0.99, "<= 3 at 20000/s"),
        ("message_p999", 0.999, ""),
    ];
    let mut figures: Vec<Figure> = quantiles
        .map(|(name, share, bar)| {
            Figure::new(
                name,
                paced.times.quantile(share),
                "ms",
                bar,
                details.clone(),
            )
        })
        .into();
    figures.push(Figure::new(
        "messages_lost",
        number(paced.lost()),
        "messages",
        "0",
        format!("of {}", paced.sent),
    ));
    Ok(figures)
}

/// What a steady rate led to.
pub(super) struct Paced {
    /// How long messages took.
    pub(super) times: Times,
    pub(super) sent: usize,
    /// Processor time of the server.
    busy: Option<Duration>,
    /// How late a message was sent at most.
    late: Duration,
}

impl Paced {
    pub(super) fn lost(&self) -> usize {
        self.sent.saturating_sub(self.times.len())
    }
}

/// Sends at a steady rate, whatever the server does.
pub(super) async fn steady(
    lines: Vec<Line>,
    process: Option<Process>,
    rate: u32,
    size: usize,
    time: Duration,
) -> Result<Paced> {
    let count = lines.len();
    let least = lines.iter().map(|line| line.per_second).min().unwrap_or(0);
    let most = usize::try_from(least)? * count * 9 / 10;
    ensure!(
        usize::try_from(rate)? <= most,
        "{count} connections may send {most} messages a second together: take more --connections"
    );
    let epoch = Instant::now();
    let heard = Arc::new(Mutex::new(Times::default()));
    let templates = templates(&lines, size);
    let streams: Vec<_> = lines.iter().map(Line::stream).zip(templates).collect();
    let mut tasks = JoinSet::new();
    for line in lines {
        tasks.spawn(hear(line, epoch, Arc::clone(&heard)));
    }
    sleep(SETTLE).await;
    let cpu = |process: Option<Process>| process.map(Process::cpu).transpose();
    let busy = cpu(process)?;
    // A thread, because timers of the runtime have milliseconds, in which twenty messages would pile up.
    let sender = tokio::task::spawn_blocking(move || send(streams, epoch, rate, time));
    let (sent, late) = sender.await??;
    let deadline = Instant::now() + STRAGGLERS;
    let arrived = || heard.lock().map_or(0, |times| times.len());
    while arrived() < sent && Instant::now() < deadline {
        if let Some(ended) = tasks.try_join_next() {
            ended??;
        }
        sleep(Duration::from_millis(10)).await;
    }
    let busy = cpu(process)?
        .zip(busy)
        .map(|(after, before)| after - before);
    tasks.shutdown().await;
    let times = std::mem::take(&mut *heard.lock().unwrap_or_else(|heard| heard.into_inner()));
    Ok(Paced {
        times,
        sent,
        busy,
        late,
    })
}

async fn hear(mut line: Line, epoch: Instant, heard: Arc<Mutex<Times>>) -> Result<()> {
    let hears = line.hears();
    loop {
        line.receive(|text| {
            let now = epoch.elapsed();
            if hears(text)
                && let Some(then) = stamped(text)
                && let Ok(mut times) = heard.lock()
            {
                times.add(now.saturating_sub(then));
            }
        })
        .await?;
    }
}

/// Returns how many were sent, and how late one of them was at most. Sockets are waited for with the
/// runtime, which another thread drives.
fn send(
    mut streams: Vec<(Arc<TcpStream>, Template)>,
    epoch: Instant,
    rate: u32,
    time: Duration,
) -> Result<(usize, Duration)> {
    let runtime = Handle::current();
    let started = Instant::now();
    let (mut sent, mut latest) = (0, Duration::ZERO);
    for index in (0..streams.len()).cycle() {
        let (stream, template) = &mut streams[index];
        let due = started + Duration::from_secs(1).mul_f64(number(sent) / f64::from(rate));
        if due >= started + time {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        latest = latest.max(due.elapsed());
        template.stamp(epoch.elapsed());
        // While the server does not read what it was sent, the others must wait, too.
        runtime.block_on(write(stream, &template.frame))?;
        sent += 1;
    }
    Ok((sent, latest))
}
