//! Where secrets may be, and where not.

use std::collections::BTreeMap;
use std::fs;

use secrecy::SecretString;

use super::example::{Host, application, bundle, files, snapshot};
use crate::snapshot::example::{api, auth};
use crate::snapshot::{Auth, Bundle, Condition, Credential, Csrf, InstanceAuth};

fn secret(name: &str) -> SecretString {
    format!("canary-{name}").into()
}

fn everything(credential: Credential) -> Auth {
    let lists = |word: &str| {
        BTreeMap::from([
            (format!("X-{word}").into(), vec![secret(word), secret("second\n\"$`\\")]),
            (format!("x {word}").into(), vec![secret("alike")]),
        ])
    };
    Auth {
        headers: lists("header"),
        query_parameters: lists("query"),
        csrf: Some(Csrf {
            token_url: "https://canary-user:canary-pass@example.com/csrf".into(),
            credential: Credential::Basic { username: "canary-csrf-user".into(), password: secret("csrf") },
            headers: lists("csrf-header"),
            query_parameters: lists("csrf-query"),
        }),
        certificate_common_name: Some("canary-common-name".into()),
        ..auth(credential)
    }
}

fn kinds() -> Vec<Credential> {
    vec![
        Credential::None,
        Credential::Basic { username: "canary-user".into(), password: secret("password") },
        Credential::OAuth {
            client_id: "canary-client".into(),
            client_secret: secret("client"),
            url: "https://canary:canary@example.com/token".into(),
        },
        Credential::CertificateOAuth {
            client_id: "canary-client".into(),
            certificate: secret("certificate"),
            url: "https://example.com/token?canary".into(),
        },
    ]
}

fn instance(id: &str, condition: Condition, auth: Auth) -> InstanceAuth {
    InstanceAuth {
        id: id.parse().unwrap(),
        condition,
        message: Some("see the canary-message".into()),
        context: Some("{\"canary\":\"context\"}".into()),
        auth: Some(auth),
    }
}

fn with(number: usize, auths: impl FnOnce(Bundle) -> Bundle) -> Bundle {
    let mut bundle = bundle(&format!("bundle-{number}"), "Orders", "unused");
    bundle.default_auth = None;
    bundle.apis = vec![
        api("1", "Orders", "https://canary-user:canary-pass@example.com/orders"),
        api("2", "Orders", "canary-user:canary-pass@example.com"),
    ];
    auths(bundle)
}

#[test]
fn no_secret_is_in_any_file_but_those_for_credentials() {
    let mut host = Host::new();
    let bundles = kinds().into_iter().enumerate().map(|(number, credential)| {
        with(number, |bundle| Bundle { default_auth: Some(everything(credential)), ..bundle })
    });
    let mut shop = application("a", "Shop", bundles);
    shop.base_url = Some("https://canary-user:canary-pass@example.com/".into());
    shop.health_check_url = shop.base_url.clone();
    shop.events_url = shop.base_url.clone();
    host.publish(&snapshot([shop]));
    let mut secret_files = 0;
    for (path, (mode, _, content)) in files(&host.root()) {
        let name = path.rsplit('/').next().unwrap();
        if name.starts_with("credentials.") {
            secret_files += 1;
            assert_eq!(mode, 0o100_640, "{path}");
        } else {
            assert!(!String::from_utf8(content).unwrap().contains("canary"), "{path}");
        }
        assert!(!path.contains("canary"), "{path}");
    }
    assert_eq!(secret_files, 2 * kinds().len());
    assert!(!format!("{:?}", host.store()).contains("canary"));
}

