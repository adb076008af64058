//! What a message does to the logins, and what its sender reads.

use std::future::Future;
use std::time::Duration;

use shared::backplane::{self, Backplane, MessageHash};
use shared::login::{Claim, OpenId, Scene, Ticket};
use shared::traces::Span;
use tokio::time::{Instant, timeout_at};

use crate::message::Kind;
use crate::push::Push;
use crate::reply::Replies;

/// What came of a message.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The scan took the scene; the person's login of this number.
    Claimed(u64),
    /// The same person's scan had taken it, with the same number.
    Repeated(u64),
    /// The claim is durable, but its number is not known: the next scan, a repeat, will tell it.
    Uncounted(Unanswered),
    /// Another person's scan had taken it.
    Taken,
    /// The scene is expired, replaced or unknown.
    Over,
    /// The scene is none that we could have made.
    NoScene,
    /// The ticket is not the scene's, or there is none: the platform's events have the right one.
    WrongTicket,
    /// The claim may have happened or not.
    Unclaimed(Unanswered),
    /// The person's login count is gone.
    Forgotten,
    /// The person's login count may be there still; see [`crate::unfollow`].
    NotForgotten(Unanswered),
    /// A follower or a message.
    Greeted,
    /// Nothing to do and nothing to say.
    Ignored,
}

/// Why the backplane gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error(transparent)]
    Failed(#[from] backplane::Error),
    #[error("the platform would not have waited longer")]
    Late,
    #[error("too many signatures wait to be remembered")]
    Crowded,
}

impl Outcome {
    /// Does what the push asks for, by `deadline`. Nothing is moved for one that cannot be `believed` for now. What must
    /// not happen again by a repeat is remembered for `life`. `span` is the push's.
    pub(crate) async fn of(
        push: &Push<'_>,
        believed: Result<(), Unanswered>,
        backplane: &Backplane,
        span: &Span,
        life: Duration,
        deadline: Instant,
    ) -> Self {
        let message = &push.message;
        match &message.kind {
            Kind::Scan { scene: None, .. } => Self::NoScene,
            Kind::Scan { ticket: None, .. } => Self::WrongTicket,
            Kind::Scan { scene: Some(scene), ticket: Some(ticket), .. } => match believed {
                Ok(()) => Self::of_scan(scene, ticket, &message.from, backplane, span, deadline).await,
                Err(why) => Self::Unclaimed(why),
            },
            Kind::Unfollow => match believed {
                Ok(()) => Self::of_unfollow(&message.from, push.hash, backplane, life, deadline).await,
                Err(why) => Self::NotForgotten(why),
            },
            Kind::Follow | Kind::Message => Self::Greeted,
            Kind::Other(_) => Self::Ignored,
        }
    }

    async fn of_scan(
        scene: &Scene,
        ticket: &Ticket,
        by: &OpenId,
        backplane: &Backplane,
        span: &Span,
        deadline: Instant,
    ) -> Self {
        let claim = within(deadline, backplane.claim(scene, ticket, by));
        let claim = match span.call("claim").over(claim).await {
            Ok(claim) => claim,
            Err(why) => return Self::Unclaimed(why),
        };
        let (life, outcome): (_, fn(u64) -> Self) = match claim {
            Claim::Claimed { life } => (life, Self::Claimed),
            Claim::Repeated { life } => (life, Self::Repeated),
            Claim::Taken => return Self::Taken,
            Claim::Over => return Self::Over,
            Claim::WrongTicket => return Self::WrongTicket,
        };
        let count = within(deadline, backplane.login_count(by, scene.login(), life));
        span.call("count_login").over(count).await.map_or_else(Self::Uncounted, outcome)
    }

    async fn of_unfollow(
        person: &OpenId,
        message: MessageHash,
        backplane: &Backplane,
        life: Duration,
        deadline: Instant,
    ) -> Self {
        within(deadline, backplane.forget(person, message, life))
            .await
            .map_or_else(Self::NotForgotten, |()| Self::Forgotten)
    }

    /// What the phone shows; `None` for nothing.
    pub(crate) fn text(&self, replies: &Replies) -> Option<String> {
        match self {
            Self::Claimed(count) | Self::Repeated(count) => Some(replies.success(*count)),
            Self::Taken | Self::Over | Self::NoScene | Self::WrongTicket => Some(replies.used()),
            Self::Unclaimed(_) | Self::Uncounted(_) => Some(replies.retry()),
            Self::Greeted => Some(replies.greeting()),
            Self::Forgotten | Self::NotForgotten(_) | Self::Ignored => None,
        }
    }

    /// All the names that there are.
    pub(crate) const NAMES: &[&str] = &[
        "claimed",
        "repeated",
        "uncounted",
        "taken",
        "over",
        "no_scene",
        "wrong_ticket",
        "unclaimed",
        "forgotten",
        "not_forgotten",
        "greeted",
        "ignored",
    ];

    /// Its name in logs and metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Claimed(_) => "claimed",
            Self::Repeated(_) => "repeated",
            Self::Uncounted(_) => "uncounted",
            Self::Taken => "taken",
            Self::Over => "over",
            Self::NoScene => "no_scene",
            Self::WrongTicket => "wrong_ticket",
            Self::Unclaimed(_) => "unclaimed",
            Self::Forgotten => "forgotten",
            Self::NotForgotten(_) => "not_forgotten",
            Self::Greeted => "greeted",
            Self::Ignored => "ignored",
        }
    }

    /// Why the backplane gave no answer, where it gave none.
    pub(crate) fn unanswered(&self) -> Option<&Unanswered> {
        match self {
            Self::Uncounted(why) | Self::Unclaimed(why) | Self::NotForgotten(why) => Some(why),
            _ => None,
        }
    }
}

/// The backplane's answer, if it comes by `deadline`.
pub(crate) async fn within<T>(
    deadline: Instant,
    answer: impl Future<Output = Result<T, backplane::Error>>,
) -> Result<T, Unanswered> {
    Ok(timeout_at(deadline, answer).await.map_err(|_| Unanswered::Late)??)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::reply::Template;

    #[tokio::test]
    async fn c9_a_backplane_that_never_answers_is_not_waited_for() {
        let deadline = Instant::now() + Duration::from_millis(10);
        let answer = timeout_at(deadline + Duration::from_secs(10), within::<()>(deadline, pending()));
        assert!(matches!(answer.await, Ok(Err(Unanswered::Late))));
    }

    #[test]
    fn c9_succeeded_is_said_only_of_claims_that_were_answered() {
        let template = |text: &str| Template::parse(text).unwrap();
        let [success, used, retry, greeting] = ["success", "used", "retry", "greeting"].map(template);
        let replies = Replies { nickname: String::new(), success, used, retry, greeting };
        let text = |outcome: Outcome| outcome.text(&replies);
        assert_eq!(text(Outcome::Claimed(1)).as_deref(), Some("success"));
        assert_eq!(text(Outcome::Unclaimed(Unanswered::Late)).as_deref(), Some("retry"));
        assert_eq!(text(Outcome::Uncounted(Unanswered::Late)).as_deref(), Some("retry"));
        assert_eq!(text(Outcome::NotForgotten(Unanswered::Late)), None);
    }
}
