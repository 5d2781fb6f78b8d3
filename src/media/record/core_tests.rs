use super::*;
use bytes::Bytes;

struct Run {
    core: Core,
    begin: Instant,
    outputs: Vec<Output>,
}

const VP8_KEY: &[u8] = &[0x50, 0x42, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];

impl Run {
    fn new(codecs: &[Codec]) -> Self {
        let mut core = Core::new("test");
        for (id, codec) in codecs.iter().enumerate() {
            core.add(id as u64, *codec);
        }
        let (begin, outputs) = (Instant::now(), Vec::new());
        Self {
            core,
            begin,
            outputs,
        }
    }

    /// A frame that arrives at `millis`, with its ticks, and a report if the sender has said one.
    fn frame(&mut self, millis: u64, id: u64, ticks: i64, key: bool, clock: Option<(i64, u64)>) {
        let arrived = self.begin + Duration::from_millis(millis);
        let data = Bytes::from_static(if key { VP8_KEY } else { &[0x11; 10] });
        let frame = Received {
            data,
            key,
            ticks,
            arrived,
        };
        let clock = clock.map(|(ticks, millis)| SenderClock {
            ticks,
            at: Duration::from_secs(4_000_000_000) + Duration::from_millis(millis),
        });
        self.outputs
            .extend(self.core.frame(arrived, id, &frame, clock));
    }

    fn files(&self) -> usize {
        let begins = self.outputs.iter();
        begins
            .filter(|output| matches!(output, Output::Begin(_)))
            .count()
    }
}

/// Times of blocks by track, in a file whose clusters are all shorter than a minute.
fn blocks(outputs: &[Output]) -> Vec<(u8, u64)> {
    let mut times = Vec::new();
    let mut cluster = 0;
    for output in outputs {
        let Output::Bytes(bytes) = output else {
            continue;
        };
        let mut rest = bytes.as_slice();
        if rest.starts_with(&[0x1f, 0x43, 0xb6, 0x75]) {
            let length = usize::from(rest[13] & 0x7f);
            cluster = rest[14..14 + length]
                .iter()
                .fold(0, |t, b| t << 8 | u64::from(*b));
            rest = &rest[14 + length..];
        }
        let offset = i16::from_be_bytes([rest[3], rest[4]]);
        times.push((rest[2] & 0x7f, (cluster as i64 + i64::from(offset)) as u64));
    }
    times
}

#[test]
fn reports_decide_what_was_at_the_same_time() {
    let mut run = Run::new(&[Codec::Vp8, Codec::Opus]);
    // Sound that was taken at 1000 ms comes 200 ms later than the picture of the same moment.
    run.frame(0, 0, 90_000, true, Some((90_000, 1_000)));
    run.frame(200, 1, 48_000, true, None);
    run.frame(220, 1, 48_960, true, None);
    assert!(run.outputs.is_empty(), "the sound has no report yet");
    run.frame(240, 1, 49_920, true, Some((48_000, 1_000)));
    run.frame(250, 0, 93_000, false, Some((90_000, 1_000)));
    assert_eq!(
        blocks(&run.outputs),
        [(1, 0), (2, 0), (2, 20), (2, 40), (1, 33)]
    );
}

#[test]
fn one_report_that_is_far_off_changes_nothing_and_two_do() {
    let mut run = Run::new(&[Codec::Opus]);
    run.frame(0, 0, 0, true, Some((0, 0)));
    run.frame(1_600, 0, 76_800, true, Some((0, 0)));
    // 16 ms of drift: an eighth of it now.
    run.frame(2_000, 0, 96_000, true, Some((96_000, 2_016)));
    run.frame(2_020, 0, 96_960, true, Some((96_960, 5_000)));
    run.frame(2_040, 0, 97_920, true, Some((97_920, 2_042)));
    run.frame(2_060, 0, 98_880, true, Some((98_880, 4_060)));
    run.frame(2_080, 0, 99_840, true, Some((99_840, 4_080)));
    let times: Vec<_> = blocks(&run.outputs).iter().map(|(_, time)| *time).collect();
    assert_eq!(times, [0, 1_600, 2_002, 2_022, 2_042, 2_062, 4_080]);
}

