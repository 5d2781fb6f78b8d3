//! Looks: each probe finds one thing out, and has a limit.

use std::time::{Duration, Instant, SystemTime};

use peerline::pairing::Code;
use peerline::session::{Bye, ByeCode, PathPolicy, Session, SessionConfig};
use peerline::signaling::memory::Server;
use signaling_protocol::{IceServer, Join};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::connect::Context;
use crate::discover::{Announcement, Listener};

/// An announcement is heard within milliseconds, or when it is repeated after a second.
const MDNS: Duration = Duration::from_millis(2_500);

/// Two sessions through one relay: over TLS and a long way it takes two seconds.
const RELAY: Duration = Duration::from_millis(5_000);

/// Announces something of ours, and listens for it.
pub(super) async fn mdns() -> Result<Duration, String> {
    let started = Instant::now();
    let room = format!("doctor{:08x}", rand::random::<u32>());
    let announced = room.clone();
    let announcing = spawn_blocking(move || {
        let listener = Listener::start(&[&announced])?;
        Ok((Announcement::start(&announced, 9)?, listener))
    });
    let heard = async {
        let started: Result<(Announcement, Listener), mdns_sd::Error> =
            announcing.await.map_err(|error| error.to_string())?;
        let (announcement, listener) = started.map_err(|error| error.to_string())?;
        let heard = listener.next().await;
        announcement.withdraw().await;
        heard
            .map(|_| ())
            .ok_or_else(|| "it cannot be listened to".to_owned())
    };
    match timeout(MDNS, heard).await {
        Ok(Ok(())) => Ok(started.elapsed()),
        Ok(Err(why)) => Err(why),
        Err(_) => Err("nothing came back over multicast".to_owned()),
    }
}

/// How many seconds this machine's clock is ahead of what the server wrote.
pub(super) fn ahead(date: Option<&str>) -> Option<i64> {
    let theirs = httpdate::parse_http_date(date?).ok()?;
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Some(match SystemTime::now().duration_since(theirs) {
        Ok(ahead) => seconds(ahead),
        Err(behind) => -seconds(behind.duration()),
    })
}

/// A session with ourselves through one TURN server, and nothing else.
pub(super) async fn relay(context: &Context<'_>, server: IceServer) -> Result<Duration, String> {
    let config = SessionConfig {
        ice_servers: vec![server],
        policy: PathPolicy::RelayOnly,
        loopback: true,
        intent: context.intent,
        ..SessionConfig::default()
    };
    let started = Instant::now();
    let meeting = async {
        let rooms = Server::new();
        let create = Join {
            create: Some(true),
            capacity: Some(2),
            ..Join::default()
        };
        let (signaling, joined) = rooms
            .join(create)
            .await
            .map_err(|error| error.to_string())?;
        let code = Code::generate(joined.room.as_str()).map_err(|error| error.to_string())?;
        let enter = Join {
            room: Some(joined.room.clone()),
            create: Some(false),
            ..Join::default()
        };
        let guest = async {
            let (signaling, joined) = rooms.join(enter).await?;
            Session::guest(signaling, &joined, &code, config.clone()).await
        };
        let host = Session::host(signaling, &joined, code.clone(), config.clone(), || ());
        let (host, guest) = tokio::try_join!(host, guest).map_err(|error| error.to_string())?;
        let took = started.elapsed();
        let bye = || Bye::new(ByeCode::Done, "done");
        tokio::join!(host.close(bye()), guest.close(bye()));
        Ok(took)
    };
    timeout(RELAY, meeting).await.unwrap_or_else(|_| {
        let message = format!("no connection through it within {} s", RELAY.as_secs());
        Err(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_compared_to_the_second() {
        let now = SystemTime::now();
        for off in [0_i64, 90, -90] {
            let theirs = match off {
                0.. => now - Duration::from_secs(off.unsigned_abs()),
                _ => now + Duration::from_secs(off.unsigned_abs()),
            };
            let found = ahead(Some(&httpdate::fmt_http_date(theirs))).unwrap();
            assert!((found - off).abs() <= 2, "{found} {off}");
        }
        for nothing in [
            None,
            Some(""),
            Some("yesterday"),
            Some("Wed, 99 Foo 2026 00:00:00 GMT"),
        ] {
            assert_eq!(ahead(nothing), None);
        }
    }
}
