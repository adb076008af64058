//! Debian's Prometheus, which scrapes programs of ours and evaluates rules.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::child::Child;
use crate::patience::{PATIENCE, eventually_within, until, within};
use crate::program::Program;
use crate::{http, loopback};

/// A Prometheus that looks twice a second.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    _directory: TempDir,
    _server: Child,
}

impl Prometheus {
    /// Starts one that scrapes all of `jobs` and has the rules in the file `rules`, and waits until it has scraped each.
    pub async fn start(jobs: &[(&str, &[Program])], rules: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let configuration = directory.path().join("prometheus.yml");
        let mut text = String::from("global: { scrape_interval: 500ms, evaluation_interval: 500ms }\n");
        text.push_str(&format!("rule_files: [{:?}]\nscrape_configs:\n", rules.canonicalize().unwrap()));
        for (name, programs) in jobs {
            let admin = |program: &Program| format!("{:?}", program.admin_url().replace("http://", ""));
            let targets: Vec<String> = programs.iter().map(admin).collect();
            text.push_str(&format!(
                "  - {{ job_name: {name}, static_configs: [{{ targets: [{}] }}] }}\n",
                targets.join(", ")
            ));
        }
        std::fs::write(&configuration, text).unwrap();
        let (address, errors) = (loopback::socket_address(), directory.path().join("log"));
        let log = std::fs::File::create(&errors).unwrap();
        let mut server = Child::start("prometheus", |command| {
            command.arg(format!("--config.file={}", configuration.display()));
            command.arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()));
            command.arg(format!("--web.listen-address={address}"));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        });
        until("Prometheus to be ready", async || {
            assert!(server.is_running(), "Prometheus ended: {:?}", std::fs::read_to_string(&errors));
            let asked = http::client().get(format!("http://{address}/-/ready")).send().await;
            asked.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
        let prometheus = Self { address, _directory: directory, _server: server };
        let targets = jobs.iter().map(|(_, programs)| programs.len()).sum::<usize>().to_string();
        until("all programs to be scraped", async || {
            let up = prometheus.query("sum(up)").await;
            up.first().is_some_and(|sample| sample["value"][1] == targets)
        })
        .await;
        prometheus
    }

    /// What `expression` is at the moment; an expression that is none fails the test.
    pub async fn query(&self, expression: &str) -> Vec<Value> {
        let answer = self.ask("query", &[("query", expression)]).await;
        answer["result"].as_array().unwrap().clone()
    }

    /// Waits until `expression` has data with a number in it.
    pub async fn has_data(&self, what: &str, expression: &str) {
        let what = format!("data of {what}: {expression}");
        eventually_within(2 * PATIENCE, &what, async || {
            let result = self.query(expression).await;
            result.iter().any(|sample| sample["value"][1] != "NaN").then_some(())
        })
        .await;
    }

    /// All rules with their health.
    pub async fn rules(&self) -> Vec<Value> {
        let groups = self.ask("rules", &[]).await;
        let groups = groups["groups"].as_array().unwrap().iter();
        groups.flat_map(|group| group["rules"].as_array().unwrap()).cloned().collect()
    }

    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let request = http::client().get(format!("http://{}/api/v1/{path}", self.address)).query(query);
        let answer = within("Prometheus", request.send()).await.unwrap();
        let mut answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["status"], "success", "{query:?}: {}", answer["error"]);
        answer["data"].take()
    }
}

/// Runs promtool, and returns what it says if it does not like what it is given.
///
/// # Errors
///
/// What it says.
pub fn promtool(arguments: &[&str], file: &Path) -> Result<(), String> {
    let checked = Command::new("promtool").args(arguments).arg(file).output().unwrap();
    let said = |stream: &[u8]| String::from_utf8_lossy(stream).into_owned();
    if checked.status.success() { Ok(()) } else { Err(said(&checked.stdout) + &said(&checked.stderr)) }
}
