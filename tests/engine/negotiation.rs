//! Offers, answers and candidates in unusual orders.

use webrtc::peer_connection::RTCSessionDescription;

use crate::harness::*;

#[tokio::test(flavor = "multi_thread")]
async fn candidates_before_their_description_are_refused_and_the_mid_may_be_missing() {
    let (mut left, right) = (plain_peer().await, plain_peer().await);
    left.connection
        .create_data_channel("control", control())
        .await
        .unwrap();
    let offer = left.connection.create_offer(None).await.unwrap();
    left.connection
        .set_local_description(offer.clone())
        .await
        .unwrap();
    let mut candidate = within("a candidate", left.candidates.recv()).await.unwrap();
    candidate.sdp_mid = None;
    candidate.sdp_mline_index = Some(0);
    assert!(
        right
            .connection
            .add_ice_candidate(candidate.clone())
            .await
            .is_err()
    );
    right
        .connection
        .set_remote_description(offer)
        .await
        .unwrap();
    right.connection.add_ice_candidate(candidate).await.unwrap();
    left.connection.close().await.unwrap();
    right.connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colliding_offer_needs_an_explicit_rollback() {
    let (left, right) = (plain_peer().await, plain_peer().await);
    let mut offers = Vec::new();
    for peer in [&left, &right] {
        peer.connection
            .create_data_channel("control", control())
            .await
            .unwrap();
        let offer = peer.connection.create_offer(None).await.unwrap();
        peer.connection
            .set_local_description(offer.clone())
            .await
            .unwrap();
        offers.push(offer);
    }
    let collision = offers.swap_remove(1);
    assert!(
        left.connection
            .set_remote_description(collision.clone())
            .await
            .is_err()
    );
    let rollback = RTCSessionDescription::rollback(None).unwrap();
    left.connection
        .set_local_description(rollback)
        .await
        .unwrap();
    left.connection
        .set_remote_description(collision)
        .await
        .unwrap();
    left.connection.create_answer(None).await.unwrap();
    left.connection.close().await.unwrap();
    right.connection.close().await.unwrap();
}
