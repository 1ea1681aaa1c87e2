//! `galaxy:rtmanager/leases`

use wasmtime::component::Resource;

use super::wit::leases::{Host, HostLease};
use super::{ImportError, RunState};
use crate::model::{BoundaryAnswer, BoundaryCall};
use crate::session::Crossing;

/// What a policy's `lease` handle stands for: the session's one lease. Holds nothing, so there is nothing to forge.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Lease;

impl Host for RunState {
    async fn try_acquire(&mut self) -> Result<Option<Resource<Lease>>, ImportError> {
        let call = self.enter(0)?;
        self.begin(Crossing::TryAcquire, String::new).await;
        self.session.asked(|| BoundaryCall::TryAcquire);
        let acquired = self.session.try_acquire().await;
        self.end(Crossing::TryAcquire, &acquired).await;
        let acquired = self.session.told(acquired, |_, granted| BoundaryAnswer::Lease(*granted));
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
        self.begin(Crossing::Release, String::new).await;
        self.session.asked(|| BoundaryCall::Release);
        let released = self.session.release().await;
        self.end(Crossing::Release, &released).await;
        let released = self.session.told(released, |_, ()| BoundaryAnswer::Done);
        self.leave(call);
        Ok(released?)
    }

    async fn drop(&mut self, lease: Resource<Lease>) -> wasmtime::Result<()> {
        let call = self.enter(0)?;
        self.handles.delete(lease)?;
        // Dropping what was given back before is no call of its own.
        let gives_back = self.session.holds_lease();
        if gives_back {
            self.begin(Crossing::Release, || "by dropping it".to_owned()).await;
        }
        self.session.asked(|| BoundaryCall::DropLease);
        let released = self.session.release().await;
        if gives_back {
            self.end(Crossing::Release, &released).await;
        }
        // Reported by the session; a drop has nobody to answer to.
        let _reported = self.session.told(released, |_, ()| BoundaryAnswer::Done);
        self.leave(call);
        Ok(())
    }
}
