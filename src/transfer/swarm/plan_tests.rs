use super::*;
use crate::transfer::sender::BlockId;
use crate::transfer::swarm::blocks::tests::manifest;

const KIB: u64 = 1 << 10;

fn plan(blocks: u64) -> Plan {
    let manifest = Arc::new(manifest(&[Some(blocks * 64 * KIB)]));
    let map = Arc::new(BlockMap::new(&manifest).unwrap());
    Plan::new(manifest, map)
}

fn digest(block: u32) -> Digest {
    Digest::of(&block.to_be_bytes())
}

/// Two receivers that exchange blocks, and reach each other.
fn pair(plan: &mut Plan) {
    assert_eq!(plan.join(0, true, &Kept::default()), Ok(vec![]));
    assert_eq!(plan.join(1, true, &Kept::default()), Ok(vec![0]));
    plan.link(0, 1, true);
    plan.link(1, 0, true);
}

/// Everything that a receiver is given at once.
fn given(plan: &mut Plan, now: Instant, member: u32, most: usize) -> Vec<u32> {
    let mut given = Vec::new();
    while given.len() < most
        && let Next::Block(block) = plan.next(now, member)
    {
        given.push(block);
        assert!(plan.was_sent(member, block));
    }
    given
}

#[test]
fn every_block_leaves_once_while_the_receivers_bring_each_other_the_rest() {
    let mut plan = plan(100);
    let now = Instant::now();
    pair(&mut plan);
    let mut left = Vec::new();
    for _ in 0..10 {
        for member in [0, 1] {
            let blocks = given(&mut plan, now, member, 5);
            let spans: Vec<_> = blocks.iter().map(|block| Span(*block, 1)).collect();
            // What one verifies, the other has a moment later.
            assert!(plan.got(now, member, &spans) && plan.got(now, 1 - member, &spans));
            left.extend(blocks);
        }
    }
    left.sort_unstable();
    assert!(left.iter().copied().eq(0..100));
    for member in [0, 1] {
        assert_eq!(plan.next(now, member), Next::Wait);
    }
}

#[test]
fn what_others_bring_soon_is_left_to_them_and_the_rest_is_not() {
    let mut plan = plan(100);
    let now = Instant::now();
    pair(&mut plan);
    assert_eq!(given(&mut plan, now, 0, 90).len(), 90);
    assert!(plan.got(now, 0, &[Span(0, 90)]));
    // The other one gets what is new, and then, from the other end, what would take long otherwise.
    assert_eq!(given(&mut plan, now, 1, 10), Vec::from_iter(90..100));
    assert_eq!(given(&mut plan, now, 1, 1), [89]);
    // It gets as much from its helper in a second as is left.
    assert!(plan.got(now, 1, &[Span(0, 45)]));
    assert_eq!(plan.next(now, 1), Next::Wait);
    // And then nothing.
    let later = now + 2 * SOON;
    assert_eq!(given(&mut plan, later, 1, 1000).len(), 44);
    assert_eq!(plan.next(later, 1), Next::Wait);
}

#[test]
fn who_does_not_share_gets_everything() {
    let mut plan = plan(20);
    let now = Instant::now();
    assert_eq!(plan.join(0, false, &Kept::default()), Ok(vec![]));
    assert_eq!(plan.join(1, true, &Kept::default()), Ok(vec![]));
    // The one who shares begins with what is new; the other one gets them in order.
    assert_eq!(given(&mut plan, now, 0, 5), Vec::from_iter(0..5));
    assert_eq!(given(&mut plan, now, 1, 5), Vec::from_iter(5..10));
    assert_eq!(plan.whole_for(0), None);
    for (member, rest) in [
        (0, Vec::from_iter(5..20)),
        (1, Vec::from_iter((0..5).chain(10..20))),
    ] {
        let blocks = given(&mut plan, now, member, 100);
        assert_eq!(blocks, rest);
        for block in 0..20 {
            plan.read(block, digest(block)).unwrap();
        }
        assert_eq!(plan.tell(member), vec![]);
        // The other one may get what is left from others.
        assert!(plan.whole().is_some() && plan.whole_for(0).is_some());
        assert_eq!(plan.whole_for(1), plan.whole());
    }
    // It was not introduced, so it reaches nobody, whatever it says.
    plan.link(1, 0, true);
    assert!(!plan.are_introduced(0, 1) && !plan.are_introduced(1, 7));
}

