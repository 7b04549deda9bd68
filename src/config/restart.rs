//! What a reload does not put to use: values that are in use since the start, as locks, sockets and watches.

use toml::{Table, Value};

use super::settings::Settings;

impl Settings {
    /// Puts back what takes a restart as it is in `old`, and names those of it that would have changed, by their dotted
    /// keys.
    pub fn hold(&mut self, old: &Self) -> Vec<String> {
        let wanted = self.clone();
        self.paths = old.paths.clone();
        self.log = old.log.clone();
        self.apply.state = old.apply.state.clone();
        self.output = old.output.clone();
        let (Ok(wanted), Ok(held)) = (Table::try_from(wanted), Table::try_from(&*self)) else { return Vec::new() };
        let mut changed = Vec::new();
        differing("", &wanted, &held, &mut changed);
        changed
    }
}

/// Adds the dotted keys under which two tables differ.
fn differing(prefix: &str, one: &Table, other: &Table, into: &mut Vec<String>) {
    for (key, value) in one {
        let dotted = format!("{prefix}{key}");
        match (value, other.get(key)) {
            (Value::Table(one), Some(Value::Table(other))) => differing(&format!("{dotted}."), one, other, into),
            (one, Some(other)) if one == other => {}
            _ => into.push(dotted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LogLevel, Seconds};

    #[test]
    fn what_takes_a_restart_stays_and_is_named_and_all_else_is_new() {
        let old = Settings::default();
        let mut new = old.clone();
        new.sync.interval = Seconds::new(5);
        assert_eq!(new.hold(&old), Vec::<String>::new());
        new.paths.state = "/elsewhere".into();
        new.log.level = LogLevel::Debug;
        new.apply.state = "/elsewhere".into();
        assert_eq!(new.hold(&old), ["apply.state", "log.level", "paths.state"]);
        assert_eq!((&new.paths, &new.log, &new.apply.state), (&old.paths, &old.log, &old.apply.state));
        assert_eq!(new.sync.interval, Seconds::new(5));
    }
}
