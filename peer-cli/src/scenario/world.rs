//! Runs one scenario: performs what the timeline decides, and tells it what happens.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerline::net::EmulatedLink;
use peerline::net::link::LinkConfig;
use peerline::session::Healing;
use peerline::signaling::ServerUrl;
use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::journal::Journal;
use super::peers::native::{self, End, Home, Membership};
use super::peers::page::{self, Browsers, Files, Tab};
use super::peers::program::{self, Program};
use super::peers::{ORDERS, Order};
use super::plan::{Act, PeerId, PeerKind, Scenario, ServerAct, ServerChoice, link_seed};
use super::report::{Origin, REPORTS, Report, Reporter, Who};
use super::server::Hosted;
use super::timeline::{Action, Input, Timeline, Verdict};

/// How long peers may take to go when it is over: a goodbye, and a page that closes.
const END_LIMIT: Duration = Duration::from_secs(5);

/// How a scenario went.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) took: Duration,
    pub(crate) journal: Journal,
}

/// Runs a scenario whose file is in `directory`. Pictures of pages are saved in `logs` if it fails.
///
/// # Errors
/// This machine does not let it begin: no port, no place for files.
pub(crate) async fn run(
    scenario: Arc<Scenario>,
    directory: &Path,
    logs: &Path,
    browsers: &Browsers,
    stop: &CancellationToken,
) -> Result<Outcome, String> {
    let (queue, mut reports) = mpsc::channel(REPORTS);
    let mut world = World::new(scenario.clone(), directory, browsers, queue)?;
    let began = Instant::now();
    let mut journal = Journal::begin(began);
    let (mut timeline, mut actions) = Timeline::begin(scenario.clone(), began);
    let mut stopped = false;
    let verdict = loop {
        let mut verdict = None;
        for action in actions {
            journal.action(Instant::now(), &scenario, &action);
            match action {
                Action::End(end) => verdict = Some(end),
                action => world.perform(action),
            }
        }
        if let Some(verdict) = verdict {
            break verdict;
        }
        let due = timeline.next_deadline();
        let input = tokio::select! {
            biased;
            () = stop.cancelled(), if !stopped => {
                stopped = true;
                Input::Interrupted
            }
            Some(report) = reports.recv() => match world.admit(report) {
                Some(input) => input,
                None => Input::Tick,
            },
            () = sleep_until(due) => Input::Tick,
        };
        let now = Instant::now();
        journal.input(now, &scenario, &input);
        actions = timeline.handle(now, input);
    };
    let took = journal.elapsed(Instant::now());
    if matches!(verdict, Verdict::Failed(_)) {
        world.take_pictures(logs);
    }
    world.end(reports).await;
    Ok(Outcome {
        verdict,
        took,
        journal,
    })
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Everything that a scenario runs on.
struct World {
    scenario: Arc<Scenario>,
    directory: PathBuf,
    browsers: Browsers,
    queue: mpsc::Sender<Report>,
    url: ServerUrl,
    /// Its own server, if it has one.
    server: Option<Arc<Mutex<Hosted>>>,
    /// Of pages that are files.
    files: HashMap<PeerId, Files>,
    /// Of each line, what the host sends goes through the first.
    links: Vec<[EmulatedLink; 2]>,
    cut: Vec<bool>,
    /// How often somebody has begun anew.
    lives: HashMap<Who, u32>,
    peers: HashMap<PeerId, mpsc::Sender<Order>>,
    ends: HashMap<(usize, PeerId), mpsc::Sender<Order>>,
    /// How many still have to do what was ordered.
    due: usize,
    tasks: JoinSet<()>,
    /// Everybody's files. Removed last.
    homes: TempDir,
}

impl World {
    fn new(
        scenario: Arc<Scenario>,
        directory: &Path,
        browsers: &Browsers,
        queue: mpsc::Sender<Report>,
    ) -> Result<Self, String> {
        let homes = tempfile::tempdir().map_err(|error| format!("no place for files: {error}"))?;
        let directory = directory
            .canonicalize()
            .map_err(|error| error.to_string())?;
        let (url, server) = match &scenario.server {
            ServerChoice::Embedded => {
                let hosted = Hosted::start()?;
                (hosted.url(), Some(Arc::new(Mutex::new(hosted))))
            }
            ServerChoice::Given(url) => {
                let url = url.parse().map_err(|error| format!("{error}"))?;
                (url, None)
            }
        };
        let lines = scenario.lines.iter().enumerate();
        let links = lines.map(|(index, line)| {
            [0, 1].map(|direction| {
                EmulatedLink::new(LinkConfig {
                    seed: link_seed(scenario.seed, index, direction),
                    ..line.network.clone()
                })
            })
        });
        Ok(Self {
            links: links.collect(),
            cut: vec![false; scenario.lines.len()],
            scenario,
            directory,
            browsers: browsers.clone(),
            queue,
            url,
            server,
            files: HashMap::new(),
            lives: HashMap::new(),
            peers: HashMap::new(),
            ends: HashMap::new(),
            due: 0,
            tasks: JoinSet::new(),
            homes,
        })
    }

    /// What the timeline is told of a report: nothing, if it is of an earlier life, or not all are done.
    fn admit(&mut self, report: Report) -> Option<Input> {
        let Report { origin, input } = report;
        if self.lives.get(&origin.who) != Some(&origin.life) {
            return None;
        }
        if let Input::Done(done) = &input {
            self.due = self.due.saturating_sub(1);
            if done.is_ok() && self.due > 0 {
                return None;
            }
        }
        Some(input)
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Start(peer) => self.start(peer),
            Action::Connect(line) => self.connect(line),
            Action::Perform { peer, act } => self.order(peer, act),
            Action::Server(act) => self.serve(act),
            Action::Cut(line) => self.set_cut(line, true),
            Action::Restore(line) => self.set_cut(line, false),
            Action::Ask { peer, expression } => {
                let asked = self
                    .peers
                    .get(&peer)
                    .map(|page| page.try_send(Order::Ask(expression)));
                if !matches!(asked, Some(Ok(()))) {
                    let answer = Input::Answer(Err("the page is gone".into()));
                    self.tell(Who::Peer(peer), peer, answer);
                }
            }
            // Taken by whoever runs this.
            Action::End(_) => {}
        }
    }

    /// Tells the timeline something on behalf of somebody.
    fn tell(&mut self, who: Who, peer: PeerId, input: Input) {
        let reporter = self.reporter(who, peer);
        self.tasks.spawn(async move { reporter.tell(input).await });
    }

    fn reporter(&mut self, who: Who, peer: PeerId) -> Reporter {
        let life = *self.lives.entry(who).or_insert(0);
        Reporter {
            origin: Origin { who, life },
            peer,
            queue: self.queue.clone(),
        }
    }

    /// Begins a life.
    fn begin(&mut self, who: Who) {
        *self.lives.entry(who).or_insert(0) += 1;
    }

    fn start(&mut self, peer: PeerId) {
        self.begin(Who::Peer(peer));
        let reporter = self.reporter(Who::Peer(peer), peer);
        let (sender, orders) = mpsc::channel(ORDERS);
        self.peers.insert(peer, sender);
        let scenario = self.scenario.clone();
        match &scenario.peers[peer].kind {
            PeerKind::Native { .. } => {}
            PeerKind::Member {
                room,
                sends,
                network,
            } => {
                let membership = Membership {
                    room: room.clone(),
                    sends: sends.clone(),
                    network: network.clone(),
                    reporter,
                    orders,
                };
                self.tasks.spawn(native::join(self.url.clone(), membership));
            }
            PeerKind::Page { page, .. } => {
                let url = match self.address(page, peer) {
                    Ok(url) => url,
                    Err(why) => {
                        let broken = Input::Broken { peer, why };
                        return self.tell(Who::Peer(peer), peer, broken);
                    }
                };
                let tab = Tab {
                    url,
                    browsers: self.browsers.clone(),
                    reporter,
                    orders,
                };
                self.tasks.spawn(page::run(tab));
            }
            PeerKind::Program { words, variables } => {
                let filled =
                    |(name, value): (&String, &String)| (name.clone(), self.filled(value, peer));
                let program = Program {
                    words: words.iter().map(|word| self.filled(word, peer)).collect(),
                    variables: variables.iter().map(filled).collect(),
                    directory: self.directory.clone(),
                    reporter,
                    orders,
                };
                self.tasks.spawn(program::run(program));
            }
        }
    }

    /// The URL of a page, which is served if it is a file.
    fn address(&mut self, page: &str, peer: PeerId) -> Result<String, String> {
        let page = self.filled(page, peer);
        let before_query = page.split(['?', '#']).next().unwrap_or_default();
        if before_query.contains("://") {
            return Ok(page);
        }
        let files = Files::serve(&self.directory, &page)?;
        let url = files.url().to_owned();
        self.files.insert(peer, files);
        Ok(url)
    }

    /// Text with what its placeholders stand for.
    fn filled(&self, text: &str, peer: PeerId) -> String {
        let home = self.home(peer);
        let server = self.url.to_string();
        let socket = self.url.websocket();
        let socket = socket.strip_suffix("/ws").unwrap_or(&socket);
        text.replace("{server}", server.trim_end_matches('/'))
            .replace("{ws}", socket)
            .replace("{home}", &home.to_string_lossy())
    }

    /// Where a peer has its files. Made when it is named.
    fn home(&self, peer: PeerId) -> PathBuf {
        let home = self.homes.path().join(self.scenario.name_of(peer));
        // What needs it says that it is not there.
        let _ = std::fs::create_dir_all(&home);
        home
    }

    fn connect(&mut self, line: usize) {
        self.begin(Who::Line(line));
        let scenario = self.scenario.clone();
        let [a, b] = scenario.lines[line].ends;
        let cut = self.cut[line];
        for link in &self.links[line] {
            link.set_outage(cut);
        }
        let ends = [(a, b, 0), (b, a, 1)].map(|(peer, with, direction)| {
            let (sender, orders) = mpsc::channel(ORDERS);
            // The one of an earlier life ends with its sender.
            self.ends.insert((line, peer), sender);
            let faster = match scenario.peers[peer].kind {
                PeerKind::Native { faster } => faster,
                _ => 1,
            };
            End {
                reporter: self.reporter(Who::Line(line), peer),
                with,
                orders,
                link: self.links[line][direction].clone(),
                healing: Healing::default().faster(faster),
                home: Arc::new(Home {
                    directory: self.home(peer),
                    scenario: self.directory.clone(),
                    seed: scenario.seed,
                }),
            }
        });
        self.tasks
            .spawn(native::run_line(self.url.clone(), line, ends));
    }

    /// Makes a peer do something, wherever that is done.
    fn order(&mut self, peer: PeerId, act: Act) {
        let scenario = self.scenario.clone();
        let is_native = matches!(scenario.peers[peer].kind, PeerKind::Native { .. });
        let only = match &act {
            Act::Open { to, .. }
            | Act::Send { to, .. }
            | Act::Transfer { to, .. }
            | Act::Call { to, .. } => Some(*to),
            Act::Start | Act::Leave | Act::Kill | Act::Write(_) => None,
        };
        let is_last = matches!(act, Act::Leave | Act::Kill);
        if !is_native {
            self.due = 1;
            let sent = self
                .peers
                .get(&peer)
                .map(|peer| peer.try_send(Order::Act(act)));
            if !matches!(sent, Some(Ok(()))) {
                let done = Input::Done(Err("it is gone".into()));
                self.tell(Who::Peer(peer), peer, done);
            }
            return;
        }
        let lines = scenario.lines_of(peer);
        let lines: Vec<usize> = lines
            .filter(|(_, other)| only.is_none_or(|only| only == *other))
            .map(|(line, _)| line)
            .collect();
        self.due = 0;
        for line in lines {
            let end = self.ends.get(&(line, peer));
            let sent = end.map(|end| end.try_send(Order::Act(act.clone())));
            if matches!(sent, Some(Ok(()))) {
                self.due += 1;
            }
            if is_last {
                self.ends.remove(&(line, peer));
            }
        }
        if self.due == 0 {
            self.due = 1;
            self.begin(Who::Peer(peer));
            let done = match is_last {
                true => Ok(()),
                false => Err("there is no line".to_owned()),
            };
            self.tell(Who::Peer(peer), peer, Input::Done(done));
        }
    }

    fn serve(&mut self, act: ServerAct) {
        self.due = 1;
        self.begin(Who::Server);
        let reporter = self.reporter(Who::Server, 0);
        let Some(server) = self.server.clone() else {
            let done = Input::Done(Err("it is not this scenario's own".into()));
            return self.tell(Who::Server, 0, done);
        };
        self.tasks.spawn(async move {
            let done = server.lock().await.act(act).await;
            reporter.done(done).await;
        });
    }

    fn set_cut(&mut self, line: usize, cut: bool) {
        self.cut[line] = cut;
        for link in &self.links[line] {
            link.set_outage(cut);
        }
    }

    fn take_pictures(&self, logs: &Path) {
        for (peer, orders) in &self.peers {
            let described = &self.scenario.peers[*peer];
            if !matches!(described.kind, PeerKind::Page { .. }) {
                continue;
            }
            if std::fs::create_dir_all(logs).is_ok() {
                let path = logs.join(format!("{}.png", described.name));
                // Nothing is ordered any more, so there is room.
                let _ = orders.try_send(Order::Picture(path));
            }
        }
    }

    /// Everybody goes, whatever is left of them is aborted, and their files are removed.
    async fn end(mut self, mut reports: mpsc::Receiver<Report>) {
        self.peers.clear();
        self.ends.clear();
        let going = async {
            loop {
                tokio::select! {
                    done = self.tasks.join_next() => if done.is_none() { return },
                    // What they still say is not heard, and must not hold them up.
                    Some(_) = reports.recv() => {}
                }
            }
        };
        let _ = tokio::time::timeout(END_LIMIT, going).await;
        self.tasks.shutdown().await;
        let homes = self.homes;
        // A disk may take its time.
        let _ = tokio::task::spawn_blocking(move || drop(homes)).await;
    }
}
