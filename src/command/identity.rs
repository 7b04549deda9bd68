//! `runtime-agent identity`: who this host is to the plane, as the agent says, or as its files say where it cannot be
//! asked.

use std::process::ExitCode;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::status::relative;
use super::{complain, exit, no_conversation, on_runtime, say};
use crate::agent::standing::{Reception, Standing};
use crate::agent::status::{Area, IdentityStatus, STATUS_VERSION, Status};
use crate::clock::{Clock as _, Wall};
use crate::config::Paths;
use crate::control::{Client, ControlError};
use crate::identity::IdentityStore;

/// What there is to tell.
struct Answer {
    standing: Standing,
    identity: Option<IdentityStatus>,
    teller: Teller,
    /// What a person has to know besides.
    remark: Option<String>,
}

/// Who tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Teller {
    /// The agent, which also knows when it is going to renew.
    Agent,
    /// The files.
    Files,
}

pub(super) fn execute(paths: &Paths, json: bool) -> ExitCode {
    let conversation = async { Client::new(&paths.control())?.status(None).await };
    let answer = match on_runtime(conversation) {
        Ok(Ok(status)) => of_agent(status),
        Ok(Err(error @ (ControlError::NotRunning(_) | ControlError::Forbidden(_) | ControlError::Refused(_)))) => {
            match of_files(paths, &error) {
                Ok(answer) => answer,
                Err(files) => {
                    complain(&files);
                    return no_conversation(&error);
                }
            }
        }
        Ok(Err(error @ ControlError::Failed { .. })) => return no_conversation(&error),
        Err(code) => return code,
    };
    if json {
        say(&format!("{:#}", answer.document()));
    } else if let Some(page) = answer.page(Wall.now(), &TimeZone::system()) {
        say(page.trim_end());
    }
    if let Some(remark) = &answer.remark {
        complain(remark);
    }
    match answer.standing {
        Standing::Valid => ExitCode::SUCCESS,
        Standing::Unpaired => ExitCode::from(exit::UNPAIRED),
        Standing::NotYetValid | Standing::Expired | Standing::Rejected | Standing::Lost => {
            ExitCode::from(exit::ACTION_NEEDED)
        }
    }
}

fn of_agent(status: Status) -> Answer {
    let remark = match (status.standing, status.problems.get(&Area::Certificate), &status.endeavour) {
        (Standing::Valid, _, _) => None,
        (_, Some(problem), _) => Some(format!("{} {}", problem.what, problem.remedy)),
        (Standing::Unpaired, None, Some(endeavour)) => {
            Some(format!("there is no identity yet; the agent is at it: {endeavour}"))
        }
        (_, None, _) => Some(status.headline),
    };
    Answer { standing: status.standing, identity: status.identity, teller: Teller::Agent, remark }
}

/// The agent cannot be asked, which is what `error` says.
fn of_files(paths: &Paths, error: &ControlError) -> Result<Answer, crate::identity::IdentityError> {
    let Some(part) = IdentityStore::reading(&paths.state).current_public_part()? else {
        let remark = format!("{error}; and there is no identity in {}", paths.state.display());
        return Ok(Answer {
            standing: Standing::Unpaired,
            identity: None,
            teller: Teller::Files,
            remark: Some(remark),
        });
    };
    let (from, until) = (part.leaf.not_before, part.leaf.not_after);
    let standing = Standing::of(from, until, &Reception::Accepted, Wall.now());
    let advice = match standing {
        Standing::Expired => {
            "; the certificate has expired: drop a new token, or set the clock of this host if it is wrong"
        }
        Standing::NotYetValid => "; the certificate is not valid yet: the clock of this host is behind, set it",
        Standing::Valid | Standing::Unpaired | Standing::Rejected | Standing::Lost => "",
    };
    let remark = format!(
        "{error}; this is what the files say, and when the certificate is going to be renewed is not known{advice}"
    );
    // Nobody plans a renewal; the instant is not told.
    let identity = IdentityStatus::new(part, until);
    Ok(Answer { standing, identity: Some(identity), teller: Teller::Files, remark: Some(remark) })
}

impl Answer {
    /// What scripts get: the identity under the names that it has in the status, too.
    fn document(&self) -> Value {
        let mut identity = json!(self.identity);
        if let (Teller::Files, Some(identity)) = (self.teller, identity.as_object_mut()) {
            identity.insert("renewal_at".into(), Value::Null);
        }
        json!({ "version": STATUS_VERSION, "standing": self.standing, "identity": identity })
    }

    /// One screen.
    fn page(&self, now: Timestamp, zone: &TimeZone) -> Option<String> {
        let identity = self.identity.as_ref()?;
        let more = &identity.description;
        let day = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%F %H:%M:%S").to_string();
        let instant = |at: Timestamp| format!("{} ({})", day(at), relative(at, now));
        let runtime = identity.runtime.as_ref().map_or_else(|| "not known yet".to_owned(), ToString::to_string);
        let renewal = match self.teller {
            Teller::Agent => instant(identity.renewal_at),
            Teller::Files => "not known".to_owned(),
        };
        let how = more.token_fingerprint.as_ref().map_or_else(
            || "by renewal".to_owned(),
            |fingerprint| format!("by a token with the fingerprint {fingerprint}"),
        );
        let paired_at = more.pairing_url.as_ref().map(ToString::to_string);
        let lines = [
            ("standing", Some(self.standing.as_str().to_owned())),
            ("runtime", Some(runtime)),
            ("tenant", identity.tenant.as_ref().map(ToString::to_string)),
            ("subject", Some(identity.subject.clone())),
            ("issuer", Some(more.issuer.clone())),
            ("certificate", Some(format!("SHA-256 {}", identity.fingerprint))),
            ("public key", Some(format!("SHA-256 {}", more.public_key_fingerprint))),
            ("algorithm", Some(more.key_algorithm.to_string())),
            ("valid from", Some(day(identity.not_before))),
            ("until", Some(instant(identity.not_after))),
            ("renewal", Some(renewal)),
            ("director", Some(more.director_url.to_string())),
            ("connector", Some(more.connector_url.to_string())),
            ("paired at", paired_at),
            ("obtained", Some(format!("{how}, {}", instant(more.issued_at)))),
            ("files", Some(more.path.clone())),
        ];
        Some(lines.into_iter().filter_map(|(name, value)| Some(format!("{name:>14}  {}\n", value?))).collect())
    }
}
