//! Who was in a room before its server forgot it, and who says to have been one of them (docs/protocol.md 3.7).

use serde::Deserialize;
use signaling_protocol::PeerId;
use std::collections::VecDeque;

/// Ids that are remembered: a full room that is forgotten eight times.
const MOST: usize = 8 * 256;

/// Ids that somebody may have had.
const CLAIMED: usize = 8;

/// Ids that mean nobody in the room any more, the newest last.
#[derive(Debug, Default)]
pub(super) struct Former(VecDeque<PeerId>);

/// What a member says that enters again.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Said {
    Was { peers: Vec<PeerId> },
}

impl Former {
    /// The server has forgotten this one.
    pub(super) fn forgotten(&mut self, id: PeerId) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(id);
    }

    /// Whom somebody was, by what it tells the room: nobody who is in the room.
    pub(super) fn claimed(&self, said: &serde_json::Value) -> Vec<PeerId> {
        let Ok(Said::Was { mut peers }) = Said::deserialize(said) else {
            return Vec::new();
        };
        if peers.len() > CLAIMED {
            return Vec::new();
        }
        peers.retain(|id| self.0.contains(id));
        peers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn id(number: usize) -> PeerId {
        format!("p{number}").parse().unwrap()
    }

    #[test]
    fn only_who_was_forgotten_is_claimed() {
        let mut former = Former::default();
        (1..=3).map(id).for_each(|id| former.forgotten(id));
        let said = json!({"type": "was", "peers": ["p3", "p1", "p9"]});
        assert_eq!(former.claimed(&said), [id(3), id(1)]);
        let many: Vec<_> = (0..9).map(id).collect();
        for other in [
            json!({"type": "speaker", "peers": ["p2"]}),
            json!({"type": "was", "peers": "p2"}),
            json!({"type": "was", "peers": ["p2", ""]}),
            json!({"type": "was"}),
            json!({"type": "was", "peers": many}),
            json!(["p2"]),
        ] {
            assert_eq!(former.claimed(&other), [], "{other}");
        }
    }

    #[test]
    fn the_oldest_are_forgotten_here_as_well() {
        let mut former = Former::default();
        (0..=MOST).map(id).for_each(|id| former.forgotten(id));
        let said = json!({"type": "was", "peers": ["p0", "p1"]});
        assert_eq!(former.claimed(&said), [id(1)]);
    }
}
