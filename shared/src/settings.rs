//! Typed settings: each a flag and an environment variable; a secret is a variable or `NAME_FILE=path`, never a flag,
//! because command lines are public on a machine. What is wrong ends the program with exit code 2 and a line each.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::process;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches};

/// Exit code for a setting that is missing or malformed.
pub const EXIT_BAD_SETTING: i32 = 2;
/// A secret's file is read up to this many bytes; the largest secret, a Redis URL of a Cluster, is far below.
const SECRET_FILE_MAX: u64 = 64 * 1024;

/// Text that must not be seen: it has no `Display`, its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret that came from somewhere else than a setting.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A setting that is missing or malformed. Its text is one line that names the setting and says what belongs there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {what}")]
pub struct Invalid {
    setting: String,
    what: String,
}

impl Invalid {
    /// `setting` has a value that it cannot have; `expected` says what belongs there. The value is not repeated, for it
    /// may be a secret in the wrong place.
    #[must_use]
    pub fn malformed(setting: impl Into<String>, expected: impl fmt::Display) -> Self {
        Self { setting: setting.into(), what: format!("is malformed: expected {expected}") }
    }

    /// `setting` is needed and not there; `expected` says what belongs there.
    #[must_use]
    pub fn missing(setting: impl Into<String>, expected: impl fmt::Display) -> Self {
        Self { setting: setting.into(), what: format!("is missing: expected {expected}") }
    }

    /// `setting` is there and must not be; `why` says so.
    #[must_use]
    pub fn unwanted(setting: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { setting: setting.into(), what: format!("must not be set: {why}") }
    }

    /// The variable that it is about, or the flag where there is no variable.
    #[must_use]
    pub fn setting(&self) -> &str {
        self.setting.split(' ').next().unwrap_or_default()
    }

    /// Ends the program as the contract says: one line on standard error, exit code 2.
    pub fn exit(&self) -> ! {
        complain(self);
        process::exit(EXIT_BAD_SETTING)
    }
}

/// Says on standard error, in one line, what prevents the start.
pub fn complain(what: &dyn fmt::Display) {
    #[expect(clippy::print_stderr, reason = "logging is not up yet, or never will be")]
    {
        eprintln!("error: {what}");
    }
}

/// Reads flags and environment. `--help` and `--version` are answered here and end the program with 0. A variable that
/// is empty counts as not set, which is what a compose file makes of a variable that it passes on.
///
/// # Errors
///
/// The first flag or variable that is unknown or malformed.
pub fn parse<T: CommandFactory + FromArgMatches>() -> Result<T, Invalid> {
    parse_from(std::env::args_os())
}

/// As [`parse`], with the command line given.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_from<T, I, S>(arguments: I) -> Result<T, Invalid>
where
    T: CommandFactory + FromArgMatches,
    I: IntoIterator<Item = S>,
    S: Into<std::ffi::OsString> + Clone,
{
    attempt(arguments, |_| true).map_err(|(_, invalid)| invalid)
}

/// As [`parse_from`], but goes on behind a variable that is malformed, as if it were not set: for a program whose subject
/// is what is wrong. Returns all of those beside the settings.
///
/// # Errors
///
/// The first *flag* that is unknown or malformed.
pub fn parse_all_from<T, I, S>(arguments: I) -> Result<(T, Vec<Invalid>), Invalid>
where
    T: CommandFactory + FromArgMatches,
    I: IntoIterator<Item = S>,
    S: Into<std::ffi::OsString> + Clone,
{
    let arguments: Vec<S> = arguments.into_iter().collect();
    let (mut left_out, mut malformed) = (Vec::<String>::new(), Vec::new());
    loop {
        match attempt(arguments.clone(), |variable| !left_out.iter().any(|name| name == variable)) {
            Ok(settings) => return Ok((settings, malformed)),
            Err((Some(variable), invalid)) if !left_out.contains(&variable) => {
                left_out.push(variable);
                malformed.push(invalid);
            }
            // The variable is not even read any more, so it is the flag.
            Err((_, invalid)) => return Err(invalid),
        }
    }
}

/// Reads flags, and those variables that are `wanted`. An error comes with the variable that it may have come from.
fn attempt<T, I, S>(arguments: I, wanted: impl Fn(&str) -> bool) -> Result<T, (Option<String>, Invalid)>
where
    T: CommandFactory + FromArgMatches,
    I: IntoIterator<Item = S>,
    S: Into<std::ffi::OsString> + Clone,
{
    let variable = |arg: &clap::Arg| Some(arg.get_env()?.to_string_lossy().into_owned());
    let not_text = |arg: &clap::Arg| {
        let name = variable(arg).filter(|name| wanted(name))?;
        let value = std::env::var_os(&name)?;
        value.to_str().is_none().then(|| (Some(name.clone()), Invalid::malformed(name, "UTF-8 text")))
    };
    if let Some(invalid) = T::command().get_arguments().find_map(not_text) {
        return Err(invalid);
    }
    let mut command = T::command().mut_args(|arg| {
        let set = variable(&arg).is_some_and(|name| {
            wanted(&name) && std::env::var_os(&name).is_none_or(|value| !value.is_empty())
        });
        if set { arg } else { arg.env(None) }.hide_env_values(true)
    });
    let explained = |command: &clap::Command, error: &clap::Error| {
        (argument(command, error).and_then(variable), invalid(command, error))
    };
    let matches = command.try_get_matches_from_mut(arguments).map_err(|error| explained(&command, &error))?;
    T::from_arg_matches(&matches).map_err(|error| explained(&command, &error))
}

