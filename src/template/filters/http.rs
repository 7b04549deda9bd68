//! `basic_auth`: the value of the header `Authorization` for a user name and a password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::{Error, Value};

use super::super::output::refuse;
use super::text;

/// `Basic …`, as RFC 7617 has it, in UTF-8.
pub(super) fn basic_auth(user: &Value, password: &Value) -> Result<String, Error> {
    let (user, password) = (text(user)?, text(password)?);
    if user.contains(':') {
        return Err(refuse("the user name holds a \":\", which would end it in HTTP Basic"));
    }
    if user.contains(char::is_control) || password.contains(char::is_control) {
        return Err(refuse("it holds a control character, which HTTP Basic does not allow"));
    }
    Ok(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

#[cfg(test)]
mod tests {
    use super::super::call;

    #[test]
    fn the_header_is_that_of_the_standard() {
        assert_eq!(call("basic_auth('open sesame')", "Aladdin").unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(call("basic_auth('123£')", "test").unwrap(), "Basic dGVzdDoxMjPCow==");
        assert!(call("basic_auth('x')", "a:b").unwrap_err().contains("\":\""));
        assert!(call("basic_auth('x\\ny')", "a").unwrap_err().contains("control"));
    }
}
