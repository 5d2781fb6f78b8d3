//! One session of a server as HTTP sees it: a resource that is made by an offer, is changed by fragments, and is deleted.
//!
//! Pure: requests, what the session says and the time go in; answers, and what the session is told, come out. The
//! answer holds all of our candidates, since a server cannot tell others later (RFC 9725 section 4.3.2): it waits for them,
//! but not for long, because a STUN server that does not answer would hold up everybody.

use super::fragment::{Credentials, Fragment, with_candidates};
use super::reply::{FRAGMENT, Reply, SDP};
use super::request::SESSION;
use signaling_protocol::{IceCandidate, IceServer};
use std::time::{Duration, Instant};

/// How long an offer may take to be answered; the engine needs milliseconds, a busy machine more.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How long our candidates are waited for after that.
pub(super) const GATHER_LIMIT: Duration = Duration::from_millis(1_500);

/// Candidates of ours in one answer; a machine with many interfaces and TURN has about 30.
const CANDIDATES: usize = 64;

/// Names a request that is being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RequestId(pub(super) u64);

/// What happens to a resource.
#[derive(Debug)]
pub(super) enum Input {
    /// Somebody asks to change it.
    Patch {
        request: RequestId,
        if_match: Option<String>,
        fragment: Fragment,
    },
    /// Somebody asks to end it.
    Delete(RequestId),
    /// The session answers the last offer.
    Answer(String),
    /// The session has a candidate.
    Candidate(IceCandidate),
    /// It has no more.
    Gathered,
    /// It refuses.
    Refused(Reply),
    /// It is over.
    Ended,
    /// Time has passed.
    Tick,
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Offer this to the session.
    Offer(String),
    /// The client has these candidates.
    Trickle(Vec<IceCandidate>),
    /// Answer a request.
    Reply(RequestId, Reply),
    /// The session is to end, and with it this.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    /// A whole description.
    Created,
    /// A fragment.
    Restarted,
}

/// A request whose answer the session makes.
#[derive(Debug)]
struct Waiting {
    request: RequestId,
    want: Want,
    /// What it is answered with, once the session has.
    answer: Option<String>,
    deadline: Instant,
}

/// The resource.
#[derive(Debug)]
pub(super) struct Resource {
    id: String,
    /// Of the client, without candidates of later generations.
    offer: String,
    remote: Credentials,
    ice_servers: Vec<IceServer>,
    generation: u32,
    waiting: Option<Waiting>,
    gathered: Vec<IceCandidate>,
    /// There are no more.
    is_whole: bool,
}

impl Resource {
    /// Made by an offer that was checked.
    pub(super) fn new(
        now: Instant,
        id: String,
        request: RequestId,
        offer: String,
        remote: Credentials,
    ) -> (Self, Vec<Action>) {
        let resource = Self {
            id,
            remote,
            ice_servers: Vec::new(),
            generation: 1,
            waiting: Some(Waiting {
                request,
                want: Want::Created,
                answer: None,
                deadline: now + ANSWER_LIMIT,
            }),
            gathered: Vec::new(),
            is_whole: false,
            offer: offer.clone(),
        };
        (resource, vec![Action::Offer(offer)])
    }

    /// What the client is told to use, from now on.
    pub(super) fn use_servers(&mut self, ice_servers: Vec<IceServer>) {
        self.ice_servers = ice_servers;
    }

