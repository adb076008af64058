//! The callback, driven by another hand's platform: what `wechatpy` pushes, and how it reads the answers.

mod cipher;
mod refusals;

use std::time::SystemTime;

use tests::browser::Browser;
use tests::program::{Program, setting};
use tests::stack::{Account, KnownCode, Plan, Stack, somebodys_openid};
use tests::wechatpy::{Act, Answer, Push, Reply, Wechatpy};

const FIRST_LOGIN: &str = "微信用户,登录成功!\n这是你第1次登录,玩的开心!";
const GREETING: &str = "您好!欢迎使用 SwooleWechat 扫描登录";
/// How far the clock of a reply may lie from ours.
const CLOCK_SECONDS: u64 = 10;

/// A platform of another hand, and an account's services.
struct World {
    stack: Stack,
    wechatpy: Wechatpy,
    mode: &'static str,
}

impl World {
    async fn start(mode: &'static str) -> Self {
        Self::with(Plan { mode, gateways: 1, callbacks: 2, ..Plan::default() }).await
    }

    async fn with(plan: Plan) -> Self {
        let mode = plan.mode;
        Self { stack: plan.start().await, wechatpy: Wechatpy::start(), mode }
    }

    async fn make(&mut self, person: &str, act: &Act) -> Push {
        self.make_as(&self.stack.account.clone(), person, act).await
    }

    /// Makes a push of an account that may not be the callback's.
    async fn make_as(&mut self, account: &Account, person: &str, act: &Act) -> Push {
        self.wechatpy.make(account, self.mode, person, act).await
    }

    /// Sends a push to whichever replica.
    async fn send(&mut self, push: &Push) -> Answer {
        self.wechatpy.post(&self.stack.account, &self.stack.url(), push).await
    }

    /// What the phone shows after an act. Whatever else the reply must be, it is.
    async fn shown(&mut self, person: &str, act: &Act) -> String {
        let push = self.make(person, act).await;
        let answer = self.send(&push).await;
        self.reply(person, answer).text
    }

    /// The reply in an answer: from the account to the person, made now, and encrypted as the mode asks for.
    fn reply(&self, person: &str, answer: Answer) -> Reply {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.content_type.as_deref(), Some("text/xml; charset=utf-8"));
        let reply = answer.reply.unwrap();
        let between = (reply.from.as_str(), reply.to.as_str());
        assert_eq!(between, (self.stack.account.original_id.as_str(), person));
        assert_eq!((reply.kind.as_str(), reply.encrypted), ("text", self.mode != "plain"));
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        for told in [Some(reply.created), reply.sent].into_iter().flatten() {
            assert!(told.abs_diff(now) <= CLOCK_SECONDS, "{told} is not about {now} in seconds");
        }
        reply
    }

    /// A new page's QR code, as the platform knows it.
    async fn page(&self) -> (Browser, KnownCode) {
        let mut browser = self.stack.browser().await;
        let content = browser.qr_code().await.content;
        (browser, self.stack.known_code(&content).await)
    }

    /// How often the one login in the store has moved, its opening included.
    async fn moves(&self) -> String {
        let record = self.stack.redis.ask(&["KEYS", "*:login"]).await;
        self.stack.redis.ask(&["HGET", &record, "version"]).await
    }
}

async fn a_follower_logs_in(mode: &'static str) {
    let mut world = World::start(mode).await;
    let ((mut browser, code), person) = (world.page().await, somebodys_openid());
    let push = world.make(&person, &Act::Scan(code)).await;
    assert_eq!(push.known_as, "ScanEvent");
    let answer = world.send(&push).await;
    assert_eq!(world.reply(&person, answer).text, FIRST_LOGIN);
    let success = browser.success().await;
    // The platform repeats a push byte for byte; each replica gets it, so the one that has not seen it does too.
    for replica in world.stack.callbacks.iter().map(Program::url).collect::<Vec<_>>() {
        let answer = world.wechatpy.post(&world.stack.account, &replica, &push).await;
        assert_eq!(world.reply(&person, answer).text, FIRST_LOGIN);
    }
    assert_eq!(world.moves().await, "2", "opened, and claimed once");
    let identity = world.stack.application().redeem(&success.code).await;
    assert_eq!((identity.openid, identity.login_count), (person, 1));
}

#[tokio::test]
async fn a_follower_logs_in_in_safe_mode_and_repeats_change_nothing() {
    a_follower_logs_in("safe").await;
}

#[tokio::test]
async fn a_follower_logs_in_in_compatible_mode_and_repeats_change_nothing() {
    a_follower_logs_in("compatible").await;
}

#[tokio::test]
async fn a_follower_logs_in_in_plain_mode_and_repeats_change_nothing() {
    a_follower_logs_in("plain").await;
}

