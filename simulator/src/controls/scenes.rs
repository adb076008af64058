//! `POST /simulator/scenes`: what the platform would push for scans, for a program that pushes by itself.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::{Problem, person, read};
use crate::Simulator;
use crate::codes::Found;
use crate::people::Act;

/// Scans of one request.
const SCANS_MAX: usize = 1000;

/// `{"scans":[{"content":"http://…/q/02…","openid":"o…"}]}`: followers who scan, at most 1,000 of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scans {
    scans: Vec<Scan>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scan {
    /// The text inside the QR code, byte for byte.
    content: String,
    /// Who scans.
    openid: String,
}

/// `{"scenes":[{"event_key":"…","ticket":"…"},null]}`: in the order of the scans, null for a code that is unknown or over.
#[derive(Debug, Serialize)]
pub(super) struct Scenes {
    scenes: Vec<Option<Scene>>,
}

#[derive(Debug, Serialize)]
struct Scene {
    event_key: String,
    ticket: String,
}

/// Remembers that they scanned, as after a scan of the simulator's own, and pushes nothing.
pub(super) async fn scenes(State(simulator): State<Simulator>, body: Bytes) -> Result<Json<Scenes>, Problem> {
    let Scans { scans } = read(&body)?;
    if scans.len() > SCANS_MAX {
        return Err(Problem::Malformed(format!("scans has at most {SCANS_MAX} of them")));
    }
    let scenes = scans.into_iter().map(|scan| scene(&simulator, scan)).collect::<Result<_, _>>()?;
    Ok(Json(Scenes { scenes }))
}

fn scene(simulator: &Simulator, scan: Scan) -> Result<Option<Scene>, Problem> {
    let openid = person(Some(scan.openid))?;
    let now = simulator.now();
    let Found::Live(code) = simulator.codes().find(&scan.content, now) else { return Ok(None) };
    let ticket = simulator.codes().ticket(&code);
    let mut people = simulator.people();
    people.assume_follower(&openid, now);
    people.act(&openid, Act::Scanned, now);
    Ok(Some(Scene { event_key: code.scene.key, ticket }))
}
