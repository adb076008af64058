//! The breaker's moves, with the time passed in.

use super::Consequence::{Borne, Late, Rest};
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(5);

/// A state machine, its clock, and the shortest way to make it move.
struct World {
    state: State,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self { state: State::new(HICCUPS_MAX, LIMIT), now: Instant::now() }
    }

    fn passes(&mut self) -> Pass {
        self.state.admit(self.now).expect("a call is let through")
    }

    fn probes(&mut self) -> Pass {
        let pass = self.passes();
        assert!(pass.is_probe);
        pass
    }

    fn refuses(&mut self) -> Refusal {
        self.state.admit(self.now).expect_err("no call is let through")
    }

    /// The rest goes by.
    fn waits(&mut self) {
        let left = self.refuses().left;
        self.now += left;
    }

    fn fails(&mut self, pass: Pass, error: Error) -> Consequence {
        let at = Moment { since_1970: Duration::from_secs(1_763_800_200), dice: 0.0 };
        let weight = error.weight().unwrap();
        self.state.failed(pass, (&Arc::new(error), weight), self.now, at)
    }

    /// Opens it with hiccups, for the first rest of one second.
    fn opens(&mut self) {
        for n in 1..=HICCUPS_MAX {
            let pass = self.passes();
            let expected = if n == HICCUPS_MAX { Rest(SECOND) } else { Borne };
            assert_eq!(self.fails(pass, hiccup()), expected);
        }
    }
}

fn hiccup() -> Error {
    Error::Unreachable("no answer in time".to_owned())
}

fn refused(code: i64) -> Error {
    Error::refused(code, "")
}

#[test]
fn a_few_hiccups_in_a_row_make_it_rest_and_an_answer_between_does_not() {
    let mut world = World::new();
    for _ in 0..3 {
        for _ in 1..HICCUPS_MAX {
            let pass = world.passes();
            assert_eq!(world.fails(pass, hiccup()), Borne);
        }
        let pass = world.passes();
        assert!(world.state.succeeded(pass));
    }
    world.opens();
    assert_eq!(world.refuses().left, SECOND);
}

#[test]
fn every_kind_of_hiccup_counts() {
    let kinds = [Error::Status(502), Error::Unreadable("x"), hiccup(), refused(-1), refused(47001)];
    let mut world = World::new();
    let rests = kinds.map(|error| {
        let pass = world.passes();
        world.fails(pass, error)
    });
    assert_eq!(rests, [Borne, Borne, Borne, Borne, Rest(SECOND)]);
}

#[test]
fn who_is_refused_learns_the_cause_and_exactly_what_is_left() {
    let mut world = World::new();
    let pass = world.passes();
    world.fails(pass, refused(48001));
    world.now += Duration::from_millis(12_345);
    let refusal = world.refuses();
    assert!(matches!(*refusal.cause, Error::Refused { code: 48001, .. }));
    assert_eq!(refusal.left, Duration::from_millis(30_000 - 12_345));
    world.now += refusal.left;
    world.probes();
}

#[test]
fn one_call_alone_tries_whether_the_rest_is_over() {
    let mut world = World::new();
    world.opens();
    world.now += SECOND;
    let probe = world.probes();
    for passed in 0..5 {
        assert_eq!(world.refuses().left, LIMIT - SECOND * passed, "no longer than the probe may take");
        world.now += SECOND;
    }
    world.now += SECOND;
    assert_eq!(world.refuses().left, Duration::ZERO, "it is any moment now");
    assert!(world.state.succeeded(probe));
    assert!(!world.passes().is_probe);
}

#[test]
fn a_probe_that_fails_begins_a_longer_rest_and_success_the_count_anew() {
    let mut world = World::new();
    world.opens();
    for expected in [2, 4, 8] {
        world.waits();
        let probe = world.probes();
        assert_eq!(world.fails(probe, hiccup()), Rest(SECOND * expected), "a single failure is enough");
        assert_eq!(world.refuses().left, SECOND * expected);
    }
    world.now += SECOND * 8;
    let probe = world.probes();
    assert!(world.state.succeeded(probe));
    world.opens();
}

#[test]
fn what_an_operator_must_mend_and_a_quota_make_it_rest_at_once() {
    for (error, seconds) in [
        (Error::TokenNotTaken, 30),
        (refused(40164), 30),
        (refused(45011), 60),
        (refused(45009), 7 * 3600 + 1800 + 60),
    ] {
        let mut world = World::new();
        let pass = world.passes();
        assert_eq!(world.fails(pass, error.clone()), Rest(SECOND * seconds), "{error}");
    }
}

