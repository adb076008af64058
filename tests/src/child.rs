//! A process that does not outlive the test, however the test ends.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child as Process, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::patience::{LOOK_EVERY, PATIENCE, eventually_within};

/// A process that is killed when this is dropped, and by the kernel when the thread that started it is gone: start it
/// from the test's own thread, not from a task.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: Process,
    ended: Option<ExitStatus>,
}

impl Child {
    /// Starts `program`; `set_up` says with what.
    pub fn start(program: impl AsRef<OsStr>, set_up: impl FnOnce(&mut Command)) -> Self {
        let program = program.as_ref();
        // It becomes the program, so the process id is the program's.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        set_up(&mut command);
        match command.spawn() {
            Ok(process) => Self { name: program.to_string_lossy().into_owned(), process, ended: None },
            Err(error) => panic!("cannot start {program:?} by setpriv: {error}"),
        }
    }

    /// The running process, for its output pipes.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Sends a signal; to a process that has ended, nothing.
    pub fn signal(&mut self, signal: Signal) {
        if self.try_end().is_none() {
            kill(self.pid(), signal).unwrap();
        }
    }

    /// Kills it, as a crash or the kernel does, and waits until it is gone.
    pub fn kill(&mut self) {
        if self.try_end().is_none() {
            self.process.kill().unwrap();
            self.ended = Some(self.process.wait().unwrap());
        }
    }

    /// Waits until it has ended by itself; `None` where a signal ended it.
    pub async fn exit_code(&mut self) -> Option<i32> {
        self.exit_code_within(PATIENCE).await
    }

    /// As [`Self::exit_code`], for a process whose work takes longer.
    pub async fn exit_code_within(&mut self, limit: Duration) -> Option<i32> {
        let what = format!("{} to end", self.name);
        let ended = eventually_within(limit, &what, async || self.try_end()).await;
        assert!(ended.code().is_some() || ended.signal().is_some(), "{ended:?}");
        ended.code()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.try_end().is_none()
    }

    fn try_end(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.process.try_wait().unwrap();
        }
        self.ended
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().cast_signed())
    }
}

/// Kills the processes whose command lines have `path` in them, and returns when they are gone: for grandchildren, who
/// are nobody's to wait for. Drop calls it, so it blocks, and leaves alone what outlives its limit.
#[expect(clippy::disallowed_methods, reason = "whoever drops cannot await")]
pub(crate) fn kill_all_that_name(path: &Path) {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        let named: Vec<Pid> = all_that_name(path).collect();
        if named.is_empty() {
            return;
        }
        for process in named {
            // One that has just ended is no fault.
            let _ = kill(process, Signal::SIGKILL);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn all_that_name(path: &Path) -> impl Iterator<Item = Pid> {
    let path = path.as_os_str().as_bytes().to_owned();
    std::fs::read_dir("/proc").unwrap().filter_map(move |entry| {
        let entry = entry.ok()?;
        let process = entry.file_name().to_str()?.parse().ok()?;
        let command_line = std::fs::read(entry.path().join("cmdline")).ok()?;
        command_line.windows(path.len()).any(|part| part == path).then(|| Pid::from_raw(process))
    })
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
