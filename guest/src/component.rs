//! The policy as a component: its ports are the imports, its exports the contract's two functions.

use alloc::string::String;
use alloc::vec::Vec;
use core::alloc::Layout;

use crate::bindings;
use crate::bindings::exports::galaxy::rtmanager::{cleanup, retention};
use crate::bindings::galaxy::rtmanager::{clock, docker, leases, op_log, records};
use crate::bindings::wasi::config::store;
use crate::ports::{Clock, Docker, Lease, Leases, OpLog, Records, Settings, SettingsUnavailable};
use crate::types::{
    Advice, Candidate, Container, Entry, Error, Removal, Request, RuntimeRecord, Status, Timestamp, Verdict,
};

struct Policy;

impl cleanup::Guest for Policy {
    fn handle(request: Request) -> Verdict {
        crate::cleanup::handle(&Policy, &request)
    }
}

impl retention::Guest for Policy {
    fn review(candidate: Candidate) -> Advice {
        crate::retention::review(&Policy, &candidate)
    }
}

impl Leases for Policy {
    type Lease = leases::Lease;

    fn try_acquire(&self) -> Result<Option<leases::Lease>, Error> {
        leases::try_acquire()
    }
}

impl Lease for leases::Lease {
    fn release(&self) -> Result<(), Error> {
        leases::Lease::release(self)
    }
}

impl Records for Policy {
    fn get(&self) -> Result<RuntimeRecord, Error> {
        records::get()
    }

    fn update_status(
        &self,
        lease: &leases::Lease,
        expected: &Status,
        expected_container: Option<&str>,
        new: &Status,
    ) -> Result<(), Error> {
        records::update_status(lease, expected, expected_container, new)
    }
}

impl Docker for Policy {
    fn inspect(&self, container: &str) -> Result<Container, Error> {
        docker::inspect(container)
    }

    fn remove(&self, lease: &leases::Lease, container: &str) -> Result<Removal, Error> {
        docker::remove(lease, container)
    }
}

impl OpLog for Policy {
    fn append(&self, entry: &Entry) -> Result<u64, Error> {
        op_log::append(entry)
    }
}

impl Clock for Policy {
    fn now(&self) -> Timestamp {
        clock::now()
    }
}

impl Settings for Policy {
    fn all(&self) -> Result<Vec<(String, String)>, SettingsUnavailable> {
        store::get_all().map_err(|_| SettingsUnavailable)
    }
}

#[allow(unsafe_code, reason = "the canonical ABI's exports are raw symbols")]
mod abi {
    use super::{Layout, Policy, bindings};
    use crate::allocator::Bump;

    bindings::export!(Policy with_types_in crate::bindings);

    // For `memcmp` alone, which the compiler calls and, on this target, leaves to the C library.
    #[link(name = "c")]
    unsafe extern "C" {}

    #[global_allocator]
    static ALLOCATOR: Bump = Bump::new();

    /// A panic is a bug of the policy: the trap ends the run, and the host gives it a code.
    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        core::arch::wasm32::unreachable()
    }

    /// The allocation entry of the canonical ABI, which the C library gives those who link it.
    ///
    /// # Safety
    ///
    /// Called by the runtime only, as the canonical ABI prescribes.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn cabi_realloc(old: *mut u8, old_len: usize, align: usize, new_len: usize) -> *mut u8 {
        // SAFETY: the ABI gives a power of two as alignment, and for `old` what this function returned before.
        let new = unsafe {
            match (old_len, new_len) {
                (0, 0) => return core::ptr::without_provenance_mut(align),
                (0, _) => alloc::alloc::alloc(Layout::from_size_align_unchecked(new_len, align)),
                _ => alloc::alloc::realloc(old, Layout::from_size_align_unchecked(old_len, align), new_len),
            }
        };
        if new.is_null() {
            core::arch::wasm32::unreachable()
        }
        new
    }
}
