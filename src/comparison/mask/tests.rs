use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::json;

use super::super::hunks::unified;
use super::*;

fn file(username: &str, password: &str, headers: &serde_json::Value) -> Vec<u8> {
    let file = json!({
        "version": 1, "bundle": {"id": "b", "name": "B"}, "usable": true, "type": "basic", "not_understood": null,
        "credentials": {"username": username, "password": password},
        "headers": headers, "query_parameters": {}, "csrf": null,
        "certificate_common_name": null, "access_strategy": null,
        "target_urls": {"orders": "https://api.example.com/"}, "instances": [],
    });
    serde_json::to_vec_pretty(&file).unwrap()
}

fn mask(files: &[Vec<u8>]) -> Mask {
    let mut secrets = Secrets::default();
    files.iter().for_each(|file| secrets.learn(file).unwrap());
    secrets.into_mask().unwrap()
}

fn diff(mask: &mut Mask, old: &str, new: &str, place: Place) -> String {
    let (old, new) = (mask.lines(old, place), mask.lines(new, place));
    unified(&old, &new).into_iter().map(|line| line.text + "\n").collect()
}

/// Everything that templates of this program can make of a user and a password.
fn written(user: &str, password: &str) -> String {
    let template = "raw {{ p }}\njson {{ p | tojson }}\nyaml {{ p | toyaml }}\ntoml {{ p | totoml }}\nunit {{ p | systemd_escape }}\n\
        shell {{ p | shell_quote }}\nenv {{ p | env_quote }}\nhtml {{ p | escape }}\nall {{ [u, p] | tojson }}\n\
        both {{ (u ~ ':' ~ p) | tojson }}\nword {{ ('-u ' ~ p) | shell_quote | tojson }}\nmiddle x{{ p }}y\n";
    let mut environment = minijinja::Environment::new();
    crate::template::filters::add_to(&mut environment);
    let mut text =
        environment.render_str(template, minijinja::Value::from_pairs([("u", user), ("p", password)])).unwrap();
    for filter in ["nginx {{ p | nginx_quote }}\n", "basic {{ u | basic_auth(p) }}\n"] {
        // These refuse some.
        text += &environment
            .render_str(filter, minijinja::Value::from_pairs([("u", user), ("p", password)]))
            .unwrap_or_default();
    }
    let encoded: String = form_urlencoded::byte_serialize(password.as_bytes()).collect();
    text += &format!("query ?key={encoded}&x=1\nbasic Basic {}\n", STANDARD.encode(format!("{user}:{password}")));
    let mut url = Url::parse("https://h/").unwrap();
    url.set_username(user).unwrap();
    url.set_password(Some(password)).unwrap();
    text + url.as_str() + "\n"
}

#[test]
fn a_change_of_a_secret_is_seen_and_the_secret_is_not() {
    let (old, new) = ("canary-old-1", "canary-new-2");
    let mut mask = mask(&[file("user", old, &json!({})), file("user", new, &json!({}))]);
    let text = |password: &str| format!("a = 1\npassword = \"{password}\"\nb = 2\n");
    assert_eq!(
        diff(&mut mask, &text(old), &text(new), Place::Elsewhere),
        "@@ -1,3 +1,3 @@\n a = 1\n-password = \"[secret changed]\"\n+password = \"[secret changed]\"\n b = 2\n"
    );
    let other = text(new).replace("b = 2", "b = 3");
    assert_eq!(
        diff(&mut mask, &text(new), &other, Place::Elsewhere),
        "@@ -1,3 +1,3 @@\n a = 1\n password = \"[secret]\"\n-b = 2\n+b = 3\n"
    );
}

#[test]
fn secrets_that_change_places_do_not_look_as_if_nothing_happened() {
    let (one, two) = ("canary-one", "canary-two");
    let mut mask = mask(&[file("user", one, &json!({"x": [two]}))]);
    let text = |first: &str, second: &str| format!("first {first} second {second}\n");
    let shown = diff(&mut mask, &text(one, two), &text(two, one), Place::Elsewhere);
    assert_eq!(shown.matches("[secret changed]").count(), 4, "{shown}");
}

