//! Our own binaries, built and run as an operator runs them.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::child::Child;
use crate::patience::{eventually, until};

/// Output that is kept of one program; a test that needs more would not read it.
const OUTPUT_MAX: usize = 16 * 1024 * 1024;

/// How long a program may take that is meant to end: the doctor waits for those who do not answer.
const RUN_TIME: Duration = Duration::from_secs(45);

/// A setting as the environment has it.
pub type Setting = (String, String);

/// Makes a setting.
pub fn setting(name: impl Into<String>, value: impl Into<String>) -> Setting {
    (name.into(), value.into())
}

/// A running program.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    settings: Vec<Setting>,
    child: Child,
    output: Output,
    public: SocketAddr,
    admin: SocketAddr,
}

/// How a program ended that was not meant to run.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it printed, standard output first.
    pub printed: String,
}

impl Program {
    /// Starts `name` with these settings and no others, on ports of its own choice, and waits until it listens.
    pub async fn start(name: &'static str, settings: Vec<Setting>) -> Self {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_at(name, settings, anywhere, anywhere).await
    }

    async fn start_at(
        name: &'static str,
        settings: Vec<Setting>,
        public: SocketAddr,
        admin: SocketAddr,
    ) -> Self {
        let listen = format!("{}_LISTEN", name.to_uppercase());
        let mut all = vec![setting("LOG_FORMAT", "json"), setting(listen, public.to_string())];
        all.push(setting("ADMIN_LISTEN", admin.to_string()));
        // What the test says comes last, and wins.
        all.extend(settings.iter().cloned());
        let (mut child, output) = spawn(name, &all, &[]);
        let public = listens(&mut child, &output, "public").await;
        let admin = listens(&mut child, &output, "admin").await;
        Self { name, settings, child, output, public, admin }
    }

    /// Runs `name` with these settings and no others, to its end.
    pub async fn run(name: &str, settings: &[Setting]) -> Ended {
        Self::run_with(name, settings, &[]).await
    }

    /// Asks `name` for its `--help`.
    pub async fn help(name: &str) -> Ended {
        Self::run_with(name, &[], &["--help"]).await
    }

    /// Runs `name` with these settings, no others, and these arguments, to its end.
    pub async fn run_with(name: &str, settings: &[Setting], arguments: &[&str]) -> Ended {
        let (mut child, output) = spawn(name, settings, arguments);
        let code = child.exit_code_within(RUN_TIME).await;
        output.is_whole().await;
        Ended { code, printed: output.text() }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.pid().as_raw()
    }

    /// The address of the public listener.
    #[must_use]
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// The base URL of the public listener.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.public)
    }

    /// The base URL of the admin listener.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// Kills it, as a crash does.
    pub fn kill(&mut self) {
        self.child.kill();
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.child.signal(signal);
    }

    /// Asks it to end, as an operator does, and returns its exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.child.signal(Signal::SIGTERM);
        self.exit_code().await
    }

    /// As [`Self::terminate`], where what it has under way takes longer.
    pub async fn terminate_within(&mut self, limit: Duration) -> Option<i32> {
        self.child.signal(Signal::SIGTERM);
        let code = self.child.exit_code_within(limit).await;
        self.output.is_whole().await;
        code
    }

    /// Waits for its end, and for all that it has printed; `None` where a signal ended it.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let code = self.child.exit_code().await;
        self.output.is_whole().await;
        code
    }

    /// Kills it if it runs, and starts it again where it was.
    pub async fn restart(&mut self) {
        self.child.kill();
        let (settings, before) = (self.settings.clone(), self.output.text());
        *self = Self::start_at(self.name, settings, self.public, self.admin).await;
        self.output.prepend(&before);
    }

    /// What it has printed so far, standard output first.
    #[must_use]
    pub fn printed(&self) -> String {
        self.output.text()
    }

    /// Waits until it has printed `text`.
    pub async fn prints(&self, text: &str) {
        until("a program to print something", async || self.output.text().contains(text)).await;
    }
}

