//! What stands behind the question mark.

use url::form_urlencoded;

use super::answer::Fault;
use crate::broker::{Patience, Wanted};

/// The parameters of a request. Those that nobody asks for may be anything.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: Option<&str>) -> Self {
        Self(form_urlencoded::parse(text.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    fn one(&self, name: &str) -> Result<Option<&str>, Fault> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => Err(Fault::bad_request(format!("The query parameter {name} is there more than once."))),
        }
    }

    fn required(&self, name: &str) -> Result<String, Fault> {
        match self.one(name)? {
            Some(value) if !value.is_empty() => Ok(value.to_owned()),
            _ => Err(Fault::bad_request(format!("The query parameter {name} is missing or empty."))),
        }
    }

    /// The service and the plan, which a request to delete has to name.
    pub(super) fn wanted(&self) -> Result<Wanted, Fault> {
        Ok(Wanted { service: self.required("service_id")?, plan: self.required("plan_id")? })
    }

    /// Whether the client asks later what came of it.
    pub(super) fn patience(&self) -> Result<Patience, Fault> {
        match self.one("accepts_incomplete")? {
            None | Some("false") => Ok(Patience::Waits),
            Some("true") => Ok(Patience::LooksLater),
            Some(_) => Err(Fault::bad_request("The query parameter accepts_incomplete is neither true nor false.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delete_names_service_and_plan_once_each_whatever_else_it_says() {
        let wanted = |query: &str| Query::parse(Some(query)).wanted();
        let known = Wanted { service: "a b".into(), plan: "p".into() };
        assert_eq!(wanted("x=1&x=2&service_id=a%20b&plan_id=p&%ff"), Ok(known));
        for query in ["", "service_id=s", "plan_id=p", "service_id=&plan_id=p", "service_id=s&plan_id=p&plan_id=p"] {
            assert!(wanted(query).is_err(), "{query}");
        }
        assert!(Query::parse(None).wanted().is_err());
    }

    #[test]
    fn a_client_is_patient_only_where_it_says_so() {
        let patience = |query: &str| Query::parse(Some(query)).patience();
        assert_eq!(patience("accepts_incomplete=true"), Ok(Patience::LooksLater));
        assert_eq!(patience("accepts_incomplete=false"), Ok(Patience::Waits));
        assert_eq!(patience(""), Ok(Patience::Waits));
        for query in ["accepts_incomplete=1", "accepts_incomplete", "accepts_incomplete=true&accepts_incomplete=true"] {
            assert!(patience(query).is_err(), "{query}");
        }
    }
}