#[test]
fn what_goes_with_a_receiver_is_sent_again() {
    let mut plan = plan(10);
    let now = Instant::now();
    pair(&mut plan);
    assert_eq!(given(&mut plan, now, 0, 10).len(), 10);
    assert!(plan.got(now, 0, &[Span(0, 10)]));
    assert!(plan.got(now, 1, &[Span(0, 4)]));
    assert!(!plan.got(now, 1, &[Span(3, 1)]), "it said so before");
    plan.leave(0);
    assert_eq!(given(&mut plan, now, 1, 100), Vec::from_iter(4..10));
    // Somebody new is not told of the one who left.
    assert_eq!(plan.join(2, true, &Kept::default()), Ok(vec![1]));
}

#[test]
fn what_was_kept_counts_and_must_be_what_it_is() {
    let mut plan = plan(10);
    let now = Instant::now();
    let mut kept = Kept::default();
    for block in 0..6 {
        kept.insert(BlockId { file: 0, block }, digest(block));
    }
    assert_eq!(plan.join(0, true, &kept), Ok(vec![]));
    assert_eq!(given(&mut plan, now, 0, 100), Vec::from_iter(6..10));
    kept.insert(BlockId { file: 0, block: 0 }, digest(7));
    assert_eq!(plan.join(1, true, &kept), Err(Changed));
    assert_eq!(plan.read(3, digest(4)), Err(Changed));
}

#[test]
fn digests_are_told_to_those_who_do_not_get_the_block_itself() {
    let mut plan = plan(3000);
    let now = Instant::now();
    pair(&mut plan);
    for block in given(&mut plan, now, 0, 2500) {
        let last = plan.read(block, digest(block)).unwrap();
        assert!(!last);
    }
    assert_eq!(plan.tell(0), vec![]);
    let mut told = Vec::new();
    loop {
        let news = plan.tell(1);
        if news.is_empty() {
            break;
        }
        let count: usize = news.iter().map(|(_, digests)| digests.len()).sum();
        assert!(count <= MOST_DIGESTS);
        for (from, digests) in news {
            for (number, known) in (from..).zip(digests) {
                assert_eq!(known, digest(number));
                told.push(number);
            }
        }
    }
    assert!(told.into_iter().eq(0..2500));
    assert_eq!(plan.whole(), None);
    for block in 2500..3000 {
        let last = plan.read(block, digest(block)).unwrap();
        assert_eq!(last, block == 2999);
    }
    let mut file = FileDigest::default();
    (0..3000).for_each(|block| file.add(block, digest(block)));
    let file = file.finish();
    assert_eq!(plan.file(0), Some(file));
    let mut whole = TransferDigest::default();
    whole.file("0", 3000 * 64 * KIB, file);
    assert_eq!(plan.whole(), Some(whole.finish()));
}

#[test]
fn nobody_is_introduced_to_too_many_and_nothing_is_everything_of_an_empty_transfer() {
    let mut plan = plan(0);
    assert!(plan.whole().is_some());
    let mut introduced = 0;
    for member in 0..15 {
        let others = plan.join(member, true, &Kept::default()).unwrap();
        assert!(others.len() <= MOST_HELPERS);
        introduced += others.len();
        assert_eq!(plan.next(Instant::now(), member), Next::Wait);
    }
    assert!(introduced <= 15 * MOST_HELPERS / 2, "{introduced}");
    assert!(!plan.got(Instant::now(), 0, &[Span(0, 1)]));
}
