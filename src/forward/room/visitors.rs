//! Who takes part and is no peer: programs that speak RTP, and those who come by HTTP (WHIP and WHEP).

use super::Event;
use super::hub::{Hub, Published};
use crate::forward::member::{Call, Part};
use crate::forward::outside::{self, Outside};
use crate::forward::remote::{Keeper, Trouble};
use crate::forward::roster::TrackKey;
use crate::forward::viewer::{self, Viewer};
use crate::media::Codec;
use crate::session::{Member, SessionConfig};
use crate::whip::{Refusal, Role, Visitor, Way};
use signaling_protocol::{IceServer, PeerInfo, PeerName};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

/// Those who come by HTTP and wait to be taken, which happens at once; others are told to come back.
const VISITORS: usize = 32;

/// What comes by HTTP, and what it is told.
pub(super) struct Callers {
    /// What they are told to use.
    pub(super) servers: watch::Sender<Vec<IceServer>>,
    pub(super) visitors: (mpsc::Sender<Visitor>, mpsc::Receiver<Visitor>),
    pub(super) troubles: (mpsc::Sender<Trouble>, mpsc::Receiver<Trouble>),
    /// The newest track.
    pub(super) published: watch::Sender<TrackKey>,
    /// The server and the clients of WHIP and WHEP.
    by_http: Vec<AbortOnDropHandle<()>>,
}

impl Callers {
    /// `servers` is what they are told to use at first.
    pub(super) fn new(servers: Vec<IceServer>) -> Self {
        Self {
            servers: watch::Sender::new(servers),
            visitors: mpsc::channel(VISITORS),
            troubles: mpsc::channel(VISITORS),
            published: watch::Sender::new(0),
            by_http: Vec::new(),
        }
    }
}

impl From<Trouble> for Event {
    fn from(
        Trouble {
            remote,
            why,
            is_final,
        }: Trouble,
    ) -> Self {
        Self::Refused {
            remote,
            why,
            is_final,
        }
    }
}

impl Hub {
    /// Members that are no peers.
    pub(super) fn open_outside(&mut self, outside: Outside) {
        let Outside {
            inputs,
            output,
            web,
            publish,
            play,
        } = outside;
        if output.is_some() || !inputs.is_empty() {
            let (key, orders) = self.admit(PeerInfo {
                id: self.own_id.clone(),
                name: None,
                plain: false,
                away: false,
            });
            // Nothing is published yet.
            self.roster.joined(key);
            let member = outside::Member {
                key,
                inputs,
                output,
                reports: self.reports.0.clone(),
                orders,
            };
            self.tasks.spawn(member.run());
        }
        let Callers {
            servers,
            visitors,
            troubles,
            published,
            by_http,
        } = &mut self.callers;
        if let Some(server) = web {
            let serving = server.run(visitors.0.clone(), servers.subscribe());
            let task = tokio::spawn(serving);
            by_http.push(AbortOnDropHandle::new(task));
        }
        let publish = publish.into_iter().map(|remote| (remote, Way::Out));
        for (remote, way) in publish.chain(play.into_iter().map(|remote| (remote, Way::In))) {
            let keeper = Keeper {
                remote,
                way,
                visitors: visitors.0.clone(),
                servers: servers.subscribe(),
                troubles: troubles.0.clone(),
                tracks: published.subscribe(),
            };
            let task = tokio::spawn(keeper.run());
            by_http.push(AbortOnDropHandle::new(task));
        }
    }

    /// Somebody comes by HTTP.
    pub(super) fn visited(&mut self, visitor: Visitor) {
        let Visitor {
            role,
            name,
            sections,
            signaling,
            joined,
            is_local,
            refusal,
        } = visitor;
        let config = SessionConfig {
            loopback: self.config.loopback || is_local,
            ..self.config.clone()
        };
        // Whoever is called has said nothing yet.
        let calls = !joined.peers.is_empty();
        let Ok(id) = format!("http-{:08x}", rand::random::<u32>()).parse() else {
            return;
        };
        let info = PeerInfo {
            id,
            name: name.clone().filter(|_| role == Role::Publish),
            plain: false,
            away: false,
        };
        match role {
            Role::Publish => {
                let (key, orders) = self.admit(info.clone());
                let call = Call {
                    key,
                    reports: self.reports.0.clone(),
                    orders,
                    part: Part::Publisher { calls },
                };
                let member = Member {
                    info,
                    signaling,
                    joined,
                };
                self.tasks.spawn(call.run(member, config));
            }
            Role::Play => {
                let Some(sections) = viewer::assign(&sections, &self.codecs_of(name.as_ref()))
                else {
                    let _ = refusal.send(Refusal::NothingToPlay);
                    return;
                };
                let (key, orders) = self.admit(info);
                let viewer = Viewer {
                    key,
                    reports: self.reports.0.clone(),
                    orders,
                    of: name,
                    sections,
                    calls,
                };
                let place = (signaling, joined);
                self.tasks.spawn(viewer.run(place, config));
            }
        }
    }

    /// What there is to play of those who are called so, the oldest first.
    fn codecs_of(&self, name: Option<&PeerName>) -> Vec<Codec> {
        let mut tracks: Vec<_> = self.tracks.iter().collect();
        tracks.sort_by_key(|(key, _)| **key);
        let is_meant = |published: &&Published| {
            let member = self.members.get(&published.member);
            name.is_none() || member.is_some_and(|member| member.info.name.as_ref() == name)
        };
        let tracks = tracks.into_iter().map(|(_, published)| published);
        tracks
            .filter(is_meant)
            .map(|published| published.forwarding.codec())
            .collect()
    }
}
