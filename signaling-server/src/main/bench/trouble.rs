//! What members of live rooms notice of trouble: the same steady rate, alone and beside it.

use super::{
    crowd::{bytes, gather, number},
    figures::Figure,
    line::{Attempt, Line, Target},
    messages::{Paced, steady},
    process::Process,
    slow::Crowd,
};
use anyhow::{Result, ensure};
use futures_util::future::try_join;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until, timeout},
};

/// Members that talk: twenty rooms.
pub(super) const LIVE: u32 = 40;

/// Most that they say in a second: nine tenths of what the server lets them, as everywhere.
const RATE: u32 = 1500;

/// How long a crowd may take to be there.
const GATHERING: Duration = Duration::from_secs(60);

/// How long trouble goes on before it is measured: the server ends those that do not join after 3 s, and those
/// whose request does not end after 5.
const WARM: Duration = Duration::from_secs(6);

/// How often memory is looked at.
const GLANCE: Duration = Duration::from_millis(200);

const SLOW: [&str; 6] = [
    "without_slow_p50",
    "without_slow_p99",
    "beside_slow_p50",
    "beside_slow_p99",
    "beside_slow_p999",
    "beside_slow_lost",
];

const OVERLOAD: [&str; 6] = [
    "before_overload_p50",
    "before_overload_p99",
    "overload_p50",
    "overload_p99",
    "overload_p999",
    "overload_lost",
];

/// Who is measured, and how.
pub(super) struct Scene<'a> {
    target: &'a Target,
    process: Option<Process>,
    rate: u32,
    size: usize,
    time: Duration,
}

impl<'a> Scene<'a> {
    pub(super) fn new(
        target: &'a Target,
        process: Option<Process>,
        rate: u32,
        size: usize,
        time: Duration,
    ) -> Self {
        Self {
            target,
            process,
            rate: rate.min(RATE),
            size,
            time,
        }
    }

    async fn live(&self) -> Result<Vec<Line>> {
        gather(self.target, usize::try_from(LIVE)?, "live").await
    }

    async fn talk(&self, lines: Vec<Line>) -> Result<Paced> {
        steady(lines, self.process, self.rate, self.size, self.time).await
    }

    /// How long messages took, alone and beside, under these names.
    fn figures(
        &self,
        names: [&'static str; 6],
        mut alone: Paced,
        mut beside: Paced,
        what: &str,
    ) -> Vec<Figure> {
        let details = format!(
            "{} rooms, {} a second of {} bytes, {what}",
            LIVE / 2,
            self.rate,
            self.size
        );
        let figure = |name, paced: &mut Paced, share| {
            let value = paced.times.quantile(share);
            Figure::new(name, value, "ms", "", details.clone())
        };
        let mut figures = vec![
            figure(names[0], &mut alone, 0.5),
            figure(names[1], &mut alone, 0.99),
            figure(names[2], &mut beside, 0.5),
            figure(names[3], &mut beside, 0.99),
            figure(names[4], &mut beside, 0.999),
        ];
        figures.push(Figure::new(
            names[5],
            number(beside.lost()),
            "messages",
            "0",
            format!("of {}", beside.sent),
        ));
        figures
    }
}

/// Beside clients that are slow or broken.
pub(super) async fn slow(scene: &Scene<'_>, count: usize) -> Result<Vec<Figure>> {
    let resident = || scene.process.map(Process::resident).transpose();
    let alone = scene.talk(scene.live().await?).await?;
    let lines = scene.live().await?;
    let before = resident()?;
    let crowd = Crowd::new(scene.target, count);
    let there = async {
        while !crowd.is_there() {
            sleep(GLANCE).await;
        }
    };
    let gathered = timeout(GATHERING, there).await;
    ensure!(
        gathered.is_ok(),
        "{count} clients are not there after {GATHERING:?}"
    );
    sleep(WARM).await;
    let mut most = resident()?;
    let glances = async {
        let until = Instant::now() + scene.time;
        while Instant::now() < until {
            most = most.max(resident()?);
            sleep(GLANCE).await;
        }
        anyhow::Ok(())
    };
    let (beside, ()) = try_join(scene.talk(lines), glances).await?;
    let what = format!("{count} slow ones, of which {} were ended", crowd.ended());
    let mut figures = scene.figures(SLOW, alone, beside, &what);
    if let (Some(before), Some(most)) = (before, most) {
        figures.push(Figure::new(
            "slow_memory",
            bytes(most) / 1e6,
            "MB",
            "",
            format!("{:.1} MB without them", bytes(before) / 1e6),
        ));
    }
    Ok(figures)
}

/// At a server that is full, while many want in.
pub(super) async fn overload(scene: &Scene<'_>, most: usize, rate: u32) -> Result<Vec<Figure>> {
    let alone = scene.talk(scene.live().await?).await?;
    let lines = scene.live().await?;
    let mut idle = JoinSet::new();
    loop {
        let room = format!("idle-{}", idle.len() / 2);
        match Line::attempt(scene.target, &room).await? {
            Attempt::In(line) => idle.spawn(line.idle()),
            Attempt::Refused(_) => break,
        };
        ensure!(
            idle.len() <= most,
            "{most} --idle connections do not fill this server"
        );
    }
    let filled = idle.len();
    let crowd = knock(scene.target, rate, scene.time);
    let (beside, codes) = try_join(scene.talk(lines), crowd).await?;
    ensure!(
        idle.try_join_next().is_none(),
        "connections that were there were lost"
    );
    let what = format!("beside {filled} idle ones and {rate} that want in a second");
    let mut figures = scene.figures(OVERLOAD, alone, beside, &what);
    let all: usize = codes.values().sum();
    let full = codes.get("server-full").copied().unwrap_or(0);
    figures.push(Figure::new(
        "refused_server_full",
        number(full),
        "connections",
        "all",
        format!("of {all}: {codes:?}"),
    ));
    Ok(figures)
}

/// Tries to join at a steady rate, and says what came of it: a code, or `in`.
async fn knock(target: &Target, rate: u32, time: Duration) -> Result<BTreeMap<String, usize>> {
    let mut attempts: JoinSet<Result<String>> = JoinSet::new();
    let mut codes = BTreeMap::new();
    let mut count = |code: Result<String>| {
        *codes.entry(code?).or_default() += 1;
        anyhow::Ok(())
    };
    let started = Instant::now();
    for index in 0.. {
        let due = started + Duration::from_secs(1) * index / rate;
        if due >= started + time {
            break;
        }
        sleep_until(due.into()).await;
        let (target, room) = (target.clone(), format!("late-{index}"));
        attempts.spawn(async move {
            Ok(match Line::attempt(&target, &room).await? {
                Attempt::In(_) => "in".to_owned(),
                Attempt::Refused(code) => code,
            })
        });
        while let Some(attempt) = attempts.try_join_next() {
            count(attempt?)?;
        }
    }
    while let Some(attempt) = attempts.join_next().await {
        count(attempt?)?;
    }
    Ok(codes)
}
