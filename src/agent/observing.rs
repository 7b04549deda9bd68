//! Metrics for those who do not use the control socket: over HTTP on an address of this host, and as a file.
//!
//! Whatever goes wrong here is a problem on the board, and nothing else waits for it.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use super::board::Board;
use super::status::{Area, Severity};
use crate::config::{LoopbackAddress, Metrics, Settings, TextFile};
use crate::control::{self, Observed};
use crate::disk::{self, DiskError};
use crate::event::Retry;
use crate::metrics;
use crate::serving::{self, Answered, Limits};

/// What a client may take: nobody takes longer for a few kilobytes.
const LIMITS: Limits = Limits {
    connections: 8,
    head: Duration::from_secs(5),
    head_size: 16 * 1024,
    body: Duration::from_secs(5),
    body_size: 0,
    answer: Duration::from_secs(10),
    answered: Answered::Close,
};

/// After how long an address that could not be had is tried again: a minute.
const ADDRESS: Duration = Duration::from_secs(60);

/// How often the file is written at the most: every 15 seconds, which is how often people usually have it read.
const FILE: Duration = Duration::from_secs(15);

/// Serves until the process ends.
pub(super) async fn run(settings: watch::Receiver<Rc<Settings>>, observed: Observed, board: Board) {
    tokio::join!(listening(settings.clone(), observed.clone(), &board), writing(settings, observed, &board));
}

/// Takes the file away: what it says is not true of a process that is gone.
pub(super) fn end(metrics: &Metrics) {
    if let Some(file) = &metrics.textfile {
        remove(file);
    }
}

fn remove(file: &TextFile) {
    // It may never have been written; and what stays says itself how old it is.
    let _ = std::fs::remove_file(file.path());
}

async fn listening(mut settings: watch::Receiver<Rc<Settings>>, observed: Observed, board: &Board) {
    let router = control::observing(observed);
    loop {
        let wanted = settings.borrow_and_update().metrics.listen;
        let serving = async {
            let Some(address) = wanted else {
                board.withdraw(Area::Metrics);
                return std::future::pending().await;
            };
            match TcpListener::bind(address.get()).await {
                Ok(listener) => {
                    board.solved(Area::Metrics);
                    serving::serve(listener, router.clone(), LIMITS).await;
                }
                Err(error) => {
                    cannot_listen(board, address, &error);
                    tokio::time::sleep(ADDRESS).await;
                }
            }
        };
        tokio::select! {
            () = serving => {}
            changed = settings.wait_for(|settings| settings.metrics.listen != wanted) => {
                // The settings live as long as the process.
                drop(changed);
            }
        }
    }
}

fn cannot_listen(board: &Board, address: LoopbackAddress, error: &std::io::Error) {
    Retry::Metrics.emit();
    board.problem(
        Area::Metrics,
        Severity::Transient,
        format!("Metrics cannot be served at {address}: {error}."),
        "Everything else goes on, and the agent tries again every minute. `ss -ltnp` tells who has the port; or change \
         metrics.listen and then: systemctl reload runtime-agent. Until then, `runtime-agent metrics` prints them.",
    );
}

async fn writing(mut settings: watch::Receiver<Rc<Settings>>, mut observed: Observed, board: &Board) {
    loop {
        let wanted = settings.borrow_and_update().metrics.textfile.clone();
        let keeping = async {
            let Some(file) = &wanted else {
                board.withdraw(Area::MetricsFile);
                return std::future::pending().await;
            };
            loop {
                observed.status.mark_unchanged();
                match write(file, &observed).await {
                    Ok(()) => board.solved(Area::MetricsFile),
                    Err(why) => cannot_write(board, file, &why),
                }
                tokio::time::sleep(FILE).await;
                if observed.status.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        tokio::select! {
            () = keeping => {}
            changed = settings.wait_for(|settings| settings.metrics.textfile != wanted) => drop(changed),
        }
        if let Some(file) = &wanted {
            remove(file);
        }
    }
}

async fn write(file: &TextFile, observed: &Observed) -> Result<(), String> {
    let page = metrics::page(&observed.status.borrow()).map_err(|error| error.to_string())?;
    let (path, text) = (file.path().to_owned(), metrics::in_text_format(&page));
    let written = tokio::task::spawn_blocking(move || put(&path, text.as_bytes())).await;
    written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// Writes the file where readers see it whole or not at all, and makes its folder, which node_exporter must be able to read.
fn put(path: &Path, page: &[u8]) -> Result<(), DiskError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        disk::ensure_folder(folder, 0o755)?;
    }
    disk::write(path, 0o644, page)
}

fn cannot_write(board: &Board, file: &TextFile, why: &str) {
    Retry::Metrics.emit();
    board.problem(
        Area::MetricsFile,
        Severity::Transient,
        format!("Metrics cannot be written to {}: {why}.", file.path().display()),
        "Everything else goes on, and the agent tries again by itself. Its user must be able to write in that folder, and \
         systemd lets it write only below /var/lib/runtime-agent and what ReadWritePaths= of a drop-in names.",
    );
}
