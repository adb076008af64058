//! Made-up histories: each violation must be caught, alone, and no legal history may be accused.

mod legal;
mod lost;
mod story;

use proptest::prelude::*;

use self::legal::{Difficulty, legal_histories};
use self::story::{Story, digest};
use super::*;
use crate::history::{Answer, Redemption, What};

fn verdict(story: &Story) -> Vec<Violation> {
    let judgement = check(&story.history(), &Rules::default());
    for finding in &judgement.findings {
        assert!(!finding.proof.is_empty(), "{finding}");
    }
    judgement.findings.into_iter().map(|finding| finding.violation).collect()
}

/// Asserts that the story has this one violation and no other.
fn caught(story: &Story, violation: Violation) {
    assert_eq!(verdict(story), [violation]);
}

/// Asserts that nothing is wrong with the story.
fn legal(story: &Story) {
    assert_eq!(verdict(story), []);
}

fn identity(openid: &str, count: u64) -> Redemption {
    Redemption::Identity { openid: openid.to_owned(), count }
}

fn wrong_count(openid: &str, count: u64, wrong: WrongCount) -> Violation {
    Violation::WrongCount { openid: openid.to_owned(), count, wrong }
}

#[test]
fn whole_logins_of_one_person_are_legal() {
    let mut story = Story::default();
    (1..=5).for_each(|login| story.whole(login, "o1", login));
    (6..=9).for_each(|login| story.whole(login, &format!("o{login}"), 1));
    legal(&story);
}

#[test]
fn an_empty_history_and_pages_that_nobody_scans_are_legal() {
    let mut story = Story::default();
    legal(&story);
    story
        .shows(1, "s1", "q1")
        .shows(2, "s2", "q2")
        .says(2, What::Expired { session: digest("s2") })
        .waits(60);
    legal(&story);
}

#[test]
fn a_scan_without_an_answer_may_be_lost_or_not() {
    for answer in [Answer::None, Answer::Busy, Answer::Bad(502), Answer::Used] {
        let mut story = Story::default();
        story.shows(1, "s1", "q1").scans(1, "o1", "q1", answer.clone()).waits(60);
        legal(&story);
        story.delivers(1, "s1", "c1");
        if answer == Answer::Used {
            caught(&story, Violation::Stray { session: Some(digest("s1")) });
        } else {
            legal(&story);
        }
    }
}

#[test]
fn a_delivery_to_a_page_that_nobody_scanned_is_a_stray() {
    let stray = |session: &str| Violation::Stray { session: Some(digest(session)) };
    let mut other = Story::default();
    other.shows(1, "s1", "q1").shows(2, "s2", "q2").scans(1, "o1", "q1", Answer::Accepted(1));
    other.delivers(1, "s1", "c1").delivers(2, "s2", "c2");
    caught(&other, stray("s2"));

    let mut early = Story::default();
    early.shows(1, "s1", "q1").delivers(1, "s1", "c1").scans(1, "o1", "q1", Answer::Accepted(1));
    caught(&early, stray("s1"));

    let mut forged = Story::default();
    forged.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::Bad(403)).delivers(1, "s1", "c1");
    caught(&forged, stray("s1"));

    let mut nameless = Story::default();
    nameless.opens(1).says(1, What::Delivered { session: None, code: digest("c1") });
    caught(&nameless, Violation::Stray { session: None });
}

#[test]
fn codes_are_one_sessions_own() {
    let mut shared = Story::default();
    for (login, session, qr) in [(1, "s1", "q1"), (2, "s2", "q2")] {
        shared.shows(login, session, qr).scans(login, &format!("o{login}"), qr, Answer::Accepted(1));
        shared.delivers(login, session, "c");
    }
    caught(&shared, Violation::CodeShared { code: digest("c") });

    let mut changed = Story::default();
    changed.whole(1, "o1", 1);
    changed.opens(1).delivers(1, "s1", "c1");
    legal(&changed);
    changed.opens(1).delivers(1, "s1", "another");
    caught(&changed, Violation::CodeChanged { session: digest("s1") });
}