#[test]
fn without_reports_arrival_decides_after_a_while() {
    let mut run = Run::new(&[Codec::Vp8, Codec::Opus]);
    run.frame(0, 0, 0, true, None);
    run.frame(100, 1, 7, true, None);
    run.frame(REPORTS.as_millis() as u64, 1, 7 + 48_000, true, None);
    assert_eq!(blocks(&run.outputs), [(1, 0), (2, 100), (2, 1_100)]);
}

#[test]
fn a_track_that_comes_later_begins_another_file_at_a_key_frame() {
    let mut run = Run::new(&[Codec::Opus]);
    run.frame(0, 0, 0, true, Some((0, 0)));
    run.frame(1_600, 0, 76_800, true, Some((0, 0)));
    assert_eq!(run.files(), 1);
    run.core.add(1, Codec::Vp8);
    run.frame(1_700, 1, 0, false, Some((0, 1_700)));
    assert_eq!(run.files(), 1);
    assert!(run.core.needs_key(1));
    run.frame(1_720, 1, 1_800, true, Some((0, 1_700)));
    run.frame(1_730, 0, 83_040, true, Some((0, 0)));
    assert_eq!(run.files(), 2);
    let Some(Output::End { length, .. }) = run
        .outputs
        .iter()
        .find(|output| matches!(output, Output::End { .. }))
    else {
        panic!("the first file must have ended");
    };
    assert_eq!(*length, Duration::from_millis(1_620));
}

#[test]
fn a_picture_that_comes_back_stays_in_the_file() {
    let mut run = Run::new(&[Codec::Vp8]);
    run.frame(0, 0, 0, true, Some((0, 0)));
    run.frame(1_600, 0, 144_000, false, Some((0, 0)));
    run.core.end(0);
    run.core.add(1, Codec::Vp8);
    assert!(run.core.needs_key(1));
    run.frame(3_000, 1, 5, true, Some((5, 3_000)));
    assert_eq!(run.files(), 1);
    assert_eq!(blocks(&run.outputs), [(1, 0), (1, 1_600), (1, 3_000)]);
}

#[test]
fn what_comes_back_is_written_before_its_sender_has_said_its_time() {
    let mut run = Run::new(&[Codec::Vp8, Codec::Opus]);
    run.frame(0, 0, 0, true, Some((0, 0)));
    run.frame(0, 1, 0, true, Some((0, 0)));
    run.core.end(0);
    run.core.add(2, Codec::Vp8);
    run.frame(2_990, 1, 143_520, true, Some((0, 0)));
    run.frame(3_000, 2, 777_000, true, None);
    run.frame(3_100, 2, 786_000, false, None);
    run.frame(3_200, 2, 795_000, false, Some((777_000, 3_000)));
    assert_eq!(run.files(), 1);
    let picture = |block: &&(u8, u64)| block.0 == 1;
    let blocks = blocks(&run.outputs);
    let times: Vec<_> = blocks.iter().filter(picture).map(|block| block.1).collect();
    assert_eq!(times, [0, 3_000, 3_100, 3_200]);
}

#[test]
fn a_sender_that_never_says_its_time_is_recorded_when_it_comes_back() {
    let mut run = Run::new(&[Codec::Vp8]);
    run.frame(0, 0, 0, true, None);
    let late = u64::try_from(REPORTS.as_millis()).unwrap() + 100;
    run.frame(late, 0, i64::try_from(late).unwrap() * 90, false, None);
    run.core.end(0);
    run.core.add(1, Codec::Vp8);
    run.frame(9_000, 1, 5, true, None);
    assert_eq!(blocks(&run.outputs).last(), Some(&(1, 9_000)));
}

#[test]
fn the_end_writes_what_is_held() {
    let mut run = Run::new(&[Codec::Vp8, Codec::Opus]);
    run.frame(0, 1, 0, true, None);
    let end = run.core.finish(run.begin + Duration::from_millis(10));
    assert!(matches!(
        end.as_slice(),
        [Output::Begin(_), Output::Bytes(_), Output::End { .. }]
    ));
    assert_eq!(Core::new("x").finish(run.begin), []);
}
