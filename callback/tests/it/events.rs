//! What the platform's events do, and what the phone shows.

use std::time::Duration;

use axum::http::StatusCode;
use callback::Mode;
use shared::login::Refresh;

use crate::platform::{
    ALICE, BOB, GREETING, OURS, Platform, USED, compatible, deadlines, event, message, qr_code, safe, success,
};

#[tokio::test]
async fn a_scan_logs_in_whether_or_not_the_person_follows_already() {
    for mode in [safe(), compatible(), Mode::Plain] {
        let platform = Platform::new(mode);
        let (first, second) = (platform.login().await, platform.login().await);
        assert_eq!(platform.shown(&first.follow(ALICE)).await, Some(success(1)));
        assert_eq!(platform.shown(&second.scan(ALICE)).await, Some(success(2)));
        for login in [first, second] {
            assert_eq!(platform.claimed_by(&login).await.unwrap().expose(), ALICE);
        }
    }
}

#[tokio::test]
async fn c8_two_people_and_two_events_in_one_second_are_all_handled() {
    let platform = Platform::new(safe());
    let logins = [platform.login().await, platform.login().await, platform.login().await];
    let [a, b, c] = &logins;
    let (a_push, b_push, c_push) = (a.scan(ALICE), b.scan(BOB), c.scan(ALICE));
    let (first, second) = tokio::join!(platform.shown(&a_push), platform.shown(&b_push));
    assert_eq!((first, second), (Some(success(1)), Some(success(1))));
    assert_eq!(platform.shown(&c_push).await, Some(success(2)), "same person, same second, another code");
    assert_eq!(platform.claimed_by(b).await.unwrap().expose(), BOB);
    assert_eq!(platform.claimed_by(c).await.unwrap().expose(), ALICE);
}

#[tokio::test]
async fn c10_a_follower_without_a_scene_is_greeted() {
    let platform = Platform::new(safe());
    let without_key = message(ALICE, "event", "<Event><![CDATA[subscribe]]></Event>");
    let empty = message(ALICE, "event", "<Event><![CDATA[subscribe]]></Event><EventKey/>");
    assert_eq!(platform.shown(&without_key).await.as_deref(), Some(GREETING));
    assert_eq!(platform.shown(&empty).await.as_deref(), Some(GREETING));
    let foreign = [
        "",
        "  \n ",
        "last_trade_no_4200000000202611220000000000",
        "scanbarcode|EAN_13,69",
        "scanimage|x",
        "0",
    ];
    for key in foreign {
        for name in ["subscribe", "Subscribe", "SUBSCRIBE"] {
            let shown = platform.shown(&event(ALICE, name, key, None)).await;
            assert_eq!(shown.as_deref(), Some(GREETING), "{name} {key:?}");
        }
    }
}

#[tokio::test]
async fn c10_a_scene_that_is_none_of_ours_is_unknown() {
    let platform = Platform::new(safe());
    let login = platform.login().await;
    let (scene, ticket) = (login.code.scene.expose(), login.ticket());
    let wrong = [
        ("SCAN", "0".to_owned()),
        ("SCAN", String::new()),
        ("SCAN", "4294967295".to_owned()),
        ("SCAN", format!("qrscene_{scene}")),
        ("subscribe", "qrscene_0".to_owned()),
        ("subscribe", "qrscene_".to_owned()),
        ("subscribe", format!("qrscene_qrscene_{scene}")),
        ("subscribe", "qrscene_lg_5f3c9a".to_owned()),
    ];
    for (name, key) in wrong {
        let shown = platform.shown(&event(ALICE, name, &key, Some(&ticket))).await;
        assert_eq!(shown.as_deref(), Some(USED), "{name} {key}");
        assert!(platform.claimed_by(&login).await.is_none());
    }
    // A follower whose event names the scene without the prefix is no scan.
    let bare = event(ALICE, "subscribe", &scene, Some(&ticket));
    assert_eq!(platform.shown(&bare).await.as_deref(), Some(GREETING));
    assert!(platform.claimed_by(&login).await.is_none());
}

#[tokio::test]
async fn c10_names_of_events_have_any_case() {
    let platform = Platform::new(safe());
    for (count, name) in ["scan", "Scan", "SCAN"].into_iter().enumerate() {
        let login = platform.login().await;
        let scan = login.scan(ALICE).replace("SCAN", name).replace("[event]", "[EVENT]");
        assert_eq!(platform.shown(&scan).await, Some(success(count as u64 + 1)));
    }
}

