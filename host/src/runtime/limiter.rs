//! Memory and tables, summed over everything that a run instantiates: wasmtime's own limits count each
//! memory by itself.

use wasmtime::ResourceLimiter;

use super::fault::Exceeded;
use super::store::RunState;

/// Core instances that one component may have: enough for what componentize-py makes.
pub(crate) const INSTANCES: u32 = 100;
/// Likewise memories.
pub(crate) const MEMORIES: u32 = 10;
/// Likewise tables.
pub(crate) const TABLES: u32 = 30;

impl ResourceLimiter for RunState {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let limit = self.limits().memory_bytes;
        let fits = grow(&mut self.usage.memory_bytes, current, desired, limit);
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
