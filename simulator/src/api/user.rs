//! `GET /cgi-bin/user/info` (docs/wechat.md, "User data"). It has not told names or pictures since 2021.

use serde_json::{Value, json};

use super::call::Call;
use super::error::Refusal;
use crate::Simulator;

/// Characters of an openid, at most; real ones have 28.
const OPENID_MAX: usize = 64;

/// What the platform tells about a person.
pub(super) fn info(simulator: &Simulator, call: &Call) -> Result<Value, Refusal> {
    call.must_get()?;
    call.must_be_authorized(simulator)?;
    let openid =
        call.parameter("openid").filter(|openid| is_openid(openid)).ok_or(Refusal::INVALID_OPENID)?;
    let person = simulator.people().get(openid).cloned().unwrap_or_default();
    simulator.journal().counters.user_infos += 1;
    if !person.follows {
        return Ok(json!({ "subscribe": 0, "openid": openid, "tagid_list": [] }));
    }
    let scene = if person.followed_through.is_some() { "ADD_SCENE_QR_CODE" } else { "ADD_SCENE_SEARCH" };
    let (key, number) = person.followed_through.unwrap_or_default();
    let mut answer = json!({
        "subscribe": 1,
        "openid": openid,
        "nickname": "",
        "sex": 0,
        "language": "zh_CN",
        "city": "",
        "province": "",
        "country": "",
        "headimgurl": "",
        "subscribe_time": person.subscribe_time,
        "remark": "",
        "groupid": 0,
        "tagid_list": [],
        "subscribe_scene": scene,
        "qr_scene": number,
        "qr_scene_str": if number == 0 { key } else { String::new() },
    });
    if let Some(unionid) = person.unionid {
        answer["unionid"] = unionid.into();
    }
    Ok(answer)
}

/// Whether a text could be an openid of this account: it starts with `o`.
pub(crate) fn is_openid(text: &str) -> bool {
    let plausible = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    text.starts_with('o') && text.len() <= OPENID_MAX && text.bytes().all(plausible)
}
