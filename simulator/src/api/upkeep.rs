//! Address lists and the quota's reset (docs/wechat.md, "Addresses", "Quotas"). Quotas themselves are not counted: a fault
//! plays them.

use serde_json::{Value, json};

use super::call::Call;
use super::error::Refusal;
use crate::Simulator;

/// Clears a month.
const CLEARS: u64 = 10;

/// `GET /cgi-bin/getcallbackip`: where pushes come from; single addresses and blocks.
pub(super) fn callback_addresses(simulator: &Simulator, call: &Call) -> Result<Value, Refusal> {
    call.must_get()?;
    call.must_be_authorized(simulator)?;
    Ok(json!({ "ip_list": ["127.0.0.1", "203.0.113.0/25"] }))
}

/// `GET /cgi-bin/get_api_domain_ip`: where the API lives.
pub(super) fn api_addresses(simulator: &Simulator, call: &Call) -> Result<Value, Refusal> {
    call.must_get()?;
    call.must_be_authorized(simulator)?;
    Ok(json!({ "ip_list": ["127.0.0.1"] }))
}

/// `POST /cgi-bin/clear_quota`. The month never ends here: a simulator that was asked eleven times is restarted.
pub(super) fn clear_quota(simulator: &Simulator, call: &Call) -> Result<Value, Refusal> {
    call.must_post()?;
    call.must_be_authorized(simulator)?;
    let body = call.json()?;
    if body.get("appid").and_then(Value::as_str) != Some(&simulator.account().app_id) {
        return Err(Refusal::INVALID_APP_ID);
    }
    let cleared = &mut simulator.journal().counters.quota_clears;
    if *cleared >= CLEARS {
        return Err(Refusal::CLEARS_USED_UP);
    }
    *cleared += 1;
    Ok(json!({ "errcode": 0, "errmsg": "ok" }))
}
