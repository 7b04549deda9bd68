//! The wish that the applier ends: SIGTERM or SIGINT, handed as a value to whoever waits for something.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells whether the applier was told to stop.
#[derive(Debug, Clone)]
pub struct Stop(Option<watch::Receiver<bool>>);

impl Stop {
    /// One that never comes.
    pub fn never() -> Self {
        Self(None)
    }

    /// One that comes with the sender's `true`.
    pub fn when(told: watch::Receiver<bool>) -> Self {
        Self(Some(told))
    }

    /// One that comes with SIGTERM or SIGINT, which then no longer end the process by themselves.
    ///
    /// # Errors
    /// When the signals cannot be waited for.
    pub fn on_signals() -> io::Result<Self> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (tell, told) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tell.send_replace(true);
        });
        Ok(Self(Some(told)))
    }

    /// Whether it has come.
    pub fn is_told(&self) -> bool {
        self.0.as_ref().is_some_and(|told| *told.borrow())
    }

    /// Waits until it comes.
    pub async fn told(&self) {
        if let Some(told) = &self.0
            && told.clone().wait_for(|told| *told).await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}
