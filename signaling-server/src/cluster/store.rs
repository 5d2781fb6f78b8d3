//! The thin edge to Redis: one connection, scripts, leases. It knows whether Redis can be reached, and
//! whether it still has what it had.

use super::{CALL_LIMIT, Unavailable};
use crate::metrics::ClusterMetrics;
use futures_util::FutureExt;
use rand::RngExt;
use redis::{
    AsyncConnectionConfig, Client, RedisError,
    aio::{MultiplexedConnection, PubSub},
};
use signaling_protocol::{RoomName, Secret};
use std::{
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};
use tokio::{sync::Notify, time::timeout};

/// Channels on which nodes are told of news begin with this.
pub(super) const WAKE: &str = "peerline:wake:";

/// Leases of nodes begin with this.
const NODE: &str = "peerline:node:";

/// Says which Redis this is: it goes away with everything else.
const ERA: &str = "peerline:era";
const ERA_LIFE: Duration = Duration::from_secs(3600);

/// How long a node counts as there after its last beat.
pub(super) const NODE_LEASE: Duration = Duration::from_secs(10);

/// How often it is logged that Redis refuses what it is asked.
const TELL_AGAIN: Duration = Duration::from_secs(10);

macro_rules! script {
    ($name:literal) => {
        concat!(
            include_str!("lua/room.lua"),
            include_str!(concat!("lua/", $name, ".lua"))
        )
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    Join,
    Post,
    Leave,
    Resume,
    Touch,
    Restore,
}

impl Script {
    pub(crate) const ALL: [Self; 6] = [
        Self::Join,
        Self::Post,
        Self::Leave,
        Self::Resume,
        Self::Touch,
        Self::Restore,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Post => "post",
            Self::Leave => "leave",
            Self::Resume => "resume",
            Self::Touch => "touch",
            Self::Restore => "restore",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Join => script!("join"),
            Self::Post => script!("post"),
            Self::Leave => script!("leave"),
            Self::Resume => script!("resume"),
            Self::Touch => script!("touch"),
            Self::Restore => script!("restore"),
        }
    }

    /// Whether it is how a node gets to a common view again.
    fn reconciles(self) -> bool {
        matches!(self, Self::Leave | Self::Touch | Self::Restore)
    }
}

pub(super) struct Store {
    client: Client,
    /// In the order of [`Script::ALL`].
    scripts: [redis::Script; Script::ALL.len()],
    metrics: ClusterMetrics,
    state: Mutex<State>,
    failed: Notify,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may have a password in it.
        f.write_str("Store")
    }
}

#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    /// Tells connections apart: what fails on one that is gone says nothing about the next.
    generation: u64,
    /// Since when others than the keeper may use it.
    open: Option<Instant>,
    /// What the clock of this Redis showed, and when.
    clock: Option<(Instant, u64)>,
    mark: String,
    era: u64,
    /// When it was last logged that Redis refuses.
    told: Option<Instant>,
}

impl Store {
    pub(super) fn new(url: &Secret, metrics: ClusterMetrics) -> Result<Self, String> {
        let client = Client::open(url.expose()).map_err(|error| error.to_string())?;
        Ok(Self {
            client,
            scripts: Script::ALL.map(|script| redis::Script::new(script.text())),
            metrics,
            state: Mutex::default(),
            failed: Notify::new(),
        })
    }