#[test]
fn a_day_that_does_not_end_at_midnight_is_looked_at_more_often() {
    let mut world = World::new();
    let pass = world.passes();
    world.fails(pass, refused(45009));
    world.waits();
    let probe = world.probes();
    assert_eq!(world.fails(probe, refused(45009)), Rest(SECOND * 600));
}

#[test]
fn that_a_day_did_not_end_at_midnight_is_known_until_a_call_works() {
    let mut world = World::new();
    let pass = world.passes();
    world.fails(pass, refused(45009));
    for error in [hiccup(), refused(48001), refused(45011)] {
        world.waits();
        let probe = world.probes();
        assert!(world.fails(probe, error) < Rest(SECOND * 80));
    }
    world.waits();
    let probe = world.probes();
    assert_eq!(world.fails(probe, refused(45009)), Rest(SECOND * 600), "whatever came between");
    world.waits();
    let probe = world.probes();
    world.state.succeeded(probe);
    let pass = world.passes();
    assert!(world.fails(pass, refused(45009)) > Rest(SECOND * 3600), "a day that had begun");
}

#[test]
fn calls_that_fail_together_begin_one_rest() {
    let mut world = World::new();
    let passes: Vec<_> = (0..100).map(|_| world.passes()).collect();
    let consequences: Vec<_> = passes.into_iter().map(|pass| world.fails(pass, hiccup())).collect();
    let borne = HICCUPS_MAX as usize - 1;
    assert_eq!(consequences[borne], Rest(SECOND));
    assert!(consequences[..borne].iter().all(|borne| *borne == Borne));
    assert!(consequences[borne + 1..].iter().all(|late| *late == Late));
    world.now += SECOND;
    world.probes();
}

#[test]
fn calls_that_began_before_the_rest_neither_end_nor_prolong_it() {
    let mut world = World::new();
    let (late, later, latest) = (world.passes(), world.passes(), world.passes());
    world.opens();
    assert!(!world.state.succeeded(late));
    assert_eq!(world.refuses().left, SECOND);
    world.now += SECOND;
    let probe = world.probes();
    assert_eq!(world.fails(later, refused(48001)), Late, "the probe decides");
    assert!(world.state.succeeded(probe));
    assert_eq!(world.fails(latest, refused(48001)), Late);
    world.passes();
}

#[test]
fn a_probe_that_was_given_up_leaves_room_for_the_next() {
    let mut world = World::new();
    world.opens();
    world.now += SECOND;
    let first = world.probes();
    world.state.released(first, world.now);
    let second = world.probes();
    world.state.released(first, world.now);
    world.refuses();
    assert!(!world.state.succeeded(first));
    assert!(world.state.succeeded(second));
}

#[test]
fn a_call_that_was_given_up_says_nothing() {
    let mut world = World::new();
    for _ in 0..100 {
        let pass = world.passes();
        world.state.released(pass, world.now);
    }
    world.opens();
    let pass = Pass { era: world.state.era, is_probe: false };
    world.state.released(pass, world.now);
    assert_eq!(world.refuses().left, SECOND);
}

#[test]
fn a_busy_platform_is_asked_again_until_others_found_it_busy_too() {
    let mut world = World::new();
    let passes: Vec<_> = (0..10).map(|_| world.passes()).collect();
    let again = passes.iter().filter(|pass| world.state.may_ask_again(**pass)).count();
    assert_eq!(again, 4);
    assert_eq!(world.fails(passes[9], refused(-1)), Rest(SECOND));
    assert!(!world.state.may_ask_again(passes[0]), "nobody asks again during the rest");
    world.now += SECOND;
    let probe = world.probes();
    assert!(!world.state.may_ask_again(probe), "a probe is one call");
}

#[test]
fn after_a_rest_that_hiccups_did_not_begin_a_probe_is_one_call_and_one_failure_enough() {
    let mut world = World::new();
    let late = world.passes();
    let pass = world.passes();
    world.fails(pass, refused(48001));
    assert!(!world.state.may_ask_again(late), "nobody asks again during the rest");
    world.waits();
    let probe = world.probes();
    assert!(!world.state.may_ask_again(probe));
    assert_eq!(world.fails(probe, hiccup()), Rest(SECOND * 2));
    world.waits();
    world.probes();
}

#[test]
fn where_one_failure_speaks_for_many_callers_it_is_enough() {
    let mut world = World { state: State::new(1, LIMIT), now: Instant::now() };
    let pass = world.passes();
    assert!(world.state.may_ask_again(pass) && world.state.may_ask_again(pass));
    assert_eq!(world.fails(pass, refused(-1)), Rest(SECOND));
}
