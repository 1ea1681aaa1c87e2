//! Memory and tables, summed over everything that a run instantiates: wasmtime's own limits count each
//! memory by itself.

use wasmtime::ResourceLimiter;

use super::fault::Exceeded;
use super::store::{RunState, Usage};

/// Core instances that one component may have: enough for what componentize-py makes.
pub(crate) const INSTANCES: u32 = 100;
/// Likewise memories.
pub(crate) const MEMORIES: u32 = 10;
/// Likewise tables.
pub(crate) const TABLES: u32 = 30;

impl ResourceLimiter for RunState {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let limit = self.limits().memory_bytes;
        let fits = self.usage.grow_memory(current, desired, limit);
        if !fits {
            self.usage.refused = Some(Exceeded::Memory(limit));
        }
        Ok(fits)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let limit = self.limits().table_elements;
        let fits = grow(&mut self.usage.table_elements, current, desired, limit);
        if !fits {
            self.usage.refused = Some(Exceeded::TableElements(limit));
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        INSTANCES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}

impl Usage {
    /// False if the sum of all memories would be beyond the limit.
    fn grow_memory(&mut self, current: usize, desired: usize, limit: u64) -> bool {
        let fits = grow(&mut self.memory_bytes, current, desired, limit);
        if fits && current > 0 {
            self.growths = self.growths.saturating_add(1);
        }
        fits
    }
}

/// Adds a growth to the sum if the sum stays within the limit.
fn grow(sum: &mut u64, current: usize, desired: usize, limit: u64) -> bool {
    let growth = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
    let wanted = sum.saturating_add(growth);
    if wanted > limit {
        return false;
    }
    *sum = wanted;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_summed_and_growths_counted_beyond_what_they_begin_with() {
        let mut usage = Usage::default();
        assert!(usage.grow_memory(0, 100, 300) && usage.grow_memory(0, 100, 300));
        assert_eq!((usage.memory_bytes, usage.growths), (200, 0));
        assert!(usage.grow_memory(100, 150, 300) && usage.grow_memory(150, 200, 300));
        assert!(!usage.grow_memory(200, 201, 300), "one byte too many");
        assert_eq!((usage.memory_bytes, usage.growths), (300, 2));
    }
}
