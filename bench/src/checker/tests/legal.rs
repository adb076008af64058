//! Legal histories that nobody thought of: logins with all that can go wrong around them, interleaved by lot, on a small
//! model of what the deployment promises.

use std::collections::HashMap;

use proptest::prelude::*;

use super::story::{Story, digest};
use crate::history::{Answer, History, Redemption, What};

/// How much may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difficulty {
    /// Everything that is not the deployment's fault, or that it is allowed.
    Any,
    /// Every page stays or comes back, every scan is answered in the end, and nothing is delivered twice.
    Stays,
}

/// One step of a login. What it leads to, the model decides.
#[derive(Clone, Debug)]
enum Step {
    Scan { rival: bool, answered: bool },
    Refresh,
    Breaks,
    ComesBack,
    Redeem { answered: bool },
}

/// What the deployment knows.
#[derive(Default)]
struct Model {
    claims: HashMap<u64, (String, u64)>,
    logins: HashMap<String, u64>,
    redeemed: HashMap<u64, u8>,
    attempts: HashMap<u64, u8>,
    /// The code that a login's page shows, and whether the page is there and was told.
    codes: HashMap<u64, u64>,
    gone: HashMap<u64, bool>,
    told: HashMap<u64, bool>,
}

pub(super) fn legal_histories(difficulty: Difficulty) -> impl Strategy<Value = History> {
    let may_be_lost = difficulty == Difficulty::Any;
    let answered = move || if may_be_lost { any::<bool>().boxed() } else { Just(true).boxed() };
    let step = prop_oneof![
        4 => (any::<bool>(), answered()).prop_map(|(rival, answered)| Step::Scan { rival, answered }),
        1 => Just(Step::Refresh),
        1 => Just(Step::Breaks),
        2 => Just(Step::ComesBack),
        2 => answered().prop_map(|answered| Step::Redeem { answered }),
    ];
    let steps = prop::collection::vec((0..6_u64, step), 0..80);
    steps.prop_map(move |steps: Vec<(u64, Step)>| tell(&steps, difficulty))
}

fn tell(steps: &[(u64, Step)], difficulty: Difficulty) -> History {
    let (mut story, mut model) = (Story::default(), Model::default());
    for (login, step) in steps {
        model.codes.entry(*login).or_insert_with(|| {
            story.shows(*login, &format!("s{login}"), &format!("q{login}-0"));
            0
        });
        model.take(&mut story, *login, step, difficulty);
    }
    if difficulty == Difficulty::Stays {
        for login in 0..6 {
            model.take(&mut story, login, &Step::ComesBack, difficulty);
        }
    }
    story.waits(60);
    story.history()
}

impl Model {
    fn take(&mut self, story: &mut Story, login: u64, step: &Step, difficulty: Difficulty) {
        let session = format!("s{login}");
        let code = self.codes.get(&login).copied().unwrap_or_default();
        match step {
            Step::Scan { rival, answered } => {
                // Two people share their logins; each login has one of them, and a rival of its own.
                let openid = if *rival { format!("rival{login}") } else { format!("o{}", login % 2) };
                let answer = self.claim(login, &openid);
                let answer = if *answered { answer } else { Answer::None };
                story.scans(login, &openid, &format!("q{login}-{code}"), answer);
                self.deliver(story, login);
            }
            Step::Refresh if !self.is_gone(login) && !self.claims.contains_key(&login) => {
                self.codes.insert(login, code + 1);
                story.says(login, What::Refreshing).shows(login, &session, &format!("q{login}-{}", code + 1));
            }
            Step::Breaks if !self.is_gone(login) && !self.done(login, difficulty) => {
                story.says(login, What::Closed { code: None });
                self.gone.insert(login, true);
            }
            Step::ComesBack if self.is_gone(login) => {
                story.opens(login);
                self.gone.insert(login, false);
                if self.claims.contains_key(&login) {
                    self.told.insert(login, false);
                    self.deliver(story, login);
                } else {
                    story.shows(login, &session, &format!("q{login}-{code}"));
                }
            }
            Step::Redeem { answered } if self.told.contains_key(&login) => {
                let attempt = self.attempts.entry(login).or_default();
                *attempt += 1;
                let spent = self.redeemed.entry(login).or_default();
                *spent = spent.saturating_add(1);
                let (openid, count) = self.claims[&login].clone();
                let outcome = match (*answered, *spent) {
                    (false, _) => Redemption::None,
                    (true, 1) => Redemption::Identity { openid, count },
                    (true, _) => Redemption::Refused(410),
                };
                story.redeems(login, &format!("c{login}"), *attempt, outcome);
            }
            _ => {}
        }
    }

    fn is_gone(&self, login: u64) -> bool {
        self.gone.get(&login).copied().unwrap_or_default()
    }

    /// Where deliveries are counted, a page does not ask for its second.
    fn done(&self, login: u64, difficulty: Difficulty) -> bool {
        difficulty == Difficulty::Stays && self.told.contains_key(&login)
    }

    fn claim(&mut self, login: u64, openid: &str) -> Answer {
        if !self.claims.contains_key(&login) {
            let count = self.logins.entry(openid.to_owned()).or_default();
            *count += 1;
            self.claims.insert(login, (openid.to_owned(), *count));
        }
        match &self.claims[&login] {
            (claimer, count) if claimer == openid => Answer::Accepted(*count),
            _ => Answer::Used,
        }
    }

    fn deliver(&mut self, story: &mut Story, login: u64) {
        let told = self.told.get(&login).copied().unwrap_or_default();
        if self.claims.contains_key(&login) && !self.is_gone(login) && !told {
            let session = Some(digest(&format!("s{login}")));
            story.says(login, What::Delivered { session, code: digest(&format!("c{login}")) });
            self.told.insert(login, true);
        }
    }
}
