//! Whether Redis answers, lets us do what logins need, and keeps what it is told.

use std::time::Duration;

use shared::backplane::{Diagnosis, Layout, Undiagnosed};
use tokio::time;

use crate::outside::NO_NAME;
use crate::report::{Finding, in_milliseconds};
use crate::settings::Deployment;

const NAME: &str = "redis";
/// All questions together. A connection has two seconds, and so has each question on it.
const LIMIT: Duration = Duration::from_secs(15);
/// Above it logins feel slow: each takes several round trips.
const SLOW: Duration = Duration::from_millis(100);

/// What was found, and the diagnosis where there is one.
pub(super) async fn check(deployment: &Deployment) -> (Vec<Finding>, Option<Diagnosis>) {
    let url = match &deployment.redis_url {
        Ok(Some(url)) => url,
        Ok(None) => {
            let why = "logins are in the memory of standalone, into which nobody else can look";
            return (vec![Finding::skip(NAME, why)], None);
        }
        Err(why) => return (vec![Finding::skip(NAME, why)], None),
    };
    let diagnosis = time::timeout(LIMIT, Diagnosis::of(url, deployment.replication_wait)).await;
    let diagnosis =
        diagnosis.unwrap_or_else(|_| Err(Undiagnosed::Unreachable("no answer in time".to_owned())));
    match diagnosis {
        Ok(diagnosis) => (findings(deployment, &diagnosis), Some(diagnosis)),
        Err(error) => {
            let why = deployment.foreign.show(&error.to_string());
            let remedy = unreachable_remedy(&why);
            (vec![Finding::fail(NAME, format!("cannot be reached: {}", plain(&why)), remedy)], None)
        }
    }
}

/// The client library shows the system's errors as programmers see them.
fn plain(why: &str) -> &str {
    match why {
        why if why.contains("ConnectionRefused") => "the connection is refused",
        why if why.contains(NO_NAME) => "no such name",
        why if why.contains("timed out") => "no answer in time",
        why => why,
    }
}

fn unreachable_remedy(why: &str) -> &'static str {
    if ["WRONGPASS", "NOAUTH", "AUTH "].iter().any(|prefix| why.starts_with(prefix)) {
        "check user and password in REDIS_URL: redis://USER:PASSWORD@host:6379"
    } else if why.starts_with("NOPERM") {
        "its user lacks a command: docs/redis.md, \"Versions\", has an ACL that suffices"
    } else if why.starts_with("LOADING") {
        "it is reading its data from the disk: run doctor again when it has"
    } else {
        "does it run, and does it listen where REDIS_URL says? Check the firewall, rediss:// where it speaks TLS, \
         and sentinelServiceName where Sentinels name it"
    }
}

fn findings(deployment: &Deployment, diagnosis: &Diagnosis) -> Vec<Finding> {
    let mut findings = Vec::new();
    let layout = match diagnosis.layout {
        Layout::Single => "one server",
        Layout::Sentinel => "by way of Sentinel",
        Layout::Cluster => "Cluster",
    };
    let version = diagnosis.version.as_deref().unwrap_or("version unknown");
    let found = format!("{version}, {layout}, answers within {}", in_milliseconds(diagnosis.answer_time));
    findings.push(if diagnosis.answer_time < SLOW {
        Finding::ok(NAME, found)
    } else {
        Finding::warn(NAME, found, "every login takes several round trips: move it nearer, look at its load")
    });
    findings.extend(refusals(deployment, diagnosis));
    findings.extend(replicas(deployment, diagnosis));
    findings.extend(unwise(diagnosis));
    findings
}

/// Whether it does all that a login needs.
fn refusals(deployment: &Deployment, diagnosis: &Diagnosis) -> Vec<Finding> {
    if diagnosis.in_cluster && diagnosis.layout != Layout::Cluster {
        let found = "this server is a node of a Cluster, which REDIS_URL does not say";
        return vec![Finding::fail(NAME, found, "write it redis-cluster://host:port?node=host:port")];
    }
    let mut findings = Vec::new();
    if diagnosis.refused.is_empty() {
        findings.push(Finding::ok(NAME, "takes our writes and scripts"));
    } else {
        let why = deployment.foreign.show(&summary(&diagnosis.refused));
        let remedy = refusal_remedy(&why, diagnosis.replica);
        findings.push(Finding::fail(NAME, format!("refuses what every login needs: {why}"), remedy));
    }
    match &diagnosis.notices {
        Ok(()) => findings.push(Finding::ok(NAME, "delivers notices between programs (pub/sub)")),
        Err(why) => {
            let found = format!(
                "does not deliver notices between programs (pub/sub): {}",
                deployment.foreign.show(why)
            );
            let remedy = "allow SUBSCRIBE and PUBLISH on scanlogin:inbox:*, in an ACL: &scanlogin:inbox:* +subscribe \
                          +publish";
            findings.push(Finding::fail(NAME, found, remedy));
        }
    }
    findings.extend(sharded(deployment, diagnosis));
    findings
}

