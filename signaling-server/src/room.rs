//! One room: who is in it, and who gets what.

use crate::{bucket::TokenBucket, refusal::Refusal, sources::Source};
use signaling_protocol::{ErrorCode, LeaveReason, PeerId, PeerInfo, ServerMessage};
use std::time::{Duration, Instant};

/// A message and the handles of those who get it.
#[derive(Debug, PartialEq)]
pub(crate) struct Delivery<H> {
    pub(crate) to: Vec<H>,
    pub(crate) message: ServerMessage,
}

/// Somebody who was taken out, and how the others are told.
#[derive(Debug, PartialEq)]
pub(crate) struct Departure<H> {
    pub(crate) gone: H,
    pub(crate) delivery: Delivery<H>,
}

/// Members in order of joining. `H` is whatever leads to a member.
#[derive(Debug)]
pub(crate) struct Room<H> {
    members: Vec<Member<H>>,
    capacity: u16,
    maker: Source,
    /// Whether anybody may listen: it was not made for those who know its code.
    open: bool,
    made: Instant,
    joins: TokenBucket,
    /// When there were two for the first time, until they are paired.
    met: Option<Instant>,
    /// Who sent the first sealed record since then.
    spoke: Option<PeerId>,
}

/// One member, for whoever administers the server.
#[derive(Debug)]
pub(crate) struct MemberView<'a, H> {
    pub(crate) info: &'a PeerInfo,
    pub(crate) handle: &'a H,
}

#[derive(Debug)]
struct Member<H> {
    info: PeerInfo,
    handle: H,
    /// Since when its connection is broken.
    away: Option<Instant>,
}

/// What is relayed: plain peers only know what a browser tutorial sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Every kind of member.
    Everyone,
    /// Members that sent `join`.
    Joined,
}

impl<H: Clone> Room<H> {
    pub(crate) fn new(
        capacity: u16,
        maker: Source,
        open: bool,
        joins_per_minute: u32,
        now: Instant,
    ) -> Self {
        let minute = Duration::from_secs(60);
        Self {
            members: Vec::new(),
            capacity,
            maker,
            open,
            made: now,
            joins: TokenBucket::new(joins_per_minute, minute, joins_per_minute, now),
            met: None,
            spoke: None,
        }
    }

    /// Counts somebody who would get in; false if there were too many.
    pub(crate) fn knock(&mut self, now: Instant) -> bool {
        self.joins.take(now)
    }

