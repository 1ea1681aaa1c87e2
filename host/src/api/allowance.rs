//! How much callers may ask of this process: tenants by their tenant, whoever is refused by token or address.
//!
//! What is past that is answered 429, with when to come again, and costs no more than this.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};

use super::policy_problems::examines;
use super::problem::Problem;
use crate::access::{Caller, Pace, Place, Places};
use crate::config::Http;
use crate::metrics::{HttpRefusal, Metrics};
use crate::model::TenantId;
use crate::ports::Clock;

/// What an order costs, in requests: it is two links in the trail if it fails.
const ORDER: u32 = 5;
/// What having a policy examined costs, in requests: a compiler, and hundreds of simulated runs.
const EXAMINATION: u32 = 20;
/// Tenants, tokens and networks that are remembered; past them, whoever is new is asked to come again.
const MOST_TENANTS: usize = 100_000;
const MOST_STRANGERS: usize = 10_000;
/// How often a network is spoken of in the log.
const SAID_PER_MINUTE: NonZeroU32 = NonZeroU32::MIN;

/// The machines that an address stands for: itself, or, in IPv6, the network of which anybody has all addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        })
    }
}

/// What is left to whom.
pub(super) struct Allowances {
    tenants: Pace<TenantId>,
    places: Places<TenantId>,
    denials: Pace<String>,
    failures: Pace<Network>,
    said: Pace<Network>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Allowances {
    pub(super) fn new(limits: &Http, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        Self {
            tenants: Pace::new(limits.tenant_requests_per_minute, MOST_TENANTS),
            places: Places::new(limits.tenant_concurrent_requests.get()),
            denials: Pace::new(limits.refusals_per_minute, MOST_STRANGERS),
            failures: Pace::new(limits.refusals_per_minute, MOST_STRANGERS),
            said: Pace::new(SAID_PER_MINUTE, MOST_STRANGERS),
            clock,
            metrics,
        }
    }

    /// Whether this request is within what is left to its caller, who has the place until it is answered. Only tenants
    /// are bounded: the others are the platform's.
    pub(super) fn enter(
        &self,
        caller: &Caller,
        method: &Method,
        path: &str,
    ) -> Result<Option<Place<TenantId>>, Problem> {
        let Some(tenant) = caller.role.tenant() else { return Ok(None) };
        let Some(place) = self.places.enter(tenant.clone()) else {
            let detail = "too many requests of this tenant are under way; http.tenant_concurrent_requests is the most";
            return Err(self.refused(HttpRefusal::Concurrency, Duration::from_secs(1), detail));
        };
        let taken = self.tenants.take(tenant, cost(method, path), self.clock.monotonic());
        let detail = "this tenant has asked too often; http.tenant_requests_per_minute is the most, orders count five \
                      times and examinations twenty times";
        taken.map_err(|wait| self.refused(HttpRefusal::Rate, wait, detail))?;
        Ok(Some(place))
    }

    /// Whether one more order of a caller may be denied, and be recorded as that.
    pub(super) fn deny(&self, caller: &Caller) -> Result<(), Problem> {
        let detail = "too many orders with this token were denied; http.refusals_per_minute is the most";
        let taken = self.denials.take(&caller.actor, 1, self.clock.monotonic());
        taken.map_err(|wait| self.refused(HttpRefusal::Denials, wait, detail))?;
        self.metrics.http_refused(HttpRefusal::Denied);
        Ok(())
    }

    /// Whether so much has failed from a network that a secret from there is not looked up.
    pub(super) fn shuts_out(&self, network: Network) -> Result<(), Problem> {
        self.failures.spent(&network, self.clock.monotonic()).map_or(Ok(()), |wait| Err(self.strangers(network, wait)))
    }

    /// Somebody from a network has shown nothing that opens anything. They are told so, up to a point.
    pub(super) fn fail(&self, network: Network) -> Result<(), Problem> {
        let taken = self.failures.take(&network, 1, self.clock.monotonic());
        taken.map_err(|wait| self.strangers(network, wait))?;
        self.metrics.http_refused(HttpRefusal::Unauthenticated);
        Ok(())
    }

    fn strangers(&self, network: Network, wait: Duration) -> Problem {
        if self.said.take(&network, 1, self.clock.monotonic()).is_ok() {
            tracing::warn!(network = %network.0, "requests without a valid token come too often; unknown ones are not looked up");
        }
        let detail =
            "too many requests without a valid token came from this address; http.refusals_per_minute is the most";
        self.refused(HttpRefusal::Strangers, wait, detail)
    }

    fn refused(&self, why: HttpRefusal, wait: Duration, detail: &str) -> Problem {
        self.metrics.http_refused(why);
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail).after(wait)
    }
}

fn cost(method: &Method, path: &str) -> u32 {
    if examines(method, path) {
        EXAMINATION
    } else if is_order(method) {
        ORDER
    } else {
        1
    }
}

/// Whether a request is to change something.
pub(super) fn is_order(method: &Method) -> bool {
    !method.is_safe()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_address_or_what_one_customer_has_of_ipv6() {
        let network = |text: &str| text.parse::<IpAddr>().map(Network::from).ok();
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_eq!(network("2001:db8:1:2:3::4"), network("2001:db8:1:2:ffff::"));
        assert_ne!(network("2001:db8:1:2::"), network("2001:db8:1:3::"));
    }

    #[test]
    fn orders_are_dearer_than_looks_and_examinations_than_orders() {
        let scope = "/api/v1/tenants/acme/policy";
        for (method, path, expected) in [
            (Method::GET, scope.to_owned(), 1),
            (Method::HEAD, scope.to_owned(), 1),
            (Method::DELETE, scope.to_owned(), ORDER),
            (Method::POST, format!("{scope}/rollback"), ORDER),
            (Method::PUT, scope.to_owned(), EXAMINATION),
            (Method::POST, format!("{scope}/check"), EXAMINATION),
            (Method::POST, format!("{scope}/rollout"), EXAMINATION),
            (Method::POST, "/api/v1/policies".to_owned(), EXAMINATION),
        ] {
            assert_eq!(cost(&method, &path), expected, "{method} {path}");
        }
    }
}
