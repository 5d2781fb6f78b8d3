//! What happens in open rooms, for those who only listen: a short log for each room that has listeners.

use crate::refusal::Refusal;
use signaling_protocol::{ErrorCode, RoomName};
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Events that can be replayed.
const EVENTS: usize = 64;

/// Bytes of events that can be replayed.
const BYTES: usize = 128 * 1024;

/// Rooms that are listened to at the same time.
const FEEDS: usize = 4096;

/// How long the log of a room without listeners is kept for those who come back.
const KEPT: Duration = Duration::from_secs(120);

/// The logs of all rooms that are listened to.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    table: Mutex<HashMap<RoomName, Arc<Feed>>>,
    /// Whether there is one, so that rooms pay nothing while nobody listens.
    any: AtomicBool,
}

/// The log of one room.
#[derive(Debug)]
struct Feed {
    /// Tells this log from an earlier one of the same room, whose numbers mean nothing here.
    epoch: u32,
    log: Mutex<Log>,
    changed: Notify,
}

#[derive(Debug)]
struct Log {
    events: VecDeque<Arc<str>>,
    bytes: usize,
    /// The number of the first event that is kept; they count from 1.
    first: u64,
    count: usize,
    listeners: usize,
    quiet_since: Instant,
}

/// Somebody who listens.
#[derive(Debug)]
pub(crate) struct Listener {
    feed: Arc<Feed>,
    /// The number of the last event that it has.
    last: u64,
    /// What it is told first.
    greeting: Option<String>,
}

impl Feeds {
    /// Adds somebody who listens to a room with `count` members, and has everything up to `last_id`.
    pub(crate) fn listen(
        &self,
        room: &RoomName,
        count: usize,
        last_id: Option<&str>,
        now: Instant,
    ) -> Result<Listener, Refusal> {
        let mut feeds = self.lock();
        feeds.retain(|name, feed| name == room || !feed.is_over(now));
        if feeds.len() >= FEEDS && !feeds.contains_key(room) {
            let message = "too many rooms are listened to";
            return Err(Refusal::new(ErrorCode::ServerFull, message));
        }
        let feed = feeds.entry(room.clone()).or_insert_with(|| {
            Arc::new(Feed {
                epoch: rand::random(),
                log: Mutex::new(Log {
                    events: VecDeque::new(),
                    bytes: 0,
                    first: 1,
                    count,
                    listeners: 0,
                    quiet_since: now,
                }),
                changed: Notify::new(),
            })
        });
        self.any.store(true, Ordering::Release);
        let mut log = feed.lock();
        log.listeners += 1;
        let end = log.first + log.events.len() as u64 - 1;
        let last = last_id
            .and_then(|id| feed.number(id))
            .filter(|last| (log.first - 1..=end).contains(last));
        // Who has missed nothing that is not replayed knows the count already.
        let greeting = last.is_none().then(|| user_count(&feed.id(end), log.count));
        drop(log);
        Ok(Listener {
            feed: Arc::clone(feed),
            last: last.unwrap_or(end),
            greeting,
        })
    }

    /// Whether anybody listens to a room. The logs of those who stopped long ago go.
    pub(crate) fn has(&self, room: &RoomName, now: Instant) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let mut feeds = self.lock();
        if feeds.get(room).is_some_and(|feed| feed.is_over(now)) {
            feeds.remove(room);
            self.any.store(!feeds.is_empty(), Ordering::Release);
        }
        feeds.contains_key(room)
    }

    /// A member came or went; `event` is what the members were told.
    pub(crate) fn moved(&self, room: &RoomName, event: &str, count: usize) {
        if let Some(feed) = self.lock().get(room).cloned() {
            feed.add(|id| format!("id: {id}\ndata: {event}\n\n"), None);
            feed.add(|id| user_count(id, count), Some(count));
        }
    }

    /// Something was said to everybody.
    pub(crate) fn said(&self, room: &RoomName, message: &str) {
        if let Some(feed) = self.lock().get(room).cloned() {
            let event = |id: &str| format!("event: new-message\nid: {id}\ndata: {message}\n\n");
            feed.add(event, None);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RoomName, Arc<Feed>>> {
        self.table
            .lock()
            .expect("nothing panics while it holds the feeds")
    }
}

impl Feed {
    fn add(&self, event: impl FnOnce(&str) -> String, count: Option<usize>) {
        let mut log = self.lock();
        let number = log.first + log.events.len() as u64;
        let event: Arc<str> = event(&self.id(number)).into();
        log.bytes += event.len();
        log.events.push_back(event);
        log.count = count.unwrap_or(log.count);
        while log.events.len() > EVENTS || log.bytes > BYTES {
            let Some(old) = log.events.pop_front() else {
                break;
            };
            log.bytes -= old.len();
            log.first += 1;
        }
        drop(log);
        self.changed.notify_waiters();
    }

    fn id(&self, number: u64) -> String {
        format!("{:08x}-{number}", self.epoch)
    }

    fn number(&self, id: &str) -> Option<u64> {
        let (epoch, number) = id.split_once('-')?;
        let known = u32::from_str_radix(epoch, 16) == Ok(self.epoch);
        known.then(|| number.parse().ok())?
    }

    fn is_over(&self, now: Instant) -> bool {
        let log = self.lock();
        log.listeners == 0 && now.saturating_duration_since(log.quiet_since) >= KEPT
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log
            .lock()
            .expect("nothing panics while it holds a feed")
    }
}

impl Listener {
    /// The next event as text. One that was too slow to read some is told the count again.
    pub(crate) async fn next(&mut self) -> String {
        let feed = Arc::clone(&self.feed);
        loop {
            let changed = feed.changed.notified();
            if let Some(text) = self.ready() {
                return text;
            }
            changed.await;
        }
    }

    fn ready(&mut self) -> Option<String> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        let log = self.feed.lock();
        if self.last + 1 < log.first {
            self.last = log.first - 1;
            return Some(user_count(&self.feed.id(self.last), log.count));
        }
        let skip = usize::try_from(self.last + 1 - log.first).ok()?;
        let event = log.events.get(skip)?.to_string();
        self.last += 1;
        Some(event)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut log = self.feed.lock();
        log.listeners -= 1;
        log.quiet_since = Instant::now();
    }
}

