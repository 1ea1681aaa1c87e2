//! How much somebody may ask: so many units a minute, and so many things at the same time. By the monotonic clock; of
//! this process alone.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// So many units a minute for each of many; a minute's units may come at once.
#[derive(Debug)]
pub struct Pace<K> {
    per_minute: NonZeroU32,
    most: usize,
    /// When each has all its units again. Who is not here has them now.
    whole_at: Mutex<HashMap<K, Duration>>,
}

impl<K: Eq + Hash + Clone> Pace<K> {
    /// That pace for up to `most` who have not all their units; further ones are refused until one of those has.
    pub fn new(per_minute: NonZeroU32, most: usize) -> Self {
        Self { per_minute, most, whole_at: Mutex::default() }
    }

    /// Takes so many units, or all of a minute if that is fewer. If there are not so many: none, and how long it takes
    /// until there are.
    pub fn take(&self, who: &K, units: u32, now: Duration) -> Result<(), Duration> {
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        if whole_at.len() >= self.most && !whole_at.contains_key(who) {
            whole_at.retain(|_, at| *at > now);
            if whole_at.len() >= self.most {
                return Err(Duration::from_secs(1));
            }
        }
        let after = self.after(whole_at.get(who), units, now);
        match after.saturating_sub(now).checked_sub(MINUTE) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                whole_at.insert(who.clone(), after);
                Ok(())
            }
        }
    }

    /// How long it takes until there is a unit; none if there is one. Takes none.
    pub fn spent(&self, who: &K, now: Duration) -> Option<Duration> {
        let whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.after(whole_at.get(who), 1, now).saturating_sub(now).saturating_sub(MINUTE);
        (!wait.is_zero()).then_some(wait)
    }

    fn after(&self, whole_at: Option<&Duration>, units: u32, now: Duration) -> Duration {
        let units = units.min(self.per_minute.get());
        let from = whole_at.map_or(now, |at| now.max(*at));
        from.saturating_add(MINUTE.saturating_mul(units) / self.per_minute.get())
    }
}

/// So many things at the same time for each of many.
#[derive(Debug)]
pub struct Places<K: Eq + Hash + Clone> {
    most: usize,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place<K: Eq + Hash + Clone> {
    who: K,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Clone> Places<K> {
    /// So many places for each.
    pub fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// Takes one, if there is one left.
    pub fn enter(&self, who: K) -> Option<Place<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.get(&who).copied().unwrap_or_default();
        if count >= self.most {
            return None;
        }
        taken.insert(who.clone(), count.saturating_add(1));
        Some(Place { who, taken: self.taken.clone() })
    }
}

impl<K: Eq + Hash + Clone> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.who) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.who)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(per_minute: u32, most: usize) -> Pace<&'static str> {
        Pace::new(NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN), most)
    }

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_minutes_units_may_come_at_once_and_then_each_comes_in_its_time() {
        let pace = pace(6, 10);
        for _ in 0..6 {
            assert_eq!(pace.take(&"acme", 1, seconds(100)), Ok(()));
        }
        assert_eq!(pace.take(&"acme", 1, seconds(100)), Err(seconds(10)));
        assert_eq!(pace.take(&"acme", 1, seconds(107)), Err(seconds(3)), "what was refused has cost nothing");
        assert_eq!(pace.take(&"acme", 1, seconds(110)), Ok(()));
        assert_eq!(pace.take(&"rival", 6, seconds(110)), Ok(()), "each has its own");
        assert_eq!(pace.take(&"acme", 6, seconds(170)), Ok(()));
    }

    #[test]
    fn what_is_dearer_than_a_minutes_units_takes_them_all() {
        let pace = pace(2, 10);
        assert_eq!(pace.take(&"acme", 50, seconds(0)), Ok(()));
        assert_eq!(pace.take(&"acme", 50, seconds(59)), Err(seconds(1)));
        assert_eq!(pace.take(&"acme", 50, seconds(60)), Ok(()));
    }

    #[test]
    fn asking_whether_there_is_a_unit_takes_none() {
        let pace = pace(1, 10);
        assert_eq!(pace.spent(&"acme", seconds(5)), None);
        assert_eq!(pace.take(&"acme", 1, seconds(5)), Ok(()));
        for _ in 0..3 {
            assert_eq!(pace.spent(&"acme", seconds(6)), Some(seconds(59)));
        }
        assert_eq!(pace.spent(&"acme", seconds(65)), None);
    }

    #[test]
    fn it_remembers_no_more_than_it_may_and_forgets_who_has_all_again() {
        let pace = pace(1, 2);
        assert_eq!(pace.take(&"a", 1, seconds(0)), Ok(()));
        assert_eq!(pace.take(&"b", 1, seconds(30)), Ok(()));
        assert_eq!(pace.take(&"c", 1, seconds(59)), Err(seconds(1)));
        assert_eq!(pace.take(&"c", 1, seconds(60)), Ok(()), "a has all again");
        assert_eq!(pace.whole_at.lock().map(|who| who.len()).ok(), Some(2));
    }

    #[test]
    fn a_place_is_free_again_when_it_is_left() {
        let places = Places::new(2);
        let (first, second) = (places.enter("acme"), places.enter("acme"));
        assert!(first.is_some() && second.is_some() && places.enter("acme").is_none());
        assert!(places.enter("rival").is_some());
        drop(first);
        let third = places.enter("acme");
        assert!(third.is_some() && places.enter("acme").is_none());
        drop((second, third));
        assert_eq!(places.taken.lock().map(|taken| taken.len()).ok(), Some(0), "nobody is remembered for nothing");
    }
}
