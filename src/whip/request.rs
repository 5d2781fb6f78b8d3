//! What a request asks for. Pure: a head goes in, a wish or an answer comes out; bodies are read only for wishes.
//!
//! | path | methods |
//! |---|---|
//! | `/whip`, `/whip/NAME` | POST publishes, under this name |
//! | `/whep`, `/whep/NAME` | POST plays; what was published under this name |
//! | `/session/ID` | PATCH, DELETE |

use super::offer::Role;
use super::reply::{FRAGMENT, Reply, SDP};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, IF_MATCH};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};
use sha2::{Digest as _, Sha256};
use signaling_protocol::PeerName;
use std::fmt;
use subtle::ConstantTimeEq as _;

/// Where sessions are.
pub(super) const SESSION: &str = "/session/";

/// What may be asked at a path.
const ENDPOINT: &str = "OPTIONS, GET, HEAD, POST";
const RESOURCE: &str = "OPTIONS, GET, HEAD, PATCH, DELETE";

/// What a client has to know, if anything. It is not shown.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// Takes a token; spaces around it are not part of it.
    pub fn new(token: &str) -> Self {
        Self(Sha256::digest(token.trim()).into())
    }

    /// In constant time: digests have one length, and are compared to their end.
    fn is(&self, given: &str) -> bool {
        let Self(digest) = Self::new(given);
        digest.ct_eq(&self.0).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// A new session; its body is an offer.
    Create { role: Role, name: Option<PeerName> },
    /// A change of a session; its body is a fragment.
    Patch {
        id: String,
        if_match: Option<String>,
    },
    /// The end of a session.
    Delete { id: String },
}

enum Place {
    Endpoint(Role, Option<PeerName>),
    Session(String),
}

fn place(path: &str) -> Option<Place> {
    if let Some(id) = path.strip_prefix(SESSION) {
        let is_id =
            !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric());
        return is_id.then(|| Place::Session(id.to_owned()));
    }
    let (role, rest) = match path.split_at_checked(5)? {
        ("/whip", rest) => (Role::Publish, rest),
        ("/whep", rest) => (Role::Play, rest),
        _ => return None,
    };
    let name = match rest.strip_prefix('/') {
        Some("") => None,
        Some(name) => Some(plain(name)?),
        None if rest.is_empty() => None,
        None => return None,
    };
    Some(Place::Endpoint(role, name))
}

/// Names are of characters that need no escapes, and so is what is made of them.
fn plain(name: &str) -> Option<PeerName> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.bytes().all(is_plain).then(|| name.parse().ok())?
}

/// Reads the head of a request.
pub(super) fn read(head: &Parts, token: Option<&Token>) -> Result<Asked, Reply> {
    let Some(place) = place(head.uri.path()) else {
        return Err(Reply::problem(
            404,
            "there is nothing here; publish at /whip, play at /whep",
        ));
    };
    // Preflights carry no token (RFC 9725 section 4.7).
    if head.method == Method::OPTIONS {
        return Err(preflight(&place));
    }
    if let Some(token) = token
        && !bearer(&head.headers).is_some_and(|given| token.is(given))
    {
        let refused = Reply::problem(401, "the bearer token is missing or not right");
        return Err(refused.with("www-authenticate", "Bearer"));
    }
    let kind = one(&head.headers, &CONTENT_TYPE).map(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().to_ascii_lowercase()
    });
    let expects = |wanted: &'static str, header: &'static str| match kind.as_deref() {
        Some(kind) if kind == wanted => Ok(()),
        _ => {
            let why = format!("the body has to be of type {wanted}");
            Err(Reply::problem(415, &why).with(header, wanted))
        }
    };
    match (&head.method, place) {
        (&Method::GET | &Method::HEAD, _) => Err(Reply::empty(204)),
        (&Method::POST, Place::Endpoint(role, name)) => {
            expects(SDP, "accept-post")?;
            Ok(Asked::Create { role, name })
        }
        (&Method::PATCH, Place::Session(id)) => {
            expects(FRAGMENT, "accept-patch")?;
            let if_match = one(&head.headers, &IF_MATCH).map(|value| value.trim().to_owned());
            Ok(Asked::Patch { id, if_match })
        }
        (&Method::DELETE, Place::Session(id)) => Ok(Asked::Delete { id }),
        (_, place) => Err(Reply::problem(405, "this method does nothing here").with(
            "allow",
            match place {
                Place::Endpoint(..) => ENDPOINT,
                Place::Session(_) => RESOURCE,
            },
        )),
    }
}

