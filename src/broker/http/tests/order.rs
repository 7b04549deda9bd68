//! In which order requests are judged, and what all of them have in common.

use super::*;

/// A JSON object in Base64.
const SOMEBODY: &str = "cloudfoundry eyJ1c2VyX2lkIjoiY2FuYXJ5In0=";

const PATH: &str = "/v2/service_instances/new";

#[tokio::test]
async fn who_asks_comes_first_then_the_version_then_on_whose_behalf_then_the_body() {
    let site = Site::at_address().await;
    let put = || site.bare("PUT", PATH).header("Content-Type", "application/json").body("{");
    let originating = "X-Broker-API-Originating-Identity";

    let answer = Answer::of(put().header(originating, "junk").send().await.unwrap()).await;
    assert_eq!((answer.status, answer.error().as_str()), (401, "Unauthorized"));
    assert!(answer.header("www-authenticate").unwrap().starts_with("Basic realm="));
    let answer = Answer::of(put().basic_auth("u", Some("q")).send().await.unwrap()).await;
    assert_eq!(answer.status, 401, "a wrong password");
    let answer = Answer::of(put().bearer_auth("u:p").send().await.unwrap()).await;
    assert_eq!(answer.status, 401, "another scheme");
    assert_eq!(site.bare("GET", "/nowhere").send().await.unwrap().status(), 401, "whatever the path");

    let known = || put().basic_auth("u", Some("p"));
    for version in [None, Some(""), Some("1.17"), Some("2.x"), Some("2.12")] {
        let request = known().header(originating, "junk");
        let request =
            version.into_iter().fold(request, |request, version| request.header("X-Broker-API-Version", version));
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!((answer.status, answer.error().as_str()), (412, "UnsupportedApiVersion"), "{version:?}");
    }

    let versioned = || known().header("X-Broker-API-Version", "2.13");
    let answer = Answer::of(versioned().header(originating, "junk").send().await.unwrap()).await;
    assert_eq!((answer.status, answer.error().as_str()), (400, "BadRequest"));
    assert!(answer.body.contains("Originating-Identity"), "{answer:?}");
    let answer = Answer::of(versioned().header(originating, SOMEBODY).send().await.unwrap()).await;
    assert!(answer.status == 400 && answer.body.contains("not JSON"), "{answer:?}");
    assert_eq!(site.orders(), [""; 0]);

    let request = site.request("PUT", PATH).basic_auth("u", Some("p")).header(originating, SOMEBODY);
    let request = request.header("Content-Type", "application/json").body(provision().to_string());
    assert_eq!(request.send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn nobody_gets_in_by_a_password_that_is_not_the_present_one() {
    let site = Site::at_address().await;
    let get = async |password: &str| {
        let request = site.request("GET", PATH).basic_auth("u", Some(password));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((get("p").await, get("new").await), (200, 401));
    site.logins.send_replace(Some(login("u:new")));
    assert_eq!((get("p").await, get("new").await), (401, 200));
    site.logins.send_replace(None);
    assert_eq!((get("p").await, get("new").await), (401, 401));
}

#[tokio::test]
async fn while_the_broker_is_off_that_is_all_it_says() {
    let site = Site::at_socket();
    site.settings.send_modify(|settings| settings.enabled = Brokerage::Closed);
    for (method, path) in [("GET", "/v2/catalog"), ("GET", PATH), ("DELETE", PATH), ("GET", "/nowhere")] {
        let answer = site.ask(method, path, None).await;
        assert_eq!((answer.status, answer.error().as_str()), (503, "ServiceUnavailable"), "{method} {path}");
        assert!(answer.body.contains("broker.enabled = true"), "{answer:?}");
    }
    site.settings.send_modify(|settings| settings.enabled = Brokerage::Open);
    assert_eq!(site.ask("GET", PATH, None).await.status, 200);
}

#[tokio::test]
async fn what_a_client_calls_its_request_is_in_whatever_it_is_answered() {
    let site = Site::at_address().await;
    for (password, method, path, status) in [
        ("p", "GET", PATH, 200),
        ("p", "GET", "/nowhere", 404),
        ("p", "POST", "/v2/catalog", 405),
        ("wrong", "GET", PATH, 401),
    ] {
        let request = site.request(method, path).basic_auth("u", Some(password));
        let answer =
            Answer::of(request.header("X-Broker-API-Request-Identity", "e26cebde").send().await.unwrap()).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("x-broker-api-request-identity"), Some("e26cebde"), "{method} {path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
    }
    let request = site.request("GET", PATH).basic_auth("u", Some("p"));
    let long = "x".repeat(1_000);
    let answer = Answer::of(request.header("X-Broker-API-Request-Identity", long).send().await.unwrap()).await;
    assert_eq!((answer.status, answer.header("x-broker-api-request-identity")), (200, None));
}

#[tokio::test]
async fn what_is_too_long_is_refused_in_words() {
    let site = Site::at_socket();
    let mut body = provision();
    body["parameters"] = json!({ "long": "x".repeat(64 * 1024) });
    let answer = site.ask("PUT", PATH, Some(body)).await;
    assert_eq!((answer.status, answer.error().as_str()), (413, "ContentTooLarge"));
    let request = site.request("GET", PATH).header("X-Long", "x".repeat(17 * 1024));
    let answer = Answer::of(request.send().await.unwrap()).await;
    assert_eq!((answer.status, answer.error().as_str()), (431, "HeadersTooLarge"));
    assert_eq!(site.orders(), [""; 0]);
}

#[tokio::test]
async fn guesses_at_the_password_are_soon_held_up() {
    let site = Site::at_address().await;
    let mut refused = 0;
    let answer = loop {
        let request = site.request("GET", PATH).basic_auth("u", Some(format!("guess-{refused}")));
        let answer = Answer::of(request.send().await.unwrap()).await;
        if answer.status != 401 {
            break answer;
        }
        refused += 1;
        assert!(refused < 1_000, "nobody holds them up");
    };
    assert_eq!((answer.status, answer.error().as_str()), (429, "TooManyRequests"));
    assert_eq!(answer.header("retry-after"), Some("1"));
}
