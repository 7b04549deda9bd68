//! The commands about the broker: lists for people and programs, and credentials in a file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use plane::Verdict;
use serde_json::{Value, json};

use super::platform::{binding, instance};
use super::shop::{PASSWORD, Shop, counts};
use crate::host::said;

/// What a list has, as JSON.
async fn list(shop: &Shop, what: &str) -> Value {
    let output = shop.host().run(&["broker", what, "--json"], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What it says to people.
async fn page(shop: &Shop, what: &str) -> String {
    let output = shop.host().run(&["broker", what], "").await;
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{}", said(&output));
    said(&output)
}

async fn run(shop: &Shop, arguments: &[&str]) -> Output {
    shop.host().run(&[&["broker"], arguments].concat(), "").await
}

#[tokio::test]
async fn lists_tell_what_is_offered_and_what_there_is_and_never_any_credentials() {
    let shop = Shop::open().await;
    let offer = &shop.at_once;
    let (_agent, platform) = shop.with_instance(offer).await;
    assert_eq!(platform.put(&binding("i", "b"), &offer.binding()).await.status, 201);

    let services = list(&shop, "services").await;
    let till = services["services"].as_array().unwrap().iter().find(|service| service["id"] == *offer.service).unwrap();
    let plan = json!([{ "id": offer.plan, "name": "orders", "credentials": "at-once" }]);
    assert_eq!((&services["version"], &till["name"], &till["plans"]), (&json!(1), &json!("till"), &plan));
    let shown = page(&shop, "services").await;
    // The plane makes up the names of other applications, which may begin alike.
    let is_of = |line: &&str, name: &str| line.split_whitespace().next() == Some(name);
    let line = |name: &str| shown.lines().find(|line| is_of(line, name)).unwrap().to_owned();
    assert!(line("till").contains("at-once") && line("warehouse").contains("on-request"), "{shown}");

    let instances = list(&shop, "instances").await;
    assert_eq!(instances["instances"][0]["id"], "i");
    assert_eq!(instances["instances"][0]["names"], json!({ "service": "till", "plan": "orders" }));
    let shown = page(&shop, "instances").await;
    assert!(shown.contains("i         till     orders  1"), "{shown}");

    let bindings = list(&shop, "bindings").await;
    let row = &bindings["bindings"][0];
    assert_eq!((&row["id"], &row["instance"], &row["phase"]), (&json!("b"), &json!("i"), &json!("ready")));
    assert_eq!((&row["auth"], &bindings["orphans"]), (&json!(shop.only().id), &json!([])));
    let shown = page(&shop, "bindings").await;
    assert!(shown.contains("b        till     orders  ready"), "{shown}");
    for text in [services, instances, bindings].map(|list| list.to_string()).into_iter().chain([shown]) {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[tokio::test]
async fn bind_writes_credentials_to_a_file_for_this_user_alone_and_unbind_gives_them_back_with_the_instance() {
    let shop = Shop::open().await;
    let (_agent, _) = shop.paired().await;
    let to = shop.host().path("credentials.json");
    let file = to.to_str().unwrap();
    let output = run(&shop, &["bind", "till", "orders", "--to", file]).await;
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{}", said(&output));
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o7777, 0o600);
    let written: Value = serde_json::from_str(&fs::read_to_string(&to).unwrap()).unwrap();
    assert_eq!(written["auth_details"]["auth"]["password"], PASSWORD);
    assert_eq!(written["id"], shop.only().id);
    let sentence = said(&output);
    assert!(sentence.contains(file) && !sentence.contains("canary"), "{sentence}");
    let bindings = list(&shop, "bindings").await;
    let made = bindings["bindings"][0]["id"].as_str().unwrap().to_owned();
    assert!(sentence.contains(&format!("broker unbind {made}")), "{sentence}");

    // The same by name, twice: it is looked at again, and a file that was lost is written again.
    for _ in 0..2 {
        let _ = fs::remove_file(&to);
        let output =
            run(&shop, &["bind", &shop.at_once.service, &shop.at_once.plan, "--to", file, "--binding", "mine"]).await;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(fs::read_to_string(&to).unwrap().contains(PASSWORD));
    }
    assert_eq!((shop.held().len(), list(&shop, "instances").await["instances"].as_array().unwrap().len()), (2, 1));

    for (id, left) in [("mine", 1), (&*made, 0)] {
        let output = run(&shop, &["unbind", id]).await;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert_eq!(shop.held().len(), left);
        assert_eq!(list(&shop, "instances").await["instances"].as_array().unwrap().len(), left.min(1));
    }
    let output = run(&shop, &["unbind", "mine"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("there is no binding mine"), "{}", said(&output));
    let output = run(&shop, &["bind", "tills", "orders", "--to", file]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("no service \"tills\""), "{}", said(&output));
}

#[tokio::test]
async fn bind_and_unbind_wait_for_an_application_and_say_how_to_go_on_where_that_takes_too_long() {
    let shop = Shop::open().await;
    let (agent, platform) = shop.paired().await;
    let to = shop.host().path("credentials.json");
    let parameters = shop.host().path("parameters.json");
    fs::write(&parameters, r#"{"colour": "canary-colour-0123456789abcdef"}"#).unwrap();
    let bind = async |timeout: &str| {
        let (to, parameters) = (to.to_str().unwrap(), parameters.to_str().unwrap());
        run(
            &shop,
            &[
                "bind",
                "warehouse",
                "orders",
                "--to",
                to,
                "--binding",
                "b",
                "--parameters",
                parameters,
                "--timeout",
                timeout,
            ],
        )
        .await
    };
    let output = bind("1s").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("run the same command with --binding b;") && !to.exists(), "{}", said(&output));
    assert!(!said(&output).contains("canary"), "{}", said(&output));
    let auth = shop.only().id;
    let asked = shop.scene.plane.inspect(|state| state.model.instance_auth(&auth).unwrap().2.input_params.clone());
    assert!(asked.unwrap().contains("canary-colour"));

    let (output, ()) = tokio::join!(bind("2m"), async { shop.grants(&shop.only(), "canary-late-0123456789abcdef") });
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(fs::read_to_string(&to).unwrap().contains("canary-late"));

    let output = run(&shop, &["unbind", "b", "--timeout", "1s"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let revoke = async { shop.scene.plane.answer_instance_auth(&shop.only().id, Verdict::Remove).unwrap() };
    let (output, ()) = tokio::join!(run(&shop, &["unbind", "b"]), revoke);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    agent.wait_for("nothing left", |status| counts(status) == Default::default()).await;
    assert_eq!(platform.get(&instance("i")).await.status, 404);
}
