use super::*;
use crate::transfer::swarm::blocks::tests::manifest;

fn pool(blocks: u32) -> Pool {
    let manifest = manifest(&[Some(u64::from(blocks) << 16)]);
    Pool::new(Arc::new(BlockMap::new(&manifest).unwrap()))
}

fn digest(block: u32) -> Digest {
    Digest::of(&block.to_be_bytes())
}

fn know(pool: &mut Pool, blocks: std::ops::Range<u32>) {
    let digests: Vec<Digest> = blocks.clone().map(digest).collect();
    pool.digests(blocks.start, &digests).unwrap();
}

#[test]
fn only_what_is_known_missing_and_there_is_asked_for_and_of_one() {
    let mut pool = pool(20);
    let now = Instant::now();
    pool.add(now, 1);
    pool.add(now, 2);
    pool.has(1, &[Span(0, 10)]).unwrap();
    pool.has(2, &[Span(0, 20)]).unwrap();
    assert_eq!(pool.ask(now, 1, 0), None, "no digest is known");
    know(&mut pool, 0..5);
    pool.got(0);
    assert_eq!(pool.ask(now, 1, 0), Some(1));
    assert_eq!(pool.ask(now, 2, 0), Some(2));
    assert_eq!(pool.ask(now, 2, 999), Some(3));
    assert_eq!(pool.ask(now, 1, 0), Some(4));
    assert_eq!(pool.ask(now, 2, 0), None);
    // One has it no more, one is gone: the others are asked.
    pool.refused(1, 1).unwrap();
    assert_eq!(pool.ask(now, 1, 0), None);
    assert_eq!(pool.ask(now, 2, 0), Some(1));
    pool.remove(2);
    assert_eq!(pool.ask(now, 1, 0), Some(2));
    // Given, with the disk, and wrong: it can be asked for again, and not before.
    assert!(pool.is_asked(now, 1, 2) && !pool.is_asked(now, 1, 3));
    assert_eq!(pool.answered(1, 2), Some(digest(2)));
    assert_eq!(pool.answered(1, 2), None);
    assert_eq!(pool.ask(now, 1, 0), Some(3));
    pool.settled(2);
    assert_eq!(pool.ask(now, 1, 0), Some(2));
}

#[test]
fn what_is_asked_for_is_limited_and_patience_ends() {
    let mut pool = pool(2000);
    let now = Instant::now();
    know(&mut pool, 0..1000);
    know(&mut pool, 1000..2000);
    for helper in 0..8 {
        pool.add(now, helper);
        pool.has(helper, &[Span(0, 2000)]).unwrap();
    }
    let mut asked = 0;
    for helper in 0..8 {
        let count = std::iter::from_fn(|| pool.ask(now, helper, 7)).count();
        assert!(count <= MOST_ASKED && count as u64 * (64 << 10) <= MOST_BYTES);
        asked += count as u64;
    }
    assert_eq!(asked * (64 << 10), MOST_IN_ALL);
    assert_eq!(pool.stalled(now), None);
    assert_eq!(pool.deadline(), Some(now + PATIENCE));
    let later = now + PATIENCE;
    assert!(pool.is_asked(later, 0, 0) || pool.is_asked(later, 0, 64));
    assert_eq!(pool.stalled(later), Some(1));
    (0..8).for_each(|helper| pool.remove(helper));
    assert_eq!((pool.stalled(later), pool.deadline()), (None, None));
}

#[test]
fn others_are_told_once_of_what_they_do_not_have() {
    let mut pool = pool(20);
    let now = Instant::now();
    pool.kept(2);
    pool.got(3);
    pool.got(3);
    pool.add(now, 1);
    pool.has(1, &[Span(5, 1)]).unwrap();
    for block in [4, 5, 6] {
        pool.got(block);
    }
    assert_eq!(pool.news_for(1, 1), [Span(2, 3)]);
    assert_eq!(pool.news_for(1, 9), [Span(6, 1)]);
    assert_eq!(pool.news_for(1, 9), []);
    assert_eq!(pool.news(9), [Span(3, 4)]);
}

#[test]
fn what_no_helper_does() {
    let mut pool = pool(200);
    let now = Instant::now();
    pool.add(now, 1);
    for spans in [
        [Span(200, 1)],
        [Span(0, 201)],
        [Span(1, u32::MAX)],
        [Span(5, 0)],
    ] {
        assert!(pool.has(1, &spans).is_err(), "{spans:?}");
    }
    assert!(pool.refused(1, 0).is_err(), "it was not asked for it");
    assert!(pool.wants(1, 0).is_err(), "it is not here");
    assert!(pool.wants(1, 4_000_000_000).is_err());
    pool.has(1, &[Span(0, 2)]).unwrap();
    assert!(
        pool.has(1, &[Span(2, 2), Span(3, 1)]).is_err(),
        "it says it twice"
    );
    (0..200).for_each(|block| pool.got(block));
    for block in 0..MOST_WANTED as u32 {
        pool.wants(1, block).unwrap();
        assert!(pool.wants(1, block).is_err());
    }
    assert!(pool.wants(1, 199).is_err(), "it wants too much");
    assert!(pool.is_wanted());
    (0..MOST_WANTED as u32).for_each(|block| pool.served(1, block));
    assert!(!pool.is_wanted());
    for (from, count) in [(199, 2), (200, 1), (u32::MAX, 1)] {
        let error = pool.digests(from, &vec![digest(0); count]).unwrap_err();
        assert!(error.to_string().contains("do not exist"), "{error}");
    }
    // Nobody of this number.
    assert!(pool.has(9, &[Span(0, 1)]).is_ok() && pool.ask(now, 9, 0).is_none());
}
