//! What blocks is done on threads of its own: the loops go on meanwhile.

use super::ConfigurationLoop;
use super::shelf::Shelf;

impl ConfigurationLoop {
    /// Does something with what is on disk; nothing, where that is in use already.
    pub(super) async fn with_shelf<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Shelf) -> T + Send + 'static,
    ) -> Option<T> {
        // It is out only while this function waits, and nobody else has the loop meanwhile.
        let mut shelf = self.shelf.take()?;
        let (shelf, result) = aside(move || {
            let result = work(&mut shelf);
            (shelf, result)
        })
        .await;
        self.shelf = Some(shelf);
        Some(result)
    }
}

/// Does something that blocks.
pub(in crate::agent) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // A panic in there is a defect; what the thread had is gone with it, and only a restart brings it back.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
