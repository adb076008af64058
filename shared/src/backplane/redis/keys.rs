//! How everything in Redis is called (docs/redis.md, "Names").

use uuid::Uuid;

use crate::backplane::budget::Budget;
use crate::backplane::stamp::{MessageHash, Stamp};
use crate::login::RecordId;

/// The names of everything in Redis. The braces are the hash tag: what one script touches lies in one slot.
pub(super) struct Keys;

impl Keys {
    /// The record, a hash.
    pub(super) fn login(id: RecordId) -> String {
        format!("scanlogin:{{{id}}}:login")
    }

    /// The mapping: the random part of the record's live scene. A scene names its record, so this key is found from
    /// it; that it lives `SCENE_TTL` is what makes a scene expire.
    pub(super) fn scene(id: RecordId) -> String {
        format!("scanlogin:{{{id}}}:scene")
    }

    /// How many logins a person has made.
    pub(super) fn logins(person: &str) -> String {
        format!("scanlogin:{{{person}}}:logins")
    }

    /// The number that one login was counted as.
    pub(super) fn counted(person: &str, login: RecordId) -> String {
        format!("scanlogin:{{{person}}}:counted:{login}")
    }

    /// That a message has had its sender's count forgotten.
    pub(super) fn forgotten(person: &str, message: MessageHash) -> String {
        format!("scanlogin:{{{person}}}:forgotten:{}", message.text())
    }

    /// What is left of somebody's budget. All of them lie in one slot, so that one script can take from several.
    pub(super) fn budget(budget: &Budget) -> String {
        format!("scanlogin:{{budget}}:{}", budget.name())
    }

    /// The message that a signature is bound to.
    pub(super) fn message(stamp: Stamp) -> String {
        format!("scanlogin:{{{stamp}}}:message")
    }

    /// The channel of one process. New at every start, so that a dead process never looks alive.
    pub(super) fn inbox(process: Uuid) -> String {
        format!("scanlogin:inbox:{process}")
    }
}

/// What the moves of a login touch.
pub(super) fn login_keys(id: RecordId) -> Vec<String> {
    vec![Keys::login(id), Keys::scene(id)]
}
