use super::*;
use crate::session::absence::AWAY_LIMIT;

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(1);

fn watchdog(now: Instant) -> Watchdog {
    Watchdog::new(now, Healing::default())
}

fn connected(now: Instant) -> Watchdog {
    let mut watchdog = watchdog(now);
    watchdog.reached(now, Wait::Heartbeat);
    watchdog
}

#[test]
fn each_phase_has_its_own_limit() {
    let start = Instant::now();
    let phases = [
        (Wait::Description, DESCRIPTION_LIMIT),
        (Wait::Ice, ICE_LIMIT),
        (Wait::Dtls, DTLS_LIMIT),
        (Wait::Hello, HELLO_LIMIT),
    ];
    for (wait, limit) in phases {
        let mut watchdog = watchdog(start);
        watchdog.reached(start + SECOND, wait);
        let begin = if wait == Wait::Description {
            start
        } else {
            start + SECOND
        };
        assert_eq!(watchdog.due(begin + limit - MOMENT), None);
        assert_eq!(watchdog.due(begin + limit), Some(Due::Expired(wait)));
        assert_eq!(watchdog.interruption(), None);
    }
}

#[test]
fn a_path_that_is_lost_gives_a_handshake_its_time_once_more() {
    let start = Instant::now();
    for (wait, limit) in [(Wait::Dtls, DTLS_LIMIT), (Wait::Hello, HELLO_LIMIT)] {
        let shaking = || {
            let mut watchdog = watchdog(start);
            watchdog.reached(start, wait);
            watchdog
        };
        let expires = |mut watchdog: Watchdog, from: Instant| {
            let mut now = from;
            loop {
                match watchdog.due(now) {
                    Some(Due::Expired(late)) => return (late, now - start),
                    Some(Due::Restart) => {}
                    None => now += SECOND,
                    other => panic!("{other:?}"),
                }
            }
        };
        let lost = start + 5 * SECOND;
        for (polite, delay) in [(false, RESTART_CHECK), (true, SECOND)] {
            let mut watchdog = shaking();
            watchdog.set_polite(polite);
            watchdog.path_lost(lost);
            assert_eq!(watchdog.due(lost + delay - MOMENT), None);
            assert_eq!(watchdog.due(lost + delay), Some(Due::Restart));
        }
        let mut watchdog = shaking();
        watchdog.path_lost(lost);
        watchdog.path_lost(lost + SECOND);
        assert_eq!(expires(watchdog, lost), (wait, 5 * SECOND + limit));

        let mut watchdog = shaking();
        watchdog.path_lost(lost);
        assert!(watchdog.path_found(start + 8 * SECOND));
        assert_eq!(
            expires(watchdog, start + 8 * SECOND),
            (wait, 8 * SECOND + limit)
        );

        // A path that comes and goes for ever.
        let mut watchdog = shaking();
        let mut now = start;
        while watchdog.deadline() > now {
            watchdog.path_lost(now);
            now += SECOND;
            watchdog.path_found(now);
        }
        assert_eq!(watchdog.due(now), Some(Due::Expired(wait)));
        assert_eq!(now - start, Healing::default().give_up);
    }
}

#[test]
fn whom_the_server_misses_in_the_handshakes_has_ten_seconds_to_come_back() {
    let start = Instant::now();
    for wait in [Wait::Description, Wait::Ice, Wait::Dtls, Wait::Hello] {
        let mut watchdog = watchdog(start);
        watchdog.reached(start, wait);
        watchdog.peer_missed(start + SECOND, false);
        if matches!(wait, Wait::Dtls | Wait::Hello) {
            let later = start + 12 * SECOND;
            assert!(!watchdog.is_gone(later), "there is a path");
            watchdog.path_lost(start + 5 * SECOND);
            assert!(watchdog.is_gone(later));
            watchdog.path_found(later);
            assert!(!watchdog.is_gone(later));
            watchdog.path_lost(start + 5 * SECOND);
            watchdog.put_off(later);
        }
        watchdog.peer_missed(start + 4 * SECOND, false);
        let gone = start + SECOND + AWAY_LIMIT;
        assert_eq!(watchdog.deadline(), gone);
        assert_eq!(watchdog.due(gone - MOMENT), None);
        assert_eq!(watchdog.due(gone), Some(Due::Gone));
        watchdog.peer_present();
        assert_eq!(watchdog.due(gone), None);
    }
}

