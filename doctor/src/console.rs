//! Where an operator clicks: the names of the console's menus and fields, as README.md has them. What to do there about
//! a refusal of the platform's is the gateway's advice, which its log has as well.

use std::net::IpAddr;

/// The page with the account's ids, its secret, and the list of addresses (<https://mp.weixin.qq.com>).
pub(crate) const BASICS: &str = "设置与开发 > 开发接口管理 > 基本配置";
/// The fields of the callback on that page.
pub(crate) const SERVER: &str = "设置与开发 > 开发接口管理 > 基本配置 > 服务器配置";

/// What to do about a code of the platform's (docs/wechat.md, "Error codes"): where to click, and there the gateway's
/// `advice`.
pub(crate) fn remedy(code: i64, message: &str, advice: &str) -> String {
    match code {
        -1 | 45011 => format!("{advice}. Run doctor again in a minute"),
        40001 | 40125 => format!(
            "{BASICS} > 开发者密码(AppSecret): {advice}. Nobody can read it there, so press 重置 (reset) if it is lost. \
             Test account: 测试号信息 > appsecret"
        ),
        40013 => format!("{BASICS} > 开发者ID(AppID): {advice}. Test account: 测试号信息 > appID"),
        // What the advice says, with the address itself.
        40164 => {
            let address = address(message)
                .map_or_else(|| "this machine's outgoing address".to_owned(), |address| address.to_string());
            format!("{BASICS} > IP白名单: add {address}. Add the outgoing address of every gateway")
        }
        40243 => format!("{BASICS} > 开发者密码(AppSecret): {advice}"),
        48001 => format!(
            "设置与开发 > 公众号设置 > 账号详情: {advice}. Where it is certified (已认证), 接口权限 lists \
             生成带参数的二维码 as granted"
        ),
        _ => advice.to_owned(),
    }
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
        assert!(remedy(40164, message, "").contains("IP白名单: add 203.0.113.7."));
        assert!(remedy(40164, "invalid ip", "").contains("outgoing address"));
    }

    #[test]
    fn where_to_click_stands_before_what_to_do_there() {
        for code in [40001, 40013, 40243, 48001] {
            let remedy = remedy(code, "", "the advice");
            assert!(remedy.contains("设置与开发 > ") && remedy.contains(": the advice"), "{remedy}");
        }
        assert_eq!(remedy(40003, "", "the advice"), "the advice");
    }
}
