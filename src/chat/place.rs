//! Moves the messages of a room between its two sides and their channels.

use super::error::ChatError;
use super::event::Event;
use super::guest::Guest;
use super::host::Host;
use super::message::{Kind, MAX_TEXT, Message};
use super::name::Name;
use super::side::{Link, Side};
use crate::channel::{Channel, ChannelReceiver, ChannelSender, Message as Raw};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Events that wait to be shown. When there are so many, no line reads its next message, and whoever sends waits.
const EVENTS: usize = 64;

/// How often it is looked whether somebody is to be given up.
const TICK: Duration = Duration::from_secs(1);

/// How long the other side may take to begin. It does so as soon as it is connected.
const BEGIN: Duration = Duration::from_secs(30);

/// A place in a room: its host's or a guest's. Clones are the same place.
#[derive(Clone)]
pub struct Chat(Arc<Shared>);

struct Shared {
    side: Mutex<Place>,
    /// Rings when there may be something to send, or room.
    changed: watch::Sender<()>,
    /// Rings when there is something to show.
    news: Notify,
    /// Rings when so much was shown that lines may read again.
    shown: Notify,
}

struct Place {
    seat: Seat,
    /// Lines so far.
    links: u64,
    /// What is to be shown. It goes in together with the change that it tells of: a line that ends, or is dropped,
    /// between the two would lose a message that counts as taken.
    events: VecDeque<Event>,
    /// Whether somebody shows it.
    watched: bool,
}

enum Seat {
    Host(Host),
    Guest(Guest),
}

impl Seat {
    fn side(&mut self) -> &mut dyn Side {
        match self {
            Self::Host(host) => host,
            Self::Guest(guest) => guest,
        }
    }
}

/// What happens in a room, in order.
pub struct Events(Arc<Shared>);

impl Chat {
    /// The host of a new room. The room is there as long as the host is.
    pub fn host(name: Name) -> (Self, Events) {
        Self::new(Seat::Host(Host::new(name)))
    }

    /// One who comes to a room.
    pub fn guest(name: Name) -> (Self, Events) {
        Self::new(Seat::Guest(Guest::new(name)))
    }

    fn new(seat: Seat) -> (Self, Events) {
        let (changed, _) = watch::channel(());
        let place = Place {
            seat,
            links: 0,
            events: VecDeque::new(),
            watched: true,
        };
        let shared = Arc::new(Shared {
            side: Mutex::new(place),
            changed,
            news: Notify::new(),
            shown: Notify::new(),
        });
        let events = Events(shared.clone());
        (Self(shared), events)
    }

    /// A line to take part over: for a guest the one with its host, for the host one for each guest. A guest that comes back
    /// does so on a new one.
    pub fn line(&self) -> Line {
        let mut place = self.0.lock();
        place.links += 1;
        Line {
            shared: self.0.clone(),
            link: Link(place.links),
        }
    }

    /// Says something to everybody; waits while too much of what was said was not taken. Cancelled, nothing was said.
    ///
    /// # Errors
    /// The text is longer than [`MAX_TEXT`] bytes.
    pub async fn say(&self, kind: Kind, text: String) -> Result<(), ChatError> {
        if text.len() > MAX_TEXT {
            return Err(ChatError::TooLong);
        }
        let mut changed = self.0.changed.subscribe();
        let mut text = Some(text);
        loop {
            let said = self.0.with(|side| {
                let room = side.has_room();
                if room && let Some(text) = text.take() {
                    side.say(now_in_milliseconds(), kind, text);
                }
                room
            });
            if said {
                self.0.changed.send_replace(());
                return Ok(());
            }
            // The sender is in `self`.
            let _ = changed.changed().await;
        }
    }

    /// Wants to be called otherwise; an event says what it is called.
    pub fn rename(&self, name: &Name) {
        self.0.tell(|side| side.rename(name));
    }

    /// Waits until everybody has taken what we said. Gives up when nobody takes anything for `patience`, and
    /// returns how many messages somebody lacks.
    pub async fn settled(&self, patience: Duration) -> u64 {
        let mut changed = self.0.changed.subscribe();
        let mut left = self.0.with(|side| side.unsettled());
        let mut since = Instant::now();
        while left > 0 {
            let wait = patience.saturating_sub(since.elapsed());
            if timeout(wait, changed.changed()).await.is_err() {
                break;
            }
            let now = self.0.with(|side| side.unsettled());
            // Whoever only talks rings as well.
            if now < left {
                since = Instant::now();
            } else if since.elapsed() >= patience {
                break;
            }
            left = now;
        }
        left
    }

    /// How many messages of ours somebody lacks who is here, or may come back.
    pub fn unsettled(&self) -> u64 {
        self.0.with(|side| side.unsettled())
    }

