//! The load driver against the whole system: it finds nothing where all is well, and finds what is lost.

use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bench::checker::{Rules, Violation, WrongCount, check};
use bench::history::{Answer, History, Redemption, What};
use bench::idle;
use bench::login::{self, Parties, Plan};
use bench::recorder::Recorder;
use bench::run::{Error, Outcome, Target};
use tests::load;
use tests::patience::{until, within_time};
use tests::program::{Program, binary};
use tests::stack::Stack;
use tokio::process::Command;
use tokio::task::JoinHandle;

/// What a run may take on a machine that is busy with others.
const RUN_TIME: Duration = Duration::from_secs(90);

/// 20 logins a second over 30 pages that wait, every third made difficult.
fn plan() -> Plan {
    Plan {
        connections: 30,
        connect_rate: 100.0,
        rate: 20.0,
        time: Duration::from_secs(2),
        lead: Duration::from_millis(700),
        patience: Duration::from_secs(20),
        linger: Duration::from_millis(200),
        probe_every: 3,
        floor_time: Duration::from_millis(300),
        rules: Rules::default(),
    }
}

/// Each replica by itself, without a proxy that knows which of them are well.
fn directly(stack: &Stack) -> (Target, Parties) {
    let urls = |programs: &[Program]| programs.iter().map(Program::url).collect::<Vec<_>>();
    let (gateways, callbacks) = (urls(&stack.gateways), urls(&stack.callbacks));
    let target = Target { processes: load::services(stack), ..load::target(&gateways) };
    (target, load::parties(&stack.account, &stack.simulator, &gateways, &callbacks))
}

fn begin(stack: &Stack, plan: Plan) -> (Arc<Recorder>, JoinHandle<Result<Outcome, Error>>) {
    let recorder = Arc::<Recorder>::default();
    let ((target, parties), watched) = (directly(stack), recorder.clone());
    (recorder, tokio::spawn(async move { login::run(&target, &parties, &plan, watched).await }))
}

async fn end(run: JoinHandle<Result<Outcome, Error>>) -> Outcome {
    within_time(RUN_TIME, "the logins", run).await.unwrap().unwrap()
}

/// Runs the program to its end.
async fn bench(arguments: &str, secrets: &[(&str, &String)]) -> Output {
    let mut command = Command::new(binary("bench"));
    command.args(arguments.split(' ')).envs(secrets.iter().copied()).stdin(Stdio::null());
    let running = command.kill_on_drop(true).output();
    within_time(RUN_TIME, "the program", running).await.unwrap()
}

fn printed(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream)).concat()
}

