//! What a node of a cluster counts: Redis, other nodes, and members that move between them. All zero without
//! a cluster.

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use std::time::Duration;

type Label = [(&'static str, &'static str); 1];

/// Clones count the same.
#[derive(Debug, Clone)]
pub(crate) struct ClusterMetrics {
    /// Nodes that listen at the same Redis, this one included.
    pub(crate) nodes: Gauge,
    pub(crate) redis_up: Gauge,
    pub(crate) redis_failures: Counter,
    /// Members that came here from another node, and that went to one.
    pub(crate) taken: Counter,
    pub(crate) given: Counter,
    /// Leases that ran out: this node's own, and those of nodes with which it shared rooms.
    pub(crate) lost_own: Counter,
    pub(crate) lost_others: Counter,
    calls: Family<Label, Histogram>,
}

impl ClusterMetrics {
    /// `scripts` are the names of the operations that are timed.
    pub(super) fn new(registry: &mut Registry, scripts: &[&'static str]) -> Self {
        // A script takes 54 µs, and is given up after 1.5 s: from 0.1 ms to 3.3 s, by factors of two.
        let calls = Family::<Label, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.0001, 2.0, 16))
        });
        for script in scripts {
            drop(calls.get_or_create(&[("script", *script)]));
        }
        let (takeovers, leases) = (
            Family::<Label, Counter>::default(),
            Family::<Label, Counter>::default(),
        );
        let moved = |direction| takeovers.get_or_create_owned(&[("direction", direction)]);
        let lost = |of| leases.get_or_create_owned(&[("of", of)]);
        let metrics = Self {
            nodes: Gauge::default(),
            redis_up: Gauge::default(),
            redis_failures: Counter::default(),
            taken: moved("in"),
            given: moved("out"),
            lost_own: lost("self"),
            lost_others: lost("others"),
            calls,
        };
        let help = "Nodes of the cluster, this one included";
        registry.register("cluster_nodes", help, metrics.nodes.clone());
        let help = "Members that came from another node or went to one";
        registry.register("cluster_takeovers", help, takeovers);
        let help = "Leases of nodes that ran out: of this one, and of others as it noticed";
        registry.register("cluster_leases_lost", help, leases);
        let help = "1 while Redis can be used";
        registry.register("redis_up", help, metrics.redis_up.clone());
        let help = "Calls that Redis refused or did not answer in time";
        registry.register("redis_failures", help, metrics.redis_failures.clone());
        let help = "What a script in Redis takes, there and back";
        registry.register_with_unit("redis_call", help, Unit::Seconds, metrics.calls.clone());
        metrics
    }

    pub(crate) fn called(&self, script: &'static str, took: Duration) {
        let calls = self.calls.get_or_create(&[("script", script)]);
        calls.observe(took.as_secs_f64());
    }
}