#[test]
fn a_qr_code_is_one_sessions_own_and_a_session_is_one_pages_own() {
    let mut same_code = Story::default();
    same_code.shows(1, "s1", "q1").shows(2, "s2", "q1").shows(1, "s1", "q1");
    // The second page's visitor scans, and is logged in where the first one sits.
    same_code.scans(2, "o2", "q1", Answer::Accepted(1)).delivers(1, "s1", "c1");
    caught(&same_code, Violation::QrShared { qr: digest("q1") });

    let shared = Violation::SessionShared { session: digest("s1") };
    let mut same_session = Story::default();
    same_session.shows(1, "s1", "q1").shows(2, "s1", "q2");
    caught(&same_session, shared.clone());
    let mut delivered_to_both = Story::default();
    delivered_to_both.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::Accepted(1)).delivers(1, "s1", "c1");
    legal(&delivered_to_both);
    caught(delivered_to_both.opens(2).delivers(2, "s1", "c1"), shared);
}

#[test]
fn a_success_is_told_once_on_a_socket() {
    let mut story = Story::default();
    story.whole(1, "o1", 1);
    story.says(1, What::Closed { code: None }).opens(1).delivers(1, "s1", "c1");
    legal(&story);
    caught(story.delivers(1, "s1", "c1"), Violation::Doubled { session: digest("s1") });
}

#[test]
fn a_code_identifies_once() {
    let mut story = Story::default();
    story.whole(1, "o1", 1);
    story.redeems(1, "c1", 2, Redemption::Refused(410)).redeems(1, "c1", 3, Redemption::Refused(503));
    legal(&story);
    story.redeems(1, "c1", 4, identity("o1", 1));
    caught(&story, Violation::RedeemedTwice { code: digest("c1") });
}

#[test]
fn a_code_identifies_who_scanned_for_it() {
    let mut story = Story::default();
    story.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::Accepted(1)).scans(1, "o2", "q1", Answer::Used);
    story.delivers(1, "s1", "c1");
    let wrong = Violation::WrongIdentity { code: digest("c1"), openid: "o2".to_owned() };
    caught(story.redeems(1, "c1", 1, identity("o2", 1)), wrong);

    let mut unknown = Story::default();
    unknown.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::None).scans(1, "o2", "q1", Answer::Used);
    unknown.delivers(1, "s1", "c1").redeems(1, "c1", 1, identity("o1", 1));
    legal(&unknown);

    // Two logins whose results were swapped.
    let mut swapped = Story::default();
    for (login, session, qr) in [(1, "s1", "q1"), (2, "s2", "q2")] {
        swapped.shows(login, session, qr).scans(login, &format!("o{login}"), qr, Answer::Accepted(1));
    }
    swapped.delivers(1, "s1", "c1").delivers(2, "s2", "c2");
    swapped.redeems(1, "c1", 1, identity("o2", 1)).redeems(2, "c2", 1, identity("o1", 1));
    assert_eq!(verdict(&swapped).len(), 2);
}

#[test]
fn a_good_code_is_not_refused() {
    let refused = Violation::GoodCodeRefused { code: digest("c1") };
    let begin = || {
        let mut story = Story::default();
        story.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::Accepted(1)).delivers(1, "s1", "c1");
        story
    };
    caught(begin().redeems(1, "c1", 1, Redemption::Refused(410)), refused.clone());
    let mut both = begin();
    both.redeems(1, "c1", 1, Redemption::Refused(410)).redeems(1, "c1", 2, Redemption::Refused(410));
    caught(&both, refused.clone());
    // Refused first, and good afterwards.
    let mut later = begin();
    later.redeems(1, "c1", 1, Redemption::Refused(410)).redeems(1, "c1", 2, identity("o1", 1));
    caught(&later, refused);
    for before in [Redemption::Refused(503), Redemption::None] {
        let mut unsure = begin();
        unsure.redeems(1, "c1", 1, before).redeems(1, "c1", 2, Redemption::Refused(410));
        legal(&unsure);
    }
    let mut pending = begin();
    pending.says(1, What::Redeeming { code: digest("c1"), attempt: 1, gateway: 0 });
    pending.redeems(1, "c1", 2, Redemption::Refused(410));
    legal(&pending);
    // Nobody was given this code, so it may well be unknown.
    legal(Story::default().redeems(1, "made-up", 1, Redemption::Refused(410)));
}

