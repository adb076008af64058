//! Accepted scans that no page hears of: which are lost, and which cannot be judged.

use super::story::{Story, digest};
use super::*;

#[test]
fn an_accepted_scan_that_the_page_never_hears_of_is_lost() {
    let lost = Violation::Lost { session: digest("s1") };
    let mut stayed = Story::default();
    stayed.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::Accepted(1)).waits(6);
    caught(&stayed, lost.clone());
    stayed.says(1, What::Left);
    caught(&stayed, lost.clone());

    let mut came_back = Story::default();
    came_back.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::Accepted(1));
    came_back.says(1, What::Closed { code: None }).waits(60).opens(1).waits(6);
    caught(&came_back, lost.clone());

    let mut unknown = Story::default();
    unknown.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::Accepted(1));
    unknown.says(1, What::Closed { code: None }).opens(1);
    unknown.says(1, What::Told { error: "unknown_session".to_owned() });
    unknown.says(1, What::Shown { session: digest("s1b"), qr: digest("q1b") }).waits(6);
    caught(&unknown, lost.clone());

    let mut ended = Story::default();
    ended.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::Accepted(1)).waits(6);
    ended.says(1, What::Closed { code: Some(1000) });
    caught(&ended, lost);
}

#[test]
fn a_page_that_comes_and_goes_and_is_shown_its_code_again_has_lost_its_scan() {
    // Never for 5 s at once, and away at the end.
    let comes_and_goes = |shown: bool| {
        let mut story = Story::default();
        story.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::Accepted(1));
        for _ in 0..3 {
            story.says(1, What::Closed { code: None }).opens(1);
            if shown {
                story.shows(1, "s1", "q1");
            }
            story.waits(2);
        }
        story.says(1, What::Closed { code: None }).says(1, What::Left);
        story
    };
    caught(&comes_and_goes(true), Violation::Lost { session: digest("s1") });
    // It was told nothing: the gateways may not have had Redis.
    legal(&comes_and_goes(false));

    // On the socket on which it was shown its code before the scan.
    let mut silence = Story::default();
    silence.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::Accepted(1)).waits(6);
    silence.says(1, What::Closed { code: None }).says(1, What::Left);
    caught(&silence, Violation::Lost { session: digest("s1") });
}

#[test]
fn who_did_not_stay_long_enough_or_never_came_back_is_not_judged() {
    let unjudged = |story: &Story| check(&story.history(), &Rules::default()).unjudged;
    let begin = || {
        let mut story = Story::default();
        story.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::Accepted(1));
        story
    };
    let mut left = begin();
    left.waits(4).says(1, What::Left).waits(60);
    let mut broken = begin();
    broken.says(1, What::Closed { code: None }).says(1, What::Refused { status: Some(503) }).waits(60);
    broken.says(1, What::Left);
    let mut away = begin();
    away.waits(4).says(1, What::Away).waits(60);
    let mut just_back = begin();
    just_back.says(1, What::Closed { code: Some(1012) }).waits(60).opens(1).waits(4);
    for story in [left, broken, away, just_back] {
        legal(&story);
        assert_eq!(unjudged(&story), 1);
    }
}

#[test]
fn a_page_that_was_told_to_wait_for_nothing_has_lost_its_scan_however_short_it_stayed() {
    let lost = Violation::Lost { session: digest("s1") };
    let begin = || {
        let mut story = Story::default();
        story.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::Accepted(1));
        story
    };
    let unknown = || What::Told { error: "unknown_session".to_owned() };

    // It logs in with another session, and leaves 1.5 s after the first acceptance.
    let mut anew = begin();
    anew.says(1, What::Away).opens(1).says(1, unknown()).shows(1, "s2", "q2");
    anew.scans(1, "o1", "q2", Answer::Accepted(2)).delivers(1, "s2", "c2").redeems(
        1,
        "c2",
        1,
        identity("o1", 2),
    );
    caught(anew.says(1, What::Left), lost.clone());

    let mut told = begin();
    caught(told.says(1, unknown()).says(1, What::Left), lost.clone());
    let mut shown_another = begin();
    caught(shown_another.shows(1, "s2", "q2").says(1, What::Left), lost.clone());
    for code in [1000, 1008] {
        let mut closed = begin();
        caught(closed.says(1, What::Closed { code: Some(code) }), lost.clone());
        // A scan that is accepted after that is still a promise.
        let mut late = Story::default();
        late.shows(1, "s1", "q1").pushes(1, 1, "o1", "q1").says(1, What::Closed { code: Some(code) });
        caught(late.answers(1, 1, Answer::Accepted(1)), lost.clone());
    }
    // In the last moment of the session's first life, which the scan prolongs.
    let mut last = Story::default();
    last.shows(1, "s1", "q1").waits(899).scans(1, "o1", "q1", Answer::Accepted(1)).waits(1);
    caught(last.says(1, What::Closed { code: Some(1000) }), lost);
}

#[test]
fn a_page_that_comes_back_after_the_sessions_life_has_lost_nothing() {
    for end in [What::Closed { code: Some(1000) }, What::Told { error: "unknown_session".to_owned() }] {
        let mut story = Story::default();
        story.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::Accepted(1)).says(1, What::Away);
        story.waits(15 * 60).opens(1).says(1, end).says(1, What::Left);
        legal(&story);
    }
}
