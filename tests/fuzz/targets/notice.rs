//! A notice from the process's channel: what is read is what a script would have published.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::backplane::{Standing, read_notice};

fuzz_target!(|notice: &str| {
    let Some((login, news)) = read_notice(notice) else { return };
    let words: Vec<&str> = notice.split(' ').collect();
    let states: &[&str] = match news.standing {
        Standing::Waiting => &["waiting"],
        Standing::Scanned => &["scanned", "redeemed"],
        Standing::Gone => panic!("no script says that"),
    };
    assert_eq!((words[0], words[3]), (&*login.to_string(), &*news.connection.to_string()));
    assert_eq!((words[1].parse(), states.contains(&words[2])), (Ok(news.version), true));
    assert_eq!(words[4].parse(), Ok(news.since.0));
    let written = format!("{login} {} {} {} {}", news.version, states[0], news.connection, news.since.0);
    assert_eq!(read_notice(&written), Some((login, news)));
    // A claim's ends with its time, which is no news.
    assert_eq!(read_notice(&format!("{written} 1763800000123")), Some((login, news)));
});
