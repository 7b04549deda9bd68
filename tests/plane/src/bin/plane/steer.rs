//! All commands that drive a plane which runs elsewhere.

use plane::{
    CredentialKind, Generate, SubjectOrder, Verdict,
    model::{Auth, Credential},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    Failure,
    arguments::{AuthAnswer, Command, Place, Set},
    client::{Admin, segment},
    faults,
    run::read_json,
};

pub(crate) async fn execute(place: Place, command: Command) -> Result<(), Failure> {
    let admin = Admin::find(place)?;
    match command {
        Command::Serve(_) => {}
        Command::Runtime { name, applications } => {
            let made = admin.post("/runtimes", &json!({ "name": name, "formation": applications })).await?;
            print_text(&made["id"]);
        }
        Command::Token { runtime, form, expires } => {
            let wanted = json!({ "form": form, "expires_seconds": expires.map(|life| life.as_secs()) });
            let made = admin.post(&format!("/runtimes/{}/token", segment(&runtime)), &wanted).await?;
            println!("{}", made["content"].as_str().unwrap_or_default().trim_end());
        }
        Command::Load { file } => print_ids(&admin.post("/applications", &read_json(&file)?).await?),
        Command::Generate(arguments) => {
            let plan = Generate {
                applications: arguments.applications,
                bundles: arguments.bundles,
                apis: arguments.apis,
                events: arguments.events,
                documents: arguments.documents,
                spec_bytes: arguments.spec_bytes,
                credentials: arguments.credentials.unwrap_or_else(|| CredentialKind::ALL.to_vec()),
                request_schema: arguments.request_schema,
                seed: arguments.seed,
            };
            let made = admin.post("/generate", &json!(plan)).await?;
            if !arguments.quiet {
                print_ids(&made);
            }
        }
        Command::Change { application, name, description, target_url, rotate_credentials } => {
            let changes = json!({
                "name": name,
                "description": description,
                "target_url": target_url,
                "rotate_credentials": rotate_credentials,
            });
            admin.call(Method::PATCH, &format!("/applications/{}", segment(&application)), Some(&changes)).await?;
        }
        Command::Delete { application } => {
            admin.call(Method::DELETE, &format!("/applications/{}", segment(&application)), None).await?;
        }
        Command::Revoke { runtime } => {
            let done = admin.post(&format!("/runtimes/{}/revoke", segment(&runtime)), &json!({})).await?;
            println!("{} revoked", done["revoked"]);
        }
        Command::Expire { runtime, certificates } => {
            let done = admin.post(&format!("/runtimes/{}/expire", segment(&runtime)), &json!({})).await?;
            println!("{} expired", done["expired"]);
            if let Some(life) = certificates {
                let settings = json!({ "certificate_seconds": life.as_secs() });
                admin.call(Method::PATCH, "/settings", Some(&settings)).await?;
            }
        }
        Command::RotateCa { distrust_former } => {
            admin.post(&format!("/rotate-ca?distrust_former={distrust_former}"), &json!({})).await?;
        }
        Command::Set(set) => println!("{:#}", admin.call(Method::PATCH, "/settings", Some(&settings(&set))).await?),
        Command::Fault(arguments) => faults::execute(&admin, *arguments).await?,
        Command::Auth { id, answer } => {
            admin.post(&format!("/instance-auths/{}", segment(&id)), &json!(verdict(answer))).await?;
        }
        Command::Auths { runtime, json } => {
            let held = admin.get(&format!("/runtimes/{}/instance-auths", segment(&runtime))).await?;
            if json {
                println!("{held:#}");
            } else {
                held.as_array().into_iter().flatten().for_each(print_auth);
            }
        }
        Command::Requests { json, clear } => {
            let recorded = admin.get("/requests").await?;
            if json {
                println!("{recorded:#}");
            } else {
                recorded["requests"].as_array().into_iter().flatten().for_each(print_request);
            }
            if clear {
                admin.call(Method::DELETE, "/requests", None).await?;
            }
        }
        Command::State { runtime, json } => {
            let query = runtime.map(|runtime| format!("?runtime={}", segment(&runtime))).unwrap_or_default();
            let state = admin.get(&format!("/state{query}")).await?;
            if json { println!("{state:#}") } else { print_state(&state) }
        }
        Command::Canaries => {
            admin.get("/canaries").await?.as_array().into_iter().flatten().for_each(print_text);
        }
        Command::Urls => println!("{:#}", admin.get("/").await?),
    }
    Ok(())
}

fn settings(set: &Set) -> Value {
    json!({
        "dialect": set.dialect,
        "token_seconds": set.token_lifetime.map(|life| life.as_secs()),
        "follow_up_seconds": set.follow_up_lifetime.map(|life| life.as_secs()),
        "certificate_seconds": set.certificate_lifetime.map(|life| life.as_secs()),
        "key_algorithm": set.key_algorithm,
        "subject": set.subject,
        "subject_order": set.shuffle_subject.map(|yes| if yes { SubjectOrder::Shuffled } else { SubjectOrder::Plain }),
        "chain_with_root": set.chain_with_root,
        "untrusted": set.untrusted,
        "revoked": set.revoked,
        "tenant_required": set.tenant_required,
        "answering": set.answering,
        "max_page": set.max_page,
    })
}

fn verdict(answer: AuthAnswer) -> Verdict {
    match answer {
        AuthAnswer::Grant { username, password } => {
            let password = password.unwrap_or_else(|| format!("canary-password-{}", uuid::Uuid::new_v4().simple()));
            let credential = Some(Credential::Basic { username, password });
            Verdict::Grant { auth: Box::new(Auth { credential, ..Auth::default() }) }
        }
        AuthAnswer::Refuse { message } => Verdict::Refuse { message },
        AuthAnswer::Remove => Verdict::Remove,
    }
}

fn print_text(value: &Value) {
    println!("{}", value.as_str().unwrap_or_default());
}

fn print_ids(made: &Value) {
    made["ids"].as_array().into_iter().flatten().for_each(print_text);
}

fn print_auth(auth: &Value) {
    let text = |key: &str| auth[key].as_str().unwrap_or("-").to_owned();
    println!("{} {:9} {} {}", text("id"), text("condition"), text("bundle"), text("context"));
}

fn print_request(request: &Value) {
    let text = |key: &str| request[key].as_str().unwrap_or("-").to_owned();
    let list = |key: &str| {
        let items = request[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        items.collect::<Vec<_>>().join(",")
    };
    let status = request["status"].as_u64().map_or_else(|| "---".to_owned(), |status| status.to_string());
    let line = format!("{} {:17} {status} {} {}", text("time"), text("endpoint"), list("fields"), text("request_id"));
    let notes = [("errors", list("errors")), ("faults", list("faults"))];
    let notes: Vec<String> =
        notes.iter().filter(|(_, all)| !all.is_empty()).map(|(kind, all)| format!(" {kind}: {all}")).collect();
    println!("{line}{}", notes.concat());
}

fn print_state(state: &Value) {
    let entry =
        |value: &Value| format!("{} {}", value["id"].as_str().unwrap_or("-"), value["name"].as_str().unwrap_or("-"));
    for runtime in state["runtimes"].as_array().into_iter().flatten() {
        let condition = runtime["status"]["condition"].as_str().unwrap_or("-");
        println!("runtime {} {condition} {}", entry(runtime), runtime["labels"]);
    }
    for application in state["applications"].as_array().into_iter().flatten() {
        let bundles = application["bundles"].as_array().map_or(0, Vec::len);
        println!("application {} ({bundles} bundles)", entry(application));
    }
}
