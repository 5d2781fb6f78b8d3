//! Senders that stop anywhere, and the order in which channels arrive.

use peerline::transfer::{Channels, Code};

use super::script::*;
use crate::harness::*;

#[tokio::test]
async fn the_script_is_right_when_nothing_is_wrong() {
    let good = [accepted(), vec![whole(1, 0, b"abc"), complete(digest())]].concat();
    let outcome = run(good).await;
    assert_eq!(outcome.receiver.result.unwrap().digest, digest());
    let receipt = outcome.heard.last().unwrap();
    assert!(receipt.contains(r#""type":"receipt""#) && receipt.contains(&digest().to_string()));
}

#[tokio::test]
async fn lanes_may_be_slower_than_control() {
    let late = [accepted(), vec![complete(digest()), whole(1, 0, b"abc")]].concat();
    assert!(run(late).await.receiver.result.is_ok());
    // Also with unknown messages, and with unknown fields.
    let future = say(r#"{"type":"from-the-future","x":{"y":[1,2]}}"#);
    let mut mixed: Vec<Step> = vec![future.clone()];
    for step in [accepted(), vec![whole(1, 0, b"abc"), complete(digest())]].concat() {
        mixed.extend([step, future.clone()]);
    }
    assert!(run(mixed).await.receiver.result.is_ok());
}

/// The script above, cut after every step: by closing, by a cancel, and by closing the lane alone.
#[tokio::test]
async fn it_may_end_anywhere() {
    let good = [accepted(), vec![whole(1, 0, b"abc")]].concat();
    for length in 0..=good.len() {
        let steps = &good[..length];
        let (parent, out) = place();
        let before = snapshot(parent.path());
        let (near, far) = channels();
        let close = async {
            let mut near = near;
            for step in steps {
                match step {
                    Say(text) => near.control.send_text(text.clone()).await.unwrap(),
                    Lane(bytes) => near.lane.send(bytes.clone().into()).await.unwrap(),
                    _ => drop(near.control.recv().await),
                }
            }
        };
        let both = async { tokio::join!(close, run_receiver(far, options(&out))) };
        let ((), receiver) = deadline(both).await;
        assert_eq!(
            receiver.result.unwrap_err().code(),
            Code::Closed,
            "after {length}"
        );
        assert_eq!(in_place(parent.path()), before, "after {length}");

        let cancel = say(r#"{"type":"cancel","code":"cancelled","message":"enough"}"#);
        check("cancel", [steps, &[cancel]].concat(), Code::Cancelled).await;
    }
}

#[tokio::test]
async fn a_lane_that_ends_alone() {
    tokio::join!(
        check("lane", [accepted(), vec![CloseLane]].concat(), Code::Closed),
        check("lane before the offer", vec![CloseLane], Code::Closed)
    );
    // The reason comes after the end of the lane.
    let cancel = say(r#"{"type":"cancel","code":"source-changed","message":""}"#);
    check(
        "late reason",
        [accepted(), vec![CloseLane, cancel]].concat(),
        Code::SourceChanged,
    )
    .await;
}

#[tokio::test]
async fn a_label_that_is_not_ours() {
    use peerline::channel::Channel;
    let (_near, control) = Channel::pair("files/../../etc");
    let (_lane, lane) = Channel::pair("lane/../../etc/0");
    let (_parent, out) = place();
    let side = deadline(run_receiver(Channels { control, lane }, options(&out))).await;
    assert_eq!(side.result.unwrap_err().code(), Code::Protocol);
}
