//! A client's side of a session: which requests are made, and what their answers mean.
//!
//! Pure. One request is on its way at a time, so that answers come in the order of what they answer. The first one
//! holds the candidates that were found within half a second, since servers need not take more later.

use super::fragment::{Credentials, Fragment, Malformed, with_candidates};
use super::offer::{Role, directed};
use super::reply::{FRAGMENT, SDP};
use super::said::{Failure, Said, join, refused};
use signaling_protocol::IceCandidate;
use std::time::{Duration, Instant};
use url::Url;

/// How long candidates are waited for before the offer is sent.
const GATHER_LIMIT: Duration = Duration::from_millis(500);

/// How often an offer is sent somewhere else (RFC 9725 section 4.5).
const REDIRECTS: u32 = 5;

/// Candidates that wait for a request.
const CANDIDATES: usize = 64;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) url: Url,
    pub(super) if_match: Option<String>,
    /// Its type, and itself.
    pub(super) body: Option<(&'static str, String)>,
}

/// What happens.
#[derive(Debug)]
pub(super) enum Input {
    /// Our session offers, at first or to restart ICE.
    Offer(String),
    /// It has a candidate.
    Candidate(IceCandidate),
    /// It has no more.
    Gathered,
    /// It is over.
    Ended,
    /// The request was answered.
    Said(Said),
    /// It was not.
    Broken(String),
    /// Time has passed.
    Tick,
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Make this request.
    Ask(Ask),
    /// This is the answer to the offer.
    Answer(String),
    /// There is nothing more to do.
    Over,
    /// It cannot be done.
    Fail(Failure),
}

/// A request whose answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Offer,
    Restart,
    Trickle,
    Delete,
}

/// The session as the server has it.
#[derive(Debug)]
struct Made {
    url: Url,
    etag: Option<String>,
    answer: String,
}

/// The client's side.
#[derive(Debug)]
pub(super) struct Exchange {
    role: Role,
    endpoint: Url,
    redirects: u32,
    /// To be sent.
    offer: Option<String>,
    /// The newest one, sent or not.
    ours: String,
    candidates: Vec<IceCandidate>,
    is_whole: bool,
    asked: Option<Asked>,
    made: Option<Made>,
    is_over: bool,
    deadline: Option<Instant>,
}

impl Exchange {
    pub(super) fn new(role: Role, endpoint: Url) -> Self {
        Self {
            role,
            endpoint,
            redirects: 0,
            offer: None,
            ours: String::new(),
            candidates: Vec::new(),
            is_whole: false,
            asked: None,
            made: None,
            is_over: false,
            deadline: None,
        }
    }

    /// When [`Input::Tick`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Takes what happened; returns what is to be done, in this order.
    pub(super) fn handle(&mut self, now: Instant, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        match input {
            Input::Offer(sdp) => {
                self.ours = directed(&sdp, self.role);
                self.offer = Some(self.ours.clone());
                self.candidates.clear();
                self.is_whole = false;
                self.deadline = Some(now + GATHER_LIMIT);
            }
            // overflow: not told; the server has more than enough by then.
            Input::Candidate(candidate) if self.candidates.len() < CANDIDATES => {
                if !self.candidates.contains(&candidate) {
                    self.candidates.push(candidate);
                }
            }
            Input::Candidate(_) => {}
            Input::Gathered => {
                self.is_whole = true;
                self.deadline = None;
            }
            Input::Tick => {
                if self.deadline.is_some_and(|deadline| deadline <= now) {
                    self.deadline = None;
                }
            }
            Input::Ended => self.is_over = true,
            Input::Broken(why) => {
                if let Some(asked) = self.asked.take() {
                    let retry = Some(Duration::ZERO);
                    Self::failed(asked, Failure { why, retry }, &mut actions);
                }
            }
            Input::Said(said) => self.said(&said, &mut actions),
        }
        if actions
            .iter()
            .any(|action| matches!(action, Action::Fail(_) | Action::Over))
        {
            return actions;
        }
        actions.extend(self.next());
        actions
    }

