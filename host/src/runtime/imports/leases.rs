//! `galaxy:rtmanager/leases`

use wasmtime::component::Resource;

use super::wit::leases::{Host, HostLease};
use super::{ImportError, RunState};

/// What a policy's `lease` handle stands for: the session's one lease. Holds nothing, so there is nothing to forge.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Lease;

impl Host for RunState {
    async fn try_acquire(&mut self) -> Result<Option<Resource<Lease>>, ImportError> {
        let call = self.enter(0)?;
        let acquired = self.session.try_acquire().await;
        self.leave(call);
        if !acquired? {
            return Ok(None);
        }
        let handle = self.handles.push(Lease).map_err(wasmtime::Error::from)?;
        Ok(Some(handle))
    }
}

impl HostLease for RunState {
    async fn release(&mut self, lease: Resource<Lease>) -> Result<(), ImportError> {
        let call = self.enter(0)?;
        self.handles.get(&lease).map_err(wasmtime::Error::from)?;
        let released = self.session.release().await;
        self.leave(call);
        Ok(released?)
    }

    async fn drop(&mut self, lease: Resource<Lease>) -> wasmtime::Result<()> {
        let call = self.enter(0)?;
        self.handles.delete(lease)?;
        // Reported by the session; a drop has nobody to answer to.
        let _reported = self.session.release().await;
        self.leave(call);
        Ok(())
    }
}
