//! The load driver: plays any number of browsers, phones and applications against a deployment, and keeps a history of
//! every login, which a checker judges.
//!
//! * Who plays: [`browser`], [`phone`], [`application`]. What they speak: [`websocket`] and [`http`], from [`sources`] to
//!   an [`endpoint`].
//! * What runs: [`idle`] and [`login`], at a [`pace`] that does not wait for anybody; [`floor`], what Redis alone takes;
//!   [`local`], a deployment of one's own. [`run`] is what they have in common.
//! * What is kept: [`history`], by the [`recorder`]. What is made of it: [`checker`], [`measure`], and with [`resources`]
//!   the [`report`], which [`table`] shows.
//!
//! # As a library
//!
//! A suite that breaks things while people log in needs four parts:
//!
//! 1. A [`Target`](run::Target): the URLs of the gateways, or of what stands before them.
//! 2. [`Parties`](login::Parties): the URLs of the callbacks and of those who redeem, the simulator, and the account.
//! 3. A [`login::Plan`]: how many logins a second, for how long, and what the checker takes for granted.
//! 4. A [`Recorder`](recorder::Recorder), which the suite shares: its [`tally`](recorder::Recorder::tally) tells at any
//!    time how far the run has come.
//!
//! [`login::run`] plays the plan to its end, whatever happens to the deployment, and returns an
//! [`Outcome`](run::Outcome): the history, the checker's [`Judgement`](checker::Judgement) of it, and the report, whose
//! `Display` is the table.
//!
//! ```no_run
//! # async fn f(target: bench::run::Target, parties: bench::login::Parties, plan: bench::login::Plan) {
//! let recorder = std::sync::Arc::<bench::recorder::Recorder>::default();
//! let run = { let recorder = recorder.clone(); async move { bench::login::run(&target, &parties, &plan, recorder).await } };
//! let run = tokio::spawn(run);
//! // Meanwhile: break things, when `recorder.tally()` says that it is time.
//! let outcome = run.await.unwrap().unwrap();
//! outcome.history.write(std::fs::File::create("history.jsonl").unwrap()).unwrap();
//! assert!(outcome.judgement.findings.is_empty(), "{}", outcome.report);
//! # }
//! ```
//!
//! What such a suite can rely on:
//!
//! * A page that loses its socket comes back to another URL than it had, after the element's random back-off, and resumes.
//!   A push that is not answered well within 5 s is repeated at another callback, three attempts in all; then the person
//!   scans again. A code that could not be redeemed (5xx, or no answer) is redeemed again at another gateway.
//! * A person gives a page up [`patience`](login::Plan::patience) after the phone said "logged in", or after the scan's
//!   planned moment. It must be longer than anything that the suite breaks for a while, or logins end unjudged. A link
//!   that swallows bytes looks to a page like a server with nothing to say, so it must be let go, or cut, before that.
//! * Every run has people of its own, so several can run against one deployment, one after the other or at once.
//! * Nothing that happens to the deployment is an error: errors are what prevents a run.
//! * [`checker::check`] needs the history alone, and so does `bench check FILE…`. Histories of several runs are judged one
//!   by one.

pub mod application;
mod backoff;
pub mod browser;
pub mod checker;
pub mod endpoint;
pub mod floor;
pub mod history;
pub mod http;
pub mod idle;
pub mod latency;
pub mod local;
pub mod login;
pub mod measure;
pub mod pace;
pub mod phone;
pub mod progress;
mod random;
pub mod recorder;
pub mod report;
pub mod resources;
pub mod run;
pub mod settings;
pub mod sources;
pub mod table;
pub mod turns;
pub mod websocket;
