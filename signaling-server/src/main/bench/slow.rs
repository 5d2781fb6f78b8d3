//! Clients that are slow or broken, and come again when the server has had enough of them.

use super::{dialect::End, frames, line::Target};
use anyhow::Result;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
    time::sleep,
};

/// How many connect at the same time.
const ABREAST: usize = 64;

/// Receive buffer of those that do not read: the kernel would take megabytes for them otherwise.
const NARROW: usize = 4096;

/// What those that do not read are sent, by one another: this much, this often.
const UNREAD_BYTES: usize = 16 * 1024;
const UNREAD_EVERY: Duration = Duration::from_secs(1);

/// Pause before one comes again.
const PAUSE: Duration = Duration::from_millis(200);

/// What is wrong with a client.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It connects and says nothing.
    Silent,
    /// Its request does not end.
    HalfRequest,
    /// It has a WebSocket and does not join.
    NoJoin,
    /// It is in a room and begins a message that does not end.
    HalfFrame,
    /// It is in a room where much is said, and reads nothing.
    Deaf,
}

impl Fault {
    const ALL: [Self; 5] = [
        Self::Silent,
        Self::HalfRequest,
        Self::NoJoin,
        Self::HalfFrame,
        Self::Deaf,
    ];
}

/// As many of each fault, for as long as this lives.
pub(super) struct Crowd {
    _clients: JoinSet<()>,
    count: usize,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct Tally {
    /// Those that have done what they do, for the first time.
    there: AtomicUsize,
    /// How often the server has ended one.
    ended: AtomicUsize,
}

impl Crowd {
    pub(super) fn new(target: &Target, count: usize) -> Self {
        let tally = Arc::new(Tally::default());
        let turns = Arc::new(Semaphore::new(ABREAST));
        let mut clients = JoinSet::new();
        for index in 0..count {
            let client = Client {
                target: target.clone(),
                fault: Fault::ALL[index % Fault::ALL.len()],
                room: format!("slow-{}", index / (2 * Fault::ALL.len())),
                turns: Arc::clone(&turns),
                tally: Arc::clone(&tally),
            };
            clients.spawn(client.live());
        }
        Self {
            _clients: clients,
            count,
            tally,
        }
    }

    /// Whether all of them have done it once.
    pub(super) fn is_there(&self) -> bool {
        self.tally.there.load(Ordering::Relaxed) >= self.count
    }

    pub(super) fn ended(&self) -> usize {
        self.tally.ended.load(Ordering::Relaxed)
    }
}

struct Client {
    target: Target,
    fault: Fault,
    room: String,
    turns: Arc<Semaphore>,
    tally: Arc<Tally>,
}

impl Client {
    async fn live(self) {
        let mut first = true;
        loop {
            let begun = {
                let _turn = self.turns.acquire().await;
                self.begin().await
            };
            if std::mem::take(&mut first) {
                self.tally.there.fetch_add(1, Ordering::Relaxed);
            }
            if let Ok(stream) = begun {
                self.stay(stream).await;
                self.tally.ended.fetch_add(1, Ordering::Relaxed);
            }
            sleep(PAUSE).await;
        }
    }

    async fn begin(&self) -> Result<TcpStream> {
        let mut stream = self.target.connect().await?;
        let end = End {
            room: self.room.clone(),
            id: String::new(),
        };
        let upgrade = self.target.upgrade(&end);
        let join = format!(r#"{{"type":"join","room":"{}"}}"#, self.room);
        match self.fault {
            Fault::Silent => {}
            Fault::HalfRequest => {
                let half = &upgrade.as_bytes()[..upgrade.len() / 2];
                stream.write_all(half).await?;
            }
            Fault::NoJoin => stream.write_all(upgrade.as_bytes()).await?,
            Fault::HalfFrame => {
                let message = frames::text(&[b'x'; 60_000]);
                let join = frames::text(join.as_bytes());
                let bytes = [upgrade.as_bytes(), &join, &message[..30_000]].concat();
                stream.write_all(&bytes).await?;
            }
            Fault::Deaf => {
                socket2::SockRef::from(&stream).set_recv_buffer_size(NARROW)?;
                let bytes = [upgrade.as_bytes(), &frames::text(join.as_bytes())].concat();
                stream.write_all(&bytes).await?;
            }
        }
        Ok(stream)
    }

    /// Stays until the server ends it.
    async fn stay(&self, mut stream: TcpStream) {
        match self.fault {
            Fault::Silent | Fault::HalfRequest | Fault::NoJoin | Fault::HalfFrame => {
                let mut buffer = [0; 512];
                while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
            }
            Fault::Deaf => {
                let content = "x".repeat(UNREAD_BYTES);
                let text = format!(r#"{{"type":"chat","content":"{content}"}}"#);
                let frame = frames::text(text.as_bytes());
                while stream.write_all(&frame).await.is_ok() {
                    sleep(UNREAD_EVERY).await;
                }
            }
        }
    }
}
