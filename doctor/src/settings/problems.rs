//! Which programs' settings are here, and what is wrong with them.

use clap::{Command, CommandFactory};
use shared::settings::Invalid;

use super::{Flags, Known};

/// A program whose settings are read.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// Whether its settings should be complete.
    pub(crate) expected: bool,
    /// The variables that only this one reads, and that tell whose environment this is.
    pub(crate) own: Vec<String>,
}

impl Service {
    /// This program.
    pub(crate) fn doctor() -> Self {
        Self { name: "doctor", expected: true, own: variables(&Flags::command()) }
    }

    /// The gateway and the callback. One whose own variables are all absent is taken to be elsewhere, unless that is
    /// so of both.
    pub(crate) fn both() -> [Self; 2] {
        let gateway = variables(&gateway::settings::Settings::command());
        let callback = variables(&callback::settings::Settings::command());
        let service = |name, of: &[String], not_of: &[String], secrets: [&str; 2]| {
            let own: Vec<String> = of.iter().filter(|name| !not_of.contains(name)).cloned().collect();
            let secrets = secrets.iter().flat_map(|secret| [(*secret).to_owned(), format!("{secret}_FILE")]);
            let own: Vec<String> = secrets.chain(own).collect();
            Self { name, expected: own.iter().any(|name| is_set(name)), own }
        };
        let mut gateway_and_callback = [
            service("gateway", &gateway, &callback, ["WECHAT_APP_SECRET", "REDEEM_SECRET"]),
            service("callback", &callback, &gateway, ["WECHAT_TOKEN", "WECHAT_ENCODING_AES_KEY"]),
        ];
        if gateway_and_callback.iter().all(|service| !service.expected) {
            gateway_and_callback.iter_mut().for_each(|service| service.expected = true);
        }
        gateway_and_callback
    }

    /// Gateway and callback in one program: what either needs, it needs.
    pub(crate) fn standalone() -> [Self; 2] {
        Self::both().map(|service| Self { expected: true, ..service })
    }
}

fn variables(command: &Command) -> Vec<String> {
    command.get_arguments().filter_map(|arg| Some(arg.get_env()?.to_string_lossy().into_owned())).collect()
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// A setting that is missing or malformed, and the programs that it keeps from starting.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) services: Vec<&'static str>,
    pub(crate) invalid: Invalid,
}

/// Everything that is wrong with the settings, each setting once.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    /// All of them, in the order in which they were found.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Notes what is wrong for a program, unless its settings are elsewhere.
    pub(super) fn add_all(&mut self, service: &Service, invalid: impl IntoIterator<Item = Invalid>) {
        for invalid in invalid.into_iter().filter(|_| service.expected) {
            match self.0.iter_mut().find(|problem| problem.invalid.setting() == invalid.setting()) {
                // What was found first is nearer to the cause: a malformed setting counts as missing further on.
                Some(known) if known.services.contains(&service.name) => {}
                Some(known) => known.services.push(service.name),
                None => self.0.push(Problem { services: vec![service.name], invalid }),
            }
        }
    }

    /// What was read for these programs, or why it is not known; what is wrong with it is noted.
    pub(super) fn known<T>(&mut self, services: &[&Service], read: Result<T, Invalid>) -> Known<T> {
        if services.iter().all(|service| !service.expected) {
            let names: Vec<_> = services.iter().map(|service| service.name).collect();
            return Err(format!("the {}'s settings are not here", names.join(" and ")));
        }
        read.map_err(|invalid| {
            for service in services {
                self.add_all(service, [invalid.clone()]);
            }
            needs(invalid.setting())
        })
    }

    /// `value`, unless its variable is malformed, so that this is its default.
    pub(super) fn well_formed<T>(&mut self, service: &Service, variable: &str, value: T) -> Known<T> {
        if self.0.iter().any(|problem| problem.invalid.setting() == variable) {
            return Err(needs(variable));
        }
        self.known(&[service], Ok(value))
    }
}

fn needs(setting: &str) -> String {
    format!("it needs {setting}, see settings")
}
