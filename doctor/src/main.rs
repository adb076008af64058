//! `doctor`: tells an operator what is wrong with a deployment, and what to click or change.

mod checks;
mod console;
mod foreign;
mod outside;
mod push;
mod report;
mod settings;

use crate::report::Report;
use crate::settings::Deployment;

#[tokio::main]
async fn main() {
    // Fails only if there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let deployment = Deployment::read().unwrap_or_else(|invalid| invalid.exit());
    let mut report = Report::new();
    checks::all(&deployment, &mut report).await;
    let code = if report.end() { 0 } else { 1 };
    // Not by returning: that would wait for a name server that hangs.
    std::process::exit(code);
}
