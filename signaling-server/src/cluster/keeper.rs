//! The task that keeps a node and Redis together: it connects, says that the node is there, looks at rooms of
//! which there is news, and brings both to a common view after they were apart.

use super::{Cluster, Leaver, SWEEP, Unavailable, standing::Standing, store::NODE_LEASE};
use crate::{closing::Closing, hub::Hub};
use futures_util::StreamExt;
use redis::aio::PubSub;
use signaling_protocol::{PeerId, RoomName};
use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    select,
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

/// How often a node says that it is there.
const BEAT: Duration = Duration::from_secs(1);

/// Pauses between attempts to connect: doubled from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Rooms that are looked at at the same time.
const ABREAST: usize = 64;

/// Keeps a node in its cluster for as long as the server lives.
pub(crate) async fn keep(hub: Arc<Hub>, cluster: Arc<Cluster>) -> Infallible {
    let leaving = cluster
        .leaving
        .lock()
        .ok()
        .and_then(|mut place| place.take());
    let Some(mut leaving) = leaving else {
        // Only one keeps a node.
        std::future::pending().await
    };
    let (mut pause, mut apart) = (PAUSES.0, Instant::now());
    let mut has_lease = false;
    loop {
        let connected = cluster.store.connect(&cluster.node).await;
        if let Ok(news) = connected
            && cluster.store.beat(&cluster.node).await.is_ok()
        {
            tracing::info!("in the cluster");
            pause = PAUSES.0;
            has_lease = true;
            serve(&hub, &cluster, news, &mut leaving).await;
            apart = Instant::now();
            tracing::warn!("Redis cannot be reached: nobody new is let in");
        }
        cluster.store.close();
        sleep(rand::random_range(pause / 2..=pause)).await;
        pause = (pause * 2).min(PAUSES.1);
        if apart.elapsed() > NODE_LEASE {
            // The others take this node for dead by now. Their members cannot be reached from here.
            hub.part();
            if std::mem::take(&mut has_lease) {
                cluster.metrics.lost_own.inc();
            }
        }
    }
}

/// Works with one connection until it fails.
async fn serve(
    hub: &Arc<Hub>,
    cluster: &Arc<Cluster>,
    mut news: PubSub,
    leaving: &mut mpsc::Receiver<Leaver>,
) {
    let mut sweep: VecDeque<RoomName> = cluster.standings().rooms().into();
    // Nodes that have not been heard for too long.
    let mut dead: Arc<Vec<String>> = Arc::default();
    let mut looks = JoinSet::new();
    let mut busy = HashSet::new();
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut swept = Instant::now();
    cluster.store.open(Instant::now());
    let mut news = news.on_message();
    loop {
        while looks.len() < ABREAST {
            let due = cluster.next_due(&busy).or_else(|| {
                let index = sweep.iter().position(|room| !busy.contains(room))?;
                sweep.remove(index)
            });
            let Some(room) = due else { break };
            busy.insert(room.clone());
            looks.spawn(look(
                Arc::clone(hub),
                Arc::clone(cluster),
                room,
                Arc::clone(&dead),
            ));
        }
        select! {
            biased;
            () = cluster.store.failure() => return,
            Some(looked) = looks.join_next() => match looked {
                Ok(Some(room)) => { busy.remove(&room); }
                Ok(None) => {}
                // It has panicked, which is our bug; the room is looked at when the node is whole again.
                Err(_) => return,
            },
            message = news.next() => match message {
                Some(message) => hear(hub, cluster, message.get_payload_bytes()),
                None => return,
            },
            _ = beats.tick() => {
                let Ok(gone) = beat(cluster, &mut sweep, &mut swept).await else {
                    return;
                };
                let new = gone.iter().filter(|node| !dead.contains(node)).count();
                cluster.metrics.lost_others.inc_by(new.try_into().unwrap_or(u64::MAX));
                dead = Arc::new(gone);
            }
            Some(leaver) = leaving.recv(), if looks.len() < ABREAST => {
                let (hub, cluster) = (Arc::clone(hub), Arc::clone(cluster));
                let mut leaver = Unreported(cluster, Some(leaver));
                looks.spawn(async move {
                    leaver.report(&hub).await;
                    None
                });
            }
            () = cluster.news.notified(), if looks.len() < ABREAST => {}
        }
    }
}

/// A member that left, of which Redis does not know yet: given back when it cannot be told now.
struct Unreported(Arc<Cluster>, Option<Leaver>);