#[test]
fn a_key_of_many_lines_is_hidden_whole_and_in_parts() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\nCanaryCanaryCanary==\n-----END PRIVATE KEY-----\n";
    let mut mask = mask(&[file("user", pem, &json!({}))]);
    let indented = pem.lines().map(|line| format!("    {line}\n")).collect::<String>();
    for text in [pem.to_owned(), indented, serde_json::to_string(pem).unwrap()] {
        let shown = diff(&mut mask, "", &text, Place::Elsewhere);
        assert!(!shown.contains("MIGH") && !shown.contains("Canary"), "{shown}");
        assert!(shown.contains("[secret]"), "{shown}");
    }
}

#[test]
fn passwords_in_addresses_are_secrets() {
    let mut file: serde_json::Value = serde_json::from_slice(&file("u", "not-this-one", &json!({}))).unwrap();
    file["target_urls"]["orders"] = json!("https://joe:canary%2Fone@api.example.com/");
    file["target_urls"]["more"] = json!("https://canarytoken@api.example.com/");
    file["credentials"]["token_url"] = json!("ht tp://canary:three@h");
    let mut mask = mask(&[serde_json::to_vec(&file).unwrap()]);
    let text = "https://joe:canary%2Fone@api.example.com/ canary/one canarytoken ht tp://canary:three@h\n";
    let shown = diff(&mut mask, "", text, Place::Elsewhere);
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("api.example.com"), "{shown}");
}

#[test]
fn a_short_secret_does_not_turn_a_text_into_masks_and_is_not_shown_either() {
    let mut mask = mask(&[file("user", "a", &json!({"x": ["true"]}))]);
    let credentials = "{\n  \"password\": \"a\",\n  \"usable\": true,\n  \"x\": \"true\"\n}\n";
    assert_eq!(
        diff(&mut mask, "", credentials, Place::Credentials),
        "@@ -0,0 +1,5 @@\n+{\n+  \"password\": \"[secret]\",\n+  \"usable\": true,\n+  \"x\": \"[secret]\"\n+}\n"
    );
    assert_eq!(diff(&mut mask, "", "a banana\n", Place::Elsewhere), "@@ -0,0 +1 @@\n+a banana\n");
    assert!(mask.withholds("password=a\n") && mask.withholds("a"));
    assert!(!mask.withholds("banana true\n"));
}

#[test]
fn what_is_no_file_of_credentials_is_refused_without_being_told() {
    for bad in ["", "{}", "canary", "{\"version\":2}"] {
        let error = Secrets::default().learn(bad.as_bytes()).unwrap_err();
        assert!(!error.to_string().contains("canary"));
    }
    let later = String::from_utf8(file("u", "canary", &json!({}))).unwrap().replace("\"version\": 1", "\"version\": 2");
    assert!(Secrets::default().learn(later.as_bytes()).is_err());
}

/// A secret in which nothing stands that every text has.
fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        "QZ[A-Z0-9]{4,24}",
        "QZ[!-~]{6,20}",
        "QZ[ -~]{6,12}ZQ",
        "QZ[\"'\\\\$`%&+/=<>@: ]{4,10}ZQ",
        "QZ[äß€🦀A-Z]{4,10}ZQ",
        "QZ[A-Z]{6,9}\nQZ[A-Z+/]{6,9}ZQ",
    ]
}

