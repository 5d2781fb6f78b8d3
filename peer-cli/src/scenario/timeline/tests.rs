use super::super::inbox::{OnLine, Seen};
use super::super::plan::State;
use super::super::read::read;
use super::super::watch::Event;
use super::*;

/// A scenario that is on, at a time of its own.
struct Course {
    timeline: Timeline,
    now: Instant,
    actions: Vec<Action>,
}

impl Course {
    fn begin(text: &str) -> Self {
        let scenario = read(text, None).unwrap_or_else(|problem| panic!("{problem} in {text}"));
        let now = Instant::now();
        let (timeline, actions) = Timeline::begin(Arc::new(scenario), now);
        Self {
            timeline,
            now,
            actions,
        }
    }

    fn with_two(steps: &str) -> Self {
        let mut course = Self::begin(&format!(
            "peers = {{ ana = {{}}, ben = {{}} }}\nsteps = [\n{steps}\n]"
        ));
        assert_eq!(course.take(), [Action::Connect(0)]);
        course.input(Input::Connected(0));
        for (peer, with) in [(0, 1), (1, 0)] {
            course.line(peer, with, OnLine::State(State::Connected, None));
        }
        course
    }

    fn take(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    fn input(&mut self, input: Input) {
        let actions = self.timeline.handle(self.now, input);
        self.actions.extend(actions);
    }

    fn line(&mut self, peer: PeerId, with: PeerId, what: OnLine) {
        let seen = Seen::Line { with, what };
        self.input(Input::Seen { peer, seen });
    }

    fn message(&mut self, text: &str) {
        let (channel, text) = ("talk".into(), text.into());
        self.line(1, 0, OnLine::Message { channel, text });
    }

    /// Time passes until the next deadline.
    fn wait(&mut self) -> Duration {
        let due = self.timeline.next_deadline().expect("it is not over");
        let passed = due - self.now;
        self.now = due;
        self.input(Input::Tick);
        passed
    }

    #[track_caller]
    fn passes(&mut self) {
        assert_eq!(self.take(), [Action::End(Verdict::Passed)]);
        assert_eq!(self.timeline.next_deadline(), None);
    }

    #[track_caller]
    fn fails(&mut self, line: usize, expected: &str, seen: &str) -> Failure {
        let actions = self.take();
        let Some(Action::End(Verdict::Failed(failure))) = actions.last() else {
            panic!("{actions:?}");
        };
        assert_eq!(
            (
                failure.line,
                failure.expected.as_str(),
                failure.seen.as_str()
            ),
            (line, expected, seen)
        );
        failure.clone()
    }
}

#[test]
fn steps_come_one_after_the_other() {
    let mut course = Course::with_two(
        "{ peer = 'ana', open = 'talk' },
        { peer = 'ben', opened = 'talk' },
        { peer = 'ana', send = 'hi', channel = 'talk' },
        { peer = 'ben', expect = 'hi', channel = 'talk' },",
    );
    assert!(matches!(
        course.take()[..],
        [Action::Perform {
            peer: 0,
            act: Act::Open { .. }
        }]
    ));
    course.line(1, 0, OnLine::Opened("talk".into()));
    assert_eq!(course.take(), [], "the first step is not done");
    course.input(Input::Done(Ok(())));
    assert!(matches!(
        course.take()[..],
        [Action::Perform {
            peer: 0,
            act: Act::Send { .. }
        }]
    ));
    course.message("something else");
    course.message("hi");
    course.input(Input::Done(Ok(())));
    course.passes();
}

#[test]
fn what_does_not_come_in_time_is_told_with_what_came() {
    let mut course =
        Course::with_two("{ peer = 'ben', expect = 'hi', channel = 'talk', within = '2s' }");
    course.message("ho");
    assert_eq!(course.wait(), Duration::from_secs(2));
    let failure = course.fails(
        3,
        "ben to get \"hi\" from ana on channel `talk` within 2s",
        "the last message there was \"ho\"",
    );
    assert_eq!(
        failure.step,
        "{ peer = 'ben', expect = 'hi', channel = 'talk', within = '2s' }"
    );
}

#[test]
fn numbered_messages_come_in_order_and_once() {
    let step = "{ peer = 'ben', expect = 'n', channel = 'talk', count = 3 }";
    let mut course = Course::with_two(step);
    for n in 1..=3 {
        course.message(&format!("n #{n}"));
    }
    course.passes();
    let mut course = Course::with_two(step);
    course.message("n #1");
    course.message("n #1");
    course.fails(
        3,
        "ben to get \"n #1\" to \"n #3\" from ana on channel `talk`, once each and in order",
        "in place of \"n #2\" came \"n #1\"",
    );
}

#[test]
fn what_cannot_come_any_more_is_not_waited_for() {
    let mut course = Course::with_two("{ peer = 'ben', expect = 'hi', channel = 'talk' }");
    course.line(
        1,
        0,
        OnLine::State(State::Ended, Some("the other side left".into())),
    );
    course.fails(
        3,
        "ben to get \"hi\" from ana on channel `talk`",
        "no message came from ana, and the connection has ended: the other side left",
    );
}

#[test]
fn a_cut_ends_by_itself_while_other_steps_go_on() {
    let mut course = Course::with_two(
        "{ cut = 'all', for = '3s' },
        { peer = 'ana', state = 'interrupted' },
        { peer = 'ana', state = 'connected' },",
    );
    assert_eq!(course.take(), [Action::Cut(0)]);
    course.line(0, 1, OnLine::State(State::Interrupted, None));
    assert_eq!(course.wait(), Duration::from_secs(3));
    assert_eq!(course.take(), [Action::Restore(0)]);
    course.line(0, 1, OnLine::State(State::Connected, None));
    course.passes();
}

#[test]
fn a_pause_lasts_as_long_as_it_says() {
    let mut course = Course::with_two("{ pause = '700ms' }");
    assert_eq!(course.wait(), Duration::from_millis(700));
    course.passes();
}

#[test]
fn what_is_done_in_vain_fails_its_step() {
    let mut course = Course::with_two("{ peer = 'ana', send = 'hi', channel = 'talk' }");
    course.input(Input::Done(Err("there is no channel".into())));
    course.fails(
        3,
        "ana to send to ben on channel `talk`",
        "there is no channel",
    );
}

#[test]
fn everything_has_a_limit() {
    let mut course = Course::begin("peers = { ana = {}, ben = {} }\nsteps = [{ pause = '1s' }]");
    assert_eq!(course.wait(), START_LIMIT);
    course.fails(1, "ben to start within 40s", "it is not up");
    let mut course =
        Course::begin("timeout = '5s'\npeers = { ana = {} }\nsteps = [{ pause = '1min' }]");
    assert_eq!(course.wait(), Duration::from_secs(5));
    course.fails(
        3,
        "this step to end",
        "all of it may take 5s, which are over",
    );
}

#[test]
fn whoever_comes_later_is_waited_for_and_connected_with_those_who_are_there() {
    let mut course = Course::begin(
        "peers = { a = {}, b = { start = false }, c = { start = false } }\nlines = 'mesh'\nsteps = [
        { peer = 'b', start = true },
        { peer = 'b', kill = true },
        { peer = 'b', start = true },
        ]",
    );
    assert_eq!(course.take(), [Action::Connect(0)], "c is not there");
    course.input(Input::Connected(0));
    let [
        Action::Perform {
            peer: 1,
            act: Act::Kill,
        },
    ] = course.take()[..]
    else {
        panic!("it is killed");
    };
    course.input(Input::Done(Ok(())));
    assert_eq!(course.take(), [Action::Connect(0)]);
    course.input(Input::Connected(0));
    course.passes();
}

