//! What a failed request for an instance auth, or for the end of one, means to whoever asked for it.

use std::time::Duration;

use super::super::dialect;
use crate::transport::{Beside, CallError, Fault, GraphqlError, Retry, fit};

/// Why a request brought nothing, for whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of refusal it is.
    pub kind: RefusalKind,
    /// The plane's number for the kind of error, where it gave one.
    pub code: Option<i64>,
    /// The plane's words where it answered with an error, otherwise ours: one line, and not long. No secret that was
    /// sent is in it.
    pub message: Box<str>,
    /// What became of the request at the plane.
    pub outcome: Outcome,
}

/// What kind of refusal it is. All but the last are the plane's verdict on the request, which was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// What the request is about is not there: the bundle, or the instance auth. The fault of whoever asked, or, for
    /// what was to be given back, no fault at all.
    Missing,
    /// The request's data are not as they should be, parameters that do not fit the schema included.
    Invalid,
    /// The plane does not do this here; the message says why.
    Unsupported,
    /// Another operation on the same thing is under way; it may be done later.
    Concurrent,
    /// The plane is not there for us now, or not able, or does not take us for who we are: nothing is wrong with the
    /// request. Where it says when to come back, not before that.
    Unavailable(Option<Duration>),
}

/// What became of a request at the plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was certainly not carried out: it can be made again as it is.
    Undone,
    /// It may have been carried out: look before it is made again.
    Unknown,
}

impl Refusal {
    /// What the failure of a creation or a deletion means.
    pub fn of(error: &CallError) -> Self {
        let verdict = match &error.fault {
            Fault::Graphql(errors) => errors.first(),
            _ => None,
        };
        let outcome = outcome(&error.fault);
        let code = verdict.and_then(GraphqlError::error_code);
        let kind = match (outcome, code) {
            (Outcome::Undone, Some(20)) => RefusalKind::Missing,
            (Outcome::Undone, Some(22)) => RefusalKind::Invalid,
            (Outcome::Undone, Some(27)) => RefusalKind::Unsupported,
            (Outcome::Undone, Some(32 | 35)) => RefusalKind::Concurrent,
            // The plane's word on something deeper than the request is none on the request.
            (Outcome::Undone | Outcome::Unknown, _) => RefusalKind::Unavailable(match error.fault.retry() {
                Retry::Later(wait) => wait,
                Retry::Never => None,
            }),
        };
        let message = match verdict {
            // Already fit for a line, and without secrets.
            Some(verdict) => verdict.message.as_str().into(),
            None => fit(&error.fault.to_string()).into(),
        };
        Self { kind, code, message, outcome }
    }
}

fn outcome(fault: &Fault) -> Outcome {
    let refused = match fault {
        Fault::Graphql(errors) => !errors.is_empty() && errors.iter().all(is_verdict),
        _ => false,
    };
    // Words that the plane does not know are never acted on, whichever dialect it speaks.
    if refused || fault.certainly_undone() || dialect::is_refusal(fault) { Outcome::Undone } else { Outcome::Unknown }
}