    /// The request that is due, if none is on its way.
    fn next(&mut self) -> Option<Action> {
        if self.asked.is_some() {
            return None;
        }
        if self.is_over {
            let Some(made) = &self.made else {
                return Some(Action::Over);
            };
            let ask = Ask {
                method: "DELETE",
                url: made.url.clone(),
                if_match: None,
                body: None,
            };
            self.asked = Some(Asked::Delete);
            return Some(Action::Ask(ask));
        }
        if self.deadline.is_some() {
            return None;
        }
        let (asked, ask) = match (&self.made, self.offer.take()) {
            (None, Some(offer)) => {
                let candidates = std::mem::take(&mut self.candidates);
                let sdp = with_candidates(&offer, &candidates, self.is_whole);
                let ask = Ask {
                    method: "POST",
                    url: self.endpoint.clone(),
                    if_match: None,
                    body: Some((SDP, sdp)),
                };
                (Asked::Offer, ask)
            }
            (Some(made), Some(_)) => {
                let ask = Ask {
                    if_match: Some("*".into()),
                    ..patch(made, &self.ours, &mut self.candidates, self.is_whole)
                };
                (Asked::Restart, ask)
            }
            // Only servers that restart ICE have tags, and only they have to be told which session is meant.
            (Some(made), None) if !self.candidates.is_empty() => {
                let ask = patch(made, &self.ours, &mut self.candidates, self.is_whole);
                (Asked::Trickle, ask)
            }
            _ => return None,
        };
        self.asked = Some(asked);
        Some(Action::Ask(ask))
    }

    fn said(&mut self, said: &Said, actions: &mut Vec<Action>) {
        let Some(asked) = self.asked.take() else {
            return;
        };
        match (asked, said.status) {
            (Asked::Offer, 201) => match self.created(said) {
                Ok(action) => actions.push(action),
                Err(why) => actions.push(Action::Fail(Failure { why, retry: None })),
            },
            (Asked::Offer, 307 | 308) => self.moved(said, actions),
            (Asked::Restart, 200) => match self.restarted(said) {
                Ok(action) => actions.push(action),
                Err(Malformed(why)) => tracing::debug!(why, "ICE was not restarted"),
            },
            (Asked::Delete, _) => actions.push(Action::Over),
            (_, 200..300) => {}
            (asked, status) => Self::failed(asked, refused(status, said), actions),
        }
    }

    fn failed(asked: Asked, failure: Failure, actions: &mut Vec<Action>) {
        match asked {
            Asked::Offer => actions.push(Action::Fail(failure)),
            Asked::Delete => actions.push(Action::Over),
            // The session goes on as long as it can; if it cannot, it says so.
            Asked::Restart | Asked::Trickle => {
                tracing::debug!(why = failure.why, "the server refused a change");
            }
        }
    }

    fn created(&mut self, said: &Said) -> Result<Action, String> {
        let location = said
            .location
            .as_deref()
            .ok_or("its answer has no Location, so it is no WHIP or WHEP server")?;
        let url = join(&self.endpoint, location)?;
        self.made = Some(Made {
            url,
            etag: said.etag.clone(),
            answer: said.body.clone(),
        });
        Ok(Action::Answer(said.body.clone()))
    }

    fn moved(&mut self, said: &Said, actions: &mut Vec<Action>) {
        self.redirects += 1;
        let target = match &said.location {
            Some(location) if self.redirects <= REDIRECTS => join(&self.endpoint, location),
            _ => Err("it sends us from one server to the next".into()),
        };
        match target {
            Ok(url) => {
                self.endpoint = url;
                self.offer = Some(self.ours.clone());
            }
            Err(why) => actions.push(Action::Fail(Failure { why, retry: None })),
        }
    }

