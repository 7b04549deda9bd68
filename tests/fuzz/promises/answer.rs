//! Whatever a plane answers, the decoder takes it or says why not, and never gives a secret away.

use runtime_agent::director::probe::{Question, take};
use serde_json::Value;

use super::{PLACE, SECRET, fits_a_line};

/// What is put where a case says `#CANARY`.
const NUMBER: u64 = 7_731_940_528_613;

/// More characters than this are never said of an answer: sixteen steps of a path, and a message, of 240 each at most.
const LONGEST: usize = 5_000;

/// Takes `body` for an answer to each question.
///
/// # Panics
/// When a promise is broken.
pub fn hold(body: &[u8]) {
    let (body, planted) = plant(body);
    let runtime = "runtime-1".parse().expect("it is an id");
    for question in Question::ALL {
        for status in [200, 422] {
            let Err(said) = take(question, status, &body, &runtime) else { continue };
            fits_a_line(&said, LONGEST);
            if planted {
                let told = said.contains(SECRET) || said.contains(&NUMBER.to_string());
                assert!(!told, "a secret is told: {said}");
            }
        }
    }
}

/// Puts secrets into an answer, wherever a value can be one; whether it could be done.
fn plant(body: &[u8]) -> (Vec<u8>, bool) {
    match serde_json::from_slice::<Value>(body) {
        Ok(mut answer) => {
            // What the plane says in `errors` is quoted, as are its ids.
            if let Some(data) = answer.get_mut("data") {
                plant_below(data);
            }
            (answer.to_string().into_bytes(), true)
        }
        Err(_) => (body.to_vec(), false),
    }
}

fn plant_below(value: &mut Value) {
    match value {
        Value::String(text) if text.as_str() == "#CANARY" => *value = NUMBER.into(),
        Value::String(text) => *text = text.replace(PLACE, SECRET),
        Value::Array(items) => items.iter_mut().for_each(plant_below),
        Value::Object(fields) => {
            let named = fields.iter_mut().filter(|(name, _)| !matches!(name.as_str(), "id" | "type"));
            named.for_each(|(_, value)| plant_below(value));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
