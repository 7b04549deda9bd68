//! A place for one value, where the newest replaces the one before it that nobody has taken yet.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::sync::Notify;

/// The place, shared by who puts and who takes.
#[derive(Debug)]
pub struct Newest<T>(Rc<Place<T>>);

#[derive(Debug)]
struct Place<T> {
    value: RefCell<Option<T>>,
    put: Notify,
}

impl<T> Default for Newest<T> {
    fn default() -> Self {
        Self(Rc::new(Place { value: RefCell::new(None), put: Notify::new() }))
    }
}

impl<T> Clone for Newest<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Newest<T> {
    /// Puts a value there. This never waits.
    pub fn put(&self, value: T) {
        self.0.value.replace(Some(value));
        self.0.put.notify_one();
    }

    /// Takes the value, as soon as there is one. One taker at a time.
    pub async fn take(&self) -> T {
        loop {
            if let Some(value) = self.0.value.take() {
                return value;
            }
            self.0.put.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_is_taken_and_none_twice() {
        let place = Newest::default();
        place.put(1);
        place.put(2);
        assert_eq!(place.take().await, 2);
        let (taken, ()) = tokio::join!(place.take(), async { place.put(3) });
        assert_eq!(taken, 3);
    }
}
