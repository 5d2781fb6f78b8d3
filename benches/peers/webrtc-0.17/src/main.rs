//! The data channel of `webrtc` 0.17: its defaults, and backpressure as its example of flow control does it.

use bytes::Bytes;
use peers_common::{ANSWER, HIGH_WATER, LOW_WATER, MESSAGE, Role, arguments, put, report, wait};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::{Notify, mpsc};
use webrtc::api::APIBuilder;
use webrtc::api::setting_engine::SettingEngine;
use webrtc::data_channel::RTCDataChannel;
use webrtc::peer_connection::RTCPeerConnection;
use webrtc::peer_connection::configuration::RTCConfiguration;
use webrtc::peer_connection::sdp::session_description::RTCSessionDescription;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = arguments();
    let mut settings = SettingEngine::default();
    settings.set_include_loopback_candidate(true);
    let api = APIBuilder::new().with_setting_engine(settings).build();
    let peer = api.new_peer_connection(RTCConfiguration::default()).await?;
    let (dir, bytes) = (&arguments.dir, arguments.bytes);
    match arguments.role {
        Role::Send => {
            let channel = peer.create_data_channel("data", None).await?;
            let opened = Arc::new(Notify::new());
            let open = opened.clone();
            channel.on_open(Box::new(move || {
                open.notify_one();
                Box::pin(async {})
            }));
            let (answers, mut answered) = mpsc::channel(1);
            channel.on_message(Box::new(move |message| {
                let _ = answers.try_send(message.data);
                Box::pin(async {})
            }));
            let offer = peer.create_offer(None).await?;
            put(dir, "offer", &described(&peer, offer).await?);
            let answer = wait(dir, "answer");
            peer.set_remote_description(serde_json::from_str(&answer)?)
                .await?;
            opened.notified().await;
            send(&channel, bytes).await?;
            assert_eq!(answered.recv().await.as_deref(), Some(ANSWER));
            put(dir, "done", "");
        }
        Role::Receive => {
            let received = Arc::new(AtomicUsize::new(0));
            let (all, mut complete) = mpsc::channel(1);
            let begun = Arc::new(std::sync::OnceLock::new());
            peer.on_data_channel(Box::new(move |channel| {
                let (received, all, begun) = (received.clone(), all.clone(), begun.clone());
                let answering = channel.clone();
                channel.on_message(Box::new(move |message| {
                    let begun = *begun.get_or_init(Instant::now);
                    let count = message.data.len();
                    let sum = received.fetch_add(count, Ordering::Relaxed) + count;
                    if sum >= bytes {
                        let _ = all.try_send((answering.clone(), begun.elapsed()));
                    }
                    Box::pin(async {})
                }));
                Box::pin(async {})
            }));
            let offer = wait(dir, "offer");
            peer.set_remote_description(serde_json::from_str(&offer)?)
                .await?;
            let answer = peer.create_answer(None).await?;
            put(dir, "answer", &described(&peer, answer).await?);
            let (channel, elapsed) = complete.recv().await.ok_or("no data")?;
            channel.send(&Bytes::from_static(ANSWER)).await?;
            wait(dir, "done");
            report(bytes, elapsed);
        }
    }
    peer.close().await?;
    Ok(())
}

/// Applies our description, and returns it with all candidates.
async fn described(peer: &RTCPeerConnection, ours: RTCSessionDescription) -> Result<String> {
    let mut gathered = peer.gathering_complete_promise().await;
    peer.set_local_description(ours).await?;
    let _ = gathered.recv().await;
    let whole = peer.local_description().await.ok_or("no description")?;
    Ok(serde_json::to_string(&whole)?)
}

async fn send(channel: &RTCDataChannel, bytes: usize) -> Result<()> {
    let drained = Arc::new(Notify::new());
    let low = drained.clone();
    channel.set_buffered_amount_low_threshold(LOW_WATER).await;
    channel
        .on_buffered_amount_low(Box::new(move || {
            low.notify_one();
            Box::pin(async {})
        }))
        .await;
    let message = Bytes::from(vec![7; MESSAGE]);
    let mut left = bytes;
    while left > 0 {
        let length = left.min(MESSAGE);
        channel.send(&message.slice(..length)).await?;
        left -= length;
        if channel.buffered_amount().await > HIGH_WATER {
            drained.notified().await;
        }
    }
    Ok(())
}