#[test]
fn a_transfer_that_fails_is_noticed_although_nobody_asked() {
    let mut course = Course::with_two("{ pause = '1s' }");
    course.line(0, 1, OnLine::Failed("the disk is full".into()));
    course.wait();
    course.fails(
        1,
        "no transfer to fail",
        "one with ben did: the disk is full",
    );
}

fn page(steps: &str) -> Course {
    let mut course = Course::begin(&format!(
        "peers = {{ page = {{ page = 'a.html', allow = ['candidate-refused'] }} }}\nsteps = [\n{steps}\n]"
    ));
    assert_eq!(course.take(), [Action::Start(0)]);
    course.input(Input::Up(0));
    course
}

#[test]
fn a_page_is_asked_until_its_answer_is_right() {
    let mut course = page("{ peer = 'page', text = '#x', contains = 'done' }");
    let asked = course.take();
    assert!(
        matches!(&asked[..], [Action::Ask { peer: 0, .. }]),
        "{asked:?}"
    );
    course.input(Input::Answer(Ok(Value::from("not yet"))));
    assert_eq!(course.take(), []);
    assert_eq!(course.wait(), ASK_AGAIN);
    assert_eq!(course.take(), asked);
    course.input(Input::Answer(Ok(Value::from("it is done"))));
    course.passes();
}

