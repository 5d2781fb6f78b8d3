use super::*;
use proptest::prelude::*;

use crate::transfer::record::Packer;

/// Chunks of blocks of these lengths, packed as the reader does.
fn chunks(blocks: &[Vec<usize>]) -> Vec<Vec<Bytes>> {
    let mut number = 0;
    let mut pack = |lengths: &Vec<usize>| {
        let mut packer = Packer::default();
        let mut messages = Vec::new();
        for length in lengths {
            let data = vec![number as u8; *length];
            let emit = |message| {
                messages.push(message);
                true
            };
            packer
                .block((0, number), *length as u32, &mut data.as_slice(), emit)
                .unwrap();
            number += 1;
        }
        packer.flush(|message| {
            messages.push(message);
            true
        });
        messages
    };
    blocks.iter().map(&mut pack).collect()
}

/// A receiver that is as strict as the protocol: one block at a time on a lane, none twice.
#[derive(Default)]
struct Receiver {
    open: BTreeMap<u16, (u32, u32)>,
    done: Vec<u32>,
    taken: BTreeMap<u16, u64>,
}

impl Receiver {
    fn take(&mut self, lane: u16, message: Bytes) {
        *self.taken.entry(lane).or_default() += message.len() as u64;
        for record in Records(message).map(Result::unwrap) {
            let (block, received) = self.open.remove(&lane).unwrap_or((record.block, 0));
            assert_eq!(
                (block, received),
                (record.block, record.offset),
                "lane {lane}"
            );
            assert!(!self.done.contains(&block), "block {block} came twice");
            assert!(
                self.open.values().all(|(other, _)| *other != block),
                "block {block} is on two lanes"
            );
            match record.digest {
                Some(_) => self.done.push(block),
                None => drop(
                    self.open
                        .insert(lane, (block, received + record.data.len() as u32)),
                ),
            }
        }
    }

    /// Takes nothing more from a lane.
    fn end(&mut self, lane: u16) -> u64 {
        self.open.remove(&lane);
        self.taken.get(&lane).copied().unwrap_or(0)
    }
}

/// What happens in one step: a lane sends, the receiver takes, a lane is lost or comes.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Read,
    Send(u16),
    Take(u16),
    Lose(u16),
    Account(u16),
    Add,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Read),
        4 => (0u16..6).prop_map(Fate::Send),
        4 => (0u16..6).prop_map(Fate::Take),
        1 => (1u16..6).prop_map(Fate::Lose),
        1 => (1u16..6).prop_map(Fate::Account),
        1 => Just(Fate::Add),
    ]
}

struct Run {
    book: Book,
    receiver: Receiver,
    unread: VecDeque<(Bytes, bool)>,
    /// Sent and not yet taken.
    flying: BTreeMap<u16, VecDeque<Bytes>>,
    lost: Vec<u16>,
    next: u16,
    now: Instant,
}

impl Run {
    fn step(&mut self, fate: Fate) {
        match fate {
            Fate::Read => {
                if self.book.wants()
                    && let Some((message, ends)) = self.unread.pop_front()
                {
                    self.book.push(message, ends);
                }
            }
            Fate::Send(lane) => {
                if self.book.next(lane).is_some()
                    && let Some(message) = self.book.sent(self.now, lane)
                {
                    self.flying.entry(lane).or_default().push_back(message);
                }
            }
            Fate::Take(lane) => {
                if let Some(message) = self.flying.get_mut(&lane).and_then(VecDeque::pop_front) {
                    self.receiver.take(lane, message);
                    let taken = self.receiver.taken[&lane];
                    self.now += Duration::from_millis(30);
                    self.book.credit(self.now, lane, taken).unwrap();
                }
            }
            Fate::Lose(lane) => {
                if self.book.lost(lane) {
                    self.lost.push(lane);
                    self.flying.remove(&lane);
                }
            }
            Fate::Account(lane) => {
                if let Some(at) = self.lost.iter().position(|lost| *lost == lane) {
                    self.lost.remove(at);
                    let taken = self.receiver.end(lane);
                    self.book.ended(lane, taken).unwrap();
                }
            }
            Fate::Add if self.next < 6 => {
                self.book.add(self.now, self.next);
                self.next += 1;
            }
            Fate::Add => {}
        }
    }
}

proptest! {
    #[test]
    fn every_block_arrives_once_whatever_lanes_die(
        blocks in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![1usize..200, 1usize..150_000], 1..5), 1..8),
        fates in proptest::collection::vec(fate(), 0..300),
        most_ahead in prop_oneof![Just(None), (1u64..200_000).prop_map(Some)],
    ) {
        let chunks = chunks(&blocks);
        let unread = chunks
            .into_iter()
            .flat_map(|chunk| {
                let last = chunk.len() - 1;
                chunk.into_iter().enumerate().map(move |(i, message)| (message, i == last))
            })
            .collect();
        let now = Instant::now();
        let mut book = Book::new(now, true, Duration::ZERO);
        most_ahead.into_iter().for_each(|bytes| book.keep_within(bytes));
        let mut run = Run {
            book,
            receiver: Receiver::default(),
            unread,
            flying: BTreeMap::new(),
            lost: Vec::new(),
            next: 1,
            now,
        };
        for fate in fates {
            run.step(fate);
        }
        // Lane 0 lives, so the rest gets through.
        for lane in run.lost.clone() {
            run.step(Fate::Account(lane));
        }
        for _ in 0..2_000 {
            run.step(Fate::Read);
            for lane in 0..6 {
                run.step(Fate::Send(lane));
                run.step(Fate::Take(lane));
            }
        }
        let all: usize = blocks.iter().map(Vec::len).sum();
        run.receiver.done.sort_unstable();
        prop_assert_eq!(run.receiver.done, (0..all as u32).collect::<Vec<_>>());
        prop_assert!(run.book.lanes.values().all(|track| track.held.is_empty()), "everything is let go");
    }
}

