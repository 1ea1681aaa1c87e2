//! `galaxy:rtmanager/clock`

use super::RunState;
use super::wit::clock::{Host, Timestamp};

impl Host for RunState {
    fn now(&mut self) -> wasmtime::Result<Timestamp> {
        let call = self.enter(0)?;
        let now = self.session.now().as_micros();
        self.leave(call);
        Ok(now)
    }
}
