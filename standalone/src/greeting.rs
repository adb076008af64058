//! Where to look, in a few lines.

use std::io::{self, Write as _};

use shared::settings::Secret;

/// What a person who starts the program wants to know.
#[derive(Debug)]
pub(crate) struct Greeting<'a> {
    pub(crate) here: &'a str,
    pub(crate) simulated: bool,
    /// A secret that was made up for this run.
    pub(crate) redeem_secret: Option<Secret>,
    /// Whether codes can be redeemed.
    pub(crate) redeems: bool,
    /// Whether login counts outlive the process.
    pub(crate) counts_last: bool,
}

impl Greeting<'_> {
    /// Says it on standard output.
    pub(crate) fn print(&self) {
        // Whoever started it without an output does not want to read.
        let _ = writeln!(io::stdout(), "{}", self.text());
    }

    fn text(&self) -> String {
        let here = self.here;
        let mut lines = vec![String::new(), format!("  Login page   {here}/")];
        if self.simulated {
            lines.push(format!("  Phone        {here}/simulator/phone"));
        } else {
            lines.push(format!(
                "  Callback     {here}/wechat/callback (the platform needs it on port 80 or 443)"
            ));
        }
        if let Some(secret) = &self.redeem_secret {
            lines.push(format!(
                "  Redeem       POST {here}/api/redeem, Authorization: Bearer {}",
                secret.expose()
            ));
        }
        lines.push(String::new());
        if self.simulated {
            lines.push(
                "  WeChat is SIMULATED: ANYBODY CAN LOG IN AS ANYBODY. For a real account set WECHAT_APP_ID,"
                    .into(),
            );
            lines.push("  WECHAT_APP_SECRET, WECHAT_TOKEN and WECHAT_ENCODING_AES_KEY (README.md).".into());
        }
        if !self.redeems {
            lines.push(
                "  Redeeming is off: set REDEEM_SECRET to what your application's server will send.".into(),
            );
        }
        if !self.counts_last {
            lines.push("  Login counts begin anew at each start; REDIS_URL keeps them.".into());
        }
        lines.push(String::new());
        lines.join("\n")
    }
}
