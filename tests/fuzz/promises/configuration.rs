//! Whatever is written into the configuration, it is taken as it stands, or refused with its file and line and without the
//! password of a proxy.

use std::fs;
use std::path::{Path, PathBuf};

use runtime_agent::config::{ConfigError, Configuration, Location, Origin, Settings, gather, parse};
use tempfile::TempDir;

use super::{SECRET, fits_a_line, parts, replaced, spells_the_secret};

/// What an error in one line may say: a sentence, a path, and excerpts.
const LONGEST: usize = 3_000;

/// Where a password stands that somebody wrote into the wrong place, and with what before it.
const PASSWORDS: [&str; 3] = ["://u:CANARY@", "proxy = \"u:CANARY@", "proxy = 'u:CANARY@"];

/// More files than this are not made of a case.
const MOST_FILES: usize = 4;

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir().expect("there is room for files");
}

/// Takes the first part of `case` for the main file, and those after it for fragments.
///
/// # Panics
/// When a promise is broken.
pub fn hold(case: &[u8]) {
    if spells_the_secret(case) {
        return;
    }
    let case = PASSWORDS.iter().fold(case.to_vec(), |case, place| {
        replaced(&case, place.as_bytes(), place.replace("CANARY", SECRET).as_bytes())
    });
    let texts = parts(&case);
    let path = Path::new("/etc/runtime-agent/agent.toml");
    let alone = parse(&texts[0], path);
    match &alone {
        Ok(settings) => settled(settings, path),
        Err(error) => refused(error, &[path.to_owned()]),
    }
    FOLDER.with(|folder| layered(folder.path(), &texts, alone.ok()));
}

/// Written down again, settings are the same.
fn settled(settings: &Settings, path: &Path) {
    let text = toml::to_string(settings).expect("settings can be written down");
    let again = parse(&text, path).unwrap_or_else(|error| panic!("what was written down is refused: {error}\n{text}"));
    assert_eq!(&again, settings, "what was written down is read otherwise:\n{text}");
}

fn layered(folder: &Path, texts: &[String], alone: Option<Settings>) {
    let main = folder.join("agent.toml");
    let mut files = vec![main.clone()];
    fs::write(&main, &texts[0]).expect("a file can be written");
    let fragments = folder.join("agent.d");
    fs::create_dir_all(&fragments).expect("a folder can be made");
    for number in 1..MOST_FILES {
        let path = fragments.join(format!("{number}.toml"));
        match texts.get(number) {
            Some(text) => {
                fs::write(&path, text).expect("a file can be written");
                files.push(path);
            }
            None => drop(fs::remove_file(&path)),
        }
    }
    match gather(&Location::file(&main, None)) {
        Ok(configuration) => {
            let alone = alone.expect("each file is valid by itself");
            if files.len() == 1 {
                assert_eq!(configuration.settings, alone, "a file says something else than its text");
            }
            settled(&configuration.settings, &main);
            traced(&configuration, &files, texts);
        }
        Err(error) => refused(&error, &files),
    }
}

/// Every value is where it is said to come from.
fn traced(configuration: &Configuration, files: &[PathBuf], texts: &[String]) {
    assert_eq!(configuration.files, files, "all files count");
    let keys = runtime_agent::config::sections();
    let keys = keys.iter().flat_map(|(section, keys)| keys.iter().map(move |key| (format!("{section}.{key}"), *key)));
    let of_keys = keys.map(|(dotted, key)| (configuration.origin(&dotted), key));
    for (origin, word) in of_keys.chain(configuration.template_origins().iter().map(|origin| (origin, "name"))) {
        let Origin::File { path, line } = origin else { continue };
        let place = files.iter().position(|file| file == path).expect("a value comes from a file that was read");
        let line = texts[place].split('\n').nth(line - 1).expect("the line is one of the file");
        // A key can be written with escapes.
        assert!(line.contains(word) || line.contains('\\'), "{word} does not stand in {line:?}");
    }
}

fn refused(error: &ConfigError, files: &[PathBuf]) {
    let said = error.to_string();
    assert!(files.iter().any(|path| said.contains(&*path.to_string_lossy())), "no file is named: {said}");
    if let ConfigError::Invalid { explanation, .. } = error {
        assert!(explanation.contains("line "), "no line is named: {said}");
    }
    let brief = error.brief();
    fits_a_line(&brief, LONGEST);
    assert!(!format!("{said}{brief}{error:?}").contains(SECRET), "a secret is told: {said}");
}
