//! One line on standard error that tells how far a run has come, where that is a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time;

use crate::recorder::{Recorder, Tally};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);

/// Shows it until this is dropped.
#[derive(Debug)]
pub struct Progress(Option<JoinHandle<()>>);

impl Progress {
    /// Begins to show it.
    #[must_use]
    pub fn of(recorder: Arc<Recorder>) -> Self {
        let shown = io::stderr().is_terminal();
        Self(shown.then(|| tokio::spawn(show(recorder))))
    }
}

async fn show(recorder: Arc<Recorder>) {
    let (begin, mut ticks) = (Instant::now(), time::interval(EVERY));
    loop {
        ticks.tick().await;
        write(&line(begin.elapsed(), &recorder.tally()));
    }
}

fn line(elapsed: Duration, tally: &Tally) -> String {
    let Tally { opening, opened, refused, closed, shown, pushed, accepted, delivered, redeemed } = tally;
    format!(
        "{:>4} s  sockets {opened}/{opening}, refused {refused}, closed {closed}  codes {shown}  \
         pushes {accepted}/{pushed}  delivered {delivered}  redeemed {redeemed}",
        elapsed.as_secs()
    )
}

/// Writes over the line before; a terminal that is gone is no reason to stop.
fn write(line: &str) {
    let _ = write!(io::stderr(), "\r\x1b[K{line}");
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
            write("");
        }
    }
}
