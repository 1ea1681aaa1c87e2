//! Compiled code, and the engine that it is compiled for. Compiling and loading may happen in different processes: what
//! they must have in common is the engine's fingerprint.

use std::fmt;
use std::hash::{Hash as _, Hasher};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::{Limits, LoadError, Policy, Sandbox, SandboxError, base_config, memories};
use crate::model::PolicyDigest;

/// Everything about an engine that its code depends on: wasmtime's version, the processor, what is turned on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EngineFingerprint([u8; Self::BYTES]);

/// As it was written before code.
impl From<[u8; EngineFingerprint::BYTES]> for EngineFingerprint {
    fn from(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }
}

impl EngineFingerprint {
    /// Its length.
    pub const BYTES: usize = 32;

    fn of(engine: &Engine) -> Self {
        let mut hasher = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self(hasher.0.finalize().into())
    }

    /// As it is written before code.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for EngineFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EngineFingerprint({})", hex::encode(self.0))
    }
}

/// The standard library's own hasher may answer differently in another version, and has 64 bits.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        digest.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    }
}

/// A component's machine code, which runs with this process's rights.
pub struct CompiledCode(Vec<u8>);

impl CompiledCode {
    /// Whoever calls this vouches that our own compiler wrote these bytes, and that nobody has changed them since.
    pub(crate) fn vouched_for(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The code.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Compiles components, and runs none: it has no pool of instances and no ticker.
pub struct CompileEngine(Engine);

impl CompileEngine {
    /// An engine whose code every [`Sandbox`] of this build loads on this machine; no limit of a run is compiled in.
    pub fn new() -> Result<Self, SandboxError> {
        Engine::new(&base_config(&Limits::default(), false)).map(Self).map_err(SandboxError)
    }

    /// The same for sandboxes whose runs repeat themselves.
    pub fn repeatable() -> Result<Self, SandboxError> {
        Engine::new(&base_config(&Limits::default(), true)).map(Self).map_err(SandboxError)
    }

    /// What its code depends on.
    pub fn fingerprint(&self) -> EngineFingerprint {
        EngineFingerprint::of(&self.0)
    }

    /// Compiles a component.
    pub fn compile(&self, component: &[u8]) -> Result<CompiledCode, LoadError> {
        memories::at_most_one_each(component).map_err(LoadError::Invalid)?;
        self.0.precompile_component(component).map(CompiledCode).map_err(LoadError::Invalid)
    }
}

impl Sandbox {
    /// What the code that it loads depends on.
    pub fn fingerprint(&self) -> EngineFingerprint {
        EngineFingerprint::of(&self.engine)
    }

    /// Loads what was compiled before of the component with this digest, and checks that it fits the contract.
    pub fn load_compiled(&self, digest: PolicyDigest, code: &CompiledCode) -> Result<Policy, LoadError> {
        let component = deserialize(&self.engine, code).map_err(LoadError::Code)?;
        self.policy(&component, digest)
    }
}

#[allow(
    unsafe_code,
    reason = "CompiledCode comes from our compiler and was not changed since; its maker vouches for it"
)]
fn deserialize(engine: &Engine, code: &CompiledCode) -> wasmtime::Result<Component> {
    // SAFETY: by the contract of `CompiledCode::vouched_for`. That it is of this engine, wasmtime checks itself.
    unsafe { Component::deserialize(engine, &code.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::SandboxOptions;

    #[test]
    fn what_is_compiled_apart_is_for_the_engine_that_runs_it_whatever_its_limits() {
        let compiled = CompileEngine::new().map(|engine| engine.fingerprint()).ok();
        let limits = Limits { stack_bytes: 64 << 10, memory_bytes: 1 << 20, ..Limits::default() };
        let sandbox = Sandbox::new(SandboxOptions { limits, ..SandboxOptions::default() });
        assert!(compiled.is_some());
        assert_eq!(compiled, sandbox.map(|sandbox| sandbox.fingerprint()).ok());
    }
}