fn assert_all_logged_in(outcome: &Outcome) {
    assert!(outcome.judgement.findings.is_empty(), "{}", outcome.report);
    assert_eq!(outcome.judgement.unjudged, 0, "{}", outcome.report);
    let logins = outcome.report.outcomes.unwrap();
    let all = [logins.begun, logins.shown, logins.delivered, logins.redeemed];
    assert_eq!(all, [plan().logins(); 4], "{}", outcome.report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn difficult_logins_all_end_as_they_should() {
    let stack = Stack::start().await;
    let url = [stack.url()];
    let target = Target { processes: load::services(&stack), ..load::target(&url) };
    let redis = Some(stack.redis.socket_url().expose().parse().unwrap());
    let parties = Parties { redis, ..load::parties(&stack.account, &stack.simulator, &url, &url) };
    let plan = plan();
    let run = login::run(&target, &parties, &plan, Arc::default());
    let outcome = within_time(RUN_TIME, "the logins", run).await.unwrap();
    assert_all_logged_in(&outcome);
    let report = &outcome.report;
    assert_eq!(report.outcomes.unwrap().probed, 14);
    // Everything that a table needs was measured.
    assert!(
        report.latencies_us.iter().all(|(name, summary)| summary.count > 0 && !name.is_empty()),
        "{report}"
    );
    assert_eq!(report.ratios.len(), 2);
    assert!(report.costs[0].services_ms > 0.0, "{report}");
    // Each kind of difficulty came about, and those that must be refused were.
    let seen = |what: fn(&What) -> bool| outcome.history.events.iter().any(|event| what(&event.what));
    assert!(seen(|what| matches!(what, What::Answered { answer: Answer::Used, .. })));
    assert!(seen(|what| matches!(what, What::Pushed { attempt: 2, .. })));
    assert!(seen(|what| matches!(what, What::Redeemed { outcome: Redemption::Refused(410), .. })));
    assert!(seen(|what| *what == What::Refreshing) && seen(|what| *what == What::Away));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_die_cost_no_login() {
    let mut stack = Stack::start().await;
    let (recorder, run) = begin(&stack, plan());
    until("some logins", async || recorder.tally().delivered > 5).await;
    // Neither comes back: pages and repeated pushes must find the others.
    stack.gateways[0].kill();
    stack.callbacks[1].kill();
    let outcome = end(run).await;
    assert_all_logged_in(&outcome);
    // Those that are left, and the driver.
    assert_eq!(outcome.report.costs[0].ms.len(), 3, "{}", outcome.report);
    let events = || outcome.history.events.iter().map(|event| &event.what);
    assert!(events().any(|what| matches!(what, What::Opening { gateway: 1, resuming: true, .. })));
    let repeated = |what: &What| matches!(what, What::Pushed { attempt: 2, callback: 0, .. });
    let unanswered = |what: &What| matches!(what, What::Answered { answer: Answer::None, .. });
    assert!(events().any(repeated) && events().any(unanswered), "{}", outcome.report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forgets_is_found_out() {
    let stack = Stack::start().await;
    // Some pages will wait in vain.
    let (recorder, run) = begin(&stack, Plan { patience: Duration::from_secs(6), ..plan() });
    // By then people have logged in before, and will again.
    until("some logins", async || recorder.tally().redeemed > 12).await;
    stack.redis.ask(&["FLUSHALL"]).await;
    let outcome = end(run).await;
    let repeated = |violation: &Violation| {
        matches!(violation, Violation::WrongCount { wrong: WrongCount::Repeated, .. })
    };
    let mut found = outcome.judgement.findings.iter().map(|finding| &finding.violation);
    assert!(found.any(repeated), "{}", outcome.report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_logs_in_by_urls_and_judges_again_from_the_file() {
    let stack = Stack::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (good, json, url) = (file("good"), file("json"), stack.url());
    let (simulator, account) = (stack.simulator.url(), &stack.account);
    let run = format!(
        "login --gateway {url} --callback {url} --simulator {simulator} --wechat-app-id {} --wechat-original-id {} \
         --connections 5 --rate 10 --time 1s --lead 500ms --linger 100ms --history {good} --json {json}",
        account.app_id, account.original_id
    );
    let secrets = [
        ("WECHAT_TOKEN", &account.token),
        ("WECHAT_ENCODING_AES_KEY", &account.aes_key),
        ("REDEEM_SECRET", &account.redeem_secret),
    ];
    let ran = bench(&run, &secrets).await;
    assert_eq!(ran.status.code(), Some(0), "{}", printed(&ran));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!((&report["outcomes"]["redeemed"], &report["verdict"]["losses"]), (&10.into(), &0.into()));

    let checked = bench(&format!("check {good}"), &[]).await;
    assert_eq!(checked.status.code(), Some(0), "{}", printed(&checked));
    assert!(printed(&checked).contains("0 violations, 0 not judged"), "{}", printed(&checked));

    let mut history = History::read(std::io::BufReader::new(std::fs::File::open(&good).unwrap())).unwrap();
    let identified =
        |what: &What| matches!(what, What::Redeemed { outcome: Redemption::Identity { .. }, .. });
    let mut again = history.events.iter().rfind(|event| identified(&event.what)).unwrap().clone();
    let What::Redeemed { attempt, .. } = &mut again.what else { unreachable!() };
    *attempt = 9;
    history.events.push(again);
    assert_eq!(check(&history, &Rules::default()).findings.len(), 1);
    let bad = file("bad");
    history.write(std::fs::File::create(&bad).unwrap()).unwrap();
    let found = bench(&format!("check {bad} {good}"), &[]).await;
    assert_eq!(found.status.code(), Some(1), "{}", printed(&found));
    let text = printed(&found);
    assert!(text.contains("was redeemed twice") && text.contains("0 violations"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_pages_are_held_and_their_memory_is_told() {
    let stack = Stack::start().await;
    let plan = idle::Plan { connections: 100, rate: 100.0, hold: Duration::from_millis(200), warm_up: 20 };
    let target = Target { processes: load::services(&stack), ..load::target(&[stack.url()]) };
    let run = idle::run(&target, &plan, Arc::default());
    let outcome = within_time(RUN_TIME, "the pages", run).await.unwrap();
    let pages = outcome.report.connections.unwrap();
    assert_eq!((pages.asked, pages.held, pages.without_code), (100, 100, 0), "{}", outcome.report);
    assert_eq!(outcome.report.memory.len(), 6, "{}", outcome.report);
    let (together, each) = outcome.report.memory.split_last().unwrap();
    let of_gateways = each.iter().filter(|memory| memory.process.starts_with("gateway"));
    assert_eq!(
        together.after_kib,
        of_gateways.map(|memory| memory.after_kib).sum::<u64>(),
        "{}",
        outcome.report
    );
    assert!(outcome.report.memory.iter().all(|memory| memory.after_kib > 0));
}

#[tokio::test]
async fn one_command_starts_runs_and_ends_a_deployment() {
    let directory = tempfile::tempdir().unwrap();
    let history = directory.path().join("history");
    let run = format!(
        "local --gateways 2 login --connections 10 --rate 10 --time 1s --lead 500ms --linger 100ms --floor-time 200ms \
         --history {}",
        history.display()
    );
    let ended = bench(&run, &[]).await;
    assert_eq!(ended.status.code(), Some(0), "{}", printed(&ended));
    let history = std::fs::File::open(history).unwrap();
    let history = History::read(std::io::BufReader::new(history)).unwrap();
    let redeemed = |what: &What| matches!(what, What::Redeemed { outcome: Redemption::Identity { .. }, .. });
    assert_eq!(history.events.iter().filter(|event| redeemed(&event.what)).count(), 10);
    // Nobody listens any more at the address of its own.
    assert_eq!(history.header.gateways.len(), 2);
    let gateway = history.header.gateways[0].strip_prefix("http://").unwrap();
    assert!(tokio::net::TcpStream::connect(gateway).await.is_err());
}
