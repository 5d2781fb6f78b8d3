use super::*;
use crate::tunnel::frame::Frame;
use futures_util::FutureExt as _;
use tokio::sync::Semaphore;

/// A frame that was left over for the next message, when there was no room for one any more, leaves when there is room again:
/// nothing else may ever become due.
#[tokio::test]
async fn what_was_left_over_is_not_forgotten() {
    let shared = Shared::new(Side::Opener);
    let long = Bytes::from(vec![0; 60_000]);
    {
        let leaving = &mut shared.lock().leaving;
        while leaving.wanted().is_none() {
            leaving.leaves(&long);
        }
        leaving.opened();
        leaving.awaited(1).unwrap();
        assert!(leaving.before().is_some());
        while leaving.has_room() {
            leaving.leaves(&long);
        }
        // Room for less than another message.
        leaving.got(1, 1).unwrap();
    }
    let seat = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
    let (id, _bells) = shared.open(seat, "x").unwrap();
    shared.with(id, |mux| mux.write(id, &[0; 3000])).unwrap();
    shared.lock().leaving.leaves(&long);
    shared.lock().leaving.got(1, 2).unwrap();
    let Next::Message(Road::Lane, first) = shared.next() else {
        panic!("the stream is not opened");
    };
    assert_eq!(first, Frame::new(id, Body::Open("x".into())).write());
    shared.lock().leaving.leaves(&long);
    assert!(matches!(shared.next(), Next::Later), "there is no room");
    // What was rung before is of no use.
    let _ = shared.due.notified().now_or_never();
    let got = Frame::new(1, Body::Lane(Word::Got(10)));
    shared.on_channel(got.write()).unwrap();
    assert!(shared.due.notified().now_or_never().is_some());
    let Next::Message(Road::Lane, second) = shared.next() else {
        panic!("what was left over is lost");
    };
    assert_eq!(second.len(), 3005);
}
