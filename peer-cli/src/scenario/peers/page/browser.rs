//! One Chromium for all pages of a run: each page has a context of its own, with no storage in common.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chromiumoxide::browser::{Browser, BrowserConfig};
use chromiumoxide::cdp::browser_protocol::target::{
    CreateBrowserContextParams, CreateTargetParams,
};
use chromiumoxide::handler::viewport::Viewport;
use chromiumoxide::{Handler, Page};
use futures_util::StreamExt as _;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;

/// How long a browser may take to start: some seconds on a machine that is busy.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long it may take to end by itself before it is killed.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Where Chromium is looked for; `CHROMIUM` goes before.
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// Starts a browser when the first page needs one.
#[derive(Clone, Default)]
pub(crate) struct Browsers(Arc<Mutex<Option<Running>>>);

struct Running {
    browser: Browser,
    /// Moves its messages.
    _handler: AbortOnDropHandle<()>,
    /// Its profile. Removed last.
    _profile: TempDir,
}

impl Browsers {
    /// A new page without anything in it, in a context of its own.
    pub(super) async fn page(&self) -> Result<Page, String> {
        let mut running = self.0.lock().await;
        let running = match &mut *running {
            Some(running) => running,
            none => none.insert(Running::start().await?),
        };
        let browser = &running.browser;
        let context = CreateBrowserContextParams::builder()
            .dispose_on_detach(true)
            .build();
        let context = browser.create_browser_context(context).await;
        let context = context.map_err(|error| broken(&error))?;
        let blank = CreateTargetParams::builder()
            .url("about:blank")
            .browser_context_id(context)
            .build()?;
        browser
            .new_page(blank)
            .await
            .map_err(|error| broken(&error))
    }

    /// Ends the browser, if there is one.
    pub(crate) async fn end(&self) {
        if let Some(mut running) = self.0.lock().await.take() {
            let ending = async {
                running.browser.close().await.ok();
                running.browser.wait().await.ok();
            };
            if tokio::time::timeout(END_LIMIT, ending).await.is_err() {
                running.browser.kill().await;
            }
        }
    }
}

impl Running {
    async fn start() -> Result<Self, String> {
        let profile = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut config = BrowserConfig::builder()
            .chrome_executable(executable()?)
            .new_headless_mode()
            .user_data_dir(profile.path())
            .launch_timeout(START_LIMIT)
            .viewport(Viewport::default())
            // Cameras and microphones that are not there, and nobody who has to allow them.
            .arg("use-fake-device-for-media-stream")
            .arg("use-fake-ui-for-media-stream")
            .arg(("autoplay-policy", "no-user-gesture-required"))
            // Peers in this process look names up, but do not hear mDNS of a browser without permissions.
            .arg(("disable-features", "WebRtcHideLocalIpsWithMdns"))
            .arg("disable-gpu")
            .arg("disable-quic")
            .arg("disable-component-update");
        if is_root() {
            // Chromium refuses to run as root otherwise, which is how containers run it.
            config = config.no_sandbox();
        }
        let (browser, handler) = Browser::launch(config.build()?)
            .await
            .map_err(|error| broken(&error))?;
        Ok(Self {
            browser,
            _handler: AbortOnDropHandle::new(tokio::spawn(handle(handler))),
            _profile: profile,
        })
    }
}

async fn handle(mut handler: Handler) {
    // Messages of a newer browser that are not understood are nothing that anybody waits for.
    while handler.next().await.is_some() {}
}

fn executable() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("CHROMIUM").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path)
        .flat_map(|directory| NAMES.map(|name| directory.join(name)))
        .filter(|candidate| candidate.is_file());
    found.next().ok_or_else(|| {
        "no Chromium was found: install the package chromium, or name one in the variable CHROMIUM"
            .into()
    })
}

fn broken(error: &chromiumoxide::error::CdpError) -> String {
    format!("the browser: {error}")
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}
