//! What operators say about traces, by the names that OpenTelemetry has for it
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).

use std::str::FromStr;

use clap::{Args, ValueEnum};
use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::Sampler;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::settings::{Invalid, Secret, secret};

/// Where OTLP over HTTP takes traces, beneath the endpoint of everything
/// (<https://opentelemetry.io/docs/specs/otlp/#otlphttp-request>).
const TRACES_PATH: &str = "/v1/traces";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const TRACES_HEADERS: &str = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
const HEADERS_ARE: &str =
    "headers such as x-api-key=secret, separated by commas, their values percent-encoded";

/// How traces are sent; nowhere without an endpoint.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
pub struct TraceSettings {
    /// The base URL of an OpenTelemetry collector, such as http://collector:4318, that gets traces at its /v1/traces; no
    /// traces without it
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", value_parser = endpoint)]
    pub otel_exporter_otlp_endpoint: Option<String>,
    /// The whole URL that traces are sent to, such as http://collector:4318/v1/traces, instead of the base
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value_name = "URL", value_parser = endpoint)]
    pub otel_exporter_otlp_traces_endpoint: Option<String>,
    /// The protocol of the endpoint; there is one
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", value_name = "NAME", default_value = "http/protobuf")]
    pub otel_exporter_otlp_protocol: TraceProtocol,
    /// The name of this service in traces; the program's name if not set
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME")]
    pub otel_service_name: Option<String>,
    /// The attributes of this process in traces, such as deployment.environment.name=production,k8s.pod.name=a, with
    /// percent-encoded values
    #[arg(long, env = "OTEL_RESOURCE_ATTRIBUTES", value_name = "ATTRIBUTES")]
    pub otel_resource_attributes: Option<TraceAttributes>,
    /// The choice of logins that are traced, the same in all programs; parentbased makes no difference
    #[arg(
        long,
        env = "OTEL_TRACES_SAMPLER",
        value_name = "SAMPLER",
        default_value = "parentbased_always_on"
    )]
    pub otel_traces_sampler: TraceSampler,
    /// The share of logins that a sampler by ratio takes, from 0 to 1 [default: 1]
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", value_name = "RATIO", value_parser = ratio)]
    pub otel_traces_sampler_arg: Option<f64>,
}

/// What an endpoint may speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TraceProtocol {
    /// OTLP over HTTP, port 4318 by custom
    #[default]
    #[value(name = "http/protobuf")]
    HttpProtobuf,
}

/// Which logins are traced. The root of a trace has no parent, and everybody knows what was decided for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum TraceSampler {
    /// All
    AlwaysOn,
    /// None
    AlwaysOff,
    /// A share, by the login's id
    Traceidratio,
    /// All
    #[default]
    ParentbasedAlwaysOn,
    /// None
    ParentbasedAlwaysOff,
    /// A share, by the login's id
    ParentbasedTraceidratio,
}

/// Attributes of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceAttributes(Vec<(String, String)>);

impl FromStr for TraceAttributes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        pairs(text).map(Self).ok_or("not of the form name=value,name=value")
    }
}

/// Where spans go, and which.
#[derive(Debug)]
pub struct Destination {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) service: Option<String>,
    pub(super) attributes: Vec<KeyValue>,
    pub(super) sampler: Sampler,
}

impl TraceSettings {
    /// Where spans go, with the secrets of the environment; `None` if nobody asks for any.
    ///
    /// # Errors
    ///
    /// A header is malformed, the file of the headers cannot be read, or some are said twice.
    pub fn destination(&self) -> Result<Option<Destination>, Invalid> {
        let headers = match secret(TRACES_HEADERS)? {
            // The library reads the variables by itself and knows no files, so it would send the others as well.
            Some(_) if is_set(HEADERS) && !is_set(TRACES_HEADERS) => {
                let file = format!("{TRACES_HEADERS}_FILE is set as well, and one must do");
                return Err(Invalid::unwanted(HEADERS, file));
            }
            Some(text) => headers(TRACES_HEADERS, &text)?,
            None => secret(HEADERS)?.map(|text| headers(HEADERS, &text)).transpose()?.unwrap_or_default(),
        };
        let own = self.otel_exporter_otlp_traces_endpoint.is_some();
        let name = if own { "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" } else { "OTEL_EXPORTER_OTLP_ENDPOINT" };
        let base = self.otel_exporter_otlp_endpoint.as_ref();
        let of_base = || base.map(|base| format!("{}{TRACES_PATH}", base.trim_end_matches('/')));
        let Some(url) = self.otel_exporter_otlp_traces_endpoint.clone().or_else(of_base) else {
            return Ok(None);
        };
        let expected = "an http or https URL";
        let url = Url::parse(&url).map_err(|_| Invalid::malformed(name, expected))?;
        let attributes = self.otel_resource_attributes.clone().unwrap_or_default().0;
        Ok(Some(Destination {
            url,
            headers,
            service: self.otel_service_name.clone(),
            attributes: attributes.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect(),
            sampler: self.sampler(),
        }))
    }

    fn sampler(&self) -> Sampler {
        match self.otel_traces_sampler {
            TraceSampler::AlwaysOn | TraceSampler::ParentbasedAlwaysOn => Sampler::AlwaysOn,
            TraceSampler::AlwaysOff | TraceSampler::ParentbasedAlwaysOff => Sampler::AlwaysOff,
            TraceSampler::Traceidratio | TraceSampler::ParentbasedTraceidratio => {
                Sampler::TraceIdRatioBased(self.otel_traces_sampler_arg.unwrap_or(1.0))
            }
        }
    }
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|text| !text.is_empty())
}

/// A URL as the standard writes it. One with a password is refused, for it is printed: that belongs into a header.
fn endpoint(text: &str) -> Result<String, &'static str> {
    let url = Url::parse(text).map_err(|_| "not a URL")?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.has_host();
    let nobodys = url.username().is_empty() && url.password().is_none();
    if plain && nobodys && matches!(url.scheme(), "http" | "https") {
        Ok(url.into())
    } else {
        Err("not an http or https URL without user, password and query")
    }
}

fn ratio(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or("not a number from 0 to 1")
}

/// `name=value,name=value`, the values percent-encoded, as the standard has both headers and attributes. An empty entry
/// is none.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let (name, value) = entry.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            let name = name.trim();
            (!name.is_empty()).then(|| (name.to_owned(), value.into_owned()))
        })
        .collect()
}

fn headers(setting: &str, text: &Secret) -> Result<HeaderMap, Invalid> {
    let header = |(name, value): &(String, String)| {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::from_str(name).ok()?, value))
    };
    pairs(text.expose())
        .and_then(|pairs| pairs.iter().map(header).collect())
        .ok_or_else(|| Invalid::malformed(setting, HEADERS_ARE))
}
