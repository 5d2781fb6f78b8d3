//! Which datagrams belong together: a few flows, of which the one that was used least lately makes room. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Flows of each side: one for each program that sends to a port.
pub(super) const MAX_FLOWS: usize = 256;

/// A flow without a datagram for this long is forgotten (RFC 4787 wants two minutes of a NAT).
pub(super) const IDLE: Duration = Duration::from_secs(120);

/// What is known of each flow, by its number.
#[derive(Debug)]
pub(super) struct Flows<T> {
    flows: HashMap<u32, (Instant, T)>,
}

impl<T> Flows<T> {
    pub(super) fn new() -> Self {
        Self {
            flows: HashMap::new(),
        }
    }

    /// A flow that is used now.
    pub(super) fn used(&mut self, now: Instant, flow: u32) -> Option<&T> {
        let (used, known) = self.flows.get_mut(&flow)?;
        *used = now;
        Some(known)
    }

    /// The flow that is known as `wanted`, used now.
    pub(super) fn find(&mut self, now: Instant, wanted: impl Fn(&T) -> bool) -> Option<u32> {
        let mut flows = self.flows.iter_mut();
        let (flow, (used, _)) = flows.find(|(_, (_, known))| wanted(known))?;
        *used = now;
        Some(*flow)
    }

    /// Adds a flow. The idle ones are forgotten, and if there are too many, the one that was used least lately.
    pub(super) fn add(&mut self, now: Instant, flow: u32, known: T) {
        self.flows
            .retain(|_, (used, _)| now.duration_since(*used) < IDLE);
        if self.flows.len() == MAX_FLOWS {
            let oldest = self.flows.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(flow, _)| *flow) {
                self.flows.remove(&oldest);
            }
        }
        self.flows.insert(flow, (now, known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_and_the_oldest_make_room() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut flows = Flows::new();
        let most = u32::try_from(MAX_FLOWS).unwrap();
        for flow in 0..most {
            flows.add(at(0), flow, flow);
        }
        assert_eq!(flows.find(at(1), |known| *known == 0), Some(0));
        assert_eq!(flows.used(at(2), 1), Some(&1));
        flows.add(at(3), most, most);
        assert_eq!(flows.flows.len(), MAX_FLOWS);
        assert!(flows.used(at(3), 0).is_some() && flows.used(at(3), 1).is_some());
        flows.add(at(121), most + 1, 7);
        let mut left: Vec<_> = flows.flows.into_keys().collect();
        left.sort_unstable();
        assert_eq!(left, [0, 1, most, most + 1]);
    }
}
