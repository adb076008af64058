//! The floor of all latencies: one message from PUBLISH to SUBSCRIBE, through blocking sockets, with nothing around it.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::pace::Schedule;
use crate::report::Report;
use crate::{random, run};

/// For connecting, and for every answer of the publisher's.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Digits of a message: nanoseconds.
const DIGITS: usize = 20;

/// Where Redis is: one server, by TCP or by its Unix socket. `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    place: Place,
    user: Option<String>,
    password: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Tcp(String),
    Unix(String),
}

/// Why a URL is none.
#[derive(Debug, thiserror::Error)]
#[error("one server: redis://HOST:PORT, redis://USER:PASSWORD@HOST:PORT, or redis+unix:///PATH")]
pub struct MalformedUrl;

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it was published.
    pub sent: Instant,
    /// What it took.
    pub took: Duration,
}

/// A measurement that goes on in two threads of its own.
#[derive(Debug)]
pub struct Floor {
    stop: Arc<AtomicBool>,
    publisher: JoinHandle<io::Result<()>>,
    subscriber: JoinHandle<io::Result<Vec<Sample>>>,
}

/// A connection.
#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisUrl").field(&self.place).finish()
    }
}

impl FromStr for RedisUrl {
    type Err = MalformedUrl;

    fn from_str(url: &str) -> Result<Self, MalformedUrl> {
        if let Some(path) = url.strip_prefix("redis+unix://").filter(|path| path.starts_with('/')) {
            return Ok(Self { place: Place::Unix(path.to_owned()), user: None, password: None });
        }
        let rest = url.strip_prefix("redis://").ok_or(MalformedUrl)?;
        let rest = rest.split('/').next().unwrap_or_default();
        let (login, host) = rest.rsplit_once('@').map_or((None, rest), |(login, host)| (Some(login), host));
        // Percent signs would have to be decoded; a test's password has none.
        if host.is_empty() || url.contains(['%', '?']) {
            return Err(MalformedUrl);
        }
        let (user, password) =
            match login.map(|login| login.split_once(':').ok_or(MalformedUrl)).transpose()? {
                None => (None, None),
                Some((user, password)) => {
                    ((!user.is_empty()).then(|| user.to_owned()), Some(password.to_owned()))
                }
            };
        let port = if host.contains(':') { "" } else { ":6379" };
        Ok(Self { place: Place::Tcp(format!("{host}{port}")), user, password })
    }
}

impl Floor {
    /// Begins to publish, `rate` a second, on a channel of its own.
    ///
    /// # Errors
    ///
    /// Redis cannot be reached.
    pub fn begin(redis: &RedisUrl, rate: f64) -> io::Result<Self> {
        let channel = format!("bench:floor:{:016x}", u64::from_be_bytes(random::bytes()?));
        let (publisher, mut subscriber) = (redis.connect()?, redis.connect()?);
        subscriber.write_all(&command(&["SUBSCRIBE", &channel]))?;
        let mut subscribed = BufReader::new(subscriber);
        // An array of three: its head, two texts of two lines each, and a number.
        for _ in 0..6 {
            line(&mut subscribed)?;
        }
        let (epoch, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        // The last message ends the subscriber.
        let subscriber = thread::spawn(move || receive(subscribed, epoch));
        let publisher = thread::spawn(move || publish(publisher, &channel, epoch, rate, &stopped));
        Ok(Self { stop, publisher, subscriber })
    }

    /// Ends it, and returns what was measured.
    ///
    /// # Errors
    ///
    /// The connection to Redis broke.
    pub fn end(self) -> io::Result<Vec<Sample>> {
        self.stop.store(true, Ordering::Relaxed);
        let panicked = |_| io::Error::other("a thread ended with a panic");
        self.publisher.join().map_err(panicked)??;
        self.subscriber.join().map_err(panicked)?
    }
}

/// What was measured, as a report of its own.
#[must_use]
pub fn report(samples: &[Sample], rate: f64, time: Duration) -> Report {
    let time = humantime::format_duration(time).to_string();
    let mut report = run::report("floor", vec![("messages a second", rate.to_string()), ("for", time)]);
    report.latency("Redis floor", &samples.iter().map(|sample| sample.took).collect());
    report
}

impl RedisUrl {
    /// Whether it leads to no other machine; a name that nobody knows leads nowhere.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match &self.place {
            Place::Unix(_) => true,
            Place::Tcp(host) => host
                .to_socket_addrs()
                .map_or(true, |mut addresses| addresses.all(|address| address.ip().is_loopback())),
        }
    }

    fn connect(&self) -> io::Result<Stream> {
        let stream = match &self.place {
            Place::Tcp(host) => {
                let stream = TcpStream::connect(host)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                Stream::Tcp(stream)
            }
            Place::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                Stream::Unix(stream)
            }
        };
        let mut stream = BufReader::new(stream);
        if let Some(password) = &self.password {
            let login: Vec<&str> =
                ["AUTH"].into_iter().chain(self.user.as_deref()).chain([password.as_str()]).collect();
            stream.get_mut().write_all(&command(&login))?;
            line(&mut stream)?;
        }
        Ok(stream.into_inner())
    }
}

