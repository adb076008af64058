//! A process that does not outlive the driver, however that ends.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Lines of a log that are shown.
const LAST_LINES: usize = 5;

/// A process that is killed when this is dropped, and by the kernel when the thread that started it is gone.
#[derive(Debug)]
pub(super) struct Child {
    name: String,
    process: Process,
    log: PathBuf,
}

impl Child {
    /// Starts `program` with these settings and no others; what it prints goes to `log`.
    pub(super) fn start(
        name: &str,
        program: &Path,
        arguments: &[&str],
        settings: &[(String, String)],
        log: &Path,
    ) -> io::Result<Self> {
        let output = File::create(log)?;
        // It becomes the program, so the process id is the program's.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
        command.env_clear().envs(settings.iter().map(|(name, value)| (name, value)));
        // To find setpriv, and Redis.
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        Ok(Self { name: name.to_owned(), process: command.spawn()?, log: log.to_owned() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        // Fails only for a process that has ended already.
        if let Ok(pid) = i32::try_from(self.pid()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// How it ended; `None` while it runs.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// The end of what it printed.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(LAST_LINES).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Fails only for a process that has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