proptest! {
    #[test]
    fn no_secret_of_either_side_is_ever_in_what_is_shown(
        user in "[a-z]{1,8}", old in secret(), new in secret(), header in secret(),
    ) {
        let headers = json!({"x-key": [header]});
        let (before, after) = (file(&user, &old, &headers), file(&user, &new, &headers));
        let mut mask = mask(&[before.clone(), after.clone()]);
        let texts = |file: &[u8], password: &str| {
            String::from_utf8(file.to_vec()).unwrap() + &written(&user, password) + &written(&user, &header)
        };
        let (one, two) = (texts(&before, &old), texts(&after, &new));
        for (one, two) in [(&one, &two), (&one, &String::new()), (&String::new(), &two), (&two, &one)] {
            let shown = diff(&mut mask, one, two, Place::Elsewhere);
            // As they are, and each beginning and end of them.
            prop_assert!(!shown.contains("QZ"), "{shown}");
            for secret in [&old, &new, &header] {
                let encoded = STANDARD.encode(format!("{user}:{secret}"));
                prop_assert!(!shown.contains(secret.as_str()) && !shown.contains(&encoded), "{shown}");
                let core = encoded.get(encoded.len() / 2..).unwrap_or_default().trim_end_matches('=');
                prop_assert!(core.len() < 8 || !shown.contains(core), "{core} in {shown}");
            }
        }
        prop_assert_eq!(old == new, diff(&mut mask, &one, &two, Place::Elsewhere).is_empty());
    }

    #[test]
    fn what_holds_no_secret_is_shown_as_it_is(lines in prop::collection::vec("[a-z]{0,6}", 1..12)) {
        let text = lines.join("\n") + "\n";
        let mut mask = mask(&[file("user", "CANARY-1", &json!({}))]);
        let shown = diff(&mut mask, "", &text, Place::Elsewhere);
        let added: String = shown.lines().filter_map(|line| line.strip_prefix('+')).map(|line| format!("{line}\n")).collect();
        prop_assert_eq!(added, text);
    }
}

#[test]
fn secrets_that_would_take_too_much_to_be_looked_for_make_no_mask_and_take_no_time() {
    let odd: String = (0..2_000).map(|i| format!("w'$%\"\\\u{e4}{i:05} ")).collect();
    let mut secrets = Secrets::default();
    // Of each of them there would be 56 megabytes of forms.
    for i in 0..64 {
        secrets.learn(&file("user", &format!("{i}{odd}"), &json!({}))).unwrap();
    }
    let held: usize = secrets.forms.iter().chain(&secrets.cores).map(String::len).sum();
    assert!(held <= 8 * 1024 * 1024, "{held} bytes");
    assert_eq!(secrets.into_mask().unwrap_err(), TooMany);

    let headers: Vec<_> = (0..200_000).map(|i| format!("canary{i:06}")).collect();
    let mut secrets = Secrets::default();
    secrets.learn(&file("user", "password", &json!({ "x": headers }))).unwrap();
    assert_eq!(secrets.into_mask().unwrap_err(), TooMany);
}

#[test]
fn the_same_secrets_in_many_generations_take_no_more_than_in_one() {
    let secret = "odd'$%\"\\\u{e4} ".repeat(60);
    let files = vec![file("user", &secret, &json!({})); 300];
    assert_eq!(mask(&files).redact(&format!("<{secret}>")), "<[redacted]>");
}

#[test]
fn secrets_that_overlap_everywhere_are_one_place() {
    let values: Vec<_> = (4..400).map(|length| "a".repeat(length)).collect();
    let mask = mask(&[file("user", "password", &json!({ "x": values }))]);
    assert_eq!(mask.redact(&format!("b{}b", "a".repeat(16 * 1024))), "b[redacted]b");
}

proptest! {
    #[test]
    fn places_are_joined_as_if_each_byte_were_marked(places in prop::collection::vec((0..60_usize, 0..9_usize), 0..20)) {
        let mut places: Vec<_> = places.into_iter().map(|(start, length)| start..start + length).collect();
        places.sort_by_key(|place| place.end);
        let mut apart = Vec::new();
        places.iter().cloned().for_each(|place| join(place, &mut apart));
        // Places that touch are one, too.
        for (one, other) in apart.iter().zip(apart.iter().skip(1)) {
            prop_assert!(one.end < other.start, "{apart:?}");
        }
        for byte in 0..70 {
            let marked = places.iter().any(|place| place.contains(&byte));
            prop_assert_eq!(marked, apart.iter().any(|place| place.contains(&byte)), "{}", byte);
        }
    }
}