/// Turns clap's many lines into our one.
fn invalid(command: &clap::Command, error: &clap::Error) -> Invalid {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        error.exit();
    }
    let shown = shown(error).unwrap_or_else(|| "the command line".to_owned());
    if error.kind() == ErrorKind::UnknownArgument && !shown.starts_with('-') {
        // It may be a secret in the wrong place.
        let what = "has a value without a flag: see --help".to_owned();
        return Invalid { setting: "the command line".to_owned(), what };
    }
    let Some(arg) = argument(command, error) else {
        return Invalid { setting: shown, what: "is not known: see --help".to_owned() };
    };
    let long = arg.get_long().unwrap_or_default();
    let name = arg
        .get_env()
        .map_or_else(|| format!("--{long}"), |env| format!("{} (--{long})", env.to_string_lossy()));
    if error.kind() == ErrorKind::ArgumentConflict {
        return Invalid { setting: name, what: "is given twice".to_owned() };
    }
    let belongs = arg.get_help().map(ToString::to_string).unwrap_or_default().replacen("The ", "the ", 1);
    let values = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => {
            Some(format!("not one of {}", values.join(", ")))
        }
        _ => None,
    };
    let why = values.or_else(|| std::error::Error::source(error).map(ToString::to_string));
    let why = why.map(|why| format!(" ({})", first_line(&why))).unwrap_or_default();
    Invalid { setting: name, what: format!("is malformed: expected {}{why}", first_line(&belongs)) }
}

/// What an error is about, as clap shows it: `--scene-ttl <DURATION>`.
fn shown(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => texts.first().cloned(),
        _ => None,
    }
}

/// The flag that an error is about, where it is one of ours.
fn argument<'c>(command: &'c clap::Command, error: &clap::Error) -> Option<&'c clap::Arg> {
    let shown = shown(error)?;
    let long = shown.split([' ', '=']).next().unwrap_or_default().trim_start_matches('-');
    command.get_arguments().find(|arg| arg.get_long() == Some(long))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Reads the secret `name` from its variable or from the file that `name_FILE` names; line ends at a file's end are
/// dropped. `None` when neither is set, or empty.
///
/// # Errors
///
/// Both are set, the file cannot be read, or the text is not UTF-8.
pub fn secret(name: &str) -> Result<Option<Secret>, Invalid> {
    let variable = |name: &str| match std::env::var(name) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(Invalid::malformed(name, "UTF-8 text")),
    };
    let file = format!("{name}_FILE");
    let text = match (variable(name)?, variable(&file)?) {
        (Some(_), Some(_)) => {
            return Err(Invalid::unwanted(file, format!("{name} is set as well, and one must do")));
        }
        (Some(text), None) => text,
        (None, Some(path)) => read_secret_file(&file, &path)?,
        (None, None) => return Ok(None),
    };
    Ok((!text.is_empty()).then_some(Secret(text)))
}

/// As [`secret`], for one that the program cannot do without; `expected` says what belongs there.
///
/// # Errors
///
/// As [`secret`], and when it is not set.
pub fn required_secret(name: &str, expected: &str) -> Result<Secret, Invalid> {
    secret(name)?.ok_or_else(|| Invalid::missing(name, format!("{expected} (or {name}_FILE=path)")))
}

fn read_secret_file(setting: &str, path: &str) -> Result<String, Invalid> {
    let mut text = Vec::new();
    File::open(path).and_then(|file| file.take(SECRET_FILE_MAX + 1).read_to_end(&mut text)).map_err(
        |error| Invalid::malformed(setting, format!("the path of a file that can be read ({error})")),
    )?;
    if text.len() as u64 > SECRET_FILE_MAX {
        return Err(Invalid::malformed(setting, format!("a file of at most {SECRET_FILE_MAX} bytes")));
    }
    let text = String::from_utf8(text).map_err(|_| Invalid::malformed(setting, "a file of UTF-8 text"))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// A duration with its unit, such as `10s`, `15m` or `1h 30m`. A bare number is refused: nobody can tell its unit.
///
/// # Errors
///
/// Not of that form.
pub fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

/// A duration of at least one second, for times to live: Redis and pages count in whole seconds.
///
/// # Errors
///
/// Not a duration with its unit, or below a second.
pub fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_secs(1)..=Duration::from_secs(30 * 86_400)).contains(&lifetime) {
        Ok(lifetime)
    } else {
        Err("it must lie between 1s and 30days".to_owned())
    }
}

/// The settings that gateway and callback have in common.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct AccountSettings {
    /// The account's app id, wx… (console: 设置与开发 > 开发接口管理; test account: 测试号信息)
    #[arg(long, env = "WECHAT_APP_ID", value_name = "ID", value_parser = app_id)]
    pub wechat_app_id: Option<String>,
    /// The name that stands in for the nickname, which the platform no longer tells
    #[arg(long, env = "DISPLAY_NAME", value_name = "TEXT", default_value = "微信用户")]
    pub display_name: String,
}

impl AccountSettings {
    /// The app id of a program that cannot do without.
    ///
    /// # Errors
    ///
    /// It is not set.
    pub fn required_app_id(&self) -> Result<String, Invalid> {
        self.wechat_app_id
            .clone()
            .ok_or_else(|| Invalid::missing("WECHAT_APP_ID", "the account's app id, wx…"))
    }
}

fn app_id(text: &str) -> Result<String, &'static str> {
    let plausible =
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plausible { Ok(text.to_owned()) } else { Err("letters and digits, without blanks") }
}
