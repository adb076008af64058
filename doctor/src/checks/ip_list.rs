//! Whether this machine's address is on the account's list, the IP白名单.

use super::token::{Fetched, NOT_LISTED, NoToken};
use crate::console;
use crate::report::Finding;
use crate::settings::Deployment;

const NAME: &str = "ip list";

/// The token's answer tells: only listed addresses get one (docs/wechat.md, "Tokens").
pub(super) fn finding(deployment: &Deployment, fetched: &Result<Fetched, NoToken>) -> Finding {
    match fetched {
        Ok(_) => Finding::ok(NAME, "this machine's address may fetch tokens"),
        Err(NoToken::NotListed { message, advice }) => {
            let found = match console::address(message) {
                Some(address) => {
                    format!("{address}, this machine's address, is not on the account's list (40164)")
                }
                None => {
                    format!("this address is not on the account's list: {}", deployment.foreign.show(message))
                }
            };
            Finding::fail(NAME, found, console::remedy(NOT_LISTED, message, advice))
        }
        Err(NoToken::NotAsked(why)) => Finding::skip(NAME, why),
        Err(NoToken::Failed(_) | NoToken::Late) => {
            Finding::skip(NAME, "not known: the platform gave no token for another reason, see token")
        }
    }
}
