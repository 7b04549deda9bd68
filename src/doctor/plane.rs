//! The way to the plane: names, route, TLS, and whose clock is wrong. No token is sent, and nothing is asked for but the
//! time.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use url::Url;

use super::{Finding, LONGEST, Patient, Rights};
use crate::agent::link;
use crate::clock::{self, Clock as _, Wall};
use crate::config::{HttpsUrl, Settings};
use crate::identity::IdentityStore;
use crate::transport::{ClientPem, Fault, Knock};

/// By how much two clocks may differ before it is told: a minute, as where the agent judges a certificate to be one of
/// the future.
const SKEW: Duration = Duration::from_secs(60);

const CLOCK: &str = "clock";
const CHECK: &str = "plane";

/// An endpoint that is looked at.
struct Door {
    name: &'static str,
    url: HttpsUrl,
    /// Whether the certificate is shown there.
    client: Option<ClientPem>,
}

/// Knocks at every endpoint that is known.
pub(super) async fn look(patient: &Patient<'_>, rights: Rights) -> Vec<Finding> {
    let Ok(settings) = &patient.settings else {
        return vec![Finding::skipped(CHECK, "the configuration cannot be used")];
    };
    if let Err(error) = settings.plane.trust().check() {
        return vec![Finding::failure(CHECK, error.to_string(), "put the CAs there, or correct plane.ca_bundle")];
    }
    let doors = doors(settings, rights);
    if doors.is_empty() {
        return vec![
            Finding::skipped(CHECK, "no address of it is known yet: that comes with the token, or plane.connector_url"),
            judge_clock_alone(Wall.now(), clock::built_at()),
        ];
    }
    let looked = join_all(doors.iter().map(|door| knock(settings, door))).await;
    let date = looked.iter().find_map(|(_, date)| *date);
    let mut findings: Vec<Finding> = looked.into_iter().map(|(finding, _)| finding).collect();
    findings.push(match date {
        Some((date, now)) => judge_clock(date, now),
        None => judge_clock_alone(Wall.now(), clock::built_at()),
    });
    findings
}

/// The endpoints: those of the identity, or else the Connector that a pairing would begin with.
fn doors(settings: &Settings, rights: Rights) -> Vec<Door> {
    let store = IdentityStore::reading(&settings.paths.state);
    // Where the key cannot be read, no certificate is shown.
    let client = match rights {
        Rights::Owner => store.current().ok().flatten().map(|identity| identity.client),
        Rights::Stranger => None,
    };
    if let Ok(Some(part)) = store.current_public_part() {
        let record = part.record;
        let mut doors = Vec::new();
        doors.extend(record.connector_url.map(|url| Door { name: "Connector", url, client: None }));
        // These may let nobody in who shows no certificate, which tells nothing of the way.
        if client.is_some() {
            doors.push(Door { name: "Connector for renewal", url: record.renewal_url, client: client.clone() });
            doors.push(Door { name: "Director", url: record.director_url, client });
        }
        return doors;
    }
    let of_token = if rights == Rights::Owner { super::token::connector(&settings.paths) } else { None };
    let url = of_token.or_else(|| settings.plane.connector_url.clone());
    url.map(|url| Door { name: "Connector", url, client: None }).into_iter().collect()
}

/// Who we said that we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Certificate,
    Nothing,
}

type Dated = (Finding, Option<(Timestamp, Timestamp)>);

async fn knock(settings: &Settings, door: &Door) -> Dated {
    let (name, host) = (door.name, door.url.host());
    let shown = if door.client.is_some() { Shown::Certificate } else { Shown::Nothing };
    let proxy = settings.plane.proxy.on_the_way_to(door.url.as_url());
    let way = proxy.as_ref().map_or_else(String::new, |proxy| format!(", through the proxy {proxy}"));
    if let Err(finding) = resolve(name, door.url.as_url(), proxy.as_deref()).await {
        return (finding, None);
    }
    let endpoint = match link::door(settings, &door.url, door.client.as_ref(), LONGEST) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            let finding = Finding::failure(CHECK, format!("{name}: {error}"), "see the checks of the identity");
            return (finding, None);
        }
    };
    let answered = tokio::time::timeout(LONGEST, endpoint.knock()).await.unwrap_or(Err(Fault::Timeout(LONGEST)));
    let now = Wall.now();
    match answered {
        Ok(Knock { status, date }) => (judge_status(name, &host, &way, status, shown), date.map(|date| (date, now))),
        Err(fault) => (Finding::failure(CHECK, format!("{name} at {host}: {fault}"), remedy(&fault)), None),
    }
}

