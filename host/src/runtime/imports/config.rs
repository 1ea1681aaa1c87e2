//! `wasi:config/store`: the settings of the binding.

use super::RunState;
use super::wasi_config::{Error, Host};
use crate::model::BoundaryAnswer::{Setting, Settings};
use crate::model::BoundaryCall;

impl Host for RunState {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, Error>> {
        let call = self.enter(key.len())?;
        self.session.asked(|| BoundaryCall::Setting { name: key.clone() });
        let value = self.settings.get(&key).map(str::to_owned);
        self.session.told_of(|| Setting(value.is_some()));
        self.leave(call);
        Ok(Ok(value))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, Error>> {
        let call = self.enter(0)?;
        self.session.asked(|| BoundaryCall::Settings);
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let all: Vec<_> = self.settings.iter().map(owned).collect();
        self.session.told_of(|| Settings(all.iter().map(|(name, _)| name.clone()).collect()));
        self.leave(call);
        Ok(Ok(all))
    }
}
