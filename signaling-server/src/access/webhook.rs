//! A web service that decides who may enter.

use super::{Decision, Grant, Role, Wish, digest_of};
use crate::{
    outbound::{Endpoint, EndpointError},
    refusal::Refusal,
};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use signaling_protocol::{ErrorCode, RoomName, Secret};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

/// Time for an answer: somebody waits for it at a prompt, and a client gives a join 10 s.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);

/// Most bytes of an answer.
const ANSWER_BYTES: usize = 16 * 1024;

/// Questions at once; more wait their turn for [`ANSWER_LIMIT`], and are refused then.
const MAX_QUESTIONS: usize = 64;

/// Answers that are remembered.
const MAX_ANSWERS: usize = 4096;

/// Longest time for which an answer may ask to be remembered.
const MAX_MEMORY: Duration = Duration::from_secs(3600);

/// The service, and what it said lately. Clones share both.
#[derive(Debug, Clone)]
pub struct Webhook(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoint: Endpoint,
    secret: Option<Secret>,
    questions: Semaphore,
    answers: Mutex<HashMap<[u8; 32], Remembered>>,
}

#[derive(Debug, Clone)]
struct Remembered {
    until: Instant,
    answer: Result<Grant, Refusal>,
}

/// The service's address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WebhookError(#[from] EndpointError);

/// What the service says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    allow: bool,
    #[serde(default)]
    room: Option<RoomName>,
    #[serde(default = "host")]
    role: Role,
    /// Seconds for which the same question has the same answer.
    #[serde(default)]
    max_age: u64,
}

fn host() -> Role {
    Role::Host
}

impl Webhook {
    /// `url` is https, or http on a private network. `secret` goes along as a bearer token, so that the
    /// service knows who asks.
    ///
    /// # Errors
    /// The address.
    pub fn new(url: &str, secret: Option<Secret>) -> Result<Self, WebhookError> {
        Ok(Self(Arc::new(Inner {
            endpoint: Endpoint::new(url, None, ANSWER_BYTES)?,
            secret,
            questions: Semaphore::new(MAX_QUESTIONS),
            answers: Mutex::default(),
        })))
    }

    pub(super) fn ask(&self, wish: &Wish, now: Instant) -> Decision {
        let body = question(wish);
        let key = digest_of(&body);
        let known = self.0.lock().get(&key).cloned();
        if let Some(Remembered { until, answer }) = known
            && until > now
        {
            return Decision::Now(answer);
        }
        let inner = Arc::clone(&self.0);
        let asking = async move {
            let (answer, memory) = inner.answer(body).await;
            if !memory.is_zero() {
                let until = Instant::now() + memory;
                let answer = answer.clone();
                inner.remember(key, Remembered { until, answer });
            }
            answer
        };
        Decision::Later(AbortOnDropHandle::new(tokio::spawn(asking)))
    }
}

/// What is asked; equal questions are equal texts.
fn question(wish: &Wish) -> String {
    json!({
        "room": wish.room,
        "create": wish.create,
        "token": wish.token,
        "address": wish.address.to_canonical(),
    })
    .to_string()
}

impl Inner {
    /// The answer, and for how long it holds.
    async fn answer(&self, body: String) -> (Result<Grant, Refusal>, Duration) {
        let unavailable = |why: &dyn std::fmt::Display| {
            tracing::warn!(%why, "the authorisation service did not answer");
            let message = "this server could not find out who may enter; try again";
            (
                Err(Refusal::new(ErrorCode::Internal, message)),
                Duration::ZERO,
            )
        };
        let turn = tokio::time::timeout(ANSWER_LIMIT, self.questions.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return unavailable(&"too many questions wait for it");
        };
        let request =
            self.endpoint
                .request(Method::POST, self.secret.as_ref(), Some(body), ANSWER_LIMIT);
        let (status, body) = match request.await {
            Ok(answer) => answer,
            Err(error) => return unavailable(&error),
        };
        let refused = || {
            let message = "this server does not let you in with this token";
            Err(Refusal::new(ErrorCode::Unauthorized, message))
        };
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (refused(), Duration::ZERO),
            StatusCode::OK => match serde_json::from_slice::<Answer>(&body) {
                Ok(answer) => {
                    let memory = Duration::from_secs(answer.max_age).min(MAX_MEMORY);
                    let grant = Grant {
                        room: answer.room,
                        role: answer.role,
                    };
                    let answer = if answer.allow { Ok(grant) } else { refused() };
                    (answer, memory)
                }
                // What it says may hold what it was asked: it is not logged.
                Err(_) => unavailable(&"its answer is not of the form"),
            },
            status => unavailable(&status),
        }
    }

    fn remember(&self, key: [u8; 32], remembered: Remembered) {
        let mut answers = self.lock();
        if answers.len() >= MAX_ANSWERS {
            let now = Instant::now();
            answers.retain(|_, known| known.until > now);
        }
        // Still full: this one is asked again.
        if answers.len() < MAX_ANSWERS {
            answers.insert(key, remembered);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Remembered>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