    fn restarted(&mut self, said: &Said) -> Result<Action, Malformed> {
        let fragment = Fragment::parse(&said.body)?;
        let credentials = fragment
            .credentials
            .ok_or(Malformed("the fragment names no ICE session"))?;
        let made = self.made.as_mut().ok_or(Malformed("there is no session"))?;
        made.etag = said.etag.clone().or(made.etag.take());
        made.answer = credentials.put_into(&made.answer);
        let answer = with_candidates(&made.answer, &fragment.candidates, fragment.is_last);
        Ok(Action::Answer(answer))
    }
}

fn patch(made: &Made, ours: &str, candidates: &mut Vec<IceCandidate>, is_last: bool) -> Ask {
    let fragment = Fragment {
        credentials: Credentials::of(ours).ok(),
        candidates: std::mem::take(candidates),
        is_last,
    };
    Ask {
        method: "PATCH",
        url: made.url.clone(),
        if_match: made.etag.clone(),
        body: Some((FRAGMENT, fragment.write(ours))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::said::LONGEST_PAUSE;
    use super::*;

    const OFFER: &str = "v=0\r\nm=audio 9 X 0\r\na=ice-ufrag:aaaa\r\na=ice-pwd:pppppppppppppppppppppp\r\na=mid:0\r\na=sendrecv\r\n";
    const ANSWER: &str = "v=0\r\nm=audio 9 X 0\r\na=ice-ufrag:bbbb\r\na=ice-pwd:qqqqqqqqqqqqqqqqqqqqqq\r\na=mid:0\r\n";

    fn candidate(name: &str) -> Input {
        Input::Candidate(IceCandidate {
            candidate: format!("candidate:{name} 1 udp 1 192.0.2.1 9 typ host"),
            sdp_mid: Some("0".into()),
            sdp_m_line_index: Some(0),
            username_fragment: None,
        })
    }

    fn said(status: u16) -> Said {
        Said {
            status,
            ..Said::default()
        }
    }

    fn made() -> Said {
        Said {
            location: Some("/session/1".into()),
            etag: Some("\"e\"".into()),
            body: ANSWER.into(),
            ..said(201)
        }
    }

    #[track_caller]
    fn ask(actions: &[Action]) -> &Ask {
        match actions {
            [Action::Ask(ask)] | [_, Action::Ask(ask)] => ask,
            other => panic!("{other:?}"),
        }
    }

    fn new() -> Exchange {
        Exchange::new(Role::Publish, "http://host/live/whip".parse().unwrap())
    }

    fn connected(now: Instant) -> Exchange {
        let mut exchange = new();
        exchange.handle(now, Input::Offer(OFFER.into()));
        exchange.handle(now, Input::Gathered);
        let actions = exchange.handle(now, Input::Said(made()));
        assert_eq!(actions, [Action::Answer(ANSWER.into())]);
        exchange
    }

    #[test]
    fn an_offer_takes_what_was_found_along() {
        let now = Instant::now();
        let mut exchange = new();
        assert_eq!(exchange.handle(now, Input::Offer(OFFER.into())), []);
        assert_eq!(exchange.handle(now, candidate("1")), []);
        let due = exchange.deadline().unwrap();
        assert_eq!(exchange.handle(now, Input::Tick), []);
        let actions = exchange.handle(due, Input::Tick);
        let post = ask(&actions);
        assert_eq!(
            (post.method, post.url.as_str()),
            ("POST", "http://host/live/whip")
        );
        let (kind, sdp) = post.body.as_ref().unwrap();
        assert_eq!(*kind, SDP);
        assert!(
            sdp.contains("a=candidate:1 ") && sdp.contains("a=sendonly"),
            "{sdp}"
        );
        // What is found later waits for the answer.
        assert_eq!(exchange.handle(now, candidate("2")), []);
        let actions = exchange.handle(now, Input::Said(made()));
        let trickle = ask(&actions);
        assert_eq!(
            (trickle.method, trickle.url.as_str()),
            ("PATCH", "http://host/session/1")
        );
        assert_eq!(trickle.if_match.as_deref(), Some("\"e\""));
        let (kind, body) = trickle.body.as_ref().unwrap();
        assert!(
            *kind == FRAGMENT
                && body.contains("a=candidate:2 ")
                && !body.contains("a=candidate:1 ")
        );
        // A server that does not take them is as good.
        assert_eq!(exchange.handle(now, Input::Said(said(405))), []);
        let actions = exchange.handle(now, Input::Ended);
        assert_eq!(ask(&actions).method, "DELETE");
        assert_eq!(exchange.handle(now, Input::Said(said(200))), [Action::Over]);
    }

    #[test]
    fn ice_is_restarted() {
        let now = Instant::now();
        let mut exchange = connected(now);
        exchange.handle(now, Input::Offer(OFFER.replace("aaaa", "cccc")));
        let actions = exchange.handle(now, Input::Gathered);
        let restart = ask(&actions);
        assert_eq!(restart.if_match.as_deref(), Some("*"));
        assert!(
            restart
                .body
                .as_ref()
                .unwrap()
                .1
                .contains("a=ice-ufrag:cccc")
        );
        let reply = Said {
            etag: Some("\"f\"".into()),
            body: "a=ice-ufrag:dddd\r\na=ice-pwd:qqqqqqqqqqqqqqqqqqqqqq\r\n".into(),
            ..said(200)
        };
        let actions = exchange.handle(now, Input::Said(reply));
        assert_eq!(actions, [Action::Answer(ANSWER.replace("bbbb", "dddd"))]);
        let actions = exchange.handle(now, candidate("9"));
        assert_eq!(ask(&actions).if_match.as_deref(), Some("\"f\""));
    }

    #[test]
    fn refusals_say_whether_to_come_back() {
        let now = Instant::now();
        let fail = |said: Said| {
            let mut exchange = new();
            exchange.handle(now, Input::Offer(OFFER.into()));
            exchange.handle(now, Input::Gathered);
            match &exchange.handle(now, Input::Said(said))[..] {
                [Action::Fail(failure)] => failure.retry.map(|pause| pause.as_secs()),
                other => panic!("{other:?}"),
            }
        };
        let after = |status, seconds| Said {
            retry_after: Some(seconds),
            ..said(status)
        };
        for (answer, retry) in [
            (said(401), None),
            (said(404), None),
            (said(406), None),
            (said(500), Some(0)),
            (after(409, 3), Some(3)),
            (after(503, 100_000), Some(LONGEST_PAUSE)),
            // An answer that cannot be used.
            (said(201), None),
            (
                Said {
                    location: Some("gopher://x".into()),
                    ..said(201)
                },
                None,
            ),
        ] {
            assert_eq!(fail(answer.clone()), retry, "{answer:?}");
        }
    }

    #[test]
    fn it_goes_where_it_is_sent_and_not_for_ever() {
        let now = Instant::now();
        let mut exchange = new();
        exchange.handle(now, Input::Offer(OFFER.into()));
        exchange.handle(now, Input::Gathered);
        let there = Said {
            location: Some("//other/whip".into()),
            ..said(307)
        };
        for _ in 0..REDIRECTS {
            let actions = exchange.handle(now, Input::Said(there.clone()));
            assert_eq!(ask(&actions).url.as_str(), "http://other/whip");
        }
        let actions = exchange.handle(now, Input::Said(there));
        assert!(matches!(actions[..], [Action::Fail(_)]), "{actions:?}");
    }

    #[test]
    fn a_session_that_ends_early_leaves_nothing_behind() {
        let now = Instant::now();
        assert_eq!(new().handle(now, Input::Ended), [Action::Over]);
        let mut exchange = new();
        exchange.handle(now, Input::Offer(OFFER.into()));
        exchange.handle(now, Input::Gathered);
        assert_eq!(exchange.handle(now, Input::Ended), []);
        let actions = exchange.handle(now, Input::Said(made()));
        assert_eq!(ask(&actions).method, "DELETE");
        assert_eq!(
            exchange.handle(now, Input::Broken("gone".into())),
            [Action::Over]
        );
    }
}