/// The life of a person with the account: follows by a scan, talks, does what we do not know, leaves, comes back.
async fn everything_that_a_person_does_is_answered(mode: &'static str) {
    let mut world = World::start(mode).await;
    let ((mut browser, code), person) = (world.page().await, somebodys_openid());
    let push = world.make(&person, &Act::SubscribeByScan(code)).await;
    assert_eq!(push.known_as, "SubscribeScanEvent");
    let answer = world.send(&push).await;
    assert_eq!(world.reply(&person, answer).text, FIRST_LOGIN);
    let identity = world.stack.application().redeem(&browser.success().await.code).await;
    assert_eq!((identity.openid.as_str(), identity.login_count), (person.as_str(), 1));

    let text = Act::Text { content: "你好".to_owned() };
    for (act, known_as) in [(text, "TextMessage"), (Act::Image, "ImageMessage")] {
        assert_eq!(world.make(&person, &act).await.known_as, known_as);
        assert_eq!(world.shown(&person, &act).await, GREETING);
    }
    // In every mode a `success` goes out as it is (docs/wechat.md, "Replies").
    let others =
        ["CLICK", "user_info_modified", "of_tomorrow"].map(|name| Act::OtherEvent { name: name.to_owned() });
    for act in others.iter().chain([&Act::Unsubscribe]) {
        let push = world.make(&person, act).await;
        let answer = world.send(&push).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "success"), "{act:?}");
    }
    assert_eq!(world.shown(&person, &Act::Subscribe).await, GREETING);
    let (_browser, code) = world.page().await;
    assert_eq!(world.shown(&person, &Act::Scan(code)).await, FIRST_LOGIN, "counted from one again");
}

#[tokio::test]
async fn everything_that_a_person_does_is_answered_in_safe_mode() {
    everything_that_a_person_does_is_answered("safe").await;
}

#[tokio::test]
async fn everything_that_a_person_does_is_answered_in_compatible_mode() {
    everything_that_a_person_does_is_answered("compatible").await;
}

#[tokio::test]
async fn everything_that_a_person_does_is_answered_in_plain_mode() {
    everything_that_a_person_does_is_answered("plain").await;
}

async fn odd_texts_arrive(mode: &'static str) {
    // What would end a CDATA section, what XML escapes, what two bytes do not hold: into the phone, and out of it.
    let odd = "]]>😀&amp;<b>\"'{}%s]]]]>\u{2028}𠮷";
    let settings = vec![setting("DISPLAY_NAME", odd), setting("REPLY_GREETING", "{nickname},\\n你好")];
    let mut world = World::with(Plan { mode, gateways: 1, callbacks: 1, settings, ..Plan::default() }).await;
    let person = somebodys_openid();
    for content in [odd.to_owned(), "😀".repeat(512), "字".repeat(700), "a".repeat(2048), "\n\t ".to_owned()]
    {
        let act = Act::Text { content };
        assert_eq!(world.shown(&person, &act).await, format!("{odd},\n你好"));
    }
}

#[tokio::test]
async fn long_and_odd_texts_go_both_ways_in_safe_mode() {
    odd_texts_arrive("safe").await;
}

#[tokio::test]
async fn long_and_odd_texts_go_both_ways_in_plain_mode() {
    odd_texts_arrive("plain").await;
}

#[tokio::test]
async fn while_a_key_is_rotated_each_push_is_answered_under_its_own() {
    let [old, new, foreign] = [(); 3].map(|()| Account::random().aes_key);
    let settings = vec![setting("WECHAT_ENCODING_AES_KEY", format!("{new},{old}"))];
    let plan = Plan { gateways: 1, callbacks: 1, settings, ..Plan::default() };
    let mut world = World::with(plan).await;
    for key in [&old, &new, &old] {
        // It reads the answer under the key of its push.
        world.stack.account.aes_key.clone_from(key);
        let ((mut browser, code), person) = (world.page().await, somebodys_openid());
        assert_eq!(world.shown(&person, &Act::Scan(code)).await, FIRST_LOGIN);
        assert_eq!(world.stack.application().redeem(&browser.success().await.code).await.openid, person);
    }
    world.stack.account.aes_key = foreign;
    let push = world.make(&somebodys_openid(), &Act::Subscribe).await;
    assert_eq!(world.send(&push).await.status, 403);
}

#[tokio::test]
async fn the_url_is_verified_by_whoever_knows_the_token() {
    let mut world = World::start("safe").await;
    for callback in world.stack.callbacks.iter().map(Program::url).collect::<Vec<_>>() {
        let echo = world.wechatpy.verify(&world.stack.account, &callback).await;
        assert_eq!((echo.status, &echo.body), (200, &echo.echostr));
        let stranger = Account { token: Account::random().token, ..world.stack.account.clone() };
        let refused = world.wechatpy.verify(&stranger, &callback).await;
        assert_eq!((refused.status, refused.body.contains(&refused.echostr)), (403, false));
    }
}