#[test]
fn the_first_lane_serves_only_while_there_is_no_other() {
    let now = Instant::now();
    let mut book = Book::new(now, true, Duration::ZERO);
    assert!(book.wants());
    book.push(Bytes::from_static(b"x"), true);
    assert!(book.next(0).is_some());
    book.add(now, 1);
    assert!(book.wants());
    book.push(Bytes::from_static(b"y"), true);
    assert!(book.next(1).is_some());
    book.lost(1);
    assert_eq!(book.next(1), None);
    assert_eq!(book.extra(), 0);
}

#[test]
fn a_lane_that_is_given_up_delivers_what_it_has_first() {
    let now = Instant::now();
    let mut book = Book::new(now, true, Duration::ZERO);
    book.add(now, 1);
    assert!(book.wants());
    book.push(Bytes::from_static(b"xyz"), true);
    assert_eq!(book.last_extra(), Some(1));
    book.drain(1);
    assert_eq!((book.last_extra(), book.drained()), (None, Vec::new()));
    assert!(book.sent(now, 1).is_some());
    assert_eq!(book.drained(), Vec::<u16>::new());
    book.credit(now, 1, 3).unwrap();
    assert_eq!(book.drained(), vec![1]);
    // Its channel closes, and the receiver says so.
    assert!(!book.lost(1));
    assert_eq!(book.ended(1, 3).unwrap(), 0);
}

#[test]
fn impossible_credit_is_refused() {
    let now = Instant::now();
    let mut book = Book::new(now, true, Duration::ZERO);
    assert!(book.wants());
    book.push(Bytes::from_static(b"xyz"), true);
    book.sent(now, 0);
    assert!(book.credit(now, 0, 4).is_err());
    book.credit(now, 0, 2).unwrap();
    assert!(book.credit(now, 0, 1).is_err());
    assert!(book.ended(0, 1).is_err());
    assert!(book.ended(0, 4).is_err());
    book.credit(now, 9, 1 << 40).unwrap();
}

#[test]
fn a_slow_lane_is_not_run_ahead_of() {
    let mut now = Instant::now();
    let mut book = Book::new(now, true, Duration::ZERO);
    let message = Bytes::from(vec![0; 64 << 10]);
    let mut taken = 0;
    // 100 KiB a second.
    for _ in 0..20 {
        while book.wants() && book.lanes[&0].waiting.len() < 32 {
            book.push(message.clone(), true);
        }
        while book.next(0).is_some() {
            book.sent(now, 0);
        }
        now += Duration::from_millis(640);
        taken += 64 << 10;
        book.credit(now, 0, taken).unwrap();
    }
    let track = &book.lanes[&0];
    assert_eq!(track.limit(), LEAST);
    assert!(track.in_flight() <= FIRST, "{}", track.in_flight());
}

#[test]
fn a_lane_that_is_stuck_is_given_up_only_if_another_one_moves() {
    let now = Instant::now();
    let mut book = Book::new(now, true, Duration::ZERO);
    book.add(now, 1);
    book.add(now, 2);
    for lane in [1, 2] {
        assert!(book.wants());
        book.push(Bytes::from_static(b"xyz"), true);
        book.sent(now, lane);
    }
    book.lost(0);
    let later = now + STALL;
    assert_eq!(book.stalled(later), None, "an outage");
    book.credit(later, 2, 1).unwrap();
    assert_eq!(book.stalled(later), Some(1));
    assert!(book.lost(1));
    assert_eq!(book.stalled(later), None);
}

#[test]
fn the_first_lane_serves_beside_others_on_a_long_path_only() {
    let now = Instant::now();
    for (round_trip, serves) in [(Duration::from_millis(1), false), (LONG, true)] {
        let mut book = Book::new(now, true, round_trip);
        book.add(now, 1);
        for _ in 0..2 {
            assert!(book.wants());
            book.push(Bytes::from_static(b"xyz"), true);
        }
        assert_eq!(book.next(0).is_some(), serves, "{round_trip:?}");
    }
}

#[test]
fn a_receiver_in_order_is_not_run_ahead_of() {
    const MOST: u64 = 1 << 20;
    let now = Instant::now();
    let mut book = Book::new(now, true, LONG);
    book.keep_within(MOST);
    book.add(now, 1);
    let message = Bytes::from(vec![0; 64 << 10]);
    assert!(book.wants());
    book.push(message.clone(), true);
    let stuck = if book.next(0).is_some() { 0 } else { 1 };
    let other = 1 - stuck;
    let mut read = 1;
    let mut run = |book: &mut Book| {
        loop {
            let wanted = book.wants();
            for lane in [stuck, other] {
                while book.next(lane).is_some() {
                    book.sent(now, lane);
                }
            }
            let taken = book.lanes[&other].sent;
            book.credit(now, other, taken).unwrap();
            if read == 100 || !wanted && !book.wants() {
                return read;
            }
            if book.wants() {
                book.push(message.clone(), true);
                read += 1;
            }
        }
    };
    assert_eq!(run(&mut book), MOST / message.len() as u64);
    // What stood still goes on the other lane, and everything behind it.
    assert!(book.lost(stuck));
    book.ended(stuck, 0).unwrap();
    assert_eq!(run(&mut book), 100);
}