fn user_count(id: &str, count: usize) -> String {
    format!("event: update-user-count\nid: {id}\ndata: {{\"count\":{count}}}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(listener: &mut Listener, events: usize) -> String {
        let mut text = String::new();
        for _ in 0..events {
            text += &listener.next().await;
        }
        text
    }

    #[tokio::test]
    async fn a_listener_that_comes_back_misses_nothing() {
        let feeds = Feeds::default();
        let room: RoomName = "lobby".parse().unwrap();
        let now = Instant::now();
        assert!(!feeds.has(&room, now));
        let mut first = feeds.listen(&room, 1, None, now).unwrap();
        assert!(feeds.has(&room, now));
        feeds.moved(&room, r#"{"type":"x"}"#, 2);
        feeds.said(&room, r#"{"content":"a"}"#);
        let text = read(&mut first, 4).await;
        let epoch = format!("{:08x}", first.feed.epoch);
        assert_eq!(
            text.replace(&epoch, "E"),
            "event: update-user-count\nid: E-0\ndata: {\"count\":1}\n\n\
             id: E-1\ndata: {\"type\":\"x\"}\n\n\
             event: update-user-count\nid: E-2\ndata: {\"count\":2}\n\n\
             event: new-message\nid: E-3\ndata: {\"content\":\"a\"}\n\n"
        );
        drop(first);
        feeds.said(&room, r#"{"content":"b"}"#);
        let id = format!("{epoch}-3");
        let mut again = feeds.listen(&room, 2, Some(&id), now).unwrap();
        assert!(read(&mut again, 1).await.contains(r#""b""#));
        for strange in ["", "x", "-", "00000000-1", &format!("{epoch}-99")] {
            let mut other = feeds.listen(&room, 2, Some(strange), now).unwrap();
            let text = read(&mut other, 1).await;
            assert!(text.contains(r#"{"count":2}"#), "{strange}: {text}");
        }
    }

    #[tokio::test]
    async fn the_log_is_bounded_and_who_is_too_slow_goes_on() {
        let feeds = Feeds::default();
        let room: RoomName = "lobby".parse().unwrap();
        let mut slow = feeds.listen(&room, 1, None, Instant::now()).unwrap();
        slow.next().await;
        for number in 0..1000 {
            feeds.said(&room, &format!("{number:1000}"));
        }
        let kept = {
            let log = slow.feed.lock();
            assert!(log.events.len() <= EVENTS && log.bytes <= BYTES);
            log.events.len()
        };
        assert!(slow.next().await.contains("count"));
        let text = read(&mut slow, kept).await;
        assert!(text.contains(" 999\n"));
    }

    #[tokio::test]
    async fn logs_without_listeners_are_forgotten() {
        let feeds = Feeds::default();
        let room: RoomName = "lobby".parse().unwrap();
        drop(feeds.listen(&room, 1, None, Instant::now()).unwrap());
        let now = Instant::now();
        assert!(feeds.has(&room, now + KEPT / 2));
        assert!(!feeds.has(&room, now + KEPT));
        assert!(feeds.lock().is_empty());
    }
}
