//! What happens, in numbers for Prometheus. Labels have fixed values only: nothing that a client chooses
//! makes a new series.

mod cluster;

pub(crate) use cluster::ClusterMetrics;

use crate::cluster::Script;
use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use serde::Serialize;
use signaling_protocol::{ErrorCode, PathKind};
use std::{
    fmt,
    time::{Duration, Instant},
};

/// The content type of [`Metrics::encode`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Label = [(&'static str, &'static str); 1];
type Counters = Family<Label, Counter>;

/// What is counted while it happens. All of it is cheap, and clones of a counter share it.
pub(crate) struct Metrics {
    registry: Registry,
    started: Instant,
    now: Gauges,
    refused: Counters,
    joins: Counters,
    resumes: Counters,
    questions: Counters,
    messages: Counters,
    paths: Counters,
    pub(crate) pairings: Counter,
    pub(crate) slow: Counter,
    pub(crate) bytes: Counter,
    pub(crate) turn_up: Counter,
    pub(crate) turn_down: Counter,
    pub(crate) turn_allocations: Gauge,
    handshake: Histogram,
    pairing: Histogram,
    pub(crate) cluster: ClusterMetrics,
}

#[derive(Default)]
struct Gauges {
    connections: Gauge,
    rooms: Gauge,
    members: Gauge,
    away: Gauge,
    resident: Gauge,
    draining: Gauge,
}

/// What there is at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Present {
    pub(crate) connections: usize,
    pub(crate) rooms: usize,
    pub(crate) members: usize,
    pub(crate) away: usize,
    pub(crate) draining: bool,
}

/// The same and the most telling counters, for the dashboard.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Statistics {
    uptime_seconds: u64,
    draining: bool,
    connections: usize,
    rooms: usize,
    members: usize,
    away: usize,
    joins: u64,
    refused: u64,
    pairings: u64,
    paths_direct: u64,
    paths_relayed: u64,
    resumes: u64,
    messages: u64,
    bytes: u64,
    slow_consumers: u64,
    turn_allocations: i64,
    turn_bytes: u64,
    resident_bytes: u64,
}

/// How a member came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    WebSocket,
    Requests,
    Plain,
}

impl Way {
    const ALL: [Self; 3] = [Self::WebSocket, Self::Requests, Self::Plain];

    fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Requests => "requests",
            Self::Plain => "plain",
        }
    }
}

