//! One call to the API, and the checks that most have in common.

use std::net::IpAddr;

use axum::body::Bytes;
use axum::extract::Query;
use axum::http::{Method, Uri};
use serde_json::{Map, Value};

use super::error::Refusal;
use crate::Simulator;
use crate::tokens::Refused;

/// A request, taken apart.
pub(super) struct Call {
    method: Method,
    query: Vec<(String, String)>,
    body: Bytes,
    /// Who calls, for the message of 40164.
    pub(super) peer: IpAddr,
}

impl Call {
    /// A query that cannot be read counts as none, so that its parameters are missing.
    pub(super) fn new(method: &Method, uri: &Uri, body: Bytes, peer: IpAddr) -> Self {
        let query = Query::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default();
        Self { method: method.clone(), query, body, peer }
    }

    /// A parameter of the query; an empty one counts as missing.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Refuses every verb but GET.
    pub(super) fn must_get(&self) -> Result<(), Refusal> {
        if self.method == Method::GET { Ok(()) } else { Err(Refusal::GET_REQUIRED) }
    }

    /// Refuses every verb but POST.
    pub(super) fn must_post(&self) -> Result<(), Refusal> {
        if self.method == Method::POST { Ok(()) } else { Err(Refusal::POST_REQUIRED) }
    }

    /// The body, which is a JSON object whatever the Content-Type says.
    pub(super) fn json(&self) -> Result<Map<String, Value>, Refusal> {
        if self.body.is_empty() {
            return Err(Refusal::EMPTY_BODY);
        }
        serde_json::from_slice(&self.body).map_err(|_| Refusal::NOT_JSON)
    }

    /// Refuses a business call whose token is missing, malformed, over, or not the latest.
    pub(super) fn must_be_authorized(&self, simulator: &Simulator) -> Result<(), Refusal> {
        let token = self.parameter("access_token").ok_or(Refusal::TOKEN_MISSING)?;
        let now = simulator.now();
        simulator.tokens().check(token, now).map_err(|refused| match refused {
            Refused::Malformed => Refusal::MALFORMED_TOKEN,
            Refused::Unknown => Refusal::INVALID_CREDENTIAL,
            Refused::Expired => Refusal::TOKEN_EXPIRED,
        })
    }
}