fn publish(mut redis: Stream, channel: &str, epoch: Instant, rate: f64, stop: &AtomicBool) -> io::Result<()> {
    let schedule = Schedule::new(Instant::now(), rate);
    for number in 0.. {
        let pause = schedule.moment(number).saturating_duration_since(Instant::now());
        #[expect(clippy::disallowed_methods, reason = "a thread of its own, outside of any runtime")]
        thread::sleep(pause);
        let last = stop.load(Ordering::Relaxed);
        // A message of zeros is the last.
        let now = if last { 0 } else { epoch.elapsed().as_nanos().max(1) };
        redis.write_all(&command(&["PUBLISH", channel, &format!("{now:0DIGITS$}")]))?;
        let mut reply = [0; 4];
        redis.read_exact(&mut reply)?;
        if &reply != b":1\r\n" {
            return Err(io::Error::other("Redis did not deliver to exactly one subscriber"));
        }
        if last {
            break;
        }
    }
    Ok(())
}

fn receive(mut redis: BufReader<Stream>, epoch: Instant) -> io::Result<Vec<Sample>> {
    let mut samples = Vec::new();
    loop {
        let mut message = String::new();
        // An array of three texts: its head, and two lines each.
        for _ in 0..7 {
            message = line(&mut redis)?;
        }
        let arrived = epoch.elapsed();
        let sent: u64 = message.parse().map_err(|_| io::Error::other("not a message of ours"))?;
        if sent == 0 {
            return Ok(samples);
        }
        let sent = Duration::from_nanos(sent);
        samples.push(Sample { sent: epoch + sent, took: arrived.saturating_sub(sent) });
    }
}

/// A command as Redis reads it.
fn command(words: &[&str]) -> Vec<u8> {
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    command.into_bytes()
}

/// A line of a reply, without its end.
fn line(redis: &mut BufReader<Stream>) -> io::Result<String> {
    let mut line = String::new();
    if redis.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.trim_end().to_owned();
    if line.starts_with('-') { Err(io::Error::other(line)) } else { Ok(line) }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_one_server_are_understood() {
        let parsed = |url: &str| url.parse::<RedisUrl>().unwrap();
        assert_eq!(parsed("redis://host/").place, Place::Tcp("host:6379".to_owned()));
        assert_eq!(parsed("redis+unix:///run/redis.sock").place, Place::Unix("/run/redis.sock".to_owned()));
        let login = parsed("redis://user:secret@host:7000/1");
        assert_eq!(login.place, Place::Tcp("host:7000".to_owned()));
        assert_eq!((login.user.as_deref(), login.password.as_deref()), (Some("user"), Some("secret")));
        assert_eq!(parsed("redis://:secret@host").user, None);
        for bad in ["", "host:6379", "rediss://host", "redis://", "redis-sentinel://host", "redis://h?node=x"]
        {
            assert!(bad.parse::<RedisUrl>().is_err(), "{bad}");
        }
    }
}