    /// Connects anew, for commands and for news. Nobody but the keeper uses it yet.
    pub(super) async fn connect(&self, node: &str) -> Result<PubSub, RedisError> {
        let late = |_| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CALL_LIMIT))
            .set_response_timeout(Some(CALL_LIMIT));
        let connecting = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        let connection = timeout(CALL_LIMIT, connecting).await.map_err(late)??;
        let subscribing = async {
            let mut news = self.client.get_async_pubsub().await?;
            news.subscribe(format!("{WAKE}{node}")).await?;
            Ok::<_, RedisError>(news)
        };
        let news = timeout(CALL_LIMIT, subscribing).await.map_err(late)??;
        let mut state = self.state();
        state.connection = Some(connection);
        state.generation += 1;
        // It may be another Redis now, with another clock.
        (state.open, state.clock) = (None, None);
        drop(state);
        // Of an earlier one.
        let _ = self.failed.notified().now_or_never();
        Ok(news)
    }

    /// Everybody may use the connection from now on.
    pub(super) fn open(&self, now: Instant) {
        self.state().open = Some(now);
        self.metrics.redis_up.set(1);
    }

    pub(super) fn close(&self) {
        let mut state = self.state();
        (state.connection, state.open) = (None, None);
        self.metrics.redis_up.set(0);
        self.metrics.nodes.set(0);
    }

    pub(super) fn is_up(&self) -> bool {
        self.state().open.is_some()
    }

    /// Whether Redis could be reached for so long that every node has been heard.
    pub(super) fn is_settled(&self, time: Duration) -> bool {
        self.state().open.is_some_and(|open| open.elapsed() > time)
    }

    /// Which era it is: when it changes, all that was in Redis before is gone.
    pub(super) fn era(&self) -> u64 {
        self.state().era
    }

    /// What the clock of Redis shows then, as far as is known.
    pub(super) fn time(&self, at: Instant) -> Option<u64> {
        let (then, shown) = self.state().clock?;
        let since = at.saturating_duration_since(then).as_millis();
        Some(shown.saturating_add(u64::try_from(since).ok()?))
    }

    pub(super) fn set_time(&self, now: Instant, shown: u64) {
        if shown > 0 {
            self.state().clock = Some((now, shown));
        }
    }

    /// Waits until the connection has failed somebody.
    pub(super) async fn failure(&self) {
        self.failed.notified().await;
    }

    pub(super) async fn run(
        &self,
        script: Script,
        room: &RoomName,
        call: &str,
        frame: Option<&str>,
    ) -> Result<String, Unavailable> {
        if !script.reconciles() && !self.is_up() {
            return Err(Unavailable);
        }
        let (mut connection, generation) = self.connection()?;
        let text = &self.scripts[script as usize];
        let tag = format!("peerline:{{{}}}", room.as_str());
        let mut invocation = text.prepare_invoke();
        invocation
            .key(format!("{tag}:room"))
            .key(format!("{tag}:members"))
            .arg(format!("{tag}:q:"))
            .arg(call);
        if let Some(frame) = frame {
            invocation.arg(frame);
        }
        let began = Instant::now();
        let invoked = timeout(CALL_LIMIT, invocation.invoke_async(&mut connection)).await;
        self.metrics.called(script.name(), began.elapsed());
        self.judge(invoked.ok(), generation)
    }

    /// Says that this node is there, and finds out which Redis this is.
    pub(super) async fn beat(&self, node: &str) -> Result<(), Unavailable> {
        let (mut connection, generation) = self.connection()?;
        let mark: u64 = rand::rng().random();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut beat = redis::pipe();
        beat.cmd("SET")
            .arg(format!("{NODE}{node}"))
            .arg(1)
            .arg("PX")
            .arg(millis(NODE_LEASE))
            .ignore();
        beat.cmd("SET")
            .arg(ERA)
            .arg(mark)
            .arg("NX")
            .arg("PX")
            .arg(millis(ERA_LIFE))
            .ignore();
        beat.cmd("PEXPIRE").arg(ERA).arg(millis(ERA_LIFE)).ignore();
        beat.cmd("GET").arg(ERA);
        let beaten = timeout(CALL_LIMIT, beat.query_async(&mut connection)).await;
        let (mark,): (String,) = self.judge(beaten.ok(), generation)?;
        let mut state = self.state();
        if state.mark != mark {
            state.mark = mark;
            state.era += 1;
        }
        Ok(())
    }

    /// Which of these nodes have not been heard for too long.
    pub(super) async fn dead(&self, nodes: Vec<String>) -> Result<Vec<String>, Unavailable> {
        if nodes.is_empty() {
            return Ok(nodes);
        }
        let (mut connection, generation) = self.connection()?;
        let mut questions = redis::pipe();
        for node in &nodes {
            questions.cmd("EXISTS").arg(format!("{NODE}{node}"));
        }
        let answered = timeout(CALL_LIMIT, questions.query_async(&mut connection)).await;
        let alive: Vec<bool> = self.judge(answered.ok(), generation)?;
        let nodes = nodes.into_iter().zip(alive);
        Ok(nodes
            .filter(|(_, alive)| !alive)
            .map(|(node, _)| node)
            .collect())
    }

    /// How many nodes listen for news, this one included.
    pub(super) async fn count_nodes(&self) -> Result<(), Unavailable> {
        let (mut connection, generation) = self.connection()?;
        let mut question = redis::cmd("PUBSUB");
        question.arg("CHANNELS").arg(format!("{WAKE}*"));
        let answered = timeout(CALL_LIMIT, question.query_async(&mut connection)).await;
        let channels: Vec<String> = self.judge(answered.ok(), generation)?;
        let nodes = i64::try_from(channels.len()).unwrap_or(i64::MAX);
        self.metrics.nodes.set(nodes);
        Ok(())
    }

    /// Gives the node's lease back.
    pub(super) async fn resign(&self, node: &str) {
        let Ok((mut connection, _)) = self.connection() else {
            return;
        };
        let mut resign = redis::cmd("DEL");
        resign.arg(format!("{NODE}{node}"));
        // It ends by itself if this does not arrive.
        let _ = timeout(CALL_LIMIT, resign.query_async::<()>(&mut connection)).await;
    }

    /// A result that is none, or an error of the connection, is the end of it; other errors (out of
    /// memory, read-only) are that operation's.
    fn judge<T>(
        &self,
        result: Option<Result<T, RedisError>>,
        generation: u64,
    ) -> Result<T, Unavailable> {
        if !matches!(result, Some(Ok(_))) {
            self.metrics.redis_failures.inc();
        }
        match result {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(error)) if !error.is_unrecoverable_error() && !error.is_io_error() => {
                self.refused(&error);
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "Redis is lost");
                self.fail(generation);
            }
            None => {
                tracing::debug!("Redis does not answer");
                self.fail(generation);
            }
        }
        Err(Unavailable)
    }

    /// A Redis that is full refuses every call: what matters is that it does, and since when.
    fn refused(&self, error: &RedisError) {
        let now = Instant::now();
        let mut state = self.state();
        if state.told.is_none_or(|told| now - told >= TELL_AGAIN) {
            state.told = Some(now);
            tracing::warn!(%error, "Redis refuses; `peerline_redis_failures_total` counts how often");
        }
    }

    fn fail(&self, generation: u64) {
        // While nobody can connect anew, who would take this for a failure of the next connection.
        let state = self.state();
        if state.generation == generation {
            self.failed.notify_one();
        }
    }

    fn connection(&self) -> Result<(MultiplexedConnection, u64), Unavailable> {
        let state = self.state();
        let connection = state.connection.clone().ok_or(Unavailable)?;
        Ok((connection, state.generation))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds a connection")
    }
}