/// How a Cluster delivers notices: one that cannot shard them broadcasts them, which works.
fn sharded(deployment: &Deployment, diagnosis: &Diagnosis) -> Option<Finding> {
    Some(match diagnosis.sharded_notices.as_ref()? {
        Ok(()) => Finding::ok(NAME, "delivers notices by the one node that they belong to (sharded pub/sub)"),
        Err(why) if why.starts_with("ERR unknown command") => {
            Finding::ok(NAME, "has no sharded pub/sub (Redis 7): notices go to every node")
        }
        Err(why) => {
            let why = deployment.foreign.show(why);
            let found = format!("does not deliver notices by sharded pub/sub: {why}; they go to every node");
            Finding::warn(NAME, found, "allow it, in an ACL: &scanlogin:inbox:* +ssubscribe +spublish")
        }
    })
}

/// Whether as many replicas follow as a login waits for.
fn replicas(deployment: &Deployment, diagnosis: &Diagnosis) -> Option<Finding> {
    let wanted = deployment.replication_wait;
    Some(match diagnosis.copies.as_ref()? {
        Ok(copies) if *copies >= u64::from(wanted) => Finding::ok(
            NAME,
            format!("replicas that have what was written: {copies} (REPLICATION_WAIT={wanted})"),
        ),
        Ok(copies) => {
            let found = format!(
                "REPLICATION_WAIT is {wanted}, and replicas that have what was written are {copies}: nobody can log in"
            );
            let remedy =
                "connect more replicas, or see why they lag (INFO replication), or lower REPLICATION_WAIT";
            Finding::fail(NAME, found, remedy)
        }
        Err(why) => {
            let why = deployment.foreign.show(why);
            let remedy = refusal_remedy(&why, false);
            Finding::fail(NAME, format!("refuses what REPLICATION_WAIT needs: {why} (WAIT)"), remedy)
        }
    })
}

/// One text for refusals that are the same but for the command: `HSET, SET: READONLY …`.
fn summary(refused: &[String]) -> String {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for refusal in refused {
        let (command, why) = refusal.split_once(": ").unwrap_or(("EVAL", refusal));
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, commands)) if commands.contains(&command) => {}
            Some((_, commands)) => commands.push(command),
            None => reasons.push((why, vec![command])),
        }
    }
    let reason = |(why, commands): &(&str, Vec<&str>)| format!("{why} ({})", commands.join(", "));
    reasons.iter().map(reason).collect::<Vec<_>>().join("; ")
}

fn refusal_remedy(why: &str, replica: bool) -> &'static str {
    let says = |word| why.contains(word);
    if says("READONLY") || replica {
        "REDIS_URL leads to a replica: name the primary, or let Sentinel do so (redis-sentinel://)"
    } else if says("OOM") {
        "its memory is full (maxmemory): give it more, or find out what else is in it; docs/redis.md, \"Memory\""
    } else if says("NOPERM") || says("can't run this command") || says("can't access") {
        "its user lacks commands, keys or channels: docs/redis.md, \"Versions\", has an ACL that suffices"
    } else if says("MISCONF") {
        "it cannot write to its disk, and refuses writes until it can: see its log"
    } else if says("NOREPLICAS") {
        "fewer replicas are connected than min-replicas-to-write asks for"
    } else if says("MOVED") || says("CROSSSLOT") || says("CLUSTERDOWN") {
        "it is a Cluster: REDIS_URL must begin with redis-cluster://, and all of its slots must be served"
    } else {
        "see the server's log"
    }
}

/// What works, and loses logins one day.
fn unwise(diagnosis: &Diagnosis) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(policy) = diagnosis.eviction.as_deref().filter(|policy| *policy != "noeviction") {
        let found = format!("maxmemory-policy is {policy}: a full server forgets logins, and says nothing");
        findings.push(Finding::warn(NAME, found, "CONFIG SET maxmemory-policy noeviction, and in its file"));
    }
    if diagnosis.append_only == Some(false) && diagnosis.snapshots != Some(true) {
        let found = match diagnosis.snapshots {
            None => "does not append writes to a file (AOF), and whether it makes snapshots cannot be asked",
            Some(_) => {
                "keeps nothing on disk: a restart forgets every login count, and codes that are not redeemed"
            }
        };
        let remedy = "set appendonly yes and appendfsync everysec; docs/redis.md, \"Durability\"";
        findings.push(Finding::warn(NAME, found, remedy));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_refusal_of_many_commands_is_said_once() {
        let refused = ["SET: READONLY no", "HSET: READONLY no", "HSET: READONLY no", "NOPERM eval"];
        let summary = summary(&refused.map(str::to_owned));
        assert_eq!(summary, "READONLY no (SET, HSET); NOPERM eval (EVAL)");
    }

    #[test]
    fn a_refusal_has_its_remedy() {
        assert!(refusal_remedy("OOM command not allowed", false).contains("maxmemory"));
        assert!(refusal_remedy("MISCONF Redis is configured", false).contains("disk"));
        assert!(refusal_remedy("NOREPLICAS Not enough", false).contains("min-replicas"));
        assert!(refusal_remedy("MOVED 1 a:1", false).contains("redis-cluster://"));
        assert!(refusal_remedy("BUSY", true).contains("replica"));
    }
}