/// Whether an error is the plane's refusal of the request as a whole, which it gives before it changes anything. An
/// error deeper in the answer, or beside data, is one about what came of a request that was carried out.
fn is_verdict(error: &GraphqlError) -> bool {
    let early = error.error_code().is_some_and(|code| matches!(code, 20 | 22..=27 | 32 | 35));
    early && error.depth() <= 1 && error.beside == Beside::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Undone, Unknown};
    use RefusalKind::{Concurrent, Invalid, Missing, Unavailable, Unsupported};

    fn of(fault: Fault) -> Refusal {
        Refusal::of(&CallError { operation: "Request", host: "plane".into(), request_id: uuid::Uuid::nil(), fault })
    }

    /// What the plane says in a body of status 200.
    fn said(body: &str) -> Refusal {
        of(crate::transport::decode::<serde_json::Value>(200, body.as_bytes()).expect_err("it holds errors"))
    }

    fn code(code: i64) -> Refusal {
        said(&format!(
            r#"{{"data":null,"errors":[{{"message":"why","path":["requested"],"extensions":{{"error_code":{code}}}}}]}}"#
        ))
    }

    #[test]
    fn each_code_of_the_plane_has_its_meaning() {
        for (number, kind, outcome) in [
            (10, Unavailable(None), Unknown),
            (20, Missing, Undone),
            (21, Unavailable(None), Unknown),
            (22, Invalid, Undone),
            (23, Unavailable(None), Undone),
            (24, Unavailable(None), Undone),
            (25, Unavailable(None), Undone),
            (26, Unavailable(None), Undone),
            (27, Unsupported, Undone),
            (28, Unavailable(None), Unknown),
            (32, Concurrent, Undone),
            (35, Concurrent, Undone),
        ] {
            let refusal = code(number);
            assert_eq!((refusal.kind, refusal.outcome), (kind, outcome), "code {number}");
            assert_eq!((refusal.code, &*refusal.message), (Some(number), "why"));
        }
    }

    #[test]
    fn each_other_fault_leaves_the_plane_unavailable() {
        let status = |code, wait: Option<u64>| Fault::Status {
            code,
            retry_after: wait.map(Duration::from_secs),
            excerpt: String::new(),
        };
        let wait = |seconds| Unavailable(Some(Duration::from_secs(seconds)));
        for (fault, kind, outcome) in [
            (Fault::Connect("refused".into()), Unavailable(None), Undone),
            (Fault::ProxyCredentials("proxy".into()), Unavailable(None), Undone),
            (Fault::ServerCertificate("expired".into()), Unavailable(None), Undone),
            (Fault::CertificateRefused("CertificateRevoked".into()), Unavailable(None), Undone),
            (Fault::UnknownRuntime("runtime".into()), Unavailable(None), Undone),
            (Fault::NotARuntime("USER".into()), Unavailable(None), Undone),
            (Fault::Timeout(Duration::from_secs(1)), Unavailable(None), Unknown),
            (Fault::Interrupted("reset".into()), Unavailable(None), Unknown),
            (Fault::TooLarge(1), Unavailable(None), Unknown),
            (Fault::Spool("no space".into()), Unavailable(None), Unknown),
            (Fault::NotGraphql("html".into()), Unavailable(None), Unknown),
            (Fault::Shape("no id".into()), Unavailable(None), Unknown),
            (status(401, None), Unavailable(None), Undone),
            (status(403, None), Unavailable(None), Undone),
            (status(404, None), Unavailable(None), Unknown),
            (status(413, None), Unavailable(None), Undone),
            (status(422, None), Unavailable(None), Undone),
            (status(429, None), Unavailable(None), Undone),
            (status(429, Some(7)), wait(7), Undone),
            (status(500, None), Unavailable(None), Unknown),
            (status(502, None), Unavailable(None), Unknown),
            (status(503, Some(9)), wait(9), Unknown),
            (status(504, None), Unavailable(None), Unknown),
        ] {
            let words = fault.to_string();
            let refusal = of(fault);
            assert_eq!((refusal.kind, refusal.outcome), (kind, outcome), "{words}");
            assert_eq!((refusal.code, &*refusal.message), (None, &*words));
        }
    }

    #[test]
    fn an_error_about_what_was_made_is_none_about_the_request() {
        for body in [
            r#"{"data":null,"errors":[{"message":"","path":["requested","status"],"extensions":{"error_code":20}}]}"#,
            r#"{"data":{"requested":{"id":"1"}},"errors":[{"message":"","path":["requested","auth"],"extensions":{"error_code":22}}]}"#,
            r#"{"data":{"requested":{"id":"1"}},"errors":[{"message":"","extensions":{"error_code":22}}]}"#,
            r#"{"data":null,"errors":[{"message":"","extensions":{"error_code":22}},{"message":"","extensions":{"error_code":10}}]}"#,
            r#"{"data":null,"errors":[{"message":"no code"}]}"#,
        ] {
            let refusal = said(body);
            assert_eq!((refusal.kind, refusal.outcome), (Unavailable(None), Unknown), "{body}");
        }
    }

    #[test]
    fn a_query_that_the_plane_does_not_know_was_not_carried_out() {
        for error in [
            r#"{"message":"no such field","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}"#,
            r#"{"message":"Cannot query field \"requestBundleInstanceAuthCreation\" on type \"Mutation\"."}"#,
        ] {
            let refusal = said(&format!(r#"{{"errors":[{error}]}}"#));
            assert_eq!((refusal.kind, refusal.outcome), (Unavailable(None), Undone), "{error}");
        }
    }

    #[test]
    fn the_planes_words_are_made_fit_for_a_line_and_bounded() {
        let long = "x".repeat(10_000);
        let refusal = said(&format!(
            r#"{{"errors":[{{"message":"no\r\n\u001b[31mMESSAGE=x {long}","extensions":{{"error_code":27}}}}]}}"#
        ));
        assert!(refusal.message.starts_with("no [31mMESSAGE=x xxx"), "{}", refusal.message);
        assert!(refusal.message.chars().count() < 300 && !refusal.message.contains(char::is_control));
    }
}
