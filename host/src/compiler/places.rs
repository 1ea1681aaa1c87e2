//! The places for compilers. Anybody who may upload can have components examined; what serves does not wait for that.

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Purpose;

pub(super) struct Places {
    all: Semaphore,
    /// Of all, those that examinations may have: one fewer.
    examinations: Semaphore,
}

/// A place, given back when dropped. What it is made of is never closed, and so never missing.
pub(super) struct Place<'p> {
    _one: Option<SemaphorePermit<'p>>,
    _of_examinations: Option<SemaphorePermit<'p>>,
}

impl Places {
    /// At least one is for examinations, and another one is not.
    pub(super) fn new(places: usize) -> Self {
        let all = places.clamp(2, Semaphore::MAX_PERMITS);
        Self { all: Semaphore::new(all), examinations: Semaphore::new(all - 1) }
    }

    pub(super) async fn take(&self, purpose: Purpose) -> Place<'_> {
        let of_examinations = match purpose {
            Purpose::Serving => None,
            Purpose::Examination => self.examinations.acquire().await.ok(),
        };
        Place { _one: self.all.acquire().await.ok(), _of_examinations: of_examinations }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn comes_at_once(places: &Places, purpose: Purpose) -> bool {
        timeout(Duration::from_millis(20), places.take(purpose)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_is_examined_a_place_is_left_for_what_serves() {
        for count in 1..4 {
            let places = Places::new(count);
            let mut examined = Vec::new();
            while let Ok(place) = timeout(Duration::from_millis(20), places.take(Purpose::Examination)).await {
                examined.push(place);
            }
            assert_eq!(examined.len(), (count - 1).max(1), "of {count}");
            let serving = places.take(Purpose::Serving).await;
            assert!(!comes_at_once(&places, Purpose::Serving).await, "more than {count} at a time");
            drop(serving);
            assert!(comes_at_once(&places, Purpose::Serving).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_serves_has_every_place_that_nobody_else_has() {
        let places = Places::new(2);
        let _serving = [places.take(Purpose::Serving).await, places.take(Purpose::Serving).await];
        assert!(!comes_at_once(&places, Purpose::Examination).await);
    }
}