#[test]
fn a_login_is_claimed_once() {
    let twice = |story: &Story| {
        let verdict = verdict(story);
        assert_eq!(verdict[0], Violation::ClaimedTwice { session: Some(digest("s1")) }, "{verdict:?}");
    };
    let mut people = Story::default();
    people.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::Accepted(1)).scans(
        1,
        "o2",
        "q1",
        Answer::Accepted(1),
    );
    twice(people.delivers(1, "s1", "c1"));

    let mut scenes = Story::default();
    scenes.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::Accepted(1)).shows(1, "s1", "q2");
    twice(scenes.scans(1, "o1", "q2", Answer::Accepted(2)).delivers(1, "s1", "c1"));

    // A scene that no page of this history shows has one claim all the same.
    let mut unseen = Story::default();
    unseen.scans(1, "o1", "q1", Answer::Accepted(1)).scans(1, "o2", "q1", Answer::Accepted(1));
    caught(&unseen, Violation::ClaimedTwice { session: None });
}

#[test]
fn a_replaced_scene_is_dead() {
    let begin = |answer: Answer| {
        let mut story = Story::default();
        story.shows(1, "s1", "q1").says(1, What::Refreshing).shows(1, "s1", "q2");
        story.scans(1, "o1", "q1", answer).delivers(1, "s1", "c1");
        story
    };
    for answer in [Answer::Accepted(1), Answer::None, Answer::Busy] {
        caught(&begin(answer), Violation::DeadSceneClaimed { session: digest("s1") });
    }
    // Somebody else may have been the one.
    let mut unsure = Story::default();
    unsure.shows(1, "s1", "q1").shows(1, "s1", "q2").scans(1, "o1", "q1", Answer::None);
    legal(unsure.scans(1, "o2", "q2", Answer::None).delivers(1, "s1", "c1"));
    let mut refused = Story::default();
    refused.shows(1, "s1", "q1").shows(1, "s1", "q2").scans(1, "o1", "q1", Answer::Used);
    legal(refused.scans(1, "o2", "q2", Answer::Accepted(1)).delivers(1, "s1", "c1"));
    // A push that was on its way when the new code was shown.
    let mut racing = Story::default();
    racing.shows(1, "s1", "q1").pushes(1, 1, "o1", "q1").shows(1, "s1", "q2");
    racing.answers(1, 1, Answer::Accepted(1)).delivers(1, "s1", "c1");
    legal(&racing);
}

#[test]
fn whoever_was_accepted_stays_so() {
    let mut story = Story::default();
    story.whole(1, "o1", 1);
    story.scans(1, "o1", "q1", Answer::Accepted(1)).scans(1, "o1", "q1", Answer::Busy);
    legal(&story);
    story.scans(1, "o1", "q1", Answer::Used);
    caught(&story, Violation::AnswerChanged { openid: "o1".to_owned() });
    let mut refused_first = Story::default();
    refused_first.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::Used);
    refused_first.scans(1, "o1", "q1", Answer::Accepted(1)).delivers(1, "s1", "c1");
    caught(&refused_first, Violation::AnswerChanged { openid: "o1".to_owned() });
    // The proof has the last refusal.
    refused_first.scans(1, "o1", "q1", Answer::Used);
    let findings = check(&refused_first.history(), &Rules::default()).findings;
    let last = findings[0].proof.last().map(|event| event.what.clone());
    assert!(matches!(last, Some(What::Answered { answer: Answer::Used, .. })), "{last:?}");
}

