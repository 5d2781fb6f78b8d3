//! Networks, and hosts behind them (`lab`).

use serde::Serialize;

use super::Wording;
use crate::lab::nat::Reach;
use crate::lab::trial::Trial;
use crate::lab::{Behaviour, Nat};
use crate::ui::clean::clean;
use crate::ui::palette::Palette;
use crate::ui::size::{Span, count};

/// Longest time to a line that is direct or relayed, in seconds.
const LIMITS: [f64; 2] = [10.0, 12.0];

/// A network, and what STUN found that it does.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Network {
    /// `left` or `right`.
    pub(crate) side: &'static str,
    /// What it is called.
    pub(crate) network: Nat,
    /// What it does to UDP (RFC 5780).
    pub(crate) behaviour: Behaviour,
}

/// Every NAT has another public address, and has forgotten whom it knew.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rebound {}

/// How two hosts reached each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Cell {
    /// The network of the one that made the code.
    pub(crate) left: Nat,
    /// That of the one that was given it.
    pub(crate) right: Nat,
    /// Whether there was a TURN server.
    pub(crate) turn: bool,
    /// How they were connected.
    pub(crate) path: Reach,
    /// How they should be.
    pub(crate) expected: Reach,
    /// From the start of the second one until they were, or had given up.
    pub(crate) seconds: f64,
    /// What went wrong, whatever the networks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

/// All of them were tried.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Matrix {
    /// How many.
    pub(crate) cells: usize,
    /// How many of them went otherwise than expected.
    pub(crate) failed: usize,
    /// The whole of it.
    pub(crate) seconds: f64,
}

impl Cell {
    pub(crate) fn new(networks: [Nat; 2], turn: bool, trial: &Trial) -> Self {
        let [left, right] = networks;
        Self {
            left,
            right,
            turn,
            path: trial.reach,
            expected: left.reach(right, turn),
            seconds: trial.took.as_secs_f64(),
            message: trial.trouble.clone(),
        }
    }

    /// Whether it went as it should, and soon enough.
    pub(crate) fn is_good(&self) -> bool {
        let soon = match self.path {
            Reach::Direct => self.seconds <= LIMITS[0],
            Reach::Relayed => self.seconds <= LIMITS[1],
            Reach::Nowhere => true,
        };
        self.path == self.expected && soon && self.message.is_none()
    }
}

impl Wording for Network {
    fn line(&self, _: Palette) -> Option<String> {
        Some(format!(
            "Network of {}: {}, {}",
            self.side, self.network, self.behaviour
        ))
    }
}

impl Wording for Rebound {
    fn line(&self, _: Palette) -> Option<String> {
        Some("Every NAT has another address now, and has forgotten whom it knew".to_owned())
    }
}

impl Wording for Cell {
    fn line(&self, palette: Palette) -> Option<String> {
        let turn = if self.turn {
            "with TURN"
        } else {
            "without TURN"
        };
        let mut line = format!(
            "{} to {} {turn}: {} after {:.1} s",
            self.left, self.right, self.path, self.seconds
        );
        if self.path != self.expected {
            line += &format!(", expected {}", self.expected);
        }
        if let Some(message) = &self.message {
            line += &format!("; {}", clean(message));
        }
        Some(match self.is_good() {
            true => line,
            false => format!("{} {line}", palette.alarm("wrong:")),
        })
    }
}

impl Wording for Matrix {
    fn line(&self, _: Palette) -> Option<String> {
        let failed = match self.failed {
            0 => "all as expected".to_owned(),
            failed => format!("{failed} not as expected"),
        };
        let cells = count(self.cells as u64, "connection");
        Some(format!(
            "Done: {cells}, {failed}, in {}",
            Span::of(self.seconds)
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::tests::said;
    use super::*;

    #[test]
    fn json_and_wording() {
        said(
            Rebound {},
            json!({"event": "rebound"}),
            Some("Every NAT has another address now, and has forgotten whom it knew"),
        );
        said(
            Network {
                side: "left",
                network: Nat::Symmetric,
                behaviour: Nat::Symmetric.behaviour(),
            },
            json!({"event": "network", "side": "left", "network": "symmetric", "behaviour": {"carries":
                {"mapping": "address-and-port-dependent", "filtering": "address-and-port-dependent"}}}),
            Some(
                "Network of left: symmetric, mapping address- and port-dependent, filtering address- and port-dependent",
            ),
        );
        let mut trial = Trial {
            reach: Reach::Direct,
            took: Duration::from_millis(1500),
            trouble: None,
        };
        said(
            Cell::new([Nat::Cone, Nat::None], true, &trial),
            json!({"event": "cell", "left": "cone", "right": "none", "turn": true, "path": "direct", "expected": "direct", "seconds": 1.5}),
            Some("cone to none with TURN: direct after 1.5 s"),
        );
        trial.trouble = Some("nothing\x1b came".into());
        said(
            Cell::new([Nat::Cone, Nat::Symmetric], false, &trial),
            json!({"event": "cell", "left": "cone", "right": "symmetric", "turn": false, "path": "direct", "expected": "nowhere",
                "seconds": 1.5, "message": "nothing\x1b came"}),
            Some(
                "wrong: cone to symmetric without TURN: direct after 1.5 s, expected none; nothing\\u{1b} came",
            ),
        );
        said(
            Matrix {
                cells: 98,
                failed: 0,
                seconds: 70.0,
            },
            json!({"event": "done", "cells": 98, "failed": 0, "seconds": 70.0}),
            Some("Done: 98 connections, all as expected, in 1 min 10 s"),
        );
    }
}
