//! The two token endpoints (docs/wechat.md, "Tokens").

use serde_json::{Value, json};

use super::call::Call;
use super::error::Refusal;
use crate::Simulator;
use crate::tokens::Granted;

/// The only grant there is.
const GRANT_TYPE: &str = "client_credential";

/// `GET /cgi-bin/token?grant_type=…&appid=…&secret=…`: a new token at every call.
pub(super) fn classic(simulator: &Simulator, call: &Call) -> Result<Value, Refusal> {
    call.must_get()?;
    let of = |name| call.parameter(name);
    must_be_the_account(simulator, of("grant_type"), of("appid"), of("secret"))?;
    let now = simulator.now();
    let granted = simulator.tokens().classic(now)?;
    let mut journal = simulator.journal();
    journal.counters.classic_tokens += 1;
    journal.counters.tokens_made += u64::from(granted.is_new);
    Ok(answer(&granted))
}

/// `POST /cgi-bin/stable_token`: the same token while it is good.
pub(super) fn stable(simulator: &Simulator, call: &Call) -> Result<Value, Refusal> {
    call.must_post()?;
    let body = call.json()?;
    let of = |name| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    must_be_the_account(simulator, of("grant_type"), of("appid"), of("secret"))?;
    let force = match body.get("force_refresh") {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(_) => return Err(Refusal::NOT_JSON),
    };
    let now = simulator.now();
    let granted = if force { simulator.tokens().forced(now)? } else { simulator.tokens().stable(now)? };
    let mut journal = simulator.journal();
    journal.counters.stable_tokens += 1;
    journal.counters.forced_tokens += u64::from(force);
    journal.counters.tokens_made += u64::from(granted.is_new);
    Ok(answer(&granted))
}

/// Success carries no errcode at all.
fn answer(granted: &Granted) -> Value {
    json!({ "access_token": granted.token, "expires_in": granted.expires_in })
}

fn must_be_the_account(
    simulator: &Simulator,
    grant_type: Option<&str>,
    app_id: Option<&str>,
    secret: Option<&str>,
) -> Result<(), Refusal> {
    let account = simulator.account();
    if grant_type != Some(GRANT_TYPE) {
        return Err(Refusal::WRONG_GRANT_TYPE);
    }
    if app_id.ok_or(Refusal::APP_ID_MISSING)? != account.app_id {
        return Err(Refusal::INVALID_APP_ID);
    }
    let secret = secret.ok_or(Refusal::SECRET_MISSING)?;
    if secret != account.app_secret || simulator.faults().secret_reset() {
        return Err(Refusal::INVALID_SECRET);
    }
    // Announced as a check of the token endpoints; whether other calls are checked too is not known.
    if simulator.faults().ip_not_allowed() {
        return Err(Refusal::AddressNotAllowed);
    }
    Ok(())
}
