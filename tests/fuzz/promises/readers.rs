//! Those who read what templates write, as far as it takes to tell what they would take it for.

/// Variables and their values, as systemd reads them (`src/basic/env-file.c`), as far as quoted values go.
pub fn variables(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(comment) = rest.strip_prefix('#') {
            rest = comment.split_once('\n').expect("a comment ends").1;
            continue;
        }
        let (name, quoted) = rest.split_once("=\"").expect("a variable has a value in quotes");
        let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(name.bytes().all(plain), "{name:?} is no name of a variable in {text:?}");
        let (value, after) = unquoted(quoted, &['"', '\\', '`', '$']);
        found.push((name.to_owned(), value));
        rest = after.strip_prefix('\n').expect("nothing follows a value");
    }
    found
}

/// What stands before a closing quotation mark, where a backslash takes the meaning from some characters; and the rest.
fn unquoted<'a>(text: &'a str, escaped: &[char]) -> (String, &'a str) {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next().expect("quotation marks are closed") {
            '"' => return (value, chars.as_str()),
            '\\' => match chars.next().expect("something is escaped") {
                c if escaped.contains(&c) => value.push(c),
                other => value.extend(['\\', other]),
            },
            other => value.push(other),
        }
    }
}

/// A part of a configuration of nginx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// `{`, `}` or `;`.
    Mark(char),
    /// A word without quotation marks.
    Word(String),
    /// What is in quotation marks.
    Quoted(String),
}

/// What nginx reads (`ngx_conf_read_token`), as far as words and double quotation marks go.
pub fn nginx(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        match first {
            '#' => rest = rest.split_once('\n').expect("a comment ends").1,
            '{' | '}' | ';' => {
                found.push(Token::Mark(first));
                rest = &rest[1..];
            }
            '"' => {
                let (value, after) = unquoted(&rest[1..], &['"', '\'', '\\']);
                assert!(after.starts_with([' ', ';']), "a word goes on after its quotation mark in {text:?}");
                found.push(Token::Quoted(value));
                rest = after;
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || "{};".contains(c)).unwrap_or(rest.len());
                found.push(Token::Word(rest[..end].to_owned()));
                rest = &rest[end..];
            }
        }
        rest = rest.trim_start();
    }
    found
}

/// What `systemd-escape --unescape` makes of a part of a unit's name.
pub fn unit_name(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut value = Vec::new();
    while let Some(byte) = bytes.next() {
        value.push(match byte {
            b'-' => b'/',
            b'\\' => {
                assert_eq!(bytes.next(), Some(b'x'));
                let digits = [bytes.next(), bytes.next()].map(|digit| digit.expect("two digits") as char);
                u8::from_str_radix(&String::from_iter(digits), 16).expect("they are hexadecimal")
            }
            plain => plain,
        });
    }
    value
}
