//! The state machine of one login.
//!
//! ```text
//! waiting --scan--> scanned --redeem--> redeemed     waiting --refresh--> waiting (new scene)
//! redeemed --withdraw--> scanned (by the request that redeemed it and could not be answered)
//! waiting --scene's time over--> expired (not a move: a waiting record whose scene cannot be claimed any more)
//! expired --refresh--> waiting                       any --life over--> gone
//! ```

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use super::{CodeHash, ConnectionId, OpenId, RecordId, Scene, Ticket};

/// Milliseconds since 1970 by the backplane's clock, the only one that decides about expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Now, by this machine's clock.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self(millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
    }

    /// This much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// What is left until this moment; zero once it has passed.
    #[must_use]
    pub fn left(self, now: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(now.0))
    }
}

/// A duration as the backplane counts it.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A QR code as the platform made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QrCode {
    /// What its events carry.
    pub scene: Scene,
    /// The platform's name for it.
    pub ticket: Ticket,
    /// The text inside the picture.
    pub content: String,
}

/// How long things last, from the moment of the move that they are given to.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// How long the page may go on showing the code. Counted from before the platform was asked, so it is over before
    /// `claimable` is.
    pub shown: Duration,
    /// How long the scene can be claimed (`SCENE_TTL`).
    pub claimable: Duration,
}

/// Where the browser is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The replica's channel for notices.
    pub inbox: String,
    /// The one connection that the session has now.
    pub connection: ConnectionId,
}

/// Who scanned, what and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The scene that was live.
    pub scene: Scene,
    /// Who scanned it.
    pub by: OpenId,
    /// When the claim was made.
    pub at: Timestamp,
}

/// What a login has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginState {
    /// A QR code may be on the page; it is expired when a moment has passed that it names.
    Waiting {
        /// The live scene and what belongs to it.
        code: QrCode,
        /// The page's deadline.
        shown_until: Timestamp,
        /// The claim's deadline.
        claimable_until: Timestamp,
    },
    /// Claimed: final but for being redeemed.
    Scanned(Scan),
    /// The code was spent by the request with this token.
    Redeemed(Scan, Uuid),
}

/// What a scan came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// This scan took the scene.
    Claimed {
        /// How long the record lives from now.
        life: Duration,
    },
    /// The same person's scan took it before; nothing moved.
    Repeated {
        /// How long the record lives after its last move, at the most.
        life: Duration,
    },
    /// Another person took it before; nothing moved.
    Taken,
    /// The scene is expired, replaced or unknown; nothing moved.
    Over,
    /// The ticket is not the scene's: not the platform's event; nothing moved.
    WrongTicket,
}

/// What a refresh came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// The new scene is live, the old one is dead.
    Replaced,
    /// A scan came first and wins: the new scene is not recorded.
    AlreadyScanned,
    /// Another connection has the session now.
    NotOwner,
    /// The session has ended.
    Gone,
}

/// One login. Moves are methods; whatever is not a move cannot be done to it.
#[derive(Clone, Debug)]
pub struct LoginRecord {
    id: RecordId,
    version: u64,
    owner: Owner,
    since: Timestamp,
    code_hash: CodeHash,
    life: Duration,
    gone_at: Timestamp,
    state: LoginState,
    /// Requests that gave the code back and get it no more.
    withdrawn: Vec<Uuid>,
}

impl LoginRecord {
    /// A login begins: its QR code is about to be shown. `life` is how long it lives after each move (`SESSION_TTL`).
    #[must_use]
    pub fn open(
        code: QrCode,
        code_hash: CodeHash,
        owner: Owner,
        deadlines: Deadlines,
        life: Duration,
        now: Timestamp,
    ) -> Self {
        let id = code.scene.login();
        let state = waiting(code, deadlines, now);
        let (gone_at, withdrawn) = (now.after(life), Vec::new());
        Self { id, version: 1, owner, since: now, code_hash, life, gone_at, state, withdrawn }
    }

