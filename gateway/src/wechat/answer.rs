//! Reading what the API answers: bounded, by its body alone, for its status and content type say nothing.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Error;

/// The largest answer that is read; the longest that we ask for is about 1 KiB.
const ANSWER_MAX: usize = 64 * 1024;

/// An answer's whole body.
#[derive(Debug)]
pub struct Answer(pub Vec<u8>);

fn parse(text: &str) -> serde_json::Result<Map<String, Value>> {
    serde_json::from_str(text)
}

impl Answer {
    /// Sends `request` and reads its answer.
    pub(super) async fn of(request: reqwest::RequestBuilder) -> Result<Self, Error> {
        let mut response = request.send().await.map_err(Error::unreachable)?;
        if !response.status().is_success() {
            return Err(Error::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(Error::unreachable)? {
            if body.len() + chunk.len() > ANSWER_MAX {
                return Err(Error::Unreadable("an answer of more than 64 KiB"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self(body))
    }

    /// The answer as the call's own type.
    ///
    /// # Errors
    ///
    /// The platform's refusal, or no JSON object that fits the type.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, Error> {
        let text = String::from_utf8_lossy(&self.0);
        let object = parse(&text)
            // Old nicknames carry raw control characters; outside of strings they are only blanks
            // (docs/wechat.md, "Texts and encodings").
            .or_else(|_| parse(&text.chars().filter(|c| !c.is_control()).collect::<String>()))
            .map_err(|_| Error::Unreadable("what is no JSON object"))?;
        // Absent or 0 is success (docs/wechat.md, "Rules for every call").
        match object.get("errcode").map(Value::as_i64) {
            None | Some(Some(0)) => serde_json::from_value(Value::Object(object))
                .map_err(|_| Error::Unreadable("JSON without the wanted field")),
            Some(Some(code)) => {
                let message = object.get("errmsg").and_then(Value::as_str).unwrap_or_default();
                Err(Error::refused(code, message))
            }
            Some(None) => Err(Error::Unreadable("an error code that is no number")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::Person;

    fn read<T: DeserializeOwned>(body: &str) -> Result<T, Error> {
        Answer(body.as_bytes().to_vec()).read()
    }

    #[test]
    fn an_error_code_is_a_refusal_whatever_else_is_there() {
        let body = r#"{"errcode":40164,"errmsg":"invalid ip 203.0.113.7, not in whitelist rid: 6"}"#;
        let error = read::<Person>(body).unwrap_err();
        assert!(error.to_string().contains("203.0.113.7") && error.to_string().contains("40164"), "{error}");
        assert!(read::<Person>(r#"{"errcode":0,"errmsg":"ok"}"#).is_ok());
    }

    #[test]
    fn control_characters_in_a_nickname_do_not_hide_the_rest() {
        let person: Person = read("{\"nickname\":\"a\u{8}b\",\n\"unionid\":\"u\"}").unwrap();
        assert_eq!(person, Person { unionid: Some("u".into()), nickname: Some("ab".into()) });
    }

    #[test]
    fn what_is_not_json_is_unreadable() {
        for body in ["", "<html>", "[1]", "{\"errcode\":\"x\"}"] {
            assert!(matches!(read::<Person>(body), Err(Error::Unreadable(_))), "{body}");
        }
    }
}