/// Looks the first name on the way up.
async fn resolve(name: &str, url: &Url, proxy: Option<&str>) -> Result<(), Finding> {
    let through = proxy.and_then(|proxy| Url::parse(proxy).ok());
    let first = through.as_ref().unwrap_or(url);
    let Some(host) = first.host_str() else { return Ok(()) };
    let port = first.port_or_known_default().unwrap_or(443);
    let looked = tokio::time::timeout(LONGEST, tokio::net::lookup_host((host.trim_matches(['[', ']']), port))).await;
    let why = match looked {
        Ok(Ok(mut addresses)) => match addresses.next() {
            Some(_) => return Ok(()),
            None => "it has no address".to_owned(),
        },
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", LONGEST.as_secs()),
    };
    Err(Finding::failure(
        CHECK,
        format!("{name}: the name {host} cannot be looked up: {why}"),
        format!("see that this host can resolve names (`getent hosts {host}`), and that the name is right"),
    ))
}

/// What an answer without any question tells. Who shows no certificate proves by a 401 that the way is open.
fn judge_status(name: &str, host: &str, way: &str, status: u16, shown: Shown) -> Finding {
    match status {
        401 | 403 if shown == Shown::Certificate => Finding::failure(
            CHECK,
            format!("{name} at {host}{way}: the answer is HTTP status {status}: it does not take our certificate"),
            "see `runtime-agent status`; a revoked certificate needs a new token",
        ),
        407 => Finding::failure(
            CHECK,
            format!("{name} at {host}{way}: the proxy asks who we are"),
            "give HTTPS_PROXY a user name and password, as runtime-agent(8) shows",
        ),
        500..=599 => Finding::warning(
            CHECK,
            format!("{name} at {host}{way}: the answer is HTTP status {status}"),
            "the agent tries again by itself; tell those who run the plane, if it stays",
        ),
        _ => Finding::ok(CHECK, format!("{name} at {host}{way}: reached, and its certificate is trusted")),
    }
}

fn remedy(fault: &Fault) -> &'static str {
    match fault {
        Fault::ServerCertificate(_) => {
            "have the plane's certificate renewed, or put the right CA into plane.ca_bundle; and see that this host's \
             clock is right"
        }
        Fault::CertificateRefused(_) => {
            "see `runtime-agent status`; a revoked or expired certificate needs a new token"
        }
        Fault::ProxyCredentials(_) => "give HTTPS_PROXY a user name and password, as runtime-agent(8) shows",
        Fault::Timeout(_) | Fault::Connect(_) => "see that a firewall lets it through, or set plane.proxy",
        _ => "see whether something between this host and the plane changes what is sent",
    }
}

/// Compares this host's clock with the plane's.
fn judge_clock(date: Timestamp, now: Timestamp) -> Finding {
    let (ahead, behind) = (clock::until(date, now), clock::until(now, date));
    let by = ahead.max(behind);
    if by <= SKEW {
        return Finding::ok(
            CLOCK,
            format!("{} s apart from the plane's, of {} that are tolerated", by.as_secs(), SKEW.as_secs()),
        );
    }
    let direction = if ahead > behind { "ahead of" } else { "behind" };
    Finding::failure(
        CLOCK,
        format!(
            "this host's clock is {} {direction} the plane's",
            humantime::format_duration(Duration::from_secs(by.as_secs()))
        ),
        "set it (`timedatectl set-ntp true`)",
    )
}

fn judge_clock_alone(now: Timestamp, built_at: Timestamp) -> Finding {
    if now < built_at {
        let what = format!("this host's clock shows {now}, and this program was built at {built_at}");
        return Finding::failure(CLOCK, what, "set it (`timedatectl set-ntp true`)");
    }
    Finding::skipped(CLOCK, "there is no answer of the plane to compare it with")
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_clock_is_wrong_by_more_than_a_minute_in_either_direction() {
        assert_eq!(judge_clock(at(1000), at(1060)).verdict, Verdict::Ok);
        assert_eq!(judge_clock(at(1060), at(1000)).verdict, Verdict::Ok);
        assert!(judge_clock(at(1000), at(1061)).what.contains("1m 1s ahead of"));
        assert!(judge_clock(at(5000), at(1000)).what.contains("behind"));
        assert_eq!(judge_clock_alone(at(10), at(11)).verdict, Verdict::Failure);
        assert_eq!(judge_clock_alone(at(11), at(10)).verdict, Verdict::Skipped);
    }

    #[test]
    fn a_refusal_is_told_from_an_answer_that_shows_the_way_to_be_open() {
        let verdict = |status| judge_status("Director", "d", "", status, Shown::Certificate).verdict;
        assert_eq!(judge_status("Connector", "c", "", 401, Shown::Nothing).verdict, Verdict::Ok);
        assert_eq!((verdict(200), verdict(405), verdict(404)), (Verdict::Ok, Verdict::Ok, Verdict::Ok));
        assert_eq!((verdict(401), verdict(407), verdict(503)), (Verdict::Failure, Verdict::Failure, Verdict::Warning));
    }
}
