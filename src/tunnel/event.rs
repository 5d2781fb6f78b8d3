//! What happens while services are used.

use super::error::RelayError;
use super::relay::Moved;
use super::service::ServiceName;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A connection was complete.
    Closed {
        /// Of this service.
        service: ServiceName,
        /// What went through.
        moved: Moved,
    },
    /// A connection broke, and was reset on both sides.
    Broken {
        /// Of this service.
        service: ServiceName,
        /// What went through.
        moved: Moved,
        /// Why, for people. Parts may come from the peer: clean it before showing it.
        reason: String,
    },
    /// The peer asked for something that is not exposed.
    Refused {
        /// What it asked for. It comes from the peer: clean it before showing it.
        service: String,
    },
    /// What is exposed does not answer.
    Unreachable {
        /// This service.
        service: ServiceName,
        /// Why, for people.
        reason: String,
    },
}

impl Event {
    pub(super) fn closed(
        service: ServiceName,
        moved: Moved,
        result: Result<(), RelayError>,
    ) -> Self {
        match result {
            Ok(()) => Self::Closed { service, moved },
            Err(error) => Self::Broken {
                service,
                moved,
                reason: error.to_string(),
            },
        }
    }
}
