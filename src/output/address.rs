//! URLs for the eyes of everybody: without the user and the password that some carry.

use url::Url;

/// A URL without its userinfo. Where nobody can say what is userinfo, everything up to the last `@` goes.
pub(crate) fn without_userinfo(text: &str) -> String {
    if !text.contains('@') {
        return text.to_owned();
    }
    let after = || text.rsplit('@').next().unwrap_or_default().to_owned();
    match Url::parse(text) {
        Ok(url) if url.has_host() && url.username().is_empty() && url.password().is_none() => text.to_owned(),
        Ok(mut url) if url.has_host() => {
            if url.set_username("").is_err() || url.set_password(None).is_err() {
                return after();
            }
            url.into()
        }
        Ok(_) | Err(_) => after(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_and_the_password_go_and_nothing_else() {
        for (text, public) in [
            ("https://example.com/a?b#c", "https://example.com/a?b#c"),
            ("https://example.com/odata/@me", "https://example.com/odata/@me"),
            ("https://user:canary@example.com/a", "https://example.com/a"),
            ("https://canary@example.com/a@b", "https://example.com/a@b"),
            ("https:\\\\user:canary@example.com/", "https://example.com/"),
            ("ht\ntps://user:canary@example.com/", "https://example.com/"),
            ("amqp://user:canary@broker:5672/vhost", "amqp://broker:5672/vhost"),
        ] {
            assert_eq!(without_userinfo(text), public);
        }
    }

    #[test]
    fn what_is_no_url_shows_nothing_before_an_at_sign() {
        for text in ["user:canary@host/x", "//user:canary@host/x", "https://u:ca/nary@host/x", "https://u:canary@[/x"] {
            assert!(!without_userinfo(text).contains("nary"), "{text}");
        }
    }
}
