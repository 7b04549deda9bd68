//! `plane fault`: from arguments to a fault.

use plane::{Effect, Fault, RetryAfter};
use reqwest::Method;
use serde_json::json;

use crate::{
    Failure,
    arguments::{FaultArguments, FaultEffect},
    client::Admin,
};

pub(crate) async fn execute(admin: &Admin, arguments: FaultArguments) -> Result<(), Failure> {
    let FaultArguments { on, operation, times, after, processed, effect } = arguments;
    let fault = Fault { endpoint: on, operation, times, after, processed, effect: Effect::Nothing };
    let fault = match effect {
        FaultEffect::Clear => {
            admin.call(Method::DELETE, "/faults", None).await?;
            return Ok(());
        }
        FaultEffect::List => {
            println!("{:#}", admin.get("/faults").await?);
            return Ok(());
        }
        FaultEffect::Status { status, body, content_type, retry_after, retry_after_date } => {
            let retry_after = retry_after.map(RetryAfter::Seconds).or(retry_after_date.map(RetryAfter::Date));
            fault.effect(Effect::Status { status, body, content_type, retry_after })
        }
        FaultEffect::Delay { duration } => fault.delay(duration),
        FaultEffect::Drip { bytes, every } => fault.drip(bytes, every),
        FaultEffect::Reset => fault.reset(),
        FaultEffect::LostAnswer => fault.lost_answer(),
        FaultEffect::Refuse => fault.refuse(),
        FaultEffect::Truncate { bytes } => fault.truncate(bytes),
        FaultEffect::Body { body, content_type } => fault.effect(Effect::Body { body, content_type }),
        FaultEffect::ContentType { content_type } => fault.content_type(content_type),
        FaultEffect::Huge { bytes } => fault.huge(bytes),
        FaultEffect::GzipBomb { bytes } => fault.gzip_bomb(bytes),
        FaultEffect::GzipNothing { bytes } => fault.gzip_nothing(bytes),
        FaultEffect::ContentEncoding { coding } => fault.content_encoding(coding),
        FaultEffect::ErrorsBeside { message } => fault.errors_beside(message),
        FaultEffect::Failure { code, message } => fault.failure(code, message),
        FaultEffect::Null { field, first, silent } => {
            fault.effect(Effect::NullField { field, occurrences: first, silent })
        }
        FaultEffect::TotalCount { delta } => fault.total_count(delta),
        FaultEffect::BetweenPages { change } => fault.between_pages(change),
        FaultEffect::ServerCertificate { certificate } => fault.server_certificate(certificate),
    };
    admin.post("/faults", &json!(fault)).await?;
    Ok(())
}
