//! What a server says to a request, and what that means: where it leads, why it is a refusal, and whether to come back.

use std::time::Duration;
use url::Url;

/// The longest pause that a server may ask for.
pub(super) const LONGEST_PAUSE: u64 = 600;

/// What a server said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) etag: Option<String>,
    /// In seconds.
    pub(super) retry_after: Option<u64>,
    pub(super) body: String,
}

/// Why a stream was not taken or given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// For people.
    pub(crate) why: String,
    /// How long to wait before the next attempt, at least; without it there is no use in one.
    pub(crate) retry: Option<Duration>,
}

/// A place that a server names. It never leads from TLS to none.
pub(super) fn join(base: &Url, location: &str) -> Result<Url, String> {
    let url = base.join(location).ok().filter(Url::has_host);
    let url = url.ok_or("its Location is no address")?;
    match (base.scheme(), url.scheme()) {
        ("http" | "https", "https") | ("http", "http") => Ok(url),
        _ => Err("its Location is not as safe as where we asked".into()),
    }
}

/// A status that is no success, to an offer above all.
pub(super) fn refused(status: u16, said: &Said) -> Failure {
    let title = serde_json::from_str::<serde_json::Value>(&said.body)
        .ok()
        .and_then(|body| Some(body.get("title")?.as_str()?.to_owned()));
    let title = title.map(|title| title.chars().take(200).collect::<String>());
    let meaning = match status {
        401 | 403 => "it wants another token",
        404 => "there is nothing at this address",
        405 | 415 => "it is no WHIP or WHEP server",
        406 => "it takes none of our codecs",
        409 => "there is nothing to play yet",
        429 | 503 => "it is busy",
        _ => "it refused",
    };
    let pause = said.retry_after.unwrap_or(0).min(LONGEST_PAUSE);
    let is_passing = matches!(status, 408 | 409 | 425 | 429 | 500..) || said.retry_after.is_some();
    Failure {
        why: format!("{} ({status})", title.as_deref().unwrap_or(meaning)),
        retry: is_passing.then(|| Duration::from_secs(pause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_never_leads_from_tls_to_none() {
        let [plain, secure] = ["http://host/live/whip", "https://host/live/whip"]
            .map(|url| url.parse::<Url>().unwrap());
        for (base, location, leads) in [
            (&plain, "/session/1", Some("http://host/session/1")),
            (&plain, "https://other/1", Some("https://other/1")),
            (&secure, "1", Some("https://host/live/1")),
            (&secure, "http://host/1", None),
            (&plain, "gopher://host/1", None),
            (&plain, "http://", None),
        ] {
            let url = join(base, location).ok();
            assert_eq!(url.as_ref().map(Url::as_str), leads, "{base} {location}");
        }
    }
}