#[test]
fn whom_the_server_misses_lives_on_with_its_path_alone() {
    let start = Instant::now();
    let mut watchdog = connected(start);
    watchdog.peer_missed(start, false);
    let later = start + AWAY_LIMIT;
    assert_eq!(watchdog.due(later), Some(Due::Ping));
    assert_eq!(watchdog.due(later), None);

    let mut watchdog = connected(start);
    watchdog.peer_missed(start, false);
    watchdog.path_lost(start + 5 * SECOND);
    assert_eq!(watchdog.due(later), Some(Due::Gone));
    watchdog.path_found(later);
    assert_eq!(watchdog.due(later), Some(Due::Ping));
}

#[test]
fn phases_never_go_back() {
    let start = Instant::now();
    let mut watchdog = watchdog(start);
    watchdog.reached(start, Wait::Dtls);
    watchdog.reached(start + SECOND, Wait::Ice);
    assert_eq!(
        watchdog.due(start + DTLS_LIMIT),
        Some(Due::Expired(Wait::Dtls))
    );
}

#[test]
fn a_connected_session_pings_and_lives_while_it_hears() {
    let start = Instant::now();
    let mut watchdog = connected(start);
    for beat in 1..100 {
        let now = start + Healing::default().heartbeat * beat;
        assert_eq!(watchdog.deadline(), now);
        assert_eq!(watchdog.due(now), Some(Due::Ping));
        watchdog.heard(now);
        assert_eq!(watchdog.interruption(), None);
    }
}

#[test]
fn a_lost_path_restarts_ice_until_it_is_found_or_the_time_is_over() {
    let start = Instant::now();
    for (polite, first) in [(false, 3), (true, 6)] {
        for found in [None, Some(40 * SECOND)] {
            let mut watchdog = connected(start);
            watchdog.set_polite(polite);
            watchdog.path_lost(start);
            watchdog.path_lost(start + SECOND);
            let mut restarts = Vec::new();
            let mut now = start;
            let end = start + found.unwrap_or(119 * SECOND);
            while now < end {
                match watchdog.due(now) {
                    Some(Due::Restart) => restarts.push((now - start).as_secs()),
                    Some(Due::Ping) => {}
                    None => now += SECOND,
                    other => panic!("{other:?} after {:?}", now - start),
                }
            }
            assert_eq!(restarts[..3], [first, first + 6, first + 12]);
            assert_eq!(
                watchdog.interruption(),
                Some((start, start + 120 * SECOND, Cause::PathLost))
            );
            if found.is_none() {
                assert_eq!(
                    watchdog.due(start + 120 * SECOND),
                    Some(Due::Expired(Wait::Heartbeat))
                );
                continue;
            }
            assert!(watchdog.path_found(now));
            assert_eq!(watchdog.interruption(), None);
            assert_eq!(watchdog.due(now), Some(Due::Ping), "at once");
            let still = now + 14 * SECOND;
            while let Some(due) = watchdog.due(still) {
                assert_eq!(due, Due::Ping, "the silence is counted anew");
            }
            assert!(!watchdog.path_found(still), "it never went");
        }
    }
}

#[test]
fn a_restart_that_nobody_can_be_told_of_is_tried_again_soon() {
    let start = Instant::now();
    let mut watchdog = connected(start);
    watchdog.path_lost(start);
    let due = start + 3 * SECOND;
    assert_eq!(watchdog.due(due), Some(Due::Restart));
    watchdog.put_off(due);
    assert_eq!(watchdog.due(due + RESTART_CHECK - MOMENT), None);
    assert_eq!(watchdog.due(due + RESTART_CHECK), Some(Due::Restart));
}

#[test]
fn silence_on_a_path_that_works_is_an_interruption_that_any_sign_of_life_ends() {
    let start = Instant::now();
    let mut watchdog = connected(start);
    let silent = start + 15 * SECOND;
    while let Some(due) = watchdog.due(silent) {
        assert_eq!(due, Due::Ping);
    }
    let (since, until, cause) = watchdog.interruption().unwrap();
    assert_eq!((since, cause), (silent, Cause::Silent));
    assert!(!watchdog.path_found(silent + SECOND), "it was never lost");
    while let Some(due) = watchdog.due(until - SECOND) {
        assert_eq!(due, Due::Ping, "ICE has nothing to restart");
    }
    watchdog.heard(until - SECOND);
    assert_eq!(watchdog.interruption(), None);
    // A path that is lost is not found by what was still on its way.
    watchdog.path_lost(until);
    watchdog.heard(until + SECOND);
    assert!(watchdog.interruption().is_some());
}