impl Drop for Program {
    /// A test that fails says what its programs complained about.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = self.output.text();
            let complaints: Vec<&str> = text.lines().filter(|line| !line.contains("\"INFO\"")).collect();
            #[expect(clippy::print_stderr, reason = "the test runner shows it with the failure")]
            {
                eprintln!("{} printed, beside info:\n{}", self.name, complaints.join("\n"));
            }
        }
    }
}

/// What a program printed. Two threads fill it, for a test that waits must not make its programs wait.
#[derive(Clone, Debug)]
struct Output([Arc<Mutex<Stream>>; 2]);

#[derive(Debug, Default)]
struct Stream {
    text: String,
    ended: bool,
}

impl Output {
    fn of(stdout: impl Read + Send + 'static, stderr: impl Read + Send + 'static) -> Self {
        Self([collect(stdout), collect(stderr)])
    }

    fn text(&self) -> String {
        let [stdout, stderr] = &self.0;
        format!("{}{}", lock(stdout).text, lock(stderr).text)
    }

    /// Waits for the last words of a program that has ended.
    async fn is_whole(&self) {
        until("a program's last words", async || self.0.iter().all(|stream| lock(stream).ended)).await;
    }

    fn prepend(&self, before: &str) {
        lock(&self.0[0]).text.insert_str(0, before);
    }
}

fn collect(pipe: impl Read + Send + 'static) -> Arc<Mutex<Stream>> {
    let stream = Arc::<Mutex<Stream>>::default();
    let filled = stream.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { break };
            let mut stream = lock(&filled);
            assert!(stream.text.len() < OUTPUT_MAX, "a program floods its output");
            // Writing to a string cannot fail.
            let _ = writeln!(stream.text, "{}", String::from_utf8_lossy(&line));
        }
        lock(&filled).ended = true;
    });
    stream
}

fn lock(stream: &Mutex<Stream>) -> std::sync::MutexGuard<'_, Stream> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spawn(name: &str, settings: &[Setting], arguments: &[&str]) -> (Child, Output) {
    let mut child = Child::start(binary(name), |command| {
        command.args(arguments).env_clear().envs(settings.iter().map(|(name, value)| (name, value)));
        // To find setpriv; our programs start no others.
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    });
    let process = child.process();
    let (stdout, stderr) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
    (child, Output::of(stdout, stderr))
}

/// Waits for the log line that tells the address of `listener`.
async fn listens(child: &mut Child, output: &Output, listener: &str) -> SocketAddr {
    let tells = |line: &str| -> Option<SocketAddr> {
        let line: Value = serde_json::from_str(line).ok()?;
        let of_it = line["message"] == "listening" && line["listener"] == listener;
        line["address"].as_str().filter(|_| of_it)?.parse().ok()
    };
    eventually("a program to listen", async || {
        let address = output.text().lines().find_map(tells);
        assert!(address.is_some() || child.is_running(), "it ended at its start: {}", output.text());
        address
    })
    .await
}

/// The path of one of our binaries, which is built first if it is not up to date.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(build);
    let path = DIRECTORY.join(name);
    assert!(path.exists(), "{} was not built", path.display());
    path
}

/// Where cargo put this binary, and others put what the tests need.
pub(crate) fn target_directory() -> PathBuf {
    profile_directory().parent().unwrap().to_owned()
}

fn profile_directory() -> PathBuf {
    // TARGET/debug/deps/all-0123456789abcdef, or TARGET/debug/chaos
    let executable = std::env::current_exe().unwrap();
    let directory = executable.parent().unwrap();
    if directory.ends_with("deps") { directory.parent().unwrap() } else { directory }.to_owned()
}

/// Builds all binaries beside this one. Cargo's own lock lets one process build and the others wait.
fn build() -> PathBuf {
    let directory = profile_directory();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--workspace", "--bins", "--manifest-path"]);
    cargo.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"));
    cargo.arg("--target-dir").arg(target_directory());
    if directory.ends_with("release") {
        cargo.arg("--release");
    }
    // What cargo tells a test about its package would look to build scripts like a reason to run again.
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "NEXTEST"]
            .iter()
            .any(|p| told.starts_with(p))
        {
            cargo.env_remove(&name);
        }
    }
    let built = cargo.output().unwrap();
    assert!(built.status.success(), "cannot build the programs: {}", String::from_utf8_lossy(&built.stderr));
    directory
}
