//! Logs: on stderr, off by default, for those who ask with `-v`.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::uptime;

use crate::ui::Ui;

/// Overrides `-v` with the filter syntax of `tracing` (`peerline=debug,rtc_ice=trace`).
const FILTER: &str = "PEERLINE_LOG";

/// Starts logging; `verbosity` is the number of `-v`. Times are since the start of the process, so
/// that `-v` shows how long each phase took.
pub(crate) fn start(verbosity: u8, ui: Ui) {
    let filter = match std::env::var(FILTER) {
        Ok(filter) if !filter.is_empty() => EnvFilter::try_new(&filter).unwrap_or_else(|_| {
            ui.note(&format!("{FILTER} is not a log filter and was ignored"));
            EnvFilter::new(directives(verbosity))
        }),
        _ => EnvFilter::new(directives(verbosity)),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(uptime())
        .with_ansi(false)
        .with_target(verbosity > 1)
        .with_writer(move || ui.log());
    // Fails only if logging was started before, which only tests could do.
    let _ = subscriber.try_init();
}

/// What the user sees is said through `ui`; a log line by default would only repeat it. The WebRTC
/// engine logs routine events (a peer that closes) as errors, hence its own bar.
fn directives(verbosity: u8) -> &'static str {
    match verbosity {
        0 => "off",
        1 => "error,peer_cli=info,peerline=info,signaling_server=info,webrtc=error,rtc=error",
        2 => "warn,peer_cli=debug,peerline=debug,signaling_server=debug,webrtc=info,rtc=info",
        _ => "debug,peer_cli=trace,peerline=trace,signaling_server=trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verbosity_is_a_valid_filter() {
        for verbosity in [0, 1, 2, 3, 255] {
            let text = directives(verbosity);
            assert!(EnvFilter::try_new(text).is_ok(), "{text}");
        }
    }
}
