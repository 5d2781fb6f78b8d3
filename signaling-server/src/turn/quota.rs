//! How much one user, one address and everybody may use.

use super::TurnLimits;
use crate::sources::Source;
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// What is in use.
#[derive(Debug)]
pub(super) struct Quota {
    limits: TurnLimits,
    table: Mutex<Table>,
}

/// No zeros in the maps.
#[derive(Debug, Default)]
struct Table {
    allocations: usize,
    users: HashMap<String, u32>,
    addresses: HashMap<Source, u32>,
    guests: usize,
    guest_addresses: HashMap<Source, u32>,
}

/// One counted allocation; dropping it counts down.
#[derive(Debug)]
pub(super) struct AllocationGuard {
    quota: Arc<Quota>,
    user: String,
    source: Source,
}

/// One counted client without an allocation; dropping it counts down.
#[derive(Debug)]
pub(super) struct GuestGuard {
    quota: Arc<Quota>,
    source: Source,
}

impl Quota {
    pub(super) fn new(limits: TurnLimits) -> Self {
        let table = Mutex::default();
        Self { limits, table }
    }

    /// Counts an allocation, unless there are too many.
    pub(super) fn allocate(
        self: &Arc<Self>,
        user: &str,
        source: Source,
    ) -> Option<AllocationGuard> {
        let limits = self.limits;
        let mut table = self.lock();
        let of_user = table.users.get(user).copied().unwrap_or(0);
        let of_address = table.addresses.get(&source).copied().unwrap_or(0);
        // A whole test suite, or everybody behind a proxy, comes from loopback.
        let address_full =
            source != Source::Loopback && of_address >= limits.allocations_per_address;
        if table.allocations >= limits.allocations
            || of_user >= limits.allocations_per_user
            || address_full
        {
            return None;
        }
        table.allocations += 1;
        *table.users.entry(user.to_owned()).or_default() += 1;
        *table.addresses.entry(source).or_default() += 1;
        Some(AllocationGuard {
            quota: Arc::clone(self),
            user: user.to_owned(),
            source,
        })
    }

    /// Counts a client that has yet to make an allocation, unless there are too many.
    pub(super) fn guest(self: &Arc<Self>, source: Source) -> Option<GuestGuard> {
        let (all, of_one) = self.limits.guests;
        let mut table = self.lock();
        let of_address = table.guest_addresses.get(&source).copied().unwrap_or(0);
        if table.guests >= all || (source != Source::Loopback && of_address >= of_one) {
            return None;
        }
        table.guests += 1;
        *table.guest_addresses.entry(source).or_default() += 1;
        Some(GuestGuard {
            quota: Arc::clone(self),
            source,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table
            .lock()
            .expect("nothing panics while it holds the table")
    }
}

impl Drop for AllocationGuard {
    fn drop(&mut self) {
        let mut table = self.quota.lock();
        table.allocations -= 1;
        count_down(table.users.entry(std::mem::take(&mut self.user)));
        count_down(table.addresses.entry(self.source));
    }
}

impl Drop for GuestGuard {
    fn drop(&mut self) {
        let mut table = self.quota.lock();
        table.guests -= 1;
        count_down(table.guest_addresses.entry(self.source));
    }
}

fn count_down<K>(entry: Entry<'_, K, u32>) {
    if let Entry::Occupied(mut count) = entry {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

/// A rate of bytes with a burst of a quarter of a second, kept as the time at which it is full again. It
/// shapes: what is over the rate is charged all the same, and nothing more is taken until it is paid. To
/// drop it instead stalls SCTP for seconds.
#[derive(Debug, Clone)]
pub(super) struct Bandwidth {
    bytes_per_second: u64,
    full_at: Instant,
}

impl Bandwidth {
    const BURST: Duration = Duration::from_millis(250);

    pub(super) fn new(bytes_per_second: u64, now: Instant) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            full_at: now,
        }
    }

    /// So many bytes pass.
    pub(super) fn charge(&mut self, bytes: usize, now: Instant) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let cost = bytes.saturating_mul(1_000_000_000) / self.bytes_per_second;
        self.full_at = self.full_at.max(now) + Duration::from_nanos(cost);
    }

    /// When more may pass, if not now.
    pub(super) fn wait(&self, now: Instant) -> Option<Instant> {
        (self.full_at > now + Self::BURST).then(|| self.full_at - Self::BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota() -> Arc<Quota> {
        Arc::new(Quota::new(TurnLimits {
            allocations: 4,
            allocations_per_user: 2,
            allocations_per_address: 3,
            bytes_per_second: 1,
            guests: (3, 2),
        }))
    }

    fn source(last: u8) -> Source {
        Source::of([192, 0, 2, last].into())
    }

    #[test]
    fn users_addresses_and_all_have_a_limit_each() {
        let quota = quota();
        let first = quota.allocate("a", source(1)).unwrap();
        let _second = quota.allocate("a", source(1)).unwrap();
        assert!(quota.allocate("a", source(2)).is_none(), "one user");
        let _third = quota.allocate("b", source(1)).unwrap();
        assert!(quota.allocate("c", source(1)).is_none(), "one address");
        let _fourth = quota.allocate("c", source(2)).unwrap();
        assert!(quota.allocate("d", source(3)).is_none(), "altogether");
        drop(first);
        assert!(quota.allocate("a", source(1)).is_some());
    }

    #[test]
    fn guests_have_limits_and_nothing_is_left_behind() {
        let quota = quota();
        let guests: Vec<_> = [1, 1, 1, 2, 3]
            .map(|last| quota.guest(source(last)))
            .into_iter()
            .collect();
        let admitted: Vec<_> = guests.iter().map(Option::is_some).collect();
        assert_eq!(admitted, [true, true, false, true, false]);
        drop(guests);
        drop(quota.allocate("a", source(1)));
        let table = quota.lock();
        assert_eq!((table.guests, table.allocations), (0, 0));
        assert!(table.users.is_empty() && table.addresses.is_empty());
        assert!(table.guest_addresses.is_empty());
    }

    #[test]
    fn bandwidth_gives_a_burst_and_then_the_rate() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut bandwidth = Bandwidth::new(1_000_000, start);
        let mut pass = |ms| {
            let mut passed = 0;
            while bandwidth.wait(at(ms)).is_none() {
                bandwidth.charge(1000, at(ms));
                passed += 1;
            }
            (passed, bandwidth.wait(at(ms)))
        };
        assert_eq!(pass(0), (251, Some(at(1))));
        assert_eq!(pass(100), (100, Some(at(101))));
        assert_eq!(pass(10_000), (251, Some(at(10_001))));
    }
}
