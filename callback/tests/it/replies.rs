//! Templates and the reply's XML.

use callback::reply::{self, NotATemplate, Template};
use callback::xml;

#[test]
fn a_template_knows_its_placeholders() {
    for good in ["a", "{nickname}", "{nickname}}", r"a\nb"] {
        assert!(Template::parse(good).is_ok(), "{good}");
    }
    assert!(Template::parse_counting("{count}{nickname}{count}").is_ok());
    for unknown in ["{", "{}", "{name}", "{count", "{ count }", "{{count}}", "{openid}"] {
        assert_eq!(Template::parse_counting(unknown), Err(NotATemplate::UnknownPlaceholder), "{unknown}");
    }
    assert_eq!(Template::parse("{count}"), Err(NotATemplate::UnknownPlaceholder), "nothing is counted here");
    for empty in ["", " ", "\n\t"] {
        assert_eq!(Template::parse(empty), Err(NotATemplate::Empty));
    }
}

#[test]
fn a_template_fits_into_a_reply_whatever_is_filled_in() {
    let nickname = Template::parse("{nickname}").unwrap();
    assert_eq!(nickname.check("微信用户"), Ok(()));
    assert_eq!(nickname.check(" "), Err(NotATemplate::Empty));
    assert_eq!(nickname.check("\u{1}\u{8}"), Err(NotATemplate::Empty), "XML cannot write these");
    assert_eq!(nickname.check(&"a".repeat(2000)), Ok(()));
    assert_eq!(nickname.check(&"a".repeat(2001)), Err(NotATemplate::TooLong));
    assert_eq!(nickname.check(&"微".repeat(667)), Err(NotATemplate::TooLong), "bytes count, not characters");
    let counting = |length| Template::parse_counting(&format!("{}{{count}}", "a".repeat(length))).unwrap();
    assert_eq!(counting(1980).check(""), Ok(()));
    assert_eq!(counting(1981).check(""), Err(NotATemplate::TooLong), "a count has up to 20 digits");
    assert_eq!(Template::parse(r"\n\n").unwrap().check("x"), Err(NotATemplate::Empty));
}

#[test]
fn a_reply_carries_any_text() {
    for text in ["]]>", "a]]]]>>b", "<Content>&amp;</Content>", "👋\n你好"] {
        let reply = reply::text("to", "from", 1_763_800_031, text);
        let names = ["ToUserName", "FromUserName", "CreateTime", "MsgType", "Content"];
        let read = xml::read(reply.as_bytes(), names).unwrap().map(Option::unwrap);
        assert_eq!(read, ["to", "from", "1763800031", "text", text]);
    }
    let dropped = reply::text("to", "from", 1, "a\u{0}\u{8}\u{b}\u{1f}\u{fffe}\u{ffff}b]]\u{1}>");
    assert_eq!(xml::read(dropped.as_bytes(), ["Content"]).unwrap(), [Some("ab]]>".to_owned())]);
}

#[test]
fn an_envelope_is_what_the_platform_documents() {
    assert_eq!(
        reply::envelope("BASE64", "5f", "1763800031", "1880412337"),
        "<xml><Encrypt><![CDATA[BASE64]]></Encrypt><MsgSignature><![CDATA[5f]]></MsgSignature>\
         <TimeStamp>1763800031</TimeStamp><Nonce><![CDATA[1880412337]]></Nonce></xml>"
    );
}