    /// Who is here besides us.
    pub fn others(&self) -> Vec<Name> {
        self.0.with(|side| side.others())
    }
}

impl std::fmt::Debug for Chat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chat").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Line").field(&self.link).finish()
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    /// The next event. Cancelled, none is lost.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.0.take() {
                return event;
            }
            if timeout(TICK, self.0.news.notified()).await.is_err() {
                self.0.tell(|side| side.tick(Instant::now()));
            }
        }
    }
}

/// Nobody wants to know any more; lines go on.
impl Drop for Events {
    fn drop(&mut self) {
        let mut place = self.0.lock();
        place.watched = false;
        place.events.clear();
        self.0.shown.notify_waiters();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Place> {
        self.side.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, look: impl FnOnce(&mut dyn Side) -> T) -> T {
        look(self.lock().seat.side())
    }

    /// Changes something, and queues what is to be shown of it.
    fn change(
        &self,
        change: impl FnOnce(&mut dyn Side) -> Result<Vec<Event>, ChatError>,
    ) -> Result<(), ChatError> {
        {
            let mut place = self.lock();
            let events = change(place.seat.side())?;
            if place.watched && !events.is_empty() {
                place.events.extend(events);
                self.news.notify_one();
            }
        }
        self.changed.send_replace(());
        Ok(())
    }

    fn tell(&self, change: impl FnOnce(&mut dyn Side) -> Vec<Event>) {
        // What cannot fail does not.
        let _ = self.change(|side| Ok(change(side)));
    }

    fn take(&self) -> Option<Event> {
        let mut place = self.lock();
        let event = place.events.pop_front();
        if place.events.len() + 1 == EVENTS {
            self.shown.notify_waiters();
        }
        event
    }

    /// Waits until what was read before is shown, but for some of it.
    async fn shown(&self) {
        loop {
            // It hears what rings from here on.
            let shown = self.shown.notified();
            if self.lock().events.len() < EVENTS {
                return;
            }
            shown.await;
        }
    }
}

/// One line of a room. Dropped, it ends, and its guest counts as away.
pub struct Line {
    shared: Arc<Shared>,
    link: Link,
}

impl Line {
    /// Takes part over this channel until it ends, and says why it did. [`Events`] must be read meanwhile. The host then
    /// says whether the guest has left ([`forget`](Self::forget)), or only cannot be reached.
    pub async fn attend(&self, channel: Channel) -> ChatError {
        self.shared.with(|side| side.link(self.link));
        let (sender, receiver) = channel.split();
        let why = tokio::select! {
            why = self.listen(receiver) => why,
            why = self.speak(sender) => why,
        };
        self.shared
            .with(|side| side.unlink(Instant::now(), self.link));
        why
    }

    /// Whether the other side can be reached now. While it cannot, the others are told so.
    pub fn reach(&self, reachable: bool) {
        self.shared.tell(|side| side.reach(self.link, reachable));
    }

    /// The guest of a line that has ended is not coming back: it has said goodbye, or is not wanted.
    pub fn forget(&self) {
        self.shared.tell(|side| side.forget(self.link));
    }

    async fn listen(&self, mut receiver: ChannelReceiver) -> ChatError {
        let mut begun = false;
        loop {
            let next = receiver.recv();
            let message = match begun {
                true => next.await,
                false => match timeout(BEGIN, next).await {
                    Ok(message) => message,
                    Err(_) => return ChatError::Silent,
                },
            };
            begun = true;
            let message = match message {
                None => return ChatError::Closed,
                Some(Raw::Text(text)) => Message::parse(&text),
                Some(Raw::Binary(_)) => Err(ChatError::Protocol("its message is no text")),
            };
            let received = message.and_then(|message| {
                let now = Instant::now();
                self.shared
                    .change(|side| side.receive(now, self.link, message))
            });
            if let Err(error) = received {
                return error;
            }
            self.shared.shown().await;
        }
    }

    async fn speak(&self, sender: ChannelSender) -> ChatError {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let now = Instant::now();
            let next = self.shared.with(|side| side.next(now, self.link));
            match next {
                Ok(Some(message)) => {
                    if sender.send(Raw::Text(message.to_json())).await.is_err() {
                        return ChatError::Closed;
                    }
                }
                Ok(None) => {
                    // The sender is in `shared`.
                    let _ = changed.changed().await;
                }
                Err(error) => return error,
            }
        }
    }
}

/// Its guest counts as away, without an event: who drops it knows.
impl Drop for Line {
    fn drop(&mut self) {
        let now = Instant::now();
        let _ = self.shared.with(|side| {
            side.unlink(now, self.link);
            side.reach(self.link, false)
        });
        self.shared.changed.send_replace(());
    }
}

fn now_in_milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