/// The types of relayed messages.
const TYPES: [&str; 6] = [
    "offer",
    "answer",
    "ice-candidate",
    "sealed",
    "chat",
    "message",
];

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("peerline");
        let now = Gauges::default();
        let of_code = || labelled("code", ErrorCode::ALL.map(ErrorCode::as_str));
        let refused = of_code();
        let joins = labelled("transport", Way::ALL.map(Way::name));
        let resumes = labelled("outcome", ["resumed", "failed"]);
        let questions = labelled("outcome", ["allowed", "refused", "unavailable"]);
        let messages = labelled("type", TYPES);
        let paths = labelled("kind", PathKind::ALL.map(PathKind::as_str));
        let turn_bytes = Counters::default();
        let direction = |name| turn_bytes.get_or_create_owned(&[("direction", name)]);
        let (turn_up, turn_down) = (direction("to-peers"), direction("to-clients"));
        let (pairings, slow, bytes) = (Counter::default(), Counter::default(), Counter::default());
        let turn_allocations = Gauge::default();
        // From one millisecond to half a minute, by factors of two.
        let histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let (handshake, pairing) = (histogram(), histogram());

        let mut add = |name: &str, help: &str, gauge: &Gauge| {
            registry.register(name, help, gauge.clone());
        };
        add("connections", "Open connections", &now.connections);
        add("rooms", "Rooms with somebody in them", &now.rooms);
        add("members", "Members of rooms", &now.members);
        add("members_away", "Members whose connection broke", &now.away);
        add("draining", "1 while the server goes away", &now.draining);
        add(
            "turn_allocations",
            "Relayed addresses in use",
            &turn_allocations,
        );
        registry.register_with_unit(
            "resident_memory",
            "Memory of the process",
            Unit::Bytes,
            now.resident.clone(),
        );
        let mut add = |name: &str, help: &str, family: &Counters| {
            registry.register(name, help, family.clone());
        };
        add(
            "refused",
            "Requests, joins and members refused or ended with an error",
            &refused,
        );
        add("joins", "Members that came", &joins);
        add(
            "resumes",
            "Attempts to come back with a resume token",
            &resumes,
        );
        add(
            "auth_questions",
            "Questions to the authorisation service",
            &questions,
        );
        add("messages", "Messages to be relayed", &messages);
        add(
            "paths",
            "Connections between peers, as each of the two reports its own",
            &paths,
        );
        registry.register_with_unit(
            "turn",
            "Payload relayed by the TURN server",
            Unit::Bytes,
            turn_bytes,
        );
        let mut add = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        add(
            "pairings",
            "Rooms in which two members exchanged sealed records",
            &pairings,
        );
        add(
            "queue_drops",
            "Members closed because they did not read",
            &slow,
        );
        registry.register_with_unit(
            "relayed",
            "Messages delivered, in bytes",
            Unit::Bytes,
            bytes.clone(),
        );
        let help = "From the accepted connection to `joined`";
        registry.register_with_unit("handshake", help, Unit::Seconds, handshake.clone());
        let help = "From the second member to sealed records of both";
        registry.register_with_unit("pairing", help, Unit::Seconds, pairing.clone());
        let cluster = ClusterMetrics::new(&mut registry, &Script::ALL.map(Script::name));
        Self {
            registry,
            started: Instant::now(),
            now,
            refused,
            joins,
            resumes,
            questions,
            messages,
            paths,
            pairings,
            slow,
            bytes,
            turn_up,
            turn_down,
            turn_allocations,
            handshake,
            pairing,
            cluster,
        }
    }

    pub(crate) fn refused(&self, code: ErrorCode) {
        self.refused.get_or_create(&[("code", code.as_str())]).inc();
    }

    pub(crate) fn joined(&self, way: Way) {
        self.joins.get_or_create(&[("transport", way.name())]).inc();
    }

    pub(crate) fn shook_hands(&self, took: Duration) {
        self.handshake.observe(took.as_secs_f64());
    }

    pub(crate) fn resumed(&self, ok: bool) {
        let outcome = if ok { "resumed" } else { "failed" };
        self.resumes.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub(crate) fn asked(&self, outcome: &'static str) {
        self.questions.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub(crate) fn message(&self, kind: &'static str) {
        self.messages.get_or_create(&[("type", kind)]).inc();
    }

    pub(crate) fn path(&self, kind: PathKind) {
        self.paths.get_or_create(&[("kind", kind.as_str())]).inc();
    }

    pub(crate) fn paired(&self, took: Duration) {
        self.pairings.inc();
        self.pairing.observe(took.as_secs_f64());
    }

    /// The text that Prometheus reads.
    pub(crate) fn encode(&self, present: Present) -> String {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.now.connections.set(count(present.connections));
        self.now.rooms.set(count(present.rooms));
        self.now.members.set(count(present.members));
        self.now.away.set(count(present.away));
        self.now.draining.set(present.draining.into());
        let resident = i64::try_from(resident_bytes()).unwrap_or(i64::MAX);
        self.now.resident.set(resident);
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("strings take everything");
        text
    }

    pub(crate) fn statistics(&self, present: Present) -> Statistics {
        let sum = |family: &Counters, name, values: &[&'static str]| {
            let of = |value: &&'static str| family.get_or_create(&[(name, *value)]).get();
            values.iter().map(of).sum()
        };
        Statistics {
            uptime_seconds: self.started.elapsed().as_secs(),
            draining: present.draining,
            connections: present.connections,
            rooms: present.rooms,
            members: present.members,
            away: present.away,
            joins: sum(&self.joins, "transport", &Way::ALL.map(Way::name)),
            refused: sum(
                &self.refused,
                "code",
                &ErrorCode::ALL.map(ErrorCode::as_str),
            ),
            pairings: self.pairings.get(),
            paths_direct: sum(&self.paths, "kind", &[PathKind::Direct.as_str()]),
            paths_relayed: sum(&self.paths, "kind", &[PathKind::Relayed.as_str()]),
            resumes: sum(&self.resumes, "outcome", &["resumed"]),
            messages: sum(&self.messages, "type", &TYPES),
            bytes: self.bytes.get(),
            slow_consumers: self.slow.get(),
            turn_allocations: self.turn_allocations.get(),
            turn_bytes: self.turn_up.get() + self.turn_down.get(),
            resident_bytes: resident_bytes(),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// A family that has all its series from the start: a rate needs the zero before the first event.
fn labelled<const N: usize>(name: &'static str, values: [&'static str; N]) -> Counters {
    let family = Counters::default();
    for value in values {
        drop(family.get_or_create(&[(name, value)]));
    }
    family
}

/// Something that a gauge counts for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Memory of this process, where the system tells it; 0 elsewhere.
#[cfg(target_os = "linux")]
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

#[cfg(not(target_os = "linux"))]
fn resident_bytes() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_from_the_start_and_no_more_come() {
        let metrics = Metrics::new();
        let lines = || metrics.encode(Present::default()).lines().count();
        let before = lines();
        for code in ErrorCode::ALL {
            metrics.refused(code);
        }
        metrics.joined(Way::Plain);
        metrics.resumed(true);
        metrics.message("sealed");
        metrics.path(PathKind::Relayed);
        metrics.paired(Duration::from_millis(3));
        metrics.shook_hands(Duration::from_secs(100));
        for script in Script::ALL {
            let took = Duration::from_micros(300);
            metrics.cluster.called(script.name(), took);
        }
        metrics.cluster.taken.inc();
        assert_eq!(lines(), before);
        let text = metrics.encode(Present {
            rooms: 7,
            ..Present::default()
        });
        for line in [
            "peerline_rooms 7",
            "peerline_refused_total{code=\"unauthorized\"} 1",
            "peerline_joins_total{transport=\"plain\"} 1",
            "peerline_joins_total{transport=\"websocket\"} 0",
            "peerline_paths_total{kind=\"direct\"} 0",
            "peerline_paths_total{kind=\"relayed\"} 1",
            "peerline_pairings_total 1",
            "peerline_pairing_seconds_bucket{le=\"0.004\"} 1",
            "peerline_handshake_seconds_bucket{le=\"+Inf\"} 1",
            "peerline_relayed_bytes_total 0",
            "peerline_turn_bytes_total{direction=\"to-peers\"} 0",
            "peerline_cluster_nodes 0",
            "peerline_cluster_takeovers_total{direction=\"in\"} 1",
            "peerline_cluster_leases_lost_total{of=\"others\"} 0",
            "peerline_redis_call_seconds_bucket{le=\"0.0004\",script=\"post\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn what_is_dropped_counts_no_more() {
        let gauge = Gauge::default();
        let counted = (Counted::new(&gauge), Counted::new(&gauge));
        assert_eq!(gauge.get(), 2);
        drop(counted);
        assert_eq!(gauge.get(), 0);
    }
}
