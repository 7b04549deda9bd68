//! `tojson`, `toyaml`, `totoml`: any value in a notation that is read by programs.

use std::io;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, Value};
use serde::Serialize as _;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use super::super::output::refuse;
use super::undefined;

/// JSON, on one line, or with `indent=` so many blanks. Nothing is escaped for the sake of HTML.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands named arguments over by value")]
pub(super) fn json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<u8> = options.get("indent")?;
    options.assert_all_used()?;
    let blanks = vec![b' '; indent.unwrap_or(0).min(16).into()];
    match indent {
        Some(_) => written(value, PrettyFormatter::with_indent(&blanks)),
        None => written(value, CompactFormatter),
    }
}

/// YAML on one line, in the notation that it shares with JSON; what YAML does not take raw is escaped.
pub(super) fn yaml(value: &Value) -> Result<String, Error> {
    written(value, YamlFormatter)
}

fn written(value: &Value, formatter: impl Formatter) -> Result<String, Error> {
    defined(value)?;
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    value
        .serialize(&mut serializer)
        .map_err(|_| refuse("it holds something that is no data, or a key that is no text"))?;
    String::from_utf8(out).map_err(|_| refuse("it holds something that is no text"))
}

fn defined(value: &Value) -> Result<(), Error> {
    if value.is_undefined() { Err(undefined(value)) } else { Ok(()) }
}

struct YamlFormatter;

impl Formatter for YamlFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for c in fragment.chars() {
            match c {
                // What YAML 1.1 counts as a line break or as not printable, and JSON leaves as it is.
                '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                    write!(writer, "\\u{:04x}", u32::from(c))?;
                }
                c => write!(writer, "{c}")?,
            }
        }
        Ok(())
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// A value of TOML, as it stands after a `key =`; a table is an inline one.
pub(super) fn toml(value: &Value) -> Result<String, Error> {
    defined(value)?;
    if holds_none(value, 0) {
        return Err(refuse("it is or holds none, which TOML has no word for"));
    }
    let refused = || refuse("TOML cannot hold it");
    let value = toml::Value::try_from(value).map_err(|_| refused())?;
    let mut out = String::new();
    value.serialize(toml::ser::ValueSerializer::new(&mut out)).map_err(|_| refused())?;
    Ok(out)
}

fn holds_none(value: &Value, depth: usize) -> bool {
    match value.kind() {
        ValueKind::None => true,
        // Deeper than that, serialising refuses it.
        ValueKind::Seq | ValueKind::Iterable if depth < 64 => {
            value.try_iter().is_ok_and(|mut items| items.any(|item| holds_none(&item, depth + 1)))
        }
        ValueKind::Map if depth < 64 => value
            .try_iter()
            .is_ok_and(|mut keys| keys.any(|key| value.get_item(&key).is_ok_and(|item| holds_none(&item, depth + 1)))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use minijinja::value::Serde;
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::{call, rendered};

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            any::<String>().prop_map(serde_json::Value::from),
            "[\u{80}-\u{a0}\u{2028}\u{2029}\u{feff}\"'\\\\:#{}]{0,8}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..4)
                    .prop_map(|table| serde_json::Value::Object(table.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn json_is_plain_and_can_be_indented() {
        let value = Serde(json!({"a": ["<&'>", null, 1.5], "b": {}}));
        assert_eq!(call("tojson", value).unwrap(), "{\"a\":[\"<&'>\",null,1.5],\"b\":{}}");
        assert_eq!(call("tojson(indent=1)", Serde(json!([1]))).unwrap(), "[\n 1\n]");
        assert!(call("tojson(indents=1)", 1).is_err());
        assert!(rendered("{{ missing | tojson }}", 1).is_err());
    }

    #[test]
    fn a_table_is_inline_in_toml_and_none_is_refused() {
        let table: BTreeMap<_, _> = [("a b", vec!["x\n\"y\""])].into();
        let toml = format!("key = {}", call("totoml", Serde(table)).unwrap());
        assert_eq!(toml.parse::<toml::Table>().unwrap()["key"]["a b"][0].as_str(), Some("x\n\"y\""));
        assert!(call("totoml", ()).unwrap_err().contains("none"));
        assert!(call("totoml", Serde(json!({"a": [null]}))).unwrap_err().contains("none"));
    }

    #[test]
    fn a_reader_of_yaml_reads_what_was_written() {
        let value = json!({"a: b": ["\u{85}\u{2028}\u{7f}\u{feff}", "no", "1e3", "- x", "🦀", null, true, -1], "": {}});
        let yaml = call("toyaml", Serde(value.clone())).unwrap();
        let script = "import json,sys,yaml; print(json.dumps(yaml.safe_load(sys.argv[1])))";
        let output = std::process::Command::new("python3").args(["-c", script, &yaml]).output();
        let there = |output: &std::process::Output| !String::from_utf8_lossy(&output.stderr).contains("named 'yaml'");
        let Some(output) = output.ok().filter(there) else {
            // Without a reader of YAML, that of JSON has to do: the notation is the one that they share.
            assert_eq!(serde_json::from_str::<serde_json::Value>(&yaml).unwrap(), value);
            return;
        };
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap(), value, "{yaml}");
    }

    proptest! {
        #[test]
        fn json_and_yaml_are_read_back(value in any_json()) {
            for filter in ["tojson", "tojson(indent=2)", "toyaml"] {
                let text = call(filter, Serde(value.clone())).unwrap();
                prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&text).unwrap(), &value);
            }
            let yaml = call("toyaml", Serde(value)).unwrap();
            let unfit = |c: char| c.is_control() || "\u{2028}\u{2029}\u{feff}\u{fffe}\u{ffff}".contains(c);
            prop_assert!(!yaml.contains(unfit));
        }

        #[test]
        fn toml_is_read_back(value in any_json()) {
            let text = format!("key = {}", call("totoml", Serde(value.clone())).unwrap());
            let read: toml::Table = text.parse().unwrap();
            prop_assert_eq!(serde_json::to_value(&read["key"]).unwrap(), value);
        }
    }
}
