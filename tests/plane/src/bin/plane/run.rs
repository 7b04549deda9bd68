//! `plane serve`: running a plane until it is told to end.

use std::{
    fs, io,
    os::unix::process::parent_id,
    path::{Path, PathBuf},
    time::Duration,
};

use plane::{Options, Plane, SubjectOrder};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    Failure,
    arguments::{Serve, Set},
    client::Admin,
};

/// How often it is looked whether the parent still lives.
const PARENT_INTERVAL: Duration = Duration::from_millis(250);

pub(crate) async fn serve(dir: Option<PathBuf>, serve: Serve) -> Result<(), Failure> {
    // Before anything else: a parent that is gone by then must not be mistaken for the one to watch.
    let parent = serve.with_parent.then(parent_id);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let plane = Plane::start(options(&serve)).await?;
    if let Some(file) = &serve.load {
        let admin = Admin::find(crate::arguments::Place { dir: None, admin: Some(plane.admin_url()) })?;
        admin.post("/applications", &read_json(file)?).await?;
    }
    let written = dir.as_deref().map(|dir| write(dir, &plane)).transpose()?;
    println!("ready: director {} admin {}", plane.director_url(), plane.admin_url());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = gone(parent) => {}
    }
    if let Some(path) = written {
        // What it says is no longer true.
        let _ = fs::remove_file(path);
    }
    Ok(())
}

/// Waits until the parent has ended; for ever without one to watch.
async fn gone(parent: Option<u32>) {
    let Some(parent) = parent else { return std::future::pending().await };
    while parent_id() == parent {
        tokio::time::sleep(PARENT_INTERVAL).await;
    }
}

fn options(serve: &Serve) -> Options {
    let mut options = Options {
        port_base: serve.port_base,
        host: serve.host.clone(),
        session_resumption: serve.session_resumption,
        keep_answers: serve.keep_answers,
        ..Options::default()
    };
    let Set {
        dialect,
        token_lifetime,
        follow_up_lifetime,
        certificate_lifetime,
        key_algorithm,
        subject,
        shuffle_subject,
        chain_with_root,
        untrusted,
        revoked,
        tenant_required,
        answering,
        max_page,
    } = &serve.set;
    fn set<T: Clone>(option: &mut T, value: Option<&T>) {
        if let Some(value) = value {
            option.clone_from(value);
        }
    }
    set(&mut options.dialect, dialect.as_ref());
    set(&mut options.token_lifetime, token_lifetime.as_ref());
    set(&mut options.follow_up_lifetime, follow_up_lifetime.as_ref());
    set(&mut options.certificate_lifetime, certificate_lifetime.as_ref());
    set(&mut options.key_algorithm, key_algorithm.as_ref());
    set(&mut options.subject, subject.as_ref());
    set(&mut options.chain_with_root, chain_with_root.as_ref());
    set(&mut options.untrusted, untrusted.as_ref());
    set(&mut options.revoked, revoked.as_ref());
    set(&mut options.tenant_required, tenant_required.as_ref());
    set(&mut options.answering, answering.as_ref());
    set(&mut options.max_page, max_page.as_ref());
    if shuffle_subject == &Some(true) {
        options.subject_order = SubjectOrder::Shuffled;
    }
    options
}

/// Writes `server-ca.pem` and then `plane.json`, whose presence says that all is there.
fn write(dir: &Path, plane: &Plane) -> Result<PathBuf, Failure> {
    let (ca, path) = (dir.join("server-ca.pem"), dir.join("plane.json"));
    let mut overview = plane.overview();
    overview["serverCA"] = Value::from(ca.display().to_string());
    let write = || -> io::Result<()> {
        fs::create_dir_all(dir)?;
        fs::write(&ca, plane.server_ca_pem())?;
        let beside = dir.join("plane.json.new");
        fs::write(&beside, format!("{overview:#}\n"))?;
        fs::rename(&beside, &path)
    };
    write().map_err(|error| format!("{} cannot be written: {error}.", dir.display()))?;
    Ok(path)
}

/// Reads a JSON file.
pub(crate) fn read_json(file: &Path) -> Result<Value, Failure> {
    let text = fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}.", file.display()))?;
    Ok(serde_json::from_str(&text).map_err(|error| format!("{} is not JSON: {error}.", file.display()))?)
}
