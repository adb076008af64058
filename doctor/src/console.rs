//! Where an operator clicks: the names of the console's menus and fields, as README.md has them, and what to do there
//! about a refusal of the platform's.

use std::net::IpAddr;

/// The page with the account's ids, its secret, and the list of addresses (<https://mp.weixin.qq.com>).
pub(crate) const BASICS: &str = "设置与开发 > 开发接口管理 > 基本配置";
/// The fields of the callback on that page.
pub(crate) const SERVER: &str = "设置与开发 > 开发接口管理 > 基本配置 > 服务器配置";

/// What to do about a code of the platform's (docs/wechat.md, "Error codes"); `None` where no click helps.
pub(crate) fn remedy(code: i64, message: &str) -> Option<String> {
    Some(match code {
        -1 => "the platform is busy: run doctor again in a minute".to_owned(),
        40001 | 40125 => format!(
            "{BASICS} > 开发者密码(AppSecret): give the gateways this account's secret as WECHAT_APP_SECRET; nobody \
             can read it there, so press 重置 (reset) if it is lost. Test account: 测试号信息 > appsecret"
        ),
        40013 => format!(
            "{BASICS} > 开发者ID(AppID): copy it to WECHAT_APP_ID, case and blanks count. Test account: 测试号信息 > \
             appID"
        ),
        40164 => {
            let address = address(message).map_or_else(
                || "this machine's outgoing address".to_owned(),
                |address| address.to_string(),
            );
            format!("{BASICS} > IP白名单: add {address}. Add the outgoing address of every gateway")
        }
        40243 => format!(
            "{BASICS} > 开发者密码(AppSecret): the secret is frozen (冻结); unfreeze it (解冻), which takes about 10 \
             minutes to work"
        ),
        45009 => "the day's calls are used up: wait for midnight in Beijing, or clear the quota (POST \
                  /cgi-bin/clear_quota, 10 times a month)"
            .to_owned(),
        45011 => "too many calls in this minute: run doctor again in a minute".to_owned(),
        48001 => "设置与开发 > 公众号设置 > 账号详情: the account must be a certified (已认证) service account \
                  (服务号); 接口权限 then lists 生成带参数的二维码 as granted. A test account (测试号) has this right"
            .to_owned(),
        48004 | 50004 | 50007 => {
            "the platform has blocked the account or this call: read the notices (通知) in the console".to_owned()
        }
        89501 | 89503 => "the account's administrator must confirm in WeChat, on the phone".to_owned(),
        89506 | 89507 => "the account's administrator refused this address: try again tomorrow".to_owned(),
        _ => return None,
    })
}

/// The address that 40164 names: `invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist`.
pub(crate) fn address(message: &str) -> Option<IpAddr> {
    message.split([' ', ',']).find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_to_add_is_the_one_that_the_platform_names() {
        let message = "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 6745-1";
        assert_eq!(address(message), "203.0.113.7".parse().ok());
        assert!(remedy(40164, message).unwrap().contains("IP白名单: add 203.0.113.7."));
        assert!(remedy(40164, "invalid ip").unwrap().contains("outgoing address"));
    }

    #[test]
    fn a_code_that_no_click_helps_has_no_remedy() {
        assert_eq!(remedy(40003, ""), None);
    }
}