#[test]
fn credentials_that_cannot_be_used_are_shown_as_such_and_in_no_file() {
    let mut host = Host::new();
    let bundles = kinds().into_iter().enumerate().map(|(number, credential)| {
        let unknown = || everything(Credential::Unknown("TeapotCredentialData".into()));
        with(number, |bundle| Bundle {
            default_auth: (number == 0).then(unknown),
            instance_auths: vec![
                instance("1", Condition::Pending, everything(credential.clone())),
                instance("2", Condition::Failed, everything(credential.clone())),
                instance("3", Condition::Unused, everything(credential.clone())),
                instance("4", Condition::Other("TEAPOT".into()), everything(credential)),
            ],
            ..bundle
        })
    });
    host.publish(&snapshot([application("a", "Shop", bundles)]));
    let mut seen = 0;
    for (path, (_, _, content)) in files(&host.root()) {
        let text = String::from_utf8(content).unwrap().replace("canary-message", "");
        assert!(!text.contains("canary"), "{path}: {text}");
        if path.ends_with("credentials.json") {
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!((&json["usable"], &json["type"]), (&false.into(), &serde_json::Value::Null));
            let conditions: Vec<_> = json["instances"].as_array().unwrap().iter().map(|i| &i["condition"]).collect();
            assert_eq!(conditions, ["PENDING", "FAILED", "UNUSED", "TEAPOT"]);
            seen += usize::from(json["not_understood"] == "TeapotCredentialData");
        }
        if path.ends_with("credentials.env") {
            assert!(text.ends_with("CREDENTIALS_USABLE=\"false\"\n"), "{text}");
        }
    }
    assert_eq!(seen, 1);
}

#[test]
fn the_files_say_what_the_documentation_says() {
    let mut host = Host::new();
    let oauth = kinds().swap_remove(2);
    host.publish(&snapshot([application(
        "a",
        "Shop",
        [with(0, |bundle| Bundle {
            instance_auths: vec![instance("1", Condition::Succeeded, everything(oauth))],
            ..bundle
        })],
    )]));
    let read = |name: &str| {
        fs::read_to_string(host.root().join("current/applications/shop/bundles/orders").join(name)).unwrap()
    };
    let json: serde_json::Value = serde_json::from_str(&read("credentials.json")).unwrap();
    assert_eq!(json["usable"], true);
    assert_eq!(json["type"], "oauth");
    assert_eq!(json["credentials"]["client_secret"], "canary-client");
    assert_eq!(json["credentials"]["token_url"], "https://canary:canary@example.com/token");
    assert_eq!(json["headers"]["X-header"][1], "canary-second\n\"$`\\");
    assert_eq!(json["csrf"]["credentials"]["password"], "canary-csrf");
    assert_eq!(json["target_urls"]["orders"], "https://canary-user:canary-pass@example.com/orders");
    assert_eq!(json["target_urls"].as_object().unwrap().len(), 2);
    let env = read("credentials.env");
    for line in [
        "CREDENTIALS_USABLE=\"true\"\n",
        "CREDENTIALS_TYPE=\"oauth\"\n",
        "CLIENT_SECRET=\"canary-client\"\n",
        "TOKEN_URL=\"https://canary:canary@example.com/token\"\n",
        "HEADER_X_HEADER=\"canary-header\"\n",
        "HEADER_X_HEADER__2=\"canary-second\n\\\"\\$\\`\\\\\"\n",
        "CSRF_URL=\"https://canary-user:canary-pass@example.com/csrf\"\n",
        "CSRF_PASSWORD=\"canary-csrf\"\n",
        "CSRF_QUERY_X_CSRF_QUERY=\"canary-csrf-query\"\n",
        "TARGET_URL_ORDERS=\"https://canary-user:canary-pass@example.com/orders\"\n",
    ] {
        assert!(env.contains(line), "{line} is not in {env}");
    }
    assert!(!env.contains("\nTARGET_URL=\""), "there are two");
    let public: serde_json::Value = serde_json::from_str(&read("bundle.json")).unwrap();
    assert_eq!(public["apis"][0]["target_url"], "https://example.com/orders");
    assert_eq!(public["credentials"]["instances"][0]["condition"], "SUCCEEDED");
}
