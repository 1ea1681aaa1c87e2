//! `galaxy:rtmanager/clock`

use super::RunState;
use super::wit::clock::{Host, Timestamp};
use crate::model::{BoundaryAnswer, BoundaryCall};

impl Host for RunState {
    fn now(&mut self) -> wasmtime::Result<Timestamp> {
        let call = self.enter(0)?;
        self.session.asked(|| BoundaryCall::Now);
        let now = self.session.now();
        self.session.told_of(|| BoundaryAnswer::Time(now));
        self.leave(call);
        Ok(now.as_micros())
    }
}
