//! How a program ends: the first SIGTERM or SIGINT asks for it, the second one insists.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a program that was told twice to end, and of one that could not start.
pub const EXIT_FAILURE: i32 = 1;

/// Returns a token that is cancelled by the first SIGTERM or SIGINT. A second signal ends the process at once with
/// exit code 1.
///
/// # Errors
///
/// The operating system refuses the signal handlers.
pub fn on_signals() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let asked = CancellationToken::new();
    let token = asked.clone();
    tokio::spawn(async move {
        for insists in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if insists {
                tracing::warn!("told to end a second time, ending at once");
                std::process::exit(EXIT_FAILURE);
            }
            tracing::info!("told to end, draining");
            asked.cancel();
        }
    });
    Ok(token)
}
