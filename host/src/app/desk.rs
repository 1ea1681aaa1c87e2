//! What is done by order on the stores alone.

use std::sync::Arc;

use super::{App, Engines, Stores};
use crate::access::{Tokens, Trail};
use crate::adapters::system_clock::SystemRandomness;
use crate::api::Services;
use crate::metrics::Metrics;
use crate::orders::Orders;
use crate::registry;
use crate::session::Ports;

impl Stores {
    /// What was done by order.
    pub fn trail(&self) -> Trail {
        Trail::new(self.audit.clone(), self.clock.clone())
    }

    /// What changes runtimes and pauses by order.
    pub fn orders(&self) -> Orders {
        Orders::new(self.records.clone(), self.pauses.clone(), self.trail(), self.clock.clone())
    }

    /// The world that runs work on: these stores, and these engines.
    pub(super) fn ports(&self, engines: Engines, metrics: Arc<Metrics>) -> Ports {
        Ports {
            records: self.records.clone(),
            operations: self.operations.clone(),
            leases: self.leases.clone(),
            engines,
            clock: self.clock.clone(),
            randomness: Arc::new(SystemRandomness),
            metrics,
        }
    }

    /// What hosts follow.
    pub(super) fn bindings(&self) -> registry::Stores {
        registry::Stores {
            generations: self.generations.clone(),
            policies: self.policies.clone(),
            access: self.access.clone(),
            trail: self.trail(),
            clock: self.clock.clone(),
        }
    }

    /// The tokens of the REST interface.
    pub fn tokens(&self) -> Tokens {
        Tokens::new(self.access.clone(), self.trail(), self.clock.clone(), Arc::new(SystemRandomness))
    }
}

/// What a host does by REST.
impl From<&App> for Services {
    fn from(app: &App) -> Self {
        Self {
            lifecycle: app.lifecycle.clone(),
            ports: app.ports.clone(),
            pauses: app.pauses.clone(),
            orders: app.orders.clone(),
            tokens: app.tokens.clone(),
            trail: app.trail.clone(),
            policies: app.policies.clone(),
            journals: app.journals.store(),
            reconcilers: app.reconcilers.clone(),
            config: app.config.clone(),
        }
    }
}