fn preflight(place: &Place) -> Reply {
    let reply = Reply::empty(200)
        .with(
            "access-control-allow-headers",
            "authorization, content-type, if-match",
        )
        .with("access-control-max-age", "86400");
    match place {
        Place::Endpoint(..) => reply
            .with("access-control-allow-methods", ENDPOINT)
            .with("accept-post", SDP),
        Place::Session(_) => reply
            .with("access-control-allow-methods", RESOURCE)
            .with("accept-patch", FRAGMENT),
    }
}

/// A header that is there once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = one(headers, &AUTHORIZATION)?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn ask(
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        token: Option<&str>,
    ) -> Result<Asked, u16> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        read(&head, token.map(Token::new).as_ref()).map_err(|reply| reply.status)
    }

    const OFFER: (&str, &str) = ("content-type", "application/sdp");
    const PART: (&str, &str) = ("content-type", FRAGMENT);

    #[test]
    fn heads_are_read() {
        let create = |role, name: Option<&str>| {
            let name = name.map(|name| name.parse().unwrap());
            Ok(Asked::Create { role, name })
        };
        let patch = |if_match: Option<&str>| {
            let if_match = if_match.map(Into::into);
            Ok(Asked::Patch {
                id: "ab1".into(),
                if_match,
            })
        };
        type Row<'a> = (
            &'a str,
            &'a str,
            &'a [(&'a str, &'a str)],
            Result<Asked, u16>,
        );
        let rows: &[Row<'_>] = &[
            ("POST", "/whip", &[OFFER], create(Role::Publish, None)),
            ("POST", "/whip/", &[OFFER], create(Role::Publish, None)),
            (
                "POST",
                "/whep/cam-1.a",
                &[OFFER],
                create(Role::Play, Some("cam-1.a")),
            ),
            (
                "POST",
                "/whep",
                &[("content-type", "Application/SDP; charset=utf-8")],
                create(Role::Play, None),
            ),
            ("POST", "/whip", &[], Err(415)),
            (
                "POST",
                "/whip",
                &[("content-type", "application/json")],
                Err(415),
            ),
            ("POST", "/whip", &[OFFER, OFFER], Err(415)),
            ("POST", "/whipped", &[OFFER], Err(404)),
            ("POST", "/whip/a/b", &[OFFER], Err(404)),
            ("POST", "/whip/%00", &[OFFER], Err(404)),
            ("POST", "/", &[OFFER], Err(404)),
            ("PUT", "/whip", &[OFFER], Err(405)),
            ("GET", "/whep", &[], Err(204)),
            ("OPTIONS", "/whip", &[], Err(200)),
            ("PATCH", "/session/ab1", &[PART], patch(None)),
            (
                "PATCH",
                "/session/ab1",
                &[PART, ("if-match", "\"x\"")],
                patch(Some("\"x\"")),
            ),
            ("PATCH", "/session/ab1", &[OFFER], Err(415)),
            ("PATCH", "/whip", &[PART], Err(405)),
            ("POST", "/session/ab1", &[OFFER], Err(405)),
            (
                "DELETE",
                "/session/ab1",
                &[],
                Ok(Asked::Delete { id: "ab1".into() }),
            ),
            ("DELETE", "/session/", &[], Err(404)),
            ("DELETE", "/session/a.b", &[], Err(404)),
            ("HEAD", "/session/ab1", &[], Err(204)),
        ];
        for (method, path, headers, expected) in rows {
            assert_eq!(
                &ask(method, path, headers, None),
                expected,
                "{method} {path} {headers:?}"
            );
        }
    }

    #[test]
    fn tokens_are_asked_for_by_everything_but_preflights() {
        let with = |value| {
            ask(
                "POST",
                "/whip",
                &[OFFER, ("authorization", value)],
                Some("secret"),
            )
        };
        for (value, is_let_in) in [
            ("Bearer secret", true),
            ("bearer  secret ", true),
            ("Bearer Secret", false),
            ("Bearer ", false),
            ("Basic secret", false),
            ("secret", false),
        ] {
            assert_eq!(with(value).is_ok(), is_let_in, "{value}");
            assert!(is_let_in || with(value) == Err(401));
        }
        assert_eq!(ask("DELETE", "/session/a", &[], Some("secret")), Err(401));
        assert_eq!(ask("GET", "/whip", &[], Some("secret")), Err(401));
        assert_eq!(ask("OPTIONS", "/whip", &[], Some("secret")), Err(200));
        let twice = [
            OFFER,
            ("authorization", "Bearer secret"),
            ("authorization", "Bearer secret"),
        ];
        assert_eq!(ask("POST", "/whip", &twice, Some("secret")), Err(401));
    }
}
