//! The checks, in the order in which one builds on another. Each is bounded in time.

mod aes;
mod callback;
mod clock;
mod ip_list;
mod page;
mod qr;
mod redis;
mod settings;
mod token;

use crate::report::Report;
use crate::settings::Deployment;

/// Makes all of them, one after the other, and shows each finding when it is there.
pub(crate) async fn all(deployment: &Deployment, report: &mut Report) {
    report.add_all(settings::check(deployment));

    let (findings, redis) = redis::check(deployment).await;
    report.add_all(findings);
    report.add_all(clock::check(deployment, redis.as_ref()).await);

    let platform = token::fetch(deployment).await;
    report.add(&token::finding(deployment, &platform));
    report.add(&ip_list::finding(deployment, &platform));
    report.add(&qr::check(deployment, &platform).await);

    let (findings, verified) = callback::check(deployment).await;
    report.add_all(findings);
    report.add_all(aes::check(deployment, &verified).await);
    report.add_all(page::check(deployment, &verified).await);
}