#[test]
fn a_page_that_does_not_answer_in_time_fails_its_step() {
    let mut course = page("{ peer = 'page', click = '#x', within = '1s' }");
    course.input(Input::Answer(Ok(Value::from("it is disabled"))));
    course.take();
    while course.actions.is_empty() {
        course.wait();
        course
            .actions
            .retain(|action| !matches!(action, Action::Ask { .. }));
        course.input(Input::Answer(Ok(Value::from("it is disabled"))));
    }
    course.fails(3, "to click `#x` of page within 1s", "it is disabled");
}

#[test]
fn frames_of_a_page_count_from_the_beginning_of_the_step() {
    let mut course = page("{ peer = 'page', frames = 30 }");
    for total in [100, 129] {
        course.input(Input::Answer(Ok(total.into())));
        course.wait();
    }
    course.take();
    course.input(Input::Answer(Ok(130.into())));
    course.passes();
}

fn watched(course: &mut Course, text: &str) {
    let event = Event::parse(text).unwrap_or_else(|| panic!("{text}"));
    let seen = Seen::Watched(event);
    course.input(Input::Seen { peer: 0, seen });
}

#[test]
fn a_mistake_of_a_page_fails_what_would_pass() {
    let mut course = page("{ pause = '1s' }");
    watched(
        &mut course,
        r#"{"what":"sent","signal":"candidate","candidates":0}"#,
    );
    watched(
        &mut course,
        r#"{"what":"sent","signal":"offer","candidates":0}"#,
    );
    course.wait();
    let failure = course.fails(
        1,
        "WebRTC to be used as it works everywhere",
        "every step went well, and it would not with other browsers or networks",
    );
    assert_eq!(failure.findings[0].1.code, "candidate-before-description");
    let mut course = page("{ pause = '1s' }");
    watched(
        &mut course,
        r#"{"what":"refused","pc":0,"call":"addIceCandidate","state":"stable","error":"InvalidStateError","described":false}"#,
    );
    course.wait();
    course.passes();
}

#[test]
fn an_exception_that_a_page_does_not_catch_fails_it() {
    let mut course = page("{ pause = '1s' }");
    let seen = Seen::Exception("TypeError: x".into());
    course.input(Input::Seen { peer: 0, seen });
    course.wait();
    course.fails(
        1,
        "no exception that the page does not catch",
        "TypeError: x",
    );
}

#[test]
fn ctrl_c_ends_it() {
    let mut course = Course::with_two("{ pause = '1s' }");
    course.input(Input::Interrupted);
    assert_eq!(course.take(), [Action::End(Verdict::Stopped)]);
    course.input(Input::Connected(0));
    assert_eq!(course.take(), []);
}
