//! Every test of the whole, in one binary: a module per subject.

#![expect(clippy::panic, clippy::unwrap_used, reason = "that is how a test fails")]

mod bench;
mod bounds;
mod budgets;
mod chaos;
mod chromium;
mod cluster;
mod conformance;
mod doctor;
mod failover;
mod haproxy;
mod hostile;
mod kubernetes;
mod leaving;
mod limits;
mod login;
mod logs;
mod metrics;
mod model;
mod modes;
mod monitoring;
mod outages;
mod page;
mod plain_mode;
mod platform;
mod redeem;
mod redis_names;
mod redis_tls;
mod refusals;
mod repeats;
mod resume;
mod set_back;
mod settings;
mod sizing;
mod slow_clients;
mod standalone;
mod traces;
mod trouble;
mod wechatpy;
