//! The operator's doctor, and what it says.

use crate::program::{Program, Setting, setting};
use crate::stack::{Account, Stack};

/// Settings whose values are seen nowhere.
const SECRETS: [&str; 5] =
    ["WECHAT_APP_SECRET", "WECHAT_TOKEN", "WECHAT_ENCODING_AES_KEY", "REDEEM_SECRET", "REDIS_URL"];
/// Columns that every line of its fits into.
const WIDTH: usize = 100;

/// A doctor, and the settings that it is given.
#[derive(Clone, Debug)]
pub struct Doctor {
    settings: Vec<Setting>,
}

impl Doctor {
    /// One that is given nothing.
    #[must_use]
    pub fn without_settings() -> Self {
        Self { settings: Vec::new() }
    }

    /// One that is given an account in safe mode, and where its platform is.
    #[must_use]
    pub fn of_account(account: &Account, platform: &str) -> Self {
        let mut settings = account.settings("safe");
        settings.push(setting("WECHAT_API_BASE", platform));
        Self { settings }
    }

    /// One that is given what the programs of a stack in safe mode are, and where it is.
    #[must_use]
    pub fn of_stack(stack: &Stack) -> Self {
        Self::of_account(&stack.account, &stack.simulator.url())
            .given("REDIS_URL", stack.redis.url().expose())
            .given("PUBLIC_URL", &stack.url())
    }

    /// The same, with another value for a setting.
    #[must_use]
    pub fn given(&self, name: &str, value: &str) -> Self {
        let mut doctor = self.not_given(name);
        doctor.settings.push(setting(name, value));
        doctor
    }

    /// The same, without a setting.
    #[must_use]
    pub fn not_given(&self, name: &str) -> Self {
        let settings = self.settings.iter().filter(|(known, _)| known != name).cloned().collect();
        Self { settings }
    }

    /// Lets it look, and sees to it that it keeps its secrets.
    pub async fn looks(&self) -> Report {
        let ended = Program::run("doctor", &self.settings).await;
        for (name, value) in self.settings.iter().filter(|(name, _)| SECRETS.contains(&name.as_str())) {
            for secret in value.split([',', '@', '/', ':']).filter(|part| part.len() >= 8) {
                // An address is part of a URL, and of no interest.
                let hidden = secret.contains('.') || !ended.printed.contains(secret);
                assert!(hidden, "{name} is in: {}", ended.printed);
            }
        }
        assert!(!ended.printed.contains('\x1b'), "colours are for terminals: {}", ended.printed);
        Report { code: ended.code, printed: ended.printed }
    }
}

/// What it printed.
#[derive(Debug)]
pub struct Report {
    /// Its exit code.
    pub code: Option<i32>,
    /// Everything that it printed.
    pub printed: String,
}

impl Report {
    /// The findings of a status and a check, each on one line with its remedy.
    #[must_use]
    pub fn findings(&self, status: &str, check: &str) -> Vec<String> {
        let mut findings: Vec<String> = Vec::new();
        for line in self.printed.lines().take_while(|line| !line.is_empty()) {
            match findings.last_mut().filter(|_| line.starts_with(' ')) {
                Some(finding) => finding.push_str(&format!(" {}", line.trim())),
                None => findings.push(line.to_owned()),
            }
        }
        let begins = format!("{status:<4}  {check:<8}  ");
        findings.iter().filter_map(|finding| finding.strip_prefix(&begins)).map(str::to_owned).collect()
    }

    /// Sees to it that nothing failed.
    pub fn is_well(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}", self.printed);
        assert!(!self.printed.contains("FAIL"), "{}", self.printed);
        self
    }

    /// Sees to it that exactly this failed, and that each of `says` is said of it.
    pub fn fails_only(&self, check: &str, says: &[&str]) -> &Self {
        assert_eq!(
            self.printed.matches("\nFAIL").count() + usize::from(self.printed.starts_with("FAIL")),
            1,
            "{}",
            self.printed
        );
        self.fails(check, says)
    }

    /// Sees to it that a check failed, and that each of `says` is said of it.
    pub fn fails(&self, check: &str, says: &[&str]) -> &Self {
        assert_eq!(self.code, Some(1), "{}", self.printed);
        self.says("FAIL", check, says)
    }

    /// Sees to it that one finding of this status and check says all of it.
    pub fn says(&self, status: &str, check: &str, says: &[&str]) -> &Self {
        let findings = self.findings(status, check);
        let says_all = |finding: &String| says.iter().all(|word| finding.contains(word));
        assert!(findings.iter().any(says_all), "no {status} of {check} says {says:?}: {}", self.printed);
        self
    }

    /// Sees to it that it can be read on a terminal of usual width. Chinese characters have two columns.
    pub fn is_readable(&self) -> &Self {
        let columns =
            |line: &str| line.chars().map(|c| if c as u32 >= 0x2e80 { 2 } else { 1 }).sum::<usize>();
        for line in self.printed.lines() {
            assert!(columns(line) <= WIDTH, "{line}");
        }
        self
    }
}
