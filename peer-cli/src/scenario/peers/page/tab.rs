//! One page: it is opened, asked, watched, and closed.

use std::time::Duration;

use chromiumoxide::Page;
use chromiumoxide::cdp::browser_protocol::page::{CrashParams, NavigateParams};
use chromiumoxide::cdp::browser_protocol::{
    page::AddScriptToEvaluateOnNewDocumentParams, page::CaptureScreenshotFormat,
};
use chromiumoxide::cdp::js_protocol::runtime::{
    AddBindingParams, EvaluateParams, EventBindingCalled, EventConsoleApiCalled,
    EventExceptionThrown, ExceptionDetails, RemoteObject,
};
use chromiumoxide::error::CdpError;
use chromiumoxide::page::ScreenshotParams;
use futures_util::{Stream, StreamExt as _};
use serde_json::Value;
use tokio::sync::mpsc;

use super::super::Order;
use super::Browsers;
use crate::scenario::inbox::Seen;
use crate::scenario::plan::Act;
use crate::scenario::report::Reporter;
use crate::scenario::timeline::Input;
use crate::scenario::watch;

/// How long a page may take to load, of the time in which all peers start.
const LOAD_LIMIT: Duration = Duration::from_secs(25);

/// How long an answer may take: longer than a promise that is worth waiting for before it is asked again.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How long a picture of it may take, or its end.
const END_LIMIT: Duration = Duration::from_secs(3);

/// Longest text of a console line or an exception that is kept.
const TEXT: usize = 8 << 10;

/// A page that is to be opened.
pub(in super::super::super) struct Tab {
    pub(in super::super::super) url: String,
    pub(in super::super::super) browsers: Browsers,
    pub(in super::super::super) reporter: Reporter,
    pub(in super::super::super) orders: mpsc::Receiver<Order>,
}

/// Opens it, and does what it is told until nobody gives orders any more.
pub(in super::super::super) async fn run(mut tab: Tab) {
    let reporter = tab.reporter.clone();
    let (page, mut events) = match open(&tab).await {
        Ok(opened) => opened,
        Err(why) => return reporter.broken(why).await,
    };
    let loading = load(page.clone(), tab.url.clone());
    tokio::pin!(loading);
    let mut loaded = false;
    loop {
        tokio::select! {
            biased;
            seen = events.next() => match seen {
                Some(seen) => reporter.seen(seen).await,
                None => return reporter.broken("the browser is gone").await,
            },
            done = &mut loading, if !loaded => {
                loaded = true;
                match done {
                    Ok(()) => reporter.tell(Input::Up(reporter.peer)).await,
                    Err(why) => return reporter.broken(why).await,
                }
            }
            order = tab.orders.recv() => match order {
                Some(Order::Ask(expression)) => {
                    let answer = ask(&page, expression, &mut events, &reporter).await;
                    reporter.tell(Input::Answer(answer)).await;
                }
                Some(Order::Act(Act::Leave)) => {
                    leave(page).await;
                    return reporter.done(Ok(())).await;
                }
                Some(Order::Act(Act::Kill)) => {
                    // A page that has crashed never answers.
                    let _ = tokio::time::timeout(END_LIMIT, page.execute(CrashParams::default())).await;
                    leave(page).await;
                    return reporter.done(Ok(())).await;
                }
                Some(Order::Act(_)) => {
                    reporter.done(Err("a page cannot do that".into())).await;
                }
                Some(Order::Picture(path)) => {
                    let shot = ScreenshotParams::builder().format(CaptureScreenshotFormat::Png).build();
                    // What else is kept of it says more.
                    let _ = tokio::time::timeout(END_LIMIT, page.save_screenshot(shot, path)).await;
                }
                None => return leave(page).await,
            },
        }
    }
}

type Events = std::pin::Pin<Box<dyn Stream<Item = Seen> + Send>>;

/// An empty page in which everything is watched.
async fn open(tab: &Tab) -> Result<(Page, Events), String> {
    let page = tab.browsers.page().await?;
    let watching = async {
        let told = page.event_listener::<EventBindingCalled>().await?;
        let console = page.event_listener::<EventConsoleApiCalled>().await?;
        let exceptions = page.event_listener::<EventExceptionThrown>().await?;
        page.enable_runtime().await?;
        page.execute(AddBindingParams::new(watch::BINDING)).await?;
        let script = AddScriptToEvaluateOnNewDocumentParams::new(watch::SCRIPT);
        page.evaluate_on_new_document(script).await?;
        let told = told.filter_map(async |event| {
            let told = (event.name == watch::BINDING).then(|| watch::Event::parse(&event.payload));
            told.flatten().map(Seen::Watched)
        });
        let console = console.map(|event| Seen::Console {
            level: event.r#type.as_ref().to_owned(),
            text: cut(&event.args.iter().map(words).collect::<Vec<_>>().join(" ")),
        });
        let exceptions =
            exceptions.map(|event| Seen::Exception(cut(&thrown(&event.exception_details))));
        let events =
            futures_util::stream::select(told, futures_util::stream::select(console, exceptions));
        Ok::<Events, CdpError>(Box::pin(events))
    };
    let events = watching.await.map_err(|error| error.to_string())?;
    Ok((page, events))
}

async fn load(page: Page, url: String) -> Result<(), String> {
    let navigation = NavigateParams::new(url.as_str());
    let loading = tokio::time::timeout(LOAD_LIMIT, page.goto(navigation)).await;
    match loading {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("{url} cannot be opened: {error}")),
        Err(_) => Err(format!("{url} has not loaded after {LOAD_LIMIT:?}")),
    }
}

/// The value of an expression, as JSON. What happens meanwhile is told.
async fn ask(
    page: &Page,
    expression: String,
    events: &mut Events,
    reporter: &Reporter,
) -> Result<Value, String> {
    let question = EvaluateParams::builder()
        .expression(expression)
        .await_promise(true)
        .return_by_value(true)
        .user_gesture(true)
        .build()?;
    let asking = page.execute(question);
    tokio::pin!(asking);
    let limit = tokio::time::sleep(ANSWER_LIMIT);
    tokio::pin!(limit);
    let answer = loop {
        tokio::select! {
            biased;
            seen = events.next() => match seen {
                Some(seen) => reporter.seen(seen).await,
                None => return Err("the browser is gone".into()),
            },
            answer = &mut asking => break answer,
            () = &mut limit => return Err(format!("it did not answer within {ANSWER_LIMIT:?}")),
        }
    };
    let answer = answer.map_err(|error| error.to_string())?.result;
    match answer.exception_details {
        Some(details) => Err(thrown(&details)),
        None => Ok(answer.result.value.unwrap_or_default()),
    }
}

/// Closes it, as far as the browser still answers.
async fn leave(page: Page) {
    let _ = tokio::time::timeout(END_LIMIT, page.close()).await;
}

fn thrown(details: &ExceptionDetails) -> String {
    let exception = details.exception.as_ref();
    let described = exception.and_then(|exception| exception.description.clone());
    described.unwrap_or_else(|| details.text.clone())
}

/// An argument of `console.log`.
fn words(argument: &RemoteObject) -> String {
    match (&argument.value, &argument.description) {
        (Some(Value::String(text)), _) | (_, Some(text)) => text.clone(),
        (Some(value), _) => value.to_string(),
        (None, None) => argument.r#type.as_ref().to_owned(),
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