    /// A sealed record came from a member: how long it took them to pair, if this is when they did.
    pub(crate) fn sealed(&mut self, from: &PeerId, now: Instant) -> Option<Duration> {
        let met = self.met?;
        match &self.spoke {
            None => {
                self.spoke = Some(from.clone());
                None
            }
            Some(first) if first == from => None,
            Some(_) => {
                self.met = None;
                Some(now.saturating_duration_since(met))
            }
        }
    }

    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.made)
    }

    pub(crate) fn away(&self) -> usize {
        let away = |member: &&Member<H>| member.away.is_some();
        self.members.iter().filter(away).count()
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = MemberView<'_, H>> {
        self.members.iter().map(|member| MemberView {
            info: &member.info,
            handle: &member.handle,
        })
    }

    pub(crate) fn capacity(&self) -> u16 {
        self.capacity
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    pub(crate) fn maker(&self) -> Source {
        self.maker
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.members.len() >= self.capacity.into()
    }

    pub(crate) fn has(&self, id: &PeerId) -> bool {
        self.members.iter().any(|member| member.info.id == *id)
    }

    pub(crate) fn peers(&self) -> Vec<PeerInfo> {
        self.members
            .iter()
            .map(|member| member.info.clone())
            .collect()
    }

    /// Adds a member whose id is new here; the others are told.
    pub(crate) fn add(&mut self, info: PeerInfo, handle: H, now: Instant) -> Delivery<H> {
        let delivery = Delivery {
            to: self.handles(Audience::Joined, None),
            message: ServerMessage::PeerJoined {
                peer: info.clone(),
                ice_servers: Vec::new(),
            },
        };
        self.members.push(Member {
            info,
            handle,
            away: None,
        });
        if self.members.len() == 2 {
            (self.met, self.spoke) = (Some(now), None);
        }
        delivery
    }

    /// What leads to a member.
    pub(crate) fn handle(&self, id: &PeerId) -> Option<&H> {
        let member = self.members.iter().find(|member| member.info.id == *id)?;
        Some(&member.handle)
    }

    /// A member's connection broke at this time, or it is back; the others are told.
    pub(crate) fn set_away(&mut self, id: &PeerId, away: Option<Instant>) -> Option<Delivery<H>> {
        let member = self
            .members
            .iter_mut()
            .find(|member| member.info.id == *id)?;
        if member.away.is_some() == away.is_some() {
            return None;
        }
        member.away = away;
        member.info.away = away.is_some();
        let peer = id.clone();
        Some(Delivery {
            to: self.handles(Audience::Joined, Some(id)),
            message: match away {
                Some(_) => ServerMessage::PeerAway { peer },
                None => ServerMessage::PeerBack { peer },
            },
        })
    }

    /// The members whose place somebody else may have: away for at least `hold`, the longest first.
    pub(crate) fn abandoned(&self, now: Instant, hold: Duration) -> Vec<PeerId> {
        let mut away: Vec<_> = self
            .members
            .iter()
            .filter_map(|member| Some((member.away?, &member.info.id)))
            .filter(|(since, _)| now.saturating_duration_since(*since) >= hold)
            .collect();
        away.sort_by_key(|(since, _)| *since);
        away.into_iter().map(|(_, id)| id.clone()).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Removes a member if it is there; the others are told.
    pub(crate) fn remove(&mut self, id: &PeerId, reason: LeaveReason) -> Option<Departure<H>> {
        let index = self
            .members
            .iter()
            .position(|member| member.info.id == *id)?;
        let gone = self.members.remove(index);
        if self.members.len() < 2 {
            self.met = None;
        }
        Some(Departure {
            delivery: Delivery {
                to: self.handles(Audience::Joined, None),
                message: ServerMessage::PeerLeft {
                    peer: gone.info.id,
                    reason,
                },
            },
            gone: gone.handle,
        })
    }

    /// Who gets a message from `from`: the one that `to` names, or everyone else.
    pub(crate) fn recipients(
        &self,
        from: &PeerId,
        to: Option<&PeerId>,
        audience: Audience,
    ) -> Result<Vec<H>, Refusal> {
        let Some(to) = to else {
            return Ok(self.handles(audience, Some(from)));
        };
        let Some(member) = self.members.iter().find(|member| member.info.id == *to) else {
            return Err(Refusal::new(
                ErrorCode::NoSuchPeer,
                "nobody in this room has that id",
            ));
        };
        if member.info.plain && audience == Audience::Joined {
            return Err(Refusal::new(
                ErrorCode::NoSuchPeer,
                "that peer is a plain one: it cannot be paired with",
            ));
        }
        Ok(vec![member.handle.clone()])
    }

    fn handles(&self, audience: Audience, except: Option<&PeerId>) -> Vec<H> {
        self.members
            .iter()
            .filter(|member| audience == Audience::Everyone || !member.info.plain)
            .filter(|member| Some(&member.info.id) != except)
            .map(|member| member.handle.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row<'a> = (
        &'a str,
        Option<&'a str>,
        Audience,
        Result<&'a [char], ErrorCode>,
    );

    fn peer(id: &str, plain: bool) -> PeerInfo {
        PeerInfo {
            id: id.parse().unwrap(),
            name: None,
            plain,
            away: false,
        }
    }

    fn room() -> Room<char> {
        let now = Instant::now();
        let mut room = Room::new(4, Source::LOOPBACK, true, 100, now);
        room.add(peer("a", false), 'a', now);
        room.add(peer("b", false), 'b', now);
        room.add(peer("p", true), 'p', now);
        room
    }

    #[test]
    fn coming_and_going_is_told_to_joined_members() {
        let mut room = room();
        let came = room.add(peer("c", false), 'c', Instant::now());
        assert_eq!(came.to, ['a', 'b']);
        assert!(room.is_full());
        let went = room
            .remove(&"a".parse().unwrap(), LeaveReason::Lost)
            .unwrap();
        assert_eq!((went.gone, went.delivery.to), ('a', vec!['b', 'c']));
        assert_eq!(room.remove(&"a".parse().unwrap(), LeaveReason::Lost), None);
        let order: Vec<_> = room
            .peers()
            .into_iter()
            .map(|peer| peer.id.to_string())
            .collect();
        assert_eq!(order, ["b", "p", "c"]);
    }

    #[test]
    fn recipients_by_address_and_audience() {
        use Audience::{Everyone, Joined};
        let rows: [Row<'_>; 7] = [
            ("a", None, Everyone, Ok(&['b', 'p'])),
            ("a", None, Joined, Ok(&['b'])),
            ("p", None, Everyone, Ok(&['a', 'b'])),
            ("a", Some("p"), Everyone, Ok(&['p'])),
            ("a", Some("p"), Joined, Err(ErrorCode::NoSuchPeer)),
            ("a", Some("x"), Everyone, Err(ErrorCode::NoSuchPeer)),
            ("a", Some("a"), Everyone, Ok(&['a'])),
        ];
        for (from, to, audience, expected) in rows {
            let to: Option<PeerId> = to.map(|id| id.parse().unwrap());
            let got = room().recipients(&from.parse().unwrap(), to.as_ref(), audience);
            let got = got.map_err(|refusal| refusal.code);
            assert_eq!(
                got.as_deref(),
                expected.as_ref().copied(),
                "{from} {to:?} {audience:?}"
            );
        }
    }

    #[test]
    fn who_is_away_for_long_may_lose_its_place() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let hold = Duration::from_secs(3);
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut room = room();
        let told = room.set_away(&b, Some(at(2))).unwrap();
        assert_eq!(told.to, ['a']);
        assert_eq!(told.message, ServerMessage::PeerAway { peer: b.clone() });
        assert_eq!(room.set_away(&b, Some(at(3))), None, "said once");
        room.set_away(&a, Some(at(1))).unwrap();
        assert_eq!(room.abandoned(at(3), hold), []);
        assert_eq!(room.abandoned(at(4), hold), std::slice::from_ref(&a));
        assert_eq!(room.abandoned(at(5), hold), [a.clone(), b.clone()]);
        assert!(room.peers()[1].away);
        let told = room.set_away(&a, None).unwrap();
        assert_eq!(told.message, ServerMessage::PeerBack { peer: a });
        assert_eq!(room.abandoned(at(5), hold), [b]);
    }
}
