//! Speaks to the admin API of a server that runs, as the command line does.

use crate::outbound::{Endpoint, EndpointError, RequestError};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use signaling_protocol::{PeerId, RoomName, Secret};
use std::{path::Path, time::Duration};

/// Time for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Most bytes of one answer: a thousand members.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// A server, and the right to administer it.
#[derive(Debug)]
pub struct AdminClient {
    endpoint: Endpoint,
    token: Secret,
}

/// The server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address cannot be used.
    #[error("the server's address cannot be used: {0}")]
    Address(String),
    /// There was no answer.
    #[error("no answer from the server: {0}; check the address, and that it runs")]
    Unreachable(String),
    /// It has no admin API.
    #[error("this server has no admin API; start it with an admin token")]
    Closed,
    /// It said no.
    #[error("the server refused: {0}")]
    Refused(String),
    /// It answered something else.
    #[error("what answers there is no signaling server (HTTP {0})")]
    Other(u16),
}

impl AdminClient {
    /// `server` is https, or http on a private network; `ca` is whom to trust instead of those whom the
    /// system trusts, such as a certificate that signed itself.
    ///
    /// # Errors
    /// The address, or `ca`.
    pub fn new(server: &str, token: Secret, ca: Option<&Path>) -> Result<Self, AdminError> {
        let endpoint = Endpoint::new(server, ca, ANSWER_BYTES).map_err(|error| address(&error))?;
        Ok(Self { endpoint, token })
    }

    /// The youngest rooms.
    ///
    /// # Errors
    /// The server is not there, or says no; so for all that follow.
    pub async fn rooms(&self) -> Result<Value, AdminError> {
        self.ask(Method::GET, "/api/admin/rooms", None).await
    }

    /// The members of one room, or of all.
    pub async fn peers(&self, room: Option<&RoomName>) -> Result<Value, AdminError> {
        let path = match room {
            // A room's name has nothing in it that a query would need escaped.
            Some(room) => format!("/api/admin/peers?room={}", room.as_str()),
            None => "/api/admin/peers".to_owned(),
        };
        self.ask(Method::GET, &path, None).await
    }

    /// Throws one member, or everybody in a room, out.
    pub async fn kick(&self, room: &RoomName, peer: Option<&PeerId>) -> Result<Value, AdminError> {
        let body = json!({ "room": room, "peer": peer });
        self.ask(Method::POST, "/api/admin/kick", Some(body)).await
    }

    /// Makes the server go away in good order.
    pub async fn drain(&self) -> Result<Value, AdminError> {
        self.ask(Method::POST, "/api/admin/drain", None).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, AdminError> {
        let endpoint = self.endpoint.at(path).map_err(|error| address(&error))?;
        let body = body.map(|body| body.to_string());
        let (status, body) = endpoint
            .request(method, Some(&self.token), body, ANSWER_LIMIT)
            .await
            .map_err(|error: RequestError| AdminError::Unreachable(error.to_string()))?;
        let answer = serde_json::from_slice::<Value>(&body).ok();
        match (status, answer) {
            (StatusCode::OK, Some(answer)) => Ok(answer),
            (StatusCode::NOT_FOUND, None) => Err(AdminError::Closed),
            (_, Some(answer)) if answer["type"] == "error" => {
                let message = answer["message"].as_str().unwrap_or_default();
                let shown = message
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(200)
                    .collect();
                Err(AdminError::Refused(shown))
            }
            (status, _) => Err(AdminError::Other(status.as_u16())),
        }
    }
}

fn address(error: &EndpointError) -> AdminError {
    AdminError::Address(error.to_string())
}
