//! What a component has to pass before it can serve as a policy: its shape, its imports against world and grants, a
//! compilation in a process of its own, and one instance within its limits.
//!
//! What is admitted here fits, and is bounded. Whether it keeps the protocol, and comes to an end, is for the safety
//! scenarios to find out, which take the [`Admitted`] policy and run it.

use std::sync::Arc;

use tokio::task::JoinError;

use crate::compiler::{CompileError, LoadFailure, PolicyLoader};
use crate::model::{Fault, Grant, Grants, PolicyDigest};
use crate::runtime::{Limits, LoadError, Policy, Terms};
use crate::session::{Ports, Session};

mod imports;
mod shape;
mod world;

pub use imports::Authority;
pub use shape::{OutOfShape, ShapeLimits};

/// Why a component is not admitted: what is wrong, and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Its bytes are no WebAssembly.
    #[error("this is not valid WebAssembly: {0}")]
    Malformed(String),
    /// It is a module, or something else.
    #[error(
        "this is not a component; a core module becomes one by `wasm-tools component new` or the wasm32-wasip2 target"
    )]
    NoComponent,
    /// There is too much of something.
    #[error(transparent)]
    Shape(#[from] OutOfShape),
    /// It imports what nobody has.
    #[error("the component imports {import}, which the host does not have; it may import {allowed}")]
    UnknownImport {
        /// The interface.
        import: String,
        /// What it may import.
        allowed: String,
    },
    /// It imports a function that its interface does not have.
    #[error("the component imports {function} of {interface}, which has {}", either(.allowed, "types only"))]
    UnknownFunction {
        /// The interface.
        interface: &'static str,
        /// The function.
        function: String,
        /// What the interface has.
        allowed: String,
    },
    /// It imports what is not granted.
    #[error(
        "the component imports {import}, which takes the grant {missing}; granted here: {}",
        either(&.granted.to_string(), "nothing")
    )]
    NotGranted {
        /// The function.
        import: String,
        /// The grant that it lacks.
        missing: Grant,
        /// What is granted.
        granted: Grants,
    },
    /// It does not export what the contract asks for.
    #[error("the component does not export {function} of {interface}, by which it would be asked")]
    MissingExport {
        /// The interface.
        interface: &'static str,
        /// The function.
        function: &'static str,
    },
    /// It does not compile within bounds.
    #[error("the component does not compile: {0}")]
    Compile(#[source] CompileError),
    /// Its functions have other types than the contract's, or it begins with more than a run may have.
    #[error(transparent)]
    Unfit(LoadError),
    /// Its start traps, or exceeds a limit.
    #[error("the component cannot be instantiated: {} ({})", .0.message, .0.code)]
    Instantiate(Fault),
    /// It was not looked at to the end, for a reason that is this host's. It may be admitted another time.
    #[error("the component could not be checked: {0}")]
    Unchecked(String),
}

fn either<'t>(text: &'t str, otherwise: &'t str) -> &'t str {
    if text.is_empty() { otherwise } else { text }
}

impl Refusal {
    fn malformed(error: wasmparser::BinaryReaderError) -> Self {
        Self::Malformed(crate::model::bounded_text(&error.to_string(), 256))
    }

    /// Whether this says nothing of the component.
    pub fn is_of_host(&self) -> bool {
        matches!(self, Self::Unchecked(_))
    }
}

impl From<JoinError> for Refusal {
    fn from(error: JoinError) -> Self {
        Self::Unchecked(error.to_string())
    }
}

impl From<LoadFailure> for Refusal {
    fn from(failure: LoadFailure) -> Self {
        match failure {
            LoadFailure::Compile(error) if error.is_of_component() => Self::Compile(error),
            LoadFailure::Unfit(error) => Self::Unfit(error),
            other => Self::Unchecked(crate::model::ErrorChain(&other).to_string()),
        }
    }
}

/// A policy that fits: what the safety scenarios run, and what a generation binds.
pub struct Admitted {
    /// Ready to run.
    pub policy: Policy,
    /// What it asks for.
    pub authority: Authority,
}

/// Looks at a component before anything compiles it: whether its shape is within bounds, and what it asks for.
pub fn look_at(component: &[u8], shape: &ShapeLimits) -> Result<Authority, Refusal> {
    shape::check(component, shape)?;
    Authority::of(component)
}

/// A component that was looked at, and fits as far as can be seen without compiling it. Clones share its bytes.
#[derive(Debug, Clone)]
pub struct Looked {
    /// Its bytes.
    pub component: Arc<[u8]>,
    /// What it asks for.
    pub authority: Authority,
}

/// Checks components.
pub struct Admission {
    shape: ShapeLimits,
    loader: PolicyLoader,
    ports: Arc<Ports>,
}

impl Admission {
    /// Compiles and instantiates by this loader. The instance reaches nothing of `ports` but the clock.
    pub fn new(shape: ShapeLimits, loader: PolicyLoader, ports: Arc<Ports>) -> Self {
        Self { shape, loader, ports }
    }

    /// The largest component that is looked at, in bytes.
    pub fn component_bytes(&self) -> u64 {
        self.shape.component_bytes
    }

    /// Checks a component, the cheapest first. `limits` are those that the binding's overrides leave.
    pub async fn check(
        &self,
        component: impl Into<Arc<[u8]>> + Send,
        grants: &Grants,
        limits: &Limits,
    ) -> Result<Admitted, Refusal> {
        let looked = self.look(component.into()).await?;
        self.admit(looked, grants, limits).await
    }

    /// Looks at a component before anything compiles it.
    pub async fn look(&self, component: Arc<[u8]>) -> Result<Looked, Refusal> {
        let (shape, bytes) = (self.shape.clone(), component.clone());
        // Parsing megabytes takes longer than a task may hold its thread.
        let authority = tokio::task::spawn_blocking(move || look_at(&bytes, &shape)).await??;
        Ok(Looked { component, authority })
    }

    /// Checks the rest of a component that was looked at.
    pub async fn admit(&self, looked: Looked, grants: &Grants, limits: &Limits) -> Result<Admitted, Refusal> {
        let Looked { component, authority } = looked;
        authority.check(grants)?;
        let policy = self.loader.load(&component).await?;
        let nobody = Session::of_nobody(self.ports.clone(), PolicyDigest::clone(policy.digest()));
        let terms = Terms { settings: Arc::default(), limits: Arc::new(limits.clone()) };
        policy.try_out(nobody, terms).await.map_err(Refusal::Instantiate)?;
        Ok(Admitted { policy, authority })
    }
}
