//! The component's memory: taken from the rest of the stack's and data's pages, and never given back.
//!
//! An instance lives for one run, and a run allocates a few kilobytes. So the cheapest allocator is the right
//! one, above all one that grows the memory only when it must: a fresh instance pays for each growth.

#![allow(unsafe_code, reason = "an allocator hands out raw memory")]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::Cell;
use core::ptr::{null_mut, without_provenance_mut};

const PAGE: usize = 64 << 10;

unsafe extern "C" {
    /// Where the linker's own data ends.
    static __heap_base: u8;
}

/// Bumps a pointer. What was taken last can be given back or grow in place, which is what text being built does.
pub(crate) struct Bump {
    /// The end of what was taken; 0 before anything was.
    end: Cell<usize>,
}

// SAFETY: a component without the threads feature, which the host refuses, has one thread.
unsafe impl Sync for Bump {}

impl Bump {
    pub(crate) const fn new() -> Self {
        Self { end: Cell::new(0) }
    }

    fn end(&self) -> usize {
        match self.end.get() {
            0 => (&raw const __heap_base).addr(),
            end => end,
        }
    }

    /// Takes everything up to `end`, growing the memory if it is shorter. None if it cannot grow.
    fn take(&self, end: usize) -> Option<()> {
        let missing = end.saturating_sub(memory_size::<0>().checked_mul(PAGE)?);
        if missing > 0 && memory_grow::<0>(missing.div_ceil(PAGE)) == usize::MAX {
            return None;
        }
        self.end.set(end);
        Some(())
    }

    fn allocate(&self, layout: Layout) -> Option<*mut u8> {
        let start = self.end().checked_next_multiple_of(layout.align())?;
        self.take(start.checked_add(layout.size())?)?;
        Some(without_provenance_mut(start))
    }

    fn is_last(&self, pointer: *mut u8, size: usize) -> bool {
        pointer.addr() + size == self.end.get()
    }
}

// SAFETY: `allocate` answers memory that is aligned, inside the linear memory, and beyond all that was taken
// and not given back; only what was taken last is given back or grown.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.allocate(layout).unwrap_or(null_mut())
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if self.is_last(pointer, layout.size()) {
            self.end.set(pointer.addr());
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if self.is_last(pointer, layout.size()) {
            let grown = pointer.addr().checked_add(size).and_then(|end| self.take(end));
            return grown.map_or(null_mut(), |()| pointer);
        }
        if size <= layout.size() {
            return pointer;
        }
        let Some(new) = Layout::from_size_align(size, layout.align()).ok().and_then(|layout| self.allocate(layout))
        else {
            return null_mut();
        };
        // SAFETY: both are valid for the old size, and the new one is beyond all that was taken before.
        unsafe { pointer.copy_to_nonoverlapping(new, layout.size()) };
        new
    }
}
