use base64::engine::general_purpose::STANDARD;

use super::*;

const JSON: &str = r#"{"token":"canary-1","connectorURL":"https://c.example.com/graphql","used":false,
    "expiresAt":"2026-11-22T13:00:00.5+01:00","createdAt":"x","usedAt":"0001-01-01T00:00:00Z","type":"Runtime",
    "scenario_groups":null}"#;

fn secret_of(content: &str) -> String {
    parse(content.as_bytes()).unwrap().secret.expose_secret().to_owned()
}

#[test]
fn every_form_is_recognised_by_its_content() {
    let token = parse(JSON.as_bytes()).unwrap();
    assert_eq!(token.secret.expose_secret(), "canary-1");
    assert_eq!(token.connector_url.unwrap().to_string(), "https://c.example.com/graphql");
    assert_eq!(token.expires_at.unwrap().to_string(), "2026-11-22T12:00:00.5Z");
    assert_eq!(secret_of(&STANDARD.encode(JSON)), "canary-1");

    let token = parse(
        b"# a comment\nCONNECTOR_URL=https://c.example.com/graphql\nexport TOKEN='canary-2'\nRUNTIME_ID=rt-1\nTENANT=t-1\n",
    )
    .unwrap();
    assert_eq!(token.secret.expose_secret(), "canary-2");
    assert_eq!((token.runtime.unwrap().as_str(), token.tenant.unwrap().as_str()), ("rt-1", "t-1"));
    assert_eq!(secret_of("connector_url = \"https://c.example.com\"\ntoken = \"canary-3\"\n"), "canary-3");

    let token = parse(b"https://c.example.com/graphql?a=b&token=canary-4").unwrap();
    assert_eq!(token.secret.expose_secret(), "canary-4");
    assert_eq!(token.connector_url.unwrap().to_string(), "https://c.example.com/graphql?a=b");

    assert_eq!(secret_of("\u{feff}canary-5==\r\n"), "canary-5==");
}

#[test]
fn lines_are_understood_in_the_spelling_of_shells_and_of_toml() {
    for (lines, token) in [
        ("TOKEN=canary\nTENANT=t-1", "canary"),
        ("token = \"canary\" # spent by the first use\r\ntenant = 't-1'\r\n", "canary"),
        ("# TOKEN=old\nexport Token=canary\nexport\tTENANT = t-1 # ours\nRUNTIME_ID = # not known\n", "canary"),
        ("[runtime]\ntoken='can#ary=='\ntenant=\"t-1\"#\nother = \"x\n", "can#ary=="),
        ("tenant=t-1\ntoken=can#ary", "can#ary"),
    ] {
        let parsed = parse(lines.as_bytes()).unwrap_or_else(|error| panic!("{lines}: {error}"));
        assert_eq!(parsed.secret.expose_secret(), token, "{lines}");
        assert_eq!(parsed.tenant.unwrap().as_str(), "t-1", "{lines}");
        assert_eq!(parsed.runtime, None, "{lines}");
    }
}

#[test]
fn a_url_keeps_its_other_parameters_and_gives_up_the_token() {
    for (written, address, token) in [
        ("https://c.example.com/graphql?token=can-ary", "https://c.example.com/graphql", "can-ary"),
        ("HTTPS://c.example.com?a=b&token=can%2Bary%3D&c=%26#x", "https://c.example.com/?a=b&c=%26", "can+ary="),
        ("https://c.example.com/?token=can+ary==", "https://c.example.com/", "can+ary=="),
    ] {
        let parsed = parse(written.as_bytes()).unwrap_or_else(|error| panic!("{written}: {error}"));
        assert_eq!(parsed.connector_url.unwrap().to_string(), address);
        assert_eq!(parsed.secret.expose_secret(), token);
    }
}

#[test]
fn no_beginning_of_json_is_taken_for_a_token() {
    let beginnings = |whole: &str| (2..whole.len()).map(|end| whole[..end].to_owned()).collect::<Vec<_>>();
    for beginning in beginnings(JSON).into_iter().chain(beginnings(&STANDARD.encode(JSON))) {
        match parse(beginning.as_bytes()) {
            Err(error) => assert_eq!(error, TokenError::Unfinished, "{beginning}"),
            // The last digits of base64 can be padding only.
            Ok(token) => assert_eq!(token.expires_at.unwrap().to_string(), "2026-11-22T12:00:00.5Z", "{beginning}"),
        }
    }
}

#[test]
fn what_is_no_token_is_refused_with_a_sentence_that_does_not_quote_it() {
    let too_large = vec![b'x'; 64 * 1024 + 1];
    let refusals: [(&[u8], &str); 17] = [
        (&too_large, "larger than 64 KiB"),
        (b" \n", "empty"),
        (b"\xff\xfe", "UTF-8"),
        (b"{\"token\":\"canary-", "ends in the middle"),
        (b"{\"connectorURL\":\"https://c.example.com\"}", "no \u{201c}token\u{201d}"),
        (b"{\"token\":\"canary\",\"used\":true}", "used already"),
        (b"{\"token\":\"canary\",\"type\":\"Application\"}", "for a Application"),
        (b"{\"token\":\"canary\",\"connectorURL\":\"http://c.example.com\"}", "only https"),
        (b"{\"token\":\" \",\"tenant\":\"canary\"}", "\u{201c}token\u{201d} is empty"),
        (b"TENANT=canary\n", "none of them is a TOKEN"),
        (b"TENANT=canary\nTOKEN=\n", "none of them is a TOKEN"),
        (b"TOKEN=\"canary\n", "value of TOKEN in it begins with a quotation mark"),
        (b"TOKN=canary", "none of the known forms"),
        (b"TOKEN=canary\nTOKEN=canary2\n", "more than once"),
        (b"https://c.example.com/graphql", "query parameter"),
        (b"http://c.example.com/?token=canary", "only https"),
        (b"two canary words", "none of the known forms"),
    ];
    for (content, expected) in refusals {
        let error = parse(content).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("canary"), "{error}");
    }
}

#[test]
fn debug_output_and_the_fingerprint_do_not_show_the_token() {
    let token = parse(JSON.as_bytes()).unwrap();
    assert!(!format!("{token:?}").contains("canary"));
    assert_eq!(token.fingerprint().len(), 12);
}
