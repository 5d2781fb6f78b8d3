//! Where connections come from, and how much one source may have.

use crate::{bucket::TokenBucket, config::Limits, refusal::Refusal};
use signaling_protocol::ErrorCode;
use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

/// Sources without a connection are looked for when there are this many, and again at each
/// doubling, so that the cost of looking is spread over the connections that made them.
const SWEEP_FROM: usize = 1024;

/// An address as far as one person or machine owns it: all of IPv4, the /64 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Loopback,
    V4(Ipv4Addr),
    V6(u64),
}

impl Source {
    #[cfg(test)]
    pub(crate) const LOOPBACK: Self = Self::Loopback;

    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            address if address.is_loopback() => Self::Loopback,
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("loopback"),
            Self::V4(address) => address.fmt(f),
            Self::V6(prefix) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(*prefix) << 64)),
        }
    }
}

/// What every source uses now.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    table: HashMap<Source, Use>,
    connections: usize,
    places: usize,
    sweep_at: usize,
}

#[derive(Debug)]
struct Use {
    connections: u32,
    /// Members that may come back, whether they are connected or not.
    places: u32,
    joins: TokenBucket,
    wrong_tokens: TokenBucket,
}

impl Sources {
    /// Counts a new connection, or says why there can be none.
    pub(crate) fn connect(
        &mut self,
        source: Source,
        limits: &Limits,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.open(limits)?;
        self.admit(source, limits, now)
            .inspect_err(|_| self.close())
    }

    /// Counts a connection whose source is not known yet: it comes from a proxy.
    pub(crate) fn open(&mut self, limits: &Limits) -> Result<(), Refusal> {
        if self.connections >= limits.connections {
            return Err(Refusal::new(
                ErrorCode::ServerFull,
                "the server has no free connection",
            ));
        }
        self.connections += 1;
        Ok(())
    }

    /// How many there are.
    pub(crate) fn connections(&self) -> usize {
        self.connections
    }

    /// A connection that [`Sources::open`] counted has ended.
    pub(crate) fn close(&mut self) {
        self.connections -= 1;
    }

    /// Counts what one source does on connections that are counted already.
    pub(crate) fn admit(
        &mut self,
        source: Source,
        limits: &Limits,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.sweep(now);
        let allowed = limits.of(source);
        let entry = self.table.entry(source).or_insert_with(|| Use {
            connections: 0,
            places: 0,
            joins: TokenBucket::new(
                allowed.joins_per_minute,
                Duration::from_secs(60),
                allowed.joins_per_minute,
                now,
            ),
            wrong_tokens: wrong_tokens(source, limits, now),
        });
        if entry.connections >= allowed.connections {
            return Err(Refusal::new(
                ErrorCode::RateLimited,
                format!(
                    "{} connections at once from one address",
                    allowed.connections
                ),
            ));
        }
        entry.connections += 1;
        Ok(())
    }

    /// What [`Sources::admit`] counted has ended.
    pub(crate) fn release(&mut self, source: Source) {
        if let Some(entry) = self.table.get_mut(&source) {
            entry.connections -= 1;
        }
    }

    /// Whether a source may show another token, after how many that were wrong.
    pub(crate) fn may_try(&self, source: Source, now: Instant) -> Result<(), Refusal> {
        let entry = self.table.get(&source);
        if entry.is_some_and(|entry| entry.wrong_tokens.is_empty(now)) {
            let message = "too many wrong tokens from one address in a minute";
            return Err(Refusal::new(ErrorCode::RateLimited, message));
        }
        Ok(())
    }

    /// Counts a wrong token.
    pub(crate) fn tried(&mut self, source: Source, now: Instant) {
        if let Some(entry) = self.table.get_mut(&source) {
            entry.wrong_tokens.take(now);
        }
    }

    /// Counts an attempt to enter a room from a connected source.
    pub(crate) fn join(&mut self, source: Source, now: Instant) -> Result<(), Refusal> {
        let within = self
            .table
            .get_mut(&source)
            .is_none_or(|entry| entry.joins.take(now));
        if !within {
            let message = "too many joins from one address in a minute";
            return Err(Refusal::new(ErrorCode::RateLimited, message));
        }
        Ok(())
    }

    /// Counts a member that may come back. A source has as many of them as connections: what is kept
    /// for one that is away costs no less than a connection.
    pub(crate) fn take_place(&mut self, source: Source, limits: &Limits) -> Result<(), Refusal> {
        if self.places >= limits.connections {
            return Err(Refusal::new(
                ErrorCode::ServerFull,
                "the server has no free place",
            ));
        }
        let allowed = limits.of(source).connections;
        if let Some(entry) = self.table.get_mut(&source) {
            if entry.places >= allowed {
                return Err(Refusal::new(
                    ErrorCode::RateLimited,
                    format!("{allowed} members at once from one address"),
                ));
            }
            entry.places += 1;
            self.places += 1;
        }
        Ok(())
    }