#[test]
fn login_counts_are_exact() {
    let two = |first, second| {
        let mut story = Story::default();
        story.whole(1, "o1", first);
        story.whole(2, "o1", second);
        story
    };
    legal(&two(1, 2));
    caught(&two(1, 1), wrong_count("o1", 1, WrongCount::Repeated));
    caught(&two(1, 3), wrong_count("o1", 3, WrongCount::TooHigh));
    assert_eq!(
        verdict(&two(2, 1)),
        [wrong_count("o1", 2, WrongCount::TooHigh), wrong_count("o1", 1, WrongCount::OutOfOrder)]
    );
    // The second of two at once may have been counted first, but nobody after them is.
    let mut after_both = Story::default();
    after_both.shows(1, "s1", "q1").shows(2, "s2", "q2").pushes(1, 1, "o1", "q1").pushes(2, 2, "o1", "q2");
    after_both.answers(1, 1, Answer::Accepted(2)).shows(3, "s3", "q3");
    legal(&after_both);
    after_both.scans(3, "o1", "q3", Answer::Accepted(1));
    caught(&after_both, wrong_count("o1", 1, WrongCount::OutOfOrder));
    // What begins afterwards explains no count.
    let mut too_soon = Story::default();
    too_soon.whole(1, "o1", 2);
    too_soon.shows(2, "s2", "q2").scans(2, "o1", "q2", Answer::None);
    caught(&too_soon, wrong_count("o1", 2, WrongCount::TooHigh));
    assert!(verdict(&two(0, 1)).contains(&wrong_count("o1", 0, WrongCount::TooHigh)));

    let mut changed = Story::default();
    changed.shows(1, "s1", "q1").scans(1, "o1", "q1", Answer::Accepted(1)).delivers(1, "s1", "c1");
    caught(changed.redeems(1, "c1", 1, identity("o1", 2)), wrong_count("o1", 2, WrongCount::Changed));

    // A login of which nobody knows whether it was counted leaves a gap, or none.
    for last in [2, 3] {
        let mut unsure = Story::default();
        unsure.whole(1, "o1", 1);
        unsure.shows(2, "s2", "q2").scans(2, "o1", "q2", Answer::None);
        unsure.whole(3, "o1", last);
        legal(&unsure);
    }
    // Two logins at once may be counted either way round.
    let mut at_once = Story::default();
    at_once.shows(1, "s1", "q1").shows(2, "s2", "q2").pushes(1, 1, "o1", "q1").pushes(2, 2, "o1", "q2");
    at_once.answers(2, 2, Answer::Accepted(1)).answers(1, 1, Answer::Accepted(2));
    legal(at_once.delivers(1, "s1", "c1").delivers(2, "s2", "c2"));
}

#[test]
fn nothing_comes_after_the_end() {
    let after = Violation::StateAfterFinal { session: digest("s1") };
    for news in [
        What::Shown { session: digest("s1"), qr: digest("q1") },
        What::Shown { session: digest("s1"), qr: digest("q9") },
        What::Expired { session: digest("s1") },
    ] {
        let mut story = Story::default();
        story.whole(1, "o1", 1);
        caught(story.says(1, news), after.clone());
    }
    let mut over = Story::default();
    over.shows(1, "s1", "q1").says(1, What::Closed { code: Some(1000) }).opens(1);
    legal(&over);
    caught(over.shows(1, "s1", "q1"), after.clone());

    let mut set_back = Story::default();
    set_back.shows(1, "s1", "q1").shows(1, "s1", "q1").shows(1, "s1", "q2").shows(1, "s1", "q2");
    legal(&set_back);
    caught(set_back.shows(1, "s1", "q1"), after);
    // Another session on the same page is another login.
    let mut anew = Story::default();
    anew.whole(1, "o1", 1);
    legal(anew.says(1, What::Shown { session: digest("next"), qr: digest("q9") }));
}

proptest! {
    #[test]
    fn no_legal_history_is_accused(history in legal_histories(Difficulty::Any)) {
        let judgement = check(&history, &Rules::default());
        prop_assert!(judgement.findings.is_empty(), "{}", judgement.findings[0]);
    }

    #[test]
    fn one_delivery_taken_away_is_missed(history in legal_histories(Difficulty::Stays), which: prop::sample::Index) {
        let mut broken = history.clone();
        let delivered = |event: &Event| matches!(event.what, What::Delivered { .. });
        let places: Vec<_> = (0..broken.events.len()).filter(|at| delivered(&broken.events[*at])).collect();
        prop_assume!(!places.is_empty());
        broken.events.remove(places[which.index(places.len())]);
        let findings = check(&broken, &Rules::default()).findings;
        let lost = findings.iter().any(|finding| matches!(finding.violation, Violation::Lost { .. }));
        prop_assert!(lost);
    }
}