#[tokio::test]
async fn c10_other_events_get_success() {
    let platform = Platform::new(safe());
    let nested = "<Event><![CDATA[scancode_push]]></Event><EventKey><![CDATA[6]]></EventKey>\
        <ScanCodeInfo><ScanType>qrcode</ScanType><ScanResult><![CDATA[<!DOCTYPE x>]]></ScanResult></ScanCodeInfo>";
    let list = "<Event><![CDATA[subscribe_msg_popup_event]]></Event><SubscribeMsgPopupEvent>\
        <List><TemplateId>a</TemplateId></List><List><TemplateId>b</TemplateId></List></SubscribeMsgPopupEvent>";
    for rest in [nested, list] {
        assert_eq!(platform.shown(&message(ALICE, "event", rest)).await, None);
    }
    let names = [
        "CLICK",
        "VIEW",
        "LOCATION",
        "TEMPLATESENDJOBFINISH",
        "user_info_modified",
        "debug_demo",
        "未知",
        "x y",
    ];
    for name in names {
        assert_eq!(
            platform.shown(&event(ALICE, name, "https://example.com/?a=b&c", None)).await,
            None,
            "{name}"
        );
    }
}

#[tokio::test]
async fn c10_any_message_is_greeted() {
    let platform = Platform::new(safe());
    let texts = ["你好 👋 ", "a\u{8}b\u{b}", "]]]]><![CDATA[>", "<!DOCTYPE xml>&lol;"];
    for text in texts {
        let rest = format!("<Content><![CDATA[{text}]]></Content><MsgId>24866000000000001</MsgId>");
        assert_eq!(
            platform.shown(&message(ALICE, "text", &rest)).await.as_deref(),
            Some(GREETING),
            "{text:?}"
        );
    }
    for kind in ["image", "voice", "video", "shortvideo", "location", "link", "hologram"] {
        assert_eq!(
            platform.shown(&message(ALICE, kind, "<MsgId>1</MsgId>")).await.as_deref(),
            Some(GREETING)
        );
    }
}

#[tokio::test]
async fn who_leaves_is_forgotten() {
    let platform = Platform::new(safe());
    let (first, second) = (platform.login().await, platform.login().await);
    assert_eq!(platform.shown(&first.scan(ALICE)).await, Some(success(1)));
    for key in ["", "last_trade_no_1"] {
        assert_eq!(platform.shown(&event(ALICE, "unsubscribe", key, None)).await, None);
    }
    assert_eq!(platform.shown(&second.scan(ALICE)).await, Some(success(1)));
}

#[tokio::test]
async fn s1_a_second_person_is_refused_and_the_first_login_stays() {
    let platform = Platform::new(safe());
    let login = platform.login().await;
    assert_eq!(platform.shown(&login.scan(ALICE)).await, Some(success(1)));
    assert_eq!(platform.shown(&login.scan(BOB)).await.as_deref(), Some(USED));
    assert_eq!(platform.shown(&login.follow(BOB)).await.as_deref(), Some(USED));
    assert_eq!(platform.claimed_by(&login).await.unwrap().expose(), ALICE);
    let bobs = platform.login().await;
    assert_eq!(platform.shown(&bobs.scan(BOB)).await, Some(success(1)), "the refused scans were not counted");
}

#[tokio::test]
async fn s2_a_scan_after_expiry_or_refresh_is_refused() {
    let platform = Platform::new(safe());
    let expired = platform.login_for(Duration::ZERO).await;
    assert_eq!(platform.shown(&expired.scan(ALICE)).await.as_deref(), Some(USED));
    assert!(platform.claimed_by(&expired).await.is_none());

    let mut login = platform.login().await;
    let old = login.scan(ALICE);
    let next = qr_code(&login.session);
    let refresh =
        platform.backplane.refresh(&login.watch, next.clone(), deadlines(Duration::from_secs(60))).await;
    assert_eq!(refresh.unwrap(), Refresh::Replaced);
    assert_eq!(platform.shown(&old).await.as_deref(), Some(USED));
    assert!(platform.claimed_by(&login).await.is_none());
    login.code = next;
    assert_eq!(platform.shown(&login.scan(ALICE)).await, Some(success(1)));
}

#[tokio::test]
async fn s2_the_claimers_own_scan_gets_the_first_answer() {
    let platform = Platform::new(safe());
    let login = platform.login().await;
    for scan in [login.follow(ALICE), login.scan(ALICE), login.scan(ALICE)] {
        assert_eq!(platform.shown(&scan).await, Some(success(1)));
    }
}

#[tokio::test]
async fn a_push_that_lacks_what_every_push_has_gets_400() {
    let platform = Platform::new(safe());
    let login = platform.login().await;
    let scan = login.scan(ALICE);
    let lacking = ["ToUserName", "FromUserName", "MsgType", "Event"].map(|name| {
        let (start, end) =
            (scan.find(&format!("<{name}>")).unwrap(), scan.find(&format!("</{name}>")).unwrap());
        format!("{}{}", &scan[..start], &scan[end + name.len() + 3..])
    });
    for body in lacking {
        assert_eq!(platform.answer(platform.push(&body)).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    for (what, instead) in [
        (ALICE, ""),
        (ALICE, "o 1"),
        (OURS, ""),
        (OURS, "gh 1"),
        (OURS, &"g".repeat(65)),
        ("[event]", "[]"),
        ("SCAN", " "),
    ] {
        let body = scan.replace(what, instead);
        assert_eq!(
            platform.answer(platform.push(&body)).await.status,
            StatusCode::BAD_REQUEST,
            "{what} {instead}"
        );
    }
}