    /// When [`Input::Tick`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|waiting| waiting.deadline)
    }

    /// Takes what happened; returns what is to be done, in this order.
    pub(super) fn handle(&mut self, now: Instant, input: Input) -> Vec<Action> {
        match input {
            Input::Patch {
                request,
                if_match,
                fragment,
            } => self.patch(now, request, if_match.as_deref(), fragment),
            // Whatever its ETag (RFC 9725 section 4.3.1).
            Input::Delete(request) => {
                let mut actions = self.refuse(Reply::problem(409, "the session was deleted"));
                actions.push(Action::Reply(request, Reply::empty(200)));
                actions.push(Action::End);
                actions
            }
            Input::Answer(sdp) => {
                if let Some(waiting) = &mut self.waiting {
                    waiting.answer = Some(sdp);
                    waiting.deadline = now + GATHER_LIMIT;
                }
                self.answered(now)
            }
            Input::Candidate(candidate) => {
                let is_news = !self.gathered.contains(&candidate);
                // overflow: not told; it has more than enough by then.
                if self.waiting.is_some() && is_news && self.gathered.len() < CANDIDATES {
                    self.gathered.push(candidate);
                }
                Vec::new()
            }
            Input::Gathered => {
                self.is_whole = true;
                self.answered(now)
            }
            Input::Refused(reply) => {
                let mut actions = self.refuse(reply);
                actions.push(Action::End);
                actions
            }
            Input::Ended => {
                let mut actions = self.refuse(Reply::problem(422, "the offer cannot be answered"));
                actions.push(Action::End);
                actions
            }
            Input::Tick => self.answered(now),
        }
    }

    fn etag(&self) -> String {
        format!("\"{}-{}\"", self.id, self.generation)
    }

    fn patch(
        &mut self,
        now: Instant,
        request: RequestId,
        if_match: Option<&str>,
        fragment: Fragment,
    ) -> Vec<Action> {
        let refused = |status, why| vec![Action::Reply(request, Reply::problem(status, why))];
        let Some(if_match) = if_match else {
            return refused(428, "If-Match is missing: name the ETag of the session");
        };
        // A list of strong tags, or any (RFC 9110 section 13.1.1).
        let is_met = if_match == "*" || if_match.split(',').any(|tag| tag.trim() == self.etag());
        if !is_met {
            return refused(412, "the ETag is not that of the session");
        }
        let restart = fragment
            .credentials
            .clone()
            .filter(|credentials| *credentials != self.remote);
        let Some(credentials) = restart else {
            let mut actions = vec![Action::Reply(request, Reply::empty(204))];
            if !fragment.candidates.is_empty() {
                actions.push(Action::Trickle(fragment.candidates));
            }
            return actions;
        };
        if self.waiting.is_some() {
            let busy = Reply::later(503, "the session is still being connected");
            return vec![Action::Reply(request, busy)];
        }
        self.offer = credentials.put_into(&self.offer);
        self.remote = credentials;
        self.generation += 1;
        self.gathered.clear();
        self.is_whole = false;
        self.waiting = Some(Waiting {
            request,
            want: Want::Restarted,
            answer: None,
            deadline: now + ANSWER_LIMIT,
        });
        let offer = with_candidates(&self.offer, &fragment.candidates, fragment.is_last);
        vec![Action::Offer(offer)]
    }

    /// Answers the request that waits, if it need not wait any more.
    fn answered(&mut self, now: Instant) -> Vec<Action> {
        let is_due = self.deadline().is_some_and(|deadline| deadline <= now);
        let is_answered = |waiting: &Waiting| waiting.answer.is_some();
        if !is_due && !(self.is_whole && self.waiting.as_ref().is_some_and(is_answered)) {
            return Vec::new();
        }
        let Some(waiting) = self.waiting.take() else {
            return Vec::new();
        };
        let Some(answer) = waiting.answer else {
            let late = Reply::later(503, "the session did not answer in time");
            return vec![Action::Reply(waiting.request, late), Action::End];
        };
        let candidates = std::mem::take(&mut self.gathered);
        // Engines write some into their answers; those that were told are all.
        let reply = match waiting.want {
            Want::Created => {
                let sdp = with_candidates(&answer, &candidates, self.is_whole);
                let mut reply = Reply::empty(201)
                    .with("location", format!("{SESSION}{}", self.id))
                    .with("accept-patch", FRAGMENT);
                for server in &self.ice_servers {
                    reply.headers.extend(links(server));
                }
                reply.body(SDP, sdp)
            }
            Want::Restarted => {
                let fragment = Fragment {
                    credentials: Credentials::of(&answer).ok(),
                    candidates,
                    is_last: self.is_whole,
                };
                Reply::empty(200).body(FRAGMENT, fragment.write(&answer))
            }
        };
        let reply = reply.with("etag", self.etag());
        vec![Action::Reply(waiting.request, reply)]
    }

    fn refuse(&mut self, reply: Reply) -> Vec<Action> {
        let waiting = self.waiting.take().into_iter();
        waiting
            .map(|waiting| Action::Reply(waiting.request, reply.clone()))
            .collect()
    }
}

