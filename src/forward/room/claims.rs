//! Who says to have been whom before the server forgot the room. Pure.

use signaling_protocol::PeerId;
use std::collections::{HashMap, HashSet};

/// Claims of members that are not connected yet: until then they go on as who they were.
#[derive(Debug, Default)]
pub(super) struct Claims(HashMap<PeerId, Vec<PeerId>>);

impl Claims {
    /// A member says that it was these.
    pub(super) fn made(&mut self, by: PeerId, mut before: Vec<PeerId>) {
        // It may never have been connected as one of them, and claimed others by that name.
        for old in before.clone() {
            before.extend(self.taken(&old));
        }
        self.0.insert(by, before);
    }

    /// A member is connected: those it was have to go.
    pub(super) fn taken(&mut self, by: &PeerId) -> Vec<PeerId> {
        self.0.remove(by).unwrap_or_default()
    }

    /// Forgets claims of which nobody is `here` any more.
    pub(super) fn keep(&mut self, here: &HashSet<&PeerId>) {
        self.0
            .retain(|_, before| before.iter().any(|id| here.contains(id)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> PeerId {
        name.parse().unwrap()
    }

    #[test]
    fn a_claim_outlives_whoever_made_it() {
        let mut claims = Claims::default();
        claims.made(id("a2"), vec![id("a1")]);
        claims.made(id("b2"), vec![id("b1")]);
        // The second restart comes before the first is over.
        claims.made(id("a3"), vec![id("a2")]);
        assert_eq!(claims.taken(&id("a2")), []);
        assert_eq!(claims.taken(&id("a3")), [id("a2"), id("a1")]);
        assert_eq!(claims.taken(&id("a3")), [], "once");
        claims.keep(&HashSet::from([&id("b1")]));
        assert_eq!(claims.taken(&id("b2")), [id("b1")]);
        claims.made(id("b3"), vec![id("b2")]);
        claims.keep(&HashSet::from([&id("b3")]));
        assert_eq!(claims.taken(&id("b3")), []);
    }
}