    /// A person scanned `scene`.
    pub fn claim(&mut self, scene: &Scene, ticket: &Ticket, by: &OpenId, now: Timestamp) -> Claim {
        let life = self.life;
        match &self.state {
            LoginState::Waiting { code, claimable_until, .. } => {
                if code.scene != *scene || now >= *claimable_until {
                    return Claim::Over;
                }
                if code.ticket != *ticket {
                    return Claim::WrongTicket;
                }
                self.state = LoginState::Scanned(Scan { scene: scene.clone(), by: by.clone(), at: now });
                self.moved(now);
                Claim::Claimed { life }
            }
            LoginState::Scanned(scan) | LoginState::Redeemed(scan, _) => match scan {
                scan if scan.scene != *scene => Claim::Over,
                scan if scan.by == *by => Claim::Repeated { life },
                _ => Claim::Taken,
            },
        }
    }

    /// The page asked for a new QR code.
    pub fn refresh(
        &mut self,
        by: ConnectionId,
        code: QrCode,
        deadlines: Deadlines,
        now: Timestamp,
    ) -> Refresh {
        if self.owner.connection != by {
            return Refresh::NotOwner;
        }
        match &self.state {
            LoginState::Waiting { code: old, .. } if old.scene == code.scene => Refresh::Replaced,
            LoginState::Waiting { .. } => {
                self.state = waiting(code, deadlines, now);
                self.moved(now);
                Refresh::Replaced
            }
            LoginState::Scanned(_) | LoginState::Redeemed(..) => Refresh::AlreadyScanned,
        }
    }

    /// The browser came back on another connection, of `owner`, which saw that `before` had the login. `false`: that has it no
    /// more, and nothing moves. Repeated, it changes nothing.
    pub fn resume(&mut self, before: ConnectionId, owner: Owner, now: Timestamp) -> bool {
        if self.owner == owner {
            return true;
        }
        if self.owner.connection != before {
            return false;
        }
        self.owner = owner;
        self.since = now.max(self.since.after(Duration::from_millis(1)));
        self.moved(now);
        true
    }

    /// The application redeems the code whose hash is `code`; `token` names the request, so that the same request
    /// repeated gets the same answer. `None`: the code is wrong, not scanned yet, or was spent by another request, or this
    /// one has given it back.
    pub fn redeem(&mut self, code: &CodeHash, token: Uuid, now: Timestamp) -> Option<Scan> {
        if self.code_hash != *code || self.withdrawn.contains(&token) {
            return None;
        }
        match &self.state {
            LoginState::Waiting { .. } => None,
            LoginState::Redeemed(scan, spent_by) => (*spent_by == token).then(|| scan.clone()),
            LoginState::Scanned(scan) => {
                let scan = scan.clone();
                self.state = LoginState::Redeemed(scan.clone(), token);
                self.moved(now);
                Some(scan)
            }
        }
    }

    /// The request `token` could not be answered: it gives the code back if it spent it, and never spends it any more. The
    /// record lives no longer for it.
    pub fn withdraw(&mut self, code: &CodeHash, token: Uuid) {
        if self.code_hash != *code || self.withdrawn.contains(&token) {
            return;
        }
        self.withdrawn.push(token);
        if let LoginState::Redeemed(scan, spent_by) = &self.state
            && *spent_by == token
        {
            self.state = LoginState::Scanned(scan.clone());
            self.version += 1;
        }
    }

    /// The scan that `code` would redeem, if it is good for anything.
    #[must_use]
    pub fn redeemable(&self, code: &CodeHash) -> Option<&Scan> {
        match &self.state {
            LoginState::Scanned(scan) if self.code_hash == *code => Some(scan),
            _ => None,
        }
    }

    fn moved(&mut self, now: Timestamp) {
        self.version += 1;
        self.gone_at = now.after(self.life);
    }

    /// Which record this is.
    #[must_use]
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// How many moves it has made; a notice with a version that is not above the known one is no news.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Where the browser is.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Since when it is there; later for each owner.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// What the login has come to.
    #[must_use]
    pub fn state(&self) -> &LoginState {
        &self.state
    }

    /// How long the record lives after each move.
    #[must_use]
    pub fn life(&self) -> Duration {
        self.life
    }

    /// When the record ends if nothing moves it.
    #[must_use]
    pub fn gone_at(&self) -> Timestamp {
        self.gone_at
    }
}

fn waiting(code: QrCode, deadlines: Deadlines, now: Timestamp) -> LoginState {
    let shown_until = now.after(deadlines.shown.min(deadlines.claimable));
    LoginState::Waiting { code, shown_until, claimable_until: now.after(deadlines.claimable) }
}
