//! What the phone shows: templates, and the passive reply that carries them (docs/wechat.md, "Replies").

/// The platform cuts or drops a text beyond about 2,048 bytes.
const TEXT_MAX: usize = 2000;

/// Why a text is no template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotATemplate {
    /// The platform takes an empty reply for a fault of ours and says so to the person.
    #[error("it is empty")]
    Empty,
    /// It would not arrive whole.
    #[error("filled in, it can be longer than {TEXT_MAX} bytes of UTF-8")]
    TooLong,
    /// A brace opens something that we cannot fill in here.
    #[error("it has a placeholder that is unknown here")]
    UnknownPlaceholder,
}

/// A text with placeholders, `{nickname}` everywhere and `{count}` where a login is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Nickname,
    Count,
}

impl Template {
    /// Reads a template that may say `{nickname}`. A backslash and an `n` are a line break.
    ///
    /// # Errors
    ///
    /// Empty, or another placeholder.
    pub fn parse(text: &str) -> Result<Self, NotATemplate> {
        let template = Self::parse_counting(text)?;
        if template.0.contains(&Part::Count) { Err(NotATemplate::UnknownPlaceholder) } else { Ok(template) }
    }

    /// As [`Self::parse`], for a template that may say `{count}` as well.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn parse_counting(text: &str) -> Result<Self, NotATemplate> {
        if text.trim().is_empty() {
            return Err(NotATemplate::Empty);
        }
        let text = text.replace("\\n", "\n");
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, behind)) = rest.split_once('{') {
            parts.push(Part::Text(before.to_owned()));
            let (name, behind) = behind.split_once('}').ok_or(NotATemplate::UnknownPlaceholder)?;
            parts.push(match name {
                "nickname" => Part::Nickname,
                "count" => Part::Count,
                _ => return Err(NotATemplate::UnknownPlaceholder),
            });
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// Fills it in. Whatever the nickname looks like, it stays a nickname.
    fn fill(&self, nickname: &str, count: u64) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Nickname => nickname.to_owned(),
            Part::Count => count.to_string(),
        };
        self.0.iter().map(part).collect()
    }

    /// Checks that it can be sent with this nickname, whatever the count.
    ///
    /// # Errors
    ///
    /// It could be too long, or nothing to be seen.
    pub fn check(&self, nickname: &str) -> Result<(), NotATemplate> {
        let longest = sendable(&self.fill(nickname, u64::MAX));
        match longest.len() {
            _ if longest.trim().is_empty() => Err(NotATemplate::Empty),
            0..=TEXT_MAX => Ok(()),
            _ => Err(NotATemplate::TooLong),
        }
    }
}

/// The texts for the phone, and the name to put into them. Each has passed [`Template::check`].
#[derive(Clone, Debug)]
pub struct Replies {
    /// The stand-in for the nickname, which the platform no longer tells (docs/wechat.md, "User data").
    pub nickname: String,
    /// The login succeeded.
    pub success: Template,
    /// The QR code is used, unknown or over.
    pub used: Template,
    /// It could not be found out now.
    pub retry: Template,
    /// Anything else that deserves an answer.
    pub greeting: Template,
}

impl Replies {
    /// The login succeeded, the person's `count`th.
    #[must_use]
    pub fn success(&self, count: u64) -> String {
        self.success.fill(&self.nickname, count)
    }

    /// The QR code is used, unknown or over.
    #[must_use]
    pub fn used(&self) -> String {
        self.used.fill(&self.nickname, 0)
    }

    /// It could not be found out now.
    #[must_use]
    pub fn retry(&self) -> String {
        self.retry.fill(&self.nickname, 0)
    }

    /// Hello.
    #[must_use]
    pub fn greeting(&self) -> String {
        self.greeting.fill(&self.nickname, 0)
    }
}

/// The text reply to a message: what was its sender is the addressee now. `created` is in seconds.
#[must_use]
pub fn text(to: &str, from: &str, created: u64, content: &str) -> String {
    let (to, from, content) = (cdata(to), cdata(from), cdata(content));
    format!(
        "<xml><ToUserName>{to}</ToUserName><FromUserName>{from}</FromUserName><CreateTime>{created}</CreateTime>\
         <MsgType><![CDATA[text]]></MsgType><Content>{content}</Content></xml>"
    )
}

/// The envelope of an encrypted reply (docs/wechat.md, "Encryption"). `timestamp` is in seconds: milliseconds have
/// broken a library before.
#[must_use]
pub fn envelope(encrypted: &str, signature: &str, timestamp: &str, nonce: &str) -> String {
    format!(
        "<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt><MsgSignature><![CDATA[{signature}]]></MsgSignature>\
         <TimeStamp>{timestamp}</TimeStamp><Nonce><![CDATA[{nonce}]]></Nonce></xml>"
    )
}

/// `]]>` would end the section, so it is spread over two.
fn cdata(text: &str) -> String {
    format!("<![CDATA[{}]]>", sendable(text).replace("]]>", "]]]]><![CDATA[>"))
}

/// Without the characters that XML 1.0 has no way to write.
fn sendable(text: &str) -> String {
    let writable = |c: &char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().filter(writable).collect()
}
