//! Templates for bindings of a service broker: a file for each whose credentials are granted, for as long as they are.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use plane::model::{Auth, Condition, Credential, InstanceAuth};
use plane::{Options, Verdict};
use runtime_agent::config::TemplateRule;

use crate::following::application;
use crate::host::{names, said};
use crate::scene::{Scene, is_settled};

const TILL: &str = "canary-till-0123456789abcdef";
const CHANGED: &str = "canary-changed-0123456789abcdef";
const WAREHOUSE: &str = "canary-warehouse-0123456789abcdef";

/// A rule whose files go to a folder of this host, and whose command says aloud what is in them.
pub fn rule(scene: &Scene) -> TemplateRule {
    let tell = scene.host.path("tell");
    let folder = scene.host.path("etc");
    fs::create_dir_all(&folder).unwrap();
    fs::write(&tell, format!("#!/bin/sh\ncat >/dev/null\ncat {}/* >&2 || true\n", folder.display())).unwrap();
    fs::set_permissions(&tell, fs::Permissions::from_mode(0o755)).unwrap();
    let (folder, tell) = (folder.to_str().unwrap(), tell.to_str().unwrap());
    toml::from_str(&format!(
        r#"
        name = "of-bindings"
        for_each = "binding"
        destination = "{folder}/{{{{ application.slug }}}}.{{{{ bundle.slug }}}}.{{{{ binding.slug }}}}.env"
        content = "ID={{{{ binding.id }}}} OF={{{{ binding.instance_id }}}} PASSWORD={{{{ credential.password | env_quote }}}}\n"
        mode = "0600"
        on_change = ["{tell}"]
        "#
    ))
    .unwrap()
}

/// What was asked for one binding of a runtime.
fn granted(scene: &Scene, binding: &str, password: &str) -> InstanceAuth {
    let context = serde_json::json!({"instance_id": "tills", "binding_id": binding, "runtime_id": scene.runtime});
    InstanceAuth {
        id: format!("auth-of-{binding}"),
        context: Some(context.to_string()),
        auth: Some(Auth { credential: Some(basic(password)), ..Auth::default() }),
        condition: Condition::Succeeded,
        runtime_id: Some(scene.runtime.clone()),
        ..InstanceAuth::default()
    }
}

fn basic(password: &str) -> Credential {
    Credential::Basic { username: "till".into(), password: password.into() }
}

/// What is installed, by its name.
fn installed(scene: &Scene) -> Vec<(String, String)> {
    let folder = scene.host.path("etc");
    names(&folder).into_iter().map(|name| (name.clone(), fs::read_to_string(folder.join(name)).unwrap())).collect()
}

fn file(binding: &str, password: &str) -> (String, String) {
    (format!("shop.orders.{binding}.env"), format!("ID={binding} OF=tills PASSWORD=\"{password}\"\n"))
}

#[tokio::test]
async fn a_binding_has_a_file_while_its_credentials_are_granted_and_nobody_else_has_them() {
    let scene = Scene::with(Options::default(), |_| {}).await;
    let rule = rule(&scene);
    scene.host.configure(|settings| settings.template = vec![rule]);
    scene.plane.edit(|model| model.applications.clear());
    let shop = scene.plane.put_application(application("Shop", "canary-shop-0123456789abcdef"));
    let agent = scene.paired().await;
    assert_eq!(installed(&scene), []);

    let bindings = [granted(&scene, "till-4", TILL), granted(&scene, "warehouse", WAREHOUSE)];
    scene.plane.edit(|model| {
        model.application_mut(&shop).unwrap().bundles[0].instance_auths = bindings.to_vec();
    });
    assert!(agent.sync().await.done);
    agent.wait_for("the files of the bindings", is_settled).await;
    assert_eq!(installed(&scene), [file("till-4", TILL), file("warehouse", WAREHOUSE)]);
    let of_bundle = scene.host.read("state/config/current/applications/shop/bundles/orders/credentials.json");
    assert!(of_bundle.contains("canary-shop") && !of_bundle.contains(TILL), "it is for its holder alone");
    let preview = said(&scene.host.run(&["render", "--dry-run"], "").await);
    assert!(preview.contains("application shop, bundle orders, binding till-4") && preview.contains("2 the same"));

    // Another password of one is another file of that one only, and no difference shows it.
    let warehouse = || fs::metadata(scene.host.path("etc/shop.orders.warehouse.env")).unwrap().modified().unwrap();
    let before = warehouse();
    scene.plane.edit(|model| {
        let auths = &mut model.application_mut(&shop).unwrap().bundles[0].instance_auths;
        let till = auths.iter_mut().find(|auth| auth.id == bindings[0].id).unwrap();
        till.auth.as_mut().unwrap().credential = Some(basic(CHANGED));
    });
    assert!(agent.sync().await.done);
    agent.wait_for("the changed file", is_settled).await;
    assert_eq!(installed(&scene), [file("till-4", CHANGED), file("warehouse", WAREHOUSE)]);
    assert_eq!(warehouse(), before, "the very same file");
    let difference = said(&scene.host.run(&["diff"], "").await);
    assert!(difference.contains("+ID=till-4 OF=tills PASSWORD=\"[secret changed]\""), "{difference}");
    assert!(!difference.contains("canary"), "{difference}");

    // A restart changes nothing.
    agent.terminate().await;
    let agent = scene.host.start().await;
    agent.wait_for("a poll after the start", is_settled).await;
    assert_eq!(agent.status().await.output.unwrap().generation.0.get(), 3);

    // What is revoked is gone, and so is what was given back and is not revoked yet.
    scene.plane.answer_instance_auth(&bindings[0].id, Verdict::Remove).unwrap();
    assert!(agent.sync().await.done);
    agent.wait_for("the file to go", is_settled).await;
    assert_eq!(installed(&scene), [file("warehouse", WAREHOUSE)]);
    scene.plane.edit(|model| {
        model.application_mut(&shop).unwrap().bundles[0].instance_auths[0].condition = Condition::Unused;
    });
    assert!(agent.sync().await.done);
    agent.wait_for("the last one to go", is_settled).await;
    assert_eq!(installed(&scene), []);

    let log = scene.host.log();
    assert!(
        log.contains("ID=till-4 OF=tills PASSWORD=\"[redacted]\""),
        "what commands write is shown, but for secrets"
    );
    for secret in [TILL, CHANGED, WAREHOUSE] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