impl Unreported {
    async fn report(&mut self, hub: &Hub) {
        let Some(leaver) = &self.1 else { return };
        match self.0.left(leaver).await {
            Ok(answer) => {
                hub.take_in(&leaver.room, answer, None);
                self.1 = None;
            }
            // A Redis that refuses, because it is full, answers at once.
            Err(Unavailable) => sleep(BEAT).await,
        }
    }
}

impl Drop for Unreported {
    fn drop(&mut self) {
        if let Some(leaver) = self.1.take() {
            self.0.leave(leaver);
        }
    }
}

/// Another node has something for this one.
fn hear(hub: &Hub, cluster: &Cluster, payload: &[u8]) {
    let Ok(news) = serde_json::from_slice::<super::call::News>(payload) else {
        tracing::warn!("news that cannot be read");
        return;
    };
    hub.put_out(&news.room, news.out);
    cluster.look_at(&news.room);
}

/// Says that this node is there, finds out what has changed, and which nodes are gone.
async fn beat(
    cluster: &Cluster,
    sweep: &mut VecDeque<RoomName>,
    swept: &mut Instant,
) -> Result<Vec<String>, Unavailable> {
    let era = cluster.store.era();
    cluster.store.beat(&cluster.node).await?;
    let forgotten = era != cluster.store.era();
    if forgotten {
        tracing::warn!("Redis has lost what it had");
    }
    if forgotten || swept.elapsed() >= SWEEP {
        *swept = Instant::now();
        *sweep = cluster.standings().rooms().into();
    }
    // A gauge only: who may not ask is no worse a node.
    let _ = cluster.store.count_nodes().await;
    let nodes: Vec<_> = cluster.standings().nodes().into_iter().collect();
    let dead = cluster.store.dead(nodes).await?;
    // After an outage, each of them needs the time to say that it is there.
    if dead.is_empty() || !cluster.store.is_settled(NODE_LEASE) {
        return Ok(Vec::new());
    }
    let rooms = cluster.standings().rooms_with(&dead);
    tracing::warn!(nodes = dead.len(), rooms = rooms.len(), "nodes are gone");
    sweep.extend(rooms);
    Ok(dead)
}

/// Brings one room to a common view.
async fn look(
    hub: Arc<Hub>,
    cluster: Arc<Cluster>,
    room: RoomName,
    dead: Arc<Vec<String>>,
) -> Option<RoomName> {
    if let Some((records, restoration)) = hub.begin_restoring(&cluster, &room) {
        let standing = &restoration.standing;
        let Ok(answer) = cluster.restore(&room, &records, standing, true).await else {
            return Some(room);
        };
        if answer.error.is_some() {
            // Somebody was let in there while this node was apart.
            let ids = records.iter().map(|record| &record.id);
            hub.dismiss(&room, ids, &Closing::draining());
        } else {
            hub.take_in(&room, answer, None);
        }
        restoration.done();
        return Some(room);
    }
    touch(&hub, &cluster, &room, &dead).await;
    Some(room)
}

async fn touch(hub: &Arc<Hub>, cluster: &Arc<Cluster>, room: &RoomName, dead: &[String]) {
    let claims = hub.claims(room);
    if claims.is_empty() {
        return cluster.forget(room);
    }
    let Ok(answer) = cluster.touch(room, &claims, dead).await else {
        return;
    };
    let missing = answer.missing.clone();
    hub.take_in(room, answer, None);
    if !missing.is_empty() {
        bring_back(hub, cluster, room, &missing).await;
    }
}

/// Members that are here are not in Redis. If it has lost them it is told of them again; otherwise they have
/// lost their place.
async fn bring_back(hub: &Arc<Hub>, cluster: &Arc<Cluster>, room: &RoomName, missing: &[PeerId]) {
    if cluster.store.beat(&cluster.node).await.is_err() {
        return;
    }
    let standing = cluster.standings().get(room).cloned();
    let Some(standing) = standing.filter(|standing: &Standing| standing.era != cluster.store.era())
    else {
        return hub.dismiss(room, missing, &Closing::gone());
    };
    let records = hub.records(room, missing);
    let Ok(answer) = cluster.restore(room, &records, &standing, false).await else {
        return;
    };
    // There is another room with this name now, and they are not in it.
    let replaced = answer.error.is_some();
    let moved = answer.missing.clone();
    hub.take_in(room, answer, None);
    if replaced {
        return hub.dismiss(room, missing, &Closing::draining());
    }
    hub.dismiss(room, &moved, &Closing::gone());
    cluster.restored.notify_waiters();
}
