//! The task between a session of ours and somebody else's server: it moves messages, and [`Exchange`] decides.

use super::exchange::{Action, Exchange, Input};
use super::offer::Role;
use super::transport;
use crate::signaling::{Carried, ServerUrl, ServerUrlError};
use signaling_protocol::{ClientMessage, ServerMessage};
use std::fmt;
use std::time::Instant;
use url::{Host, Url};

pub(crate) use super::said::Failure;

/// Somebody else's WHIP or WHEP address, and the token for it.
#[derive(Clone)]
pub struct Remote {
    url: Url,
    token: Option<String>,
}

/// Why a text is not such an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// Not a URL of a web server.
    #[error("this is no address of a WHIP or WHEP server; one looks like https://host/whip")]
    Malformed,
    /// Names and passwords would end up in logs.
    #[error("the address must not have a user name or password in it; give a token apart")]
    Credentials,
    /// See [`ServerUrlError`].
    #[error(transparent)]
    Server(#[from] ServerUrlError),
}

/// Which way a stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the server.
    Out,
    /// From it.
    In,
}

impl Remote {
    /// Takes an address, `https` or `http`.
    ///
    /// # Errors
    /// It is not one.
    pub fn new(url: &str) -> Result<Self, RemoteError> {
        let url: Url = url.parse().map_err(|_| RemoteError::Malformed)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(RemoteError::Malformed);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(RemoteError::Credentials);
        }
        let origin: Result<ServerUrl, _> = url.origin().ascii_serialization().parse();
        origin?;
        Ok(Self { url, token: None })
    }

    /// With a bearer token (RFC 6750).
    #[must_use]
    pub fn with_token(mut self, token: Option<String>) -> Self {
        self.token = token.map(|token| token.trim().to_owned());
        self
    }

    /// Where it is, without what may be secret in it.
    pub fn shown(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.into()
    }

    /// Whether it is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }

    pub(super) fn token_for(&self, url: &Url) -> Option<&str> {
        self.token
            .as_deref()
            .filter(|_| url.origin() == self.url.origin())
    }

    /// Carries the messages of a session until it or the server ends it.
    pub(crate) async fn carry(&self, way: Way, mut carried: Carried) -> Result<(), Failure> {
        let role = match way {
            Way::Out => Role::Publish,
            Way::In => Role::Play,
        };
        let mut exchange = Exchange::new(role, self.url.clone());
        let mut asking = None;
        let mut has_session = true;
        loop {
            let deadline = exchange.deadline();
            let due = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            let said = async {
                match &mut asking {
                    Some(asking) => std::pin::Pin::new(asking).await,
                    None => std::future::pending().await,
                }
            };
            let input = tokio::select! {
                message = carried.next(), if has_session => match message {
                    Some(ClientMessage::Offer { sdp, .. }) => Input::Offer(sdp),
                    Some(ClientMessage::IceCandidate { candidate: Some(candidate), .. }) => {
                        Input::Candidate(candidate)
                    }
                    Some(ClientMessage::IceCandidate { candidate: None, .. }) => Input::Gathered,
                    Some(_) => continue,
                    None => {
                        has_session = false;
                        Input::Ended
                    }
                },
                said = said => {
                    asking = None;
                    match said {
                        Ok(said) => Input::Said(said),
                        Err(why) => Input::Broken(why),
                    }
                }
                () = due => Input::Tick,
            };
            for action in exchange.handle(Instant::now(), input) {
                match action {
                    Action::Ask(ask) => asking = Some(Box::pin(transport::ask(self, ask))),
                    Action::Answer(sdp) => {
                        carried.deliver(|from| ServerMessage::Answer { from, sdp });
                    }
                    Action::Over => return Ok(()),
                    Action::Fail(failure) => {
                        carried.left();
                        return Err(failure);
                    }
                }
            }
        }
    }
}

/// Tokens, also those inside addresses, are not shown.
impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.shown()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_who_gets_the_token() {
        for (url, is_one) in [
            ("https://host/whip?key=x", true),
            ("http://127.0.0.1:8080/whep/a", true),
            ("ftp://host/", false),
            ("host/whip", false),
            ("https://me:secret@host/", false),
        ] {
            assert_eq!(Remote::new(url).is_ok(), is_one, "{url}");
        }
        let remote = Remote::new("https://host/whip?key=x").unwrap();
        let remote = remote.with_token(Some(" t ".into()));
        assert_eq!(remote.shown(), "https://host/whip");
        assert_eq!(format!("{remote:?}"), "Remote(\"https://host/whip\")");
        let token = |url: &str| remote.token_for(&url.parse().unwrap()).map(str::to_owned);
        assert_eq!(token("https://host/session/1").as_deref(), Some("t"));
        assert_eq!(token("https://other/session/1"), None);
        assert_eq!(token("http://host/session/1"), None);
    }
}