    /// A counted member is gone.
    pub(crate) fn give_place_back(&mut self, source: Source) {
        if let Some(entry) = self.table.get_mut(&source) {
            entry.places = entry.places.saturating_sub(1);
            self.places = self.places.saturating_sub(1);
        }
    }

    /// Forgets sources of which nothing is left to remember.
    fn sweep(&mut self, now: Instant) {
        if self.table.len() < self.sweep_at.max(SWEEP_FROM) {
            return;
        }
        self.table.retain(|_, entry| {
            entry.connections + entry.places > 0
                || !entry.joins.is_full(now)
                || !entry.wrong_tokens.is_full(now)
        });
        self.table.shrink_to(SWEEP_FROM);
        self.sweep_at = self.table.len() * 2;
    }
}

/// Everybody behind a proxy that is not trusted comes from loopback: nobody there may shut the others out
/// as quickly.
const LOOPBACK_FACTOR: u32 = 100;

fn wrong_tokens(source: Source, limits: &Limits, now: Instant) -> TokenBucket {
    let allowed = match source {
        Source::Loopback => limits
            .wrong_tokens_per_minute
            .saturating_mul(LOOPBACK_FACTOR),
        Source::V4(_) | Source::V6(_) => limits.wrong_tokens_per_minute,
    };
    TokenBucket::new(allowed, Duration::from_secs(60), allowed, now)
}

impl Limits {
    pub(crate) fn of(&self, source: Source) -> &crate::AddressLimits {
        match source {
            Source::Loopback => &self.loopback,
            Source::V4(_) | Source::V6(_) => &self.per_address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AddressLimits;

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    #[test]
    fn one_source_is_an_ipv4_address_or_a_64() {
        assert_eq!(source("2001:db8:0:1::1"), source("2001:db8:0:1:ffff::2"));
        assert_ne!(source("2001:db8:0:1::1"), source("2001:db8:0:2::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(source(loopback), Source::Loopback);
        }
    }

    #[test]
    fn counts_connections_and_joins() {
        let limits = Limits {
            connections: 3,
            per_address: AddressLimits {
                connections: 2,
                joins_per_minute: 2,
                rooms: 1,
            },
            ..Limits::default()
        };
        let (now, mut sources) = (Instant::now(), Sources::default());
        let (a, b) = (source("192.0.2.1"), source("192.0.2.2"));
        let connect = |sources: &mut Sources, source| {
            sources
                .connect(source, &limits, now)
                .map_err(|refusal| refusal.code)
        };
        assert_eq!(connect(&mut sources, a), Ok(()));
        assert_eq!(connect(&mut sources, a), Ok(()));
        assert_eq!(connect(&mut sources, a), Err(ErrorCode::RateLimited));
        assert_eq!(connect(&mut sources, b), Ok(()));
        assert_eq!(connect(&mut sources, b), Err(ErrorCode::ServerFull));
        let disconnect = |sources: &mut Sources, source| {
            sources.release(source);
            sources.close();
        };
        disconnect(&mut sources, a);
        assert_eq!(connect(&mut sources, a), Ok(()));

        assert!(sources.join(a, now).is_ok() && sources.join(a, now).is_ok());
        assert_eq!(
            sources.join(a, now).unwrap_err().code,
            ErrorCode::RateLimited
        );
        disconnect(&mut sources, a);
        assert!(
            sources.join(a, now).is_err(),
            "reconnecting does not refill"
        );
        assert!(sources.join(b, now).is_ok());
        assert!(sources.join(a, now + Duration::from_secs(30)).is_ok());
    }

    #[test]
    fn wrong_tokens_of_one_address_close_the_door_for_a_while() {
        let limits = Limits {
            wrong_tokens_per_minute: 2,
            ..Limits::default()
        };
        let (now, mut sources) = (Instant::now(), Sources::default());
        let (a, b) = (source("192.0.2.1"), source("192.0.2.2"));
        for source in [a, b] {
            sources.connect(source, &limits, now).unwrap();
        }
        for _ in 0..2 {
            sources.may_try(a, now).unwrap();
            sources.tried(a, now);
        }
        let refused = sources.may_try(a, now).unwrap_err();
        assert_eq!(refused.code, ErrorCode::RateLimited);
        sources.may_try(b, now).unwrap();
        sources.may_try(a, now + Duration::from_secs(30)).unwrap();
    }

    #[test]
    fn forgotten_when_nothing_is_left_to_remember() {
        let (limits, mut sources) = (Limits::default(), Sources::default());
        let start = Instant::now();
        for index in 0..100_000_u32 {
            let source = Source::V4(Ipv4Addr::from_bits(index));
            let now = start + Duration::from_millis(10) * index;
            sources.connect(source, &limits, now).unwrap();
            sources.join(source, now).unwrap();
            sources.release(source);
            sources.close();
        }
        assert!(
            sources.table.len() <= 2 * SWEEP_FROM,
            "{}",
            sources.table.len()
        );
        assert_eq!(sources.connections, 0);
    }
}
