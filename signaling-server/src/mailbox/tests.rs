use super::{queue::FRAME_OVERHEAD, *};

#[test]
fn numbers_of_somebody_else_have_to_fit() {
    for numbered in [true, false] {
        let mailbox = Mailbox::from(numbered, 7);
        let carrier = mailbox.attach(None, None).unwrap();
        assert_eq!(mailbox.push_as(8, chat(8)), Fit::Gap);
        assert_eq!(mailbox.push_as(7, chat(7)), Fit::Next);
        assert_eq!(mailbox.push_as(7, chat(7)), Fit::Known);
        assert_eq!(mailbox.push_as(8, chat(8)), Fit::Next);
        assert_eq!(mailbox.progress(), (6, 8));
        assert_eq!(mailbox.unfinished().0, 7);
        let expected: &[u64] = if numbered { &[7, 8] } else { &[0, 0] };
        assert_eq!(taken(&mailbox, carrier), expected);
        if numbered {
            assert_eq!(
                mailbox.unfinished(),
                (7, vec![r#"{"n":7}"#.into(), r#"{"n":8}"#.into()])
            );
            mailbox.acknowledge(8).unwrap();
        }
        assert!(mailbox.done_bytes() > 0);
        assert_eq!(mailbox.progress(), (8, 8));
        assert_eq!(
            (mailbox.done_bytes(), mailbox.unfinished()),
            (0, (9, Vec::new()))
        );
    }
}

#[test]
fn who_is_dismissed_may_come_back() {
    let (mailbox, first) = open(true);
    mailbox.push(chat(1));
    mailbox.dismiss(Closing::draining());
    assert_eq!(mailbox.take(first).unwrap().unwrap_err().close_code, 4503);
    let second = mailbox.attach(Some(0), None).unwrap();
    assert_eq!(taken(&mailbox, second), [1]);
}

fn text(length: usize) -> Frame {
    Frame(vec![b'x'; length].into())
}

fn open(numbered: bool) -> (Mailbox, CarrierId) {
    let mailbox = Mailbox::new(numbered);
    let carrier = mailbox.attach(None, None).unwrap();
    (mailbox, carrier)
}

fn chat(number: u64) -> Frame {
    Frame(format!("{{\"n\":{number}}}").into_bytes().into())
}

/// The numbers of everything that can be taken now.
fn taken(mailbox: &Mailbox, carrier: CarrierId) -> Vec<u64> {
    std::iter::from_fn(|| mailbox.take(carrier))
        .map(|outgoing| outgoing.unwrap().seq.unwrap_or(0))
        .collect()
}

#[tokio::test]
async fn keeps_order_and_survives_cancellation() {
    let (mailbox, carrier) = open(false);
    mailbox.push(text(1));
    mailbox.push(text(2));
    assert_eq!(mailbox.next(carrier).await.unwrap().frame.len(), 1);
    assert_eq!(mailbox.next(carrier).await.unwrap().frame.len(), 2);
    tokio::select! {
        biased;
        _ = mailbox.next(carrier) => panic!("there is nothing"),
        () = std::future::ready(()) => {}
    }
    mailbox.push(text(3));
    assert_eq!(mailbox.next(carrier).await.unwrap().frame.len(), 3);
    assert_eq!(mailbox.lock().bytes, 0);
}

#[tokio::test]
async fn overflow_frees_the_memory_and_is_final() {
    let (mailbox, carrier) = open(false);
    let frame = text(64 * 1024);
    for _ in 0..3 {
        assert!(!mailbox.push(frame.clone()));
    }
    let rest = OUTBOX_BYTES - 3 * 65_536 - 4 * FRAME_OVERHEAD;
    assert!(!mailbox.push(text(rest)), "exactly full");
    assert!(mailbox.push(text(0)));
    assert_eq!(mailbox.over(carrier).await.reason, "slow-consumer");
    assert!(!mailbox.push(frame));
    assert_eq!(mailbox.lock().entries.capacity(), 0);
    for _ in 0..2 {
        let closing = mailbox.next(carrier).await.unwrap_err();
        assert_eq!(closing.close_code, 4008);
    }
    let refusal = mailbox.attach(Some(0), None).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::ResumeFailed);
}

#[test]
fn empty_frames_are_bounded_too() {
    for numbered in [false, true] {
        let (mailbox, carrier) = open(numbered);
        for _ in 0..10_000 {
            mailbox.push(text(0));
        }
        assert!(matches!(mailbox.take(carrier), Some(Err(_))));
    }
}

#[test]
fn what_was_not_acknowledged_comes_again_behind_the_answer() {
    let (mailbox, first) = open(true);
    for number in 1..=4 {
        mailbox.push(chat(number));
    }
    mailbox.push_aside(&ServerMessage::Pong);
    assert_eq!(taken(&mailbox, first), [1, 2, 3, 4, 0]);
    mailbox.acknowledge(2).unwrap();
    mailbox.push_aside(&ServerMessage::Pong);
    mailbox.push(chat(5));
    let second = mailbox.attach(Some(3), Some(&ServerMessage::Pong)).unwrap();
    assert_eq!(taken(&mailbox, second), [0, 4, 5]);
    let closing = mailbox.take(first).unwrap().unwrap_err();
    assert_eq!((closing.close_code, closing.reason), (4411, "taken-over"));
    mailbox.acknowledge(5).unwrap();
    assert_eq!(mailbox.lock().bytes, 0);
    mailbox.push(chat(6));
    let again = mailbox.take(second).unwrap().unwrap();
    assert_eq!(again.frame.as_str(), r#"{"seq":6,"n":6}"#);
}

#[test]
fn acknowledgements_that_cannot_be() {
    let (mailbox, _) = open(true);
    mailbox.push(chat(1));
    mailbox.push(chat(2));
    let code = |result: Result<_, Refusal>| result.map(|_| ()).unwrap_err().code;
    assert_eq!(
        code(mailbox.acknowledge(3).map(|()| 0)),
        ErrorCode::BadMessage
    );
    assert_eq!(
        code(mailbox.attach(Some(u64::MAX - 1), None)),
        ErrorCode::BadMessage
    );
    mailbox.acknowledge(2).unwrap();
    mailbox.acknowledge(1).unwrap();
    assert_eq!(code(mailbox.attach(Some(1), None)), ErrorCode::ResumeFailed);
    mailbox.attach(Some(2), None).unwrap();
}