/// A server as the client is told of it (RFC 9725 section 4.6), one link for each address.
fn links(server: &IceServer) -> impl Iterator<Item = (&'static str, String)> {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let is_visible = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let credentials = match (&server.username, &server.credential) {
        (Some(name), Some(secret)) => format!(
            "; username=\"{}\"; credential=\"{}\"; credential-type=\"password\"",
            quoted(name),
            quoted(secret.expose())
        ),
        _ => String::new(),
    };
    let links = server.urls.iter().filter_map(move |url| {
        let link = format!("<{url}>; rel=\"ice-server\"{credentials}");
        (is_visible(&link) && !url.contains('>')).then_some(("link", link))
    });
    links.collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    use signaling_protocol::Secret;

    const OFFER: &str = "v=0\r\nm=audio 9 X 0\r\na=ice-ufrag:aaaa\r\na=ice-pwd:pppppppppppppppppppppp\r\na=mid:0\r\n";
    const ANSWER: &str = "v=0\r\nm=audio 9 X 0\r\na=ice-ufrag:bbbb\r\na=ice-pwd:qqqqqqqqqqqqqqqqqqqqqq\r\na=mid:0\r\n";

    fn candidate(name: &str) -> IceCandidate {
        IceCandidate {
            candidate: format!("candidate:{name} 1 udp 1 192.0.2.1 9 typ host"),
            sdp_mid: Some("0".into()),
            sdp_m_line_index: None,
            username_fragment: None,
        }
    }

    fn fragment(ufrag: Option<&str>, candidates: &[&str]) -> Fragment {
        let ice = ufrag
            .map(|ufrag| format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:pppppppppppppppppppppp\r\n"));
        let candidates = candidates
            .iter()
            .map(|name| format!("a={}\r\n", candidate(name).candidate));
        let text: String = ice.into_iter().chain(candidates).collect();
        Fragment::parse(&text).unwrap()
    }

    fn patch(request: u64, if_match: Option<&str>, fragment: Fragment) -> Input {
        Input::Patch {
            request: RequestId(request),
            if_match: if_match.map(Into::into),
            fragment,
        }
    }

    fn new(now: Instant) -> Resource {
        let remote = Credentials::of(OFFER).unwrap();
        let (resource, actions) =
            Resource::new(now, "id".into(), RequestId(0), OFFER.into(), remote);
        assert_eq!(actions, [Action::Offer(OFFER.into())]);
        resource
    }

    /// The only answer among the actions.
    #[track_caller]
    fn reply(actions: &[Action], request: u64) -> &Reply {
        match actions {
            [Action::Reply(id, reply), ..] if *id == RequestId(request) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn created(now: Instant) -> Resource {
        let mut resource = new(now);
        assert_eq!(resource.handle(now, Input::Answer(ANSWER.into())), []);
        assert_eq!(reply(&resource.handle(now, Input::Gathered), 0).status, 201);
        resource
    }

    #[test]
    fn a_session_is_made_with_all_candidates_and_servers() {
        let now = Instant::now();
        let mut resource = new(now);
        resource.use_servers(vec![IceServer {
            urls: vec![
                "turn:a?transport=udp".into(),
                "stun:b".into(),
                "turn:>".into(),
            ],
            username: Some("u\"".into()),
            credential: Some(Secret::new("c")),
        }]);
        // Candidates and their end may come in any order with the answer.
        for input in [
            Input::Candidate(candidate("1")),
            Input::Candidate(candidate("1")),
            Input::Gathered,
        ] {
            assert_eq!(resource.handle(now, input), []);
        }
        let actions = resource.handle(now, Input::Answer(ANSWER.into()));
        let made = reply(&actions, 0);
        let values = |name| {
            let of = |(n, value): &(&'static str, String)| (*n == name).then(|| value.clone());
            made.headers.iter().filter_map(of).collect::<Vec<_>>()
        };
        assert_eq!(made.status, 201);
        assert_eq!(values("location"), ["/session/id"]);
        assert_eq!(values("etag"), ["\"id-1\""]);
        let credentials = "; username=\"u\\\"\"; credential=\"c\"; credential-type=\"password\"";
        assert_eq!(
            values("link"),
            [
                format!("<turn:a?transport=udp>; rel=\"ice-server\"{credentials}"),
                format!("<stun:b>; rel=\"ice-server\"{credentials}"),
            ]
        );
        let (kind, sdp) = made.body.as_ref().unwrap();
        assert_eq!((*kind, sdp.matches("a=candidate:1 ").count()), (SDP, 1));
        assert!(sdp.ends_with("a=end-of-candidates\r\n"));
        assert_eq!(resource.deadline(), None);
    }

    #[test]
    fn candidates_and_answers_are_waited_for_and_not_for_long() {
        let now = Instant::now();
        let mut resource = new(now);
        assert_eq!(resource.deadline(), Some(now + ANSWER_LIMIT));
        assert_eq!(resource.handle(now, Input::Tick), []);
        resource.handle(now, Input::Answer(ANSWER.into()));
        resource.handle(now, Input::Candidate(candidate("1")));
        let late = now + GATHER_LIMIT;
        assert_eq!(resource.deadline(), Some(late));
        let actions = resource.handle(late, Input::Tick);
        let (_, sdp) = reply(&actions, 0).body.as_ref().unwrap();
        assert!(sdp.contains("a=candidate:1 ") && !sdp.contains("end-of-candidates"));
        let mut silent = new(now);
        let actions = silent.handle(now + ANSWER_LIMIT, Input::Tick);
        assert_eq!(reply(&actions, 0).status, 503);
        assert_eq!(actions[1], Action::End);
    }

    #[test]
    fn patches_have_the_right_tag() {
        let now = Instant::now();
        let mut resource = created(now);
        let mut status = |if_match: Option<&str>, fragment| {
            let actions = resource.handle(now, patch(1, if_match, fragment));
            (reply(&actions, 1).status, actions.len())
        };
        let one = || fragment(Some("aaaa"), &["1"]);
        assert_eq!(status(None, one()), (428, 1));
        assert_eq!(status(Some("\"id-2\""), one()), (412, 1));
        assert_eq!(status(Some("W/\"id-1\""), one()), (412, 1));
        assert_eq!(status(Some("\"id-1\""), one()), (204, 2));
        assert_eq!(status(Some("\"x\", \"id-1\""), one()), (204, 2));
        assert_eq!(status(Some("*"), one()), (204, 2));
        assert_eq!(status(Some("*"), fragment(None, &["1"])), (204, 2));
        assert_eq!(status(Some("*"), fragment(None, &[])), (204, 1));
    }

    #[test]
    fn ice_is_restarted_under_another_tag() {
        let now = Instant::now();
        let mut resource = created(now);
        let actions = resource.handle(now, patch(1, Some("*"), fragment(Some("cccc"), &["9"])));
        let [Action::Offer(offer)] = &actions[..] else {
            panic!("{actions:?}");
        };
        assert!(offer.contains("a=ice-ufrag:cccc") && offer.contains("a=candidate:9 "));
        // Another one meanwhile has to wait; candidates need not.
        let busy = resource.handle(now, patch(2, Some("*"), fragment(Some("dddd"), &[])));
        assert_eq!(reply(&busy, 2).status, 503);
        let old = resource.handle(now, patch(3, Some("\"id-1\""), fragment(None, &["2"])));
        assert_eq!(reply(&old, 3).status, 412);
        let new = resource.handle(
            now,
            patch(4, Some("\"id-2\""), fragment(Some("cccc"), &["2"])),
        );
        assert_eq!(reply(&new, 4).status, 204);
        resource.handle(now, Input::Answer(ANSWER.into()));
        resource.handle(now, Input::Candidate(candidate("3")));
        let actions = resource.handle(now, Input::Gathered);
        let restarted = reply(&actions, 1);
        assert_eq!(restarted.status, 200);
        assert!(restarted.headers.contains(&("etag", "\"id-2\"".into())));
        let (kind, body) = restarted.body.as_ref().unwrap();
        assert_eq!(*kind, FRAGMENT);
        let told = Fragment::parse(body).unwrap();
        assert_eq!(told.credentials.unwrap().ufrag, "bbbb");
        assert_eq!((told.candidates.len(), told.is_last), (1, true));
    }

    #[test]
    fn it_ends_when_it_is_deleted_or_its_session_does() {
        let now = Instant::now();
        let ok = |actions: &[Action], request, status| {
            assert_eq!(reply(actions, request).status, status, "{actions:?}");
            assert_eq!(actions.last(), Some(&Action::End));
        };
        ok(
            &created(now).handle(now, Input::Delete(RequestId(1))),
            1,
            200,
        );
        ok(&new(now).handle(now, Input::Delete(RequestId(1))), 0, 409);
        ok(&new(now).handle(now, Input::Ended), 0, 422);
        let refused = Input::Refused(Reply::later(409, "nothing"));
        ok(&new(now).handle(now, refused), 0, 409);
        assert_eq!(created(now).handle(now, Input::Ended), [Action::End]);
    }
}
